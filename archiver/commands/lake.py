"""`owl archive sql, ddl`: the archive as tables."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from archiver.commands.common import SiteOption, StoreOption, store_folder
from owlshift.commands.common import OutputOption, StateOption, fail
from owlshift.commands.output import table_lines, whole_or_stdout, write

if TYPE_CHECKING:
    import pyarrow as pa

    from archiver.lake.views import Answer

SHOWN = 1000
"""Rows of a table that are printed, unless more are asked for."""
WIDE = 60
"""Characters of a cell at most."""


class Engine(StrEnum):
    """Who is to query the files."""

    CLICKHOUSE = "clickhouse"
    DUCKDB = "duckdb"
    TRINO = "trino"
    SPARK = "spark"


def sql(
    question: Annotated[str, typer.Argument(metavar="QUERY", help="One SELECT, or - for standard input.")],
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, an object a row.")] = False,
    as_parquet: Annotated[bool, typer.Option("--parquet", help="Write Parquet.")] = False,
    output: OutputOption = None,
    limit: Annotated[int, typer.Option("--limit", min=0, help="Rows of a table at most; 0: all.")] = SHOWN,
    utc: Annotated[bool, typer.Option("--utc", help="Times in UTC instead of local time.")] = False,
    memory: Annotated[float, typer.Option("--memory", min=0.1, help="GiB that the answer may take.")] = 2.0,
    timeout: Annotated[float, typer.Option("--timeout", min=0, help="Seconds it may take; 0: any.")] = 0.0,
    site: SiteOption = None,
    state: StateOption = None,
    folder: StoreOption = None,
) -> None:
    """Ask the archive in SQL (DuckDB's), beside a running engine. Nothing can be changed.

    Tables, one for each type: double, float, long, short, char, enum, string, and double_array to string_array, all
    with the columns pv, time, value, severity, status. numbers: all of one number a sample. minutes, hours: count,
    mean, std, min, max, first, last of each. pvs, metadata (with its history), connections. bucket(60, time) is the
    minute.

    owl archive sql "SELECT pv, avg(value) FROM double WHERE time > now() - INTERVAL 1 HOUR GROUP BY pv"
    """
    if as_csv + as_json + as_parquet > 1:
        raise typer.BadParameter("choose one of --csv, --json and --parquet")
    if as_parquet and output is None and sys.stdout.isatty():
        raise typer.BadParameter("Parquet is no text: give a file with -o FILE", param_hint="--parquet")
    from archiver.lake.views import Lake, LakeError
    from archiver.store import StoreError

    question = sys.stdin.read() if question == "-" else question
    where, _ = store_folder(folder, site, state)
    lake = None
    try:
        lake = Lake(where, memory, utc=utc)
        answer = lake.ask(question, timeout or None)
        if as_parquet:
            whole_or_stdout(lambda path: _parquet(answer, path), output)
        elif as_csv:
            write(_csv(answer), output)
        elif as_json:
            write(_json(answer), output)
        else:
            write(_table(answer, limit, utc), output)
    except LakeError as error:
        fail(str(error))
    except (StoreError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        fail(f"the archive in {where} cannot be read: {error}")
    finally:
        if lake is not None:
            lake.close()


def _parquet(answer: Answer, path: Path) -> None:
    import pyarrow.parquet as pq

    with pq.ParquetWriter(path, answer.schema, compression="zstd") as file:
        for batch in answer.batches:
            file.write_batch(batch)


def _csv(answer: Answer) -> Iterator[bytes]:
    import json

    import pyarrow as pa

    from archiver.client.tables import csv_bytes
    from archiver.retrieval.text import pc

    names = [pa.array([name]) for name in answer.schema.names]
    yield csv_bytes(pa.table(names, names=answer.schema.names))
    for batch in answer.batches:
        columns = []
        for column in batch.columns:
            if pa.types.is_timestamp(column.type):
                column = pc.strftime(pc.cast(column, pa.timestamp("ns", "UTC")), "%Y-%m-%dT%H:%M:%SZ")
            elif pa.types.is_nested(column.type):
                column = pa.array([None if v is None else json.dumps(v, default=str) for v in column.to_pylist()])
            columns.append(column)
        yield csv_bytes(pa.table(columns, names=answer.schema.names))


def _json(answer: Answer) -> Iterator[bytes]:
    import orjson

    lead = b"[\n"
    for batch in answer.batches:
        for row in _plain(batch):
            yield lead + orjson.dumps(row, default=str)
            lead = b",\n"
    yield b"\n]\n" if lead == b",\n" else b"[]\n"


def _plain(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """Rows as Python objects, times as text with all nine digits."""
    import pyarrow as pa

    from archiver.client.moments import iso_text

    columns = []
    for column in batch.columns:
        if pa.types.is_timestamp(column.type):
            times = column.cast(pa.timestamp("ns", column.type.tz)).cast(pa.int64()).to_pylist()
            columns.append([None if t is None else iso_text(t) for t in times])
        else:
            columns.append(column.to_pylist())
    for row in zip(*columns, strict=True):
        yield dict(zip(batch.schema.names, row, strict=True))


def _table(answer: Answer, limit: int, utc: bool) -> Iterator[bytes]:
    """Rows for people; more than `limit` are counted by saying so."""
    import pyarrow as pa

    from archiver.client.moments import local_text

    def shown(value: Any, kind: pa.DataType) -> str:
        if value is None:
            return ""
        if pa.types.is_timestamp(kind):
            return local_text(value, utc)
        if isinstance(value, float):
            return f"{value:.10g}"
        text = "".join(c if c.isprintable() or c == "\n" else "?" for c in str(value))
        return text if len(text) <= WIDE or len(answer.schema) == 1 else text[: WIDE - 1] + "…"

    rows: list[list[str]] = []
    more = False
    for batch in answer.batches:
        columns = []
        for column in batch.columns:
            kind = column.type
            if pa.types.is_timestamp(kind):
                column = column.cast(pa.timestamp("ns", kind.tz)).cast(pa.int64())
            columns.append([shown(v, kind) for v in column.slice(0, limit - len(rows) if limit else None).to_pylist()])
        more = more or (bool(limit) and len(batch) > limit - len(rows))
        rows += [list(row) for row in zip(*columns, strict=True)]
        if more:
            break
    kinds = [field.type for field in answer.schema]
    right = {n for n, kind in enumerate(kinds) if pa.types.is_integer(kind) or pa.types.is_floating(kind)}
    yield from (line.encode() + b"\n" for line in table_lines(list(answer.schema.names), rows, right))
    if more:
        yield f"… only the first {limit} rows are shown (--limit 0 shows all)\n".encode()


def ddl(
    engine: Annotated[Engine, typer.Argument(help="Who is to query the files.")],
    pattern: Annotated[
        bool, typer.Option("--pattern", help="Patterns that fit later files too, instead of a list of today's.")
    ] = False,
    prefix: Annotated[str, typer.Option("--prefix", help="What the tables' names begin with.")] = "owl_",
    output: OutputOption = None,
    site: SiteOption = None,
    state: StateOption = None,
    folder: StoreOption = None,
) -> None:
    """Print the statements that make the archive's files tables of another engine, where they are: no copy is made.

    What is still in the log is not in them (at most some minutes of samples).
    """
    from archiver.lake.ddl import DdlError, statements
    from archiver.store import StoreError

    where, _ = store_folder(folder, site, state)
    try:
        text = "\n\n".join(statements(engine.value, where, pattern, prefix)) + "\n"
    except (DdlError, StoreError) as error:
        fail(str(error))
    write([text.encode()], output)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (sql, ddl):
        app.command()(command)
