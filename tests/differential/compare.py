"""Plays a case on both servers and says whether they differ, how, and whether that is known."""
import difflib
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import known

TRIES = 3


@dataclass
class Verdict:
    known: list = field(default_factory=list)    # names, one a place
    kinds: list = field(default_factory=list)    # of the unknown ones
    diff: str = ""                               # for the reader, if there are unknown ones
    unsteady: bool = False
    started: bool = True


def places(official, ours, text):
    matcher = difflib.SequenceMatcher(None, official, ours, autojunk=False)
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        if tag != "equal":
            yield known.Place(official[i1:i2], ours[j1:j2], ours[:j1], ours[j2:], official[:i2], text)


def kind(place):
    """What a difference is about, without the names that a case happens to use."""
    def plain(lines):
        line = re.sub(r"^[a-z]\d+[a-h] ", "", lines[0]) if lines else "nothing"
        line = re.sub(r"^(> \S+|< (?:MSG|HMSG)) .*|(^< \|).*", r"\1\2", line)
        return re.sub(r'"[^"]*"|\d+', "_", line)[:90]
    return f"{plain(place.official)} / {plain(place.ours)}"


def compare(player, text, tries=TRIES):
    """Both play it; what is not the same is played again, for what differs between two plays of one server decides nothing."""
    with tempfile.TemporaryDirectory(prefix="differential-") as folder:
        path = Path(folder) / "case.txt"
        path.write_text(text)
        officials, ours = [], []
        for n in range(tries):
            officials.append(player.play(path, "official"))
            ours.append(player.play(path, "ours"))
            for one in officials:
                for other in ours:
                    names = [known.name_of(place) for place in places(one, other, text)]
                    if None not in names:
                        return Verdict(names, unsteady=n > 0, started="! did not start" not in one + other)
    official, our = officials[-1], ours[-1]
    found = [(place, known.name_of(place)) for place in places(official, our, text)]
    return Verdict([name for _, name in found if name], [kind(place) for place, name in found if not name],
                   "\n".join(difflib.unified_diff(official, our, "official", "ours", lineterm="", n=6)),
                   started="! did not start" not in official + our)
