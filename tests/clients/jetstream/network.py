"""Official servers with JetStream, and servers without it that lead to them."""

import json
import os
import socket
import subprocess
import time
import urllib.request

OFFICIAL = os.environ["OFFICIAL"]
SERVER = os.environ["SERVER"]
PATIENCE = 60

# The accounts of a server with JetStream, and of one without.
ACCOUNTS = """accounts {
  APP { %s users: [ { user: app, password: app } ] }
  SYS { users: [ { user: sys, password: sys } ] }
}
system_account: SYS
"""


def free_ports(count):
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return found


class Server:
    """A server; `store`: the official one, with JetStream of this domain, or of none."""

    def __init__(self, name, folder, store=False, domain=""):
        self.name, self.folder = name, folder / name
        self.port, self.monitor, self.cluster, self.gateway, self.leaf = free_ports(5)
        self.program = OFFICIAL if store else SERVER
        words = f'jetstream {{ store_dir: "{self.folder}/store"{f", domain: {domain}" if domain else ""} }}\n' if store else ""
        self.config = (f'server_name: {name}\nlisten: "127.0.0.1:{self.port}"\nhttp: "127.0.0.1:{self.monitor}"\n{words}'
                       + ACCOUNTS % "jetstream: enabled,")
        self.process = None

    @property
    def url(self):
        return f"nats://app:app@127.0.0.1:{self.port}"

    def start(self, links=None):
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config += links or ""
        (self.folder / "server.conf").write_text(self.config)
        with open(self.folder / "log", "a") as log:
            self.process = subprocess.Popen([self.program, "-c", "server.conf"], cwd=self.folder, stdout=log, stderr=log)

    def end(self, kill=False):
        if self.process:
            self.process.kill() if kill else self.process.terminate()
            self.process.wait(PATIENCE)

    def asked(self, path):
        """What the monitoring port answers, or nothing while it does not."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.monitor}{path}", timeout=5) as answer:
                return json.load(answer)
        except OSError:
            return {}


def until(found, what):
    """Asks again until it is so."""
    began = time.monotonic()
    while not (value := found()):
        assert time.monotonic() - began < PATIENCE, f"waiting for {what}"
        time.sleep(0.1)
    return value


def cluster(name, members, gateways=()):
    """Starts a cluster, to which others come by its first member; `gateways`: the other clusters, each by its name and a server."""
    routes = ", ".join(f'"nats://127.0.0.1:{member.cluster}"' for member in members)
    others = ", ".join(f'{{ name: {other}, url: "nats://127.0.0.1:{server.gateway}" }}' for other, server in gateways)
    for member in members:
        member.start(f'cluster {{ name: {name}, listen: "127.0.0.1:{member.cluster}", routes: [ {routes} ] }}\n'
                     f'gateway {{ name: {name}, listen: "127.0.0.1:{member.gateway}", advertise: "127.0.0.1:{members[0].gateway}", gateways: [ {others} ] }}\n')
