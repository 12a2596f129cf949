"""What the store keeps: samples in columns, and what is known of a PV."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from owlshift.ca import Dbr

STRING_SIZE = 40
"""Bytes of a Channel Access string, its NUL included."""

VALUE_DTYPES: dict[Dbr, np.dtype] = {
    Dbr.STRING: np.dtype("S40"),
    Dbr.SHORT: np.dtype("<i2"),
    Dbr.FLOAT: np.dtype("<f4"),
    Dbr.ENUM: np.dtype("<u2"),
    Dbr.CHAR: np.dtype("u1"),
    Dbr.LONG: np.dtype("<i4"),
    Dbr.DOUBLE: np.dtype("<f8"),
}
"""How one element is kept in the log, little-endian."""


@dataclass(frozen=True)
class Samples:
    """Samples of one PV, in one type, with strictly increasing times.

    `time_ns`: i8[n], nanoseconds since 1970 UTC. `severity`: u1[n]. `status`: u2[n].
    `values`: scalars (`array` false): (n,) of the type's dtype, strings as an object array of `str`.
    Arrays: (n, count) when all are equally long, else a 1-D object array of 1-D arrays.
    `notes`: what is to be said of single samples beside their values (row -> name -> text); what comes from disk has
    none, retrieval adds them.
    """

    dbr: Dbr
    array: bool
    time_ns: np.ndarray
    severity: np.ndarray
    status: np.ndarray
    values: np.ndarray
    notes: Mapping[int, Mapping[str, str]] | None = None

    def __len__(self) -> int:
        return len(self.time_ns)

    @property
    def count(self) -> int:
        """Elements per sample; -1 when it varies."""
        if not self.array:
            return 1
        return int(self.values.shape[1]) if self.values.ndim == 2 else -1

    def __getitem__(self, rows: slice) -> Samples:
        notes = self.notes
        if notes:
            chosen = range(*rows.indices(len(self)))
            notes = {chosen.index(row): note for row, note in notes.items() if row in chosen}
        return Samples(
            self.dbr,
            self.array,
            self.time_ns[rows],
            self.severity[rows],
            self.status[rows],
            self.values[rows],
            notes or None,
        )


@dataclass(frozen=True)
class PvInfo:
    """What is known of one archived PV.

    `count`: elements of the PV (its NELM). `first_ns`, `last_ns`: its oldest and newest sample, None if it has none.
    `metadata`: newest known, as strings: EGU PREC LOPR HOPR LOW HIGH LOLO HIHI DRVL DRVH ENUM_0… EAA_COUNT NELM DESC.
    `array`: whether its newest sample is one, be it of one element.
    """

    name: str
    dbr: Dbr | None
    count: int
    first_ns: int | None
    last_ns: int | None
    metadata: dict[str, str] = field(default_factory=dict)
    array: bool = False

    @property
    def is_array(self) -> bool:
        """Whether its samples are arrays."""
        return self.array or self.count != 1


@dataclass
class PvData:
    """What an answer on a PV is made of.

    `samples`: in pieces, ascending in time; None when they were taken. `history`: versions of its metadata with the
    times (ns) they were first seen. `connections`: when it was lost and found, oldest first.
    """

    samples: list[Samples] | None
    history: list[tuple[int, dict[str, str]]]
    connections: list[tuple[int, str]]


@dataclass(slots=True)
class PvTotals:
    """What is stored of one PV, for reports.

    `dbr`, `array`: the type of its newest sample, `dbr` None when it has none. `count`: its elements. `first_ns`,
    `last_ns`: its oldest and newest sample (ns), None for none. `samples`: in segments and the log. `bytes`: an
    estimate, by the average sample of its segments.
    """

    name: str
    dbr: Dbr | None
    array: bool
    count: int
    first_ns: int | None
    last_ns: int | None
    samples: int
    bytes: int


class Channels(NamedTuple):
    """`table`: structured array by PV id, at least oldest, newest (i8, ns), samples (u8) and kinds; `names`: by id.

    An id that `names` doesn't have is no PV.
    """

    table: np.ndarray
    names: dict[int, str]
