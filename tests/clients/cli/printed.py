"""What the `nats` tool prints, without what differs from run to run."""

import re


def tables(text):
    """The tables of an output by their titles, each as its rows by column. An empty cell repeats the one above, as groups of rows are printed."""
    out, rows, title = {}, None, None
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("│").split("│")]
        if line.startswith("╭"):
            title, names, rules = None, None, 0
        elif line.startswith(("├", "╰")):
            rules += 1
        elif not line.startswith("│"):
            continue
        elif title is None:
            # Figures in a title are counts of rows.
            title = re.sub(r"\d+", "N", cells[0])
        elif names is None:
            names, rows = cells, out.setdefault(title, [])
        elif rules == 2:
            rows.append(dict(zip(names, cells)))
    return out


def filled(rows, *names):
    """The rows, with an empty cell of these columns as the one above."""
    above = {}
    for row in rows:
        above |= {name: row[name] for name in names if row[name]}
        yield row | above


def columns(title, *names, where=lambda row: True):
    """These columns of a table, its rows sorted."""
    def read(text):
        return sorted(tuple(row[name] for name in names) for row in tables(text)[title] if where(row))
    return read


def lines(pattern):
    """What a regular expression finds, sorted, each once."""
    def read(text):
        return sorted(set(re.findall(pattern, text, re.M)))
    return read


def both(*readers):
    def read(text):
        return [reader(text) for reader in readers]
    return read


def routes(text):
    """From which server how many connections lead where, of which account."""
    rows = list(filled(tables(text)["Cluster Report"], "Server", "Cluster", "Name"))
    return sorted((row["Server"], row["Cluster"], row["Name"], row["Account"]) for row in rows)


def gateways(text):
    """The clusters to which each server dialled, and from which clusters any server of a cluster is dialled, how often."""
    rows = list(filled(tables(text)["Super Cluster Report"], "Server", "Name", "Kind"))
    rows = [(row["Server"], row["Name"], row["Kind"], row["Connection"].split()[0]) for row in rows if row["Connection"]]
    dialled = sorted((server, there) for server, _, kind, there in rows if kind == "Outbound")
    return dialled, sorted((cluster, there) for _, cluster, kind, there in rows if kind == "Inbound")


def trace(text):
    """The clients that a message reached, each with its server and the clusters on its way; and how many, as the tool counts."""
    where, out = [], []
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        if found := re.search(r'server:"([^"]+)"', line):
            where = [(at, *rest) for at, *rest in where if at < indent] + [(indent, found[1])]
        elif found := re.match(r' *--C Client "([^"]*)" cid:\d+ (.*)', line):
            server = [name for at, name in where if at <= indent][-1]
            out.append((found[1], server, found[2]))
    return sorted(out), re.findall(r"^ +Client: \d+", text, re.M)


def labels(text):
    """The labels of a list of properties."""
    return re.findall(r"^ +([A-Z][\w ]+):", text, re.M)
