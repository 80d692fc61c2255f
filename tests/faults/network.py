"""Servers in network namespaces on one bridge, and cuts between them.

A cut is silent: who sends has a wrong hardware address for the other end, so that packets leave and arrive nowhere, as with a broken
switch. It has a direction.
"""

import os
import signal
import subprocess
import tempfile
import time

SUBNET = "10.77.0"
END_TIMEOUT = 60.0


def sh(*words):
    subprocess.run(words, check=True, capture_output=True)


class Server:
    """A server and its namespace, which outlives it."""

    def __init__(self, network, number, binary):
        self.network, self.number, self.binary = network, number, binary
        self.address = f"{SUBNET}.{number}"
        self.hardware = f"02:00:00:00:00:{number:02x}"
        self.process = None
        self.holder = subprocess.Popen(["unshare", "-n", "sleep", "infinity"])
        # The namespace is there when it is no longer ours.
        ours = os.readlink("/proc/self/ns/net")
        while os.readlink(f"/proc/{self.holder.pid}/ns/net") == ours:
            time.sleep(0.001)
        outer, inner = f"v{number}", f"w{number}"
        sh("ip", "link", "add", outer, "type", "veth", "peer", "name", inner)
        sh("ip", "link", "set", outer, "master", "br0", "up")
        sh("ip", "link", "set", inner, "netns", str(self.holder.pid))
        self.inside("ip", "link", "set", "lo", "up")
        self.inside("ip", "link", "set", inner, "address", self.hardware, "name", "eth0")
        self.inside("ip", "address", "add", f"{self.address}/24", "dev", "eth0")
        self.inside("ip", "link", "set", "eth0", "up")

    def inside(self, *words):
        sh("nsenter", "-t", str(self.holder.pid), "-n", "--", *words)

    def start(self):
        path = f"{self.network.folder}/{self.number}.conf"
        with open(path, "w") as file:
            file.write(self.network.config(self))
        log = open(f"{self.network.folder}/{self.number}.log", "a")
        command = ["nsenter", "-t", str(self.holder.pid), "-n", "--", self.binary, "-c", path]
        self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def send_signal(self, number):
        self.process.send_signal(number)

    def end(self, number=signal.SIGKILL):
        """Ends the process and waits for it."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(number)
            self.process.wait(END_TIMEOUT)

    def log(self):
        with open(f"{self.network.folder}/{self.number}.log") as file:
            return file.read()


class Network:
    """So many servers of one cluster, each with the binary of its place in the cast."""

    def __init__(self, binaries):
        self.folder = tempfile.mkdtemp(prefix="faults-")
        sh("ip", "link", "set", "lo", "up")
        sh("ip", "link", "add", "br0", "type", "bridge")
        sh("ip", "address", "add", f"{SUBNET}.254/24", "dev", "br0")
        sh("ip", "link", "set", "br0", "up")
        self.servers = [Server(self, number + 1, binary) for number, binary in enumerate(binaries)]
        for server in self.servers:
            self.heal(server)

    def config(self, server):
        routes = ", ".join(f'"nats://{other.address}:6222"' for other in self.servers)
        return f"""
            server_name: S{server.number}
            listen: "{server.address}:4222"
            accounts {{
              A: {{ users: [ {{ user: a, password: a }} ] }}
              B: {{ users: [ {{ user: b, password: b }} ] }}
            }}
            cluster {{ name: C, listen: "{server.address}:6222", routes: [ {routes} ], ping_interval: "1s" }}
        """

    def cut(self, one, other):
        """What `one` sends to `other` arrives nowhere."""
        self.address(one, other, "02:00:00:00:00:ff")

    def address(self, one, other, hardware):
        one.inside("ip", "neigh", "replace", other.address, "lladdr", hardware, "dev", "eth0", "nud", "permanent")

    def part(self, one):
        """Cuts a server off from all others, in both directions. Clients still reach it."""
        for other in self.servers:
            if other is not one:
                self.cut(one, other)
                self.cut(other, one)

    def heal(self, one):
        for other in self.servers:
            if other is not one:
                self.address(one, other, other.hardware)
                self.address(other, one, one.hardware)

    def close(self):
        for server in self.servers:
            server.end()
            server.holder.kill()
            server.holder.wait()
            # It goes with the namespace, but later: whichever is first.
            subprocess.run(["ip", "link", "del", f"v{server.number}"], check=False, capture_output=True)
        sh("ip", "link", "del", "br0")
