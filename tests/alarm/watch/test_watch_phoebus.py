"""The same PVs and the same commands into the Phoebus alarm server and into ours: the same records must come out.

Phoebus' server is in no package registry: `OWLSHIFT_PHOEBUS_ALARM_SERVER` says where it is
(benchmarks/alarm_phoebus.py).
"""

from __future__ import annotations

import itertools
import random
from collections.abc import AsyncIterator

import alarm_phoebus
import kafka_server
import pytest
from phoebus_beside import Beside
from support import Process, unique_prefix
from watch_bench import put, running, soft_ioc

from iocs.alarm.tree.items import Item, LeafConfig

pytestmark = [
    pytest.mark.skipif(bool(alarm_phoebus.missing()), reason=alarm_phoebus.missing() or "it is here"),
    pytest.mark.skipif(bool(kafka_server.missing()), reason=kafka_server.missing() or "it is here"),
    pytest.mark.timeout(600),
]

FINE, MINOR, MAJOR, INVALID = range(4)
DELAY = 2
ALARMS = {
    "L01:Level": LeafConfig("latched"),
    "L02:Level": LeafConfig("unlatched", latching=False),
    "L03:Level": LeafConfig("*!silent", annunciating=False),
    "L04:Level": LeafConfig("*said as it is", latching=False),
    "L05:Level": LeafConfig("latched, delayed", delay=DELAY),
    "L06:Level": LeafConfig("unlatched, delayed", latching=False, delay=DELAY),
    "L07:Level": LeafConfig("counted", delay=1000, count=3),
    "L08:Level": LeafConfig("filtered", filter="'{prefix}X:Switch' > 0"),
}


class Both:
    """The two servers and the IOC."""

    def __init__(self, prefix: str, ioc: Process, beside: Beside) -> None:
        self.prefix, self.ioc, self.beside = prefix, ioc, beside
        self.now: dict[int, int] = {}

    def compare(self) -> None:
        """All records so far are the same."""
        differences = self.beside.differences()
        if differences:
            pytest.fail(differences)

    async def level(self, number: int, *levels: int) -> None:
        """Put severities to the PV of a channel, one after another at once; wait until both have a record of each."""
        path = self.beside.leaf(f"L{number:02d}:Level").path
        ours, theirs = self.beside.ours.states[path], self.beside.states[path]
        wanted = [level for level, _ in itertools.groupby([self.now.get(number, FINE), *levels])][1:]
        counts = len(ours) + len(wanted), len(theirs) + len(wanted)
        for level in wanted:
            await put(f"{self.prefix}L{number:02d}:Level", level)
            self.now[number] = level
        await self.beside.until(lambda: len(ours) >= counts[0] and len(theirs) >= counts[1], f"records of {path}")


@pytest.fixture
async def both() -> AsyncIterator[Both]:
    prefix = unique_prefix()
    items = []
    for name, config in ALARMS.items():
        text = config.filter.format(prefix=prefix)
        items.append(
            Item(
                f"/T/{'odd' if name[2] in '1357' else 'even'}/{prefix}{name}",
                LeafConfig(
                    config.description,
                    latching=config.latching,
                    annunciating=config.annunciating,
                    delay=config.delay,
                    count=config.count,
                    filter=text,
                ),
            )
        )
    with running(prefix, len(ALARMS)) as ioc:
        beside = Beside(items)
        try:
            await beside.start()
            yield Both(prefix, ioc, beside)
        finally:
            await beside.close()


async def test_the_same_records(both) -> None:
    beside = both.beside
    await beside.same_now("the start")
    randomly = random.Random(5)
    root = f"/{beside.name}"
    for _ in range(40):
        number = randomly.randint(1, 4)
        await both.level(
            number, *[randomly.choice((FINE, MINOR, MAJOR, INVALID)) for _ in range(randomly.randint(1, 3))]
        )
        await beside.same_now("levels")
        if randomly.random() < 0.4:
            path = randomly.choice([root, f"{root}/odd", f"{root}/even", beside.leaf(f"L{number:02d}:Level").path])
            await beside.acknowledge(path, randomly.random() < 0.75)
            await beside.same_now("acknowledged")
    both.compare()

    # a delay, latched: the highest; unlatched: the last
    await both.level(5, MINOR, MAJOR, MINOR)
    await both.level(6, MAJOR, MINOR)
    await beside.until(lambda: beside.leaf("L05:Level").alarm.severity.active, "the delay")
    await beside.until(lambda: beside.leaf("L06:Level").alarm.severity.active, "the delay")
    await beside.same_now("delays")
    # a recovery within the delay, up from MINOR: Phoebus' defect
    await both.level(5, FINE)
    await beside.acknowledge(root)
    await both.level(5, MINOR)
    await beside.until(lambda: beside.leaf("L05:Level").alarm.severity.name == "MINOR", "the delay")
    await beside.same_now("delays")
    await both.level(5, MAJOR, FINE)
    await beside.same_now("a recovery within the delay")
    # so many within a time
    for _ in range(4):
        await both.level(7, MINOR, FINE)
    await beside.same_now("counted")
    both.compare()

    # maintenance acknowledges what is INVALID
    await both.level(1, INVALID)
    await beside.same_now("before maintenance")
    await beside.maintenance(True)
    await both.level(2, FINE, INVALID, MINOR)
    await beside.same_now("maintenance")
    await beside.maintenance(False)
    await both.level(1, FINE, MAJOR)
    await beside.same_now("after maintenance")
    both.compare()

    # a filter, and an input that is gone
    await put(f"{both.prefix}X:Switch", 0.0)
    await beside.until(lambda: beside.states[beside.leaf("L08:Level").path][-1]["message"] == "Disabled", "the filter")
    await beside.until(lambda: beside.leaf("L08:Level").suppressed, "the filter")
    await put(f"{both.prefix}L08:Level", MAJOR)
    await put(f"{both.prefix}X:Switch", 1.0)
    await beside.until(lambda: beside.states[beside.leaf("L08:Level").path][-1]["severity"] == "MAJOR", "the filter")
    await beside.until(lambda: not beside.leaf("L08:Level").suppressed, "the filter")

    # the IOC goes, and comes back
    both.ioc.kill()
    for leaf in list(beside.tree.leaves())[:4]:
        await beside.until(lambda: beside.states[leaf.path][-1]["current_message"] == "Disconnected", "the loss")  # noqa: B023
        await beside.until(lambda: leaf.current.message == "Disconnected", "the loss")  # noqa: B023
    again = soft_ioc(both.prefix, len(ALARMS))
    try:
        for number in range(1, 5):
            path = beside.leaf(f"L{number:02d}:Level").path
            await beside.until(lambda: beside.states[path][-1]["current_message"] == "NO_ALARM", "the return")  # noqa: B023
            await beside.until(lambda: beside.ours.states[path][-1]["current_message"] == "NO_ALARM", "the return")  # noqa: B023
    finally:
        again.kill()
