"""Makes a differing case small: lines are left out as long as an unknown difference of the same kind stays."""

PLAYS_MAX = 300


def shrink(differs, text):
    """`differs` plays a text."""
    lines, left = text.splitlines(), PLAYS_MAX
    size = max(1, len(lines) // 2)
    while left > 0:
        at, smaller = 1, False
        while at < len(lines) and left > 0:
            fewer = tidy(lines[:at] + lines[at + size:])
            if fewer and fewer != lines:
                left -= 1
                if differs("\n".join(fewer) + "\n"):
                    lines, smaller = fewer, True
                    continue
            at += size
        if size == 1 and not smaller:
            break
        size = max(1, size // 2)
    return "\n".join(lines) + "\n"


def tidy(lines):
    """The lines without what hangs in the air, or None if they are no scenario."""
    if "server a:" not in lines or "---" not in lines or not any("{a.port}" in line for line in lines[:lines.index("---")]):
        return None
    body = lines.index("---") + 1
    found, inside = lines[:body], False
    for line in lines[body:]:
        if line.startswith(" "):
            if inside:
                found.append(line)
            continue
        inside = line == "config a"
        found.append(line)
    return found
