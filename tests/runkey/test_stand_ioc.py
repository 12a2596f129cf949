"""Snapshot, compare and apply on an IOC that misbehaves in every way there is."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import Process, start, unique_prefix

from db.database import Database
from db.errors import Unavailable
from db.who import Who
from iocs.runkey.journal import NoJournal, SqlJournal, applications, items_of, on
from iocs.runkey.messages import Messages
from iocs.runkey.outcome import Outcome
from iocs.runkey.plan import Scope
from iocs.runkey.settings import Setting, Value
from iocs.runkey.stand import Stand
from iocs.runkey.writing import Pace
from owlshift.ca import Client

HERE = Path(__file__).parent
PATIENCE = 60.0
PACE = Pace(read=10.0, put=20.0, patience=0.6)
HASTY = Pace(read=10.0, put=1.0, patience=0.6)
WHO = Who("mira", "desk")


class Bad:
    """The IOC, a client, and a journal on SQLite."""

    def __init__(self, prefix: str, process: Process, client: Client, folder: Path) -> None:
        self.prefix, self.process, self.client, self.folder = prefix, process, client, folder
        self.stand = Stand(client, {"BAD": prefix}, pace=PACE)
        self.database = Database.open(f"sqlite:///{folder}/staging.sqlite")
        self.settings: dict[str, Setting] = {}

    async def snapshot(self) -> dict[str, Setting]:
        snapshot = await self.stand.snapshot()
        assert not snapshot.unread
        self.settings = {setting.pv.removeprefix(self.prefix): setting for setting in snapshot.settings["BAD"]}
        return self.settings

    def want(self, **changes: Value) -> list[Setting]:
        """The snapshot with other values; `A_V` is A:V."""
        found = dict(self.settings)
        for name, value in changes.items():
            key = name.replace("_", ":")
            found[key] = replace(found[key], value=value)
        return list(found.values())

    async def get(self, name: str) -> Any:
        return (await self.client.get(self.prefix + name, timeout=PATIENCE)).value

    async def put(self, name: str, value: Any) -> None:
        await self.client.put(self.prefix + name, value, timeout=PATIENCE)

    async def puts(self) -> list[str]:
        return (await self.client.get(self.prefix + "Puts", timeout=PATIENCE)).label.split()

    def journal(self) -> SqlJournal:
        return SqlJournal(on(self.database), "monday", "0" * 32, b"\1" * 32, WHO, "why")

    async def apply(self, pace: Pace = PACE, **changes: Value) -> Outcome:
        """Plan and apply, with the journal, which must say what the outcome says."""
        stand = Stand(self.client, {"BAD": self.prefix}, pace=pace)
        scope = await stand.plan(self.want(**changes))
        return await self.carry_out(stand, scope)

    async def carry_out(self, stand: Stand, scope: Scope, **options: Any) -> Outcome:
        journal = self.journal()
        outcome = await stand.apply(scope, journal, **options)
        self.check_journal(journal, outcome)
        return outcome

    def check_journal(self, journal: SqlJournal, outcome: Outcome) -> None:
        with self.database.read() as connection:
            row = next(one for one in applications(connection) if one.id == journal.id)
            items = items_of(connection, journal.id)
        assert (row.state, row.report, row.user, row.comment) == (outcome.state, outcome.report, "mira", "why")
        assert row.finished is not None and row.finished >= row.started
        assert [(one.pv, one.state, one.message) for one in items] == [
            (one.pv, one.state, one.message) for one in outcome.items
        ]

    async def unchanged(self) -> None:
        """Nothing differs from the snapshot."""
        comparison = await self.stand.compare(self.settings.values())
        assert comparison.equal, comparison.as_text()


@asynccontextmanager
async def client_of(prefix: str, process: Process, folder: Path) -> AsyncIterator[Bad]:
    async with Client(metadata=False) as client:
        bad = Bad(prefix, process, client, folder)
        try:
            await bad.snapshot()
            yield bad
        finally:
            bad.database.close()


def serving(prefix: str, folder: Path) -> Process:
    return start([sys.executable, str(HERE / "stand_bad_ioc.py"), prefix, str(folder)], timeout=PATIENCE)


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Process]]:
    prefix = unique_prefix()
    process = serving(prefix, tmp_path_factory.mktemp("bad"))
    yield prefix, process
    assert process.stop(20) == 0
    assert "Traceback" not in process.text(), process.text()


@pytest.fixture
async def bad(process: tuple[str, Process], tmp_path: Path):
    """All as after the start of the IOC."""
    async with Client(metadata=False) as client:
        for command in ("Release", "Reset"):
            await client.put(process[0] + command, 1, timeout=PATIENCE)
    async with client_of(*process, tmp_path) as bad:
        yield bad


def states(outcome: Outcome, prefix: str) -> dict[str, str]:
    return {one.pv.removeprefix(prefix): one.state for one in outcome.items}


async def test_a_snapshot_has_every_type_and_what_was_never_put(bad: Bad):
    settings = bad.settings
    assert settings["A:V"] == Setting(f"{bad.prefix}A:V", "double", 100.0, "V", (), 1)
    assert (settings["A:Rate"].type, settings["A:Rate"].value) == ("long", 50)
    assert (settings["A:Mode"].type, settings["A:Mode"].value, settings["A:Mode"].states) == (
        "enum", "Idle", ("Idle", "Run", "Test"))  # fmt: skip
    assert (settings["A:Label"].type, settings["A:Label"].value) == ("string", "spare")
    assert (settings["A:Note"].type, settings["A:Note"].value) == ("text", "")
    assert (settings["A:Curve"].type, settings["A:Curve"].value) == ("doubles", [1.0, 2.0])
    assert (settings["A:Steps"].type, settings["A:Steps"].value) == ("longs", [1, 2, 3])
    assert settings["A:Serial"].value == "SN1", "a readback can be configuration, too"
    assert "Fresh" not in settings and "A:V_RBV" not in settings
    snapshot = await bad.stand.snapshot()
    conditions = snapshot.conditions["BAD"]
    assert conditions.missing == {f"{bad.prefix}Fresh": "INVALID: nobody vouches for it"} == snapshot.missing
    severity, status, when = conditions.items[f"{bad.prefix}A:V"]
    assert (severity, status) == (0, 0) and when > 1.7e18
    assert snapshot.count == len(settings)


async def test_all_types_are_written_and_verified_and_nothing_else(bad: Bad):
    wanted = bad.want(A_V=150.0, A_Rate=7, A_Mode="Test", A_Label="layer 3", A_Note="a longer note " * 10,
        A_Curve=[0.5, 0.25, 0.125], A_Steps=[9], B_Slow=2.5)  # fmt: skip
    wanted.append(Setting(f"{bad.prefix}Fresh", "double", 3.0))
    scope = await bad.stand.plan(wanted)
    levels = [[put.pv.removeprefix(bad.prefix) for put in level] for level in scope.plan.levels]
    assert levels == [
        ["A:Curve", "A:Label", "A:Note", "A:Rate", "A:Steps", "B:Slow", "Fresh"],
        ["A:V"],
        ["A:Mode"],
    ]
    assert "A:V: 100 V -> 150 V" in scope.plan.as_text() and "level 2 of 3" in scope.plan.as_text()
    told: list[tuple[int, int, str]] = []
    outcome = await bad.carry_out(bad.stand, scope, progress=lambda *what: told.append(what))
    assert outcome.state == "applied" and set(states(outcome, bad.prefix).values()) == {"verified"}
    assert told[-1] == (9, 9, "applied")
    assert (await bad.stand.compare(wanted)).equal
    assert sorted(await bad.puts()) == sorted(
        ["Curve", "Label", "Note", "Rate", "Steps", "V=150", "Mode", "Slow=2.5"]
    ), "no other PV was put"


@pytest.mark.parametrize(
    ("volts", "limit", "order"),
    [(300.0, 400.0, ["Max=400", "V=300"]), (50.0, 80.0, ["V=50", "Max=80"]), (150.0, 170.0, ["Max=170", "V=150"])],
)
async def test_a_limit_is_in_before_the_value_goes_up_and_stays_until_it_is_down(bad: Bad, volts, limit, order):
    outcome = await bad.apply(A_V=volts, A_Max=limit)
    assert outcome.state == "applied", outcome.report
    assert await bad.puts() == order


FAULTS = {
    "Changed": (80.0, "became 40 instead of 80"),
    "Refused": (80.0, "the put was refused: the device does not like it"),
    "Never": (80.0, "Never_RBV shows 1 instead of 80 after 0.4 s"),
    "Invalid": (60.0, "Invalid_RBV is INVALID: nobody vouches for it"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_takes_back_what_was_written(bad: Bad, fault):
    value, reason = FAULTS[fault]
    outcome = await bad.apply(PACE, **{"A_V": 300.0, "A_Max": 400.0, "A_Label": "changed", "Last": 5.0, fault: value})
    assert outcome.state == "rolled_back" if fault != "Invalid" else outcome.state in ("rolled_back", "rollback_failed")
    assert reason in outcome.reason and reason in outcome.report
    seen = states(outcome, bad.prefix)
    assert seen["Last"] == "planned", "nothing of a later level is written"
    assert seen["A:Max"] == seen["A:Label"] == "rolled_back"
    assert "A:V" not in seen or seen["A:V"] == "planned"
    if fault == "Invalid":
        # it cannot be reached in order to be taken back, and the report says that nobody knows what it is
        item = next(one for one in outcome.items if one.pv.endswith("Invalid"))
        assert (outcome.state, item.state, item.now) == ("rollback_failed", "rollback_failed", None)
        assert "Invalid: 1 -> 60: rollback failed" in outcome.report and "it is unknown" in outcome.report
        await bad.put("Heal", 1)
    else:
        await bad.unchanged()


async def test_each_refusal_has_its_reason(bad: Bad):
    outcome = await bad.apply(Refused=80.0, Forbidden=80.0)
    found = {one.pv.removeprefix(bad.prefix): one.message for one in outcome.items}
    assert found == {
        "Refused": "the put was refused: the device does not like it",
        "Forbidden": "the put was refused: it is forbidden",
    }
    assert outcome.state == "rolled_back", outcome.report


async def test_reasons_are_heard_from_the_first_put_on(bad: Bad):
    names = [bad.prefix + "Refused", bad.prefix + "Forbidden"]
    for _ in range(10):
        async with Messages(bad.client, [bad.prefix]) as messages:
            await bad.client.write_many(dict.fromkeys(names, 80.0), timeout=PATIENCE)
            assert set(await messages.reasons(names)) == set(names)


async def test_a_subsystem_without_messages_is_not_waited_for_long(bad: Bad):
    async with Messages(bad.client, [bad.prefix, "NOWHERE:"]) as messages:
        assert await messages.reasons([]) == {}


async def test_a_put_that_hangs_is_given_up_and_taken_back_when_it_is_done(bad: Bad):
    outcome = await bad.apply(HASTY, Hangs=80.0, A_Label="changed", Last=5.0)
    assert "the put was not done within 1 s" in outcome.reason
    assert outcome.state == "rollback_failed" and states(outcome, bad.prefix)["A:Label"] == "rolled_back"
    assert states(outcome, bad.prefix)["Hangs"] == "rollback_failed"
    await bad.put("Release", 1)
    # the device carries out what it has in its queue: the put, and then the way back
    async with asyncio.timeout(PATIENCE):
        while (await bad.puts())[-1] != "Hangs=1":
            await asyncio.sleep(0.02)
    await bad.unchanged()


async def test_the_connection_lost_half_way(prefix: str, tmp_path: Path):
    """The IOC dies in a put: nobody can say what it is, and the report says that for each."""
    process = serving(prefix, tmp_path)
    try:
        async with client_of(prefix, process, tmp_path) as bad:
            await _lose(bad)
    finally:
        process.kill()


async def _lose(bad: Bad) -> None:
    outcome = await bad.apply(Pace(read=1.0, put=20.0, patience=0.3), Mover=2.0, Moved=1.0, A_Label="x", Dies=80.0)
    assert outcome.state == "rollback_failed"
    assert "connection was lost" in outcome.reason
    assert states(outcome, bad.prefix) == {"A:Label": "rollback_failed", "Mover": "rollback_failed",
        "Dies": "rollback_failed"}  # fmt: skip
    assert outcome.report.count("not reachable: unknown") == 3
    assert all(one.now is None for one in outcome.items)


async def test_a_device_that_comes_back_in_time_is_taken_back(bad: Bad):
    """The cable is out for a moment: the way back is tried again."""
    heal = asyncio.create_task(_heal_when_broken(bad))
    outcome = await bad.apply(Pace(read=10, put=20, patience=30), Invalid=80.0, A_Label="changed")
    await heal
    assert "the put was refused: B0 does not answer" in outcome.reason
    assert outcome.state == "rolled_back", outcome.report
    await bad.unchanged()


async def _heal_when_broken(bad: Bad) -> None:
    async with asyncio.timeout(PATIENCE):
        while (await bad.client.get(bad.prefix + "Invalid_RBV")).severity < 3:
            await asyncio.sleep(0.02)
    await bad.put("Heal", 1)


async def test_what_a_put_moves_is_written_after_it_or_in_a_second_round(bad: Bad):
    scope = await bad.stand.plan(bad.want(Mover=2.0, Moved=3.0))
    outcome = await bad.carry_out(bad.stand, scope)
    assert outcome.state == "applied", outcome.report
    assert await bad.puts() == ["Mover=2", "Moved=3", "Stray=1"]
    assert "moved by other puts, or by somebody, and written again" in outcome.report
    assert (await bad.get("Moved"), await bad.get("Stray")) == (3.0, 1.0)


async def test_a_second_round_is_taken_back_to_what_was_before_the_first(bad: Bad):
    abort = asyncio.Event()
    compared = 0

    def progress(done: int, total: int, text: str) -> None:
        nonlocal compared
        compared += text == "comparing"
        if compared == 2:
            abort.set()

    scope = await bad.stand.plan(bad.want(Mover=2.0, Moved=3.0))
    outcome = await bad.carry_out(bad.stand, scope, abort=abort, progress=progress)
    assert outcome.state == "aborted" and compared == 2, outcome.report
    assert [one.pv.removeprefix(bad.prefix) for one in outcome.items] == ["Mover", "Moved", "Stray"]
    await bad.unchanged()


async def test_what_had_no_value_cannot_be_taken_back(bad: Bad):
    wanted = [*bad.want(Refused=80.0), Setting(f"{bad.prefix}Fresh", "double", 3.0)]
    outcome = await bad.carry_out(bad.stand, await bad.stand.plan(wanted))
    assert outcome.state == "rollback_failed"
    assert "Fresh: unknown -> 3: rollback failed: not taken back: it had no valid value before; it is 3 now" in (
        outcome.report
    )


async def test_two_pvs_that_move_each_other_end_after_the_second_round(bad: Bad):
    outcome = await bad.apply(Tide=2.0, Moon=3.0)
    assert "after a second round" in outcome.reason
    assert outcome.state == "rollback_failed", "they move each other on the way back, too"


async def test_a_rollback_puts_back_what_its_puts_had_moved(bad: Bad):
    outcome = await bad.apply(Mover=2.0, Refused=80.0)
    assert outcome.state == "rolled_back", outcome.report
    assert await bad.get("Moved") == 1.0
    assert "Stray: was 1 before, is 9 now; the apply did not write it" in outcome.report


async def test_somebody_elses_change_before_the_put_is_not_overwritten(bad: Bad):
    scope = await bad.stand.plan(bad.want(A_Label="planned", A_V=150.0))
    await bad.put("A:Label", "from the panel")
    outcome = await bad.carry_out(bad.stand, scope)
    assert outcome.state == "failed" and "somebody changed it meanwhile: it was spare, and is 'from the panel' now" in (
        outcome.reason
    )
    assert await bad.get("A:Label") == "from the panel" and await bad.get("A:V") == 100.0
    assert await bad.puts() == ["Label"]


async def test_somebody_elses_change_in_between_stays_and_the_rest_goes_back(bad: Bad):
    abort = asyncio.Event()
    scope = await bad.stand.plan(bad.want(A_Label="ours", A_Rate=9, Late=80.0))
    apply = asyncio.create_task(bad.carry_out(bad.stand, scope, abort=abort))
    await _until_put(bad, "Late=80")
    await bad.put("A:Label", "theirs")
    abort.set()
    await bad.put("Release", 1)
    outcome = await apply
    assert outcome.state == "rollback_failed"
    assert "left: somebody has changed it to theirs meanwhile" in outcome.report
    assert "left, since" in outcome.report, "what comes after the label is not put back under somebody else's label"
    assert (await bad.get("A:Label"), await bad.get("A:Rate"), await bad.get("Late")) == ("theirs", 50, 80.0)


async def _until_put(bad: Bad, what: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while what not in await bad.puts():
            await asyncio.sleep(0.02)


async def test_a_value_that_is_there_already_is_not_put(bad: Bad):
    scope = await bad.stand.plan(bad.want(A_Label="wanted", A_Rate=9))
    await bad.put("A:Label", "wanted")
    outcome = await bad.carry_out(bad.stand, scope)
    assert outcome.state == "applied" and await bad.puts() == ["Label", "Rate"]
    assert "it had this value already" in outcome.report


async def test_blocked_locked_and_out_of_range_is_refused_before_anything(bad: Bad):
    await bad.put("Lock", 1)
    outcome = await bad.apply(A_V=150.0, A_Label="x", Closed=5.0, B_V=3001.0, A_Mode="Test", A_Steps=[])
    assert outcome.state == "refused" and not outcome.items
    for reason in (
        "A:V: blocked: ",
        "Closed: the access security does not let us write it",
        "B:V: 3001 V is outside of its limits 0…3000",
        "A:Steps: an array of no elements cannot be put",
    ):
        assert reason in outcome.report
    assert await bad.puts() == []


async def test_blocked_while_it_is_applied(bad: Bad):
    scope = await bad.stand.plan(bad.want(A_V=150.0))
    await bad.put("Lock", 1)
    outcome = await bad.carry_out(bad.stand, scope)
    assert outcome.state == "failed" and "Lock is Yes" in outcome.reason and await bad.puts() == []


async def test_an_abort_takes_back_what_was_written(bad: Bad):
    abort = asyncio.Event()
    scope = await bad.stand.plan(bad.want(A_Label="ours", Waits=80.0, Last=5.0))
    apply = asyncio.create_task(bad.carry_out(bad.stand, scope, abort=abort))
    await _until_put(bad, "Waits=80")
    abort.set()
    await bad.put("Release", 1)
    outcome = await apply
    assert outcome.state == "aborted", outcome.report
    assert outcome.report.startswith("aborted, and everything is as it was before")
    await bad.unchanged()


async def test_an_abort_before_the_first_put(bad: Bad):
    abort = asyncio.Event()
    abort.set()
    outcome = await bad.carry_out(bad.stand, await bad.stand.plan(bad.want(A_Label="ours")), abort=abort)
    assert outcome.state == "aborted" and await bad.puts() == []


async def test_cancelled_it_takes_back_what_was_written(bad: Bad):
    scope = await bad.stand.plan(bad.want(A_Label="ours", Waits=80.0))
    journal = bad.journal()
    apply = asyncio.create_task(bad.stand.apply(scope, journal))
    await _until_put(bad, "Waits=80")
    apply.cancel()
    await bad.put("Release", 1)
    with pytest.raises(asyncio.CancelledError):
        await apply
    await bad.unchanged()
    with bad.database.read() as connection:
        assert applications(connection)[0].state == "aborted"


async def test_cancelled_twice_it_ends_at_once_and_the_journal_explains(bad: Bad):
    scope = await bad.stand.plan(bad.want(A_Label="ours", Waits=80.0, Last=3.0))
    journal = bad.journal()
    stand = Stand(bad.client, {"BAD": bad.prefix}, pace=Pace(read=10, put=20, grace=20))
    apply = asyncio.create_task(stand.apply(scope, journal))
    await _until_put(bad, "Waits=80")
    apply.cancel()
    await asyncio.sleep(0)
    apply.cancel()
    with pytest.raises(asyncio.CancelledError):
        await apply
    with bad.database.read() as connection:
        assert applications(connection)[0].state == "running"
        rows = {row.pv.removeprefix(bad.prefix): row.state for row in items_of(connection, journal.id)}
    assert rows == {"A:Label": "writing", "Waits": "writing", "Last": "planned"}
    await bad.put("Release", 1)


class Failing(NoJournal):
    """A journal whose database goes away."""

    def __init__(self, good: int) -> None:
        self.left = good

    async def note(self, states: Any) -> None:
        self.left -= 1
        if self.left < 0:
            raise Unavailable("the staging database is gone")


async def test_without_a_journal_nothing_is_written(bad: Bad):
    outcome = await bad.stand.apply(await bad.stand.plan(bad.want(A_Label="x")), Failing(0))
    assert outcome.state == "failed" and "gone" in outcome.reason and await bad.puts() == []


@pytest.mark.parametrize("good", [1, 2])
async def test_a_journal_that_fails_half_way_takes_it_back(bad: Bad, good):
    outcome = await bad.stand.apply(await bad.stand.plan(bad.want(A_Max=300.0, A_V=250.0)), Failing(good))
    assert outcome.state == "rolled_back" and "gone" in outcome.reason
    assert "the journal could not be written" in outcome.report
    await bad.unchanged()


async def test_the_journal_has_it_before_the_first_put(bad: Bad):
    seen: list[Mapping[str, str]] = []

    class Watching(SqlJournal):
        async def note(self, states: Any) -> None:
            await super().note(states)
            with bad.database.read() as connection:
                rows = {row.pv.removeprefix(bad.prefix): row.state for row in items_of(connection, self.id)}
            seen.append({**rows, "puts": str(len(await bad.puts()))})

    journal = Watching(on(bad.database), "monday", "0" * 32, b"\1" * 32, WHO)
    outcome = await bad.stand.apply(await bad.stand.plan(bad.want(A_Max=300.0, A_V=250.0)), journal)
    assert outcome.state == "applied"
    assert seen == [
        {"A:Max": "writing", "A:V": "planned", "puts": "0"},
        {"A:Max": "verified", "A:V": "planned", "puts": "1"},
        {"A:Max": "verified", "A:V": "writing", "puts": "1"},
        {"A:Max": "verified", "A:V": "verified", "puts": "2"},
    ]


async def test_compare_tells_each_kind_of_difference(bad: Bad):
    wanted = {setting.pv.removeprefix(bad.prefix): setting for setting in bad.want(A_V=120.0, A_Serial="SN2")}
    del wanted["A:Rate"]
    wanted["A:Mode"] = replace(wanted["A:Mode"], value="Fly", states=())
    wanted["B:Label"] = replace(wanted["B:Label"], type="double", value=3.0)
    wanted["Gone"] = Setting(f"{bad.prefix}Gone", "double", 1.0)
    await bad.put("Break", 1)
    comparison = await bad.stand.compare(wanted.values())
    found = {one.pv.removeprefix(bad.prefix): one for one in comparison.items}
    assert {name: one.kind for name, one in found.items()} == {
        "A:V": "value", "A:Serial": "read-only", "A:Rate": "new", "A:Mode": "type", "B:Label": "type",
        "Gone": "missing", "Invalid": "disconnected",
    }  # fmt: skip
    assert found["A:V"].text == f"{bad.prefix}A:V: is 100 V, shall be 120 V"
    assert found["Invalid"].severity == 3
    assert not comparison.equal
    bad.settings = wanted
    refused = (await bad.stand.plan(wanted.values())).plan
    assert len(refused.refusals) == 4 and len(refused.left) == 2
    await bad.put("Heal", 1)


async def test_a_subsystem_that_is_not_there(bad: Bad):
    stand = Stand(bad.client, {"BAD": bad.prefix, "GONE": f"{bad.prefix}GONE:"}, timeout=0.5)
    snapshot = await stand.snapshot()
    assert list(snapshot.settings) == ["BAD"] and "no server has it" in snapshot.unread["GONE"]
    wanted = [*bad.settings.values(), Setting(f"{bad.prefix}GONE:X", "double", 1.0)]
    comparison = await stand.compare(wanted)
    assert [(one.pv, one.kind) for one in comparison.items if one.kind != "new"] == [
        (f"{bad.prefix}GONE:X", "disconnected")
    ]
    assert not comparison.equal
    assert (await stand.compare(bad.settings.values(), ["BAD"])).unread == {}
    assert (await stand.plan(wanted)).plan.refusals


async def test_the_device_is_what_its_read_back_shows(bad: Bad):
    """Somebody turned a knob: the setpoint PV does not know, the runkey does."""
    await bad.put("Never", 80.0)
    snapshot = await bad.stand.snapshot()
    never = next(one for one in snapshot.settings["BAD"] if one.pv.endswith("Never"))
    assert never.value == 1.0 and snapshot.conditions["BAD"].asked == {never.pv: 80.0}
    assert (await bad.stand.compare(bad.settings.values())).equal
