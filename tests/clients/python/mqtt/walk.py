"""paho-mqtt against the broker at 127.0.0.1:$MQTT_PORT, in the version of the first argument: 3, 4 (3.1.1) or 5.

Prints a line for each thing that works, ends with an error at the first that does not. With $NATS_URL a NATS client takes part.
"""

import asyncio
import os
import queue
import sys
import time

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

VERSION = int(sys.argv[1])
IS_V5 = VERSION == mqtt.MQTTv5
PATIENCE = 30
MARK = f"walk{VERSION}"


def properties(kind, **values):
    made = Properties(kind)
    for name, value in values.items():
        setattr(made, name, value)
    return made


class Client:
    """A client whose events wait in queues."""

    def __init__(self, name, *, clean=True, expiry=0, websocket=False, will=None, user=None, connect=True, receive_maximum=None, **options):
        clean_session = None if IS_V5 else clean
        transport = "websockets" if websocket else "tcp"
        self.mqtt = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=clean_session, protocol=VERSION, transport=transport,
                                reconnect_on_failure=False)
        if websocket:
            self.mqtt.ws_set_options(path="/mqtt")
        if user:
            self.mqtt.username_pw_set(*user)
        self.messages, self.events = queue.Queue(), queue.Queue()
        self.mqtt.on_message = lambda _c, _u, message: self.messages.put(message)
        self.mqtt.on_connect = lambda _c, _u, flags, reason, props: self.events.put(("connect", flags.session_present, reason, props))
        self.mqtt.on_disconnect = lambda _c, _u, _f, reason, _p: self.events.put(("disconnect", reason))
        self.mqtt.on_subscribe = lambda _c, _u, _mid, reasons, _p: self.events.put(("subscribe", [r.value for r in reasons]))
        self.mqtt.on_unsubscribe = lambda _c, _u, _mid, _r, _p: self.events.put(("unsubscribe",))
        if will:
            topic, payload, qos, retain = will
            self.mqtt.will_set(topic, payload, qos, retain, **options)
        self.port = int(os.environ["MQTT_WS_PORT" if websocket else "MQTT_PORT"])
        self.clean, self.expiry, self.receive_maximum = clean, expiry, receive_maximum
        if connect:
            self.connect()

    def connect(self):
        v5 = {}
        if IS_V5:
            asked = {"SessionExpiryInterval": self.expiry} | ({"ReceiveMaximum": self.receive_maximum} if self.receive_maximum else {})
            v5 = {"clean_start": self.clean, "properties": properties(PacketTypes.CONNECT, **asked)}
        self.mqtt.connect("127.0.0.1", self.port, keepalive=60, **v5)
        self.mqtt.loop_start()
        event = self.event("connect")
        # In CONNACK of 3.1 there is no such flag.
        self.session_present = event[1] if VERSION > mqtt.MQTTv31 else None
        self.reason, self.properties = event[2:]
        return self

    def event(self, kind):
        event = self.events.get(timeout=PATIENCE)
        assert event[0] == kind, event
        return event

    def subscribe(self, *args, **kwargs):
        self.mqtt.subscribe(*args, **kwargs)
        return self.event("subscribe")[1]

    def unsubscribe(self, topic):
        self.mqtt.unsubscribe(topic)
        self.event("unsubscribe")

    def publish(self, topic, payload=None, qos=0, retain=False, **kwargs):
        self.mqtt.publish(topic, payload, qos, retain, **kwargs).wait_for_publish(PATIENCE)

    def message(self, payload=None):
        message = self.messages.get(timeout=PATIENCE)
        if payload is not None:
            assert message.payload == payload, (message.topic, message.payload)
        return message

    def awaited(self, payload):
        """The message with this payload; ahead of it others may come again."""
        while self.message().payload != payload:
            pass

    def nothing(self, seconds=0.3):
        try:
            message = self.messages.get(timeout=seconds)
        except queue.Empty:
            return
        raise AssertionError((message.topic, message.payload))

    def disconnect(self, **kwargs):
        self.mqtt.disconnect(**kwargs)
        self.event("disconnect")
        self.mqtt.loop_stop()

    def drop(self):
        """Breaks the connection without DISCONNECT."""
        self.mqtt.loop_stop()
        self.mqtt.socket().close()


def name(of):
    return f"{MARK}{of}"


def topic(of):
    return f"{MARK}/{of}"


def ok(what):
    print(f"ok {what}", flush=True)


def messages():
    with_subscriber("messages")
    with_subscriber("websocket", websocket=True)


def with_subscriber(what, **transport):
    a, b = Client(name("a"), **transport), Client(name("b"))
    for qos in (0, 1, 2):
        assert a.subscribe(topic(f"{what}/{qos}/+"), qos) == [qos]
        for at in range(10):
            b.publish(topic(f"{what}/{qos}/{at}"), f"{qos} {at}", qos)
        for at in range(10):
            got = a.message(f"{qos} {at}".encode())
            assert (got.topic, got.qos, got.retain) == (topic(f"{what}/{qos}/{at}"), qos, False), (got.topic, got.qos, got.retain)
    a.unsubscribe(topic(f"{what}/1/+"))
    b.publish(topic(f"{what}/1/x"), "unheard", 1)
    b.publish(topic(f"{what}/2/x"), "heard", 2)
    a.message(b"heard")
    large = bytes(range(256)) * 1000
    b.publish(topic(f"{what}/2/large"), large, 2)
    a.message(large)
    a.disconnect()
    b.disconnect()
    ok(f"{what} of QoS 0, 1 and 2")


def wildcards():
    a, b = Client(name("a")), Client(name("b"))
    a.subscribe([(topic("w/#"), 0), (topic("x/+/z"), 1)])
    for at in ("w", "w/1", "w/1/2", "x/y/z"):
        b.publish(topic(at), at)
        a.message(at.encode())
    b.publish(topic("x/y"), "unheard")
    b.publish(topic("w/end"), "end")
    a.message(b"end")
    a.disconnect()
    b.disconnect()
    ok("wildcards")


def retained():
    b = Client(name("b"))
    for qos in (0, 1, 2):
        b.publish(topic(f"r/{qos}"), f"kept {qos}", qos, retain=True)
    a = Client(name("a"))
    a.subscribe(topic("r/+"), 2)
    got = sorted((message.payload, message.retain) for message in (a.message() for _ in range(3)))
    assert got == [(b"kept 0", True), (b"kept 1", True), (b"kept 2", True)], got
    b.publish(topic("r/1"), "newer", 1, retain=True)
    assert not a.message(b"newer").retain
    b.publish(topic("r/0"), b"", 1, retain=True)
    b.publish(topic("r/1"), b"", 1, retain=True)
    a.message(b"")
    a.message(b"")
    c = Client(name("c"))
    c.subscribe(topic("r/+"), 1)
    c.message(b"kept 2")
    c.nothing()
    b.publish(topic("r/2"), b"", 1, retain=True)
    for client in (a, b, c):
        client.disconnect()
    ok("retained messages")


def sessions():
    a, b = Client(name("s"), clean=False, expiry=600), Client(name("b"))
    assert not a.session_present
    a.subscribe([(topic("s/1"), 1), (topic("s/2"), 2)])
    a.disconnect()
    for at in range(20):
        b.publish(topic(f"s/{1 + at % 2}"), f"{at}", 1 + at % 2)
    a = Client(name("s"), clean=False, expiry=600)
    assert a.session_present is not False
    got = [a.message() for _ in range(20)]
    for which in (1, 2):
        of = [int(message.payload) for message in got if message.topic == topic(f"s/{which}")]
        assert of == list(range(which - 1, 20, 2)), of
        assert all(message.qos == which for message in got if message.topic == topic(f"s/{which}"))
    b.publish(topic("s/1"), "live", 1)
    a.message(b"live")
    # Another connection with this identifier takes over.
    other = Client(name("s"), clean=False, expiry=600)
    assert other.session_present is not False
    a.event("disconnect")
    b.publish(topic("s/2"), "once more", 2)
    other.awaited(b"once more")
    other.disconnect()
    # Within a second of a takeover a third connection is refused, should it come ahead of that DISCONNECT. So do official servers.
    time.sleep(1.2)
    clean = Client(name("s"), clean=True)
    assert not clean.session_present
    b.publish(topic("s/1"), "unheard", 1)
    clean.nothing()
    clean.disconnect()
    again = Client(name("s"), clean=False)
    assert not again.session_present
    again.disconnect()
    Client(name("s"), clean=True).disconnect()
    b.disconnect()
    ok("sessions go on, are taken over, and end")


def wills():
    a = Client(name("a"))
    a.subscribe(topic("will/#"), 1)
    Client(name("w"), will=(topic("will/orderly"), "unheard", 0, False)).disconnect()
    Client(name("w"), will=(topic("will/dropped"), "lost", 1, False)).drop()
    got = a.message(b"lost")
    assert (got.topic, got.qos) == (topic("will/dropped"), 1)
    first = Client(name("w"), will=(topic("will/taken"), "kept", 1, True))
    Client(name("w")).disconnect()
    first.event("disconnect")
    # The connection that was taken over is closed without its will by official servers; MQTT wants it published.
    if IS_V5:
        a.message(b"kept")
    a.disconnect()
    Client(name("w")).publish(topic("will/taken"), b"", 1, True)
    ok("wills")


def refusals():
    try:
        a = Client(name("bad"), user=("nobody", "knows"), connect=False).connect()
    except ConnectionError:
        return ok("a connection is refused")
    assert a.reason.is_failure, a.reason
    ok("a connection is refused")


def v5_window():
    b = Client(name("b"))
    for at in range(40):
        b.publish(topic(f"many/{at}"), f"{at}", 1, retain=True)
    few = Client(name("few"), receive_maximum=2)
    few.subscribe(topic("many/+"), 1)
    assert sorted(int(few.message().payload) for _ in range(40)) == list(range(40))
    few.disconnect()
    for at in range(40):
        b.publish(topic(f"many/{at}"), b"", 1, retain=True)
    b.disconnect()
    ok("retained messages wait for room")


def v5_properties():
    a, b = Client(name("a")), Client(name("b"))
    a.subscribe(topic("p/#"), options=SubscribeOptions(qos=1), properties=properties(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=7))
    sent = properties(PacketTypes.PUBLISH, PayloadFormatIndicator=1, ContentType="text/plain", ResponseTopic=topic("answers"),
                      CorrelationData=b"\x00\x01 of mine", UserProperty=[("color", "red"), ("color", "blue"), ("two words", "a: b")])
    for qos in (0, 1):
        b.publish(topic(f"p/{qos}"), "text", qos, properties=sent)
        got = a.message(b"text").properties
        assert got.PayloadFormatIndicator == 1 and got.ContentType == "text/plain", got
        assert got.ResponseTopic == topic("answers") and got.CorrelationData == b"\x00\x01 of mine", got
        assert got.UserProperty == [("color", "red"), ("color", "blue"), ("two words", "a: b")], got
        assert got.SubscriptionIdentifier == [7], got
    # An alias that the client chose.
    aliased = properties(PacketTypes.PUBLISH, TopicAlias=1)
    b.publish(topic("p/alias"), "first", 1, properties=aliased)
    b.publish("", "second", 1, properties=aliased)
    for payload in (b"first", b"second"):
        assert a.message(payload).topic == topic("p/alias")
    a.disconnect()
    b.disconnect()
    ok("properties and topic aliases")


def v5_subscriptions():
    a, b = Client(name("a")), Client(name("b"))
    a.subscribe(topic("o/own"), options=SubscribeOptions(qos=1, noLocal=True))
    a.publish(topic("o/own"), "unheard", 1)
    b.publish(topic("o/own"), "heard", 1)
    a.message(b"heard")
    b.publish(topic("o/kept"), "kept", 1, retain=True)
    a.subscribe(topic("o/kept"), options=SubscribeOptions(qos=1, retainAsPublished=True, retainHandling=2))
    a.nothing()
    b.publish(topic("o/kept"), "newer", 1, retain=True)
    assert a.message(b"newer").retain
    a.subscribe(topic("o/kept"), options=SubscribeOptions(qos=1, retainHandling=1))
    a.nothing()
    b.publish(topic("o/kept"), b"", 1, retain=True)
    a.message(b"")
    shared = [Client(name(f"g{at}")) for at in range(3)]
    for client in shared:
        client.subscribe(f"$share/group/{topic('q')}", 1)
    for at in range(60):
        b.publish(topic("q"), f"{at}", 1)
    end = time.monotonic() + PATIENCE
    while sum(client.messages.qsize() for client in shared) < 60 and time.monotonic() < end:
        time.sleep(0.02)
    counts = [client.messages.qsize() for client in shared]
    got = sorted(int(client.messages.get().payload) for client in shared for _ in range(client.messages.qsize()))
    assert got == list(range(60)), got
    assert all(counts), counts
    for client in (a, b, *shared):
        client.disconnect()
    ok("options of subscriptions and shared subscriptions")


def v5_sessions():
    unnamed = Client("")
    assert unnamed.properties.AssignedClientIdentifier
    unnamed.disconnect()
    a, b = Client(name("e"), clean=False, expiry=1), Client(name("b"))
    a.subscribe(topic("e"), 1)
    a.disconnect()
    time.sleep(2.5)
    a = Client(name("e"), clean=False, expiry=600)
    assert not a.session_present
    a.subscribe(topic("e"), 1)
    a.disconnect()
    b.publish(topic("e"), "old", 1, properties=properties(PacketTypes.PUBLISH, MessageExpiryInterval=1))
    b.publish(topic("e"), "new", 1, properties=properties(PacketTypes.PUBLISH, MessageExpiryInterval=600))
    time.sleep(2.5)
    a = Client(name("e"), clean=False, expiry=600)
    assert a.session_present is not False
    left = a.message(b"new").properties.MessageExpiryInterval
    assert 1 <= left < 600, left
    a.disconnect(properties=properties(PacketTypes.DISCONNECT, SessionExpiryInterval=0))
    a = Client(name("e"), clean=False)
    assert not a.session_present
    a.disconnect()
    b.subscribe(topic("later"), 1)
    wills = dict(will=(topic("later"), "late", 1, False), properties=properties(PacketTypes.WILLMESSAGE, WillDelayInterval=1))
    Client(name("d"), expiry=60, clean=False, **wills).drop()
    b.message(b"late")
    Client(name("d"), expiry=60, clean=False, **wills).drop()
    Client(name("d")).disconnect()
    b.nothing(2)
    b.disconnect()
    ok("sessions, messages and wills have their times")


async def with_nats():
    import nats
    nc = await nats.connect(os.environ["NATS_URL"])
    a = Client(name("n"))
    subject = MARK + ".nats"
    a.subscribe(topic("nats/#"), 1)
    await nc.publish(subject + ".live", b"from NATS", headers={"color": "red"} if IS_V5 else None)
    await nc.flush()
    got = await asyncio.to_thread(a.message, b"from NATS")
    assert got.topic == topic("nats/live"), got.topic
    heard = await nc.subscribe(subject + ".>")
    await nc.flush()
    a.publish(topic("nats/up"), "from MQTT", 2)
    got = await heard.next_msg(PATIENCE)
    assert (got.subject, got.data) == (subject + ".up", b"from MQTT"), got
    if IS_V5:
        service = await nc.subscribe(MARK + ".service")
        await nc.flush()
        a.subscribe(topic("answers"), 1)
        asked = properties(PacketTypes.PUBLISH, ResponseTopic=topic("answers"), CorrelationData=b"17", UserProperty=[("who", "me")])
        a.publish(topic("service"), "question", 1, properties=asked)
        request = await service.next_msg(PATIENCE)
        assert request.reply == MARK + ".answers" and request.headers["who"] == "me", (request.reply, request.headers)
        # All headers but the one that says that MQTT clients get it from a stream.
        back = {name: value for name, value in request.headers.items() if name != "Nmqtt-Pub"}
        await nc.publish(request.reply, b"answer", headers=back)
        while True:
            got = await asyncio.to_thread(a.message)
            if got.topic == topic("answers"):
                break
        assert got.payload == b"answer" and got.properties.CorrelationData == b"17", got.properties
    await nc.close()
    a.disconnect()
    ok("NATS clients take part")


messages()
wildcards()
retained()
if IS_V5:
    v5_window()
sessions()
wills()
if os.environ.get("MQTT_REFUSES"):
    refusals()
if IS_V5:
    v5_properties()
    v5_subscriptions()
    v5_sessions()
if os.environ.get("NATS_URL"):
    asyncio.run(with_nats())
