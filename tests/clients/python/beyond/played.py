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
