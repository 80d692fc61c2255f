"""The faults, and what must be true before, during and after each."""

import asyncio
import signal
from dataclasses import dataclass
from typing import Awaitable, Callable

import rolling
from flows import PATIENCE, Flows, now


async def calm(network):
    """No fault: everything arrives, once."""
    flows = Flows(network)
    await flows.start()
    await asyncio.sleep(2)
    await flows.stop()
    flows.check(undisturbed_work=True)
    return {"s until whole": flows.took}


async def partition(network, seconds=10):
    """The first server is cut off and comes back. Meanwhile clients subscribe at both sides."""
    flows = Flows(network)
    await flows.start()
    first = network.servers[0]
    await asyncio.sleep(1)
    network.part(first)
    await asyncio.sleep(seconds / 2)
    late = await subscribe_late(flows)
    await asyncio.sleep(seconds / 2)
    network.heal(first)
    took = await flows.wait_until_whole()
    late_took = await late()
    await flows.stop()
    lost = flows.check(disturbed=(first.number,))
    return {"s until whole": took, "s until late interest": late_took, "lost": lost}


async def subscribe_late(flows):
    """Subscribes at each server to something new; returns a function that waits until each other server knows."""
    found = set()
    for at, receiver in flows.receivers.items():
        def arrived(subject, *_):
            found.add(tuple(int(word) for word in subject.split(".")[1:]))
        receiver.subscribe(f"late.*.{at}", arrived)
        await receiver.flush()

    async def wait():
        began = now()
        pairs = {(one, other) for one in flows.publishers for other in flows.receivers}
        while found != pairs:
            assert now() - began < PATIENCE, f"late interest is not known: {sorted(pairs - found)}"
            for one, other in pairs - found:
                flows.publishers[one].publish(f"late.{one}.{other}")
            await asyncio.sleep(0.02)
        return round(now() - began, 2)

    return wait


async def one_way(network):
    """What the first server sends to the second is lost for a while; the other direction works."""
    flows = Flows(network)
    await flows.start()
    first, second = network.servers[0], network.servers[1]
    await asyncio.sleep(1)
    network.cut(first, second)
    await asyncio.sleep(6)
    network.heal(first)
    took = await flows.wait_until_whole()
    await flows.stop()
    lost = flows.check(disturbed=((1, 2), (2, 1)))
    return {"s until whole": took, "lost": lost}


async def blink(network):
    """A cut too short to be noticed: everything arrives."""
    flows = Flows(network)
    await flows.start()
    for server in network.servers:
        network.part(server)
        await asyncio.sleep(0.3)
        network.heal(server)
        await asyncio.sleep(0.7)
    took = await flows.wait_until_whole()
    await flows.stop()
    flows.check(undisturbed_work=True)
    return {"s until whole": took}


async def kill(network):
    """A server is killed and starts again. The others lose nothing among themselves."""
    flows = Flows(network)
    await flows.start()
    second = network.servers[1]
    await asyncio.sleep(1)
    second.end(signal.SIGKILL)
    flows.leave(second)
    await asyncio.sleep(2)
    second.start()
    await flows.join(second)
    took = await flows.wait_until_whole()
    await flows.stop()
    lost = flows.check(disturbed=(second.number,))
    return {"s until whole": took, "lost": lost}


async def freeze(network, seconds=8):
    """A server stops and goes on later. Others are not held up."""
    flows = Flows(network)
    await flows.start()
    second = network.servers[1]
    await asyncio.sleep(1)
    second.send_signal(signal.SIGSTOP)
    await asyncio.sleep(seconds)
    second.send_signal(signal.SIGCONT)
    took = await flows.wait_until_whole()
    await flows.stop()
    lost = flows.check(disturbed=(second.number,))
    others = [server.number for server in network.servers if server is not second]
    gap = flows.longest_gap([(one, other) for one in others for other in others])
    return {"s until whole": took, "longest gap of others": gap, "lost": lost}


@dataclass
class Fault:
    play: Callable[..., Awaitable[dict]]
    servers: int = 3
    # Instead of the casts that are asked for.
    casts: tuple = ()


ALL = {
    "calm": Fault(calm),
    "blink": Fault(blink),
    "partition": Fault(partition),
    "one-way": Fault(one_way),
    "kill": Fault(kill),
    "freeze": Fault(freeze),
    "upgrade": Fault(rolling.upgrade),
    "upgrade-5": Fault(rolling.upgrade, servers=5),
    "fleet": Fault(rolling.fleet, casts=("official",)),
}
