"""What streams of 2.11 and later can: lifetimes of messages, counters, batches, schedules, markers, priorities. Prints what it saw; argument: the server's URL."""

import json

from nats.js.api import StreamConfig

from said import question, run, say, say_error, until


async def lifetimes(js):
    await js.add_stream(StreamConfig(name="LIFE", subjects=["life.>"], allow_msg_ttl=True, subject_delete_marker_ttl=2))
    say("for a second", await js.publish("life.short", b"x", msg_ttl=1))
    say("for ever", await js.publish("life.long", b"x", headers={"Nats-TTL": "never"}))
    await say_error("for no time", js.publish("life.bad", b"x", headers={"Nats-TTL": "soon"}))
    await say_error("for too short a time", js.publish("life.bad", b"x", headers={"Nats-TTL": "100ms"}))
    await js.add_stream(StreamConfig(name="NOLIFE", subjects=["nolife"]))
    await say_error("where it is not allowed", js.publish("nolife", b"x", msg_ttl=1))

    async def last():
        return await js.get_last_msg("LIFE", "life.short")
    say("raised to the marker's", (await last()).headers)
    say("a marker", await until(last, lambda message: message.seq > 1, "a marker"))


async def counters(nc, js):
    await js.add_stream(StreamConfig(name="COUNT", subjects=["count.>"], allow_msg_counter=True, allow_direct=True))
    for value in "+1", "5", "-2", "100000000000000000000":
        say(f"counted {value}", await js.publish("count.hits", headers={"Nats-Incr": value}))
    await say_error("no number", js.publish("count.hits", headers={"Nats-Incr": "one"}))
    await say_error("no increment", js.publish("count.hits", b"5"))
    say("counter", (await js.get_last_msg("COUNT", "count.hits")).data)


async def batches(nc, js):
    await js.add_stream(StreamConfig(name="BATCH", subjects=["batch.>"], allow_atomic=True))

    async def sent(id, sequence, **headers):
        answer = await nc.request("batch.x", str(sequence).encode(), timeout=5, headers={
            "Nats-Batch-Id": id, "Nats-Batch-Sequence": str(sequence)} | {key.replace("_", "-"): value for key, value in headers.items()})
        return json.loads(answer.data) if answer.data else "empty"
    for n in range(1, 4):
        say(f"batch {n}", await sent("one", n, **({"Nats_Batch_Commit": "1"} if n == 3 else {})))
    say("nothing of an open batch", [await sent("two", 1), (await js.stream_info("BATCH")).state])
    say("a gap", await sent("two", 3, Nats_Batch_Commit="1"))
    say("an unknown one", await sent("three", 2))
    say("stored", (await js.get_msg("BATCH", 3)))


async def schedules(js):
    await js.add_stream(StreamConfig(name="PLAN", subjects=["plan.>", "done.>"], allow_msg_schedules=True, allow_msg_ttl=True))
    say("planned", await js.publish("plan.one", b"work", headers={"Nats-Schedule": "@at 2020-01-01T00:00:00Z", "Nats-Schedule-Target": "done.one"}))
    info = await until(lambda: js.stream_info("PLAN", subjects_filter=">"), lambda info: "done.one" in (info.state.subjects or {}), "the message")
    say("done", info.state.subjects)
    say("the message", await js.get_last_msg("PLAN", "done.one"))
    await say_error("no such schedule", js.publish("plan.two", b"x", headers={"Nats-Schedule": "@now", "Nats-Schedule-Target": "done.two"}))
    await say_error("no target", js.publish("plan.two", b"x", headers={"Nats-Schedule": "@every 1h"}))


async def priorities(nc, js):
    await js.add_stream(name="PRIO", subjects=["prio"])
    for n in range(5):
        await js.publish("prio", str(n).encode())

    # What is pulled comes under its own subject, not under that of the request.
    answers = await nc.subscribe(nc.new_inbox())

    async def consumer(name, **config):
        answer = await question(nc, f"$JS.API.CONSUMER.DURABLE.CREATE.PRIO.{name}", {"stream_name": "PRIO", "config": {
            "durable_name": name, "ack_policy": "explicit", "priority_groups": ["g"]} | config})
        return answer.get("error") or {key: value for key, value in answer["config"].items() if key.startswith("priority")}

    async def pulled(name, body):
        body = json.dumps({"batch": 1, "no_wait": True} | body).encode()
        await nc.publish(f"$JS.API.CONSUMER.MSG.NEXT.PRIO.{name}", body, reply=answers.subject)
        message = await answers.next_msg(5)
        headers = {key: value if key != "Nats-Pin-Id" else "an id" for key, value in (message.headers or {}).items()}
        return [message.data, headers], (message.headers or {}).get("Nats-Pin-Id")

    say("overflow", await consumer("overflow", priority_policy="overflow"))
    say("enough pending", (await pulled("overflow", {"group": "g", "min_pending": 2}))[0])
    say("not enough", (await pulled("overflow", {"group": "g", "min_pending": 20}))[0])
    say("no group", (await pulled("overflow", {}))[0])
    say("pinned", await consumer("pinned", priority_policy="pinned_client", priority_timeout=60_000_000_000))
    first, pin = await pulled("pinned", {"group": "g"})
    say("is pinned", first)
    say("comes with its id", (await pulled("pinned", {"group": "g", "id": pin}))[0])
    say("another id", (await pulled("pinned", {"group": "g", "id": "wrong"}))[0])
    say("unpinned", await question(nc, "$JS.API.CONSUMER.UNPIN.PRIO.pinned", {"group": "g"}))
    say("policy without group", await consumer("none", priority_policy="overflow", priority_groups=[]))


async def main(nc, js):
    await lifetimes(js)
    await counters(nc, js)
    await batches(nc, js)
    await schedules(js)
    await priorities(nc, js)


run(main)
