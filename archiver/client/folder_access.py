"""An archive read from its files, whether an engine runs or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from archiver.client.access import ArchiveError, Noted, Reading, Sample, UnknownPv
from archiver.client.columns import in_order
from archiver.management import Ledger, LedgerError
from archiver.retrieval import at_time, catalogue, source
from archiver.retrieval.query import DataRequest, Refused, parse_target
from archiver.retrieval.resolve import Names
from archiver.store import StoreError
from archiver.store.batches import batch_of
from archiver.store.group import Reader, open_reader

T = TypeVar("T")


class FolderArchive:
    """The archive in a folder."""

    def __init__(self, folder: Path) -> None:
        folder = folder.expanduser()
        if not folder.is_dir():
            raise ArchiveError(f"there is no folder {folder}")
        self.place = str(folder)
        self.folder = folder
        self.reader: Reader = open_reader(folder)
        path = folder / "manage.db"
        self._ledger = Ledger(path, writable=False) if path.exists() else None
        self._names = Names(self.reader, self._ledger)

    def close(self) -> None:
        """Close all files."""
        self.reader.close()
        if self._ledger is not None:
            self._ledger.close()

    def names(self, glob: str, limit: int = -1) -> list[str]:
        """Names of archived PVs, sorted."""
        return self._try(lambda: catalogue.matching(self._names.listed(), {"pv": glob, "limit": str(limit)}))

    def metadata(self, pv: str) -> dict[str, str]:
        """What getMetadata says."""
        return self._try(lambda: catalogue.metadata(self._find(pv).info))

    def json(self, pv: str, start_ns: int, end_ns: int) -> Iterator[bytes]:
        """The bytes of `getData.json`."""
        from archiver.retrieval.text import json_stream

        answer = self._answer(pv, start_ns, end_ns)
        return json_stream([({"name": answer.name, **answer.metadata}, answer.batches)])

    def read(self, pv: str, start_ns: int, end_ns: int) -> Reading:
        """Samples, as they are read."""
        target = self._try(lambda: parse_target(pv))
        found = self._try(lambda: self._find(target.name))
        if target.operator is None and found.field is None and self.reader.has(found.info.name):
            info = found.info
            batches = self._try(lambda: self.reader.read_arrow(info.name, start_ns, end_ns))
            metadata = source.headers(info.metadata, latest=True)
            return Reading(info.name, metadata, self._each(in_order(b) for b in batches))
        answer = self._answer(pv, start_ns, end_ns)
        batches = self._each(in_order(batch_of(b)) for b in answer.batches if len(b))
        return Reading(answer.name, answer.metadata, batches, tuple(answer.warnings))

    def noted(self, pv: str, start_ns: int, end_ns: int) -> Noted:
        """As `read`, with the notes of single samples."""
        answer = self._answer(pv, start_ns, end_ns)
        return Noted(answer.name, answer.metadata, self._each(answer.batches), tuple(answer.warnings))

    def at(self, pvs: Sequence[str], at_ns: int) -> dict[str, Sample]:
        """The newest sample of each PV at or before a time."""
        rows = self._try(lambda: list(at_time.found(self.reader, self._names, list(pvs), at_ns)))
        found = {}
        for name, samples, metadata in rows:
            value = batch_of(samples).column("value")[0].as_py()
            severity, status = int(samples.severity[0]), int(samples.status[0])
            found[name] = Sample(name, int(samples.time_ns[0]), value, severity, status, metadata)
        return found

    def facts(self) -> list[tuple[str, str]]:
        """What there is to say of it."""
        engine = self.reader.status() or {}
        facts = [("archive", self.place), ("PVs", str(len(self.names("*"))))]
        return facts + [(f"engine {k}", str(v)) for k, v in engine.items() if isinstance(v, (str, int, float))]

    def _find(self, name: str) -> source.Found:
        return source.find(self.reader, self._names, name)

    def _answer(self, pv: str, start_ns: int, end_ns: int) -> source.Answer:
        def opened() -> source.Answer:
            target = parse_target(pv)
            request = DataRequest((target,), ((start_ns, end_ns),), True)
            return source.begun(source.open_answer(self.reader, self._names, target, request))

        return self._try(opened)

    def _try(self, work: Callable[[], T]) -> T:
        with self._errors():
            return work()

    def _each(self, batches: Iterator) -> Iterator:
        with self._errors():
            yield from batches

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except Refused as refused:
            if refused.status == 404 and refused.sentence.startswith("Unable to find"):
                name = refused.sentence.rsplit(" ", 1)[-1]
                raise UnknownPv(f"{name} is not in the archive in {self.place}") from None
            raise ArchiveError(refused.sentence) from None
        except (StoreError, LedgerError, OSError) as error:
            raise ArchiveError(f"the archive in {self.place} cannot be read: {error}") from None
