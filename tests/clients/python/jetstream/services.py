"""Services by nats-py, some of whose work is in a stream. Prints what it saw; argument: the server's URL."""

import json

from nats.errors import NoRespondersError
from nats.micro import add_service
from nats.micro.request import ServiceError

from said import run, say


def without_ids(data):
    found = json.loads(data)
    for endpoint in found.get("endpoints", []):
        for key in ("processing_time", "average_processing_time"):
            endpoint.pop(key, None)
    return {key: value for key, value in found.items() if key not in ("id", "started")}


async def main(nc, js):
    await js.add_stream(name="AUDIT", subjects=["audit.>"])
    service = await add_service(nc, name="text", version="1.2.3", description="works on text", metadata={"team": "test"})
    group = service.add_group(name="text")

    async def upper(request):
        await js.publish("audit.upper", request.data)
        await request.respond(request.data.upper(), headers={"Done": "yes"})

    async def fail(request):
        await request.respond_error("422", "cannot do it")

    await group.add_endpoint(name="upper", handler=upper, metadata={"kind": "upper"})
    await group.add_endpoint(name="fail", handler=fail, queue_group="own")
    answer = await nc.request("text.upper", b"words", timeout=5)
    say("answer", [answer.data, answer.headers])
    failed = await nc.request("text.fail", b"", timeout=5)
    say("error", [failed.headers, failed.data])
    for verb in "PING", "INFO", "STATS":
        for name in "", ".text", f".text.{service.id}":
            say(f"{verb}{'.text' if name else ''}", without_ids((await nc.request(f"$SRV.{verb}{name}", timeout=5)).data))
    say("audited", [(await js.get_last_msg("AUDIT", "audit.upper")).data, (await js.stream_info("AUDIT")).state.messages])
    other = await add_service(nc, name="more", version="0.0.1")
    await other.add_endpoint(name="more", subject="more", handler=upper)
    await other.stop()
    try:
        await nc.request("more", b"", timeout=1)
    except NoRespondersError:
        say("stopped")


run(main)
