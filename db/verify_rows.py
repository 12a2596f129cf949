"""References that lead nowhere, and rows that no program of ours writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, Table, and_, select

from db import models
from db.ids import is_id
from db.users import ROLES

ERROR, WARNING = "error", "warning"
RUNKEY_BYTES = 39
TAG_TYPES = ("LABEL", "GROUP", "REFERENCE", "RUNKEY", "VALIDITY")
APPLICATION_STATES = tuple("running applied refused failed rolled_back rollback_failed aborted interrupted".split())


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it should be."""

    severity: str
    """error or warning."""
    what: str
    where: str
    """Table and row."""


TABLES = models.Base.metadata.tables
JSON = {("audit", "detail"), ("application_item", "old"), ("application_item", "new")}
"""Besides all columns that are named meta."""
ELSEWHERE = {
    ("revision", "parent_id"),  # perhaps in the other database
    ("application", "root_id"),  # likewise
}
UNDECLARED = (
    ("object_payload", "object_id", "object", "id", ERROR),
    ("connection", "parent_id", "object", "id", ERROR),
    ("alias", "lineage", "object", "lineage", WARNING),
    ("external_ref", "lineage", "object", "lineage", WARNING),
)
"""References that are no foreign keys: (table, column, to table, to column, severity)."""


def reference_problems(connection: Connection) -> Iterator[Problem]:
    """Rows that refer to what is not there: all foreign keys, and the references that are none."""
    checks = [
        (table.name, key.parent.name, key.column.table.name, key.column.name, ERROR)
        for table in models.Base.metadata.sorted_tables
        for key in sorted(table.foreign_keys, key=lambda k: k.parent.name)
    ]
    for name, column, other, target, severity in (*checks, *UNDECLARED):
        table, to = TABLES[name], TABLES[other].alias("target")
        query = (
            select(*table.primary_key.columns, table.c[column].label("missing"))
            .select_from(table.outerjoin(to, to.c[target] == table.c[column]))
            .where(and_(table.c[column].is_not(None), to.c[target].is_(None)))
            .distinct()
        )
        for row in connection.execute(query):
            yield Problem(severity, f"{column} {_text(row[-1])}: there is no such {other}", _where(table, row))


def row_problems(connection: Connection) -> Iterator[Problem]:
    """Values that no program of ours writes, and rules between tables."""
    for table in models.Base.metadata.sorted_tables:
        columns = [(c, rule) for c in table.columns if (rule := _rule(table.name, c.name, c.type)) is not None]
        if not columns:
            continue
        keys = list(table.primary_key.columns)
        query = select(*keys, *(c.label(f"checked_{i}") for i, (c, _) in enumerate(columns)))
        for row in connection.execute(query, execution_options={"yield_per": 2000}):
            for (column, rule), value in zip(columns, row[len(keys) :], strict=True):
                if value is not None and (reason := rule(value)):
                    yield Problem(ERROR, f"{column.name} {_text(value)}: {reason}", _where(table, row))
    yield from _relations(connection)


def _relations(connection: Connection) -> Iterator[Problem]:
    m = models
    sizes = select(m.Payload.id, m.Payload.size, m.Blob.size.label("blob")).join(
        m.Blob, and_(m.Blob.sha256 == m.Payload.sha256, m.Blob.size != m.Payload.size)
    )
    for id_, size, blob in connection.execute(sizes):
        yield Problem(ERROR, f"size {size}: its content has {blob} bytes", f"payload {id_}")

    roots = select(m.Revision.id, m.Object.id, m.Object.type, m.Object.name).join(
        m.Object, m.Object.id == m.Revision.root_id
    )
    for id_, root, type_, name in connection.execute(roots.where((m.Object.type != "runkey") | (m.Object.name != ""))):
        yield Problem(ERROR, f"its root {root} is {type_} {name!r}, not a runkey without a name", f"revision {id_}")

    both = (m.Validity.object_id.is_(None)) == (m.Validity.payload_id.is_(None))
    for (id_,) in connection.execute(select(m.Validity.id).where(both)):
        yield Problem(ERROR, "it must be of one object or of one payload", f"validity {id_}")
    for timed in (m.Validity, m.DeviceLink):
        for (id_,) in connection.execute(select(timed.id).where(timed.valid_to <= timed.valid_from)):
            yield Problem(ERROR, "it ends before it begins", f"{timed.__tablename__} {id_}")

    for table, id_column, tag, wanted in (
        ("validity", m.Validity.id, m.Validity.tag_id, "VALIDITY"),
        ("tag_group", m.TagGroup.child_id, m.TagGroup.parent_id, "GROUP"),
    ):
        types = select(id_column, m.Tag.type).join(m.Tag, m.Tag.id == tag).where(m.Tag.type != wanted)
        for id_, type_ in connection.execute(types):
            yield Problem(ERROR, f"its tag is a {type_}, not a {wanted}", f"{table} {id_}")
    edges = [(a, b) for a, b in connection.execute(select(m.TagGroup.parent_id, m.TagGroup.child_id))]
    for id_ in cycle(edges):
        yield Problem(ERROR, "the group is part of itself", f"tag {id_}")


def cycle(edges: list[tuple[str, str]]) -> list[str]:
    """What of a directed graph, given by (from, to), lies on cycles or leads from one to another; sorted."""
    children: dict[str, list[str]] = {}
    waits: dict[str, int] = {}
    for parent, child in edges:
        children.setdefault(parent, []).append(child)
        waits.setdefault(parent, 0)
        waits[child] = waits.get(child, 0) + 1
    ready = [node for node, count in waits.items() if not count]
    while ready:
        node = ready.pop()
        del waits[node]
        for child in children.get(node, ()):
            waits[child] -= 1
            if not waits[child]:
                ready.append(child)
    # what hangs below a cycle waits, too: it is taken away from its end
    parents: dict[str, list[str]] = {}
    for parent, child in edges:
        if parent in waits and child in waits:
            parents.setdefault(child, []).append(parent)
    below = {node: sum(child in waits for child in children.get(node, ())) for node in waits}
    ends = [node for node, count in below.items() if not count]
    while ends:
        node = ends.pop()
        del waits[node]
        for parent in parents.get(node, ()):
            below[parent] -= 1
            if not below[parent]:
                ends.append(parent)
    return sorted(waits)


Rule = Callable[[Any], str]
"""Says what is wrong with a value, or nothing."""


def _rule(table: str, column: str, type_: Any) -> Rule | None:
    if (table, column) in RULES:
        return RULES[table, column]
    if type_ is models.Id or (getattr(type_, "length", None) == 32 and type_.python_type is str):
        return lambda value: "" if is_id(value) else "it is no id"
    if column == "meta" or (table, column) in JSON:
        return _json_object if column in ("meta", "detail") else _json
    if type_.python_type is bytes and column != "data":
        return lambda value: "" if len(value) == 32 else "it is no sha256"
    return None


def _json(text: str) -> str:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return f"it is no JSON: {error}"
    return ""


def _json_object(text: str) -> str:
    return _json(text) or ("" if text.lstrip().startswith("{") else "it is no JSON object")


def _one_of(words: tuple[str, ...]) -> Rule:
    return lambda value: "" if value in words else f"it is none of {', '.join(words)}"


def _runkey_name(name: str) -> str:
    if not 1 <= len(name.encode()) <= RUNKEY_BYTES or not name.isprintable() or "/" in name or name != name.strip():
        return "it is no name of a runkey"
    return ""


RULES: dict[tuple[str, str], Rule] = {
    ("blob", "codec"): lambda value: "" if value in (0, 1) else "content is stored in an unknown way",
    ("blob", "size"): lambda value: "" if value >= 0 else "a size is not negative",
    ("object", "name"): lambda value: "it has a /" if "/" in value else "",
    ("runkey", "name"): _runkey_name,
    ("runkey", "version"): lambda value: "" if value >= 1 else "versions begin with 1",
    ("revision", "number"): lambda value: "" if value >= 1 else "numbers begin with 1",
    ("tag", "type"): _one_of(TAG_TYPES),
    ("user_role", "role"): _one_of(ROLES),
    ("application", "state"): _one_of(APPLICATION_STATES),
}


def _where(table: Table, row: Any) -> str:
    return f"{table.name} {' '.join(_text(row[i]) for i in range(len(table.primary_key.columns)))}"


def _text(value: Any) -> str:
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    text = str(value)
    return text if len(text) <= 80 else text[:79] + "…"
