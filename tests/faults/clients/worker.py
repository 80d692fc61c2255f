"""nats-py under rolling upgrades: asks, answers, hands out tasks and takes them, until its standard input ends; then prints counts.

worker.py NAME URL...
"""

import asyncio
import json
import sys
from collections import Counter

import nats

REQUESTERS = 4
ANSWER_TIMEOUT = 2.0
PAUSE = 0.005

name, urls = sys.argv[1], sys.argv[2:]
asked, lost, taken, answered = Counter(), Counter(), Counter(), Counter()
running = True


async def connect():
    async def report(error):
        pass  # Servers that go away are what this is about.

    return await nats.connect(
        urls, user="a", password="a", max_reconnect_attempts=-1, reconnect_time_wait=0.05, error_cb=report
    )


async def ask(client, requester):
    number = 0
    while running:
        number += 1
        asked["requests"] += 1
        try:
            await client.request("service", f"{name}.{requester}.{number}".encode(), timeout=ANSWER_TIMEOUT)
        except Exception as error:
            lost[type(error).__name__] += 1
        asked["tasks"] += 1
        await client.publish("tasks", f"{name}.{requester}.{number}".encode())
        await asyncio.sleep(PAUSE)


async def main():
    global running
    asking, answering = await connect(), await connect()

    async def answer(message):
        answered[message.data.decode()] += 1
        await message.respond(b"")

    async def take(message):
        taken[message.data.decode()] += 1

    await answering.subscribe("service", queue="services", cb=answer)
    await answering.subscribe("tasks", queue="takers", cb=take)
    await answering.flush()
    print("ready", flush=True)
    loops = [asyncio.create_task(ask(asking, number)) for number in range(REQUESTERS)]
    await asyncio.to_thread(sys.stdin.read)
    running = False
    await asyncio.gather(*loops)
    await asking.flush()
    await asyncio.sleep(1)
    await answering.flush()
    print(json.dumps({"asked": asked, "lost": lost, "answered": answered, "taken": taken}), flush=True)


asyncio.run(main())
