"""Which events of a batch change an alarm: the severity and status of all channels as one array."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from owlshift.ca import Batch

_NOTHING = np.int64(-1)
"""Nothing was heard of the channel, or it is gone: what no severity and status can make."""


class Changes:
    """The last severity and status of each channel, by its id."""

    def __init__(self, room: int = 1024) -> None:
        self._last = np.full(max(room, 1), _NOTHING, np.int64)
        self._touched = np.zeros(max(room, 1), np.bool_)

    def _grow(self, top: int) -> None:
        size = len(self._last)
        if top < size:
            return
        more = max(top + 1, 2 * size) - size
        self._last = np.concatenate((self._last, np.full(more, _NOTHING, np.int64)))
        self._touched = np.concatenate((self._touched, np.zeros(more, np.bool_)))

    def heard(self, channel: int) -> bool:
        """Whether an event has come since the channel was new or lost."""
        return channel < len(self._last) and self._last[channel] != _NOTHING

    def forget(self, channel: int) -> None:
        """The next event of this channel is a change, whatever it says."""
        if channel < len(self._last):
            self._last[channel] = _NOTHING

    def take(self, batch: Batch) -> list[int]:
        """The places in `batch` of the events that change severity or status, in the order of their arrival."""
        ids = batch.channel
        if not len(ids):
            return []
        self._grow(int(ids.max()))
        codes = (batch.severity.astype(np.int64) << 16) | batch.status
        differs = codes != self._last[ids]
        if not differs.any():
            return []
        # all events of a channel that differs anywhere: it may change and change back within one batch
        moved = ids[differs]
        self._touched[moved] = True
        places = np.flatnonzero(self._touched[ids])
        self._touched[moved] = False
        if len(places) == len(moved) and len(np.unique(moved)) == len(moved):
            self._last[moved] = codes[differs]
            return places.tolist()
        return self._one_by_one(ids[places].tolist(), codes[places].tolist(), places)

    def _one_by_one(self, ids: list[int], codes: list[int], places: NDArray[np.intp]) -> list[int]:
        found: list[int] = []
        last: dict[int, int] = {}
        for place, channel, code in zip(places.tolist(), ids, codes, strict=True):
            before = last.get(channel)
            if (int(self._last[channel]) if before is None else before) != code:
                found.append(place)
            last[channel] = code
        for channel, code in last.items():
            self._last[channel] = code
        return found
