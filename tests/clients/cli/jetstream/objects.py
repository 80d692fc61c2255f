"""`nats object`. Argument: the server's URL."""

import os
from pathlib import Path

from said import tool

Path("body").write_bytes(os.urandom(1000) * 500)
Path("small").write_text("a small one")
tool("object", "add", "files", "--description", "of the test")
tool("object", "put", "files", "body", "--no-progress", without="Digest|Chunk")
tool("object", "put", "files", "small", "--name", "other", "--no-progress")
tool("object", "info", "files")
tool("object", "info", "files", "other")
tool("object", "ls")
tool("object", "ls", "files", ordered=False)
tool("object", "get", "files", "body", "--output", "back", "--no-progress", without="Wrote|Digest")
print("the same body:", Path("back").read_bytes() == Path("body").read_bytes())
tool("object", "del", "files", "body", "--force")
tool("object", "seal", "files", "--force")
tool("object", "put", "files", "small", "--no-progress")
tool("object", "del", "files", "--force")
