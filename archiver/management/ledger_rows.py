"""What the ledger holds: entries of PVs, requests, jobs and audit rows, and how they lie in its tables."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Identity:
    """Who asks: the user's name ("anonymous" without one) and the host it comes from."""

    user: str = "anonymous"
    host: str = "localhost"


@dataclass(frozen=True, slots=True)
class PvEntry:
    """What was decided about a PV; None leaves it to policies and catalogues.

    `requested`: somebody asked for it by name. `deleted`: it is not archived, whatever a catalogue says. `method`:
    monitor or scan; `period` s; `deadband` in the PV's units; `policy`: a policy's name; `controlling`: a PV that
    must not be 0; `engine`: which engine archives it; `fields`: the fields kept beside it.
    """

    name: str
    requested: bool = False
    paused: bool = False
    method: str | None = None
    period: float | None = None
    deadband: float | None = None
    policy: str | None = None
    controlling: str | None = None
    engine: str | None = None
    fields: tuple[str, ...] | None = None
    created_ns: int = 0
    modified_ns: int = 0
    deleted: bool = False


@dataclass(frozen=True)
class Request:
    """A request to archive a PV, with what the user wants of it (see PvEntry); `alias`: another name for it."""

    name: str
    method: str | None = None
    period: float | None = None
    deadband: float | None = None
    policy: str | None = None
    controlling: str | None = None
    engine: str | None = None
    fields: tuple[str, ...] | None = None
    alias: str | None = None
    paused: bool = False


@dataclass(frozen=True)
class Job:
    """Something that every engine does once; see `archiver.management.ledger`."""

    id: int
    kind: str
    args: Any
    time_ns: int


@dataclass(frozen=True)
class AuditRow:
    """One change: `before` and `after` hold what differs (None: nothing); `refused`: why it was not done."""

    id: int
    time_ns: int
    user: str
    host: str
    what: str
    pv: str | None
    before: Any
    after: Any
    refused: str | None


COLUMNS = tuple(field.name for field in dataclasses.fields(PvEntry))
SELECT = f"SELECT {', '.join(COLUMNS)} FROM pv"
STORE = f"INSERT OR REPLACE INTO pv ({', '.join(COLUMNS)}, revision) VALUES ({', '.join('?' * (len(COLUMNS) + 1))})"
SETTINGS = ("method", "period", "deadband", "policy", "controlling", "engine", "fields")
"""What `change` can change."""


def entry_of(row: Sequence[Any]) -> PvEntry:
    """The entry in a row of COLUMNS."""
    fields = tuple(row[9].split()) if row[9] is not None else None
    method, period, deadband, policy, controlling, engine = row[3:9]
    return PvEntry(
        row[0],
        bool(row[1]),
        bool(row[2]),
        method,
        period,
        deadband,
        policy,
        controlling,
        engine,
        fields,
        row[10],
        row[11],
        bool(row[12]),
    )


def row_of(entry: PvEntry, revision: int) -> tuple[Any, ...]:
    """The row for STORE."""
    row: list[Any] = [getattr(entry, column) for column in COLUMNS]
    row[9] = " ".join(entry.fields) if entry.fields is not None else None
    return (*row, revision)


def meta_of(connection: sqlite3.Connection, key: str) -> int:
    """One of the ledger's numbers: `version`, or `base`, the version that it began with."""
    return connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()[0]


def dumps(value: Any) -> str | None:
    """A value as it lies in the audit."""
    return json.dumps(value) if value is not None else None


def loads(text: str | None) -> Any:
    """A value of the audit."""
    return json.loads(text) if text is not None else None
