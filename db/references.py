"""What else a thing is called: aliases in naming conventions, keys in other databases. Both follow its lineage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from db.audit import record
from db.checks import text_problem, word_problem
from db.errors import BadInput, Exists, NotFound
from db.ids import is_id
from db.models import Alias, ExternalRef, Object
from db.nodes import Node
from db.tags import resolve
from db.trees import alike
from db.who import Who


@dataclass(frozen=True, slots=True)
class AliasInfo:
    """A name of a thing in a convention."""

    convention: str
    alias: str
    lineage: str


@dataclass(frozen=True, slots=True)
class RefInfo:
    """What another database calls a thing."""

    system: str
    key: str
    lineage: str


def lineage(connection: Connection, target: Any, root: Callable[[Connection, str], str]) -> str:
    """The lineage of a node, of a target that is an object (`db.tags.resolve`), or as it is. NotFound, BadInput."""
    if isinstance(target, Node):
        return target.lineage
    if isinstance(target, str) and is_id(target):
        known = connection.execute(select(Object.lineage).where(Object.lineage == target).limit(1)).scalar()
        if known is not None:
            return known
    found = resolve(connection, target, root)
    if found.object is None:
        raise BadInput(f"{target!r} is no object")
    known = connection.execute(select(Object.lineage).where(Object.id == found.object)).scalar()
    if known is None:
        raise NotFound(f"there is no object {found.object}")
    return known


def set_alias(connection: Connection, who: Who, of: str, convention: str, alias: str) -> None:
    """Exists when another thing has that name in that convention; setting the same again does nothing."""
    _check(alias, word_problem("convention", convention), text_problem("alias", alias))
    row = connection.execute(select(Alias).where(Alias.convention == convention, Alias.alias == alias)).first()
    if row is not None:
        if row.lineage == of:
            return
        raise Exists(f"{convention} {alias!r} is the name of another thing")
    connection.execute(insert(Alias).values(convention=convention, alias=alias, lineage=of))
    record(connection, who, "alias.set", alias, convention=convention, lineage=of)


def drop_alias(connection: Connection, who: Who, convention: str, alias: str) -> None:
    """NotFound."""
    of = find_alias(connection, convention, alias)
    connection.execute(delete(Alias).where(Alias.convention == convention, Alias.alias == alias))
    record(connection, who, "alias.drop", alias, convention=convention, lineage=of)


def find_alias(connection: Connection, convention: str, alias: str) -> str:
    """The lineage of the thing. NotFound says what is alike."""
    statement = select(Alias.lineage).where(Alias.convention == convention, Alias.alias == alias)
    found = connection.execute(statement).scalar()
    if found is None:
        names = connection.execute(select(Alias.alias).where(Alias.convention == convention)).scalars()
        raise NotFound(f"nothing is called {alias!r} in {convention}{alike(alias, names)}")
    return found


def aliases(connection: Connection, of: str | None = None) -> list[AliasInfo]:
    """Of a thing, or all."""
    statement = select(Alias).order_by(Alias.convention, Alias.alias)
    if of is not None:
        statement = statement.where(Alias.lineage == of)
    return [AliasInfo(row.convention, row.alias, row.lineage) for row in connection.execute(statement)]


def add_ref(connection: Connection, who: Who, of: str, system: str, key: str) -> None:
    """Adding the same again does nothing."""
    _check(key, word_problem("system", system), text_problem("key", key))
    if key in [ref.key for ref in refs(connection, of, system)]:
        return
    connection.execute(insert(ExternalRef).values(lineage=of, system=system, key=key))
    record(connection, who, "ref.add", key, system=system, lineage=of)


def drop_ref(connection: Connection, who: Who, of: str, system: str, key: str) -> None:
    """NotFound."""
    done = connection.execute(
        delete(ExternalRef).where(ExternalRef.lineage == of, ExternalRef.system == system, ExternalRef.key == key)
    )
    if not done.rowcount:
        raise NotFound(f"it has no {system} {key!r}")
    record(connection, who, "ref.drop", key, system=system, lineage=of)


def refs(
    connection: Connection, of: str | None = None, system: str | None = None, key: str | None = None
) -> list[RefInfo]:
    """Of a thing, of a system, with a key."""
    statement = select(ExternalRef).order_by(ExternalRef.system, ExternalRef.key, ExternalRef.lineage)
    for column, wanted in ((ExternalRef.lineage, of), (ExternalRef.system, system), (ExternalRef.key, key)):
        if wanted is not None:
            statement = statement.where(column == wanted)
    return [RefInfo(row.system, row.key, row.lineage) for row in connection.execute(statement)]


def _check(name: str, *problems: str) -> None:
    found = [f"{name!r}: {problem}" for problem in problems if problem]
    if not name or name != name.strip():
        found.append(f"{name!r}: it is empty, or begins or ends with a space")
    if found:
        raise BadInput(found)
