"""A server that is killed again and again while clients publish, consume, delete and purge; started by tests/faults/crash.

After each start what is there is held against what was acknowledged: nothing of that is lost or changed, nothing that is gone comes back, nobody sent
nothing else, no sequence is given twice, and a consumer goes on behind what it was answered to have acknowledged.
"""

import argparse
import asyncio
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

import nats
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, RetentionPolicy, StreamConfig
from nats.js.errors import APIError

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import ports

SERVER = os.environ["SERVER"]
OFFICIAL = "nats-server" in Path(SERVER).name
PATIENCE = 30
SUBJECTS = 8
KEYS = 12


class Server:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.port = ports.free()
        # The official server acknowledges before it has synced, unless it is told otherwise. Ours has a checkpoint so often.
        sync = "sync_interval: always" if OFFICIAL else "sync_interval: 40ms"
        (self.folder / "server.conf").write_text(f'listen: "127.0.0.1:{self.port}"\njetstream {{ store_dir: "{self.folder}/store"\n {sync} }}\n')

    def start(self):
        with open(self.folder / "log", "a") as log:
            self.process = subprocess.Popen([SERVER, "-c", self.folder / "server.conf"], stdout=log, stderr=log)
        began = time.monotonic()
        while time.monotonic() - began < PATIENCE and self.process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                    if connection.recv(4) == b"INFO":
                        return
            except OSError:
                time.sleep(0.01)
        raise SystemExit("the server did not start:\n" + (self.folder / "log").read_text()[-3000:])

    def kill(self):
        assert self.process.poll() is None, f"the server ended with {self.process.returncode}:\n" + (self.folder / "log").read_text()[-3000:]
        self.process.kill()
        self.process.wait()

    async def connect(self):
        async def ignore(*_):
            pass
        return await nats.connect(f"nats://127.0.0.1:{self.port}", allow_reconnect=False, max_reconnect_attempts=0, error_cb=ignore, closed_cb=ignore, disconnected_cb=ignore)


def body(number):
    """What is published under this number: mostly short, now and then long."""
    size = random.Random(number).choice([0, 10, 100, 100, 1000, 70_000 if number % 40 == 0 else 300])
    return b"%d:" % number + bytes([97 + number % 26]) * size


class Book:
    """What is known of a stream's messages."""

    def __init__(self):
        self.sent = {}  # number -> subject
        self.stored = {}  # sequence -> number, acknowledged or seen
        self.gone = set()  # sequences that were answered to be gone, or seen to be
        self.going = set()  # sequences that somebody asked to be gone
        self.highest = 0


class Test:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.number = 0
        self.log, self.work = Book(), Book()
        self.acknowledged = defaultdict(set)  # consumer -> stream sequences answered to be acknowledged
        self.asked = defaultdict(set)  # consumer -> those that somebody sent an acknowledgement of, answered or not
        self.offered = defaultdict(set)  # consumer -> stream sequences delivered at all
        self.keys = defaultdict(lambda: [(0, None)])  # key -> what its last values may be, as (revision, number), 0: in flight
        self.wrong = Counter()
        self.examples = {}
        self.done = Counter()

    def violated(self, what, example):
        # The official server answers an acknowledgement before it keeps it, and after a purge by subject and a crash its floors may be too high.
        if OFFICIAL and any(known in what for known in ("delivered again", "the floor is above", "never comes")):
            self.done[what] += 1
            return
        self.wrong[what] += 1
        self.examples.setdefault(what, example)

    # --- load

    async def publisher(self, js, book, prefix):
        while True:
            self.number += 1
            number, subject = self.number, f"{prefix}.{self.random.randrange(SUBJECTS)}"
            book.sent[number] = subject
            ack = await js.publish(subject, body(number), timeout=PATIENCE)
            # A consumer may have seen it before the answer came.
            if book.stored.get(ack.seq, number) != number:
                self.violated("a sequence given twice", (ack.seq, book.stored[ack.seq], number))
            book.stored[ack.seq] = number
            book.highest = max(book.highest, ack.seq)
            self.done["published"] += 1

    async def deleter(self, js):
        while True:
            here = [sequence for sequence in list(self.log.stored)[-500:] if sequence not in self.log.going]
            if not here:
                await asyncio.sleep(0.01)
                continue
            sequence = self.random.choice(here)
            self.log.going.add(sequence)
            try:
                await js.delete_msg("LOG", sequence)
            except APIError as error:
                # A purge may have been first.
                if error.err_code != 10043:
                    raise
            self.log.gone.add(sequence)
            self.done["deleted"] += 1

    async def purger(self, js):
        while True:
            await asyncio.sleep(self.random.random() / 10)
            subject = f"log.{self.random.randrange(SUBJECTS)}"
            before = {sequence for sequence, number in self.log.stored.items() if self.log.sent[number] == subject} - self.log.gone
            # Those in flight may be among them, whatever their sequence.
            self.log.going |= before
            limit = max(before, default=0) + 1
            self.log.going |= set(range(limit)) & before
            await js.purge_stream("LOG", subject=subject, seq=limit)
            self.log.gone |= {sequence for sequence in before if sequence < limit}
            self.done["purged"] += 1

    async def consumer(self, js, stream, name, book):
        pull = await js.pull_subscribe_bind(name, stream)
        while True:
            try:
                messages = await pull.fetch(20, timeout=0.2)
            except asyncio.TimeoutError:
                continue
            for message in messages:
                sequence = message.metadata.sequence.stream
                self.delivered(name, sequence, message, book)
                if self.random.random() < 0.8:
                    self.asked[name].add(sequence)
                    if stream == "WORK":
                        book.going.add(sequence)
                    await message.ack_sync(timeout=PATIENCE)
                    self.acknowledged[name].add(sequence)
                    if stream == "WORK":
                        book.gone.add(sequence)
                    self.done["consumed"] += 1

    def delivered(self, name, sequence, message, book):
        if sequence in self.acknowledged[name]:
            self.violated(f"{name}: acknowledged, and delivered again", sequence)
        self.offered[name].add(sequence)
        self.known(name, sequence, message.subject, message.data, book)

    def known(self, where, sequence, subject, data, book):
        """A message that somebody sees must be one that somebody sent, as it was sent."""
        number = book.stored.get(sequence)
        if number is None:
            text = data.split(b":")[0]
            number = int(text) if text.isdigit() else -1
            if book.sent.get(number) != subject:
                return self.violated(f"{where}: a message that nobody sent", (sequence, subject, data[:30]))
            book.stored[sequence] = number
        if book.sent[number] != subject or body(number) != data:
            self.violated(f"{where}: a message that was changed", (sequence, subject, data[:30], number))

    async def putter(self, js, mine):
        while True:
            key = f"kv.{self.random.choice(mine)}"
            self.number += 1
            self.keys[key].append((0, self.number))
            ack = await js.publish(key, body(self.number) if self.random.random() < 0.8 else b"gone", timeout=PATIENCE)
            self.keys[key] = [(ack.seq, self.keys[key][-1][1])]
            self.done["put"] += 1

    async def load(self, server, seconds):
        connections = [await server.connect() for _ in range(4)]
        js = [connection.jetstream(timeout=PATIENCE) for connection in connections]
        tasks = [
            *(self.publisher(js[n % 4], self.log, "log") for n in range(6)), *(self.publisher(js[n % 4], self.work, "work") for n in range(3)),
            self.deleter(js[0]), self.purger(js[1]), self.putter(js[2], range(0, KEYS, 2)), self.putter(js[3], range(1, KEYS, 2)),
            self.consumer(js[2], "LOG", "reader", self.log), self.consumer(js[3], "WORK", "worker", self.work), self.consumer(js[0], "WORK", "worker", self.work),
        ]
        tasks = [asyncio.create_task(task) for task in tasks]
        await asyncio.sleep(seconds)
        ended = [task.exception() for task in tasks if task.done()]
        server.kill()
        # What has come is still read.
        await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in connections:
            await connection.close()
        if ended:
            raise ended[0]

    # --- verification

    async def create(self, js):
        await js.add_stream(StreamConfig(name="LOG", subjects=["log.*"]))
        await js.add_stream(StreamConfig(name="WORK", subjects=["work.*"], retention=RetentionPolicy.WORK_QUEUE))
        await js.add_stream(StreamConfig(name="KEYS", subjects=["kv.*"], max_msgs_per_subject=1))
        for stream, name in ("LOG", "reader"), ("WORK", "worker"):
            await js.add_consumer(stream, ConsumerConfig(durable_name=name, ack_wait=3, max_ack_pending=5000))

    async def content(self, nc, js, stream, first=1):
        """All messages of a stream from a sequence on, as they are stored."""
        state = (await js.stream_info(stream)).state
        found = {}
        if stream == "WORK":
            # Such a stream has one consumer alone: its messages are asked for one by one.
            sequence = max(first, state.first_seq)
            while sequence <= state.last_seq:
                answer = json.loads((await nc.request("$JS.API.STREAM.MSG.GET.WORK", json.dumps({"seq": sequence, "next_by_subj": ">"}).encode(), timeout=PATIENCE)).data)
                if "error" in answer:
                    break
                message = await js.get_msg("WORK", answer["message"]["seq"])
                found[message.seq] = (message.subject, message.data or b"")
                sequence = message.seq + 1
            return state, found
        info = await js.add_consumer(stream, ConsumerConfig(
            name=f"check-{self.random.randrange(1 << 60)}", deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=first, ack_policy=AckPolicy.NONE, mem_storage=True, inactive_threshold=60))
        pull = await js.pull_subscribe_bind(info.name, stream)
        while len(found) < info.num_pending:
            for message in await pull.fetch(min(500, info.num_pending - len(found)), timeout=PATIENCE):
                found[message.metadata.sequence.stream] = (message.subject, message.data)
        await pull.unsubscribe()
        await js.delete_consumer(stream, info.name)
        return state, found

    async def verify_book(self, nc, js, stream, book, first):
        state, found = await self.content(nc, js, stream, first)
        if state.last_seq < book.highest:
            self.violated(f"{stream}: the last sequence is before an acknowledged one", (state.last_seq, book.highest))
        for sequence, number in book.stored.items():
            if sequence >= first and sequence not in found and sequence not in book.going and sequence not in book.gone:
                self.violated(f"{stream}: acknowledged, and lost", (sequence, number, state.first_seq, state.last_seq))
                book.gone.add(sequence)
        for sequence, (subject, data) in found.items():
            if sequence in book.gone:
                self.violated(f"{stream}: gone, and back", sequence)
            self.known(stream, sequence, subject, data, book)
        # What somebody asked to be gone is, or is not; from here on it stays as it is.
        book.gone |= {sequence for sequence in book.going if sequence >= first and sequence not in found}
        book.going = {sequence for sequence in book.going if sequence in book.gone}
        book.highest = max(book.highest, state.last_seq)
        return found

    async def verify_keys(self, nc, js):
        state, found = await self.content(nc, js, "KEYS")
        by_key = defaultdict(list)
        for sequence, (subject, data) in found.items():
            by_key[subject].append((sequence, data))
        for key, candidates in self.keys.items():
            values = by_key.get(key, [])
            if len(values) > 1:
                self.violated("KEYS: more than the last value of a key", (key, values))
            allowed = {number for _, number in candidates}
            value = max(values, default=(0, None))
            number = None if value[1] is None else next((n for n in allowed if n is not None and value[1] in (body(n), b"gone")), -1)
            if number not in allowed:
                self.violated("KEYS: not the last value of a key", (key, value, candidates))
            if value[0] < candidates[0][0]:
                self.violated("KEYS: an older value of a key", (key, value, candidates))
            self.keys[key] = [(value[0], number)]

    async def verify_consumer(self, js, stream, name):
        info = await js.consumer_info(stream, name)
        floor, delivered = info.ack_floor.stream_seq, info.delivered.stream_seq
        if floor > delivered:
            self.violated(f"{name}: the floor is above what is delivered", (floor, delivered))
        book = self.log if stream == "LOG" else self.work
        skipped = [sequence for sequence in book.stored if sequence <= floor and sequence not in self.offered[name] and sequence not in book.going and sequence not in book.gone]
        if skipped:
            self.violated(f"{name}: the floor is above what was never delivered", (floor, skipped[:5]))

    async def verify(self, server, first):
        nc = await server.connect()
        js = nc.jetstream(timeout=PATIENCE)
        # What is acknowledged without an answer may be lost: the check is of answers alone.
        for stream, name in ("LOG", "reader"), ("WORK", "worker"):
            await self.verify_consumer(js, stream, name)
        await self.verify_book(nc, js, "LOG", self.log, first)
        await self.verify_book(nc, js, "WORK", self.work, 1)
        await self.verify_keys(nc, js)
        await nc.close()

    async def drain(self, server):
        """In the end all that is left is consumed: each message that was never acknowledged comes, and no other."""
        nc = await server.connect()
        js = nc.jetstream(timeout=PATIENCE)
        for stream, name, book in ("LOG", "reader", self.log), ("WORK", "worker", self.work):
            _, left = await self.content(nc, js, stream)
            # What was acknowledged without an answer may come, or may not.
            wanted = set(left) - self.asked[name]
            pull = await js.pull_subscribe_bind(name, stream)
            began = time.monotonic()
            while wanted and time.monotonic() - began < PATIENCE:
                try:
                    messages = await pull.fetch(200, timeout=1)
                except asyncio.TimeoutError:
                    continue
                for message in messages:
                    sequence = message.metadata.sequence.stream
                    self.delivered(name, sequence, message, book)
                    await message.ack_sync(timeout=PATIENCE)
                    self.acknowledged[name].add(sequence)
                    wanted.discard(sequence)
                    began = time.monotonic()
            if wanted:
                self.violated(f"{name}: never comes", (len(wanted), sorted(wanted)[:5]))
        await nc.close()


async def main():
    # The client's own tasks end with the connection, which is no news here.
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--keep", action="store_true", help="keep the store in a folder that is named")
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.rounds} rounds, {SERVER}")
    test = Test(options.seed)
    folder = tempfile.mkdtemp() if options.keep else tempfile.TemporaryDirectory()
    server = Server(folder if options.keep else folder.name)
    server.start()
    nc = await server.connect()
    await test.create(nc.jetstream(timeout=PATIENCE))
    await nc.close()
    for round in range(options.rounds):
        await test.load(server, test.random.uniform(0.05, 0.6))
        server.start()
        await test.verify(server, 1 if round % 10 == 9 else max(1, test.log.highest - 3000))
        if test.wrong:
            print(f"round {round}: {dict(test.wrong)}")
            break
    await test.verify(server, 1)
    await test.drain(server)
    server.kill()
    print(", ".join(f"{count} {what}" for what, count in sorted(test.done.items())))
    for what, count in test.wrong.items():
        print(f"WRONG: {what}: {count} times, for example {test.examples[what]}")
    if options.keep:
        print(f"kept in {server.folder}")
    raise SystemExit(1 if test.wrong else 0)


asyncio.run(main())
