"""The appliance's reports, as array operations over a census: under a second with 100,000 PVs.

Each report chooses rows, sorts them, cuts at `limit` and only then makes texts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from archiver.management.asked import Asked
from archiver.management.census import Snapshot, Status
from archiver.management.context import Context
from archiver.management.status import ONE_APPLIANCE, sampling_of
from archiver.management.texts import human_times, number, numbers, word
from archiver.retrieval.catalogue import type_name
from archiver.store import Dbr
from archiver.store.live import UNKNOWN_TYPE, PvState
from archiver.store.order import NEVER

NS = 1_000_000_000
SLOW_HZ = 1 / 60
"""A PV that sends less than once a minute changes slowly."""
Rows = np.ndarray
Report = Callable[[Context, Asked], Any]


def _cut(rows: Rows, asked: Asked) -> Rows:
    limit = asked.limit()
    return rows[:limit] if limit > 0 else rows


def _largest(census: Snapshot, chosen: np.ndarray, values: np.ndarray, asked: Asked) -> Rows:
    """The chosen rows, the largest value first, names in order where values are equal."""
    rows = np.flatnonzero(chosen)
    return _cut(rows[np.argsort(-values[rows].astype(np.float64), kind="stable")], asked)


def _names(census: Snapshot, rows: Rows) -> list[str]:
    return [census.names[row] for row in rows.tolist()]


def _appliances(census: Snapshot, rows: Rows) -> list[str]:
    names = [name or ONE_APPLIANCE for name in census.engines]
    return [names[number] if number >= 0 else ONE_APPLIANCE for number in census.engine[rows].tolist()]


def _table(columns: Mapping[str, Sequence[str]]) -> list[dict[str, str]]:
    keys = tuple(columns)
    return [dict(zip(keys, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _last_ns(census: Snapshot, rows: Rows) -> np.ndarray:
    """Time of the newest event: of the engine, else of the store; 0 for none."""
    return np.maximum(census.live["last_ns"][rows], np.maximum(census.newest[rows], 0))


def never_connected(context: Context, asked: Asked) -> Any:
    """Requested, and never there."""
    census = context.census.snapshot()
    rows = np.flatnonzero(census.status == Status.INITIAL)
    rows = _cut(rows[np.argsort(census.created_ns[rows], kind="stable")], asked)
    live = census.live[rows]
    asked_ns = census.created_ns[rows]
    begun = np.where(live["requested_ns"] > 0, live["requested_ns"], 0)
    states = np.where(live["state"] > 0, "METAINFO_REQUESTED", "START").tolist()
    return _table(
        {
            "pvName": _names(census, rows),
            "requestTime": human_times(asked_ns),
            "startOfWorkflow": human_times(begun),
            "currentState": states,
            "appliance": _appliances(census, rows),
        }
    )


def disconnected(context: Context, asked: Asked) -> Any:
    """Archived, and not there now."""
    census = context.census.snapshot()
    state = census.live["state"]
    gone = (census.status == Status.ARCHIVED) & (state != PvState.CONNECTED) & (state != PvState.OFF)
    rows = np.flatnonzero(gone)
    lost = census.live["lost_ns"]
    rows = _cut(rows[np.argsort(lost[rows], kind="stable")], asked)
    last = _last_ns(census, rows)
    since = np.where(lost[rows] > 0, lost[rows], last)
    return _table(
        {
            "pvName": _names(census, rows),
            "instance": _appliances(census, rows),
            "lastKnownEvent": human_times(last),
            "connectionLostAt": human_times(since),
            "noConnectionAsOfEpochSecs": [str(s) for s in (since // NS).tolist()],
            "hostName": [census.host(row) or "N/A" for row in rows.tolist()],
            "commandThreadID": ["0"] * len(rows),
        }
    )


def event_rate(context: Context, asked: Asked) -> Any:
    """Who sends most."""
    census = context.census.snapshot()
    rate = census.live["rate"]
    rows = _largest(census, census.archived(), rate, asked)
    return _table({"pvName": _names(census, rows), "eventRate": numbers(rate[rows], 6)})


def storage_rate(context: Context, asked: Asked) -> Any:
    """Who fills the disk."""
    census = context.census.snapshot()
    rate = census.live["byte_rate"].astype(np.float64)
    rows = _largest(census, census.archived(), rate, asked)
    rate = rate[rows]
    return _table(
        {
            "pvName": _names(census, rows),
            "storageRate_KBperHour": numbers(rate * 3600 / 1024, 6),
            "storageRate_MBperDay": numbers(rate * 86400 / 1024**2, 6),
            "storageRate_GBperYear": numbers(rate * 86400 * 365 / 1024**3, 6),
        }
    )


def recently_added(context: Context, asked: Asked) -> Any:
    """The newest first."""
    census = context.census.snapshot()
    rows = _largest(census, census.archived(), census.created_ns, asked)
    return _dated(census, rows, "creationTime", census.created_ns)


def recently_modified(context: Context, asked: Asked) -> Any:
    """The last that was changed first."""
    census = context.census.snapshot()
    rows = _largest(census, census.archived(), census.modified_ns, asked)
    return _dated(census, rows, "modificationTime", census.modified_ns)


def paused(context: Context, asked: Asked) -> Any:
    """Paused PVs."""
    census = context.census.snapshot()
    rows = _largest(census, census.status == Status.PAUSED, census.modified_ns, asked)
    return _dated(census, rows, "modificationTime", census.modified_ns)


def _dated(census: Snapshot, rows: Rows, key: str, times: np.ndarray) -> Any:
    return _table(
        {"pvName": _names(census, rows), "instance": _appliances(census, rows), key: human_times(times[rows])}
    )


def lost_connections(context: Context, asked: Asked) -> Any:
    """Whose connection comes and goes."""
    census = context.census.snapshot()
    losses = census.live["losses"]
    rows = _largest(census, census.archived() & (losses > 0), losses, asked)
    connected = census.live["state"][rows] == PvState.CONNECTED
    return _table(
        {
            "pvName": _names(census, rows),
            "instance": _appliances(census, rows),
            "lostConnections": [str(n) for n in losses[rows].tolist()],
            "currentlyConnected": np.where(connected, "Yes", "No").tolist(),
        }
    )


def silent(context: Context, asked: Asked) -> Any:
    """Connected PVs, the longest without an event first."""
    census = context.census.snapshot()
    rows = np.flatnonzero((census.status == Status.ARCHIVED) & (census.live["state"] == PvState.CONNECTED))
    last = _last_ns(census, rows)
    order = np.argsort(last, kind="stable")
    rows = _cut(rows[order], asked)
    return _dated_rows(census, rows, "lastKnownEvent", last[order][: len(rows)])


def _dated_rows(census: Snapshot, rows: Rows, key: str, times: np.ndarray) -> Any:
    return _table({"pvName": _names(census, rows), "instance": _appliances(census, rows), key: human_times(times)})


def dropped_by(column: str) -> Report:
    """A report of the samples that were dropped for one reason."""

    def report(context: Context, asked: Asked) -> Any:
        census = context.census.snapshot()
        lost = census.live[column]
        rows = _largest(census, census.archived() & (lost > 0), lost, asked)
        return _table({"pvName": _names(census, rows), "eventsDropped": [str(n) for n in lost[rows].tolist()]})

    report.__doc__ = f"PVs that lost samples, as counted in {column}."
    return report


LOST = ("dropped_time", "dropped_overflow", "dropped_type")
"""Samples that were lost; the others were left out as asked for."""


def slow_with_drops(context: Context, asked: Asked) -> Any:
    """PVs that send seldom and still lost samples: those matter most."""
    census = context.census.snapshot()
    live = census.live
    lost = np.sum([live[column] for column in LOST], axis=0)
    rows = _largest(census, census.archived() & (lost > 0) & (live["rate"] < SLOW_HZ), lost, asked)
    return _table(
        {
            "pvName": _names(census, rows),
            "eventsDropped": [str(n) for n in lost[rows].tolist()],
            "totalEvents": [str(n) for n in live["events"][rows].tolist()],
        }
    )


def dropped_events(context: Context, asked: Asked) -> Any:
    """All causes at once, who lost most first; what period and dead-band leave out is no loss and comes last."""
    census = context.census.snapshot()
    live = census.live
    lost = np.sum([live[column] for column in LOST], axis=0)
    left = live["dropped_scan"] + live["dropped_deadband"]
    rows = np.flatnonzero(census.archived() & (lost + left > 0))
    rows = _cut(rows[np.lexsort((-left[rows].astype(np.float64), -lost[rows].astype(np.float64)))], asked)
    columns = {"pvName": _names(census, rows), "instance": _appliances(census, rows)}
    columns["eventsDropped"] = [str(n) for n in lost[rows].tolist()]
    for cause in ("time", "overflow", "type", "scan", "deadband"):
        columns[cause] = [str(n) for n in live[f"dropped_{cause}"][rows].tolist()]
    columns["totalEvents"] = [str(n) for n in live["events"][rows].tolist()]
    return _table(columns)


def storage_consumed(context: Context, asked: Asked) -> Any:
    """Whose data are largest, by the average sample of the files they are in."""
    census, size = context.census.volumes()
    rows = _largest(census, size > 0, size, asked)
    return _table(
        {
            "pvName": _names(census, rows),
            "instance": _appliances(census, rows),
            "storageConsumed": [str(n) for n in size[rows].tolist()],
            "storageConsumedInMB": numbers(size[rows] / 1024**2, 6),
        }
    )


def waveforms(context: Context, asked: Asked) -> Any:
    """Arrays."""
    census = context.census.snapshot()
    live = census.live
    known = (live["dbr"] != UNKNOWN_TYPE) & (live["count"] > 0)
    rows = _largest(census, census.archived() & known & (live["array"] > 0), live["count"], asked)
    types = [type_name(Dbr(dbr), True) for dbr in live["dbr"][rows].tolist()]
    methods, periods = sampling_of(census, rows)
    return _table(
        {
            "pvName": _names(census, rows),
            "samplingmethod": [method.upper() for method in methods],
            "samplingperiod": [number(period) for period in periods],
            "elementCount": [str(n) for n in live["count"][rows].tolist()],
            "dbrtype": types,
        }
    )


def time_span(context: Context, asked: Asked) -> Any:
    """From when to when each PV has data."""
    census = context.census.snapshot()
    rows = _cut(np.flatnonzero(census.archived()), asked)
    items = _spans(census, rows)
    for item, last in zip(items, (_last_ns(census, rows) // NS).tolist(), strict=True):
        item["lastEvent"] = str(last)
    return {item["pvName"]: item for item in items}


def creation(context: Context, asked: Asked) -> Any:
    """The time of each PV's earliest sample."""
    census = context.census.snapshot()
    return _spans(census, _cut(np.flatnonzero(census.archived()), asked))


def _spans(census: Snapshot, rows: Rows) -> list[dict[str, str]]:
    oldest = census.oldest[rows]
    first = np.where(oldest != NEVER, oldest, census.live["first_connected_ns"][rows]) // NS
    return _table(
        {
            "pvName": _names(census, rows),
            "creationTS": [str(second) for second in first.tolist()],
            "paused": [word(status == Status.PAUSED) for status in census.status[rows].tolist()],
        }
    )


REPORTS: dict[str, Report] = {
    "getNeverConnectedPVs": never_connected,
    "getCurrentlyDisconnectedPVs": disconnected,
    "getEventRateReport": event_rate,
    "getStorageRateReport": storage_rate,
    "getRecentlyAddedPVs": recently_added,
    "getRecentlyModifiedPVs": recently_modified,
    "getPausedPVsReport": paused,
    "getLostConnectionsReport": lost_connections,
    "getSilentPVsReport": silent,
    "getPVsByDroppedEventsTimestamp": dropped_by("dropped_time"),
    "getPVsByDroppedEventsBuffer": dropped_by("dropped_overflow"),
    "getPVsByDroppedEventsTypeChange": dropped_by("dropped_type"),
    "getSlowChangingPVsWithDroppedEvents": slow_with_drops,
    "getDroppedEventsReport": dropped_events,
    "getPVsByStorageConsumed": storage_consumed,
    "getArchivedWaveforms": waveforms,
    "getTimeSpanReport": time_span,
    "getCreationReport": creation,
}
"""Every report by its call; `…ForThisAppliance` and `…ForAppliance` are the same here."""
