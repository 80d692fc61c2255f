"""Messages that are stored later: listed, cancelled, delivered when their time has come. Argument: the server's URL."""

import datetime
import json
import time

from nats.js.api import StreamConfig
from nats.js.errors import APIError

from played import run


async def main(nc, js):
    await js.add_stream(StreamConfig(name="MAIL", subjects=["mail.>"], metadata={"dialtone.delay": "true"}))
    mail = await js.pull_subscribe("mail.>", "sender")

    # The acknowledgement says that it is on disk; it has no sequence yet.
    began = time.time()
    ack = json.loads((await nc.request("mail.ann", b"later", headers={"Nats-Delay": "500ms", "Customer": "ann"}, timeout=5)).data)
    assert ack == {"stream": "MAIL", "seq": 0, "delayed": 1}, ack
    at = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    assert (await js.publish("mail.ben", b"in an hour", headers={"Nats-Delay": at})).seq == 0
    assert (await js.publish("mail.now", b"now")).seq == 1

    (now,) = await mail.fetch(5, timeout=0.2)
    assert now.data == b"now"
    await now.ack()
    (later,) = await mail.fetch(1, timeout=5)
    assert time.time() - began >= 0.5 and later.data == b"later" and later.subject == "mail.ann"
    assert later.headers == {"Customer": "ann"} and later.metadata.sequence.stream == 2
    await later.ack()

    async def listed(**asked):
        return json.loads((await nc.request("$JS.API.DIALTONE.DELAYED.LIST.MAIL", json.dumps(asked).encode(), timeout=5)).data)
    answer = await listed()
    assert answer["total"] == 1 and answer["complete"], answer
    (delayed,) = answer["delayed"]
    assert delayed["id"] == 2 and delayed["subject"] == "mail.ben" and delayed["bytes"] == len(b"in an hour"), delayed
    assert (await listed(subject="mail.ann"))["delayed"] == []

    cancel = json.dumps({"id": delayed["id"]}).encode()
    answers = [json.loads((await nc.request("$JS.API.DIALTONE.DELAYED.CANCEL.MAIL", cancel, timeout=5)).data) for _ in range(2)]
    assert answers[0]["success"] and answers[1]["error"]["err_code"] == 10037, answers
    assert (await listed())["total"] == 0

    for wrong in "soon", "5", "1s2":
        try:
            await js.publish("mail.x", headers={"Nats-Delay": wrong})
            raise AssertionError(f"{wrong} was taken")
        except APIError as error:
            assert error.err_code == 10077 and "Nats-Delay" in error.description, error

    # Where it is not switched on, it is a header like any other.
    await js.add_stream(StreamConfig(name="PLAIN", subjects=["plain"]))
    assert (await js.publish("plain", b"x", headers={"Nats-Delay": "1h"})).seq == 1
    try:
        await js.add_stream(StreamConfig(name="WRONG", subjects=["wrong"], metadata={"dialtone.delay": "perhaps"}))
        raise AssertionError("it was taken")
    except APIError as error:
        assert error.err_code == 10052 and error.description == "dialtone.delay has to be true or false", error


run(main)
