"""Plays each fault with each cast of servers, and prints what was measured."""

import argparse
import asyncio
import json
import os
import sys
import traceback

import faults
from network import Network

CASTS = {
    "ours": lambda count: [os.environ["SERVER"]] * count,
    "official": lambda count: [os.environ["OFFICIAL"]] * count,
    # Each of both has neighbours of both.
    "mixed": lambda count: [os.environ["OFFICIAL" if number % 2 else "SERVER"] for number in range(count)],
}


def play(name, cast):
    fault = faults.ALL[name]
    network = Network(CASTS[cast](fault.servers))
    try:
        return asyncio.run(fault.play(network))
    except BaseException:
        for server in network.servers:
            print(f"--- log of S{server.number}\n{server.log()[-4000:]}", file=sys.stderr)
        raise
    finally:
        network.close()


def main():
    parser = argparse.ArgumentParser(prog="tests/faults/run")
    parser.add_argument("names", nargs="*", help="faults; default: " + ", ".join(faults.ALL))
    parser.add_argument("--casts", default="ours,mixed", help="of ours, official, mixed")
    parser.add_argument("--json", help="write the figures into this file")
    given = parser.parse_args()
    figures, failed = {}, []
    for name in given.names or faults.ALL:
        for cast in faults.ALL[name].casts or given.casts.split(","):
            try:
                found = play(name, cast)
            except Exception:
                traceback.print_exc()
                failed.append(f"{name} ({cast})")
                continue
            figures.setdefault(name, {})[cast] = found
            print(f"{name:18} {cast:9} " + ", ".join(f"{what}: {value}" for what, value in found.items()), flush=True)
    if given.json:
        with open(given.json, "w") as file:
            json.dump(figures, file, indent=1)
    if failed:
        sys.exit("failed: " + ", ".join(failed))


main()
