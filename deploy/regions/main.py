"""The command line: a demonstration, or a check of what it shows."""

import argparse
import asyncio
import shutil
import sys
from collections import Counter
from pathlib import Path

from check import check
from servers import REGIONS, Servers, distance
from service import Instance, Requester

INSTANCES_PER_REGION = 2


class World:
    """Servers, instances of the service and who asks it, in all regions."""

    def __init__(self, servers):
        self.servers = servers
        self.instances = {region: [] for region in REGIONS}
        self.requesters = {region: Requester(region) for region in REGIONS}

    async def start(self):
        await self.servers.start()
        self.took = await self.servers.wait_until_whole()
        for region in REGIONS:
            await self.revive(region)
        for region, requester in self.requesters.items():
            await requester.start(self.servers.of(region)[0].client)

    async def revive(self, region):
        servers = self.servers.of(region)
        for number in range(INSTANCES_PER_REGION - len(self.instances[region])):
            instance = Instance()
            await instance.start(region, servers[number % len(servers)].client)
            self.instances[region].append(instance)

    async def kill(self, region):
        for instance in self.instances[region]:
            instance.kill()
        self.instances[region] = []


async def show(world):
    """Prints each second who answered whom, and how fast; does what is typed."""
    for region in REGIONS:
        ways = ", ".join(f"{distance(region, other) * 2000:.0f} ms to {other}" for other in REGIONS if other != region)
        servers = ", ".join(f"nats://127.0.0.1:{server.client}" for server in world.servers.of(region))
        print(f"{region:8} {servers} ({ways})")
    print("commands: stop REGION, start REGION, quit", flush=True)
    commands = asyncio.create_task(take_commands(world))
    seen = {region: 0 for region in REGIONS}
    while not commands.done():
        await asyncio.sleep(1)
        parts = []
        for region, requester in world.requesters.items():
            requester.check()
            # The last may not be answered yet.
            last = max(seen[region], len(requester.sent) - 40)
            numbers = range(seen[region], last)
            answers = [(number, *requester.answers[number]) for number in numbers if number in requester.answers]
            by = Counter(who or "nobody" for _, _, who in answers)
            times = sorted(at - requester.sent[number] for number, at, _ in answers)
            median = f"{times[len(times) // 2] * 1000:.1f} ms" if times else "-"
            lost = len(numbers) - len(answers)
            words = " ".join(f"{who}:{count}" for who, count in by.items())
            parts.append(f"{region} <- {words or '-'} {median}" + (f" lost:{lost}" if lost else ""))
            seen[region] = last
        print("   ".join(parts), flush=True)


async def take_commands(world):
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        match line.split():
            case ["stop", region] if region in REGIONS:
                await world.kill(region)
            case ["start", region] if region in REGIONS:
                await world.revive(region)
            case ["quit"]:
                return
            case _:
                print("stop REGION, start REGION or quit")
    # Nobody types anything: on until it is ended.
    await asyncio.Event().wait()


def binary(given):
    if given:
        return str(Path(given).resolve()) if "/" in given else given
    built = Path(__file__).parents[2] / "target/release/dialtone"
    return str(built) if built.exists() else shutil.which("dialtone") or sys.exit("cargo build --release first, or --server FILE")


async def run(given):
    servers = Servers(binary(given.server), given.clients)
    try:
        world = World(servers)
        await world.start()
        await (check(world) if given.check else show(world))
    finally:
        await servers.stop()


def main():
    parser = argparse.ArgumentParser(prog="deploy/regions/run")
    parser.add_argument("--server", help="the binary; default: target/release/dialtone, or that on the path")
    parser.add_argument("--check", action="store_true", help="let regions fail and come back, and print the figures")
    parser.add_argument("--clients", type=lambda text: [int(port) for port in text.split(",")],
                        help="where the first server of each region listens for clients, by comma; default: somewhere free")
    try:
        asyncio.run(run(parser.parse_args()))
    except KeyboardInterrupt:
        pass


main()
