"""The differences that docs/differences.md lists, as far as generated cases can meet them.

Each has the words of the document that say so (`quote`, checked), and a predicate over one place where the two transcripts differ.
"""
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

DOCUMENT = Path(__file__).parents[2] / "docs/differences.md"


@dataclass
class Place:
    """Lines in a row that the two have different; `before` is what both or ours had before, `text` the scenario."""
    official: list
    ours: list
    before: list
    text: str


@dataclass
class Known:
    name: str
    quote: str
    explains: Callable[[Place], bool]


def second_connect(place):
    """Ours refuses a CONNECT of a connection that is in already: by a CONNECT, or as `no_auth_user` by whatever it sent before."""
    refused = next((line for line in place.ours if line.endswith((" < -ERR 'Authorization Violation'", " ! closed"))), None)
    if not refused:
        return False
    client = refused.split(" ")[0]
    sent = [line for line in place.before + place.ours if line.startswith(f"{client} > ")]
    # It may come in pieces.
    return "CONNECT" in "".join(line.partition(" > ")[2] for line in sent[1:]).upper()


def denied_status(place):
    """That nobody answers is not delivered where the requester may not receive either."""
    told = [line for line in place.official if not re.search(r" < (HMSG \S+ any |\| NATS/1.0 503|\| $)", line)]
    return bool(place.official) and not told and not place.ours and "subscribe:" in place.text


def event_of_second_connect(place):
    """The event of its refusal names the user that it is, not the one that it would be."""
    def plain(lines):
        return [re.sub(r'"(user|name|lang|version)": "[^"]*",? ?', "", line) for line in lines]
    refused = re.match(r"\S+ < MSG \$SYS.ACCOUNT.CLIENT.AUTH.ERR ", place.before[-1] if place.before else "")
    return bool(refused) and plain(place.official) == plain(place.ours)


def pedantic_in_advance(place):
    """Ours looks at the subject when the whole message is there, which it never is when its size is wrong."""
    return not place.ours and bool(place.official) and all(line.endswith("< -ERR 'Invalid Publish Subject'") for line in place.official)


def claimed_user(place):
    """Without users in the configuration, the official server shows whom the client claims to be."""
    def plain(lines):
        return [re.sub(r'("user": |authorized_user = )(?:"[^"]*"|null)', r"\1", line) for line in lines]
    shown = all(re.search(r'"user": ""|authorized_user = null', line) for line in place.ours)
    return bool(place.ours) and shown and plain(place.official) == plain(place.ours)


def leading_zeros(place):
    """The size of a header in HMSG, and of a payload in MSG, as it was published."""
    def plain(lines):
        return [re.sub(r"(?<= )0+(?=\d)", "", line) if re.search(r" < H?MSG ", line) else line for line in lines]
    return place.official != place.ours and plain(place.official) == plain(place.ours)


KNOWN = [
    Known("whom a client claims to be", "nobody is a user, whatever CONNECT says", claimed_user),
    Known("a status where nothing may be received", "Here the subscription is accepted too, and each delivery is looked at", denied_status),
    Known("leading zeros", "Sizes in MSG and HMSG have no leading zeros, however they were published", leading_zeros),
    Known("the event of a second CONNECT", "cannot make the connection another user", event_of_second_connect),
    Known("pedantic, in advance", "A pedantic client is told of an invalid subject once, when the whole message is there", pedantic_in_advance),
    Known("a second CONNECT", "A second CONNECT** is checked like the first, but cannot make the connection another user", second_connect),
]


def name_of(place):
    """The name of the known difference that a place shows, or None."""
    return next((known.name for known in KNOWN if known.explains(place)), None)


def missing_quotes():
    """Entries whose words are not in docs/differences.md, where line breaks do not matter."""
    document = re.sub(r"\s+", " ", DOCUMENT.read_text())
    return [known.name for known in KNOWN if known.quote not in document]
