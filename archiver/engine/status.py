"""The engine's own counters, for whoever reads `engine.json` in the archive's folder."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from typing import Any

from archiver.engine.recorder import DROP_REASONS, Recorder


class Status:
    """Makes the content of `engine.json`; rates are since the last call.

    At any moment `received` = `stored` + all of `dropped` + `in_log` + `waiting`, counted since the archive was made.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._started = time.time()
        self._last = (time.monotonic(), 0, 0)

    def snapshot(self, pvs: int, connected: int, paused: bool, client: dict[str, Any]) -> dict[str, Any]:
        """Counters now. `pvs` that are to be archived, `connected` of them; `paused`: servers are asked to wait."""
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
        return {
            "pid": os.getpid(),
            "started": self._started,
            "updated": time.time(),
            "state": recorder.intake.blocked or "recording",
            "pvs": pvs,
            "connected": connected,
            "disconnected": pvs - connected,
            "received": totals.get("stored", 0) + live.total() + in_log + waiting,
            "stored": totals.get("stored", 0),
            "in_log": in_log,
            "waiting": waiting,
            "dropped": {why: live.get(why, 0) for why in DROP_REASONS},
            "event_rate": round(event_rate, 1),
            "store_rate": round(store_rate, 1),
            "queue_bytes": recorder.intake.bytes,
            "queue_limit": recorder.intake.limit,
            "lag": round(recorder.lag(), 3),
            "paused": paused,
            "log_bytes": store.log_size,
            "logs_waiting": store.pending_logs(),
            "segments": len(manifest),
            "segment_bytes": sum(segment.bytes for segment in manifest),
            "damaged_bytes": totals.get("damaged_bytes", 0),
            **self._disk(),
            "client": client,
        }

    def _disk(self) -> dict[str, int]:
        try:
            usage = shutil.disk_usage(self._recorder.store.layout.folder)
        except OSError:
            return {"disk_free": 0, "disk_total": 0}
        return {"disk_free": usage.free, "disk_total": usage.total}
