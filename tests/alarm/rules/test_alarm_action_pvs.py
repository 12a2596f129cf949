"""`sevrpv:` and `infopv:` actions against a real IOC, whose values aioca reads: retries, and the newest value wins."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aioca
import pytest
from action_bench import LEAF, MAJOR, ME, MINOR, OK, TIMEOUT, Bench, bench, eventually
from support import ROOT, Process, start, unique_prefix

from iocs.alarm.actions.pvwriter import PvWriter
from iocs.alarm.config import ActionsConfig
from iocs.alarm.tree.items import Action
from owlshift.ca import Client

caget: Any = aioca.caget


def start_lamp(prefix: str) -> Process:
    """The small IOC of the framework's own tests."""
    return start([sys.executable, str(ROOT / "tests" / "ioc" / "lamp_ioc.py"), prefix], timeout=TIMEOUT)


@pytest.fixture(scope="module")
def lamp() -> Iterator[str]:
    prefix = unique_prefix()
    process = start_lamp(prefix)
    yield f"{prefix}L:"
    assert process.stop(TIMEOUT) == 0, process.text()


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with Client() as started:
        yield started
    aioca.purge_channel_caches()


async def becomes(name: str, value: object) -> None:
    """Wait until another client sees it."""
    seen: object = None
    async with asyncio.timeout(TIMEOUT):
        while seen != value:
            seen = await caget(name, timeout=TIMEOUT)
            await asyncio.sleep(0.01)


async def test_an_area_writes_its_severity(lamp, client):
    await client.put(f"{lamp}Steps", 77, timeout=TIMEOUT)
    sevr = Action("s", f"sevrpv:ca://{lamp}Steps", 3600)
    async with bench(area=(sevr,), client=client) as stand:
        await becomes(f"{lamp}Steps", 0)  # at the start
        stand.set(MAJOR)
        await becomes(f"{lamp}Steps", 6)  # there is no delay
        stand.set(OK)
        stand.tree.acknowledge("/S", ME)
        await becomes(f"{lamp}Steps", 0)
        stand.set(MINOR)
        stand.tree.acknowledge("/S", ME)
        await becomes(f"{lamp}Steps", 1)
        stand.tree.disconnected(leaf(stand), stand.clock.now_ns())
        await becomes(f"{lamp}Steps", 8)
        stand.tree.shelve(LEAF, ME, "broken", stand.clock.now_ns() + 60 * 10**9)
        await becomes(f"{lamp}Steps", 0)
        await eventually(lambda: stand.results[-1] == f"{sevr.details}: 0 written", lambda: str(stand.results))


def leaf(stand: Bench) -> Any:
    return stand.tree.find(LEAF)


async def test_a_leaf_writes_no_severity(lamp, client):
    await client.put(f"{lamp}Steps", 50, timeout=TIMEOUT)
    async with bench(leaf=(Action("s", f"sevrpv:{lamp}Steps"),), client=client) as stand:
        stand.set(MAJOR)
        stand.clock.advance(10)
    assert not stand.edits and await caget(f"{lamp}Steps", timeout=TIMEOUT) == 50


async def test_info_in_a_long_text_and_in_a_string(lamp, client):
    infos = (Action("i", f"infopv:{lamp}Note"), Action("i", f"infopv:{lamp}Label"))
    async with bench(leaf=infos, client=client, latching=False) as stand:
        stand.set(MAJOR)
        stand.clock.advance(0)
        assert sorted(await stand.result(2)) == [f"{one.details}: written" for one in reversed(infos)]
        note = await caget(f"{lamp}Note", datatype=aioca.DBR_CHAR_STR, timeout=TIMEOUT)
        assert note.startswith(f"MAJOR alarm: Current of layer 7\nPV: {LEAF}\nDescription: ")
        label = await caget(f"{lamp}Label", timeout=TIMEOUT)
        assert "MAJOR alarm: Current of layer 7\nPV: /S/H".startswith(label) and len(label) == 39
        stand.set(OK)
        await stand.result(4)
        note = await caget(f"{lamp}Note", datatype=aioca.DBR_CHAR_STR, timeout=TIMEOUT)
        assert note.startswith("OK: Current of layer 7\n")


async def test_only_pvs_that_the_site_file_allows(lamp, client):
    await client.put(f"{lamp}Steps", 51, timeout=TIMEOUT)
    actions = (Action("s", f"sevrpv:{lamp}Steps"), Action("i", f"infopv:{lamp}Note"), Action("i", "infopv:pva://x"))
    async with bench(ActionsConfig(sevrpv=("OTHER:*",)), area=actions, client=client) as stand:
        stand.set(MAJOR)
        stand.clock.advance(0)
        found = await stand.result(4)
    assert sum("refused: the PV is not among those of the site file" in one for one in found) == 3
    assert sum("refused: pva:// cannot be written to" in one for one in found) == 1
    assert await caget(f"{lamp}Steps", timeout=TIMEOUT) == 51


async def test_the_newest_value_wins_while_a_put_takes_its_time(lamp, client):
    before = len(await puts(client, lamp))
    writer = PvWriter(client, timeout=TIMEOUT)
    told: list[str] = []
    writer.put(f"{lamp}Hold", 1, lambda what: told.append(f"1 {what}"))
    await eventually_puts(client, lamp, before + 1)
    for value in range(2, 9):
        writer.put(f"{lamp}Hold", value, lambda what, value=value: told.append(f"{value} {what}"))
    await client.put(f"{lamp}Release", 1, timeout=TIMEOUT)
    await eventually_puts(client, lamp, before + 3)
    await client.put(f"{lamp}Release", 1, timeout=TIMEOUT)
    await eventually(lambda: told, lambda: "the end of the puts")
    assert told == ["8 written"]
    assert (await puts(client, lamp))[before:] == ["hold", "held", "hold", "held"], "two puts of eight"
    assert await caget(f"{lamp}Hold", timeout=TIMEOUT) == 8
    await writer.close()


async def puts(client: Client, lamp: str) -> list[str]:
    return str((await client.get(f"{lamp}Puts", timeout=TIMEOUT)).label).split()


async def eventually_puts(client: Client, lamp: str, count: int) -> None:
    async with asyncio.timeout(TIMEOUT):
        while len(await puts(client, lamp)) < count:
            await asyncio.sleep(0.01)


async def test_a_pv_that_is_not_there_yet(client):
    """It is told once that it fails, and written as soon as the PV is there, with the newest value only."""
    prefix = unique_prefix()
    name = f"{prefix}L:Steps"
    writer = PvWriter(client, pause=0.1, timeout=0.3)
    told: list[str] = []
    writer.put(name, 5, lambda what: told.append(f"5 {what}"))
    await eventually(lambda: told, lambda: "the first failure")
    assert told[0].startswith("5 not written, tried again: ")
    writer.put(name, 6, lambda what: told.append(f"6 {what}"))
    process = start_lamp(prefix)
    try:
        await eventually(lambda: told[-1] == "6 written", lambda: str(told))
        assert await caget(name, timeout=TIMEOUT) == 6
        assert len(told) <= 3
    finally:
        await writer.close()
        assert process.stop(TIMEOUT) == 0, process.text()


async def test_giving_up(client):
    writer = PvWriter(client, pause=0.05, timeout=0.1)
    told: list[str] = []
    writer.put(f"{unique_prefix()}no:such", "text", told.append, give_up=0.5)
    await eventually(lambda: len(told) == 2, lambda: str(told))
    assert told[0].startswith("not written, tried again: ") and told[1].startswith("given up: ")
    await writer.close()


async def test_what_never_fits_is_not_tried_again(lamp, client):
    writer = PvWriter(client)
    told: list[str] = []
    writer.put(f"{lamp}Steps", 2**40, told.append)
    await eventually(lambda: told, lambda: "the end")
    assert len(told) == 1 and told[0].startswith("given up: ")
    await writer.close()


async def test_a_refused_put_is_tried_again(lamp, client):
    writer = PvWriter(client, pause=0.05)
    told: list[str] = []
    writer.put(f"{lamp}Refuse", -1, told.append)
    await eventually(lambda: told, lambda: "the refusal")
    assert told[0].startswith("not written, tried again: ")
    writer.put(f"{lamp}Refuse", 2, told.append)
    await eventually(lambda: told[-1] == "written", lambda: str(told))
    await writer.close()
