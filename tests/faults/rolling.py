"""Servers that are replaced one by one, with clients of two libraries at work."""

import asyncio
import json
import os
import signal
from collections import Counter

from client import bounded
from flows import Flows

PYTHON = "target/clients/python/bin/python"
WORKERS = {
    "nats-py": [PYTHON, "tests/faults/clients/worker.py"],
    "nats.js": ["node", "target/clients/node/worker.js"],
}


class Worker:
    """A client library's program at work."""

    @classmethod
    async def start(cls, name, urls):
        self = cls()
        pipe = asyncio.subprocess.PIPE
        # Its counts are one line.
        self.process = await asyncio.create_subprocess_exec(
            *WORKERS[name], name, *urls, stdin=pipe, stdout=pipe, limit=1 << 26
        )
        line = await bounded(f"{name} to begin", self.process.stdout.readline())
        assert line == b"ready\n", f"{name} does not work: {line}"
        return self

    async def stop(self):
        self.process.stdin.close()
        counts = json.loads(await bounded("a client's counts", self.process.stdout.readline()))
        await bounded("a client to end", self.process.wait())
        return counts


async def roll(network, binaries):
    """Replaces each server by one of these binaries, in turn, as often as there are binaries."""
    flows = Flows(network)
    await flows.start()
    urls = [f"nats://{server.address}:4222" for server in network.servers]
    workers = [await Worker.start(name, urls) for name in WORKERS]
    await asyncio.sleep(1)
    for binary in binaries:
        for server in network.servers:
            flows.leave(server)
            server.end(signal.SIGTERM)
            server.binary = binary
            server.start()
            await flows.join(server)
            await flows.wait_until_whole()
            # Clients come back to it.
            await asyncio.sleep(0.5)
    counts = [await worker.stop() for worker in workers]
    await flows.stop()
    flows.check(disturbed=[server.number for server in network.servers])
    asked, lost, taken, answered = Counter(), Counter(), Counter(), Counter()
    for found in counts:
        asked.update(found["asked"])
        lost.update(found["lost"])
        taken.update(found["taken"])
        answered.update(found["answered"])
    for what, done in (("a task", taken), ("a request", answered)):
        twice = [name for name, count in done.items() if count > 1]
        assert not twice, f"{what} was done twice: {twice[:5]}"
    figures = {"requests": asked["requests"], "requests lost": sum(lost.values())}
    figures |= {"tasks": asked["tasks"], "tasks lost": asked["tasks"] - len(taken)}
    return figures


async def upgrade(network):
    """Each server is replaced by the same one."""
    return await roll(network, [network.servers[0].binary])


async def fleet(network):
    """From official servers to ours, and back."""
    return await roll(network, [os.environ["SERVER"], os.environ["OFFICIAL"]])
