"""A relay that stands for the distance between regions: what passes it arrives later, in order."""

import asyncio
import re

# What waits in one direction at most, in bytes; then nothing more is read.
WAITING_MAX = 1024 * 1024
READ_BYTES = 64 * 1024
# Who dials says which region it is of in its CONNECT, which is among the first that it sends.
REGION = re.compile(rb'"gateway":"(\w+)"')


class Relay:
    """In front of one server's gateway port. `delay` has the seconds of one way from each region."""

    def __init__(self, port, target, delay):
        self.port, self.target, self.delay = port, target, delay
        self.connections = set()

    async def start(self):
        self.server = await asyncio.start_server(self.relay, "127.0.0.1", self.port)

    async def relay(self, reader, writer):
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            return writer.close()
        way = Way()
        both = asyncio.gather(self.pass_on(reader, there_writer, way), self.pass_on(there_reader, writer, way))
        self.connections.add(both)
        try:
            await both
        except asyncio.CancelledError:
            pass
        finally:
            self.connections.discard(both)
            writer.close()
            there_writer.close()

    async def stop(self):
        self.server.close()
        for both in list(self.connections):
            both.cancel()
        await asyncio.sleep(0)

    async def pass_on(self, reader, writer, way):
        waiting = asyncio.Queue()
        sender = asyncio.create_task(send(waiting, writer, way))
        clock = asyncio.get_running_loop().time
        try:
            while data := await reader.read(READ_BYTES):
                found = None if way.delay else REGION.search(data)
                if found:
                    way.delay = self.delay.get(found[1].decode(), 0)
                way.waiting += len(data)
                waiting.put_nowait((clock() + way.delay, data))
                while way.waiting > WAITING_MAX and not sender.done():
                    await asyncio.sleep(0.01)
        except OSError:
            pass
        waiting.put_nowait((clock() + way.delay, b""))
        await sender


class Way:
    """What both directions of a connection have in common."""

    def __init__(self):
        self.delay, self.waiting = 0, 0


async def send(waiting, writer, way):
    clock = asyncio.get_running_loop().time
    while True:
        due, data = await waiting.get()
        await asyncio.sleep(max(0, due - clock()))
        way.waiting -= len(data)
        try:
            if not data:
                return writer.write_eof() if writer.can_write_eof() else writer.close()
            writer.write(data)
            await writer.drain()
        except OSError:
            return
