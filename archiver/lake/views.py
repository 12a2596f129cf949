"""DuckDB over an archive: a view per type, and what is known of PVs, as tables of one read-only database."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.dataset

from archiver.lake import bins
from archiver.lake.stores import ENGINE, Snapshot, snapshots
from archiver.store.events import EVENT_NAMES
from archiver.store.group import open_reader
from archiver.store.manifest import Segment
from archiver.store.samples import Dbr
from archiver.store.segment import EVENTS_KIND, KINDS, arrow_type, type_of

SAMPLE_KINDS = [kind for kind in KINDS if kind != EVENTS_KIND]
NUMBERS = [kind for kind in SAMPLE_KINDS if not type_of(kind)[1] and type_of(kind)[0] is not Dbr.STRING]
"""Kinds with one number a sample."""

TABLES = (*SAMPLE_KINDS, "numbers", "connections", "pvs", "metadata", "minutes", "hours")
"""All that can be asked."""

ROWS = 1 << 15
"""Rows of an answer that are fetched at once."""

TIME = "make_timestamptz(epoch_ns(time) // 1000) AS time"
TIME_NS = "epoch_ns(time) AS time_ns"
"""DuckDB's functions of time know microseconds; what is exact to the nanosecond has a column of its own."""

BINS = {"minutes": 60, "hours": 3600}


class LakeError(Exception):
    """A question that can't be answered; str() says why."""


@dataclass(frozen=True)
class Answer:
    """The answer to a question: its columns, and its rows as they are found, to be gone through once."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch] = field(compare=False)


class Lake:
    """The archive in a folder at the moment it is opened, for questions in SQL.

    Only what the manifest names is read, and the log's tail. Nothing can be changed, and no other file be read.
    `memory`: GiB that an answer may take. `threads`: at once (None: all cores). `utc`: days and hours of times in
    questions are those of UTC, instead of this machine's zone.
    """

    def __init__(self, folder: Path, memory: float = 2.0, threads: int | None = None, utc: bool = False) -> None:
        self._folder = folder
        self._snapshots = snapshots(folder)
        self._registered = 0
        self._made: set[str] = set()
        self.connection = duckdb.connect(config={"memory_limit": f"{memory:.3f}GiB"})
        if threads is not None:
            self.connection.execute(f"SET threads = {int(threads)}")
        if utc:
            self.connection.execute("SET TimeZone = 'UTC'")
        self.connection.execute(
            "CREATE MACRO bucket(seconds, t) AS make_timestamptz(epoch_us(t) // 1000000 // seconds * seconds * 1000000)"
        )
        self._lock()

    def close(self) -> None:
        """Let go of everything."""
        self.connection.close()

    def ask(self, sql: str, timeout_s: float | None = None) -> Answer:
        """Answer one question; LakeError when it is none, is wrong, or takes longer than `timeout_s`."""
        try:
            statements = self.connection.extract_statements(sql)
        except duckdb.Error as error:
            raise LakeError(_sentence(error)) from None
        if len(statements) != 1:
            raise LakeError("ask one thing at a time" if statements else "there is no question in it")
        if statements[0].type not in (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN):
            raise LakeError("the archive only answers: SELECT, DESCRIBE, SUMMARIZE, SHOW TABLES, EXPLAIN")
        self._make(sql)
        with self._errors(timeout_s):
            relation = self.connection.sql(statements[0].query)
            if relation is None:
                raise LakeError("there is no answer to that")
            reader = relation.to_arrow_reader(ROWS)
        return Answer(reader.schema, self._batches(reader, timeout_s))

    def _batches(self, reader: pa.RecordBatchReader, timeout_s: float | None) -> Iterator[pa.RecordBatch]:
        while True:
            with self._errors(timeout_s):
                batch = next(reader, None)
            if batch is None:
                return
            yield batch

    @contextmanager
    def _errors(self, timeout_s: float | None) -> Iterator[None]:
        timer = threading.Timer(timeout_s, self.connection.interrupt) if timeout_s else None
        if timer is not None:
            timer.start()
        try:
            yield
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            if "INTERRUPT" in str(error).upper():
                sentence = f"there was no answer within {timeout_s:g} s; ask for less, or allow more time"
                raise LakeError(sentence) from None
            raise LakeError(_sentence(error)) from None
        finally:
            if timer is not None:
                timer.cancel()

    # what the views are made of

    def _make(self, sql: str) -> None:
        """Make those tables that a question speaks of, if only by chance; all when it asks which there are."""
        words = set(re.findall(r"\w+", sql.lower()))
        for table in TABLES if "show" in words else [name for name in TABLES if name in words]:
            self._table(table)

    def _table(self, name: str) -> None:
        if name in self._made:
            return
        self._made.add(name)
        if name in SAMPLE_KINDS:
            self._view(name, self._samples(name, f"pv, {TIME}, value, severity, status, {TIME_NS}"))
        elif name == "numbers":
            for kind in NUMBERS:
                self._table(kind)
            self._numbers()
        elif name == "connections":
            self._connections()
        elif name in BINS:
            self._view(name, bins.view(self, self._snapshots, NUMBERS, BINS[name]))
        else:
            self._about_pvs()
            self._made |= {"pvs", "metadata"}

    def register(self, table: pa.Table | pyarrow.dataset.Dataset) -> str:
        """Make something of Arrow known to SQL; returns what it is called there."""
        self._registered += 1
        name = f"_arrow_{self._registered}"
        self.connection.register(name, table)
        return name

    def scan(self, snapshot: Snapshot, segments: Sequence[Segment], ending: str | None = None) -> list[str]:
        """What stands after FROM for the files of segments, or for those beside them with an ending."""
        local: list[str] = []
        remote: list[pyarrow.dataset.Fragment] = []
        form = pyarrow.dataset.ParquetFileFormat()
        for segment in segments:
            name = segment.name if ending is None else segment.stem + ending
            place = snapshot.layout.place_of(segment)
            if place.local is not None:
                local.append(str(place.local / name))
            else:
                remote.append(form.make_fragment(place.open(name)))
        found = []
        if local:
            found.append(f"read_parquet([{', '.join(map(literal, local))}], filename = '_file')")
        if remote:
            schema = remote[0].physical_schema
            found.append(self.register(pyarrow.dataset.FileSystemDataset(remote, schema, form)))
        return found

    def parts(self, kind: str) -> list[str]:
        """SELECTs that together give all samples of a kind, columns pv, time, value, severity, status."""
        found = []
        for snapshot in self._snapshots:
            plain: list[Segment] = []
            for segment in snapshot.segments(kind):
                changed = snapshot.changed_names(segment)
                if not changed:
                    plain.append(segment)
                    continue
                found += [renamed(source, changed) for source in self.scan(snapshot, [segment])]
            for source in self.scan(snapshot, plain):
                found.append(f"SELECT pv, time, value, severity, status FROM {source}")
            if batches := snapshot.tail.get(kind):
                tail = self.register(pa.Table.from_batches(batches))
                found.append(f"SELECT pv, time, value, severity, status FROM {tail}")
        return found

    def _samples(self, kind: str, columns: str) -> str:
        parts = [f"SELECT {columns} FROM ({part})" for part in self.parts(kind)]
        return " UNION ALL ".join(parts) or f"SELECT {columns} FROM {self.register(_nothing(kind))}"

    def _view(self, name: str, query: str) -> None:
        self.connection.execute(f"CREATE VIEW {quoted(name)} AS {query}")

    def _numbers(self) -> None:
        columns = "pv, time, CAST(value AS DOUBLE) AS value, severity, status, time_ns"
        parts = (f"SELECT {columns} FROM {quoted(kind)}" for kind in NUMBERS)
        self._view("numbers", " UNION ALL ".join(parts))

    def _connections(self) -> None:
        names = " ".join(f"WHEN {code} THEN {literal(name)}" for code, name in EVENT_NAMES.items())
        event = f"CASE value {names} ELSE CAST(value AS VARCHAR) END AS event"
        who = f"CASE WHEN value IN (2, 3) THEN {literal(ENGINE)} ELSE pv END AS pv"
        self._view("connections", self._samples(EVENTS_KIND, f"{who}, {TIME}, {event}, {TIME_NS}"))

    def _about_pvs(self) -> None:
        reader = open_reader(self._folder)
        try:
            totals = reader.infos()
            history = {total.name: reader.metadata_history(total.name) for total in totals}
        finally:
            reader.close()
        stamp = pa.timestamp("us", "UTC")

        def times(ns: Sequence[int | None]) -> pa.Array:
            return pa.array([None if t is None else t // 1000 for t in ns], pa.int64()).cast(stamp)

        newest = {name: versions[-1][1] if versions else {} for name, versions in history.items()}
        self.connection.register(
            "pvs",
            pa.table(
                {
                    "name": pa.array([t.name for t in totals], pa.string()),
                    "type": pa.array([_type_text(t.dbr, t.array) for t in totals], pa.string()),
                    "units": pa.array([newest[t.name].get("EGU") for t in totals], pa.string()),
                    "description": pa.array([newest[t.name].get("DESC") for t in totals], pa.string()),
                    "first": times([t.first_ns for t in totals]),
                    "last": times([t.last_ns for t in totals]),
                    "samples": pa.array([t.samples for t in totals], pa.int64()),
                    "bytes": pa.array([t.bytes for t in totals], pa.int64()),
                }
            ),
        )
        rows = [
            (name, seen, key, value)
            for name, versions in history.items()
            for seen, values in versions
            for key, value in values.items()
        ]
        columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
        self.connection.register(
            "metadata",
            pa.table(
                {
                    "pv": pa.array(columns[0], pa.string()),
                    "time": times(columns[1]),
                    "key": pa.array(columns[2], pa.string()),
                    "value": pa.array(columns[3], pa.string()),
                }
            ),
        )

    def _lock(self) -> None:
        """From here on no other file, no network, no extension, and no way back."""
        places = {s.layout.place(spec) for s in self._snapshots for spec in {g.place for g in s.manifest.segments}}
        allowed = ", ".join(literal(f"{place.local}/") for place in places if place.local is not None)
        for statement in (
            "SET python_enable_replacements = false",
            "SET autoinstall_known_extensions = false",
            "SET autoload_known_extensions = false",
            f"SET allowed_directories = [{allowed}]",
            "SET enable_external_access = false",
            "SET lock_configuration = true",
        ):
            self.connection.execute(statement)


def renamed(source: str, changed: dict[str, str | None]) -> str:
    """A SELECT of samples in which PVs have their present names, and those that were deleted are not."""
    cases = " ".join(f"WHEN {literal(old)} THEN {literal(new)}" for old, new in changed.items() if new is not None)
    gone = ", ".join(literal(old) for old, new in changed.items() if new is None)
    name = f"CASE pv {cases} ELSE pv END AS pv" if cases else "pv"
    where = f" WHERE pv NOT IN ({gone})" if gone else ""
    return f"SELECT {name}, time, value, severity, status FROM {source}{where}"


def literal(text: str) -> str:
    """A text in SQL."""
    return "'" + text.replace("'", "''") + "'"


def quoted(name: str) -> str:
    """A name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def _nothing(kind: str) -> pa.Table:
    fields = [
        ("pv", pa.string()),
        ("time", pa.timestamp("ns", "UTC")),
        ("value", arrow_type(kind)),
        ("severity", pa.uint8()),
        ("status", pa.uint8()),
    ]
    return pa.schema(fields).empty_table()


def _type_text(dbr: Dbr | None, array: bool) -> str | None:
    return None if dbr is None else f"{dbr.name.lower()}{'_array' if array else ''}"


def _sentence(error: Exception) -> str:
    text = str(error).strip()
    return text if text else type(error).__name__


__all__ = ["NUMBERS", "SAMPLE_KINDS", "TABLES", "Lake", "LakeError", "literal", "quoted", "renamed"]
