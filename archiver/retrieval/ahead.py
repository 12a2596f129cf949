"""Reading ahead for an answer on many PVs: some hundred of them at once, instead of one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from archiver.retrieval.operators.source import EARLIEST
from archiver.store import PvInfo, Samples
from archiver.store.samples import PvData, PvTotals

FIRST = 16
"""PVs that are read at first, so that the answer begins soon."""
MOST = 512
"""PVs that are read at once."""
INFOS = 4096
"""PVs of which is found out at once what they are."""


class Ahead:
    """A reader for answers on `names`, asked for in this order and within one window (unix ns, both included).

    What it holds of the present group of PVs it gives once; anything else is the reader's to answer.
    """

    def __init__(self, reader: Any, names: Sequence[str], start_ns: int, end_ns: int) -> None:
        self._reader = reader
        self._names = list(dict.fromkeys(names))
        self._place = {name: place for place, name in enumerate(self._names)}
        self._window = start_ns, end_ns
        self._infos: dict[str, PvInfo] = {}
        self._totals: dict[str, PvTotals] = {}
        self._described = self._counted = 0
        self._data: dict[str, PvData] = {}
        self._loaded = 0
        self._size = FIRST

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def info(self, name: str) -> PvInfo | None:
        """`StoreReader.info`."""
        place = self._place.get(name)
        if place is None:
            return self._reader.info(name)
        while place >= self._described:
            self._infos |= self._reader.info_many(self._names[self._described : self._described + INFOS])
            self._described += INFOS
        return self._infos.get(name) or self._reader.info(name)

    def infos(self, names: Sequence[str] | None = None) -> list[PvTotals]:
        """`StoreReader.infos`."""
        place = self._place.get(names[0]) if names and len(names) == 1 else None
        if names is None or place is None:
            return self._reader.infos(names)
        while place >= self._counted:
            some = self._names[self._counted : self._counted + INFOS]
            self._totals.update((row.name, row) for row in self._reader.infos(some))
            self._counted += INFOS
        return [self._totals[names[0]]] if names[0] in self._totals else []

    def read(self, name: str, from_ns: int, to_ns: int) -> Iterator[Samples]:
        """`StoreReader.read`."""
        place = self._place.get(name)
        if place is None or (from_ns, to_ns) != self._window:
            return self._reader.read(name, from_ns, to_ns)
        if place >= self._loaded:
            self._load(place)
        data = self._data.get(name)
        if data is None or data.samples is None:
            return self._reader.read(name, from_ns, to_ns)
        samples, data.samples = data.samples, None
        return iter(samples)

    def _load(self, place: int) -> None:
        names = self._names[place : place + self._size]
        self._data = {}  # before the next ones come
        self._data = self._reader.read_many(names, *self._window)
        self._loaded = place + len(names)
        # fewer where many are too large to be held together
        self._size = min(4 * self._size, MOST) if 2 * len(self._data) > len(names) else max(len(self._data), 2)

    def connections(self, name: str, from_ns: int, to_ns: int) -> list[tuple[int, str]]:
        """`StoreReader.connections`."""
        data = self._data.get(name)
        if data is None or (from_ns, to_ns) != (EARLIEST, self._window[1]):
            return self._reader.connections(name, from_ns, to_ns)
        return data.connections

    def metadata_history(self, name: str) -> list[tuple[int, dict[str, str]]]:
        """`StoreReader.metadata_history`."""
        data = self._data.get(name)
        return self._reader.metadata_history(name) if data is None else data.history
