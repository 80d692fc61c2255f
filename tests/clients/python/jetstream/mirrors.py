"""Mirrors and sources by nats-py. Prints what it saw; argument: the server's URL."""

from nats.js.api import ConsumerConfig, StreamConfig, StreamSource, SubjectTransform

from said import run, say, say_error, until


async def whole(js, stream, count):
    return await until(lambda: js.stream_info(stream), lambda info: info.state.messages == count, stream)


async def main(nc, js):
    await js.add_stream(name="ONE", subjects=["one.>"])
    await js.add_stream(name="TWO", subjects=["two.>"])
    for n in range(20):
        await js.publish(f"one.{n % 2}", str(n).encode(), headers={"Number": str(n)})
        await js.publish(f"two.{n % 2}", str(n).encode())
    await js.delete_msg("ONE", 5)
    info = await js.add_stream(StreamConfig(name="MIRROR", mirror=StreamSource(name="ONE")))
    say("a mirror", info.config)
    info = await whole(js, "MIRROR", 19)
    say("state of the mirror", [info.state, info.mirror.name, info.mirror.lag])
    say("a mirrored message", await js.get_msg("MIRROR", 6))
    await js.publish("one.new", b"later")
    await whole(js, "MIRROR", 20)
    say("a later one", await js.get_last_msg("MIRROR", "one.new"))
    pull = await js.pull_subscribe("one.0", "reader", stream="MIRROR")
    say("consumed from the mirror", [message.metadata.sequence.stream for message in await pull.fetch(5, timeout=5)])
    await say_error("a mirror with subjects", js.add_stream(StreamConfig(name="BAD", subjects=["bad"], mirror=StreamSource(name="ONE"))))
    await say_error("a mirror of none", js.add_stream(StreamConfig(name="LOST", mirror=StreamSource(name="NONE"))))
    filtered = StreamConfig(name="FILTERED", mirror=StreamSource(name="ONE", filter_subject="one.1"))
    await js.add_stream(filtered)
    say("state of a filtered mirror", (await whole(js, "FILTERED", 10)).state)
    both = StreamConfig(name="BOTH", subjects=["both.>"], sources=[
        StreamSource(name="ONE", filter_subject="one.0"),
        StreamSource(name="TWO", subject_transforms=[SubjectTransform(src="two.1", dest="both.two.1")]),
    ])
    info = await js.add_stream(both)
    say("sources", info.config.sources)
    info = await whole(js, "BOTH", 19)
    say("counts", sorted((source.name, source.lag) for source in info.sources))
    await js.publish("both.own", b"own")
    say("subjects", (await js.stream_info("BOTH", subjects_filter=">")).state.subjects)
    message = await js.get_last_msg("BOTH", "both.two.1")
    # The last word is random.
    say("where it is from", [message.data, message.headers["Nats-Stream-Source"].split()[:-1]])
    await js.publish("two.1", b"more")
    await whole(js, "BOTH", 21)
    say("a source's later message", (await js.get_last_msg("BOTH", "both.two.1")).data)


run(main)
