"""Reports and requests about JetStream, and what needs a cluster. Argument: the server's URL."""

import json

from said import run, tool


def shape(value):
    """The keys of a document, and of what is a number or a time only that it is one."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in sorted(value.items()) if key != "now"}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return value if isinstance(value, bool) else type(value).__name__


def answered(*words):
    """What a request to the server brings, line by line one document."""
    code, text = run(*words, user="sys")
    print(f"$ nats {' '.join(words)} = {code}")
    found, at = json.JSONDecoder(), text.find("{")
    while at >= 0:
        document, end = found.raw_decode(text, at)
        print(f"  {json.dumps(shape(document.get('data', document)))}")
        at = text.find("{", end)


tool("stream", "add", "ORDERS", "--subjects", "orders.*", "--defaults", only="rror")
tool("stream", "add", "COPY", "--mirror", "ORDERS", "--defaults", only="Mirror|rror")
tool("stream", "add", "ALL", "--source", "ORDERS", "--subjects", "all.*", "--defaults", only="Source|rror")
tool("pub", "orders.a", "hello", "--count", "10", "--jetstream", only="rror")
tool("consumer", "add", "ORDERS", "worker", "--pull", "--defaults", only="rror")
tool("server", "report", "accounts", user="sys", only="Account|APP")
tool("server", "report", "health", user="sys", only="Health|ok|rror")
tool("server", "report", "downgrade", "0", "--all", user="sys")
tool("server", "report", "jetstream", "--sort", "streams", user="sys")
tool("server", "check", "meta", "--expect", "1", "--lag-critical", "10", "--seen-critical", "1m", user="sys")
tool("server", "check", "request", "--subject", "orders.b", "--payload", "x")
tool("server", "check", "stream", "--stream", "COPY", "--lag-critical", "100", "--seen-critical", "1h")
tool("server", "check", "stream", "--stream", "ALL", "--min-sources", "1", "--max-sources", "1", "--lag-critical", "100")
tool("server", "check", "stream", "--stream", "ALL", "--min-sources", "2", "--max-sources", "2")
answered("server", "request", "jetstream", "--streams", "--consumers", "--config")
answered("server", "request", "jetstream-health", "--js-enabled")
answered("server", "request", "jetstream-health", "--account", "APP", "--stream", "ORDERS", "--consumer", "worker")
tool("server", "request", "raft", user="sys", without="server|id")
tool("stream", "cluster", "step-down", "ORDERS")
tool("stream", "cluster", "peer-remove", "ORDERS", "test", "--force")
tool("consumer", "cluster", "step-down", "ORDERS", "worker")
tool("stream", "report", only="ORDERS|COPY|ALL|Mirror|Source", without="TIME")
tool("stream", "find", "--consumers", "1", "--names")
tool("stream", "find", "--mirrored", "--names")
tool("stream", "find", "--sourced", "--names")
tool("stream", "gaps", "ORDERS", "--force", "--no-progress")
tool("consumer", "unpin", "ORDERS", "worker", "g", "--force")
tool("account", "report", "connections", "--sort", "subs", only="Connections")
tool("kv", "add", "settings", "--history", "2", only="rror")
tool("kv", "edit", "settings", "--history", "5", "--description", "edited")
tool("object", "add", "files", only="rror")
tool("object", "edit", "files", "--description", "edited")
tool("counter", "get", "none.at.all")
