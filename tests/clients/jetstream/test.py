"""JetStream of official servers is used by clients of a server at $SERVER, which has none: as a member of their cluster, as the one by which
another cluster leads to theirs, and as a leaf node. Prints a line for each thing that works, ends with an error at the first that does not.

$OFFICIAL is the official server, $NATS the `nats` tool.
"""

import asyncio
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

import nats
from nats.errors import Error
from nats.js.api import Placement, StreamConfig

from network import PATIENCE, Server, cluster, until

TOOL = os.environ["NATS"]


def ok(name):
    print(f"ok {name}", flush=True)


async def again(act, what):
    """What it returns, once it works: where a leader is elected nobody answers for a while."""
    began = time.monotonic()
    while True:
        try:
            if found := await act():
                return found
        except (Error, asyncio.TimeoutError) as problem:
            what = f"{what.split(':')[0]}: {problem!r}"
        assert time.monotonic() - began < PATIENCE, f"waiting for {what}"
        await asyncio.sleep(0.1)


def tool(server, *words, user="app"):
    done = subprocess.run([TOOL, "--no-context", "--server", f"nats://127.0.0.1:{server.port}", "--user", user, "--password", user, *words],
                          capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"nats {' '.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def peers(server):
    """The members of the meta group as its leader sees them, with whether each is up to date; nothing while there is no leader."""
    group = server.asked("/jsz").get("meta_cluster") or {}
    replicas = group.get("replicas") or []
    found = {server.name: True} | {peer["name"]: peer.get("current", False) for peer in replicas}
    return (group["cluster_size"], found) if group.get("leader") == server.name else None


def meta_group(servers):
    """The size of the meta group and its members, once its leader counts all as up to date."""
    def whole():
        group = next(filter(None, map(peers, servers)), None)
        return group if group and len(group[1]) == len(servers) and all(group[1].values()) else None
    return until(whole, "the meta group")


async def streams(js):
    """A stream of three replicas, with consumers."""
    await again(lambda: js.add_stream(name="ORDERS", subjects=["orders.>"], num_replicas=3), "a stream")
    for n in range(100):
        acknowledged = await again(lambda: js.publish(f"orders.{n % 4}", str(n).encode()), "an acknowledgement")
        assert acknowledged.seq == n + 1, acknowledged
    pull = await js.pull_subscribe("orders.>", "worker")
    found = []
    while len(found) < 100:
        for message in await pull.fetch(25, timeout=PATIENCE):
            found.append(int(message.data))
            await message.ack_sync(timeout=PATIENCE)
    assert found == list(range(100)), found
    pushed = await js.subscribe("orders.1", ordered_consumer=True)
    assert [int((await pushed.next_msg(PATIENCE)).data) for _ in range(25)] == list(range(1, 100, 4))
    await pushed.unsubscribe()
    info = await js.consumer_info("ORDERS", "worker")
    assert (info.num_pending, info.num_ack_pending) == (0, 0), info
    ok("streams and consumers")


async def buckets(js, replicas):
    bucket = await again(lambda: js.create_key_value(bucket="settings", history=5, replicas=replicas), "a bucket")
    watcher = await bucket.watchall()
    assert await watcher.updates(timeout=PATIENCE) is None, "it is empty"
    # Its interest may not have come here yet.
    await again(lambda: bucket.put("colour", b"red"), "a bucket that answers")
    await bucket.put("colour", b"blue")
    assert [(await watcher.updates(timeout=PATIENCE)).value for _ in range(2)] == [b"red", b"blue"]
    assert [entry.value for entry in await bucket.history("colour")] == [b"red", b"blue"]
    await bucket.delete("colour")
    ok("key-value bucket")
    objects = await again(lambda: js.create_object_store(bucket="files"), "an object store")
    body = os.urandom(1 << 20)
    await objects.put("a file", body)
    assert (await objects.get("a file")).data == body
    ok("object store")


def by_tool(server):
    """The same by the `nats` tool."""
    assert "ORDERS" in tool(server, "stream", "ls")
    assert json.loads(tool(server, "stream", "info", "ORDERS", "--json"))["state"]["messages"] == 100
    assert json.loads(tool(server, "consumer", "info", "ORDERS", "worker", "--json"))["delivered"]["stream_seq"] == 100
    assert "hello" in tool(server, "stream", "get", "ORDERS", str(stored(server, "orders.tool", "hello")))
    tool(server, "kv", "put", "settings", "size", "big")
    assert tool(server, "kv", "get", "settings", "size", "--raw").strip() == "big"
    assert "a file" in tool(server, "object", "ls", "files")
    report = tool(server, "server", "report", "jetstream", user="sys")
    assert "store-1" in report and f"│ {server.name} " not in report[report.index("Meta Group"):], report
    ok("nats")


def stored(server, subject, text):
    """Where a message is in its stream."""
    return json.loads(tool(server, "request", "--raw", subject, text))["seq"]


async def leader_of(js, stream):
    async def found():
        return (await js.stream_info(stream)).cluster.leader
    return await again(found, f"a leader of {stream}")


async def a_leader_dies(js, members):
    """Streams go on without the server that led them, and with it again."""
    last = (await js.stream_info("ORDERS")).state.last_seq
    name = await leader_of(js, "ORDERS")
    killed = next(member for member in members if member.name == name)
    killed.end(kill=True)
    # One that is sent again, since its acknowledgement was lost, has the same id.
    for n in range(20):
        await again(lambda: js.publish("orders.late", str(n).encode(), headers={"Nats-Msg-Id": f"late-{n}"}), "an acknowledgement")
    assert (await js.stream_info("ORDERS")).state.last_seq == last + 20
    killed.start()
    until(lambda: killed.asked("/healthz").get("status") == "ok", f"{name}, which comes back")
    ok("a stream whose leader dies")


async def member(folder):
    """A member of a cluster of official servers, and the only one of it that another official cluster dials."""
    ours = Server("ours", folder)
    stores = [Server(f"store-{n}", folder, store=True) for n in (1, 2, 3)]
    far = Server("far", folder, store=True)
    everyone = [ours, *stores, far]
    try:
        cluster("near", [ours, *stores], [("away", far)])
        cluster("away", [far], [("near", ours)])
        size, found = meta_group([*stores, far])
        assert (size, set(found)) == (4, {"store-1", "store-2", "store-3", "far"}), (size, found)
        out = far.asked("/gatewayz")["outbound_gateways"]["near"]["connection"]
        assert out["port"] == ours.gateway, f"it leads elsewhere: {out}"
        ok("a meta group that knows nothing of it, and that it leads to")
        client = await nats.connect(ours.url, max_reconnect_attempts=-1)
        js = client.jetstream(timeout=5)
        await streams(js)
        await buckets(js, replicas=3)
        by_tool(ours)
        config = StreamConfig(name="AWAY", subjects=["away.>"], placement=Placement(cluster="away"))
        await again(lambda: js.add_stream(config), "a stream in the other cluster")
        for n in range(10):
            await again(lambda: js.publish(f"away.{n}", b"x", headers={"Nats-Msg-Id": str(n)}), "an acknowledgement")
        assert (await js.stream_info("AWAY")).state.messages == 10
        assert await leader_of(js, "AWAY") == "far"
        ok("a stream of another cluster")
        await a_leader_dies(js, stores)
        size, found = meta_group([*stores, far])
        assert (size, len(found)) == (4, 4), found
        await client.close()
    finally:
        for server in everyone:
            server.end()


async def leaf(folder):
    """A leaf node of an official server with JetStream of a domain."""
    hub = Server("hub", folder, store=True, domain="hub")
    ours = Server("leaf", folder)
    try:
        hub.start(f'leafnodes {{ listen: "127.0.0.1:{hub.leaf}" }}\n')
        remote = ", ".join(f'{{ account: {user.upper()}, url: "nats-leaf://{user}:{user}@127.0.0.1:{hub.leaf}" }}' for user in ("app", "sys"))
        ours.start(f"leafnodes {{ remotes: [ {remote} ] }}\n")
        until(lambda: ours.asked("/leafz").get("leafnodes") == 2, "the leaf node")
        client = await nats.connect(ours.url)
        js = client.jetstream(domain="hub", timeout=5)
        await again(lambda: js.add_stream(name="EDGE", subjects=["edge.>"]), "a stream of the hub")
        for n in range(20):
            acknowledged = await again(lambda: js.publish(f"edge.{n}", str(n).encode(), headers={"Nats-Msg-Id": str(n)}), "an acknowledgement")
            assert acknowledged.domain == "hub", acknowledged
        pull = await js.pull_subscribe("edge.>", "worker")
        found = await pull.fetch(20, timeout=PATIENCE)
        assert [int(message.data) for message in found] == list(range(20))
        for message in found:
            await message.ack_sync(timeout=PATIENCE)
        ok("a domain behind a leaf node")
        assert "EDGE" in tool(ours, "--js-domain", "hub", "stream", "ls")
        tool(ours, "--js-domain", "hub", "kv", "add", "settings")
        tool(ours, "--js-domain", "hub", "kv", "put", "settings", "size", "big")
        assert tool(ours, "--js-domain", "hub", "kv", "get", "settings", "size", "--raw").strip() == "big"
        ok("nats with a domain")
        await client.close()
    finally:
        ours.end()
        hub.end()


async def main():
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"HOME": folder, "XDG_CONFIG_HOME": folder}
        await member(Path(folder) / "member")
        await leaf(Path(folder) / "leaf")


asyncio.run(main())
