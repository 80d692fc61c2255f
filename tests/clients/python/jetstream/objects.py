"""Object stores by nats-py. Prints what it saw; argument: the server's URL."""

import hashlib

from nats.js.api import ObjectMeta, ObjectMetaOptions

from said import run, say, say_error

BODY = bytes(n * n % 251 for n in range(1_000_000))


async def main(nc, js):
    store = await js.create_object_store(bucket="files", description="of the test")
    status = await store.status()
    say("status", [status.bucket, status.description, status.sealed, status.stream_info.config])
    say("put", await store.put("large", BODY))
    say("put, small chunks", await store.put("small", b"x" * 1000, meta=ObjectMeta(
        description="in pieces", headers={"Colour": "blue"}, options=ObjectMetaOptions(max_chunk_size=100))))
    say("put, empty", await store.put("empty", b""))
    for name in "large", "small", "empty":
        found = await store.get(name)
        say(f"got {name}", [found.info, len(found.data or b""), hashlib.sha256(found.data or b"").hexdigest()])
    await say_error("got none", store.get("none"))
    say("put again", await store.put("small", b"y" * 50))
    say("info", await store.get_info("small"))
    say("list", sorted((info.name, info.size, info.deleted) for info in await store.list()))
    watcher = await store.watch()
    say("watched", sorted(str(found and found.name) for found in [await watcher.updates() for _ in range(4)]))
    await store.put("later", b"z")
    say("an update", (await watcher.updates()).name)
    await watcher.stop()
    await store.delete("large")
    await say_error("got what is deleted", store.get("large"))
    say("info of what is deleted", await store.get_info("large", show_deleted=True))
    info = await js.stream_info("OBJ_files")
    say("state", [info.state.messages, info.state.first_seq, info.state.last_seq])
    await store.update_meta("later", ObjectMeta(name="later", description="changed"))
    say("changed", await store.get_info("later"))
    await store.seal()
    say("sealed", (await store.status()).sealed)
    await say_error("put to a sealed one", store.put("more", b"x"))
    say("got from a sealed one", (await store.get("later")).data)
    say("deleted", await js.delete_object_store("files"))
    await say_error("gone", js.object_store("files"))


run(main)
