"""Who may do what, and who did it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from db_fill import ME

from db import users
from db.audit import record, search
from db.database import Database
from db.errors import BadInput, Exists, Forbidden, NotFound
from db.who import Who

BOB = Who("bob", "laptop")


def may(database: Database, who: Who, role: str) -> bool:
    with database.read() as connection:
        try:
            users.require(connection, who, role)
        except Forbidden:
            return False
    return True


def test_without_users_everybody_may_everything(database):
    assert all(may(database, BOB, role) for role in users.ROLES)


def test_roles_are_a_ladder(database):
    with database.write() as connection:
        users.add_user(connection, ME, "ada", ["admin"], "Ada L.")
        for role in users.ROLES[:-1]:
            users.add_user(connection, ME, role, [role])
        users.add_user(connection, ME, "nobody")
    for rank, role in enumerate(users.ROLES[:-1]):
        allowed = [may(database, Who(role, "x"), wanted) for wanted in users.ROLES]
        assert allowed == [other <= rank for other in range(4)]
    assert may(database, ME, "admin")
    assert not may(database, Who("nobody", "x"), "observer")
    assert not may(database, BOB, "observer")
    with database.read() as connection:
        with pytest.raises(Forbidden, match="bob is no user of this database; expert is needed"):
            users.require(connection, BOB, "expert")
        with pytest.raises(Forbidden, match="operator is operator; admin is needed"):
            users.require(connection, Who("operator", "x"), "admin")
        with pytest.raises(Forbidden, match="nobody is without a role"):
            users.require(connection, Who("nobody", "x"), "observer")
        first = users.list_users(connection)[0]
        assert (first.name, first.full_name, first.roles) == ("ada", "Ada L.", ("admin",))


def test_users_are_changed_by_admins_and_it_is_in_the_audit(database):
    with database.write() as connection:
        users.add_user(connection, ME, "ada", ["admin"])
        users.add_user(connection, ME, "bob", ["observer"])
        assert users.set_roles(connection, ME, "bob", ["expert", "observer"]).roles == ("observer", "expert")
        assert users.disable(connection, ME, "bob").disabled
    assert not may(database, BOB, "observer")
    with pytest.raises(Forbidden, match="the user bob is disabled"), database.write() as connection:
        users.set_roles(connection, BOB, "bob", ["admin"])
    with database.write() as connection:
        assert not users.disable(connection, ME, "bob", False).disabled
    assert may(database, BOB, "expert")
    with database.read() as connection:
        entries = search(connection, action="user.*")
    assert [e.action for e in entries] == ["user.enable", "user.disable", "user.roles", "user.add", "user.add"]
    assert entries[2].detail == {"before": ["observer"], "after": ["observer", "expert"]}
    assert (entries[2].user, entries[2].host, entries[2].subject) == ("ada", "desk", "bob")


def test_an_admin_is_always_left(database):
    with database.write() as connection:
        with pytest.raises(BadInput, match="the first user must be an admin"):
            users.add_user(connection, ME, "bob", ["expert"])
        users.add_user(connection, ME, "ada", ["admin"])
    for attempt in (lambda c: users.set_roles(c, ME, "ada", ["expert"]), lambda c: users.disable(c, ME, "ada")):
        with pytest.raises(BadInput, match="no admin would be left"), database.write() as connection:
            attempt(connection)
    assert may(database, ME, "admin")


def test_what_cannot_be_a_user(database):
    with database.write() as connection:
        users.add_user(connection, ME, "ada", ["admin"])
    for name in ("", " bob", "bo\nb", "x" * 201):
        with pytest.raises(BadInput), database.write() as connection:
            users.add_user(connection, ME, name)
    with pytest.raises(BadInput, match="role king: it is none of observer, operator"), database.write() as connection:
        users.add_user(connection, ME, "bob", ["king"])
    with pytest.raises(Exists, match="there is a user ada already"), database.write() as connection:
        users.add_user(connection, ME, "ada")
    with pytest.raises(NotFound, match="there is no user eve"), database.write() as connection:
        users.disable(connection, ME, "eve")


def test_the_audit_is_searched(database):
    start = datetime.now(UTC)
    with database.write() as connection:
        for i in range(10):
            record(connection, ME if i % 2 else BOB, "apply" if i < 5 else "edit", f"run_{i}", number=i, text="ü\0")
        record(connection, ME, "note", "x" * 500)
    with database.read() as connection:
        everything = search(connection)
        assert [e.detail.get("number") for e in everything] == [None, *range(9, -1, -1)]
        assert everything[0].subject == "x" * 199 + "…"
        assert everything[0].detail == {"subject": "x" * 500}
        assert everything[1].detail["text"] == "ü\0"
        assert len(search(connection, limit=3)) == 3
        assert {e.user for e in search(connection, user="bob")} == {"bob"}
        assert len(search(connection, action="apply", user="ada")) == 2
        assert [e.subject for e in search(connection, subject="run_3")] == ["run_3"]
        assert len(search(connection, subject="run_?")) == 10
        assert search(connection, subject="run%") == []
        assert search(connection, subject="runx*") == []
        assert len(search(connection, since=start, until=datetime.now(UTC) + timedelta(seconds=1))) == 11
        assert search(connection, until=start - timedelta(seconds=1)) == []
        assert all(e.time.tzinfo is UTC for e in everything)
