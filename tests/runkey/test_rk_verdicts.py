"""What the databases say of the stand: validity, and which runkey is applied where several stands share them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from db.errors import NotFound, Unavailable
from db.nodes import NewChild, NewObject, NewPayload
from db.store import Store
from db.who import Who
from iocs.runkey.catalogues import Item
from iocs.runkey.databases import JOURNAL_TIMEOUT, Databases, JournalWrites, in_time
from iocs.runkey.journal import ItemState, SqlJournal, on
from iocs.runkey.plan import Put
from iocs.runkey.recovery import applied_now, find_interrupted
from iocs.runkey.settings import Setting, render_settings
from iocs.runkey.snapshots import load_settings
from iocs.runkey.validity import Verdict, verdict
from owlshift.site import load_site

WHO = Who("mira", "desk")
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path}/s.sqlite", f"sqlite:///{tmp_path}/b.sqlite", WHO) as found:
        yield found


def make(store: Store, name: str, *pvs: str, note: str = "") -> str:
    """A runkey with these PVs; the id of its root."""
    settings = [Setting(pv, "double", 1.0) for pv in pvs]
    payload = NewPayload("setpoints", render_settings(settings), "setpoints", "json")
    system = NewObject("subsystem", "HV", payloads=[payload], meta={"note": note or name})
    return store.staging.create(name, NewObject("runkey", "", children=[NewChild(system)]), "").root


# validity


def test_without_a_tag_it_is_valid(store: Store) -> None:
    root = make(store, "a", "A:HV:V")
    assert verdict(store, root, NOW) == Verdict(True, "no VALIDITY tag")
    store.staging.tag("LABEL", "good", ["a"])
    assert verdict(store, root, NOW).valid


@pytest.mark.parametrize(
    ("since", "until", "valid"),
    [
        (-DAY, DAY, True),
        (-DAY, None, True),
        (timedelta(0), DAY, True),
        (-DAY, timedelta(0), False),
        (DAY, None, False),
        (-2 * DAY, -DAY, False),
    ],
)
def test_an_interval(store: Store, since: timedelta, until: timedelta | None, valid: bool) -> None:
    root = make(store, "a", "A:HV:V")
    store.staging.set_validity("HV", "a", NOW + since, None if until is None else NOW + until)
    found = verdict(store, root, NOW)
    assert found.valid is valid
    end = "further notice" if until is None else (NOW + until).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert f"HV: from {(NOW + since).strftime('%Y-%m-%dT%H:%M:%SZ')} until {end}" in found.text
    assert found.text.endswith(": not now") is not valid


def test_one_of_several_tags_is_enough_but_none_may_mean_another(store: Store) -> None:
    root, other = make(store, "a", "A:HV:V"), make(store, "b", "A:HV:V")
    store.staging.set_validity("cold", "a", NOW + DAY, None)
    assert not verdict(store, root, NOW).valid
    store.staging.set_validity("warm", "a", NOW - DAY, None)
    assert verdict(store, root, NOW).valid
    store.staging.set_validity("cold", "b", NOW - DAY, NOW + DAY)
    found = verdict(store, root, NOW)
    assert not found.valid and "cold: means b now" in found.text and "warm: from" in found.text
    assert verdict(store, other, NOW).valid
    # of two that hold, the one made last counts
    store.staging.set_validity("cold", "a", NOW - DAY, NOW + DAY)
    assert verdict(store, root, NOW).valid and not verdict(store, other, NOW).valid


def test_equal_content_is_the_same_runkey(store: Store) -> None:
    root, twin = make(store, "a", "A:HV:V", note="x"), make(store, "twin", "A:HV:V", note="x")
    store.staging.set_validity("HV", "a", NOW - DAY, None)
    store.staging.set_validity("HV", "twin", NOW - DAY, None)
    assert root != twin and verdict(store, root, NOW).valid


def test_what_is_committed_and_what_was_said_of_it_before_and_afterwards(store: Store) -> None:
    root = make(store, "a", "A:HV:V")
    store.staging.set_validity("HV", "a", NOW - DAY, NOW + DAY)
    store.commit("a")
    assert verdict(store, root, NOW).text.count("from") == 1
    store.backend.set_validity("HV", "a", NOW + DAY, NOW + 2 * DAY)
    assert verdict(store, root, NOW + DAY * 1.5).valid
    store.staging.delete("a")
    assert verdict(store, root, NOW).valid
    assert not verdict(store, root, NOW + 3 * DAY).valid


def test_the_backend_may_be_away(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make(store, "a", "A:HV:V")
    store.staging.set_validity("HV", "a", NOW - DAY, None)

    def away() -> None:
        raise Unavailable("away")

    monkeypatch.setattr(store.backend.database, "read", away)
    assert verdict(store, root, NOW).valid
    monkeypatch.setattr(store.staging.database, "read", away)
    with pytest.raises(Unavailable):
        verdict(store, root, NOW)


# several stands, one journal


def journal(store: Store, name: str, root: str, pvs: Sequence[str], state: str = "applied") -> SqlJournal:
    made = SqlJournal(on(store.staging.database), name, root, b"\1" * 32, WHO)

    async def write() -> None:
        puts = [Put(Item(pv, "HV"), 0.0, 1.0, number) for number, pv in enumerate(pvs)]
        await made.begin(puts)
        if state != "running":
            await made.note([ItemState(put.number, "verified") for put in puts])
            await made.finish(state, "")

    asyncio.run(write())
    return made


@pytest.mark.parametrize("state", ["applied", "rollback_failed", "interrupted", "rolled_back", "failed"])
@pytest.mark.parametrize("written", [True, False])
def test_what_another_stand_applies_is_not_on_this_one(store: Store, state: str, written: bool) -> None:
    ours, theirs = make(store, "ours", "A:HV:V"), make(store, "theirs", "B:HV:V")
    journal(store, "ours", ours, ["A:HV:V"])
    journal(store, "theirs", theirs, ["B:HV:V"] if written else [], state)
    found = applied_now(store, ["A:HV:", "A:PS:"])
    assert (found.name, found.root, found.result) == ("ours", ours, "applied and verified")
    if state == "applied":
        assert applied_now(store, ["B:HV:"]).name == "theirs"


def test_a_stand_that_was_so_already_has_it_applied(store: Store) -> None:
    ours, again = make(store, "ours", "A:HV:V"), make(store, "again", "A:HV:V")
    journal(store, "ours", ours, ["A:HV:V"])
    journal(store, "again", again, [])
    assert applied_now(store, ["A:HV:"]).name == "again"


def test_what_another_stand_is_applying_is_not_interrupted(store: Store) -> None:
    ours, theirs = make(store, "ours", "A:HV:V"), make(store, "theirs", "B:HV:V")
    journal(store, "ours", ours, ["A:HV:V"], "running")
    journal(store, "theirs", theirs, ["B:HV:V"], "running")
    journal(store, "theirs", theirs, [], "running")
    assert [one.row.runkey for one in find_interrupted(store, ["A:HV:"])] == ["ours"]


def test_a_runkey_without_a_single_setting_cannot_be_applied(store: Store) -> None:
    make(store, "empty")
    with pytest.raises(NotFound, match="empty has no settings of the stand"):
        load_settings(store, "empty")


# a database that answers late


async def test_a_write_that_comes_late_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site.toml"
    site.write_text('[site]\nname = "T"\n[ca]\nport = 6064\n[[ioc]]\nsystem = "RK"\nkind = "runkey"\n')
    databases = Databases(load_site(site, tmp_path / "state"))
    await databases.run(WHO, lambda store: make(store, "a", "A:HV:V"))
    assert JOURNAL_TIMEOUT > 1
    monkeypatch.setattr("iocs.runkey.databases.JOURNAL_TIMEOUT", 0.3)
    go_on, ended = threading.Event(), threading.Event()
    writes = JournalWrites(databases, WHO)

    def slow(connection) -> None:
        connection.exec_driver_sql("UPDATE runkey SET version = version + 100")
        go_on.wait(60)
        ended.set()

    with pytest.raises(Unavailable, match="has not answered"):
        await writes(slow)
    go_on.set()
    await asyncio.to_thread(ended.wait, 60)
    info = await databases.run(WHO, lambda store: _locked_info(store))
    assert info < 100
    databases.close()


def _locked_info(store: Store) -> int:
    with store.staging.database.write() as connection:  # waits for the other one to have ended
        return connection.exec_driver_sql("SELECT version FROM runkey").scalar_one()


async def test_what_is_cancelled_together_with_the_answer_is_cancelled() -> None:
    """Otherwise a loop that asks for ever would never end."""
    go_on = threading.Event()
    task = asyncio.ensure_future(in_time(go_on.wait, 30, "query"))
    await asyncio.sleep(0)
    go_on.set()
    time.sleep(0.3)  # the loop stands still until the thread has answered
    for _ in range(3):
        await asyncio.sleep(0)
        if task.cancel():
            break
    with pytest.raises(asyncio.CancelledError):
        await task
