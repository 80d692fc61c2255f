"""Pull consumers by nats-py: fetch, acknowledge in all ways, redelivery, limits, pause, reset. Prints what it saw; argument: the server's URL."""

import asyncio
import json

from nats.errors import TimeoutError as NothingCame
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from said import question, run, say, say_error, until


def seen(message):
    meta = message.metadata
    return [message.subject, message.data, meta.sequence.stream, meta.sequence.consumer, meta.num_delivered, meta.num_pending]


async def answered(nc, message, kind):
    await nc.request(message.reply, kind, timeout=5)


async def floors(js, stream, consumer):
    info = await js.consumer_info(stream, consumer)
    return [[info.delivered.consumer_seq, info.delivered.stream_seq], [info.ack_floor.consumer_seq, info.ack_floor.stream_seq],
            info.num_ack_pending, info.num_redelivered, info.num_pending, info.num_waiting]


async def acknowledgements(nc, js):
    await js.add_stream(name="TASKS", subjects=["tasks.>"])
    for n in range(30):
        await js.publish(f"tasks.{n % 3}", str(n).encode())
    pull = await js.pull_subscribe("tasks.>", "all")
    say("a consumer", await js.consumer_info("TASKS", "all"))
    messages = await pull.fetch(10, timeout=5)
    say("fetched", [seen(message) for message in messages])
    say("floors before", await floors(js, "TASKS", "all"))
    await messages[0].ack_sync(timeout=5)
    await messages[2].ack_sync(timeout=5)
    say("floors with a gap", await floors(js, "TASKS", "all"))
    await messages[1].ack_sync(timeout=5)
    say("floors without", await floors(js, "TASKS", "all"))
    # Each of these is answered when it is done: without, a pull request may come first.
    await answered(nc, messages[3], b"-NAK")
    say("again after nak", seen((await pull.fetch(1, timeout=5))[0]))
    await answered(nc, messages[4], b"+TERM no good")
    await answered(nc, messages[5], b"+WPI")
    await answered(nc, messages[6], b'-NAK {"delay": 50000000}')
    say("floors after these", await floors(js, "TASKS", "all"))
    rest = []
    while len(rest) < 21:
        rest += await pull.fetch(21, timeout=5)
    say("the rest", sorted(message.metadata.sequence.stream for message in rest))
    for message in [*messages, *rest]:
        # Those acknowledged before are acknowledged again, which changes nothing.
        await answered(nc, message, b"+ACK")
    say("floors at the end", await floors(js, "TASKS", "all"))
    try:
        say("nothing", [seen(message) for message in await pull.fetch(1, timeout=0.1)])
    except NothingCame:
        say("nothing", "timeout")


async def statuses(nc, js):
    """What a pull request is answered with, byte by byte."""
    inbox = nc.new_inbox()
    answers = await nc.subscribe(inbox)

    async def pulled(name, consumer, body, count):
        await nc.publish(f"$JS.API.CONSUMER.MSG.NEXT.TASKS.{consumer}", json.dumps(body).encode() if isinstance(body, dict) else body, reply=inbox)
        for _ in range(count):
            message = await answers.next_msg(5)
            say(name, [message.headers, message.data] if message.headers else message.data)

    second = 1_000_000_000
    await js.add_consumer("TASKS", ConsumerConfig(durable_name="bounded", max_waiting=2, max_ack_pending=5))
    await pulled("no wait", "bounded", {"batch": 3, "no_wait": True}, 3)
    await pulled("no wait, more than may be pending", "bounded", {"batch": 3, "no_wait": True}, 2)
    await pulled("expires", "all", {"batch": 1, "expires": second // 10}, 1)
    await pulled("nothing now", "all", {"batch": 1, "no_wait": True}, 1)
    await pulled("heartbeat", "all", {"batch": 1, "expires": second, "idle_heartbeat": 400_000_000}, 2)
    await pulled("heartbeat too long", "all", {"batch": 1, "expires": second, "idle_heartbeat": second}, 1)
    await pulled("no JSON", "all", b"{", 1)
    await pulled("a number", "all", b"-1", 1)
    await js.add_consumer("TASKS", ConsumerConfig(durable_name="all_again"))
    await js.add_consumer("TASKS", ConsumerConfig(durable_name="strict"))
    config = (await question(nc, "$JS.API.CONSUMER.INFO.TASKS.strict"))["config"]
    say("limits of requests", (await question(nc, "$JS.API.CONSUMER.DURABLE.CREATE.TASKS.strict", {
        "stream_name": "TASKS", "config": config | {"max_batch": 2, "max_expires": second, "max_bytes": 1000}}))["config"])
    await pulled("batch too large", "strict", {"batch": 3}, 1)
    await pulled("expires too late", "strict", {"batch": 1, "expires": 2 * second}, 1)
    await pulled("too many bytes", "strict", {"batch": 1, "max_bytes": 1001, "expires": second}, 1)
    await pulled("few bytes", "strict", {"batch": 2, "max_bytes": 150, "expires": second}, 3)
    await pulled("fewer bytes", "all_again", {"batch": 10, "max_bytes": 150, "expires": second // 2}, 3)
    await js.add_consumer("TASKS", ConsumerConfig(durable_name="gone", deliver_policy=DeliverPolicy.NEW))
    await nc.publish("$JS.API.CONSUMER.MSG.NEXT.TASKS.gone", b"1", reply=inbox)
    await until(lambda: js.consumer_info("TASKS", "gone"), lambda info: info.num_waiting == 1, "the request")
    await js.delete_consumer("TASKS", "gone")
    say("consumer deleted", (await answers.next_msg(5)).headers)
    try:
        await nc.request("$JS.API.CONSUMER.MSG.NEXT.TASKS.gone", b"1", timeout=1)
    except Exception as error:
        say("consumer that is not there", type(error).__name__)


async def redelivery(nc, js):
    await js.add_stream(name="RETRY", subjects=["retry"])
    deaths = await nc.subscribe("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>")
    await js.publish("retry", b"job")
    config = ConsumerConfig(durable_name="thrice", ack_wait=0.1, max_deliver=3)
    pull = await js.pull_subscribe("retry", "thrice", config=config)
    for _ in range(3):
        say("delivered", seen((await pull.fetch(1, timeout=5))[0]))
    # A request must be waiting for the last expiry to be noticed as one.
    fetch = asyncio.create_task(pull.fetch(1, timeout=1))
    advisory = json.loads((await deaths.next_msg(5)).data)
    say("given up", {key: advisory[key] for key in ("type", "stream", "consumer", "stream_seq", "deliveries")})
    try:
        say("afterwards", [seen(message) for message in await fetch])
    except NothingCame:
        say("afterwards", "timeout")
    config = ConsumerConfig(durable_name="backoff", backoff=[0.05, 0.1], max_deliver=4)
    pull = await js.pull_subscribe("retry", "backoff", config=config)
    for _ in range(4):
        say("with backoff", seen((await pull.fetch(1, timeout=5))[0]))
    say("a consumer with backoff", await js.consumer_info("RETRY", "backoff"))


async def policies(js):
    async def first(name, **options):
        info = await js.add_consumer("TASKS", ConsumerConfig(durable_name=name, **options))
        pull = await js.pull_subscribe_bind(name, "TASKS")
        say(name, [info.num_pending, [seen(message) for message in await pull.fetch(2, timeout=5)]])

    await first("from_sequence", deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=28)
    await first("last_of_each", deliver_policy=DeliverPolicy.LAST_PER_SUBJECT, filter_subject="tasks.*")
    await first("one_filter", filter_subject="tasks.1")
    await first("two_filters", filter_subjects=["tasks.1", "tasks.2"])
    await first("acknowledged_up_to", ack_policy=AckPolicy.ALL)
    await first("not_acknowledged", ack_policy=AckPolicy.NONE)
    await first("headers_only", headers_only=True)
    await js.add_consumer("TASKS", ConsumerConfig(durable_name="last", deliver_policy=DeliverPolicy.LAST))
    say("last", seen((await (await js.pull_subscribe_bind("last", "TASKS")).fetch(1, timeout=5))[0]))
    pull = await js.pull_subscribe_bind("acknowledged_up_to", "TASKS")
    messages = await pull.fetch(10, timeout=5)
    await messages[-1].ack_sync(timeout=5)
    say("floors of all up to", await floors(js, "TASKS", "acknowledged_up_to"))


async def administration(nc, js):
    say("names", sorted((await question(nc, "$JS.API.CONSUMER.NAMES.TASKS"))["consumers"]))
    say("list", sorted(info.name for info in await js.consumers_info("TASKS")))
    paused = await js.pause_consumer("TASKS", "one_filter", "2099-01-01T00:00:00Z")
    say("paused", [paused.paused, paused.pause_until])
    say("info while paused", (await js.consumer_info("TASKS", "one_filter")).paused)
    pull = await js.pull_subscribe_bind("one_filter", "TASKS")
    try:
        say("while paused", [seen(message) for message in await pull.fetch(1, timeout=0.2)])
    except NothingCame:
        say("while paused", "timeout")
    say("resumed", (await js.resume_consumer("TASKS", "one_filter")).paused)
    say("after the pause", seen((await pull.fetch(1, timeout=5))[0]))
    reset = await js.reset_consumer("TASKS", "one_filter", 20)
    say("reset", [reset.reset_seq, seen((await pull.fetch(1, timeout=5))[0])])
    await say_error("reset of last", js.reset_consumer("TASKS", "last", 3))
    await say_error("another policy", js.add_consumer("TASKS", ConsumerConfig(durable_name="last", deliver_policy=DeliverPolicy.ALL)))
    await say_error("filters overlap", js.add_consumer("TASKS", ConsumerConfig(durable_name="overlap", filter_subjects=["tasks.*", "tasks.1"])))
    await say_error("filter of another stream", js.add_consumer("TASKS", ConsumerConfig(durable_name="other", filter_subject="other")))
    await say_error("backoff longer than deliveries", js.add_consumer("TASKS", ConsumerConfig(durable_name="long", backoff=[1, 2, 3], max_deliver=2)))
    say("deleted", await js.delete_consumer("TASKS", "last"))
    await say_error("deleted again", js.delete_consumer("TASKS", "last"))
    await say_error("info of none", js.consumer_info("TASKS", "last"))
    await say_error("consumer of no stream", js.add_consumer("NONE", ConsumerConfig(durable_name="x")))


async def main(nc, js):
    await acknowledgements(nc, js)
    await statuses(nc, js)
    await redelivery(nc, js)
    await policies(js)
    await administration(nc, js)


run(main)
