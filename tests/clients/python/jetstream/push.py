"""Push consumers and ordered ones by nats-py: flow control, heartbeats, queue groups, ordered after a loss. Prints what it saw; argument: the server's URL."""

import asyncio

from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from said import plain, run, say, say_error, until


async def plain_push(nc, js):
    await js.add_stream(name="NEWS", subjects=["news.>"])
    for n in range(20):
        await js.publish(f"news.{n % 2}", str(n).encode(), headers={"Number": str(n)})
    pushed = await js.subscribe("news.>", durable="reader", stream="NEWS", config=ConsumerConfig(deliver_subject="to.reader"))
    messages = [await pushed.next_msg(5) for _ in range(20)]
    say("pushed", [[message.subject, message.data, message.headers, message.metadata.sequence.stream, message.metadata.num_pending] for message in messages])
    for message in messages:
        await message.ack_sync(timeout=5)
    info = await js.consumer_info("NEWS", "reader")
    say("a push consumer", info)
    await say_error("bound twice", js.subscribe("news.>", durable="reader", stream="NEWS"))
    await js.publish("news.1", b"late")
    say("what is published later", (await pushed.next_msg(5)).data)
    await pushed.unsubscribe()
    say("not bound", (await until(lambda: js.consumer_info("NEWS", "reader"), lambda info: not info.push_bound, "nobody")).push_bound)
    await js.publish("news.1", b"while nobody was there")
    again = await js.subscribe("news.>", durable="reader", stream="NEWS")
    message = await again.next_msg(5)
    say("bound again", message.data)


async def queue(nc, js):
    await js.add_stream(name="JOBS", subjects=["jobs"])
    members = [await js.subscribe("jobs", queue="workers", stream="JOBS") for _ in range(3)]
    for n in range(60):
        await js.publish("jobs", str(n).encode())
    found = []

    async def work(member):
        while len(found) < 60:
            try:
                message = await member.next_msg(0.1)
            except Exception:
                continue
            found.append(int(message.data))
            await message.ack_sync(timeout=5)

    await asyncio.gather(*map(work, members))
    say("by a group", sorted(found) == list(range(60)))
    info = await js.consumer_info("JOBS", "workers")
    say("a group", [info.config.deliver_group, info.num_ack_pending, info.num_pending, info.push_bound])


async def flow(nc, js):
    """Enough for flow control to stop it."""
    await js.add_stream(name="MANY", subjects=["many"])
    for _ in range(20):
        await asyncio.gather(*[await js.publish_async("many", bytes(1000)) for _ in range(250)])
    pushed = await js.subscribe("many", stream="MANY", ordered_consumer=True, idle_heartbeat=1)
    say("an ordered consumer", [value for key, value in plain((await pushed.consumer_info()).config).items() if key != "deliver_subject"])
    sequences = [(await pushed.next_msg(10)).metadata.sequence.stream for _ in range(5000)]
    say("ordered", sequences == list(range(1, 5001)))
    controlled = await js.subscribe("many", stream="MANY", flow_control=True, idle_heartbeat=1, config=ConsumerConfig(ack_policy=AckPolicy.NONE))
    sequences = [(await controlled.next_msg(10)).metadata.sequence.stream for _ in range(5000)]
    say("with flow control", sequences == list(range(1, 5001)))


async def heartbeats(nc, js):
    await js.add_stream(name="QUIET", subjects=["quiet"])
    inbox = await nc.subscribe("to.quiet")
    await js.add_consumer("QUIET", ConsumerConfig(durable_name="quiet", deliver_subject="to.quiet", idle_heartbeat=0.2, flow_control=True))
    beat = await inbox.next_msg(5)
    say("a heartbeat", [beat.headers, beat.data, bool(beat.reply)])
    await say_error("heartbeat of a pull consumer", js.add_consumer("QUIET", ConsumerConfig(durable_name="pull", idle_heartbeat=1)))
    await say_error("flow control without heartbeats", js.add_consumer("QUIET", ConsumerConfig(durable_name="flow", deliver_subject="x", flow_control=True)))
    await say_error("deliver subject in a cycle", js.add_consumer("QUIET", ConsumerConfig(durable_name="cycle", deliver_subject="quiet")))
    await say_error("max waiting of a push consumer", js.add_consumer("QUIET", ConsumerConfig(durable_name="wait", deliver_subject="x", max_waiting=5)))


async def redelivery(nc, js):
    """Without an acknowledgement it comes again, and no more than may be pending at once."""
    await js.add_stream(name="SLOW", subjects=["slow"])
    for n in range(5):
        await js.publish("slow", str(n).encode())
    pushed = await js.subscribe("slow", stream="SLOW", manual_ack=True, config=ConsumerConfig(ack_wait=0.2, max_ack_pending=2, durable_name="slow"))
    found = [await pushed.next_msg(5) for _ in range(4)]
    say("comes again", [[message.data, message.metadata.num_delivered] for message in found])
    for message in found[:2]:
        await message.ack_sync(timeout=5)
    rest = []
    while len(rest) < 3:
        message = await pushed.next_msg(5)
        await message.ack_sync(timeout=5)
        if message.metadata.sequence.stream > 2 and message.metadata.num_delivered == 1:
            rest.append(message.data)
    say("the rest", rest)


async def ordered_after_purge(js):
    pushed = await js.subscribe("news.>", stream="NEWS", ordered_consumer=True, deliver_policy=DeliverPolicy.NEW)
    await js.purge_stream("NEWS")
    acknowledged = await js.publish("news.9", b"after the purge")
    message = await pushed.next_msg(5)
    say("ordered after a purge", [message.data, message.metadata.sequence.stream == acknowledged.seq])


async def main(nc, js):
    await plain_push(nc, js)
    await queue(nc, js)
    await flow(nc, js)
    await heartbeats(nc, js)
    await redelivery(nc, js)
    await ordered_after_purge(js)


run(main)
