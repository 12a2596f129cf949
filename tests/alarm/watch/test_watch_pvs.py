"""PVs of a real IOC into the tree: severities, messages, values, losses, what is configured meanwhile."""

from __future__ import annotations

import asyncio

import numpy as np
from support import unique_prefix
from watch_bench import items, put, running, until, watched

from iocs.alarm.tree.events import Effective, Person
from iocs.alarm.tree.items import Extras
from iocs.alarm.tree.severity import AlarmSeverity
from iocs.alarm.watch.feed import Change, Feed
from owlshift.ca import Batch, Dbr

OK, MINOR, MAJOR, INVALID, UNDEFINED = (AlarmSeverity[n] for n in ("OK", "MINOR", "MAJOR", "INVALID", "UNDEFINED"))
WHO = Person("tester", "here")


async def test_severity_message_and_value_of_all_types(soft) -> None:
    names = [f"{soft}{name}" for name in ("L01:IMon", "X:State", "X:Word", "X:Long", "X:Wave", "X:Gone")]
    async with watched(items([*names[:-1], f"ca://{names[-1]}"])) as bench:
        # a value is told once its severity or message is new: those of the start
        assert (await bench.current(names[0], OK, "NO_ALARM")).value == "0.0 uA"
        assert (await bench.current(names[1], OK, "NO_ALARM")).value == "Off"
        assert (await bench.current(names[2], OK, "NO_ALARM")).value == "fine"
        assert (await bench.current(names[3], OK, "NO_ALARM")).value == "a longer text"
        assert (await bench.current(names[4], OK, "NO_ALARM")).value == "[1.5, 2.5]"
        assert (await bench.current(names[5], INVALID, "UDF_ALARM")).value.endswith(" V")
        await put(names[0], 44.25)
        assert (await bench.current(names[0], MINOR, "HIGH_ALARM")).value == "44.2 uA"
        await put(names[0], 50.0)
        assert (await bench.current(names[0], MAJOR, "HIHI_ALARM")).value == "50.0 uA"
        await put(names[1], 2)
        assert (await bench.current(names[1], MAJOR, "STATE_ALARM")).value == "Cosmics"
        assert bench.watch.connected == bench.watch.watched == 6
        assert bench.watch.missing() == []


async def test_values_alone_change_nothing(soft) -> None:
    async with watched(items([f"{soft}L01:IMon"]), every_value=True) as bench:
        await bench.current(f"{soft}L01:IMon", OK, "NO_ALARM")
        changes = bench.watch.feed.changes
        # a server may send the newest of several values only
        for number in range(500):
            if bench.watch.feed.received >= 10:
                break
            await put(f"{soft}L01:IMon", float(1 + number % 30))
        assert bench.watch.feed.received >= 10, "events of values"
        assert bench.watch.feed.changes == changes


async def test_servers_are_asked_for_alarms_only(soft) -> None:
    async with watched(items([f"{soft}L01:IMon"])) as bench:
        await bench.current(f"{soft}L01:IMon", OK, "NO_ALARM")
        for value in range(1, 20):
            await put(f"{soft}L01:IMon", float(value))
        await put(f"{soft}L01:IMon", 50.0)
        await bench.current(f"{soft}L01:IMon", MAJOR)
        assert bench.watch.feed.received == 2


async def test_there_and_back_at_once_is_latched(soft) -> None:
    async with watched(items([f"{soft}L02:IMon"])) as bench:
        await bench.current(f"{soft}L02:IMon", OK, "NO_ALARM")
        await put(f"{soft}L02:IMon", 50.0)
        await put(f"{soft}L02:IMon", 0.0)
        await until(lambda: bench.leaf(f"{soft}L02:IMon").alarm.severity is MAJOR, "a latch")
        await bench.current(f"{soft}L02:IMon", OK, "NO_ALARM")
        assert bench.leaf(f"{soft}L02:IMon").alarm.severity is MAJOR
        assert bench.told.raised == [f"/T/area/{soft}L02:IMon"]


async def test_a_server_that_is_gone_and_back() -> None:
    prefix = unique_prefix()
    name = f"{prefix}L01:IMon"
    with running(prefix) as ioc:
        async with watched(items([name, f"{prefix}L02:IMon"])) as bench:
            await bench.current(name, OK, "NO_ALARM")
            ioc.kill()
            await bench.current(name, UNDEFINED, "Disconnected")
            await bench.current(f"{prefix}L02:IMon", UNDEFINED, "Disconnected")
            assert bench.watch.connected == 0
            assert len(bench.watch.missing()) == 2
            with running(prefix):
                state = await bench.current(name, OK, "NO_ALARM")
                assert state.value == "0.0 uA"
                await until(lambda: bench.watch.connected == 2)
                await put(name, 50.0)
                await bench.current(name, MAJOR, "HIHI_ALARM")


async def test_a_pv_that_was_never_there() -> None:
    prefix = unique_prefix()
    name = f"{prefix}L01:IMon"
    async with watched(items([name])) as bench:
        assert bench.leaf(name).current.message == "", "it may still come"
    async with watched(items([name, f"{prefix}NONE"]), connection_timeout=0.3) as bench:
        state = await bench.current(name, UNDEFINED, "Disconnected")
        assert state.value == ""
        await bench.current(f"{prefix}NONE", UNDEFINED, "Disconnected")
        with running(prefix):
            await bench.current(name, OK, "NO_ALARM")
            assert bench.leaf(f"{prefix}NONE").current.message == "Disconnected"
            assert bench.watch.missing() == [f"/T/area/{prefix}NONE"]


async def test_what_channel_access_cannot_watch_is_told(soft) -> None:
    async with watched(items([f"pva://{soft}L01:IMon", f"{soft}L02:IMon"])) as bench:
        state = await bench.current(f"pva://{soft}L01:IMon", UNDEFINED)
        assert "pva:// cannot be watched" in state.message
        assert list(bench.watch.problems) == [f"/T/area/pva:\\/\\/{soft}L01:IMon"]
        await bench.current(f"{soft}L02:IMon", OK, "NO_ALARM")


async def test_what_is_configured_meanwhile_is_watched_and_what_is_removed_is_not(soft) -> None:
    new, old = f"{soft}L02:IMon", f"{soft}L01:IMon"
    async with watched(items([old])) as bench:
        await bench.current(old, OK, "NO_ALARM")
        await put(new, 50.0)
        for item in items([new]):
            bench.tree.put(item, WHO)
        await bench.current(new, MAJOR, "HIHI_ALARM")
        leaf = bench.leaf(old)
        bench.tree.remove(f"/T/area/{old}", WHO)
        assert bench.watch.watched == 1
        await put(old, 50.0)
        await put(new, 0.0)
        await bench.current(new, OK, "NO_ALARM")
        assert leaf.current.severity is OK
        assert bench.watch.problems == {}


async def test_an_alarm_that_is_edited_is_watched_on(soft) -> None:
    name = f"{soft}L01:IMon"
    async with watched(items([name])) as bench:
        await put(name, 50.0)
        await bench.current(name, MAJOR, "HIHI_ALARM")
        for item in items([name], latching=False, delay=0):
            bench.tree.put(item, WHO)
        await bench.current(name, MAJOR, "HIHI_ALARM")
        await put(name, 0.0)
        await until(lambda: bench.leaf(name).alarm.severity is OK, "the unlatched alarm to end")


async def test_a_filter_holds_back_from_the_first_moment(soft) -> None:
    name = f"{soft}L01:IMon"
    await put(name, 50.0)
    await put(f"{soft}X:Switch", 0.0)
    async with watched(items([name], filter=f"'{soft}X:Switch' > 0")) as bench:
        await bench.current(name, MAJOR, "HIHI_ALARM")
        assert bench.leaf(name).effective is Effective.NormalFiltered
        assert bench.told.announcements == []
        await put(f"{soft}X:Switch", 1.0)
        await until(lambda: bench.leaf(name).effective is Effective.Active, "the filter to let it through")
        assert [one.severity for one in bench.told.announcements] == [MAJOR]


async def test_a_filter_whose_input_is_missing_does_not_hide_an_alarm(soft) -> None:
    name, other = f"{soft}L01:IMon", f"{soft}L02:IMon"
    await put(name, 50.0)
    await put(other, 50.0)
    configured = items([name], filter=f"'{soft}NONE' > 0") + items([other], filter=f"'{soft}X:Dead' > 0")
    async with watched(configured, connection_timeout=0.5) as bench:
        await bench.current(name, MAJOR, "HIHI_ALARM")
        await bench.current(other, MAJOR, "HIHI_ALARM")
        assert bench.leaf(name).effective is bench.leaf(other).effective is Effective.Active
        assert bench.watch.filters.missing() == sorted([f"{soft}NONE", f"{soft}X:Dead"])
    async with watched(configured, connection_timeout=0.5, compatible=True) as bench:
        await until(lambda: bench.leaf(other).effective is Effective.NormalFiltered, "the filter, as in Phoebus")


async def test_an_operating_mode_from_a_pv(soft) -> None:
    name = f"{soft}L01:IMon"
    await put(name, 50.0)
    async with watched(items([name], Extras(modes=("Beam",))), mode_pv=f"{soft}X:State") as bench:
        await bench.current(name, MAJOR, "HIHI_ALARM")
        assert bench.leaf(name).severity is OK
        assert bench.told.announcements == []
        await put(f"{soft}X:State", 1)
        await until(lambda: bench.leaf(name).severity is MAJOR, "the mode Beam")


async def test_severities_that_no_pv_has_and_a_clock_that_was_never_set() -> None:
    told: list[Change] = []
    feed = Feed(told.append)
    await feed.start()
    count = 4
    feed.batch(
        Batch(
            Dbr.DOUBLE,
            np.arange(count, dtype=np.uint32),
            np.array([0, 631152000 * 10**9, 2**62, 1_700_000_000_000_000_000], np.int64),
            np.array([7, 65535, 3, 0], np.uint16),
            np.array([99, 65535, 17, 0], np.uint16),
            np.zeros(count),
        )
    )
    await until(lambda: len(told) == count)
    await feed.close()
    assert [change.severity for change in told] == [7, 65535, 3, 0]
    assert [change.message for change in told] == ["STATUS_99", "STATUS_65535", "UDF_ALARM", "NO_ALARM"]
    assert told[3].time_ns == 1_700_000_000_000_000_000
    assert all(abs(change.time_ns - told[0].time_ns) < 10**9 for change in told[:3])


async def test_a_fault_with_one_change_does_not_stop_the_next(caplog) -> None:
    told: list[int] = []

    def tell(change: Change) -> None:
        if change.channel == 1:
            raise RuntimeError("this one")
        told.append(change.channel)

    feed = Feed(tell)
    await feed.start()
    feed.give_up([0, 1, 2])
    await until(lambda: not feed.behind)
    await asyncio.sleep(0)
    await feed.close()
    assert told == [0, 2]
    assert "could not be taken" in caplog.text
