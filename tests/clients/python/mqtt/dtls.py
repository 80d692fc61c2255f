"""MQTT-SN by DTLS: `openssl s_client` at 127.0.0.1:$MQTT_SN_PORT, with paho-mqtt at the other end, at $MQTT_PORT. The argument is `psk` or `cert`.

The folder has what `mqtt-run` has put there: the key of the identity `m1`, and certificates. Prints a line for each thing that works, ends with
an error at the first that does not.
"""

import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

PATIENCE = 60
PSK = ["-cipher", "PSK-AES128-CCM8"]


class Device:
    """A client of MQTT-SN behind `openssl s_client`; a write is a datagram."""

    def __init__(self, *how):
        at = ["-connect", f"127.0.0.1:{os.environ['MQTT_SN_PORT']}"]
        self.process = subprocess.Popen(["openssl", "s_client", "-dtls1_2", "-quiet", *at, *how], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, bufsize=0)
        self.said = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        while data := self.process.stdout.read(2000):
            while data:
                self.said.put(data[: data[0]])
                data = data[data[0] :]
        self.said.put(None)

    def send(self, datagram):
        self.process.stdin.write(datagram)

    def hears(self, expected):
        """What comes is that. What comes again, since it was not answered in time, is left out."""
        got = self.said.get(timeout=PATIENCE)
        assert got == expected, (got, expected)

    def asks(self, datagram, answer):
        self.send(datagram)
        self.hears(answer)

    def is_refused(self):
        """It ends, or nobody answers it."""
        try:
            self.send(bytes.fromhex("0804040100 3c") + b"xx")
            assert self.said.get(timeout=3) is None
        except (queue.Empty, OSError):
            pass
        self.leave()

    def leave(self):
        self.process.kill()
        self.process.wait()


def device(kind):
    if kind == "psk":
        return Device(*PSK, "-psk_identity", "m1", "-psk", Path("psk").read_text())
    return Device("-cert", "client.pem", "-key", "client.key", "-CAfile", "server.pem", "-verify_return_error")


def other():
    """A client of MQTT 3.1.1, and what it hears."""
    messages, subscribed = queue.Queue(), threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="other")
    client.on_message = lambda _c, _u, message: messages.put((message.topic, message.payload))
    client.on_connect = lambda client, *_: client.subscribe("sn/up", 1)
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect("127.0.0.1", int(os.environ["MQTT_PORT"]))
    client.loop_start()
    assert subscribed.wait(PATIENCE)
    return client, messages


def main():
    kind = sys.argv[1]
    client, messages = other()
    for number in range(2):
        own = device(kind)
        own.asks(b"\x08\x04\x04\x01\x00\x3cdv", b"\x03\x05\x00")
        own.asks(b"\x0c\x12\x20\x00\x02sn/down", b"\x08\x13\x20\x00\x01\x00\x02\x00")
        own.asks(b"\x0b\x0a\x00\x00\x00\x03sn/up", b"\x07\x0b\x00\x02\x00\x03\x00")
        own.asks(b"\x09\x0c\x20\x00\x02\x00\x0421", b"\x07\x0d\x00\x02\x00\x04\x00")
        assert messages.get(timeout=PATIENCE) == ("sn/up", b"21")
        # What the user of the key or the certificate may not.
        own.asks(b"\x0b\x12\x00\x00\x05secret", b"\x08\x13\x00\x00\x00\x00\x05\x03")
        client.publish("sn/down", b"on", 0)
        own.hears(b"\x09\x0c\x00\x00\x01\x00\x00on")
        own.leave()
        print(f"ok {kind} {number}")
    if kind == "psk":
        Device(*PSK, "-psk_identity", "m1", "-psk", "00" * 16).is_refused()
        Device(*PSK, "-psk_identity", "m2", "-psk", Path("psk").read_text()).is_refused()
    else:
        Device("-CAfile", "server.pem").is_refused()
        Device("-cert", "stranger.pem", "-key", "stranger.key").is_refused()
    print("ok strangers")
    refused = Path("server.conf").read_text().replace("server.pem", "rsa.pem").replace("server.key", "rsa.key")
    Path("rsa.conf").write_text(refused)
    done = subprocess.run([os.environ["SERVER"], "-c", "rsa.conf"], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode and "it is an RSA one, and DTLS takes ECDSA ones" in done.stdout + done.stderr, done
    print("ok rsa")


if __name__ == "__main__":
    main()
