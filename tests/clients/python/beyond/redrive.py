"""`dialtone redrive` puts dead letters back. Argument: the server's URL; $SERVER is the program."""

import asyncio
import os
import sys

from nats.js.api import ConsumerConfig, RetentionPolicy, StreamConfig

from played import run, until


async def redrive(*words):
    """What the command says, and whether it did all."""
    process = await asyncio.create_subprocess_exec(
        os.environ["SERVER"], "redrive", *words, "--server", sys.argv[1], stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    out, err = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode, out.decode().strip(), err.decode().strip()


async def main(nc, js):
    await js.add_stream(StreamConfig(name="DEAD", subjects=["dead.>"]))
    work = {}
    for name in "JOBS", "MAIL":
        subjects = [f"{name.lower()}.>"]
        await js.add_stream(StreamConfig(name=name, subjects=subjects, retention=RetentionPolicy.WORK_QUEUE))
        config = ConsumerConfig(durable_name=f"of_{name}", metadata={"dialtone.dead_letter": f"dead.{name.lower()}"})
        work[name] = await js.pull_subscribe(subjects[0], f"of_{name}", config=config)

    async def give_up(name, count):
        for number in range(count):
            await js.publish(f"{name.lower()}.{number}", b"%d" % number)
        for job in await work[name].fetch(count):
            await job.term()

    async def dead():
        return (await js.stream_info("DEAD")).state.messages
    await give_up("JOBS", 3)
    await until(dead, 3, "the first are dead letters")
    await give_up("MAIL", 2)
    await until(dead, 5, "all are dead letters")

    # Those of one consumer, then as many as are asked for, then the rest.
    assert await redrive("DEAD", "--consumer", "of_MAIL") == (0, "2 redriven", "")
    assert await dead() == 3
    assert await redrive("DEAD", "--max", "1") == (0, "1 redriven", "")
    assert await dead() == 2
    assert await redrive("DEAD", "--from", "3") == (0, "1 redriven", "")
    assert await redrive("DEAD") == (0, "1 redriven", "")
    assert await dead() == 0
    for name, count in ("JOBS", 3), ("MAIL", 2):
        jobs = await work[name].fetch(count)
        assert sorted(job.data for job in jobs) == [b"%d" % number for number in range(count)]
        for job in jobs:
            assert job.headers["Dialtone-Redriven"].startswith(f"{name} of_{name} "), job.headers
            await job.ack_sync()
    assert await redrive("DEAD") == (0, "0 redriven", "")

    # Letters whose stream is gone stay, and it is said why.
    await give_up("JOBS", 2)
    await until(dead, 2, "they are dead letters")
    await js.delete_stream("JOBS")
    code, out, problem = await redrive("DEAD")
    assert (code, out) == (1, "0 redriven") and "2 stay: stream JOBS" in problem, (code, out, problem)
    assert await dead() == 2
    code, out, problem = await redrive("NONE")
    assert (code, out) == (1, "") and "stream not found" in problem, (code, out, problem)


run(main)
