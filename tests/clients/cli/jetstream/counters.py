"""`nats counter`. Argument: the server's URL."""

from said import tool

tool("stream", "add", "COUNTS", "--subjects", "count.>", "--allow-counter", "--allow-direct", "--defaults")
tool("counter", "increment", "count.hits", "5")
tool("counter", "increment", "count.hits", "10")
tool("counter", "decrement", "count.hits", "3")
tool("counter", "get", "count.hits")
tool("counter", "view", "count.hits")
tool("counter", "ls", "count.>")
