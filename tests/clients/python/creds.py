"""Connects with a creds file, and gets its own message back: creds.py URL CREDS."""

import asyncio
import sys

import nats


async def main(url, creds):
    async def problem(error):
        print(error, file=sys.stderr)

    client = await nats.connect(url, user_credentials=creds, allow_reconnect=False, connect_timeout=5, error_cb=problem)
    subscription = await client.subscribe("hello.python")
    await client.publish("hello.python", b"hi")
    message = await subscription.next_msg(timeout=5)
    assert message.data == b"hi"
    await client.close()


asyncio.run(main(*sys.argv[1:]))
