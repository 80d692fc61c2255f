"""Clients at each server that send each other numbered messages, and what must be true of them."""

import asyncio

from client import Client

# Messages a second and pair of servers.
RATE = 100
# How long clusters may take to be whole at the start, and again after a fault, before a test fails.
PATIENCE = 60.0


def now():
    return asyncio.get_running_loop().time()


class Flows:
    """Clients at each server: one publishes numbered messages for each other one, one receives; one of another account listens to
    everything, and members of a queue group share numbered work."""

    def __init__(self, network):
        self.network = network
        self.publishers, self.receivers, self.strangers = {}, {}, {}
        # What was sent, and what arrived: by pair of servers, numbers in order.
        self.sent, self.arrived, self.times = {}, {}, {}
        self.work_sent, self.work = 0, {}
        self.leaked = []
        self.running = True

    async def start(self):
        for server in self.network.servers:
            server.start()
        for server in self.network.servers:
            await self.join(server)
        self.took = await self.wait_until_whole()
        self.task = asyncio.create_task(self.publish())

    async def join(self, server):
        """Connects the clients of a server."""
        at = server.number
        receiver = await Client.connect(server.address, "a")
        receiver.subscribe(f"flow.*.{at}", lambda subject, _, body: self.receive(subject, body))
        receiver.subscribe("work", self.take, "workers")
        receiver.subscribe(f"probe.*.{at}", self.probed)
        await receiver.flush()
        stranger = await Client.connect(server.address, "b")
        stranger.subscribe(">", lambda subject, *_: self.leaked.append(subject))
        await stranger.flush()
        self.publishers[at] = await Client.connect(server.address, "a")
        self.receivers[at], self.strangers[at] = receiver, stranger

    def leave(self, server):
        for clients in (self.publishers, self.receivers, self.strangers):
            client = clients.pop(server.number, None)
            if client:
                client.close()

    def receive(self, subject, body):
        _, one, other = subject.split(".")
        self.arrived.setdefault((int(one), int(other)), []).append(int(body))
        self.times.setdefault((int(one), int(other)), []).append(now())

    def take(self, _subject, _reply, body):
        self.work[int(body)] = self.work.get(int(body), 0) + 1

    def probed(self, subject, *_):
        _, one, other = subject.split(".")
        self.found.add((int(one), int(other)))

    async def publish(self):
        while self.running:
            for one, publisher in list(self.publishers.items()):
                for other in list(self.receivers):
                    number = self.sent.get((one, other), 0) + 1
                    self.sent[one, other] = number
                    publisher.publish(f"flow.{one}.{other}", b"%d" % number)
                self.work_sent += 1
                publisher.publish("work", b"%d" % self.work_sent)
            await asyncio.sleep(1 / RATE)

    async def wait_until_whole(self):
        """Until what is published at each server arrives at each other one. Returns the seconds that it took."""
        began = now()
        pairs = {(one, other) for one in self.publishers for other in self.receivers}
        self.found = set()
        while self.found != pairs:
            if now() - began > PATIENCE:
                raise AssertionError(f"no way from and to {sorted(pairs - self.found)} after {PATIENCE} s")
            for one, other in pairs - self.found:
                self.publishers[one].publish(f"probe.{one}.{other}")
            await asyncio.sleep(0.02)
        return round(now() - began, 2)

    async def stop(self):
        """Stops publishing, and waits until all that is on its way has arrived."""
        self.running = False
        await self.task
        for publisher in self.publishers.values():
            await publisher.flush()
        # What follows the last message on its way ends the wait.
        await self.wait_until_whole()
        for receiver in self.receivers.values():
            await receiver.flush()

    def check(self, disturbed=(), undisturbed_work=False):
        """Nothing twice, nothing out of order, nothing in another account; nothing lost but between the pairs that were disturbed.
        Returns how many were lost."""
        assert not self.leaked, f"another account got {self.leaked[:3]}"
        lost = 0
        for pair, sent in self.sent.items():
            numbers = self.arrived.get(pair, [])
            assert numbers == sorted(set(numbers)), f"twice or out of order, from S{pair[0]} to S{pair[1]}"
            missing = sent - len(numbers)
            if not set(pair) & set(disturbed) and pair not in disturbed:
                assert missing == 0, f"{missing} of {sent} lost from S{pair[0]} to S{pair[1]}"
            lost += missing
        twice = [number for number, count in self.work.items() if count > 1]
        assert not twice, f"queue work was done twice: {twice[:5]}"
        if undisturbed_work:
            assert len(self.work) == self.work_sent, f"{self.work_sent - len(self.work)} of {self.work_sent} tasks lost"
        return lost

    def longest_gap(self, pairs):
        """The longest time in which nothing arrived between some pair of these, in seconds."""
        gaps = [later - earlier for pair in pairs for earlier, later in zip(self.times[pair], self.times[pair][1:])]
        return round(max(gaps), 2)
