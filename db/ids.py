"""Ids: UUIDs of version 7 as 32 hexadecimal digits. Those made at one time lie together in an index."""

from __future__ import annotations

import os
import re
import threading
import time
from datetime import UTC, datetime

_ID = re.compile(r"[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}")
_lock = threading.Lock()
_last = 0
_POOL = 256
"""Ids for which random bytes are fetched at once: each fetch lets other threads go first, which takes its time."""
_noise: list[bytes] = []


def new_id() -> str:
    """A new id: greater than all that this process made before.

    RFC 9562, version 7: 48 bits of milliseconds, 12 bits of fractions of one, 62 random bits.
    """
    global _last
    now = time.time_ns()
    stamp = (now // 1_000_000 << 12) | (now % 1_000_000 << 12) // 1_000_000
    with _lock:
        _last = stamp = max(stamp, _last + 1)
        if not _noise:
            fresh = os.urandom(8 * _POOL)
            _noise.extend(fresh[place : place + 8] for place in range(0, len(fresh), 8))
        random = _noise.pop()
    noise = int.from_bytes(random, "big") >> 2 | 1 << 63
    return f"{stamp >> 12:012x}7{stamp & 0xFFF:03x}{noise:016x}"


# a process that forks must not give out the same ones
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_noise.clear)


def is_id(text: str) -> bool:
    """Whether `text` looks like an id of ours."""
    return _ID.fullmatch(text) is not None


def id_time(id_: str) -> datetime:
    """When an id was made, in UTC, to the millisecond; ValueError for what is none."""
    if not is_id(id_):
        raise ValueError(f"{id_!r} is no id")
    return datetime.fromtimestamp(int(id_[:12], 16) / 1000, UTC)
