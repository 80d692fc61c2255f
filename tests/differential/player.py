"""Plays a scenario with the official player's own code, quicker: nothing is waited for by time that can be seen to have happened."""
import base64
import importlib.machinery
import importlib.util
import itertools
import json
import os
import re
import subprocess
import time
from collections import Counter
from pathlib import Path

RELOADED = re.compile(rb"Reloaded server configuration|\[ERR\] Failed to reload")

# How long a server may be silent before that counts as no answer; what is late by chance only is played again.
PATIENCE_SECONDS = 1.5

# Lists in documents that come out of a hash table, in any order.
UNORDERED = ("imports", "exports", "accounts", "account_statz", "mappings", "subscriptions_list", "subscriptions_list_detail")


def ordered(value, key):
    return sorted(value, key=str) if isinstance(value, list) and key in UNORDERED else value


def load(oracle):
    """The oracle's `diff` as a module, with our player in it."""
    loader = importlib.machinery.SourceFileLoader("oracle_diff", os.path.join(oracle, "diff"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("oracle_diff", loader))
    loader.exec_module(module)

    # Reply subjects of services also in quotes, and with the tokens that replies of several messages have.
    module.REPLY = re.compile(rf"(?<![\w.])_R_\.\w{{6}}\.[\w.]+|{module.REPLY.pattern}")
    mask = module.mask
    module.mask = lambda value, key=None: ordered(mask(value, key), key)
    item = module.Client.item
    module.Client.item = lambda client, deadline: item(client, min(deadline, time.monotonic() + PATIENCE_SECONDS))

    class Quick(module.Run):
        def step(self, line, block):
            word, _, rest = line.partition(" ")
            if self.is_over(word, rest):
                pass
            elif word == "signal" and rest.endswith("SIGHUP"):
                self.reload(line, block, rest.split(" ")[0])
            elif word == "sleep":
                pass
            elif word == "tally":
                self.tally(rest.split(" ")[0].split(","))
            elif word == "close":
                self.close(rest)
            elif word == "raw":
                self.raw(rest)
            else:
                super().step(line, block)

        def is_over(self, word, rest):
            """Whether the line would speak to a client whose connection the server has closed."""
            name = word if word in self.clients else rest.split(" ")[0]
            return word not in ("close", "tally", "open", "client") and name in self.clients and self.clients[name].closed

        def show_all(self, c, items):
            """The subscriptions that a client loses at a reload are named in any order."""
            lost = lambda got: got[1] is None and b'(sid "' in got[0]
            runs = [(is_lost, list(run)) for is_lost, run in itertools.groupby(items, lost)]
            super().show_all(c, [got for is_lost, run in runs for got in (sorted(run, key=str) if is_lost else run)])

        @staticmethod
        def texts(got):
            """That nobody answers is said to any one of the subscriptions to the reply subject. A question about a connection is a JWT, whose
            claims are shown."""
            line, body = got
            if body and line.startswith(b"MSG $SYS.REQ.USER.AUTH "):
                claims = body.split(b".")[1]
                asked = json.loads(base64.urlsafe_b64decode(claims + b"=" * (-len(claims) % 4)))["nats"]
                asked.pop("server_id")
                got = b"MSG $SYS.REQ.USER.AUTH", json.dumps(dict(asked, user_nkey="")).encode()
            if body and line.startswith(b"HMSG ") and body.startswith(b"NATS/1.0 503"):
                words = line.split(b" ")
                got = b" ".join(words[:2] + [b"any"] + words[3:]), body
            return module.Run.texts(got)

        def raw(self, rest):
            name, _, text = rest.partition(" ")
            self.say(f"{name} > {text}")
            self.send(name, module.unescape(self.fill_in(text)))

        def send(self, name, data):
            """That a connection was closed just before is found out when it is read."""
            try:
                self.clients[name].sock.sendall(data)
            except OSError:
                pass

        def reload(self, line, block, server):
            log = self.work / server / "log"
            size = log.stat().st_size
            super().step(line, block)
            end = time.monotonic() + 5
            while time.monotonic() < end:
                if found := RELOADED.search(log.read_bytes()[size:]):
                    self.say(f"{server} {'refused its file' if b'ERR' in found[0] else 'took its file'}")
                    return
                time.sleep(0.005)

        def tally(self, names):
            """Counts all messages without waiting for a time: a PONG says that there are no more."""
            found = Counter()
            for name in names:
                c, end = self.clients[name], time.monotonic() + 5
                try:
                    c.sock.sendall(b"PING\r\n")
                except OSError:
                    pass
                while (got := c.item(end)) is not None and got[0] != b"PONG":
                    if got[1] is not None:
                        text, parts = self.texts(got)
                        found[(text, *parts)] += 1
            for (text, *body), n in sorted(found.items()):
                self.say(f"{n} x {text} | {' | '.join(body)}")

        def close(self, name):
            """Closes and waits until the server has, too."""
            c = self.clients.pop(name)
            try:
                c.sock.shutdown(1)
                c.sock.settimeout(2)
                while c.sock.recv(1 << 16):
                    pass
            except OSError:
                pass
            c.sock.close()

        def play(self):
            out = super().play()
            # Why a server does not start is said in its own words.
            return ["! did not start" if line.startswith("! server") else line for line in out]

    return module, Quick


class Player:
    def __init__(self, oracle, official, ours):
        self.module, self.run = load(oracle)
        self.binaries = {"official": official, "ours": ours}

    def play(self, path, which):
        scenario = self.module.Scenario(path)
        return self.run(scenario, {server.name: self.binaries[which] for server in scenario.servers}).play()
