"""mqtt-sn-12 (mqtt_sn_pub, mqtt_sn_sub) by UDP at 127.0.0.1:$MQTT_SN_PORT, with paho-mqtt at the other end, at $MQTT_PORT.

Prints a line for each thing that works, ends with an error at the first that does not. Topic 7 is `sn/known`.
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
TOOLS = Path(sys.executable).parent
AT = ["-h", "127.0.0.1", "-p", os.environ["MQTT_SN_PORT"]]


class Other:
    """A client of MQTT 3.1.1."""

    def __init__(self):
        self.messages, subscribed, connected = queue.Queue(), threading.Event(), threading.Event()
        self.mqtt = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="other")
        self.mqtt.on_message = lambda _c, _u, message: self.messages.put((message.topic, message.payload))
        self.mqtt.on_connect = lambda *_: connected.set()
        self.mqtt.on_subscribe = lambda *_: subscribed.set()
        self.mqtt.connect("127.0.0.1", int(os.environ["MQTT_PORT"]))
        self.mqtt.loop_start()
        assert connected.wait(PATIENCE)
        self.mqtt.subscribe("sn/#", 1)
        assert subscribed.wait(PATIENCE)


def tool(name, *args):
    return [TOOLS / name, *AT, *args]


def published(other, topic, payload, *args):
    """Publishes until the other client has it: datagrams may be lost."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        subprocess.run(tool("mqtt_sn_pub", "-m", payload, *args), check=True, timeout=PATIENCE, stdout=subprocess.DEVNULL)
        try:
            got = other.messages.get(timeout=2)
        except queue.Empty:
            continue
        assert got == (topic, payload.encode()), got
        return
    raise AssertionError(f"no {payload}")


def heard(other):
    """mqtt_sn_sub gets what MQTT publishes, and ends."""
    reader = subprocess.Popen(tool("mqtt_sn_sub", "-1", "-t", "sn/down", "-q", "1", "-i", "listener"), stdout=subprocess.PIPE, text=True)
    end = time.monotonic() + PATIENCE
    while reader.poll() is None and time.monotonic() < end:
        other.mqtt.publish("sn/down", "to the sensor", 1).wait_for_publish(PATIENCE)
        time.sleep(0.2)
    reader.kill()
    said = reader.communicate()[0]
    assert "to the sensor" in said, said


other = Other()
published(other, "sn/zero", "of QoS 0", "-t", "sn/zero", "-q", "0")
published(other, "sn/one", "of QoS 1", "-t", "sn/one", "-q", "1")
print("ok messages of QoS 0 and 1")
published(other, "sn/known", "without a connection", "-T", "7", "-q", "-1")
print("ok a message without a connection")
heard(other)
print("ok messages to a client of MQTT-SN")
