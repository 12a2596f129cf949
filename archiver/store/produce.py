"""Making a segment: the files of it, in the archive's own folder, and what a manifest says of it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from itertools import chain

import numpy as np

from archiver.store.checksums import sealed
from archiver.store.files import Layout
from archiver.store.manifest import MINUTES, Segment
from archiver.store.names import LEVELS, SIDECARS, segment_name
from archiver.store.segment import Table, write_segment


def produce(
    layout: Layout,
    kind: str,
    tables: Iterable[Table],
    logs: tuple[int, int],
    day: int,
    serial: int,
    tier: str = MINUTES,
    imported: bool = False,
) -> tuple[Segment, np.ndarray] | None:
    """Write the segment of `kind` out of the logs from the first to the last of `logs`; returns it with its index.

    None when `tables` are empty. Nothing refers to it yet: the caller puts it into a manifest. Segments that are not
    right out of a log get summaries.
    """
    tables = iter(tables)
    first = next(tables, None)
    if first is None:
        return None
    name = segment_name(kind, tier, day, logs, serial)
    level = 0 if tier == MINUTES and logs[0] == logs[1] else LEVELS[tier]
    path = layout.segments / name
    for ending in SIDECARS:
        # of an attempt that was cut off under this name
        path.with_name(path.name.removesuffix(".parquet") + ending).unlink(missing_ok=True)
    try:
        if level:
            index = write_segment(path, kind, chain([first], tables), summaries=True)
        else:
            index = write_segment(path, kind, chain([first], tables))
    except Exception:
        # the name belongs to this attempt alone, so no manifest knows any of it
        for ending in (".parquet", *SIDECARS):
            with suppress(OSError):
                path.with_name(path.name.removesuffix(".parquet") + ending).unlink(missing_ok=True)
        raise
    segment = Segment(
        name=name,
        kind=kind,
        first_log=logs[0],
        last_log=logs[1],
        rows=int(index["rows"].sum()),
        bytes=0,
        oldest=int(index["oldest"].min()),
        newest=int(index["newest"].max()),
        level=level,
        day=day,
        tier=tier,
        imported=imported,
    )
    return sealed(segment, layout.place()), index
