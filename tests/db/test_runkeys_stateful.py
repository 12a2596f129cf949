"""Edits, two at a time, against a model of plain dicts: nothing that ended well is ever lost."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from db_servers import ready_url
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from runkey_trees import said

from db.database import Database
from db.edit import Edit
from db.errors import BadInput, Conflict, NotFound
from db.nodes import NewChild, NewObject, NewPayload
from db.runkeys import Runkeys
from db.verify import verify
from db.who import Who

Things = dict[int, dict[str, Any]]
"""A number for each object -> what it says; the root is 0."""
NAMES = st.sampled_from(["A", "B", "C", "D"])
CONTENT = st.binary(max_size=3)
ROLES = st.sampled_from(["data", "more"])


def path(things: Things, number: int) -> str:
    names = []
    while number:
        names.append(things[number]["name"])
        number = things[number]["parent"]
    return "/" + "/".join(reversed(names))


def below(things: Things, number: int) -> set[int]:
    found = {number}
    while new := {n for n, thing in things.items() if thing["parent"] in found} - found:
        found |= new
    return found


def siblings(things: Things, parent: int) -> dict[str, int]:
    return {thing["name"]: n for n, thing in things.items() if n and thing["parent"] == parent}


def flat(things: Things) -> dict[tuple[int, str], Any]:
    return {(n, key): value for n, thing in things.items() for key, value in thing.items()}


@dataclass
class Open:
    """An edit that has not ended."""

    edit: Edit
    base: Things
    now: Things
    touched: set[int] = field(default_factory=set[int])


@dataclass
class Merged:
    things: Things
    clash: bool
    """There must be a conflict."""
    maybe: bool
    """There may be one."""


def merged(base: Things, ours: Open, theirs: Things) -> Merged:
    """What must come out when both changes are kept."""
    a, b, c = flat(base), flat(ours.now), flat(theirs)
    mine = {key for key in a.keys() | b.keys() if a.get(key) != b.get(key)}
    other = {key for key in a.keys() | c.keys() if a.get(key) != c.get(key)}
    my_things, their_things = {n for n, _ in mine}, {n for n, _ in other}
    clash = bool(my_things & their_things)
    result = copy.deepcopy(theirs)
    for n in my_things:
        if n in ours.now:
            result[n] = {**theirs.get(n, {}), **ours.now[n]} if n not in their_things else ours.now[n]
        else:
            result.pop(n, None)
    orphans = [n for n, thing in result.items() if n and thing["parent"] not in result]
    keys = [(thing["parent"], thing["name"]) for n, thing in result.items() if n]
    clash = clash or bool(orphans) or len(keys) != len(set(keys))
    return Merged(result, clash, clash or bool(ours.touched & their_things))


class Edits(RuleBasedStateMachine):
    """One runkey, up to two edits of it at a time."""

    database: Database
    names = itertools.count()

    @initialize()
    def begin(self) -> None:
        self.runkeys = Runkeys(self.database, Who("tester", "here"))
        self.name = f"runkey {next(self.names)}"
        first = NewObject("thing", "A", children=[NewChild(NewObject("thing", name)) for name in "AB"])
        self.runkeys.create(self.name, NewObject("runkey", "", children=[NewChild(first)]))
        self.numbers = itertools.count(4)
        self.model: Things = {
            n: self.thing(min(n, 1) if n > 1 else 0, name) for n, name in enumerate(["", "A", "A", "B"])
        }
        self.open: list[Open] = []
        self.ended = 0

    def thing(self, parent: int, name: str) -> dict[str, Any]:
        return {"parent": parent, "name": name, "serial": "", "meta": {}, "edge": {}, "payloads": {}}

    @precondition(lambda self: len(self.open) < 2)
    @rule()
    def start(self) -> None:
        while len(self.open) < 2:
            edit = self.runkeys.edit(self.name, "test")
            edit.__enter__()
            self.open.append(Open(edit, copy.deepcopy(self.model), copy.deepcopy(self.model)))

    def pick(self, data: st.DataObject, root: bool = True) -> tuple[Open, int] | None:
        which = data.draw(st.sampled_from(self.open))
        numbers = sorted(n for n in which.now if root or n)
        return (which, data.draw(st.sampled_from(numbers))) if numbers else None

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def change(self, data: st.DataObject) -> None:
        for _ in range(data.draw(st.integers(1, 3))):
            data.draw(st.sampled_from([self.add, self.remove, self.rename, self.put, self.put, self.drop, self.set]))(
                data
            )

    def add(self, data: st.DataObject) -> None:
        name, child, content = data.draw(NAMES), data.draw(st.booleans()), data.draw(CONTENT)
        picked = self.pick(data)
        assert picked
        which, parent = picked
        new = NewObject("thing", name, payloads=[NewPayload("data", content, format="raw")])
        if child:
            new.children.append(NewChild(NewObject("thing", "A"), meta={"rx": 1}))
        if name in siblings(which.now, parent):
            with pytest.raises(BadInput):
                which.edit.add(path(which.now, parent), new)
            return
        which.edit.add(path(which.now, parent), new)
        number = next(self.numbers)
        which.now[number] = {**self.thing(parent, name), "payloads": {"data": content}}
        if child:
            which.now[next(self.numbers)] = {**self.thing(number, "A"), "edge": {"rx": 1}}

    def remove(self, data: st.DataObject) -> None:
        if picked := self.pick(data, root=False):
            which, number = picked
            which.edit.remove(path(which.now, number))
            for n in below(which.now, number):
                which.touched.add(n)
                del which.now[n]

    def rename(self, data: st.DataObject) -> None:
        name = data.draw(NAMES)
        if picked := self.pick(data, root=False):
            which, number = picked
            if siblings(which.now, which.now[number]["parent"]).get(name, number) != number:
                with pytest.raises(BadInput):
                    which.edit.rename(path(which.now, number), name)
                return
            which.edit.rename(path(which.now, number), name)
            which.now[number]["name"] = name
            which.touched.add(number)

    def put(self, data: st.DataObject) -> None:
        role, content = data.draw(ROLES), data.draw(CONTENT)
        picked = self.pick(data)
        assert picked
        which, number = picked
        which.edit.put(path(which.now, number), role, content, format="raw")
        which.now[number]["payloads"][role] = content
        which.touched.add(number)

    def drop(self, data: st.DataObject) -> None:
        role = data.draw(ROLES)
        picked = self.pick(data)
        assert picked
        which, number = picked
        if role not in which.now[number]["payloads"]:
            with pytest.raises(NotFound):
                which.edit.drop(path(which.now, number), role)
            return
        which.edit.drop(path(which.now, number), role)
        del which.now[number]["payloads"][role]
        which.touched.add(number)

    def set(self, data: st.DataObject) -> None:
        what, value = data.draw(st.sampled_from(["serial", "meta", "edge"])), data.draw(st.integers(0, 2))
        if picked := self.pick(data, root=what != "edge"):
            which, number = picked
            place = path(which.now, number)
            if what == "serial":
                which.edit.set_serial(place, str(value))
                which.now[number]["serial"] = str(value)
            else:
                (which.edit.set_meta if what == "meta" else which.edit.set_edge)(place, x=value or None)
                which.now[number][what].pop("x", None)
                if value:
                    which.now[number][what]["x"] = value
            which.touched.add(number)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        which = data.draw(st.sampled_from(self.open))
        self.open.remove(which)
        expected = merged(which.base, which, self.model)
        try:
            which.edit.__exit__(None, None, None)
        except Conflict as conflict:
            assert expected.maybe, conflict
            assert conflict.changes and all("tester" in line for line in conflict.changes)
        else:
            assert not expected.clash
            self.model = expected.things
            self.ended += 1
        self.compare()

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        which = data.draw(st.sampled_from(self.open))
        self.open.remove(which)
        error = RuntimeError("changed my mind")
        which.edit.__exit__(RuntimeError, error, None)
        self.compare()

    def compare(self) -> None:
        stored = said(self.runkeys, self.name)
        wanted = {
            path(self.model, n): {
                "type": "thing" if n else "runkey",
                "serial": thing["serial"],
                "meta": thing["meta"],
                "edge": thing["edge"],
                "payloads": thing["payloads"],
            }
            for n, thing in self.model.items()
        }
        assert stored == wanted

    @invariant()
    def numbered(self) -> None:
        if hasattr(self, "ended"):
            numbers = [revision.number for revision in self.runkeys.log(self.name)]
            assert numbers == list(range(len(numbers), 0, -1))

    def teardown(self) -> None:
        if hasattr(self, "name"):
            assert not verify(self.database)


QUIET = [
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.filter_too_much,
    HealthCheck.function_scoped_fixture,
]


@pytest.fixture(scope="module")
def machine() -> Iterator[type[Edits]]:
    database = Database.open(ready_url("sqlite"), name="staging")
    yield type("Bound", (Edits,), {"database": database})
    database.close()


def test_any_order_of_edits_follows_the_model(machine: type[Edits]) -> None:
    many = settings(max_examples=15, stateful_step_count=16, deadline=None, suppress_health_check=QUIET)
    run_state_machine_as_test(machine, settings=many)


@given(data=st.data())
@settings(max_examples=50, deadline=None, suppress_health_check=QUIET)
def test_what_two_edit_is_merged_or_refused_and_never_lost(machine: type[Edits], data: st.DataObject) -> None:
    edits = machine()
    edits.begin()
    edits.start()
    for _ in range(data.draw(st.integers(2, 4))):
        edits.change(data)
    edits.end(data)
    edits.end(data)
    edits.teardown()
