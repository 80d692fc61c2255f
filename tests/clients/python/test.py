"""nats-py against the server at $SERVER: prints a line for each thing that works, ends with an error at the first that does not."""

import asyncio
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import nats
from nats.errors import Error, NoRespondersError

HERE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HERE.parent))
from ports import free

SEED = b"SUAH6HNJ3LG7VOXTLL2XC365TLO5HO3ARUIIAA4FQFQQINOOQBQPBZDMVI"


class Server:
    """A server with one of the files of configs/, on a free port of the loopback interface."""

    def __init__(self, config, **env):
        self.port, self.websocket_port = free(), free()
        self.config, self.env = config, env
        self.url = f"nats://127.0.0.1:{self.port}"
        self.websocket_url = f"ws://127.0.0.1:{self.websocket_port}"
        self.start()

    def start(self):
        arguments = ["-c", f"configs/{self.config}.conf", "-a", "127.0.0.1", "-p", str(self.port)]
        env = os.environ | {"WEBSOCKET_PORT": str(self.websocket_port)} | self.env
        self.process = subprocess.Popen([os.environ["SERVER"], *arguments], cwd=HERE, env=env, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > end or self.process.poll() is not None:
                    sys.exit(f"the server did not start with configs/{self.config}.conf")
                time.sleep(0.02)

    def stop(self):
        self.process.terminate()
        self.process.wait(10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def ok(name):
    print(f"ok {name}", flush=True)


async def refused(url, **options):
    """Connecting with these options must fail, and because of the authorization."""
    errors = []

    async def note(error):
        errors.append(str(error))

    try:
        await nats.connect(url, allow_reconnect=False, max_reconnect_attempts=0, error_cb=note, **options)
    except Error as error:
        errors.append(str(error))
        assert any("authorization violation" in e.lower() for e in errors), errors
        return
    raise AssertionError("was let in")


async def authentication():
    with Server("users") as server:
        for user in ("alice", "bob"):
            nc = await nats.connect(server.url, user=user, password="s3cret")
            await nc.flush()
            await nc.close()
        ok("user and password")
        await refused(server.url, user="alice", password="wrong")
        await refused(server.url)
        ok("wrong password")
    with Server("token") as server:
        nc = await nats.connect(server.url, token="t0ken")
        await nc.flush()
        await nc.close()
        await refused(server.url, token="other")
        ok("token")
    with Server("nkey") as server:
        nc = await nats.connect(server.url, nkeys_seed_str=SEED.decode())
        await nc.flush()
        await nc.close()
        ok("nkey")


async def tls():
    with Server("tls") as server:
        context = ssl.create_default_context(cafile=str(HERE / "tls/ca.pem"))
        nc = await nats.connect(server.url, tls=context, tls_hostname="localhost")
        sub = await nc.subscribe("secret")
        await nc.publish("secret", b"x" * 100_000)
        assert len((await sub.next_msg(5)).data) == 100_000
        await nc.close()
        ok("tls")


async def websocket_tls():
    with Server("websocket-tls") as server:
        context = ssl.create_default_context(cafile=str(HERE / "tls/ca.pem"))
        nc = await nats.connect(f"wss://localhost:{server.websocket_port}", tls=context)
        sub = await nc.subscribe("secret")
        await nc.publish("secret", b"x" * 100_000)
        assert len((await sub.next_msg(5)).data) == 100_000
        await nc.close()
        ok("tls by WebSocket")


async def websocket_users():
    with Server("websocket-users") as server:
        nc = await nats.connect(server.websocket_url, user="page", password="s3cret")
        await nc.flush()
        await nc.close()
        await refused(server.websocket_url, user="page", password="wrong")
        await refused(server.websocket_url, user="shell", password="s3cret")
        ok("users by WebSocket")


async def messages(url):
    nc = await nats.connect(url)
    ok("connect")

    sub = await nc.subscribe("greet.*")
    for n in range(1000):
        await nc.publish(f"greet.{n}", str(n).encode())
    for n in range(1000):
        msg = await sub.next_msg(5)
        assert (msg.subject, msg.data) == (f"greet.{n}", str(n).encode())
    await sub.unsubscribe()
    await nc.publish("greet.late")
    await nc.flush()
    ok("publish and subscribe")

    counts = [0, 0, 0]

    def member(n):
        async def count(_):
            counts[n] += 1

        return count

    for n in range(3):
        await nc.subscribe("work", queue="workers", cb=member(n))
    for _ in range(300):
        await nc.publish("work", b"job")
    await nc.flush()
    end = time.monotonic() + 5
    while sum(counts) < 300 and time.monotonic() < end:
        await asyncio.sleep(0.01)
    assert sum(counts) == 300 and all(counts), counts
    ok("queue groups")

    async def double(msg):
        await msg.respond(msg.data * 2)

    await nc.subscribe("double", cb=double)
    assert (await nc.request("double", b"ab", timeout=5)).data == b"abab"
    ok("request and reply")
    try:
        await nc.request("nobody.there", b"", timeout=5)
        raise AssertionError("somebody answered")
    except NoRespondersError:
        ok("no responders")

    sub = await nc.subscribe("headers")
    await nc.publish("headers", b"body", headers={"One": "1", "Two": "zwei"})
    msg = await sub.next_msg(5)
    assert msg.headers == {"One": "1", "Two": "zwei"} and msg.data == b"body"
    ok("headers")
    await nc.close()


async def drain(url):
    other = await nats.connect(url)
    nc = await nats.connect(url)
    seen = 0

    async def slow(_):
        nonlocal seen
        await asyncio.sleep(0.001)
        seen += 1

    await nc.subscribe("drain", cb=slow)
    await nc.flush()
    for _ in range(200):
        await other.publish("drain", b"x")
    await other.flush()
    await nc.flush()
    await nc.drain()
    assert seen == 200 and nc.is_closed, seen
    await other.close()
    ok("drain")


async def reconnect(server, url):
    back = asyncio.Event()

    async def note():
        back.set()

    async def ignore(_):
        pass

    nc = await nats.connect(
        url, reconnect_time_wait=0.05, max_reconnect_attempts=-1, reconnected_cb=note, error_cb=ignore
    )
    sub = await nc.subscribe("again")
    await nc.flush()
    server.stop()
    server.start()
    await asyncio.wait_for(back.wait(), 10)
    await nc.publish("again", b"here")
    assert (await sub.next_msg(5)).data == b"here"
    await nc.close()
    ok("reconnect")


async def acknowledged():
    """The example of docs/mesh.md: whoever publishes at the other server reaches each subscription that was acknowledged."""
    page = (HERE.parent.parent / "docs/mesh.md").read_text()
    example = {}
    exec(re.search(r"```text\n(async def subscribe_everywhere.*?)```", page, re.DOTALL)[1], example)
    port = str(free())
    first = {"FIRST_ROUTE": f"nats://127.0.0.1:{port}"}
    with Server("acknowledged", ROUTE_PORT=port, **first) as one, Server("acknowledged", ROUTE_PORT="-1", **first) as two:
        here, there = await nats.connect(one.url), await nats.connect(two.url)
        servers = 0
        while not servers:
            answer = await here.request("$SYS.REQ.USER.SUBSCRIBED", timeout=5)
            servers = json.loads(answer.data)["data"]["servers"]
        for number in range(100):
            subscription = await example["subscribe_everywhere"](here, f"news.{number}")
            await there.publish(f"news.{number}", b"hello")
            assert (await subscription.next_msg(timeout=5)).data == b"hello"
        await here.close()
        await there.close()
    ok("acknowledged subscriptions")


async def rebalanced():
    """A rolling restart: clients are handed over to the server that started last. How many go is left open: this library may come back to the other one."""
    ports = [free(), free()]
    first = f"nats://127.0.0.1:{ports[0]}"
    servers = [Server("rebalanced", ROUTE_PORT=str(port), FIRST_ROUTE=first) for port in ports]

    async def ignore(_):
        pass

    options = {"reconnect_time_wait": 0.05, "max_reconnect_attempts": -1, "error_cb": ignore}
    clients = [await nats.connect(server.url, **options) for server in servers for _ in range(4)]
    subscriptions = [await nc.subscribe(f"box.{number}") for number, nc in enumerate(clients)]

    def counts():
        at = [nc.connected_url.netloc if nc.is_connected else None for nc in clients]
        return [at.count(f"127.0.0.1:{server.port}") for server in servers]

    async def until(is_so):
        while not is_so(counts()):
            await asyncio.sleep(0.05)

    for number, server in enumerate(servers):
        # All know where else they may go.
        await until(lambda _: all(len({uri.netloc for uri in nc.servers}) == 2 for nc in clients))
        server.stop()
        await until(lambda counts: counts[number] == 0 and sum(counts) == 8)
        server.start()
    assert counts() == [8, 0]
    await asyncio.wait_for(until(lambda counts: sum(counts) == 8 and counts[1] > 0), 60)
    publisher = await nats.connect(servers[0].url)
    for number, subscription in enumerate(subscriptions):
        await clients[number].flush()
        await publisher.publish(f"box.{number}", b"still there")
        assert (await subscription.next_msg(5)).data == b"still there"
    await publisher.close()
    for nc in clients:
        await nc.close()
    for server in servers:
        server.stop()
    ok("clients are handed over after a restart")


async def main():
    with Server("open") as server:
        await messages(server.url)
        await drain(server.url)
        await reconnect(server, server.url)
    with Server("websocket") as server:
        print("by WebSocket:", flush=True)
        await messages(server.websocket_url)
        await drain(server.websocket_url)
        await reconnect(server, server.websocket_url)
    await websocket_users()
    await websocket_tls()
    await authentication()
    await tls()
    if Path(os.environ["SERVER"]).name == "dialtone":
        await acknowledged()
        await rebalanced()


asyncio.run(main())
