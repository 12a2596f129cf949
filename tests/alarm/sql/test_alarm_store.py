"""What the alarm server must know again, and which server is the active one."""

from __future__ import annotations

import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from db_servers import KINDS, ready_url
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from support import Process, wait_until

from db.alarms import ALARMS
from db.alarms.lease import Lease
from db.alarms.store import AlarmStore, Stored
from db.database import Database
from db.errors import BadInput, Conflict, Damaged
from db.who import Who

CHILD = Path(__file__).with_name("alarm_sql_child.py")
ME = Who("tester", "here")
LONG = 300.0
"""Seconds of a lease that does not end while a test is slow."""
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8"), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=5,
)
paths = st.sampled_from(["", "/DEMO", "/DEMO/a", "/DEMO/A", "/DEMO/ä", "/DEMO/a ", "/" + "long" * 1000, "/\0"])
documents = st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), json_values, max_size=3)
changes = st.lists(st.dictionaries(paths, st.none() | documents, max_size=5), max_size=5)


@pytest.fixture(scope="module", params=KINDS)
def shared(request: pytest.FixtureRequest):
    database = Database.open(ready_url(request.param, ALARMS), schema=ALARMS)
    yield database
    database.close()


numbers = iter(range(1_000_000))


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(items=changes, states=changes)
def test_what_was_saved_is_loaded(shared: Database, items: list, states: list) -> None:
    store = AlarmStore(shared, f"T{next(numbers)}")
    expected = Stored({}, {})
    for save, kept, all_changes in (
        (store.save_items, expected.items, items),
        (store.save_states, expected.states, states),
    ):
        for changed in all_changes:
            save(changed)
            kept.update({path: document for path, document in changed.items() if document is not None})
            for path in [path for path, document in changed.items() if document is None]:
                kept.pop(path, None)
    assert AlarmStore(shared, store.tree).load() == expected


def test_trees_do_not_see_each_other_and_bad_documents_store_nothing(alarms: Database) -> None:
    one, other = AlarmStore(alarms, "ONE"), AlarmStore(alarms, "one")
    one.save_items({"/ONE/a": {"description": "A"}}, ME)
    one.save_states({})
    assert other.load() == Stored({}, {})
    with pytest.raises(BadInput, match="/ONE/c"):
        one.save_states({"/ONE/b": {"x": 1}, "/ONE/c": {"x": object()}})
    with pytest.raises(BadInput):
        one.save_states({"/ONE/\ud800": {}})
    assert one.load() == Stored({"/ONE/a": {"description": "A"}}, {})
    with alarms.write() as connection:
        row = connection.execute(text("SELECT person, host FROM alarm_item")).one()
        assert tuple(row) == ("tester", "here")
        connection.execute(text("UPDATE alarm_item SET document = '{'"))
    with pytest.raises(Damaged, match="alarm_item"):
        one.load()


def test_fifty_thousand_states(alarms: Database) -> None:
    states = {
        f"/DEMO/S{n % 100}/V{n}": {"alarm": ["MAJOR", "HIHI_ALARM", "1.0", n], "latch": True} for n in range(50_000)
    }
    store = AlarmStore(alarms, "DEMO")
    store.save_states(states)
    store.save_states({"/DEMO/S0/V0": None, "/DEMO/S1/V1": {"alarm": []}})
    expected = states | {"/DEMO/S1/V1": {"alarm": []}}
    del expected["/DEMO/S0/V0"]
    assert store.load().states == expected


def test_a_lease_is_had_by_one_until_it_ends(alarms: Database) -> None:
    one, other = Lease(alarms, "DEMO", ME, expiry=LONG), Lease(alarms, "DEMO", Who("second", "there"), expiry=LONG)
    assert one.holder() is None
    assert not one.renew()
    assert one.try_take()
    assert one.try_take()  # it is that one's already
    assert not other.try_take()
    assert not other.renew()
    holder, seen_by_other = one.holder(), other.holder()
    assert holder is not None
    assert seen_by_other is not None
    assert (holder.user, holder.host, holder.mine, seen_by_other.mine) == ("tester", "here", True, False)
    assert holder.since <= holder.seen
    assert one.renew()
    after = one.holder()
    assert after is not None
    assert after.since == holder.since
    other.release()  # not its own
    assert one.renew()
    one.release()
    assert one.holder() is None
    assert not one.renew()
    assert other.try_take()
    assert Lease(alarms, "ANOTHER", ME).try_take()


def test_a_holder_that_is_silent_loses_it_by_the_databases_clock(alarms: Database) -> None:
    one, other = Lease(alarms, "DEMO", ME, expiry=LONG), Lease(alarms, "DEMO", ME, expiry=LONG)
    store = AlarmStore(alarms, "DEMO", one)
    assert one.try_take()
    store.save_states({"/DEMO/a": {"n": 1}})
    for seconds in (-LONG - 1, 2 * LONG):  # a long time ago; and yet to come, for the clock was set back
        with alarms.write() as connection:
            shift = {"us": round(seconds * 1_000_000)}
            connection.execute(text("UPDATE alarm_lease SET seen_us = seen_us + :us"), shift)
        assert one.holder() is None
        assert not one.renew()
        assert other.try_take()
        assert not one.try_take()
        with pytest.raises(Conflict, match="another alarm server has DEMO"):
            store.save_states({"/DEMO/a": {"n": 2}})
        assert store.load().states == {"/DEMO/a": {"n": 1}}
        one, other = other, one
        store = AlarmStore(alarms, "DEMO", one)


def test_it_ends_by_itself(alarms: Database) -> None:
    one, other = Lease(alarms, "DEMO", ME, expiry=0.3), Lease(alarms, "DEMO", ME, expiry=0.3)
    begin = time.monotonic()
    assert one.try_take()
    wait_until(other.try_take, 60)
    assert time.monotonic() - begin > 0.25
    assert not one.renew()


def test_many_threads_want_a_new_one_at_once(alarms: Database) -> None:
    def take(name: str, user: str) -> bool:
        lease = Lease(alarms, name, Who(user, ""), expiry=LONG)
        together.wait(60)
        return lease.try_take()

    together = threading.Barrier(6)
    with ThreadPoolExecutor(6) as pool:
        for number in range(10):
            won = list(pool.map(take, [f"RACE{number}"] * 6, [f"t{n}" for n in range(6)]))
            assert sorted(won) == [False] * 5 + [True]


def test_two_processes_race_and_one_that_is_killed_is_followed(alarms_url: str) -> None:
    def child() -> Process:
        return Process([sys.executable, "-u", str(CHILD), "lease", alarms_url])

    database = Database.open(alarms_url, schema=ALARMS)
    first, second = child(), child()
    try:
        both = (first, second)
        # each in turn says how often it had it, and that nobody else had it meanwhile
        wait_until(lambda: sum(line == "had" for one in both for line in one.log) >= 20, 100)
        assert not [line for one in both for line in one.log if line.startswith("broken")], first.text() + second.text()
        first.kill()
        with database.write() as connection:  # as if its time were over
            aged = "UPDATE alarm_lease SET seen_us = seen_us - 600000000 WHERE token <> '' AND pid = :pid"
            connection.execute(text(aged), {"pid": first.pid})
        before = len(second.log)
        wait_until(lambda: "had" in second.log[before:], 60)
        assert not [line for line in second.log if line.startswith("broken")], second.text()
    finally:
        first.kill()
        second.kill()
        database.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_is_killed_leaves_states_that_belong_together(kind: str) -> None:
    url = ready_url(kind, ALARMS)
    child = Process([sys.executable, "-u", str(CHILD), "states", url])
    wait_until(lambda: len(child.log) > 8, 100, "states that were saved")
    child.kill()
    database = Database.open(url, schema=ALARMS)
    states = AlarmStore(database, "DEMO").load().states
    database.close()
    found = {json.dumps(state) for state in states.values()}
    assert len(found) == 1
    assert len(states) == 200
    number = next(iter(states.values()))["n"]
    assert number >= int(child.log[-1])
    assert number <= int(child.log[-1]) + 1
    assert timedelta(seconds=number)
