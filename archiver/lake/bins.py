"""Minutes and hours as SQL: the summaries beside segments, and the samples of whatever has none.

A bin may have parts in several places: at the joint of two segments, in the log's tail, in imported segments. The parts
are put together; the sums of squares by their distance from the common mean, so that nothing is lost to rounding.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from archiver.lake.stores import Snapshot
from archiver.store.manifest import Segment
from archiver.store.names import INDEX
from archiver.store.sidecar import ENDINGS

if TYPE_CHECKING:
    from archiver.lake.views import Lake


def view(lake: Lake, snapshots: Sequence[Snapshot], kinds: Sequence[str], seconds: int) -> str:
    """The query of a view with a row for each PV and bin of `seconds` in which it has samples."""
    parts = []
    for kind in kinds:
        for snapshot in snapshots:
            parts += _parts(lake, snapshot, kind, seconds)
    if not parts:
        parts.append(_of_samples(f"SELECT * FROM {lake.register(_no_samples())}", seconds))
    united = " UNION ALL ".join(parts)
    return f"""
        SELECT pv, to_timestamp(bin * {seconds}) AS time, count, mean,
            sqrt(CASE WHEN count > 1 THEN
                list_sum([p.m2 + p.n * (p.mean - mean) * (p.mean - mean) FOR p IN pieces]) / (count - 1)
                ELSE 0 END) AS std,
            low AS min, high AS max, first, last, make_timestamptz(epoch_ns(first_time) // 1000) AS first_time,
            make_timestamptz(epoch_ns(last_time) // 1000) AS last_time, severity
        FROM (
            SELECT pv, bin, CAST(sum(count) AS BIGINT) AS count, sum(count * mean) / sum(count) AS mean,
                list(struct_pack(m2 := m2, n := count, mean := mean)) AS pieces,
                min(low) AS low, max(high) AS high, arg_min(first, first_time) AS first,
                arg_max(last, last_time) AS last, min(first_time) AS first_time, max(last_time) AS last_time,
                max(severity) AS severity
            FROM ({united}) GROUP BY pv, bin
        )"""


def _parts(lake: Lake, snapshot: Snapshot, kind: str, seconds: int) -> list[str]:
    from archiver.lake.views import renamed

    found = []
    plain: list[Segment] = []  # whose samples are all to be read
    tidy: list[Segment] = []  # with summaries
    sparse: dict[str, list[str]] = {}
    for segment in snapshot.segments(kind):
        if not segment.summary or snapshot.changed_names(segment):
            plain.append(segment)
            continue
        tidy.append(segment)
        without = _without_bins(snapshot, segment, seconds)
        if without:
            sparse[segment.name] = without
    for segment in plain:
        changed = snapshot.changed_names(segment)
        found += [_of_samples(renamed(source, changed), seconds) for source in lake.scan(snapshot, [segment])]
    for source in lake.scan(snapshot, tidy, ENDINGS[seconds]):
        found.append(
            f"SELECT pv, epoch_ns(time) // {seconds}000000000 AS bin, count, mean, m2, low, high, first, last, "
            f"first_time, last_time, severity FROM {source}"
        )
    for segment in tidy:
        if segment.name in sparse:
            names = lake.register(pa.table({"name": pa.array(sparse[segment.name], pa.string())}))
            for source in lake.scan(snapshot, [segment]):
                chosen = f"SELECT * FROM {source} WHERE pv IN (SELECT name FROM {names})"
                found.append(_of_samples(chosen, seconds))
    if batches := snapshot.tail.get(kind):
        found.append(_of_samples(f"SELECT * FROM {lake.register(pa.Table.from_batches(batches))}", seconds))
    return found


def _without_bins(snapshot: Snapshot, segment: Segment, seconds: int) -> list[str]:
    """PVs of a segment whose bins would hold too few samples, so that there are none."""
    place = snapshot.layout.place_of(segment)
    index = np.load(io.BytesIO(place.read_bytes(segment.stem + INDEX)), allow_pickle=False)
    column = "minutes" if seconds == 60 else "hours"
    ids = index["pv"][index[column] == 0].tolist()
    return [name for pv in ids if (name := snapshot.registry.names.get(pv)) is not None]


def _of_samples(samples: str, seconds: int) -> str:
    """Bins of samples."""
    return f"""
        SELECT pv, epoch_ns(time) // {seconds}000000000 AS bin, count(*) AS count, avg(v) AS mean,
            var_pop(v) * count(*) AS m2, min(v) AS low, max(v) AS high, arg_min(v, time) AS first,
            arg_max(v, time) AS last, min(time) AS first_time, max(time) AS last_time, max(severity) AS severity
        FROM (SELECT *, CAST(value AS DOUBLE) AS v FROM ({samples})) WHERE NOT isnan(v) GROUP BY pv, bin"""


def _no_samples() -> pa.Table:
    fields = [
        ("pv", pa.string()),
        ("time", pa.timestamp("ns", "UTC")),
        ("value", pa.float64()),
        ("severity", pa.uint8()),
    ]
    return pa.schema(fields).empty_table()
