"""Messages that cannot be worked on go to a stream of dead letters, and back. Argument: the server's URL."""

import json

from nats.errors import TimeoutError
from nats.js.api import ConsumerConfig, RetentionPolicy, StreamConfig
from nats.js.errors import APIError

from played import run, until


async def main(nc, js):
    await js.add_stream(StreamConfig(name="JOBS", subjects=["jobs.>"], retention=RetentionPolicy.WORK_QUEUE))
    await js.add_stream(StreamConfig(name="DEAD", subjects=["dead.>"]))
    workers = ConsumerConfig(durable_name="workers", max_deliver=2, metadata={"dialtone.dead_letter": "dead.jobs"})
    work = await js.pull_subscribe("jobs.>", "workers", config=workers)
    await js.publish("jobs.bad", b"nobody can do this", headers={"Customer": "ann", "Nats-Msg-Id": "1"})
    await js.publish("jobs.odd", b"nobody knows this")

    first, second = await work.fetch(2)
    await first.nak()
    await second.term()
    (again,) = await work.fetch(1)
    await again.nak()

    async def dead():
        return (await js.stream_info("DEAD")).state.messages
    await until(dead, 2, "both are dead letters")
    letters = {}
    for seq in 1, 2:
        letter = await js.get_msg("DEAD", seq)
        letters[letter.headers["Dialtone-Dead-Letter-Reason"]] = letter
    given_up, terminated = letters["max_deliver"], letters["terminated"]
    assert given_up.subject == "dead.jobs" and given_up.data == b"nobody can do this"
    said = {key.removeprefix("Dialtone-Dead-Letter-"): value for key, value in given_up.headers.items()}
    assert said["Customer"] == "ann" and said["Stream"] == "JOBS" and said["Consumer"] == "workers", said
    assert said["Subject"] == "jobs.bad" and said["Sequence"] == "1" and said["Deliveries"] == "2", said
    assert said["First-Delivery"] <= said["Last-Delivery"], said
    assert terminated.headers["Dialtone-Dead-Letter-Deliveries"] == "1"
    # They are in the work queue no more.
    await until(lambda: messages(js), 0, "the queue is empty")

    # Once the cause is mended, they are put back.
    answer = json.loads((await nc.request("$JS.API.DIALTONE.REDRIVE.DEAD", b'{"consumer":"workers"}', timeout=5)).data)
    assert (answer["redriven"], answer["kept"], answer["complete"]) == (2, 0, True), answer
    assert await dead() == 0
    jobs = {job.subject: job for job in await work.fetch(2)}
    assert jobs["jobs.bad"].data == b"nobody can do this" and jobs["jobs.bad"].headers["Customer"] == "ann"
    assert jobs["jobs.bad"].headers["Dialtone-Redriven"] == "JOBS workers 1", jobs["jobs.bad"].headers
    for job in jobs.values():
        await job.ack_sync()

    # Without a stream of dead letters they stay in the queue until there is one.
    await js.delete_stream("DEAD")
    await js.publish("jobs.late", b"x")
    (late,) = await work.fetch(1)
    await late.term()
    try:
        await work.fetch(1, timeout=0.3)
        raise AssertionError("a dead letter is not delivered")
    except TimeoutError:
        pass
    assert await messages(js) == 1
    await js.add_stream(StreamConfig(name="DEAD", subjects=["dead.>"]))
    await until(dead, 1, "it is sent again")
    await until(lambda: messages(js), 0, "the queue is empty")

    # What makes no sense is refused.
    for wrong in "dead.*", "", "jobs.dead", "$JS.API.X":
        try:
            await js.add_consumer("JOBS", ConsumerConfig(durable_name="workers", max_deliver=2, metadata={"dialtone.dead_letter": wrong}))
            raise AssertionError(f"{wrong} was taken")
        except APIError as error:
            assert error.err_code == 10012 and error.description.startswith("dialtone.dead_letter "), error
    answer = json.loads((await nc.request("$JS.API.DIALTONE.REDRIVE.NONE", b"", timeout=5)).data)
    assert answer["error"]["err_code"] == 10059, answer


async def messages(js):
    return (await js.stream_info("JOBS")).state.messages


run(main)
