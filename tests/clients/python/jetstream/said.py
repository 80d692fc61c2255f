"""What a program saw, one line each, without what differs from run to run."""

import asyncio
import dataclasses
import datetime
import json
import sys

import nats
from nats.errors import Error
from nats.js.errors import APIError

# Times, ids and rates.
VOLATILE = {"created", "ts", "first_ts", "last_ts", "last_active", "time", "active", "mtime", "nuid", "pause_remaining", "pause_until", "_nats.ver", "cluster", "Nats-Time-Stamp"}


def plain(value):
    """Only what JSON has, and nothing that differs from run to run."""
    if dataclasses.is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(getattr(key, "value", key)): plain(item) for key, item in value.items() if key not in VOLATILE and item is not None}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace") if len(value) < 100 else f"{len(value)} bytes"
    if isinstance(value, datetime.datetime):
        return "a time"
    return value


def say(name, value=True):
    print(f"{name}: {json.dumps(plain(value), sort_keys=True)}", flush=True)


async def say_error(name, awaited):
    """The error that it ends with."""
    try:
        say(name, {"no error": await awaited})
    except (Error, ValueError, asyncio.TimeoutError) as error:
        code = getattr(error, "err_code", None)
        say(name, {"code": error.code, "err_code": code, "description": error.description} if code else type(error).__name__)


async def question(nc, subject, body=None):
    """What the API answers, as it is."""
    data = b"" if body is None else json.dumps(body).encode()
    return json.loads((await nc.request(subject, data, timeout=10)).data)


async def until(asked, is_so, what):
    """Asks again until it is so."""
    for _ in range(500):
        value = await asked()
        if is_so(value):
            return value
        await asyncio.sleep(0.02)
    raise AssertionError(f"waiting for {what}: {plain(value)}")


def run(main):
    async def whole():
        nc = await nats.connect(sys.argv[1], max_reconnect_attempts=0, allow_reconnect=False)
        try:
            await asyncio.wait_for(main(nc, nc.jetstream(timeout=10)), 60)
        finally:
            await nc.close()
    asyncio.run(whole())
