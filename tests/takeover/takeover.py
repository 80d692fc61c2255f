"""Folders of official servers are taken over: streams are made by an official server, which is stopped or killed, and ours begins on its folder.

What ours says of streams, messages and consumers is held against what the official server said; started by tests/takeover/run.
"""

import argparse
import json
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import ports

PATIENCE = 180
KEY = "s3cr3t-of-the-official-server"


class Client:
    """One request at a time."""

    def __init__(self, port, user):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.file = self.socket.makefile("rb")
        self.version = json.loads(self.file.readline()[5:])["version"]
        fields = {"verbose": False, "headers": True, "no_responders": True, "user": user, "pass": user, "protocol": 1}
        self.socket.sendall(b"CONNECT " + json.dumps(fields).encode() + b"\r\nSUB _in 1\r\n")

    def send(self, subject, body=b"", reply="", headers=""):
        if headers:
            block = f"NATS/1.0\r\n{headers}\r\n\r\n".encode()
            self.socket.sendall(f"HPUB {subject} {reply} {len(block)} {len(block) + len(body)}\r\n".encode() + block + body + b"\r\n")
        else:
            self.socket.sendall(f"PUB {subject} {reply} {len(body)}\r\n".encode() + body + b"\r\n")

    def next(self):
        """The next message: subject it is from or its reply, headers, body."""
        while True:
            words = self.file.readline().split()
            if not words:
                raise SystemExit("the server closed the connection")
            if words[0] == b"PING":
                self.socket.sendall(b"PONG\r\n")
            elif words[0] == b"-ERR":
                raise SystemExit(f"the server said {words}")
            elif words[0] in (b"MSG", b"HMSG"):
                sizes = 2 if words[0] == b"HMSG" else 1
                whole = self.file.read(int(words[-1]) + 2)[:-2]
                reply = words[3] if len(words) == 4 + sizes else b""
                header = int(words[-2]) if sizes == 2 else 0
                return reply.decode(), whole[:header], whole[header:]

    def request(self, subject, body=b"", headers=""):
        self.send(subject, body, "_in", headers)
        return self.next()[2]

    def api(self, subject, **fields):
        answer = json.loads(self.request("$JS.API." + subject, json.dumps(fields).encode() if fields else b""))
        if "error" in answer:
            raise SystemExit(f"{subject} {fields}: {answer['error']}")
        return answer

    def publish(self, subject, body=b"", headers=""):
        answer = json.loads(self.request(subject, body, headers))
        if "error" in answer:
            raise SystemExit(f"{subject}: {answer['error']}")

    def pull(self, stream, consumer, count):
        self.send(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}", json.dumps({"batch": count}).encode(), "_in")
        return [self.next()[0] for _ in range(count)]


class Mqtt:
    """A client of MQTT 3.1.1 with a session that stays."""

    def __init__(self, port, client_id, user):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.file = self.socket.makefile("rb")
        text = lambda text: struct.pack(">H", len(text)) + text.encode()
        self.text, self.packet_id, self.messages = text, 0, []
        self.send(0x10, text("MQTT") + bytes([4, 0xC0]) + struct.pack(">H", 0) + text(client_id) + text(user) + text(user))
        self.is_present = self.read(0x20)[0] == 1

    def send(self, kind, body):
        assert len(body) < 128
        self.socket.sendall(bytes([kind, len(body)]) + body)

    def read(self, kind):
        """The next packet of a kind. Messages that come are kept, and acknowledged."""
        while True:
            first, size = self.file.read(2)
            body = self.file.read(size)
            if first & 0xF0 == 0x30:
                end = 2 + int.from_bytes(body[:2], "big")
                qos = first >> 1 & 3
                self.messages.append((body[2:end].decode(), body[end + (2 if qos else 0):].decode(), qos, first & 1))
                if qos == 1:
                    self.send(0x40, body[end:end + 2])
            if first & 0xF0 == kind:
                return body

    def asked(self, kind, answer, body):
        self.packet_id += 1
        self.send(kind, body(struct.pack(">H", self.packet_id)))
        self.read(answer)

    def subscribe(self, topic, qos):
        self.asked(0x82, 0x90, lambda packet_id: packet_id + self.text(topic) + bytes([qos]))

    def publish(self, topic, payload, retain=0):
        self.asked(0x32 | retain, 0x40, lambda packet_id: self.text(topic) + packet_id + payload.encode())

    def leave(self):
        """Until the server has closed: what is published from then on was delivered to nobody, and is not waited for until `ack_wait` is over."""
        self.send(0xE0, b"")
        assert self.file.read() == b""
        self.socket.close()

    def until(self, count):
        while len(self.messages) < count:
            self.read(0x30)
        return sorted(self.messages)


class Server:
    def __init__(self, program, folder, encryption):
        self.program, self.folder, self.encryption = program, Path(folder), encryption

    def configure(self):
        """Writes its configuration, with ports that are free at this moment."""
        self.port, self.http, self.mqtt = ports.free(), ports.free(), ports.free()
        own = f', key: "{KEY}", cipher: {self.encryption}' if self.encryption else ""
        (self.folder / "server.conf").write_text(
            f'listen: "127.0.0.1:{self.port}"\nhttp: "127.0.0.1:{self.http}"\nserver_name: one\n'
            f'jetstream {{ store_dir: "{self.folder}/store"{own} }}\nmqtt {{ listen: "127.0.0.1:{self.mqtt}" }}\n'
            "accounts { A { jetstream: enabled, users: [{ user: a, password: a }] }, B { jetstream: enabled, users: [{ user: b, password: b }] } }\n"
        )

    def start(self):
        for _ in range(5):
            self.configure()
            if self.try_to_start():
                return self
            # Somebody else may have taken a port meanwhile.
            if "address already in use" not in self.log().lower():
                break
            (self.folder / "log").write_text("")
        raise SystemExit("the server did not start:\n" + self.log()[-3000:])

    def try_to_start(self):
        with open(self.folder / "log", "a") as log:
            self.process = subprocess.Popen([self.program, "-c", self.folder / "server.conf"], stdout=log, stderr=log)
        began = time.monotonic()
        while time.monotonic() - began < PATIENCE and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/healthz", timeout=1) as answer:
                    if answer.status == 200:
                        return True
            except OSError:
                time.sleep(0.02)
        return False

    def settle(self):
        """Waits until nothing has been written for two seconds: what consumers did is written behind it."""
        began, since, before = time.monotonic(), time.monotonic(), None
        while time.monotonic() - since < 2:
            if time.monotonic() - began > PATIENCE:
                raise SystemExit("the server does not come to rest")
            try:
                files = [path.stat() for path in (self.folder / "store").rglob("*") if path.is_file()]
                now = sorted((file.st_ino, file.st_size, file.st_mtime_ns) for file in files)
            except FileNotFoundError:
                continue
            if now != before:
                since, before = time.monotonic(), now
            time.sleep(0.1)

    def log(self):
        return (self.folder / "log").read_text()

    def stop(self, kill):
        if kill:
            self.process.kill()
        else:
            self.process.terminate()
        self.process.wait(PATIENCE)


def fill_mqtt(port, kill):
    """A session that is owed messages, and retained ones."""
    session = Mqtt(port, "keeper", "a")
    session.subscribe("kept/#", 1)
    session.subscribe("plain", 0)
    session.leave()
    other = Mqtt(port, "other", "a")
    for number in range(3):
        other.publish(f"kept/{number}", f"kept {number}")
    other.publish("shown/1", "retained", 1)
    if not kill:
        # What is stored in its place and removed is not on the official server's disk as removed.
        other.publish("shown/2", "gone", 1)
        other.publish("shown/2", "", 1)
    other.socket.close()


def used_again_mqtt(port):
    """The session goes on, gets what it is owed, and retained messages are found."""
    session = Mqtt(port, "keeper", "a")
    assert session.is_present
    owed = [(f"kept/{number}", f"kept {number}", 1, 0) for number in range(3)]
    found = session.until(3)
    assert found == owed, found
    session.subscribe("shown/#", 1)
    found = session.until(4)
    assert found == [*owed, ("shown/1", "retained", 1, 1)], found
    Mqtt(port, "other", "a").publish("kept/more", "more")
    found = session.until(5)
    assert ("kept/more", "more", 1, 0) in found, found


def fill(port, kill):
    """Makes streams of each kind, and consumers that are somewhere."""
    a, b = Client(port, "a"), Client(port, "b")
    new = tuple(int(part) for part in a.version.split(".")[:2])

    def stream(name, **fields):
        a.api(f"STREAM.CREATE.{name}", name=name, subjects=[f"{name}.>"], **fields)

    def some(name, count, size=40, keys=5):
        for number in range(count):
            a.publish(f"{name}.{number % keys}", (b"%d:" % number).ljust(size, b"x"), f"K: {number}" if number % 3 == 0 else "")

    stream("PLAIN")
    some("PLAIN", 60)
    stream("EMPTY")
    stream("FIRST", first_seq=1000)
    some("FIRST", 7)
    stream("MSGS", max_msgs=20)
    some("MSGS", 50)
    stream("BYTES", max_bytes=3000)
    some("BYTES", 60)
    stream("KEYS", max_msgs_per_subject=2)
    some("KEYS", 60, keys=7)
    if not kill:
        # What a limit has taken away does not come back with another limit, as a server knows that ended in order.
        stream("LOOSE", max_msgs=20)
        some("LOOSE", 50)
        a.api("STREAM.UPDATE.LOOSE", name="LOOSE", subjects=["LOOSE.>"], max_msgs=-1)
        stream("LOOSER", max_msgs_per_subject=1)
        some("LOOSER", 50)
        a.api("STREAM.UPDATE.LOOSER", name="LOOSER", subjects=["LOOSER.>"], max_msgs_per_subject=-1)
    stream("DELETED")
    some("DELETED", 40)
    for seq in (1, 2, 7, 8, 20, 39, 40):
        a.api("STREAM.MSG.DELETE.DELETED", seq=seq, no_erase=seq % 2 == 0)
    stream("PURGED")
    some("PURGED", 10)
    a.api("STREAM.PURGE.PURGED")
    stream("PARTLY")
    some("PARTLY", 40)
    a.api("STREAM.PURGE.PARTLY", filter="PARTLY.2")
    a.api("STREAM.PURGE.PARTLY", filter="PARTLY.3", keep=2)
    stream("KEEP")
    some("KEEP", 30)
    a.api("STREAM.PURGE.KEEP", keep=4)
    stream("LARGE")
    some("LARGE", 170, size=64 * 1024)
    for seq in (3, 100, 160):
        a.api("STREAM.MSG.DELETE.LARGE", seq=seq)
    stream("PACKED", compression="s2")
    some("PACKED", 300, size=3000)
    a.api("STREAM.MSG.DELETE.PACKED", seq=17)
    stream("WORK", retention="workqueue")
    a.api("CONSUMER.CREATE.WORK.W", stream_name="WORK", config={"name": "W", "durable_name": "W", "ack_policy": "explicit", "ack_wait": 600_000_000_000})
    some("WORK", 30)
    for index, reply in enumerate(a.pull("WORK", "W", 12)):
        if index not in (2, 5, 6):
            a.request(reply, b"+ACK")
    stream("INTEREST", retention="interest")
    for name in ("I", "J"):
        a.api(f"CONSUMER.CREATE.INTEREST.{name}", stream_name="INTEREST", config={"name": name, "durable_name": name, "ack_policy": "all" if name == "J" else "explicit"})
    some("INTEREST", 20)
    for reply in a.pull("INTEREST", "I", 10):
        a.request(reply, b"+ACK")
    a.request(a.pull("INTEREST", "J", 6)[-1], b"+ACK")
    a.api("CONSUMER.CREATE.PLAIN.P", stream_name="PLAIN", config={"name": "P", "durable_name": "P", "ack_policy": "explicit", "ack_wait": 600_000_000_000, "filter_subject": "PLAIN.1"})
    for index, reply in enumerate(a.pull("PLAIN", "P", 6)):
        if index != 1:
            a.request(reply, b"-NAK" if index == 4 else b"+ACK")
    a.pull("PLAIN", "P", 1)
    a.api("CONSUMER.CREATE.PLAIN.PUSH", stream_name="PLAIN", config={"name": "PUSH", "durable_name": "PUSH", "deliver_subject": "nowhere", "deliver_policy": "by_start_sequence", "opt_start_seq": 9, "ack_policy": "none"})
    if new >= (2, 11):
        stream("TTL", allow_msg_ttl=True)
        some("TTL", 4)
        a.publish("TTL.9", b"an hour", "Nats-TTL: 1h")
    if new >= (2, 12):
        stream("COUNT", allow_msg_counter=True)
        for _ in range(5):
            a.publish("COUNT.1", b"", "Nats-Incr: 3")
    b.api("STREAM.CREATE.OTHER", name="OTHER", subjects=["other.>"])
    b.publish("other.1", b"of another account")


def shown(port):
    """All that streams and consumers say of themselves, and all messages."""
    out = {}
    for user in ("a", "b"):
        client = Client(port, user)
        for name in client.api("STREAM.NAMES")["streams"] or []:
            info = client.api(f"STREAM.INFO.{name}", deleted_details=True, subjects_filter=">")
            state = info["state"]
            out[user, name] = {key: info["config"].get(key) for key in ("subjects", "retention", "compression", "max_msgs", "first_seq", "storage")}
            out[user, name]["created"] = info["created"]
            out[user, name]["state"] = {key: state.get(key) for key in ("messages", "first_seq", "first_ts", "last_seq", "last_ts", "num_deleted", "deleted", "num_subjects", "subjects", "consumer_count")}
            for seq in range(state["first_seq"], state["last_seq"] + 1):
                answer = json.loads(client.request(f"$JS.API.STREAM.MSG.GET.{name}", json.dumps({"seq": seq}).encode()))
                out[user, name, seq] = answer.get("message") or answer["error"]["err_code"]
            for info in client.api(f"CONSUMER.LIST.{name}")["consumers"] or []:
                about = {key: info.get(key) for key in ("created", "num_ack_pending", "num_redelivered", "num_pending")}
                for key in ("delivered", "ack_floor"):
                    about[key] = {part: info[key][part] for part in ("consumer_seq", "stream_seq")}
                about["config"] = {key: info["config"].get(key) for key in ("durable_name", "ack_policy", "ack_wait", "filter_subject", "deliver_subject", "deliver_policy", "opt_start_seq")}
                out[user, name, info["name"]] = about
    return out


def without_front(state):
    """Where there is no message, the time of the first one means nothing, and the official server lists sequence 0 as deleted."""
    own = {"first_ts": None, "last_ts": None}
    if state["last_seq"] == 0:
        own |= {"num_deleted": None, "deleted": None}
    if state["messages"] == 0:
        return {**state, **own}
    # What was never kept, since nobody wanted it, servers of 2.10 write with a clock that is up to 100 ms late.
    is_last_gone = state["last_seq"] in (state["deleted"] or ())
    return {**state, "last_ts": None} if is_last_gone else state


def compare(official, ours):
    wrong = []
    for key in official.keys() | ours.keys():
        one, other = official.get(key), ours.get(key)
        if one and other and isinstance(one, dict) and "state" in one:
            one, other = ({**about, "state": without_front(about["state"])} for about in (one, other))
        if one != other:
            wrong.append(f"{key}\n    official {json.dumps(one)[:1500]}\n    ours     {json.dumps(other)[:1500]}")
    return sorted(wrong)


def used_again(port):
    """Streams go on behind their last sequences, consumers where they were."""
    client = Client(port, "a")
    for name in ("PLAIN", "MSGS", "DELETED", "PURGED", "LARGE", "WORK"):
        last = client.api(f"STREAM.INFO.{name}")["state"]["last_seq"]
        answer = json.loads(client.request(f"{name}.1", b"more"))
        assert answer.get("seq") == last + 1, f"{name}: {answer} behind {last}"
    left = client.api("CONSUMER.INFO.WORK.W")
    assert left["num_ack_pending"] == 3, left
    replies = client.pull("WORK", "W", 1)
    assert replies[0].split(".")[5] == "13", replies


def takeover(official, ours, encryption, kill, lost_index):
    name = f"{official}{' encrypted by ' + encryption if encryption else ''}, {'killed' if kill else 'stopped'}{', no index.db' if lost_index else ''}"
    with tempfile.TemporaryDirectory(prefix="takeover") as folder:
        server = Server(official, folder, encryption).start()
        fill(server.port, kill or lost_index)
        fill_mqtt(server.mqtt, kill or lost_index)
        server.settle()
        before, version = shown(server.port), Client(server.port, "a").version
        server.stop(kill)
        if lost_index:
            for index in Path(folder).glob("store/jetstream/*/streams/*/msgs/index.db"):
                index.unlink()
        store = Path(folder) / "store" / "jetstream"
        files = {path.relative_to(store): path.read_bytes() for path in store.rglob("*") if path.is_file()}
        (Path(folder) / "log").write_text("")
        server = Server(ours, folder, encryption).start()
        after = shown(server.port)
        if not version.startswith("2.15."):
            # Older servers say another time than they write.
            for about in [*before.values(), *after.values()]:
                if isinstance(about, dict) and "ack_floor" in about:
                    about["created"] = None
        wrong = compare(before, after)
        warnings = [line for line in server.log().splitlines() if "[WRN]" in line and "JetStream" in line]
        if not wrong:
            used_again(server.port)
            used_again_mqtt(server.mqtt)
        server.stop(False)
        aside = store / "taken-over"
        changed = [str(path) for path, data in files.items() if len(path.parts) > 1 and (aside / path).read_bytes() != data]
        if encryption:
            told = [str(path) for path in (store / "dialtone").rglob("*") if path.is_file() and b"PLAIN.1" in path.read_bytes()]
            assert not told, told
        # Once more: nothing is left to be taken over, and all is there.
        server = Server(ours, folder, encryption).start()
        assert wrong or "PLAIN" in Client(server.port, "a").api("STREAM.NAMES")["streams"]
        server.stop(False)
    if wrong or warnings or changed:
        print(f"DIFFERS   {name}: {len(wrong)} of {len(before)}")
        for line in wrong[:12] + warnings[:12] + changed[:5]:
            print("  ", line)
        return False
    print(f"ok        {name}: {len(before)} streams, messages and consumers")
    return True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--official", action="append", required=True)
    parser.add_argument("--ours", required=True)
    parser.add_argument("--quick", action="store_true", help="no encryption, stopped and killed")
    parser.add_argument("--encrypted", action="store_true", help="with --quick: encrypted by each cipher, too, and stopped")
    given = parser.parse_args()
    right = True
    for official in given.official:
        for encryption in [None, "aes", "chachapoly"] if given.encrypted or not given.quick else [None]:
            for kill in (False,) if given.quick and encryption else (False, True):
                right &= takeover(official, given.ours, encryption, kill, False)
        right &= takeover(official, given.ours, None, False, True)
    raise SystemExit(0 if right else 1)


main()
