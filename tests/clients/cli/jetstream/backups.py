"""`nats backup`: streams and whole accounts into folders, and back. Argument: the server's URL."""

import json
from pathlib import Path

from said import run, tool


def state(stream):
    found = json.loads(run("stream", "info", stream, "--json")[1])
    consumers = json.loads(run("consumer", "ls", stream, "--json")[1] or "[]")
    kept = {key: found["state"][key] for key in ("messages", "bytes", "first_seq", "last_seq", "consumer_count")}
    print(f"{stream}: {kept} {sorted(map(str, consumers or []))}")


for stream, subject, storage in ("FILE", "file.*", "file"), ("MEMORY", "memory.*", "memory"):
    tool("stream", "add", stream, "--subjects", subject, "--storage", storage, "--defaults", only="rror")
    tool("pub", subject.replace("*", "a"), "message {{.Count}}", "--count", "200", "-H", "Colour:blue", "--jetstream", only="rror")
    tool("stream", "rmm", stream, "7", "--force")
    tool("consumer", "add", stream, "worker", "--pull", "--defaults", only="rror")
    tool("consumer", "next", stream, "worker", "--count", "5", only="rror")
    state(stream)
tool("backup", "stream", "FILE", "one", "--no-progress", without="Received|Data")
print(sorted(file.name.removesuffix(".s2") for file in Path("one").iterdir()))
tool("backup", "validate", "one", only="OK|rror")
tool("stream", "rm", "FILE", "--force")
tool("backup", "restore", "stream", "one", "--no-progress", without="chunks")
state("FILE")
tool("stream", "get", "FILE", "200")
tool("stream", "get", "FILE", "7")
tool("consumer", "next", "FILE", "worker", only="message|rror|tasks")
tool("backup", "restore", "stream", "one", "--no-progress", only="rror")
tool("backup", "account", "all", "--force", ordered=False, only="Stream|stream|rror", without="Received|LONG|Data")
for stream in "FILE", "MEMORY":
    tool("stream", "rm", stream, "--force")
tool("backup", "restore", "account", "all", only="rror|estored")
for stream in "FILE", "MEMORY":
    state(stream)
