"""What people ask for is done at once: the engine as a process, a C IOC, and the ledger."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from archive_stand import CIoc, EngineStand
from support import free_port, wait_until
from test_archive_engine import counter, put

from archiver.management.ledger import Identity, Ledger, Request
from archiver.store import StoreReader
from archiver.store.live import MONITOR, SCAN, PvState, load_live
from archiver.store.registry import Registry

TIMEOUT = 60.0
WHO = Identity("tester")


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[EngineStand]:
    made = EngineStand(tmp_path, free_port())
    yield made
    if made.process is not None and made.process.returncode is None:
        made.process.kill()


def ioc_of(stand: EngineStand, *records: str) -> CIoc:
    return CIoc("\n".join(records), port=stand.port, beacon_port=stand.beacon_port)


def ledger_of(stand: EngineStand) -> Ledger:
    return Ledger(stand.archive / "manage.db")


def registry_of(stand: EngineStand) -> Registry:
    """Ids and metadata, as they are now."""
    registry = Registry(stand.archive / "registry.log")
    registry.refresh()
    return registry


def row(stand: EngineStand, name: str) -> np.void | None:
    """The PV's row of the live table."""
    pv = registry_of(stand).ids.get(name)
    table = load_live(stand.archive)
    return table[pv] if pv is not None and pv < len(table) else None


def wait_row(stand: EngineStand, name: str, **expected: float) -> np.void:
    def fits() -> np.void | None:
        found = row(stand, name)
        return found if found is not None and all(found[key] == value for key, value in expected.items()) else None

    found = wait_until(fits, TIMEOUT, f"{name} with {expected}")
    assert isinstance(found, np.void)
    return found


def test_request_pause_resume_change_delete(stand: EngineStand, prefix: str) -> None:
    name, other = f"{prefix}A", f"{prefix}B"
    stand.write_site(archiver="sync = 0.2")
    with ioc_of(stand, counter(name), counter(other)):
        stand.start()
        ledger = ledger_of(stand)
        ledger.request([Request(name), Request(other, method="scan", period=0.5, deadband=0.0)], WHO)
        assert stand.wait_values(name, 5)
        live = wait_row(stand, name, state=PvState.CONNECTED, method=MONITOR, count=1, array=0)
        assert live["requested_ns"] > 0
        assert live["first_connected_ns"] >= live["requested_ns"]
        wait_row(stand, other, state=PvState.CONNECTED, method=SCAN, period=0.5)
        ledger.pause([name], WHO)
        wait_row(stand, name, state=PvState.PAUSED)
        stand.wait_status("one paused", pvs=2, connected=1, paused_pvs=1)
        paused_at = stand.values(name)[-1]
        ledger.resume([name], WHO)
        wait_row(stand, name, state=PvState.CONNECTED)
        wait_until(lambda: stand.values(name)[-1] > paused_at + 3, TIMEOUT, "samples after the pause")
        ledger.change([name], WHO, method="scan", period=0.25)
        wait_row(stand, name, method=SCAN, period=0.25)
        ledger.delete([name], False, WHO)
        wait_row(stand, name, state=PvState.NOT_ARCHIVED)
        stand.wait_status("one left", pvs=1, connected=1)
        assert stand.values(name)
        live = wait_row(stand, other, state=PvState.CONNECTED)
        wait_until(lambda: wait_row(stand, other)["dropped_scan"] > 0, TIMEOUT, "scanned samples")
        assert live["events"] > 0
        ledger.close()
        stand.stop()


def test_what_was_asked_for_outlives_a_restart(stand: EngineStand, prefix: str) -> None:
    names = [f"{prefix}{i}" for i in range(20)]
    stand.write_site()
    with ioc_of(stand, *(counter(name) for name in names)):
        stand.start()
        ledger = ledger_of(stand)
        ledger.request(names, WHO)
        stand.wait_status("all", connected=20)
        ledger.pause(names[:5], WHO)
        stand.wait_status("five paused", paused_pvs=5)
        first = wait_row(stand, names[9], state=PvState.CONNECTED)
        stand.stop()
        stand.start()
        stand.wait_status("the same again", connected=15, paused_pvs=5)
        again = wait_row(stand, names[9], state=PvState.CONNECTED)
        for key in ("requested_ns", "first_connected_ns"):
            assert again[key] == first[key]
        ledger.close()
        stand.stop()


def test_a_start_without_a_ledger_goes_on_with_what_was_archived(stand: EngineStand, prefix: str) -> None:
    names = [f"{prefix}{i}" for i in range(3)]
    stand.write_site()
    with ioc_of(stand, *(counter(name) for name in names)):
        stand.start()
        ledger = ledger_of(stand)
        ledger.request([names[0], Request(names[1], method="scan", period=0.5), names[2]], WHO)
        stand.wait_status("all", connected=3)
        ledger.pause([names[2]], WHO)
        stand.wait_status("one paused", paused_pvs=1)
        ledger.close()
        stand.stop()
        path = stand.archive / "manage.db"
        good = path.read_bytes()
        path.write_bytes(b"this is no database" * 1000)
        stand.start()
        stand.wait_status("the same as before", connected=2, paused_pvs=1)
        wait_row(stand, names[1], method=SCAN, period=0.5)
        (stand.archive / "good").write_bytes(good)
        (stand.archive / "good").replace(path)
        wait_until(lambda: not stand.status()["ledger"]["problem"], TIMEOUT, "the ledger to be good again")
        stand.wait_status("the same as before", connected=2, paused_pvs=1)
        stand.stop()


def test_ten_thousand_in_one_request(stand: EngineStand, prefix: str) -> None:
    names = [f"{prefix}{i:05d}" for i in range(10_000)]
    stand.write_site()
    with ioc_of(stand, *(f'record(ao, "{name}") {{ field(PINI, "YES") }}' for name in names)):
        stand.start()
        with_ledger = ledger_of(stand)
        with_ledger.request(names, WHO)
        stand.wait_status("all of them", pvs=10_000, connected=10_000)
        wait_until(lambda: np.count_nonzero(load_live(stand.archive)["events"]) == 10_000, TIMEOUT, "an event of each")
        with_ledger.delete(names[:9_000], False, WHO)
        stand.wait_status("a tenth", pvs=1000, connected=1000)
        with_ledger.close()
        stand.stop()


def test_dead_bands_and_controlling_pvs(stand: EngineStand, prefix: str) -> None:
    value, gate, gated = f"{prefix}Value", f"{prefix}Gate", f"{prefix}Gated"
    records = [f'record(ao, "{value}") {{ }}', f'record(bo, "{gate}") {{ }}', counter(gated)]
    stand.write_site(archiver="sync = 0.2")
    with ioc_of(stand, *records) as ioc:
        stand.start()
        ledger = ledger_of(stand)
        ledger.request([Request(value, deadband=1.0), Request(gated, controlling=gate)], WHO)
        wait_row(stand, value, state=PvState.CONNECTED)
        wait_row(stand, gated, state=PvState.OFF)
        for number in (1, 1.5, 2, 2.5, 4, 3.5, 3):
            put(ioc, {value: number})
        wait_until(lambda: wait_row(stand, value)["dropped_deadband"] == 4, TIMEOUT, "what is within the dead-band")
        assert stand.wait_values(value, 3) == [1.0, 2.5, 4.0]
        assert stand.values(gated) == []
        put(ioc, {gate: 1})
        wait_row(stand, gated, state=PvState.CONNECTED)
        stand.wait_values(gated, 3)
        put(ioc, {gate: 0})
        wait_row(stand, gated, state=PvState.OFF)
        stand.wait_status("one off", off_pvs=1, connected=1)
        ledger.close()
        status = stand.stop()
    assert status["dropped"]["deadband"] == 4


def test_a_broken_or_locked_ledger_changes_nothing(stand: EngineStand, prefix: str) -> None:
    name, later = f"{prefix}A", f"{prefix}B"
    stand.write_site()
    with ioc_of(stand, counter(name), counter(later)):
        stand.start()
        assert stand.process is not None
        ledger = ledger_of(stand)
        ledger.request([name], WHO)
        stand.wait_status("the PV", connected=1)
        # somebody holds it: what is asked for meanwhile comes afterwards
        holder = sqlite3.connect(stand.archive / "manage.db", isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        seen = len(stand.wait_values(name, 1))
        stand.wait_values(name, seen + 5)
        holder.execute("ROLLBACK")
        holder.close()
        ledger.request([later], WHO)
        stand.wait_status("both", connected=2)
        good, rubbish = stand.archive / "good", stand.archive / "rubbish"
        with contextlib.closing(sqlite3.connect(stand.archive / "manage.db")) as source:
            with contextlib.closing(sqlite3.connect(good)) as copy:
                source.backup(copy)
        ledger.close()
        rubbish.write_bytes(b"this is no database" * 1000)
        for suffix in ("-wal", "-shm"):  # all of the database may lie in there
            (stand.archive / f"manage.db{suffix}").unlink(missing_ok=True)
        rubbish.replace(stand.archive / "manage.db")
        wait_until(lambda: stand.status()["ledger"]["problem"], TIMEOUT, "word of the broken ledger")
        stand.wait_status("both still", connected=2)
        good.replace(stand.archive / "manage.db")
        wait_until(lambda: not stand.status()["ledger"]["problem"], TIMEOUT, "the ledger to be good again")
        stand.wait_status("both still", pvs=2, connected=2)
        assert "stays as it is, trying on" in stand.process.text()
        # another ledger in its place knows nothing, and says so: nothing is dropped for that
        empty = Ledger(rubbish)
        empty.set_flag("new", True, WHO)
        empty.close()
        rubbish.replace(stand.archive / "manage.db")
        wait_until(lambda: stand.process and "is another ledger" in stand.process.text(), TIMEOUT, "word of it")
        stand.wait_status("both still", pvs=2, connected=2)
        stand.stop()


def test_policies_apply_when_more_is_known_and_when_the_site_file_changes(stand: EngineStand, prefix: str) -> None:
    volts, fast, wave = f"{prefix}Volts", f"{prefix}Fast", f"{prefix}Wave"
    policies = """
[[archiver.policy]]
name = "waves"
array = true
method = "scan"
period = 9
[[archiver.policy]]
name = "fast"
min_rate = 5
method = "scan"
period = 2
[[archiver.policy]]
name = "volts"
pv = "*"
metadata = { EGU = "V" }
deadband = 0.5
fields = ["ADEL", "SCAN", "DESC"]
"""
    records = [
        f'record(ao, "{volts}") {{ field(EGU, "V") field(HHSV, "MAJOR") field(ADEL, "0.25")'
        ' field(DESC, "first") field(PINI, "YES") }',
        counter(fast),
        f'record(waveform, "{wave}") {{ field(FTVL, "DOUBLE") field(NELM, "4") field(PINI, "YES") }}',
    ]
    stand.write_site(extra=policies, archiver="sync = 0.2")
    with ioc_of(stand, *records) as ioc:
        stand.start()
        ledger = ledger_of(stand)
        ledger.request([volts, fast, wave], WHO)

        def policy(name: str) -> str | None:
            found, status = row(stand, name), stand.status()
            return status["policies"][found["policy"]] if found is not None else None

        wait_until(lambda: policy(wave) == "waves", TIMEOUT, "the array's policy")
        wait_until(lambda: policy(volts) == "volts", TIMEOUT, "the policy by metadata")
        wait_until(lambda: policy(fast) == "fast", TIMEOUT, "the policy by rate")
        wait_row(stand, fast, method=SCAN, period=2.0)

        def metadata(*keys: str) -> list[str | None]:
            info = StoreReader(stand.archive).info(volts)
            return [info.metadata.get(key) for key in keys] if info is not None else []

        wait_until(
            lambda: metadata("ADEL", "SCAN", "DESC") == ["0.25", "Passive", "first"], TIMEOUT, "the record's fields"
        )
        put(ioc, {f"{volts}.DESC": "second", f"{volts}.HIHI": 7.5})
        wait_until(lambda: metadata("DESC", "HIHI") == ["second", "7.5"], TIMEOUT, "the changed fields")
        registry = registry_of(stand)
        versions = registry.history[registry.ids[volts]]
        assert next(v["DESC"] for _, v in versions if "DESC" in v) == "first"
        assert [t for t, _ in versions] == sorted(t for t, _ in versions)
        stand.write_site(extra=policies.replace('array = true\nmethod = "scan"', "array = true"), archiver="sync = 0.2")
        wait_row(stand, wave, method=MONITOR)
        ledger.change([wave], WHO, policy="fast")
        wait_row(stand, wave, method=SCAN, period=2.0)
        ledger.reapply([wave], WHO, keep_user=False)
        wait_row(stand, wave, method=MONITOR)
        assert policy(wave) == "waves"
        ledger.close()
        stand.stop()


def test_rename_keeps_the_history_and_deleting_data_forgets_it(stand: EngineStand, prefix: str) -> None:
    old, new, other = f"{prefix}Old", f"{prefix}New", f"{prefix}Other"
    stand.write_site(archiver="sync = 0.2\nroll_interval = 1")
    with ioc_of(stand, counter(old), counter(new), counter(other)):
        stand.start()
        ledger = ledger_of(stand)
        ledger.request([old, other], WHO)
        stand.wait_values(old, 15)
        stand.wait_values(other, 5)
        ledger.pause([old], WHO)
        wait_row(stand, old, state=PvState.PAUSED)
        past = stand.values(old)
        ledger.rename(old, new, WHO)
        wait_until(lambda: new in registry_of(stand).ids, TIMEOUT, "the new name")
        assert stand.values(old) == []
        assert stand.values(new)[: len(past)] == past
        ledger.resume([new], WHO)
        wait_row(stand, new, state=PvState.CONNECTED)
        assert stand.wait_values(new, len(past) + 5)[: len(past)] == past
        wait_until(lambda: ledger.jobs() == [], TIMEOUT, "the job to be done")
        first = registry_of(stand).ids[other]
        ledger.delete([other], True, WHO)
        wait_until(lambda: stand.values(other) == [], TIMEOUT, "the data to be gone")
        ledger.request([other], WHO)
        fresh = stand.wait_values(other, 3)
        assert registry_of(stand).ids[other] != first
        assert len(fresh) < 100
        assert (np.diff(fresh) == 1).all()
        ledger.close()
        stand.stop()
