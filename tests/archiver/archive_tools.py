"""What the archiver's tests share: writing and reading a store, and a model of it that is too simple to be wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from archiver.store import Columns, Dbr, StoreReader, StoreWriter
from archiver.store.samples import VALUE_DTYPES

EVER = 2**62


def columns_of(
    dbr: Dbr, pv: Sequence[int], time_ns: Sequence[int], values: Sequence[Any], array: bool = False
) -> Columns:
    """Columns of plain lists; values of arrays all have one length."""
    n = len(pv)
    made = np.array([v.encode() if isinstance(v, str) else v for v in values] if not array else values)
    if dbr is Dbr.STRING:
        made = np.array([[s.encode() for s in v] for v in values] if array else [v.encode() for v in values], "S40")
    made = made.astype(VALUE_DTYPES[dbr])
    if array and made.ndim == 1:
        made = made.reshape(n, -1)
    return Columns(
        dbr,
        array,
        np.array(pv, np.uint32),
        np.array(time_ns, np.int64),
        (np.array(time_ns) % 4).astype(np.uint8),
        (np.array(time_ns) % 20).astype(np.uint8),
        made,
    )


def flat(reader: StoreReader, name: str, from_ns: int = 0, to_ns: int = EVER) -> list[tuple[Dbr, bool, int, Any]]:
    """Everything a read gives, one tuple (type, array, time, value) for each sample."""
    result = []
    for piece in reader.read(name, from_ns, to_ns):
        assert len(piece) > 0
        assert piece.severity.tolist() == (piece.time_ns % 4).tolist()
        assert piece.status.tolist() == (piece.time_ns % 20).tolist()
        for time_ns, value in zip(piece.time_ns.tolist(), piece.values, strict=True):
            plain = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
            result.append((piece.dbr, piece.array, time_ns, plain))
    times = [row[2] for row in result]
    assert times == sorted(set(times)), "times must ascend"
    return result


class Model:
    """What a store must hold: the order rule, one sample at a time."""

    def __init__(self) -> None:
        self.samples: dict[str, list[tuple[Dbr, bool, int, Any]]] = {}
        self.dropped: Counter[str] = Counter()
        self.received = 0

    def write(self, name: str, dbr: Dbr, array: bool, time_ns: int, value: Any) -> None:
        self.received += 1
        mine = self.samples.setdefault(name, [])
        if mine and time_ns == mine[-1][2]:
            self.dropped["duplicate"] += 1
        elif mine and time_ns < mine[-1][2]:
            self.dropped["out_of_order"] += 1
        else:
            mine.append((dbr, array, time_ns, value))

    def read(self, name: str, from_ns: int, to_ns: int) -> list[tuple[Dbr, bool, int, Any]]:
        mine = [row for row in self.samples.get(name, []) if row[2] <= to_ns]
        before = [row for row in mine if row[2] <= from_ns]
        return before[-1:] + [row for row in mine if row[2] > from_ns]


def opened(folder: Path) -> StoreWriter:
    """A writer of the store in `folder`."""
    writer = StoreWriter(folder)
    writer.open()
    return writer


def counted(totals: dict[str, int]) -> tuple[int, int]:
    """Received, and stored plus dropped, of an archive's totals: they must be equal."""
    dropped = sum(n for key, n in totals.items() if key.startswith("dropped."))
    return totals.get("received", 0), totals.get("stored", 0) + dropped
