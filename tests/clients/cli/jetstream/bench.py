"""`nats bench js` and `nats bench kv`. Argument: the server's URL."""

import re

from said import run, tool


def bench(*words):
    code, text = run("bench", *words, "--no-progress")
    print(f"$ nats bench {' '.join(words)} = {code}: {'msgs/sec' in text or 'aggregated' in text}")
    if code:
        # Without the time of day.
        print(re.sub(r"^\d\d:\d\d:\d\d ", "", text, flags=re.M))


for words in ("pub", "sync"), ("pub", "async"), ("pub", "async", "--batch", "100"):
    bench("js", *words, "bench.a", "--msgs", "300" if words[1] == "sync" else "5000", "--create", "--purge")
tool("stream", "state", "benchstream", only="Messages|Sequence", without="TIME")
bench("js", "ordered", "--msgs", "5000")
bench("js", "consume", "--msgs", "5000", "--acks", "explicit")
bench("js", "fetch", "--msgs", "5000", "--batch", "500", "--consumer", "fetcher")
bench("js", "get", "sync", "--msgs", "500")
bench("js", "get", "batch", "--msgs", "5000")
bench("kv", "put", "--msgs", "500")
bench("kv", "get", "--msgs", "500")
