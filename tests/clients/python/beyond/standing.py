"""Why a consumer delivers nothing, as /slowz and /metrics say it. Argument: the server's URL; $MONITOR is that of its monitoring port."""

import json
import os
import urllib.request

from nats.js.api import ConsumerConfig, StreamConfig

from played import run, until


def page(name):
    with urllib.request.urlopen(f"{os.environ['MONITOR']}/{name}", timeout=5) as answer:
        return answer.read().decode()


async def main(nc, js):
    await js.add_stream(StreamConfig(name="JOBS", subjects=["jobs.>"]))
    work = await js.pull_subscribe("jobs.>", "workers", config=ConsumerConfig(durable_name="workers", max_ack_pending=1))
    await js.publish("jobs.1")
    await js.publish("jobs.2")
    (first,) = await work.fetch(1)
    inbox = await nc.subscribe("later")
    await nc.publish("$JS.API.CONSUMER.MSG.NEXT.JOBS.workers", b'{"batch":1,"expires":60000000000}', reply="later")

    async def reasons():
        return [(row["consumer"], row["reason"]) for row in json.loads(page("slowz"))["consumers"]]
    await until(reasons, [("workers", "max_ack_pending")], "the consumer is listed")
    assert 'dialtone_consumers_held{reason="max_ack_pending"} 1' in page("metrics")
    assert "dialtone_consumers_standing_total 0" in page("metrics")
    await first.ack_sync()
    assert (await inbox.next_msg(5)).subject == "jobs.2"
    await until(reasons, [], "it delivers again")


run(main)
