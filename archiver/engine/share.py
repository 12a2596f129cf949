"""Which of several engines archives a PV: by a hash of both names, or pinned.

Every engine computes this for itself. The hash is a rendezvous hash: when an engine is added, only those PVs move that
move to it, and when one goes, only its own do.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from hashlib import blake2b

from archiver.config import Pin


def owner(name: str, engines: Sequence[str], pins: Sequence[Pin] = ()) -> str:
    """The engine that archives the PV `name`: that of the first pin that fits, else by hash; "" without engines."""
    if not engines:
        return ""
    for pin in pins:
        if pin.engine in engines and fnmatchcase(name, pin.pv):
            return pin.engine
    if len(engines) == 1:
        return engines[0]
    key = name.encode()
    return max(engines, key=lambda engine: (blake2b(key, digest_size=8, key=engine.encode()).digest(), engine))
