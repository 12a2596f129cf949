"""Import: events from anywhere become samples of an archive, and a report says what was taken and what not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from archiver.client.raw import GENERIC, kind_name
from archiver.client.samples import samples_of
from archiver.config import ArchiverConfig
from archiver.engine.share import owner
from archiver.exchange.sources import Source
from archiver.store.incoming import Importer

COMMIT = 50_000_000
"""Samples after which what was read so far is handed to the archive."""

DYNAMIC = frozenset({"cnxlostepsecs", "cnxregainedepsecs", "startup", "resume", "connectionChange", "stdz"})
"""Field values that say something of an event, and nothing of the PV."""


@dataclass
class Taken:
    """What came of an import.

    `new`: samples that are stored now. `duplicates`: that were there already. `bad_times`: from before 1991, or more
    than half an hour from now. `structures`: pvAccess structures, which are no value of Channel Access. `bad_lines`:
    lines that were no event. `skipped`: what was left out, wholly or in part, and why. `waiting`: a running engine will
    take it in.
    """

    sources: int = 0
    pvs: set[str] = field(default_factory=set)
    read: int = 0
    new: int = 0
    duplicates: int = 0
    bad_times: int = 0
    structures: int = 0
    bad_lines: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    waiting: bool = False


Step = Callable[[Source, Taken], None]


class Taker:
    """Takes in sources, one after the other; what was not handed over on the way counts only after `finish`."""

    def __init__(
        self, folder: Path, config: ArchiverConfig | None = None, trust_header: bool = False, timeout: float = 60.0
    ) -> None:
        self._folder = folder
        self._stores = _stores(folder, config)
        self._pins = config.pin if config is not None else ()
        self._trust_header = trust_header
        self._timeout = timeout
        self._importers: dict[str, Importer] = {}
        self._waiting = 0
        self.taken = Taken()

    def take(self, source: Source, step: Step | None = None) -> None:
        """Take in all of a source; OSError when the disk is full."""
        taken = self.taken
        taken.sources += 1
        wrong_year = None
        metadata: dict[str, dict[str, str]] = {}
        for block in source.blocks():
            header = block.header
            if source.year is not None and header.year != source.year and not self._trust_header:
                wrong_year = f"its header is of {header.year}, its name of {source.year}"
                break
            if header.payload == GENERIC:
                taken.structures += len(block)
                continue
            if len(block):
                known = metadata.setdefault(header.name, dict(header.metadata))
                for fields in block.fields.values():
                    known.update((key, value) for key, value in fields.items() if key not in DYNAMIC)
                self._importer(header.name).add(header.name, samples_of(block), known)
                taken.pvs.add(header.name)
                taken.read += len(block)
                taken.kinds[kind_name(header.payload)] += len(block)
                self._waiting += len(block)
            if step is not None:
                step(source, taken)
            if self._waiting > COMMIT:
                self._commit()
        taken.bad_lines += source.bad
        if why := wrong_year or source.problem:
            taken.skipped.append((source.name, why))

    def _importer(self, pv: str) -> Importer:
        engine = owner(pv, list(self._stores), self._pins) if len(self._stores) > 1 else next(iter(self._stores))
        if engine not in self._importers:
            self._importers[engine] = Importer(self._stores[engine])
        return self._importers[engine]

    def finish(self) -> Taken:
        """Hand over what is left; returns the report."""
        self._commit()
        if self.taken.structures:
            why = "pvAccess structures are no values of Channel Access"
            self.taken.skipped.append((f"{self.taken.structures} samples", why))
        return self.taken

    def abort(self) -> None:
        """Forget what has not been handed over."""
        for importer in self._importers.values():
            importer.abort()

    def _commit(self) -> None:
        importers, self._importers, self._waiting = self._importers, {}, 0
        for importer in importers.values():
            report = importer.commit(self._timeout)
            self.taken.new += report.samples
            self.taken.duplicates += report.duplicates
            self.taken.bad_times += report.bad_times
            self.taken.waiting |= report.waiting


def _stores(folder: Path, config: ArchiverConfig | None) -> dict[str, Path]:
    """The stores of an archive by their engines' names."""
    names: Sequence[str] = config.engines if config is not None else ()
    if not names:
        names = sorted(path.name for path in folder.glob("engines/*") if path.is_dir())
    return {name: folder / "engines" / name for name in names} or {"": folder}


def take_all(taker: Taker, sources: Iterable[Source], step: Step | None = None) -> Taken:
    """Take in all sources; what was not handed over is gone when that fails."""
    try:
        for source in sources:
            taker.take(source, step)
        return taker.finish()
    except BaseException:
        taker.abort()
        raise
