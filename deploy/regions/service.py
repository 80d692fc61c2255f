"""The service, its instances in each region, and who asks it."""

import asyncio
import json

SUBJECT = "where"
QUEUE = "instances"
# Requests a second in each region.
RATE = 100
# How long a server may take to answer before that counts as a failure.
PATIENCE = 30.0


class Connection:
    """A client without a library: it does not reconnect, so that each message is seen as it came."""

    @classmethod
    async def open(cls, port):
        self = cls()
        self.reader, self.writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), PATIENCE)
        await self.line("INFO")
        options = {"verbose": False, "headers": True, "no_responders": True, "protocol": 1}
        self.send(f"CONNECT {json.dumps(options)}\r\n")
        return self

    def send(self, text):
        self.writer.write(text.encode())

    def publish(self, subject, reply, body):
        self.send(f"PUB {subject} {reply} {len(body)}\r\n{body}\r\n")

    async def flush(self):
        """Until the server has carried out what was sent. Only while nothing is subscribed to: what else comes is not looked at."""
        self.send("PING\r\n")
        while not (await self.line("PONG")).startswith(b"PONG"):
            pass

    async def line(self, what):
        """The next line; that none comes, or the end does, is an error."""
        try:
            line = await asyncio.wait_for(self.reader.readline(), PATIENCE)
        except asyncio.TimeoutError:
            raise AssertionError(f"waited in vain for {what}") from None
        assert line, f"the connection ended before {what}"
        return line

    async def messages(self):
        """(subject, reply, body) of each message; the body is None where nobody answers."""
        try:
            while line := await self.reader.readline():
                words = line.decode().split()
                if words[0] in ("MSG", "HMSG"):
                    body = (await self.reader.readexactly(int(words[-1]) + 2))[:-2].decode()
                    reply = words[3] if len(words) == (6 if words[0] == "HMSG" else 5) else ""
                    yield words[1], reply, None if words[0] == "HMSG" else body
                elif words[0] == "PING":
                    self.send("PONG\r\n")
        except (OSError, asyncio.IncompleteReadError):
            return

    def abort(self):
        """As if the process were killed."""
        self.writer.transport.abort()


class Instance:
    """Answers with the name of its region."""

    async def start(self, region, port):
        self.connection = await Connection.open(port)
        # Requests may come behind the very next line.
        await self.connection.flush()
        self.connection.send(f"SUB {SUBJECT} {QUEUE} 1\r\n")
        self.task = asyncio.create_task(self.answer(region))

    async def answer(self, region):
        async for _, reply, _ in self.connection.messages():
            self.connection.publish(reply, "", region)

    def kill(self):
        self.connection.abort()
        self.task.cancel()


class Requester:
    """Asks all the time, and knows of each request when it was sent, and when and by whom it was answered."""

    def __init__(self, region):
        self.region = region
        self.sent, self.answers = [], {}

    async def start(self, port):
        self.clock = asyncio.get_running_loop().time
        self.connection = await Connection.open(port)
        self.inbox = f"_INBOX.{self.region}"
        self.connection.send(f"SUB {self.inbox}.* 1\r\n")
        await self.connection.flush()
        self.tasks = [asyncio.create_task(self.ask()), asyncio.create_task(self.listen())]

    async def ask(self):
        while True:
            self.connection.publish(SUBJECT, f"{self.inbox}.{len(self.sent)}", "")
            self.sent.append(self.clock())
            await asyncio.sleep(1 / RATE)

    async def listen(self):
        async for subject, _, body in self.connection.messages():
            number = int(subject.rsplit(".", 1)[1])
            assert number not in self.answers, f"request {number} of {self.region} was answered twice"
            self.answers[number] = (self.clock(), body)

    def check(self):
        """Raises what has ended it, if anything has."""
        for task in self.tasks:
            if task.done():
                task.result()
                raise AssertionError(f"{self.region} was disconnected")

    def answered_by(self, first, last=None):
        """Who answered the requests with these numbers; None for those that nobody has."""
        return [self.answers.get(number, (0, None))[1] for number in range(first, last or len(self.sent))]
