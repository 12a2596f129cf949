"""Where an operator takes the samples of one PV from, within one window: the archive, or samples that are given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from archiver.retrieval.gaps import Gap, gaps_of
from archiver.retrieval.notes import annotate
from archiver.store import Samples
from archiver.store.summary import Summary

Batches = Iterable[Samples]

NS = 1_000_000_000
EARLIEST = np.iinfo(np.int64).min


class Archive(Protocol):
    """What operators ask of an archive's reader."""

    def read(self, name: str, from_ns: int, to_ns: int) -> Iterator[Samples]:
        """Samples from the newest at or before the start up to the end."""
        ...

    def summaries(self, name: str, unit_s: int, from_ns: int, to_ns: int) -> Iterator[Summary]:
        """Bins of 60 or 3600 s; the end is excluded."""
        ...

    def connections(self, name: str, from_ns: int, to_ns: int) -> list[tuple[int, str]]:
        """Connection events."""
        ...

    def metadata_history(self, name: str) -> list[tuple[int, dict[str, str]]]:
        """Versions of the metadata."""
        ...


class Source(Protocol):
    """One PV's data in a window from `start` to `end` (ns since 1970 UTC, both included)."""

    start: int
    end: int
    has_summaries: bool

    def samples(self) -> Iterator[Samples]:
        """All of the window, the newest at or before its start first. To be called once."""
        ...

    def part(self, from_ns: int, to_ns: int, held: bool = False) -> Iterator[Samples]:
        """The samples from `from_ns` to `to_ns`, the end excluded; with `has_summaries` only.

        `held`: the newest before them comes first, unless there is one at `from_ns`.
        """
        ...

    def summaries(self, unit_s: int, from_ns: int, to_ns: int) -> Iterator[Summary]:
        """Bins of 60 or 3600 s, the end excluded; with `has_summaries` only."""
        ...

    def gaps(self) -> list[Gap]:
        """When the PV was not being received, oldest first, as far back as is known."""
        ...


class Given:
    """Samples that are there already."""

    has_summaries = False

    def __init__(self, batches: Batches, start: int, end: int, gaps: Sequence[Gap] = ()) -> None:
        self.start, self.end = start, end
        self._batches, self._gaps = batches, list(gaps)

    def samples(self) -> Iterator[Samples]:
        """Those given."""
        return iter(self._batches)

    def part(self, from_ns: int, to_ns: int, held: bool = False) -> Iterator[Samples]:
        """Never used: there are no summaries."""
        raise NotImplementedError

    def summaries(self, unit_s: int, from_ns: int, to_ns: int) -> Iterator[Summary]:
        """Never used: there are none."""
        raise NotImplementedError

    def gaps(self) -> list[Gap]:
        """Those given."""
        return self._gaps


class Stored:
    """A PV of an archive. KeyError when the archive doesn't know it."""

    has_summaries = True

    def __init__(self, archive: Archive, name: str, start: int, end: int) -> None:
        self.start, self.end = start, end
        self._archive, self._name = archive, name
        self._batches: Iterator[Samples] | None = archive.read(name, start, end)
        self._gaps: list[Gap] | None = None

    def samples(self) -> Iterator[Samples]:
        """All of the window, with what is to be noted of single samples."""
        batches = self._batches or self._archive.read(self._name, self.start, self.end)
        self._batches = None
        return annotate(batches, self._archive.metadata_history(self._name), self.gaps(), self.start)

    def part(self, from_ns: int, to_ns: int, held: bool = False) -> Iterator[Samples]:
        """Some of the window."""
        for batch in self._archive.read(self._name, from_ns, max(from_ns, to_ns - 1)):
            low, high = np.searchsorted(batch.time_ns, [EARLIEST if held else from_ns, to_ns]).tolist()
            if low < high:
                yield batch[low:high]

    def summaries(self, unit_s: int, from_ns: int, to_ns: int) -> Iterator[Summary]:
        """Bins of the archive's tables, or made from samples where it has none."""
        return self._archive.summaries(self._name, unit_s, from_ns, to_ns)

    def gaps(self) -> list[Gap]:
        """All that connection events tell, up to the window's end."""
        if self._gaps is None:
            self._gaps = gaps_of(self._archive.connections(self._name, EARLIEST, self.end))
        return self._gaps


def after_start(batches: Batches, start_ns: int) -> Iterator[Samples]:
    """Of the samples at or before the start only the newest: the rule of every answer, also of a processed one."""
    held: Samples | None = None
    for batch in batches:
        late = int(np.searchsorted(batch.time_ns, start_ns, "right"))
        if late == len(batch):
            held = batch[late - 1 :] if late else held
            continue
        if late:
            batch = batch[late - 1 :] if late > 1 else batch
        elif held is not None:
            yield held
        held = None
        yield batch
        start_ns = EARLIEST
    if held is not None:
        yield held


def take(samples: Samples, index: np.ndarray) -> Samples:
    """The samples at these positions; a note goes with each of its sample's places."""
    return replace(
        samples,
        time_ns=samples.time_ns[index],
        severity=samples.severity[index],
        status=samples.status[index],
        values=samples.values[index],
        notes=_taken(samples.notes, index) if samples.notes else None,
    )


def _taken(notes: Mapping[int, Mapping[str, str]], index: np.ndarray) -> Mapping[int, Mapping[str, str]] | None:
    places = np.flatnonzero(np.isin(index, np.fromiter(notes, np.int64, len(notes))))
    return {int(place): notes[int(index[place])] for place in places} or None
