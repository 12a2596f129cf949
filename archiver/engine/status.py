"""The engine's own counters, for whoever reads `engine.json` in the archive's folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from archiver.engine.recorder import DROP_REASONS, Recorder
from archiver.store.files import replace_file
from archiver.store.live import PvState
from archiver.store.manifest import Segment

PAGE = 4096

AVERAGE = 60.0
"""Seconds over which the rate is averaged from which bytes a day are estimated."""
FIRST_GUESS = 12.0
"""Bytes a sample takes on the disk, until segments tell."""


class Status:
    """Makes the content of `engine.json`; rates are since the last call.

    At any moment `received` = `stored` + all of `dropped` + `in_log` + `waiting`, counted since the archive was made.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._started = time.time()
        self._last = (time.monotonic(), 0, 0)
        self._average: tuple[float, float] = (0.0, 0.0)

    def snapshot(self, states: Counter[PvState], paused: bool, client: dict[str, Any]) -> dict[str, Any]:
        """Counters now. `states` of the PVs; `paused`: servers are asked to wait; `client`: what the client counts."""
        recorder, store = self._recorder, self._recorder.store
        totals, session, manifest = store.counts()
        drops = recorder.drops()
        live = Counter({key.removeprefix("dropped."): n for key, n in totals.items() if key.startswith("dropped.")})
        for why, n in drops.items():
            live[why] += n - session.get(f"dropped.{why}", 0)
        received = recorder.intake.received
        logged = recorder.logged
        in_log = logged - session.get("logged", 0)
        waiting = max(0, received - logged - drops.total())
        now = time.monotonic()
        seconds = max(now - self._last[0], 1e-3)
        event_rate, store_rate = (received - self._last[1]) / seconds, (logged - self._last[2]) / seconds
        self._last = (now, received, logged)
        segment_bytes = sum(segment.bytes for segment in manifest)
        samples = totals.get("stored", 0) - totals.get("expired", 0)
        per_sample = segment_bytes / samples if segment_bytes and samples > 0 else FIRST_GUESS
        return {
            "pid": os.getpid(),
            "started": self._started,
            "updated": time.time(),
            "state": recorder.intake.blocked or "recording",
            "pvs": states.total(),
            "connected": states[PvState.CONNECTED],
            "disconnected": states[PvState.DISCONNECTED] + states[PvState.CONNECTING],
            "never_connected": states[PvState.CONNECTING],
            "paused_pvs": states[PvState.PAUSED],
            "off_pvs": states[PvState.OFF],
            "received": totals.get("stored", 0) + live.total() + in_log + waiting,
            "stored": totals.get("stored", 0),
            "in_log": in_log,
            "waiting": waiting,
            "dropped": {why: live.get(why, 0) for why in (*DROP_REASONS, *sorted(live.keys() - DROP_REASONS.keys()))},
            "event_rate": round(event_rate, 1),
            "store_rate": round(store_rate, 1),
            "bytes_per_day": round(self._averaged(store_rate, seconds) * per_sample * 86400),
            "queue_bytes": recorder.intake.bytes,
            "queue_limit": recorder.intake.limit,
            "lag": round(recorder.lag(), 3),
            "paused": paused,
            "log_bytes": store.log_size,
            "logs_waiting": store.pending_logs(),
            "segments": len(manifest),
            "segment_bytes": segment_bytes,
            "tiers": _by_tier(manifest),
            "damaged_bytes": totals.get("damaged_bytes", 0),
            "quarantined": self._quarantined(),
            "places": store.upkeep.problem(),
            **self._disk(),
            "client": client,
        }

    def _averaged(self, rate: float, seconds: float) -> float:
        total, over = self._average
        keep = 0.5 ** (seconds / AVERAGE)
        self._average = total * keep + rate * seconds, over * keep + seconds
        return self._average[0] / self._average[1]

    def _quarantined(self) -> list[str]:
        with contextlib.suppress(OSError):
            return sorted(os.listdir(self._recorder.store.layout.quarantine))
        return []

    def _disk(self) -> dict[str, int]:
        try:
            usage = shutil.disk_usage(self._recorder.store.layout.folder)
        except OSError:
            return {"disk_free": 0, "disk_total": 0}
        return {"disk_free": usage.free, "disk_total": usage.total}


def _by_tier(segments: Iterable[Segment]) -> dict[str, dict[str, int]]:
    """How many segments each tier has, and their bytes."""
    tiers: dict[str, dict[str, int]] = {}
    for segment in segments:
        tier = tiers.setdefault(segment.tier, {"segments": 0, "bytes": 0})
        tier["segments"] += 1
        tier["bytes"] += segment.bytes
    return tiers


def write_status(path: Path, content: dict[str, Any]) -> None:
    """Replace `engine.json`; where a full disk or a closed folder forbids that, write over it. OSError: neither worked.

    The file fills whole pages, so that writing over it takes no more room than it has.
    """
    data = orjson.dumps(content)
    data += b" " * (-len(data) % PAGE)
    try:
        replace_file(path, data, durable=False)
    except OSError:
        with open(path, "r+b", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if len(data) > size:
                raise
            file.write(data + b" " * (size - len(data)))
