"""Three clusters of two servers each, joined by gateways behind relays."""

import asyncio
import json
import socket
import subprocess
import tempfile
import urllib.request
from pathlib import Path

from relay import Relay

REGIONS = ("europe", "america", "asia")
# Seconds from one region to another, one way.
DISTANCES = {("europe", "america"): 0.040, ("europe", "asia"): 0.080, ("america", "asia"): 0.060}
SERVERS_PER_REGION = 2
# How long the network may take to come together before it counts as a failure.
PATIENCE = 60.0

CONFIG = """
listen: "127.0.0.1:{client}"
http: "127.0.0.1:{http}"
server_name: {name}
cluster {{ name: {region}, listen: "127.0.0.1:{cluster}", routes: [ {routes} ] }}
gateway {{
  name: {region}
  listen: "127.0.0.1:{gateway}"
  advertise: "127.0.0.1:{relay}"
  gateways: [ {gateways} ]
}}
accounts {{ SYS {{}} }}
system_account: SYS
"""


def distance(one, other):
    return DISTANCES.get((one, other)) or DISTANCES.get((other, one), 0)


def nearest(region, alive):
    """Who is to answer in a region, of those where the service lives."""
    return min(alive, key=lambda other: distance(region, other))


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Server:
    def __init__(self, region, number, ports, client=None):
        self.region, self.name = region, f"{region}-{number}"
        self.client, self.http, self.cluster, self.gateway, self.relay = ports
        self.client = client or self.client

    def config(self, all_servers):
        routes = [f'"nats://127.0.0.1:{s.cluster}"' for s in all_servers if s.region == self.region and s is not self]
        gateways = []
        for region in REGIONS:
            urls = ", ".join(f'"nats://127.0.0.1:{s.relay}"' for s in all_servers if s.region == region)
            if region != self.region:
                gateways.append(f"{{ name: {region}, urls: [ {urls} ] }}")
        return CONFIG.format(routes=", ".join(routes), gateways=", ".join(gateways), **vars(self))

    def gateways(self):
        """The round-trip time to each other region that is connected, in seconds."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/gatewayz", timeout=5) as answer:
            found = json.load(answer).get("outbound_gateways") or {}
        return {name: seconds(one["connection"].get("rtt", "")) for name, one in found.items()}


def seconds(text):
    for unit, factor in (("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9), ("s", 1)):
        if text.endswith(unit):
            return float(text[: -len(unit)]) * factor
    return 0.0


class Servers:
    """All of them, as processes in a folder of their own."""

    def __init__(self, binary, clients):
        ports = free_ports(5 * SERVERS_PER_REGION * len(REGIONS))
        self.all, self.relays, self.processes = [], [], []
        for at, region in enumerate(REGIONS):
            for number in range(1, SERVERS_PER_REGION + 1):
                client = clients[at] if clients and number == 1 else None
                self.all.append(Server(region, number, [ports.pop() for _ in range(5)], client))
        self.binary = binary
        self.folder = tempfile.TemporaryDirectory(prefix="regions-")

    def of(self, region):
        return [server for server in self.all if server.region == region]

    async def start(self):
        for server in self.all:
            delay = {region: distance(region, server.region) for region in REGIONS}
            relay = Relay(server.relay, server.gateway, delay)
            await relay.start()
            self.relays.append(relay)
            file = Path(self.folder.name) / f"{server.name}.conf"
            file.write_text(server.config(self.all))
            log = open(file.with_suffix(".log"), "w")
            self.processes.append(subprocess.Popen([self.binary, "-c", file], stdout=log, stderr=log))

    async def wait_until_whole(self):
        """Until each server knows how far each other region is."""
        clock = asyncio.get_running_loop().time
        began = clock()
        for server in self.all:
            while not self.is_whole(server):
                if clock() - began > PATIENCE:
                    raise AssertionError(f"{server.name} has no way to all regions after {PATIENCE} s")
                await asyncio.sleep(0.1)
        return clock() - began

    def is_whole(self, server):
        for process in self.processes:
            if process.poll() is not None:
                raise AssertionError(f"a server ended: {self.logs()}")
        try:
            found = server.gateways()
        except (OSError, ValueError):
            return False
        others = [region for region in REGIONS if region != server.region]
        # The distance is in it once the connection's first PING was answered by way of the relay.
        return all(found.get(other, 0) >= 2 * distance(server.region, other) for other in others)

    def logs(self):
        return "\n".join(file.read_text()[-2000:] for file in Path(self.folder.name).glob("*.log"))

    async def stop(self):
        for relay in self.relays:
            await relay.stop()
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
        self.folder.cleanup()
