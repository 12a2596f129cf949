"""The table of channels: what the segments hold of each PV, kept up to date with them."""

from __future__ import annotations

import numpy as np

from archiver.store.segment import EVENTS_KIND, KINDS


def add_index(channels: np.ndarray, kind: str, index: np.ndarray) -> None:
    """Take what a segment of `kind` holds into a channels table, which must be long enough."""
    ids = index["pv"]
    if kind != EVENTS_KIND:
        fresh = channels["samples"][ids] == 0
        oldest = np.where(fresh, index["oldest"], np.minimum(channels["oldest"][ids], index["oldest"]))
        channels["oldest"][ids] = oldest
        channels["newest"][ids] = np.maximum(channels["newest"][ids], index["newest"])
        channels["samples"][ids] += index["rows"]
    channels["kinds"][ids] |= np.uint32(1 << KINDS.index(kind))
