"""Statements that let other engines query the archive's files where they are: DuckDB, ClickHouse, Spark, Trino.

The files of each kind are named one by one, as the manifest has them, so that nothing counts twice; or by a pattern
that goes on fitting while the archive grows, and that for moments fits both a file and the one which takes its place.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from archiver.lake.stores import Snapshot, snapshots
from archiver.store.events import EVENT_NAMES
from archiver.store.samples import Dbr
from archiver.store.segment import EVENTS_KIND, KINDS, type_of

PATTERN = "*-????????.parquet"
"""What the names of segments fit, and those of the summaries beside them don't."""

SUMMARIES = {"minutes": ".minute.parquet", "hours": ".hour.parquet"}


class DdlError(Exception):
    """There is nothing that could be said; str() is one clear line."""


@dataclass(frozen=True)
class Files:
    """Files of one table in one store: paths or URLs, and the patterns that they fit; options of an object store."""

    paths: list[str]
    patterns: list[str]
    store: dict[str, str]

    def listed(self, pattern: bool) -> list[str]:
        """Files one by one, or the patterns that they fit."""
        return self.patterns if pattern else self.paths


def statements(engine: str, folder: Path, pattern: bool = False, prefix: str = "owl_") -> Iterator[str]:
    """The statements for an engine, one after the other; DdlError when the archive has no segment yet."""
    make = ENGINES[engine]
    found = False
    for table, files in tables(folder):
        found = True
        yield from make(f"{prefix}{table}", table, files, pattern)
    if not found:
        raise DdlError(
            f"the archive in {folder} has no segment yet: all of it is in the log, which only owlshift reads"
        )


def tables(folder: Path) -> Iterator[tuple[str, list[Files]]]:
    """The tables that there are files of, by kind, and the summaries."""
    stores = snapshots(folder)
    for kind in KINDS:
        if files := _files(stores, kind, ""):
            yield ("connections" if kind == EVENTS_KIND else kind), files
    for table, ending in SUMMARIES.items():
        if files := _files(stores, None, ending):
            yield table, files


def _files(stores: list[Snapshot], kind: str | None, ending: str) -> list[Files]:
    """The files of one table, by the stores that they lie in."""
    groups: dict[tuple[tuple[str, str], ...], tuple[list[str], dict[str, None]]] = defaultdict(lambda: ([], {}))
    for store in stores:
        for segment in store.manifest.segments:
            if (kind is not None and segment.kind != kind) or (kind is None and not segment.summary):
                continue
            place = store.layout.place_of(segment)
            if place.local is not None:
                root, options = str(place.local.resolve()), {}
            else:
                url = urlsplit(place.spec)
                root = f"{url.scheme}://{url.netloc}{url.path}".rstrip("/")
                options = {key: values[-1] for key, values in parse_qs(url.query).items()}
            name = segment.stem + ending if ending else segment.name
            paths, patterns = groups[tuple(sorted(options.items()))]
            paths.append(f"{root}/{name}")
            patterns[f"{root}/{segment.kind}/{'*' + ending if ending else PATTERN}"] = None
    return [Files(paths, list(patterns), dict(options)) for options, (paths, patterns) in groups.items()]


def _columns(table: str) -> list[tuple[str, str, bool]]:
    """Columns of a table: name, type (pv, time, or that of a Channel Access value), whether it is an array."""
    if table in SUMMARIES:
        numbers = [(name, "double", False) for name in ("mean", "m2", "low", "high", "first", "last")]
        times = [("first_time", "time", False), ("last_time", "time", False)]
        head = [("pv", "pv", False), ("time", "time", False), ("count", "count", False)]
        return [*head, *numbers, *times, ("severity", "char", False)]
    kind = EVENTS_KIND if table == "connections" else table
    dbr, array = type_of(kind)
    value = {Dbr.STRING: "string"}.get(dbr, dbr.name.lower())
    head = [("pv", "pv", False), ("time", "time", False), ("severity", "char", False), ("status", "char", False)]
    return [*head, ("value", value, array)]


def _typed(table: str, names: dict[str, str], array: Callable[[str], str]) -> list[tuple[str, str]]:
    return [(name, array(names[kind]) if many else names[kind]) for name, kind, many in _columns(table)]


def literal(text: str) -> str:
    """A text in SQL, as all four take it."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


# the engines


def _duckdb(name: str, table: str, files: list[Files], pattern: bool) -> Iterator[str]:
    for number, store in enumerate(group.store for group in files):
        if not store:
            continue
        options = {
            "ENDPOINT": store.get("endpoint_override"),
            "REGION": store.get("region"),
            "URL_STYLE": "path" if "endpoint_override" in store else None,
            "USE_SSL": "false" if store.get("scheme") == "http" else None,
        }
        given = ", ".join(f"{k} {v if k == 'USE_SSL' else literal(v)}" for k, v in options.items() if v)
        yield (
            "-- needs the httpfs extension; the credentials come from the environment\n"
            f"CREATE OR REPLACE SECRET owl_{number} (TYPE s3, PROVIDER credential_chain, {given});"
        )
    listed = [path for group in files for path in group.listed(pattern)]
    paths = ",\n    ".join("'" + path.replace("'", "''") + "'" for path in listed)
    yield f"CREATE OR REPLACE VIEW {name} AS\n{_events_select(table)} FROM read_parquet([\n    {paths}\n]);"


def _events_select(table: str) -> str:
    if table != "connections":
        return "SELECT *"
    cases = " ".join(f"WHEN {code} THEN '{event}'" for code, event in EVENT_NAMES.items())
    return f"SELECT pv, time, CASE value {cases} END AS event"


_CLICKHOUSE = {
    "pv": "String",
    "time": "DateTime64(9, 'UTC')",
    "string": "String",
    "short": "Int16",
    "float": "Float32",
    "enum": "UInt16",
    "char": "UInt8",
    "long": "Int32",
    "double": "Float64",
    "count": "UInt32",
}


def _clickhouse(name: str, table: str, files: list[Files], pattern: bool) -> Iterator[str]:
    columns = literal(", ".join(f"{c} {t}" for c, t in _typed(table, _CLICKHOUSE, lambda t: f"Array({t})")))
    sources = []
    for group in files:
        for path in _braces(group.listed(pattern)):
            if "://" in path:
                sources.append(f"s3({literal(_http(path, group.store))}, 'Parquet', {columns})")
            else:
                sources.append(f"file({literal(path)}, 'Parquet', {columns})")
    if any(source.startswith("s3(") for source in sources):
        yield "-- the credentials come from the server's environment (use_environment_credentials)"
    select = _events_select(table)
    parts = "\nUNION ALL ".join(f"{select} FROM {source}" for source in sources)
    yield f"CREATE OR REPLACE VIEW {name} AS\n{parts};"


def _braces(paths: list[str]) -> list[str]:
    """Paths with `{a,b}` for those of one folder, a hundred at a time: ClickHouse reads them as one table."""
    folders: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        folder, _, file = path.rpartition("/")
        folders[folder].append(file)
    found = []
    for folder, names in folders.items():
        for start in range(0, len(names), 100):
            part = names[start : start + 100]
            found.append(f"{folder}/{part[0] if len(part) == 1 else '{' + ','.join(part) + '}'}")
    return found


def _http(url: str, store: dict[str, str]) -> str:
    """The HTTP address of an object: what ClickHouse wants."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    if endpoint := store.get("endpoint_override"):
        return f"{store.get('scheme', 'https')}://{endpoint}/{bucket}/{key}"
    return f"https://{bucket}.s3.{store.get('region', 'us-east-1')}.amazonaws.com/{key}"


_SPARK = {
    "pv": "STRING",
    "time": "BIGINT",
    "string": "STRING",
    "short": "SMALLINT",
    "float": "FLOAT",
    "enum": "INT",
    "char": "SMALLINT",
    "long": "INT",
    "double": "DOUBLE",
    "count": "BIGINT",
}


def _spark(name: str, table: str, files: list[Files], pattern: bool) -> Iterator[str]:
    paths = [path.replace("s3://", "s3a://", 1) for group in files for path in group.listed(pattern)]
    yield (
        "-- Spark has no nanoseconds: they are read as numbers, and time is to the microsecond\n"
        "SET spark.sql.legacy.parquet.nanosAsLong = true;"
    )
    columns = [c for c, _ in _typed(table, _SPARK, lambda t: f"ARRAY<{t}>")]
    shown = ", ".join(
        f"timestamp_micros(div({c}, 1000)) AS {c}, {c} AS {c}_ns" if c.endswith("time") else c
        for c in columns
        if table != "connections" or c in ("pv", "time")
    )
    if table == "connections":
        cases = " ".join(f"WHEN {code} THEN '{event}'" for code, event in EVENT_NAMES.items())
        shown += f", CASE value {cases} END AS event"
    parts = "\nUNION ALL ".join(f"SELECT * FROM parquet.`{path}`" for path in paths)
    yield f"CREATE OR REPLACE TEMPORARY VIEW {name} AS\nSELECT {shown} FROM (\n{parts}\n);"


_HIVE = {**_SPARK, "time": "TIMESTAMP"}


def _trino(name: str, table: str, files: list[Files], pattern: bool) -> Iterator[str]:
    if pattern:
        raise DdlError("Trino takes lists of files only: run this again when the archive has grown")
    columns = ",\n    ".join(f"`{c}` {t}" for c, t in _typed(table, _HIVE, lambda t: f"ARRAY<{t}>"))
    paths = [path if "://" in path else f"file://{path}" for group in files for path in group.paths]
    manifest = "\n".join(f"--   {path}" for path in paths)
    yield (
        f"-- Put these lines (without `--`) into a file LISTS/{name}/files, LISTS being a folder that Trino reads:\n"
        f"{manifest}\n"
        "-- then run this once in Hive or Spark; in Trino set hive.timestamp-precision = NANOSECONDS.\n"
        f"CREATE EXTERNAL TABLE {name} (\n    {columns}\n)\n"
        "ROW FORMAT SERDE 'org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe'\n"
        "STORED AS INPUTFORMAT 'org.apache.hadoop.hive.ql.io.SymlinkTextInputFormat'\n"
        "OUTPUTFORMAT 'org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat'\n"
        f"LOCATION 'LISTS/{name}';"
    )


ENGINES: dict[str, Callable[[str, str, list[Files], bool], Iterator[str]]] = {
    "clickhouse": _clickhouse,
    "duckdb": _duckdb,
    "trino": _trino,
    "spark": _spark,
}
"""Makers of statements by the engine they are for."""
