"""Streams by nats-py: create, inform, update, list, read, delete, purge. Prints what it saw; argument: the server's URL."""

from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

from said import question, run, say, say_error


async def configurations(js):
    say("created", await js.add_stream(name="ORDERS", subjects=["orders.>"]))
    say("the same again", await js.add_stream(name="ORDERS", subjects=["orders.>"]))
    await say_error("another with its name", js.add_stream(name="ORDERS", subjects=["others.>"]))
    await say_error("subjects overlap", js.add_stream(name="OTHER", subjects=["orders.new"]))
    await say_error("three replicas", js.add_stream(name="THREE", subjects=["three"], num_replicas=3))
    await say_error("no subject", js.add_stream(name="BAD", subjects=["a..b"]))
    whole = StreamConfig(name="WHOLE", description="all limits", subjects=["whole.*"], retention=RetentionPolicy.LIMITS, max_consumers=5, max_msgs=100,
                         max_bytes=100_000, discard=DiscardPolicy.NEW, max_age=3600, max_msgs_per_subject=10, max_msg_size=1000, storage=StorageType.MEMORY,
                         duplicate_window=60, deny_delete=True, allow_rollup_hdrs=True, allow_direct=True, metadata={"owner": "test"})
    say("all limits", await js.add_stream(whole))
    whole.description, whole.max_msgs, whole.subjects = "updated", 200, ["whole.*", "more.>"]
    say("updated", await js.update_stream(whole))
    whole.storage = StorageType.FILE
    await say_error("storage does not change", js.update_stream(whole))
    whole.storage, whole.name = StorageType.MEMORY, "NONE"
    await say_error("update of none", js.update_stream(whole))
    await say_error("info of none", js.stream_info("NONE"))
    await say_error("deletion of none", js.delete_stream("NONE"))


async def lists(nc, js):
    say("names", await question(nc, "$JS.API.STREAM.NAMES"))
    say("names by subject", await question(nc, "$JS.API.STREAM.NAMES", {"subject": "more.than.this"}))
    say("found by subject", await js.find_stream_name_by_subject("orders.1"))
    await say_error("found by no subject", js.find_stream_name_by_subject("nowhere"))
    say("list", sorted(info.config.name for info in await js.streams_info()))
    say("list by iterator", sorted([info.config.name for info in await js.streams_info_iterator()]))


async def messages(nc, js):
    for n in range(20):
        await js.publish(f"orders.{n % 4}", str(n).encode(), headers={"Number": str(n)} if n % 2 else None)
    say("state", (await js.stream_info("ORDERS")).state)
    say("state by subject", (await js.stream_info("ORDERS", subjects_filter="orders.*")).state)
    say("by sequence", await js.get_msg("ORDERS", 6))
    say("last by subject", await js.get_last_msg("ORDERS", "orders.2"))
    say("next by subject", await js.get_msg("ORDERS", 7, subject="orders.1", next=True))
    await say_error("by a sequence that is not there", js.get_msg("ORDERS", 100))
    await say_error("by a subject that is not there", js.get_last_msg("ORDERS", "orders.none"))
    say("deleted", await js.delete_msg("ORDERS", 6))
    await say_error("deleted again", js.delete_msg("ORDERS", 6))
    await say_error("reading what is deleted", js.get_msg("ORDERS", 6))
    info = await question(nc, "$JS.API.STREAM.INFO.ORDERS", {"deleted_details": True})
    say("deleted details", info["state"])
    say("purged by subject", await js.purge_stream("ORDERS", subject="orders.3"))
    say("purged but", await js.purge_stream("ORDERS", subject="orders.0", keep=2))
    say("purged up to", await js.purge_stream("ORDERS", seq=12))
    say("state after", (await js.stream_info("ORDERS", subjects_filter=">")).state)
    say("purged", await js.purge_stream("ORDERS"))
    say("state at the end", (await js.stream_info("ORDERS")).state)
    say("published after", await js.publish("orders.1", b"later"))


async def direct(nc, js):
    await js.add_stream(name="DIRECT", subjects=["direct.*"], allow_direct=True)
    for n in range(6):
        await js.publish(f"direct.{n % 2}", str(n).encode())
    say("direct by sequence", await js.get_msg("DIRECT", 3, direct=True))
    say("direct last", await js.get_msg("DIRECT", subject="direct.1", direct=True))
    say("direct next", await js.get_msg("DIRECT", 2, subject="direct.0", next=True, direct=True))
    await say_error("direct of none", js.get_msg("DIRECT", 100, direct=True))
    answer = await nc.request("$JS.API.DIRECT.GET.DIRECT.direct.0", timeout=5)
    say("direct by name", [answer.data, answer.headers])
    say("deleted stream", await js.delete_stream("DIRECT"))


async def main(nc, js):
    await configurations(js)
    await lists(nc, js)
    await messages(nc, js)
    await direct(nc, js)
    info = await js.account_info()
    say("account", [info.streams, info.consumers, info.limits, info.domain, info.api.level])
    say("account uses files", info.storage > 0)


run(main)
