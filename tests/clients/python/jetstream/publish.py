"""Publishing to streams by nats-py: acknowledgements, headers that decide, limits, retention. Prints what it saw; argument: the server's URL."""

import asyncio

from nats.js.api import DiscardPolicy, RePublish, RetentionPolicy, StorageType, SubjectTransform

from said import run, say, say_error


async def acknowledgements(nc, js):
    await js.add_stream(name="EVENTS", subjects=["events.>"], allow_rollup_hdrs=True)
    say("first", await js.publish("events.a", b"one"))
    say("expected stream", await js.publish("events.a", b"two", stream="EVENTS"))
    await say_error("another stream", js.publish("events.a", b"three", stream="OTHER"))
    await say_error("no stream", js.publish("nowhere.a", b"three"))
    say("an id", await js.publish("events.b", b"id", headers={"Nats-Msg-Id": "one"}))
    say("the id again", await js.publish("events.b", b"id", headers={"Nats-Msg-Id": "one"}))
    say("another id", await js.publish("events.b", b"id", headers={"Nats-Msg-Id": "two", "Nats-Expected-Last-Msg-Id": "one"}))
    for name, value in (("Nats-Expected-Last-Msg-Id", "one"), ("Nats-Expected-Last-Sequence", "1"), ("Nats-Expected-Last-Subject-Sequence", "1")):
        await say_error(f"wrong {name}", js.publish("events.b", b"no", headers={name: value}))
    say("right last sequence", await js.publish("events.b", b"yes", headers={"Nats-Expected-Last-Sequence": "4"}))
    say("right last of its subject", await js.publish("events.b", b"yes", headers={"Nats-Expected-Last-Subject-Sequence": "5"}))
    say("first of its subject", await js.publish("events.c", b"yes", headers={"Nats-Expected-Last-Subject-Sequence": "0"}))
    say("last of a filter", await js.publish("events.d", b"yes", headers={
        "Nats-Expected-Last-Subject-Sequence": "7", "Nats-Expected-Last-Subject-Sequence-Subject": "events.*"}))
    say("rollup of a subject", await js.publish("events.b", b"all", headers={"Nats-Rollup": "sub"}))
    say("state after", (await js.stream_info("EVENTS", subjects_filter=">")).state)
    say("rollup of all", await js.publish("events.b", b"all", headers={"Nats-Rollup": "all"}))
    await say_error("rollup of what", js.publish("events.b", b"all", headers={"Nats-Rollup": "some"}))
    say("state at the end", (await js.stream_info("EVENTS", subjects_filter=">")).state)


async def at_once(js):
    """Many that are acknowledged in any order."""
    for storage in StorageType.FILE, StorageType.MEMORY:
        name = storage.value.upper()
        await js.add_stream(name=name, subjects=[f"{name}.>"], storage=storage)
        futures = [await js.publish_async(f"{name}.{n % 10}", b"x" * 100) for n in range(2000)]
        acknowledged = await asyncio.gather(*futures)
        say(f"at once, {name}", sorted(ack.seq for ack in acknowledged) == list(range(1, 2001)))
        say(f"in order, {name}", [ack.seq for ack in acknowledged] == list(range(1, 2001)))
        say(f"state, {name}", (await js.stream_info(name)).state)


async def limits(js):
    await js.add_stream(name="FEW", subjects=["few.*"], max_msgs=5)
    for n in range(8):
        await js.publish("few.a", str(n).encode())
    say("few", (await js.stream_info("FEW")).state)
    await js.add_stream(name="FULL", subjects=["full.*"], max_msgs=3, discard=DiscardPolicy.NEW)
    for n in range(4):
        await say_error(f"full {n}", js.publish("full.a", str(n).encode()))
    await js.add_stream(name="FULLBYTES", subjects=["fullbytes.*"], max_bytes=300, discard=DiscardPolicy.NEW)
    for n in range(3):
        await say_error(f"full of bytes {n}", js.publish("fullbytes.a", bytes(100)))
    await js.add_stream(name="EACH", subjects=["each.*"], max_msgs=100, max_msgs_per_subject=1, discard=DiscardPolicy.NEW, discard_new_per_subject=True)
    for subject in "each.a", "each.b", "each.a":
        await say_error(f"one of each, {subject}", js.publish(subject, b"1"))
    await js.add_stream(name="LAST", subjects=["last.*"], max_msgs_per_subject=2)
    for n in range(9):
        await js.publish(f"last.{n % 3}", str(n).encode())
    say("last of each", (await js.stream_info("LAST", subjects_filter=">")).state)
    await js.add_stream(name="SMALL", subjects=["small"], max_msg_size=10)
    await say_error("small", js.publish("small", b"x" * 10))
    await say_error("too large", js.publish("small", b"x" * 11))
    await js.add_stream(name="CLOSED", subjects=["closed"])
    config = (await js.stream_info("CLOSED")).config
    config.sealed = True
    say("sealed", await js.update_stream(config))
    await say_error("publish to a sealed one", js.publish("closed", b"x"))


async def changed(nc, js):
    """Subjects that are changed, and what is published again."""
    await js.add_stream(name="CHANGED", subjects=["in.*"], subject_transform=SubjectTransform(src="in.*", dest="stored.{{wildcard(1)}}"),
                        republish=RePublish(src="stored.>", dest="again.>"))
    again = await nc.subscribe("again.>")
    await nc.flush()
    say("changed", await js.publish("in.one", b"body", headers={"Colour": "blue"}))
    message = await again.next_msg(5)
    say("published again", [message.subject, message.data, message.headers])
    say("stored as", await js.get_msg("CHANGED", 1))


async def retention(js):
    """Interest and work queues keep what is wanted."""
    await js.add_stream(name="INTEREST", subjects=["interest.*"], retention=RetentionPolicy.INTEREST)
    say("nobody is interested", await js.publish("interest.a", b"x"))
    say("kept", (await js.stream_info("INTEREST")).state)
    pull = await js.pull_subscribe("interest.a", "one")
    for subject in "interest.a", "interest.b":
        await js.publish(subject, b"x")
    say("kept for one", (await js.stream_info("INTEREST")).state)
    for message in await pull.fetch(1, timeout=5):
        await message.ack_sync(timeout=5)
    say("kept no more", (await js.stream_info("INTEREST")).state)
    await js.add_stream(name="WORK", subjects=["work.*"], retention=RetentionPolicy.WORK_QUEUE)
    for n in range(5):
        await js.publish("work.a", str(n).encode())
    pull = await js.pull_subscribe("work.*", "worker")
    await say_error("another worker", js.pull_subscribe("work.a", "other"))
    for message in await pull.fetch(3, timeout=5):
        await message.ack_sync(timeout=5)
    say("work that is left", (await js.stream_info("WORK")).state)


async def main(nc, js):
    await acknowledgements(nc, js)
    await at_once(js)
    await limits(js)
    await changed(nc, js)
    await retention(js)


run(main)
