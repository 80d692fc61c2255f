"""Key-value buckets by nats-py. Prints what it saw; argument: the server's URL."""

from nats.js.api import KeyValueConfig, StorageType

from said import run, say, say_error, until


def entry(found):
    return found and [found.key, found.value, found.revision, found.delta, found.operation]


async def keys_and_values(js):
    bucket = await js.create_key_value(bucket="settings", history=3, description="of the test")
    status = await bucket.status()
    say("status", [status.bucket, status.values, status.history, status.ttl, status.stream_info])
    say("put", await bucket.put("colour", b"red"))
    say("got", entry(await bucket.get("colour")))
    say("put again", await bucket.put("colour", b"blue"))
    say("created", await bucket.create("size", b"big"))
    await say_error("created again", bucket.create("size", b"small"))
    say("updated", await bucket.update("size", b"small", last=3))
    await say_error("updated with a wrong revision", bucket.update("size", b"huge", last=3))
    say("got a revision", entry(await bucket.get("size", revision=3)))
    await say_error("got another key's revision", bucket.get("size", revision=1))
    await say_error("got none", bucket.get("weight"))
    for value in b"green", b"white":
        await bucket.put("colour", value)
    say("history", [entry(found) for found in await bucket.history("colour")])
    say("keys", sorted(await bucket.keys()))
    say("deleted", await bucket.delete("size"))
    await say_error("got what is deleted", bucket.get("size"))
    say("keys after", sorted(await bucket.keys()))
    say("created after deletion", await bucket.create("size", b"back"))
    say("purged", await bucket.purge("colour"))
    say("history after", [entry(found) for found in await bucket.history("colour")])
    await say_error("got what is purged", bucket.get("colour"))
    await say_error("not a key", bucket.put("not a key", b""))
    say("deletes purged", await bucket.purge_deletes(olderthan=-1))
    say("state", (await bucket.status()).stream_info.state)
    say("bound", (await (await js.key_value("settings")).status()).bucket)
    await say_error("none of this name", js.key_value("others"))


async def watchers(nc, js):
    bucket = await js.create_key_value(bucket="watched", history=5)
    for n in range(4):
        await bucket.put(f"key.{n % 2}", str(n).encode())
    await bucket.delete("key.1")
    watcher = await bucket.watchall()
    say("last values", [entry(await watcher.updates()) for _ in range(3)])
    await bucket.put("key.2", b"new")
    say("an update", entry(await watcher.updates()))
    await watcher.stop()
    watcher = await bucket.watch("key.0", include_history=True)
    say("all of a key", [entry(await watcher.updates()) for _ in range(3)])
    await watcher.stop()
    watcher = await bucket.watchall(ignore_deletes=True, meta_only=True)
    say("only keys", [entry(await watcher.updates()) for _ in range(3)])
    await watcher.stop()
    many = await js.create_key_value(bucket="many", storage=StorageType.MEMORY)
    for n in range(500):
        await many.put(f"k.{n}", b"x")
    say("many keys", len(await many.keys()))
    watcher = await many.watch("k.7")
    say("one of many", [entry(await watcher.updates()) for _ in range(2)])


async def lifetimes(js):
    bucket = await js.create_key_value(KeyValueConfig(bucket="short", ttl=1.0, history=1))
    await bucket.put("brief", b"x")

    async def left():
        return (await bucket.status()).stream_info.state.messages
    say("kept for a second", [await left(), await until(left, lambda count: count == 0, "its end")])
    await say_error("got afterwards", bucket.get("brief"))


async def main(nc, js):
    await keys_and_values(js)
    await watchers(nc, js)
    await lifetimes(js)
    say("deleted", await js.delete_key_value("watched"))
    await say_error("deleted again", js.delete_key_value("watched"))


run(main)
