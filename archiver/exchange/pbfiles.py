"""Export into the Archiver Appliance's own files (its PlainPB store): for moving out, and for programs that read those.

ROOT/LN/AM/RAD:2026.pb    the samples of LN:AM:RAD of 2026: in the path `/` stands for each `:` and `-` of the name

A file is a header line (PayloadInfo, with units, limits and so on) and a line a sample. It holds samples of one PV, one
type and one year, month, day or hour (UTC). What would need a file that is taken goes beside, below a root of its own:

ROOT/other-type-2/…       samples of a further type within the same year (month, …)
ROOT/same-path-2/…        a PV whose name differs from another's in `:`, `-` and `/` alone

Paths of PVs hold no `-`, so these are in nobody's way, and each is a root that an appliance could take.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np

from archiver.client.access import Noted
from archiver.exchange.paths import Partition, path_of
from archiver.exchange.sinks import ExportError
from archiver.retrieval import blocks, pb
from archiver.store import Samples

PIECE = 1 << 20


_UNIT = {Partition.YEAR: "Y", Partition.MONTH: "M", Partition.DAY: "D", Partition.HOUR: "h"}


def parted(samples: Samples, partition: Partition) -> Iterator[tuple[str, Samples]]:
    """The samples of each partition, with its name: 2026, 2026_11, 2026_11_20 or 2026_11_20_08 (UTC)."""
    number = samples.time_ns.view("M8[ns]").astype(f"M8[{_UNIT[partition]}]")
    bounds = [0, *(np.flatnonzero(np.diff(number.view("i8"))) + 1).tolist(), len(samples)]
    for start, end in pairwise(bounds):
        if start < end:
            yield re.sub("[-T]", "_", str(number[start])), samples[start:end]


class PbFolder:
    """The files of many PVs, of the samples from `start_ns` up to but not including `end_ns` (unix ns).

    A file appears when it is whole. One that is there already is replaced only where nothing is lost by that: when the
    new one begins with all that it holds.
    """

    def __init__(self, root: Path, partition: Partition, start_ns: int, end_ns: int) -> None:
        self._root, self._partition = root, partition
        self._start_ns, self._end_ns = start_ns, end_ns
        self._names: dict[Path, list[str]] = {}
        self.files = 0
        """Files written so far."""
        self.remarks: list[str] = []
        """What lies elsewhere than an appliance would look for it."""

    def add(self, reading: Noted, count: Callable[[int], None]) -> None:
        """All samples of a PV; `count` is told of each batch how many it has."""
        try:
            path = path_of(reading.name)
        except ValueError as error:
            raise ExportError(str(error)) from None
        names = self._names.setdefault(path, [])
        if reading.name in names:  # asked for by an alias too
            return
        names.append(reading.name)
        root = self._root
        if len(names) > 1:
            root /= f"same-path-{len(names)}"
            self.remarks.append(f"{reading.name} has the path of {names[0]}, and is in {root}")
        writer = _Writer(root, path, reading)
        try:
            for batch in reading.batches:
                low, high = np.searchsorted(batch.time_ns, [self._start_ns, self._end_ns]).tolist()
                for name, part in parted(batch[low:high], self._partition):
                    writer.add(name, part)
                count(high - low)
            writer.finish()
        except BaseException:
            writer.abandon()
            raise
        self.files += writer.files
        self.remarks += writer.remarks


class _Writer:
    """The files of one PV; those of one partition are open at a time, one of each type."""

    def __init__(self, root: Path, path: Path, reading: Noted) -> None:
        self._root, self._path, self._reading = root, path, reading
        self._partition = ""
        self._open: dict[tuple[int, bool], _File] = {}
        self.files = 0
        self.remarks: list[str] = []

    def add(self, partition: str, samples: Samples) -> None:
        """More samples, all of one partition."""
        if partition != self._partition:
            self.finish()
            self._partition = partition
        kind = int(samples.dbr), samples.array
        file = self._open.get(kind)
        if file is None:
            file = self._open[kind] = _File(self._place(len(self._open)))
            file.write(self._header(samples))
        start_s = blocks.year_start_s(blocks.year_of(int(samples.time_ns[0])))
        for block in blocks.blocks(samples):
            file.write(pb.encode_block(block, start_s))

    def _place(self, taken: int) -> Path:
        root = self._root
        if taken:
            root /= f"other-type-{taken + 1}"
            self.remarks.append(f"{self._reading.name} changes its type in {self._partition}: see {root}")
        return root / self._path.with_name(f"{self._path.name}{self._partition}.pb")

    def _header(self, samples: Samples) -> bytes:
        count = samples.count if samples.count >= 0 else max(map(len, samples.values))
        payload = pb.payload_of(samples.dbr, samples.array)
        year = blocks.year_of(int(samples.time_ns[0]))
        return pb.header(payload, self._reading.name, year, count, self._reading.metadata)

    def finish(self) -> None:
        """What was begun becomes files."""
        while self._open:
            kind = next(iter(self._open))
            self._open[kind].finish()
            del self._open[kind]
            self.files += 1

    def abandon(self) -> None:
        """What was begun is not wanted any more."""
        for file in self._open.values():
            file.abandon()
        self._open.clear()


class _File:
    """A file that is being written under another name."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(f"{path.name}.part")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self._part, "wb")

    def write(self, data: bytes) -> None:
        self._file.write(data)

    def finish(self) -> None:
        self._file.close()
        if self._path.exists() and not _begins_with(self._part, self._path):
            raise ExportError(f"{self._path} is there already, and holds other samples: write into another folder")
        self._part.replace(self._path)

    def abandon(self) -> None:
        try:
            self._file.close()
        finally:
            self._part.unlink(missing_ok=True)


def _begins_with(longer: Path, shorter: Path) -> bool:
    """Whether a file begins with all bytes of another."""

    def pieces(file: BinaryIO) -> Iterator[bytes]:
        while piece := file.read(PIECE):
            yield piece

    with open(longer, "rb") as one, open(shorter, "rb") as other:
        return all(one.read(len(piece)) == piece for piece in pieces(other))
