"""What must be true while regions fail and come back: who answers whom. How long it takes and what is lost is printed."""

import asyncio

from servers import REGIONS, nearest

# So many requests in a row show who answers a region.
STEADY = 50
# How long that may take before it counts as a failure.
PATIENCE = 30.0


async def check(world):
    print(f"all regions are joined after {world.took:.1f} s")
    alive, counted, lost = set(REGIONS), {region: 0 for region in REGIONS}, 0
    for region in REGIONS:
        counted[region] = await steady(world.requesters[region], region, 0, "at the beginning")
        assert set(world.requesters[region].answered_by(0, counted[region])) == {region}, "local members come first"
    print("each region answers itself")
    for what, where in (("kill", "europe"), ("kill", "america"), ("start", "america"), ("start", "europe")):
        before = {region: nearest(region, alive) for region in REGIONS}
        (alive.discard if what == "kill" else alive.add)(where)
        began = asyncio.get_running_loop().time()
        first = {region: len(requester.sent) for region, requester in world.requesters.items()}
        await (world.kill(where) if what == "kill" else world.revive(where))
        words, lost_now = [], 0
        for region, requester in world.requesters.items():
            now = nearest(region, alive)
            end = await steady(requester, now, first[region], f"{what} {where}")
            if what == "start":
                await whole(requester, counted[region], end, f"start {where}")
            answers = requester.answered_by(counted[region], end)
            assert set(answers) <= {before[region], now, None}, f"{what} {where}: {region} was answered by {set(answers)}"
            lost_now += answers.count(None)
            counted[region] = end
            if now != before[region]:
                turned = next(number for number in range(first[region], end) if requester.answered_by(number, number + 1) == [now])
                took = requester.answers[turned][0] - began
                words.append(f"{region} is answered by {now} after {took * 1000:.0f} ms")
        lost += lost_now
        print(f"{what} {where}: {', '.join(words)}; {lost_now} requests lost", flush=True)
    print(f"{lost} of {sum(counted.values())} requests were lost")


async def whole(requester, first, end, title):
    """Until all of these requests were answered: where nothing fails, nothing is lost."""
    clock = asyncio.get_running_loop().time
    began = clock()
    while missing := requester.answered_by(first, end).count(None):
        requester.check()
        if clock() - began > PATIENCE:
            raise AssertionError(f"{title}: {missing} requests of {requester.region} were lost, though nothing failed")
        await asyncio.sleep(0.05)


async def steady(requester, wanted, first, title):
    """Until so many requests in a row were answered as wanted. The number behind the last."""
    clock = asyncio.get_running_loop().time
    began = clock()
    while True:
        requester.check()
        # Those that are on their way say nothing yet.
        last = max(requester.answers, default=0)
        answers = requester.answered_by(first, last + 1)
        if len(answers) >= STEADY and set(answers[-STEADY:]) == {wanted}:
            return last + 1
        if clock() - began > PATIENCE:
            raise AssertionError(f"{title}: {requester.region} is answered by {answers[-STEADY:]} and not by {wanted}")
        await asyncio.sleep(0.05)
