"""The Python API: an archive's samples as Arrow tables, pandas and polars one call away.

archive = Archive("http://127.0.0.1:17665")      # or a folder: Archive("var/demo/archive")
table = archive.get("DEMO:HV:L07:VMon", "-1h")   # pyarrow.Table: time, value, severity, status
table.to_pandas(); polars.from_arrow(table)
"""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

import pyarrow as pa

from archiver.client.access import ArchiveError, Reading, Sample, way_to
from archiver.client.columns import state_column, states, table_of
from archiver.client.moments import iso_text, moment_ns

Moment = str | datetime | timedelta | int | float | Any
"""A time: a datetime (local without a zone), pandas.Timestamp, numpy.datetime64, a timedelta from now, unix seconds,
or text: `now`, `-1h`, `2h ago`, `yesterday`, `14:30`, `2026-11-20T08:00:00Z` (without a zone local)."""

PARALLEL = 4
"""PVs that `get_many` reads at once."""


class Archive:
    """An archive at an address, `http://host:17665` (owlshift's or an Archiver Appliance), or in a folder.

    Methods may be called from several threads. What goes wrong is an `ArchiveError` of one clear line, `UnknownPv`
    when the archive has no such PV, ValueError for a time that is none.
    """

    def __init__(self, where: str | Path) -> None:
        self._way = way_to(where)

    def __repr__(self) -> str:
        return f"Archive({self._way.place!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close files that are open."""
        self._way.close()

    def get(
        self,
        pv: str,
        start: Moment = "-1h",
        end: Moment = "now",
        operator: str | None = None,
        states: bool = False,
    ) -> pa.Table:
        """Samples of one PV: the newest at or before `start`, and all up to and including `end`.

        Columns: time (timestamp[ns, UTC]), value (the PV's type; numbers for an enum), severity (u1, 0 to 3), status
        (u2). Metadata (EGU, PREC, ENUM_0, the PV's `name`, …) are in the schema. `operator`: what the archiver makes
        of the samples, for example `mean_60` or `optimized_2000`. `states`: one more column, `state`, with the names
        of an enum's states.
        """
        reading = self.read(pv, start, end, operator)
        for note in reading.notes:
            warnings.warn(note, stacklevel=2)
        table = table_of(list(reading.batches), {"name": reading.name, **reading.metadata})
        if states:
            table = table.append_column("state", _states_of(table, reading.metadata))
        return table

    def read(self, pv: str, start: Moment = "-1h", end: Moment = "now", operator: str | None = None) -> Reading:
        """The same as a stream, for what is larger than memory: `for batch in archive.read(pv).batches: …`."""
        now_ns = time.time_ns()
        start_ns, end_ns = moment_ns(start, now_ns), moment_ns(end, now_ns)
        if end_ns < start_ns:
            raise ValueError(f"the end {end!r} is before the start {start!r}")
        return self._way.read(f"{operator}({pv})" if operator else pv, start_ns, end_ns)

    def get_many(
        self,
        pvs: str | Sequence[str],
        start: Moment = "-1h",
        end: Moment = "now",
        operator: str | None = None,
        states: bool = False,
    ) -> dict[str, pa.Table]:
        """Samples of several PVs, given as a list of names or as a glob, by name."""
        names = self.pvs(pvs) if isinstance(pvs, str) else list(dict.fromkeys(pvs))
        now_ns = time.time_ns()  # one window for all
        first, last = (iso_text(moment_ns(moment, now_ns)) for moment in (start, end))
        with ThreadPoolExecutor(PARALLEL) as pool:
            tables = pool.map(lambda name: self.get(name, first, last, operator, states), names)
            return dict(zip(names, tables, strict=True))

    def at(self, pvs: str | Sequence[str], time: Moment = "now") -> dict[str, Sample]:
        """The newest sample of each PV at or before a time, by name; a PV that has none is not in the answer.

        `pvs`: a list of names, or a glob. Over HTTP an infinite value comes as NaN.
        """
        names = self.pvs(pvs) if isinstance(pvs, str) else list(dict.fromkeys(pvs))
        return self._way.at(names, moment_ns(time, _now_ns()))

    def pvs(self, glob: str = "*") -> list[str]:
        """Names of archived PVs that fit a glob of `*` and `?`, sorted."""
        return self._way.names(glob)

    def info(self, pv: str) -> dict[str, str]:
        """What the archive knows of a PV, as strings: DBRType, elementCount, EGU, PREC, limits, ENUM_0, …."""
        return self._way.metadata(pv)


class AsyncArchive:
    """`Archive` for asyncio: the same methods, to be awaited; the work is done in threads."""

    def __init__(self, where: str | Path) -> None:
        self._archive = Archive(where)

    async def get(self, *args: Any, **options: Any) -> pa.Table:
        """As `Archive.get`."""
        return await asyncio.to_thread(self._archive.get, *args, **options)

    async def get_many(self, *args: Any, **options: Any) -> dict[str, pa.Table]:
        """As `Archive.get_many`."""
        return await asyncio.to_thread(self._archive.get_many, *args, **options)

    async def at(self, *args: Any, **options: Any) -> dict[str, Sample]:
        """As `Archive.at`."""
        return await asyncio.to_thread(self._archive.at, *args, **options)

    async def pvs(self, glob: str = "*") -> list[str]:
        """As `Archive.pvs`."""
        return await asyncio.to_thread(self._archive.pvs, glob)

    async def info(self, pv: str) -> dict[str, str]:
        """As `Archive.info`."""
        return await asyncio.to_thread(self._archive.info, pv)

    def close(self) -> None:
        """Close files that are open."""
        self._archive.close()


def _now_ns() -> int:
    return time.time_ns()


def _states_of(table: pa.Table, metadata: dict[str, str]) -> pa.ChunkedArray | pa.Array:
    column = table.column("value")
    if not pa.types.is_integer(column.type) or not states(metadata):
        return pa.nulls(len(table), pa.string())
    return state_column(column, metadata)


__all__ = ["Archive", "ArchiveError", "AsyncArchive", "Sample"]
