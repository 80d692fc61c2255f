"""A client without a library, so that each message is seen as the server sent it; it does not reconnect."""

import asyncio
import json


# How long a server may take to answer before a test fails.
PATIENCE = 60.0


class Closed(Exception):
    pass


async def bounded(what, waiting):
    try:
        return await asyncio.wait_for(waiting, PATIENCE)
    except asyncio.TimeoutError:
        raise AssertionError(f"waited in vain for {what}") from None


class Client:
    """One connection. Messages come to the function that subscribed to them, as (subject, reply, body)."""

    @classmethod
    async def connect(cls, address, user, patience=30.0):
        """Tries until the server listens."""
        clock = asyncio.get_running_loop().time
        last = clock() + patience
        while True:
            try:
                reader, writer = await bounded("a connection", asyncio.open_connection(address, 4222))
                client = cls(reader, writer)
                await client.enter(user)
                return client
            except (OSError, Closed):
                if clock() > last:
                    raise
                await asyncio.sleep(0.02)

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.functions, self.pongs, self.next = {}, [], 1
        self.alive = True

    async def enter(self, user):
        line = await bounded("INFO", self.reader.readline())
        if not line.startswith(b"INFO "):
            raise Closed(line)
        fields = {"verbose": False, "pedantic": False, "user": user, "pass": user, "protocol": 1, "headers": True,
                  "no_responders": True, "echo": True}
        self.writer.write(b"CONNECT " + json.dumps(fields).encode() + b"\r\n")
        self.task = asyncio.create_task(self.read())
        await self.flush()

    async def read(self):
        try:
            while line := await self.reader.readline():
                words = line.split()
                if words[0] in (b"MSG", b"HMSG"):
                    size = int(words[-1])
                    body = (await self.reader.readexactly(size + 2))[:-2]
                    sizes = 2 if words[0] == b"HMSG" else 1
                    reply = words[3] if len(words) == 4 + sizes else None
                    header = int(words[-2]) if sizes == 2 else 0
                    function = self.functions.get(int(words[2]))
                    if function:
                        function(words[1].decode(), reply, body[header:])
                elif words[0] == b"PING":
                    self.writer.write(b"PONG\r\n")
                elif words[0] == b"PONG":
                    self.pongs.pop(0).set_result(None)
                elif words[0] == b"-ERR":
                    raise Closed(line)
        except (OSError, asyncio.IncompleteReadError, Closed):
            pass
        self.alive = False
        for pong in self.pongs:
            if not pong.done():
                pong.set_exception(Closed())
        self.pongs = []

    def send(self, data):
        if self.alive:
            self.writer.write(data)

    def publish(self, subject, body=b"", reply=""):
        self.send(f"PUB {subject} {reply} {len(body)}\r\n".encode() + body + b"\r\n")

    def subscribe(self, subject, function, queue=""):
        sid, self.next = self.next, self.next + 1
        self.functions[sid] = function
        self.send(f"SUB {subject} {queue} {sid}\r\n".encode())
        return sid

    async def flush(self):
        """Until the server has carried out all that was sent. Errors: it closes the connection."""
        if not self.alive:
            raise Closed()
        pong = asyncio.get_running_loop().create_future()
        self.pongs.append(pong)
        self.writer.write(b"PING\r\n")
        await bounded("PONG", pong)

    def close(self):
        self.alive = False
        self.task.cancel()
        self.writer.close()
