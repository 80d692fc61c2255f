"""`nats stream`: add, info, list, edit, publish, view, get, delete, purge, copy, seal, report. Argument: the server's URL."""

from said import tool

tool("stream", "add", "ORDERS", "--subjects", "orders.>", "--defaults")
tool("stream", "add", "WHOLE", "--subjects", "whole.*", "--storage", "memory", "--retention", "limits", "--discard", "new", "--max-msgs", "100", "--max-bytes", "100KB", "--max-age", "1h",
     "--max-msg-size", "1KB", "--max-msgs-per-subject", "10", "--dupe-window", "1m", "--allow-rollup", "--allow-direct", "--deny-delete", "--metadata", "owner:test", "--description",
     "all limits", "--defaults")
tool("stream", "add", "OTHER", "--subjects", "orders.new", "--defaults")
tool("pub", "orders.new", "order {{.Count}}", "--count", "10", "--jetstream", only="Published|Stored|rror")
tool("pub", "orders.old", "with a header", "-H", "Colour:blue", "--jetstream", only="Published|Stored|rror")
tool("stream", "info", "ORDERS")
tool("stream", "state", "ORDERS")
tool("stream", "ls")
tool("stream", "ls", "--names")
tool("stream", "report", without="Storage Obtaining")
tool("stream", "subjects", "ORDERS")
tool("stream", "get", "ORDERS", "11")
tool("stream", "get", "ORDERS", "--last-for", "orders.new")
tool("stream", "view", "ORDERS", "3", "--id", "9")
tool("stream", "rmm", "ORDERS", "3", "--force")
tool("stream", "rmm", "ORDERS", "3", "--force")
tool("stream", "gaps", "ORDERS", "--force", "--no-progress")
tool("stream", "edit", "ORDERS", "--max-msgs", "5", "--description", "few", "--force")
tool("stream", "info", "ORDERS", "--json", without='"(created|ts|first_ts|last_ts)"')
tool("stream", "copy", "ORDERS", "COPY", "--subjects", "copy.>")
tool("stream", "purge", "ORDERS", "--subject", "orders.old", "--force")
tool("stream", "purge", "ORDERS", "--keep", "2", "--force")
tool("stream", "find", "--empty")
tool("stream", "seal", "COPY", "--force")
tool("pub", "copy.x", "x", "--jetstream", only="Published|Stored|rror")
tool("stream", "rm", "COPY", "--force")
tool("stream", "info", "COPY")
tool("account", "info", without=r"Client|RTT|Headers|Maximum Payload|Connected|Expires|Host Version|Server|Cluster|ID:")
