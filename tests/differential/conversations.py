"""Random conversations of a few clients with a server, as lines of the scenario language.

A conversation is a list of lines. Whatever is delivered is read with `sync` before somebody else sends, so that the order of what is shown
does not depend on time; deliveries to queue groups are counted with `tally`.
"""
import json
import re

import configs

ODD_SUBJECTS = ("x..y", ".x", "x.", "x.>.y", "x.*y", "x y", ">", "*", "x.>", "$SYS.x", "$JS.ACK.x", "_R_.x", "_GR_.x", "$NRG.x", "$GR.x", "x\\x01y", "é",
                "{x*70}", "x.x.x.x.x.x.x.x")
ODD_NUMBERS = ("-1", "0", "00005", "5x", "x", "99999999", "2147483648", "9223372036854775808", "1.0", "+5", "")
ODD_LINES = ("", " ", "PING x", "ping", "PINGX", "PONG", "PONG PONG", "+OK", "-ERR 'x'", "-ERR", "INFO {}", "INFO x", "INFO []", "INFO", "MSG x 1 1", "HMSG x 1 1 1", "CONNECT", "CONNECT {",
             "CONNECT []", "CONNECT {}", "CONNECT null", "CONNECT {\"verbose\":1}", "CONNECT {\"verbose\":true}", "CONNECT {\"pedantic\":true}", "CONNECT {\"echo\":false}",
             "CONNECT {\"user\":5}", "CONNECT {\"user\":\"nobody\",\"pass\":\"x\"}", "connect {\"lang\":\"x\"}", "RS+ A x", "A+ A", "LS+ x", "XYZ", "P", "PU", "SU x", "PUBx 1",
             "UNSUB", "SUB", "PUB", "HPUB", "\\x00", "\\xff\\xfe", "PING\\x00", "\\tPING", "PING ")


class Conversation:
    def __init__(self, r, name, tree):
        self.r, self.name, self.tree, self.lines, self.clients, self.count = r, name, tree, [], [], 0
        self.all_logins = configs.logins(tree)
        # Who may see the system's events gets them when they come, so only `questions` are for them.
        self.logins = [login for login in self.all_logins if login[2] != "SYS"]
        self.subjects = interesting(tree)

    def say(self, *lines):
        self.lines += lines

    def client(self, options=None, login=None):
        """A client that logs in; returns its name."""
        c = f"{self.name}{'abcdefgh'[len(self.clients)]}"
        seed, fields, _ = login or self.r.choice(self.logins)
        fields = dict(fields, **(options or {}))
        if self.r.random() < 0.02:
            fields["pass"] = "wrong"
        text = " ".join(filter(None, (seed, json.dumps(fields))))
        self.say(f"open {c} a quiet", f"connect {c} {text}", f"sync {c}") if self.r.random() < 0.2 else self.say(f"client {c} a {text}")
        self.clients.append(c)
        return c

    def options(self):
        r, fields = self.r, {}
        for key, chance in (("verbose", 0.15), ("pedantic", 0.15)):
            if r.random() < chance:
                fields[key] = True
        for key, chance in (("echo", 0.1), ("headers", 0.08), ("no_responders", 0.1)):
            if r.random() < chance:
                fields[key] = False
        if r.random() < 0.2:
            fields["protocol"] = r.choice((0, 1, 1, 2))
        if r.random() < 0.1:
            fields["name"] = r.choice(("n", "", "a b"))
        return fields

    def subject(self, wild=0.0):
        r = self.r
        if self.subjects and r.random() < 0.6:
            subject = r.choice(self.subjects)
            tokens = [r.choice(configs.TOKENS) if t in "*>" and r.random() >= wild else t for t in subject.split(".")]
            return ".".join(tokens)
        return configs.subject(r, wild)

    def payload(self):
        self.count += 1
        return f"{self.name}.{self.count}"

    def publish(self, c, subject=None, reply="-"):
        r, subject = self.r, subject or self.subject()
        payload = self.payload() + ("{-*%d}" % r.choice((10, 60, 1100)) if r.random() < 0.08 else "")
        if r.random() < 0.2:
            headers = ";".join(f"{r.choice(('K', 'k', 'Nats-X', 'A-B'))}={r.choice(('1', 'v', '', 'é'))}" for _ in range(r.randint(1, 3)))
            self.say(f"hpub {c} {subject} {reply} {headers} {payload}")
        else:
            self.say(f"pub {c} {subject} {reply} {payload}")
        return payload

    def settle(self, first=None):
        """Reads what everybody got, first the one that sent."""
        for c in ([first] if first else []) + [c for c in self.clients if c != first]:
            self.say(f"sync {c}")

    def finish(self):
        self.say(*(f"close {c}" for c in self.clients))
        return self.lines


def interesting(tree):
    """The subjects that a configuration names."""
    found = []
    def walk(value, key=""):
        if isinstance(value, dict):
            for k, v in value.items():
                if key == "mappings":
                    found.append(k)
                    found.append("m.>")
                walk(v, k)
        elif isinstance(value, list):
            for v in value:
                walk(v, key)
        elif isinstance(value, str) and key in ("publish", "subscribe", "allow", "deny", "stream", "service", "subject"):
            found.append(value.split(" ")[0])
        elif isinstance(value, str) and key == "to":
            found.append(value.replace("$1", "*").replace("$2", "*"))
        elif isinstance(value, str) and key == "prefix":
            found.append(value + ".>")
    walk(tree)
    return found


def messages(k):
    """Subscriptions, publishes and UNSUBs of two or three clients, all valid in form."""
    r = k.r
    for _ in range(r.randint(2, 3)):
        k.client(k.options())
    sids = 0
    for _ in range(r.randint(4, 14)):
        c, what = r.choice(k.clients), r.random()
        if what < 0.4:
            sids += 1
            k.say(f"{c} SUB {k.subject(0.6)} {r.choice((sids, sids, r.randint(1, 3)))}")
        elif what < 0.5:
            k.say(f"{c} UNSUB {r.randint(1, sids + 1)}{r.choice(('', '', ' 1', ' 2', ' 0', ' -1'))}")
        else:
            k.publish(c, reply=r.choice(("-", "-", "r.x", k.subject())))
            if r.random() < 0.3:
                k.publish(c)
        k.settle(c)


def queues(k):
    """Queue groups: who gets a message is open, that exactly one does is not."""
    r = k.r
    login = r.choice(k.logins)
    sender = k.client(login=login)
    receivers = [k.client(login=login if r.random() < 0.7 else None) for _ in range(r.randint(2, 3))]
    same = k.subject(0.5)
    for c in receivers:
        for group in r.sample(("g1", "g2", "w"), r.randint(1, 2)):
            k.say(f"{c} SUB {same if r.random() < 0.7 else k.subject(0.5)} {group} {group}", f"sync {c}")
        if r.random() < 0.3:
            k.say(f"{c} SUB {same} plain", f"sync {c}")
    for _ in range(r.randint(2, 5)):
        subject = same if r.random() < 0.7 else k.subject()
        k.publish(sender, ".".join(r.choice(configs.TOKENS) if t in "*>" else t for t in subject.split(".")))
        k.say(f"sync {sender}", f"tally {','.join(receivers)} 0.2")


def requests(k):
    """Requests and replies, within an account and over imports; also ones that nobody answers."""
    r = k.r
    answering = k.client(k.options() if r.random() < 0.3 else None)
    asking = k.client(k.options() if r.random() < 0.3 else None)
    k.say(f"{answering} SUB {k.subject(0.6)} 1", f"sync {answering}", f"{asking} SUB _INBOX.{k.name}.* 2", f"sync {asking}")
    for n in range(r.randint(1, 4)):
        k.publish(asking, reply=f"_INBOX.{k.name}.{n}")
        k.settle(asking)
        for _ in range(r.choice((0, 1, 1, 1, 2))):
            if r.random() < 0.8:
                k.publish(answering, subject="{%s.reply}" % answering)
            else:
                k.publish(answering, subject=f"_INBOX.{k.name}.{n}")
            k.settle(answering)
    if r.random() < 0.3:
        k.say(f"req {asking} $SYS.REQ.USER.INFO", f"sync {asking}")


def odd_bytes(k):
    """Wrong and borderline operations of one client while another listens."""
    r = k.r
    listening = k.client()
    k.say(f"{listening} SUB > all", f"sync {listening}")
    c = k.client(k.options())
    for _ in range(r.randint(2, 8)):
        line = odd_line(k)
        data = line if "\\r\\n" in line or r.random() < 0.05 else line + "\\r\\n"
        if r.random() < 0.25:
            # Cut anywhere but within an escape.
            at = r.randint(0, len(data))
            while "\\" in data[max(0, at - 3):at] or "{" in data[:at] and "}" in data[at:]:
                at -= 1
            if 0 < at < len(data) and data[at - 1] != " " and data[at] != " ":
                k.say(f"raw {c} {data[:at]}", f"sync {listening}", f"raw {c} {data[at:]}")
            else:
                k.say(f"raw {c} {data}")
        else:
            k.say(f"raw {c} {data}")
        k.settle(c)
        if "CONNECT" in line.upper():
            # What comes after a second CONNECT depends on whether it was taken, which is a listed difference.
            break


def odd_line(k):
    r = k.r
    subject = lambda: r.choice(ODD_SUBJECTS) if r.random() < 0.5 else k.subject(0.3)
    number = lambda good: r.choice(ODD_NUMBERS) if r.random() < 0.4 else str(good)
    space = lambda: r.choice((" ", " ", " ", " ", "  ", "\\t"))
    verb = lambda v: r.choice((v, v, v, v.lower(), v.title()))
    kind = r.choice(("PUB", "PUB", "HPUB", "SUB", "SUB", "UNSUB", "odd", "odd"))
    if kind == "odd":
        return r.choice(ODD_LINES)
    if kind == "PUB":
        payload = k.payload()
        reply = space() + subject() if r.random() < 0.3 else ""
        extra = space() + "more" if r.random() < 0.05 else ""
        return f"{verb('PUB')}{space()}{subject()}{reply}{extra}{space()}{number(len(payload))}\\r\\n{payload}\\r\\n"
    if kind == "HPUB":
        payload = k.payload()
        head, size = r.choice((("NATS/1.0\\r\\n\\r\\n", 12), ("NATS/1.0\\r\\nK: v\\r\\n\\r\\n", 18), ("NATS/1.0 503 x\\r\\n\\r\\n", 18),
                               ("NATS/1.0\\r\\n: v\\r\\n\\r\\n", 17), ("K: v\\r\\n\\r\\n", 8), ("NATS/1.0\\r\\n", 10)))
        reply = space() + subject() if r.random() < 0.3 else ""
        return f"{verb('HPUB')}{space()}{subject()}{reply}{space()}{number(size)}{space()}{number(size + len(payload))}\\r\\n{head}{payload}\\r\\n"
    if kind == "SUB":
        group = space() + r.choice(("g", "g.x", "g*", "é", "g h")) if r.random() < 0.25 else ""
        sid = space() + r.choice(("1", "2", "all", "a.b", "é", "")) 
        return f"{verb('SUB')}{space()}{subject()}{group}{sid}"
    return f"{verb('UNSUB')}{space()}{r.choice(('1', '2', 'x', 'all'))}{r.choice(('', space() + number(2)))}"


def first_bytes(k):
    """What is sent before, instead of and right behind CONNECT."""
    r, c = k.r, f"{k.name}a"
    k.clients.append(c)
    k.say(f"open {c} a quiet")
    for _ in range(r.randint(1, 3)):
        what = r.random()
        if what < 0.4:
            line = odd_line(k)
            k.say(f"raw {c} {line}" + ("" if line.endswith("\\r\\n") else "\\r\\n"))
        elif what < 0.7:
            seed, fields, _ = r.choice(k.logins)
            k.say(f"connect {c} " + " ".join(filter(None, (seed, json.dumps(dict(fields, **k.options()))))))
        else:
            k.say(f"connect {c} " + json.dumps(r.choice(({"user": "u1", "pass": "q"}, {"user": "u1"}, {"pass": "p"}, {"auth_token": "x"}, {"nkey": configs.NKEY},
                                                          {"nkey": "U"}, {"jwt": "x"}, {"user": "a1", "pass": "p"}, {"user": "sys", "pass": "p"}))))
    k.say(f"sync {c}")


def questions(k):
    """Requests to the system account and about oneself."""
    r = k.r
    systems = [login for login in k.all_logins if login[2] == "SYS"]
    c = k.client(login=r.choice(systems) if systems and r.random() < 0.8 else None)
    other = k.client({"name": "other"})
    k.say(f"{other} SUB {k.subject(0.3)} 1", f"sync {other}")
    body = lambda: " " + r.choice(("{}", "{}", '{"limit":1}', '{"limit":-1}', '{"offset":1}', '{"offset":-1}', '{"sort":"cid"}', '{"sort":"x"}', '{"auth":true}', '{"auth":1}',
                                   '{"subscriptions":true}', '{"subscriptions_detail":true}', '{"account":"A"}', '{"acc":"A"}', '{"account":"NONE"}', '{"user":"a1"}', '{"state":0}',
                                   '{"state":"x"}', '{"cid":5}', '{"cid":"x"}', '{"test":"x.y","subscriptions":true}', '{"test":"x..y"}', '{"server_name":"x"}', '{"name":"x"}',
                                   '{"accounts":["A"]}', '{"accounts":["A","B","NONE"]}', "x", "[]", "null", '{"filter_subject":"x.y"}', '{"details":true}', '{"js-enabled":true}'))
    for _ in range(r.randint(1, 4)):
        what = r.random()
        if what < 0.2:
            k.say(f"req {c} $SYS.REQ.USER.INFO")
        elif what < 0.55:
            end = r.choice("IDZ STATSZ VARZ SUBSZ CONNZ ROUTEZ GATEWAYZ LEAFZ ACCOUNTZ JSZ HEALTHZ IPQUEUESZ RAFTZ NONE CONNZ SUBSZ ACCOUNTZ".split())
            k.say(f"reqshape {c} $SYS.REQ.SERVER.PING.{end}{body() if r.random() < 0.7 else ''}")
        elif what < 0.85:
            end = r.choice("CONNZ SUBSZ LEAFZ JSZ INFO CONNS STATZ NONE".split())
            account = r.choice((r.choice(configs.ACCOUNTS), "SYS", "$G", "NONE", "PING"))
            k.say(f"reqshape {c} $SYS.REQ.ACCOUNT.{account}.{end}{body() if r.random() < 0.7 else ''}")
        else:
            k.say(f"reqshape {c} " + r.choice(("$SYS.DEBUG.SUBSCRIBERS x.y", "$SYS.REQ.ACCOUNT.NSUBS {}", "$SYS.REQ.SERVER.PING {}", "$SYS.REQ.SERVER.PING", "$SYS.REQ.NONE", "$SYS.REQ.CLAIMS.LIST")))
        k.say(f"sync {c}")


PATHS = ("/varz", "/connz", "/connz", "/connz", "/subsz", "/subsz", "/subscriptionsz", "/accountz", "/accstatz", "/healthz", "/routez", "/gatewayz", "/leafz", "/jsz", "/raftz", "/ipqueuesz",
         "/", "/none", "/connz/", "/varz/x")
PARAMETERS = ("subs=1", "subs=detail", "subs=0", "subs=x", "auth=1", "auth=x", "limit=1", "limit=0", "limit=-1", "limit=x", "offset=1", "offset=99", "offset=-1", "sort=cid", "sort=subs",
              "sort=bytes_to", "sort=msgs_from", "sort=x", "sort=last", "sort=idle", "sort=uptime", "sort=stop", "sort=reason", "sort=rtt", "state=closed", "state=any", "state=x", "state=open",
              "cid=1", "cid=x", "cid=0", "user=u1", "user=", "acc=A", "acc=$G", "acc=NONE", "acc=", "test=x.y", "test=x..y", "test=*", "unused=1", "unused=x", "js-enabled=1", "js-enabled=x",
              "js-enabled-only=true", "js-server-only=1", "details=1", "details=x", "all=1", "a=b", "%zz", "limit=1&limit=2", "accs=1", "account=A", "stream=S", "filter_subject=x", "mqtt_client=x")
VALUES = {
    "/varz": "connections,total_connections,max_payload,max_connections,max_control_line,slow_consumers,leafnodes,routes,remotes,auth_required,tls_required,ping_max,stale_connections",
    "/connz": "num_connections,total,offset,limit,connections.0.name,connections.0.subscriptions,connections.0.subscriptions_list,connections.0.in_msgs,connections.0.out_msgs,connections.0.in_bytes,"
              "connections.0.out_bytes,connections.0.authorized_user,connections.0.account,connections.0.lang,connections.0.reason,connections.0.kind,connections.0.type",
    "/subsz": "offset,limit",
    "/accountz": "system_account,accounts,account_detail",
    "/healthz": "status,status_code,error,errors",
    "/leafz": "leafnodes,leafs", "/routez": "num_routes,routes", "/gatewayz": "name,outbound_gateways", "/jsz": "disabled,streams,accounts",
}


def monitoring(k):
    """Monitoring paths with odd parameters, beside a client of one's own or two."""
    r = k.r
    for n in range(r.randint(0, 2)):
        c = k.client({"name": f"{k.name}{n}"} if r.random() < 0.7 else None)
        k.say(f"{c} SUB {k.subject(0.3)} {n}", f"sync {c}")
        if r.random() < 0.5:
            k.publish(c)
            k.say(f"sync {c}")
    for _ in range(r.randint(1, 4)):
        path = r.choice(PATHS)
        query = "&".join(r.choice(PARAMETERS) for _ in range(r.choice((0, 1, 1, 1, 2, 3))))
        whole = f"{path}?{query}" if query else path
        k.say(f"http a {whole}" if path not in VALUES or r.random() < 0.4 else f"httpv a {whole} {VALUES[path]}")


def callout(k):
    """What a service is asked about connections."""
    r, service = k.r, k.client(login=(None, {"user": "auth", "pass": "p"}, "AUTH"))
    k.say(f"{service} SUB $SYS.REQ.USER.AUTH 1", f"sync {service}")
    for n in range(2):
        c = f"{k.name}{'bc'[n]}"
        k.clients.append(c)
        fields = {key: r.choice(values) for key, values in (
            ("user", ("u", "a1", "", "é")), ("pass", ("p", "wrong", "")), ("auth_token", ("t", "")), ("jwt", ("x", "a.b.c")), ("nkey", (configs.NKEY, "U")),
            ("sig", ("x", "aaaa")), ("name", ("n", "")), ("lang", ("l",)), ("version", ("v",)), ("protocol", (0, 1)), ("echo", (False,)), ("tls_required", (True, False)),
        ) if r.random() < 0.35}
        k.say(f"open {c} a quiet", f"connect {c} {json.dumps(fields)}", f"read {service} 1 0.2", f"sync {c}")


KINDS = ((messages, 6), (queues, 3), (requests, 5), (odd_bytes, 5), (first_bytes, 3), (questions, 3), (monitoring, 3))


def conversation(r, name, tree):
    k = Conversation(r, name, tree)
    kind = r.choices([kind for kind, _ in KINDS], [weight for _, weight in KINDS])[0]
    kind(k)
    return [f"# conversation: {kind.__name__}"] + k.finish()


def staying(r, name, tree, after):
    """Clients that are open while the server takes another configuration; returns what comes before and what comes behind."""
    k = Conversation(r, name, tree)
    for login in r.sample(k.logins, min(len(k.logins), r.randint(1, 3))):
        c = k.client(k.options() if r.random() < 0.2 else None, login)
        for sid in range(r.randint(0, 3)):
            # Who sees all subjects also sees the server's events about others, at some time after the reload.
            subject = re.sub(r"^[*>](?=.*>$|$)", "x", k.subject(0.5))
            k.say(f"{c} SUB {subject} {sid}", f"sync {c}")
    before, k.lines = ["# conversation: staying"] + k.lines, []
    k.settle()
    k.subjects = interesting(tree) + interesting(after)
    k.logins = [login for login in configs.logins(after) if login[2] != "SYS"]
    for _ in range(r.randint(0, 2)):
        k.client()
    for _ in range(r.randint(2, 6)):
        c = r.choice(k.clients)
        k.publish(c) if r.random() < 0.7 else k.say(f"{c} SUB {k.subject(0.5)} 9")
        k.settle(c)
    return before, k.finish()
