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
    """Lines in a row that the two have different, what ours had before and has after them, what the official server had up to their end,
    and the scenario."""
    official: list
    ours: list
    before: list
    after: list
    official_all: list
    text: str

    def sent(self, client):
        """What a client has sent so far."""
        return [line.partition(" > ")[2] for line in self.before + self.ours if line.startswith(f"{client} > ")]

    def configurations(self):
        """The configuration that is in force, and the one before it."""
        reloads = sum(1 for line in self.before if re.fullmatch(r"a (took|refused) its file", line))
        blocks = re.findall(r"^(?:server|config) a.*\n((?:  .*\n)*)", self.text, re.M)
        return blocks[reloads] if reloads < len(blocks) else "", blocks[reloads - 1] if reloads else ""


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


def told_of_its_second_connect(place):
    """With the official server it gets nothing more of what it subscribed to, not even the event of its refusal."""
    client = place.ours[0].split(" ")[0] if place.ours else ""
    refused = place.after[:1] == [f"{client} < -ERR 'Authorization Violation'"]
    event = len(place.ours) == 2 and place.ours[0].startswith(f"{client} < MSG $SYS.ACCOUNT.CLIENT.AUTH.ERR ")
    return event and not place.official and refused and len(place.sent(client)) > 1


def others_told_of_second_connect(place):
    """The event of its refusal, where it counted officially that the first had a token."""
    event = len(place.ours) == 2 and re.match(r"\S+ < MSG \$SYS.ACCOUNT.CLIENT.AUTH.ERR ", place.ours[0])
    client, _, sent = next((line for line in reversed(place.before) if " > " in line), "").partition(" > ")
    words = place.sent(client)
    return bool(event) and not place.official and "CONNECT" in sent.upper() and len(words) > 1 and '"auth_token"' in words[0]


def subscribed_before_connect(place):
    """What it subscribed to as the `no_auth_user`, without a CONNECT, is not the user's of its CONNECT."""
    lost = [re.fullmatch(r"(\S+) < -ERR 'Permissions Violation for Subscription to \"(.+?)\".* \(sid \"(.+)\"\)'", line) for line in place.ours]
    if not lost or None in lost or place.official or "no_auth_user:" not in place.text:
        return False
    sent = place.sent(lost[0][1])
    first = next((n for n, line in enumerate(sent) if "CONNECT" in line.upper()), 0)
    before = [line.removesuffix("\\r\\n").replace("\\t", " ").split() for line in sent[:first]]
    return all(any(words[:1] and words[0].upper() == "SUB" and words[1] == one[2] and words[-1] == one[3] for words in before if len(words) > 2) for one in lost)


def second_connect_said_ok(place):
    """The same where a CONNECT asked for +OK, which a third one that is refused for both then follows."""
    client = place.official[0].split(" ")[0] if place.official else ""
    refused = place.after[:1] == [f"{client} < -ERR 'Authorization Violation'"]
    return set(place.official) == {f"{client} < +OK"} and not place.ours and refused and len(place.sent(client)) > 1


def stays_after_reload(place, may_stay):
    """What follows where a reload ends a connection officially and not with ours, if it `may_stay`."""
    ended = lambda lines: {line.split(" ")[0] for line in lines if line.endswith(" ! closed")}
    stay = [client for client in ended(place.official_all) - ended(place.before) if may_stay(place, client)]
    own = lambda line: line.split(" ")[0] in stay
    sent = [line.rpartition(" ")[2] for client in stay for line in place.sent(client)]
    its = lambda line: own(line) or re.match(r"\S+ < H?MSG ", line) or any(line.endswith(f" < | {payload}") for payload in sent)
    event = lambda line: "AUTH.ERR" in line or '"reason": "Authentication Failure"' in line
    return bool(stay) and all(own(line) or event(line) for line in place.official) and all(map(its, place.ours))


def denied_answer(place):
    """An answer to a subject that the responder's `deny` names."""
    if "allow_responses:" not in place.text or "deny:" not in place.text or len(place.ours) != 1 or not place.official:
        return False
    refused = re.fullmatch(r"(\S+) < -ERR 'Permissions Violation for Publish to \"(.*)\"'", place.ours[0])
    if not refused:
        return False
    client, named = refused.groups()
    replies = {line.split(" ")[4] for line in place.before if re.search(r" > h?pub \S+ \S", line)}
    # What was sent before the answer came is refused in a row.
    sent = [re.match(rf"{client} > h?pub (\S+) .*?(\S+)$", line) for line in place.before[-4:]]
    for subject, payload in (found.groups() for found in sent if found):
        if not subject.endswith(".reply}") and (subject != named or subject not in replies):
            continue
        delivered = re.compile(rf"\S+ < (H?MSG .*|\| (NATS/1.0.*|{re.escape(payload)}))")
        if all(map(delivered.fullmatch, place.official)):
            return True
    return False


def system_responses(place):
    """The system account's answers to tenants' requests to all servers."""
    shown = [re.match(r"\.data\.responses\._R_\.", line) for line in place.ours]
    return not place.official and bool(shown) and all(shown) and "$SYS.REQ.SERVER.PING" in place.text


def nkey_gone(place, client):
    """It came by an NKey that is nobody's any more, where an NKey is then as good as none."""
    new, old = place.configurations()
    key = re.search(r'"nkey": "(U\w+)"', (place.sent(client) or [""])[0])
    is_let_in = "no_auth_user:" in new or not re.search(r"\b(users|user|token):", new)
    return bool(key) and key[1] in old and "nkey:" not in new and is_let_in


def no_auth_user_password(place, client):
    """It came in as the `no_auth_user`, whose password is another one."""
    def password(text):
        user = re.search(r'no_auth_user: "(\w+)"', text)
        found = user and re.search(rf'user: "{user[1]}"(?:,?\s+password: "([^"]*)")?', text)
        return found and (user[1], found[1])
    new, old = map(password, place.configurations())
    first = (place.sent(client) or [""])[0]
    is_nobody = not re.search(r'"(user|pass|auth_token|nkey)":', first)
    return is_nobody and bool(new and old) and new[0] == old[0] and new[1] != old[1]


def first_words_mapped(place):
    """What the `no_auth_user` publishes first, without a CONNECT, is not mapped officially."""
    clients = {line.split(" ")[0] for line in place.official + place.ours}
    answer = re.compile(r"\S+ < (\+OK|-ERR 'Permissions Violation for Publish to .*)")
    first = (place.sent(min(clients)) or [""])[0]
    return ("mappings:" in place.text and "no_auth_user:" in place.text and len(clients) == 1 and re.match(r"(?i)h?pub\b", first) is not None
            and all(answer.fullmatch(line) for line in place.official + place.ours))


def closed_of_global(place):
    """Officially no closed connection is found by the name of the global account."""
    asked = next((line for line in reversed(place.before) if not line.startswith((".", "  "))), "")
    query = re.match(r"httpv? a /connz\?(\S+) -> 200", asked)
    first = dict(reversed([part.partition("=")[::2] for part in query[1].split("&")])) if query else {}
    lines = re.compile(r"\.connections\[\]\.\S+: .*|  (num_connections|total|connections\.0\.\S+) = .*")
    return (first.get("acc") == "$G" and first.get("state") in ("closed", "any", "all") and bool(place.ours)
            and all(lines.fullmatch(line) for line in place.official + place.ours))


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
    Known("closed connections of the global account", "Closed connections of the global account are listed where they are asked for by account",
          closed_of_global),
    Known("the first words are mapped", "The official server does not map what it reads together with the CONNECT", first_words_mapped),
    Known("a reload takes an NKey away", "Where it could (no users are left, or there is a `no_auth_user`", lambda place: stays_after_reload(place, nkey_gone)),
    Known("a reload changes the password of the no_auth_user", "A reload that changes the password of the `no_auth_user`",
          lambda place: stays_after_reload(place, no_auth_user_password)),
    Known("subscriptions from before a CONNECT", "end with an error where the user of the CONNECT may not have them", subscribed_before_connect),
    Known("answers of the system account", "of the system account lists answers to requests to all servers", system_responses),
    Known("an answer to a denied subject", "a responder may not answer where a `deny` names the subject", denied_answer),
    Known("the event of a second CONNECT that a token of the first lets in", "officially a token of the first still does", others_told_of_second_connect),
    Known("the event of a second CONNECT, to itself", "What was subscribed before stays; with the official server it gets nothing more",
          told_of_its_second_connect),
    Known("a second CONNECT, and +OK", "A second CONNECT** is checked like the first, but cannot make the connection another user", second_connect_said_ok),
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
