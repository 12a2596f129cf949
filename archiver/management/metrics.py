"""`/metrics` in Prometheus' text format, and `/api/status`: the same numbers as JSON."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from archiver.management.appliance import VERSION
from archiver.management.census import Snapshot, Status, is_alive
from archiver.management.context import Context
from archiver.management.status import ONE_APPLIANCE
from archiver.store.live import PvState

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "owlshift_archiver_"

_STATUS_NAMES = {Status.INITIAL: "initial", Status.ARCHIVED: "archived", Status.PAUSED: "paused"}
_CONNECTION = ("not_archived", "connecting", "connected", "disconnected", "paused", "off")

_ENGINE = (
    # key of engine.json, name, kind, help
    ("received", "samples_received_total", "counter", "Samples received since the archive was made."),
    ("stored", "samples_stored_total", "counter", "Samples in segments since the archive was made."),
    ("in_log", "log_samples", "gauge", "Samples in the log that are in no segment yet."),
    ("waiting", "queue_samples", "gauge", "Samples that wait for the log."),
    ("event_rate", "events_per_second", "gauge", "Samples that came in, per second."),
    ("store_rate", "writes_per_second", "gauge", "Samples that were written, per second."),
    ("bytes_per_day", "bytes_per_day", "gauge", "Bytes a day that the archive grows by, at the present rate."),
    ("lag", "lag_seconds", "gauge", "Age of the oldest sample that is not written yet."),
    ("queue_bytes", "queue_bytes", "gauge", "Bytes of samples that wait for the log."),
    ("queue_limit", "queue_limit_bytes", "gauge", "Bytes after which samples are dropped."),
    ("log_bytes", "log_bytes", "gauge", "Bytes of the log."),
    ("logs_waiting", "logs_waiting", "gauge", "Logs that wait to become segments."),
    ("segments", "segments", "gauge", "Segment files."),
    ("segment_bytes", "segment_bytes", "gauge", "Bytes of the segment files."),
    ("damaged_bytes", "damaged_bytes_total", "counter", "Bytes that were found damaged."),
    ("disk_free", "disk_free_bytes", "gauge", "Bytes free on the archive's disk."),
    ("disk_total", "disk_size_bytes", "gauge", "Size of the archive's disk."),
)


class _Text:
    """Metric families in the order they are added."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def family(self, name: str, kind: str, help_: str, samples: Iterable[tuple[Mapping[str, str], float]]) -> None:
        rows = list(samples)
        if not rows:
            return
        self._lines += [f"# HELP {PREFIX}{name} {help_}", f"# TYPE {PREFIX}{name} {kind}"]
        for labels, value in rows:
            inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
            self._lines.append(f"{PREFIX}{name}{'{' + inside + '}' if inside else ''} {_value(value)}")

    def text(self) -> str:
        return "\n".join(self._lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _value(value: float) -> str:
    number = float(value)
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def metrics(context: Context) -> str:
    """The text of `/metrics`; a ledger that can't be read is one of the things to be told by it."""
    census, problem = context.census.as_known()
    now = time.time()
    out = _Text()
    engines = [
        ({"engine": name or ONE_APPLIANCE}, status)
        for name, status in zip(census.engines, census.engine_status, strict=True)
    ]
    out.family("info", "gauge", "The version.", [({"version": VERSION}, 1)])
    out.family("engine_up", "gauge", "Whether the engine is there.", [(tag, is_alive(s, now)) for tag, s in engines])
    out.family(
        "engine_writing",
        "gauge",
        "Whether the engine can write (0: it says why in its state).",
        [({**tag, "state": str(s.get("state", "unknown"))}, s.get("state") == "recording") for tag, s in engines],
    )
    out.family("start_time_seconds", "gauge", "When the engine started.", _of(engines, "started"))
    out.family("pvs", "gauge", "PVs by what people call their state.", _by_status(census))
    out.family("channels", "gauge", "PVs by what their engine does about them.", _by_state(census))
    out.family("aliases", "gauge", "Aliases.", [({}, len(census.aliases))])
    out.family("ledger_good", "gauge", "Whether what people asked for can be read.", [({}, not problem)])
    for key, name, kind, help_ in _ENGINE:
        out.family(name, kind, help_, _of(engines, key))
    out.family("samples_dropped_total", "counter", "Samples dropped, by reason.", _drops(engines))
    out.family(
        "quarantined_files", "gauge", "Damaged files that were set aside.",
        [(tag, len(q)) for tag, s in engines if isinstance(q := s.get("quarantined"), list)],
    )  # fmt: skip
    out.family("unreadable_segments", "gauge", "Segments that could not be read.", [({}, len(context.reader.damaged))])
    out.family(
        "manage_requests_total",
        "counter",
        "Requests to management, by HTTP status.",
        [({"status": code}, count) for code, count in sorted(context.requests.items())],
    )
    return out.text()


def _of(engines: list[tuple[dict[str, str], dict[str, Any]]], key: str) -> list[tuple[dict[str, str], float]]:
    return [(labels, value) for labels, s in engines if isinstance(value := s.get(key), int | float)]


def _drops(engines: list[tuple[dict[str, str], dict[str, Any]]]) -> list[tuple[dict[str, str], float]]:
    return [
        ({**labels, "reason": reason}, count)
        for labels, status in engines
        for reason, count in (status.get("dropped") or {}).items()
    ]


def _by_status(census: Snapshot) -> list[tuple[dict[str, str], float]]:
    counts = np.bincount(census.status, minlength=4)
    return [({"state": name}, int(counts[status])) for status, name in _STATUS_NAMES.items()]


def _by_state(census: Snapshot) -> list[tuple[dict[str, str], float]]:
    found = []
    for number, name in enumerate(census.engines):
        counts = np.bincount(census.live["state"][census.engine == number], minlength=len(_CONNECTION))
        found += [
            ({"engine": name or ONE_APPLIANCE, "state": _CONNECTION[state]}, int(counts[state]))
            for state in range(PvState.CONNECTING, len(_CONNECTION))
        ]
    return found


def api_status(context: Context) -> dict[str, Any]:
    """`/api/status`: engines and PVs, with numbers as numbers. `ledger`: why it can't be read, "" when it can."""
    census, problem = context.census.as_known()
    now = time.time()
    counts = np.bincount(census.status, minlength=4)
    live = census.live[census.archived()]
    engines = [
        {**status, "name": name or ONE_APPLIANCE, "alive": is_alive(status, now)}
        for name, status in zip(census.engines, census.engine_status, strict=True)
    ]
    return {
        "version": VERSION,
        "time": now,
        "started": context.started,
        "pvs": {
            "archived": int(counts[Status.ARCHIVED]),
            "initial": int(counts[Status.INITIAL]),
            "paused": int(counts[Status.PAUSED]),
            "connected": int(np.count_nonzero(live["state"] == PvState.CONNECTED)),
            "known": int(np.count_nonzero(census.known)),
            "aliases": len(census.aliases),
        },
        "event_rate": round(float(live["rate"].sum(dtype=np.float64)), 3),
        "byte_rate": round(float(live["byte_rate"].sum(dtype=np.float64)), 3),
        "ledger": problem,
        "unreadable": dict(context.reader.damaged),
        "engines": engines,
    }
