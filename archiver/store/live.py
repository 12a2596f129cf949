"""`live.npy`: what an engine knows of every PV right now, one row by PV id, replaced every few seconds.

Reports and metrics are made from this table: nobody has to ask the engine, and 100,000 PVs are one read.
"""

from __future__ import annotations

import io
from enum import IntEnum
from pathlib import Path

import numpy as np

from archiver.store.files import replace_file

LIVE_FILE = "live.npy"


class PvState(IntEnum):
    """What an engine does about a PV."""

    NOT_ARCHIVED = 0
    CONNECTING = 1
    """Wanted, and never connected since the engine started."""
    CONNECTED = 2
    DISCONNECTED = 3
    """Was connected, and is searched for again."""
    PAUSED = 4
    OFF = 5
    """Its controlling PV is zero (or not there): nothing is kept."""


MONITOR, SCAN = 0, 1
"""Values of `method`."""

LIVE = np.dtype(
    [
        ("state", "u1"),
        ("method", "u1"),
        ("dbr", "u1"),
        ("array", "u1"),
        ("count", "<u4"),
        ("period", "<f4"),
        ("events", "<u8"),
        ("bytes", "<u8"),
        ("rate", "<f4"),
        ("byte_rate", "<f4"),
        ("last_ns", "<i8"),
        ("requested_ns", "<i8"),
        ("first_connected_ns", "<i8"),
        ("connected_ns", "<i8"),
        ("lost_ns", "<i8"),
        ("losses", "<u4"),
        ("host", "<u2"),
        ("policy", "<u2"),
        ("dropped_time", "<u8"),
        ("dropped_overflow", "<u8"),
        ("dropped_type", "<u8"),
        ("dropped_scan", "<u8"),
        ("dropped_deadband", "<u8"),
    ]
)
"""One row for each PV id (row 0 is the engine's own and stays zero). Counters since the engine started.

`state` a PvState, `method` MONITOR or SCAN, `period` s, `dbr`/`array`/`count` the channel's native type (255 before it
ever connected; count 0). `events` that came and the `bytes` of their values, dropped ones included; `rate` events/s and
`byte_rate` bytes/s, over the last minute or so. `last_ns` time stamp of the last event whose stamp can be true,
`…_ns` times in ns since 1970 (0: never); types and times outlive a restart. `losses` of the connection. `host`,
`policy`: indices into `engine.json`'s lists of these names (index 0 is the empty name: unknown, none). `dropped_…`
samples: `time` a stamp too old, too far ahead, or of the past of its PV; `overflow` the queue was full (whatever the
reason); `type` always 0, since a PV that changes its type is kept in the new one; `scan` and `deadband` as asked for.
"""

UNKNOWN_TYPE = 255


def save_live(folder: Path, table: np.ndarray) -> None:
    """Replace the table in an engine's store `folder`; OSError when it can't be written."""
    buffer = io.BytesIO()
    np.save(buffer, table, allow_pickle=False)
    replace_file(folder / LIVE_FILE, buffer.getvalue(), durable=False)


def load_live(folder: Path) -> np.ndarray:
    """The table of an engine's store `folder`, by PV id, of dtype LIVE; empty when there is none, or a foreign one."""
    try:
        data = (folder / LIVE_FILE).read_bytes()
        table = np.load(io.BytesIO(data), allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return np.zeros(0, LIVE)
    return table if table.dtype == LIVE and table.ndim == 1 else np.zeros(0, LIVE)
