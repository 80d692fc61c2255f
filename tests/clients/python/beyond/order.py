"""Work in the order of its keys: one message of each customer at a time, several customers at once. Argument: the server's URL."""

import asyncio

from nats.js.api import ConsumerConfig, RetentionPolicy, StreamConfig
from nats.js.errors import APIError

from played import run


async def main(nc, js):
    await js.add_stream(StreamConfig(name="JOBS", subjects=["jobs.>"], retention=RetentionPolicy.WORK_QUEUE))
    workers = ConsumerConfig(durable_name="workers", ack_wait=1, metadata={"dialtone.order_by": "2"})
    work = await js.pull_subscribe("jobs.>", "workers", config=workers)
    for job in "ann.create", "ann.change", "ben.create", "ann.delete", "ben.delete":
        await js.publish(f"jobs.{job}", job.encode())

    # One of each customer is under way, however many are asked for.
    first = await work.fetch(5, timeout=1)
    assert [job.subject for job in first] == ["jobs.ann.create", "jobs.ben.create"], first
    await first[1].ack_sync()
    assert [job.subject for job in await work.fetch(5, timeout=1)] == ["jobs.ben.delete"]

    # What is refused comes again before the next of its customer.
    await first[0].nak()
    (again,) = await work.fetch(5, timeout=0.5)
    assert again.subject == "jobs.ann.create" and again.metadata.num_delivered == 2
    await again.ack_sync()
    for expected in "jobs.ann.change", "jobs.ann.delete":
        jobs = await work.fetch(5, timeout=5)
        job = next(job for job in jobs if ".ann." in job.subject)
        assert job.subject == expected, job.subject
        await asyncio.gather(*(job.ack_sync() for job in jobs))

    await js.add_stream(StreamConfig(name="OTHER", subjects=["other.>"]))
    for wrong in "zero", "0", "2,1":
        try:
            await js.add_consumer("OTHER", ConsumerConfig(durable_name="wrong", metadata={"dialtone.order_by": wrong}))
            raise AssertionError(f"{wrong} was taken")
        except APIError as error:
            assert error.err_code == 10012 and error.description.startswith("dialtone.order_by "), error


run(main)
