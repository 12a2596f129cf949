"""What all formats of export have in common."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from archiver.client.access import ArchiveError, Reading
from archiver.client.moments import iso_text

FORMAT = "owlshift-archive-export"
VERSION = "1"


class ExportError(ArchiveError):
    """What was asked for can't be written in this format; str() is one clear line."""


@dataclass(frozen=True)
class Window:
    """What is exported: the start and end (unix ns), the operator, and where it comes from."""

    start_ns: int
    end_ns: int
    operator: str | None
    source: str

    def attributes(self) -> dict[str, str]:
        """It as texts, for a file that can hold such."""
        found = {"from": iso_text(self.start_ns), "to": iso_text(self.end_ns), "source": self.source}
        return found | ({"operator": self.operator} if self.operator else {})


class Sink(Protocol):
    """A file that is being written, PV after PV."""

    def add(self, reading: Reading, count: Callable[[int], None]) -> None:
        """All samples of a PV; `count` is told of each batch how many it has."""
        ...

    def close(self) -> None:
        """Write what has waited; the file is whole afterwards."""
        ...

    def abandon(self) -> None:
        """Close the file as it is: it is not wanted any more."""
        ...


@dataclass
class Names:
    """Names of PVs as a format can have them, each once."""

    allowed: str
    """Characters that stay, as a class of a regular expression; all others become `_`."""
    longest: int = 200
    first: str = ""
    """What a name begins with that would begin with a digit."""
    _taken: set[str] = field(default_factory=set)

    def of(self, pv: str) -> str:
        """A name that no other PV has."""
        plain = re.sub(rf"[^{self.allowed}]", "_", pv)
        if self.first and not plain[:1].isalpha():
            plain = self.first + plain
        plain = plain[: self.longest]
        found, number = plain, 1
        while found in self._taken:
            number += 1
            found = f"{plain[: self.longest - 1 - len(str(number))]}_{number}"
        self._taken.add(found)
        return found


def export(readings: Iterator[Reading], sink: Sink, step: Callable[[int, int], None] | None = None) -> tuple[int, int]:
    """Put all readings into a sink; returns PVs and samples. `step(pvs, samples)` is told how far it is."""
    pvs = samples = 0

    def count(rows: int) -> None:
        nonlocal samples
        samples += rows
        if step is not None:
            step(pvs, samples)

    try:
        for reading in readings:
            sink.add(reading, count)
            pvs += 1
            if step is not None:
                step(pvs, samples)
        sink.close()
    except BaseException:
        sink.abandon()
        raise
    return pvs, samples


def sink_for(kind: str, path: Path, window: Window, many: bool) -> Sink:
    """The sink of a format: parquet, csv, hdf5 or mat; `many`: for more than one PV."""
    if kind == "hdf5":
        from archiver.exchange.hdf5 import Hdf5Sink

        return Hdf5Sink(path, window)
    if kind == "mat":
        from archiver.exchange.matlab import MatlabSink

        return MatlabSink(path, window)
    if kind == "csv":
        from archiver.exchange.flat import CsvSink

        return CsvSink(path, many)
    from archiver.exchange.flat import ParquetSink

    return ParquetSink(path, window, many)
