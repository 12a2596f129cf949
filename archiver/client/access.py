"""A way to an archive: what the HTTP one and the one over files have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

if TYPE_CHECKING:
    from archiver.store.samples import Samples

NS = 1_000_000_000


class ArchiveError(Exception):
    """The archive does not give what was asked for; str() is one clear line."""


class UnknownPv(ArchiveError):  # noqa: N818
    """The archive has no such PV."""


@dataclass(frozen=True)
class Reading:
    """What the archive has of one PV.

    `batches`: its samples as Arrow (time, value, severity, status), to be gone through once; the type of `value` may
    change from one to the next. `metadata` as strings: EGU, PREC, ENUM_0 and so on. `notes`: what is to be said of the
    answer, for example that an operator is not for this type.
    """

    name: str
    metadata: dict[str, str]
    batches: Iterator[pa.RecordBatch] = field(compare=False)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Noted:
    """As `Reading`, but as the store has samples, with what is noted of single ones (lost connections, changed fields).

    `batches`: to be gone through once; types may change from one to the next.
    """

    name: str
    metadata: dict[str, str]
    batches: Iterator[Samples] = field(compare=False)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sample:
    """One sample of a PV. `time_ns`: unix nanoseconds. `metadata` as strings: EGU, PREC, ENUM_0 and so on."""

    name: str
    time_ns: int
    value: Any
    severity: int
    status: int
    metadata: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def time(self) -> datetime:
        """Its time stamp, UTC, to the microsecond."""
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=self.time_ns // 1000)


class Way(Protocol):
    """A way to an archive. What goes wrong is an `ArchiveError`."""

    place: str
    """Where it is, for messages."""

    def names(self, glob: str, limit: int = -1) -> list[str]:
        """Names of archived PVs, sorted."""
        ...

    def metadata(self, pv: str) -> dict[str, str]:
        """What getMetadata says."""
        ...

    def read(self, pv: str, start_ns: int, end_ns: int) -> Reading:
        """Samples from the newest at or before the start to the end; `pv` may be `mean_60(PV)`."""
        ...

    def noted(self, pv: str, start_ns: int, end_ns: int) -> Noted:
        """As `read`, with the notes of single samples."""
        ...

    def at(self, pvs: Sequence[str], at_ns: int) -> dict[str, Sample]:
        """The newest sample of each PV at or before a time; those that have none are left out."""
        ...

    def json(self, pv: str, start_ns: int, end_ns: int) -> Iterator[bytes]:
        """The same as `read`, as the bytes of `getData.json`."""
        ...

    def facts(self) -> list[tuple[str, str]]:
        """What there is to say of it."""
        ...

    def close(self) -> None:
        """Let go of files."""
        ...


def way_to(where: str | Path) -> Way:
    """The way to an address (`http://host:17665`) or a folder; ArchiveError for what is neither."""
    if isinstance(where, str) and where.startswith(("http://", "https://")):
        from archiver.client.http_access import HttpArchive

        return HttpArchive(where)
    if isinstance(where, str) and "://" in where:
        raise ArchiveError(f"{where!r} is no address of an archiver; write for example http://127.0.0.1:17665")
    from archiver.client.folder_access import FolderArchive

    return FolderArchive(Path(where))
