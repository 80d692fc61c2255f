"""Runs the main function of an example against a server."""

import asyncio
import sys

import nats


def run(main):
    async def whole():
        nc = await nats.connect(sys.argv[1], max_reconnect_attempts=0, allow_reconnect=False)
        try:
            await asyncio.wait_for(main(nc, nc.jetstream(timeout=10)), 60)
        finally:
            await nc.close()
    asyncio.run(whole())


async def until(asked, expected, what):
    """Asks again until it is so."""
    for _ in range(1000):
        value = await asked()
        if value == expected:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"waiting until {what}: {value}")
