#!/usr/bin/env python3
"""Free ports for servers that tests and benchmarks start: below those that the kernel gives to connections by itself, so that none is taken between
being found and being listened on.

tests/ports.py N    prints so many
"""

import random
import socket
import sys
import threading

LEAST, MOST = 15_000, 32_000


class Ports:
    """Each is given away once."""

    def __init__(self):
        self.left = random.sample(range(LEAST, MOST), 2000)
        self.lock = threading.Lock()

    def next(self):
        while True:
            with self.lock:
                port = self.left.pop()
            try:
                socket.create_server(("127.0.0.1", port)).close()
                return port
            except OSError:
                pass


ALL = Ports()


def free():
    """A port that this process has not had before."""
    return ALL.next()


if __name__ == "__main__":
    print(*(free() for _ in range(int(sys.argv[1]))))
