"""Who may do what with runkeys, and what the audit says of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from db_servers import KINDS, ready_url
from runkey_trees import detector

from db.audit import search
from db.database import Database
from db.errors import Forbidden
from db.store import Store
from db.topology import Topology
from db.users import ROLES, add_user
from db.who import Who

NEEDS: dict[str, tuple[str, Callable[[Store], object]]] = {
    "create": ("operator", lambda s: s.staging.create("new", detector(1))),
    "clone": ("operator", lambda s: s.staging.clone("old", "new")),
    "rename": ("operator", lambda s: s.staging.rename("old", "new")),
    "edit": ("operator", lambda s: edited(s)),
    "fetch": ("operator", lambda s: s.fetch("done", "new")),
    "tag": ("operator", lambda s: s.staging.tag("LABEL", "a", ["old"])),
    "untag": ("operator", lambda s: s.staging.untag("LABEL", "b")),
    "validity": ("operator", lambda s: s.staging.set_validity("v", "old", datetime(2026, 1, 1, tzinfo=UTC))),
    "alias": ("operator", lambda s: s.staging.set_alias("old", "SHIFT", "a")),
    "ref": ("operator", lambda s: s.staging.add_ref("old", "ITKDB", "a")),
    "device": ("operator", lambda s: Topology(s.staging.database, s.who).add("x", "A")),
    "commit": ("expert", lambda s: s.commit("old")),
    "delete": ("admin", lambda s: s.staging.delete("old")),
}


def edited(store: Store) -> None:
    with store.staging.edit("old", "changed") as edit:
        edit.set_meta("/", a=1)


@pytest.fixture(params=KINDS)
def databases(request: pytest.FixtureRequest) -> Iterator[tuple[Database, Database]]:
    with Store.open(ready_url(request.param), ready_url(request.param), Who("root", "h")) as store:
        for name in ("old", "done"):
            store.staging.create(name, detector(1))
        store.commit("done")
        store.staging.tag("LABEL", "b")
        for runkeys in (store.staging, store.backend):
            with runkeys.database.write() as connection:
                add_user(connection, store.who, "root", ["admin"])
                for role in ROLES:
                    add_user(connection, store.who, role, [role])
                add_user(connection, store.who, "nothing")
        yield store.staging.database, store.backend.database


def test_roles(databases: tuple[Database, Database]) -> None:
    for what, (role, change) in NEEDS.items():
        for user in ("nobody", "nothing", *ROLES[: ROLES.index(role)]):
            with pytest.raises(Forbidden, match=f"{user} .*{role} is needed"):
                change(Store(*databases, Who(user, "h")))
        if what in ("create", "edit", "tag", "alias", "device", "commit", "delete"):
            change(Store(*databases, Who(role, "h")))
            if what == "create":
                Store(*databases, Who("root", "h")).staging.delete("new")
    staging = Store(*databases, Who("nobody", "h")).staging
    assert [info.name for info in staging.list()] == ["done"]  # everybody may read
    assert staging.tree("done").node("/FELIX1/OB1/FE1")


def test_a_role_that_is_taken_during_an_edit(databases: tuple[Database, Database]) -> None:
    from db.users import disable

    store = Store(*databases, Who("operator", "h"))
    with pytest.raises(Forbidden, match="disabled"), store.staging.edit("old") as edit:
        edit.set_meta("/", a=1)
        with databases[0].write() as connection:
            disable(connection, Who("root", "h"), "operator")
    assert store.staging.info("old").number == 1


def test_everything_is_in_the_audit(store: Store) -> None:
    runkeys = store.staging

    def last() -> tuple[str, str, str, dict[str, object]]:
        with runkeys.database.read() as connection:
            entry = search(connection, limit=1)[0]
        return entry.user, entry.action, entry.subject, entry.detail

    info = runkeys.create("audit 1", detector(1), "why")
    user, action, subject, detail = last()
    assert (user, action, subject) == ("tester", "runkey.create", "audit 1")
    assert detail == {"comment": "why", "revision": info.revision, "after": info.digest}
    runkeys.clone("audit 1", "audit 2")
    assert last()[1:3] == ("runkey.clone", "audit 2") and last()[3]["source"] == "audit 1"
    with runkeys.edit("audit 2", "changed") as edit:
        edit.set_meta("/", a=1)
    assert last()[1:3] == ("runkey.edit", "audit 2")
    assert (last()[3]["before"], last()[3]["after"]) == (info.digest, edit.result.digest)
    runkeys.rename("audit 2", "audit 3")
    assert last()[1:3] == ("runkey.rename", "audit 3") and last()[3]["source"] == "audit 2"
    runkeys.tag("LABEL", "audited", ["audit 3"], "c")
    assert last()[1:3] == ("tag.set", "LABEL:audited")
    runkeys.untag("LABEL", "audited")
    assert last()[1:3] == ("tag.unset", "LABEL:audited")
    runkeys.set_validity("audited", "audit 3", datetime(2026, 1, 1, tzinfo=UTC))
    assert last()[1:3] == ("validity.set", "VALIDITY:audited")
    runkeys.set_alias("audit 3", "SHIFT", "audited")
    assert last()[1:3] == ("alias.set", "audited")
    runkeys.drop_alias("SHIFT", "audited")
    assert last()[1:3] == ("alias.drop", "audited")
    runkeys.add_ref("audit 3", "ITKDB", "audited")
    assert last()[1:3] == ("ref.add", "audited")
    runkeys.drop_ref("audit 3", "ITKDB", "audited")
    assert last()[1:3] == ("ref.drop", "audited")
    committed = store.commit("audit 3")
    assert last()[1:3] == ("runkey.commit", "audit 3")
    with store.backend.database.read() as connection:
        (entry,) = search(connection, subject="audit 3")
    assert (entry.action, entry.detail["revision"]) == ("runkey.commit", committed.revision)
    store.fetch("audit 3", "audit 4")
    assert last()[1:3] == ("runkey.fetch", "audit 4")
    runkeys.delete("audit 4")
    assert last()[1:3] == ("runkey.delete", "audit 4")
