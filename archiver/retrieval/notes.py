"""What is noted of single samples: that the connection came back with them, and which fields of the record changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from archiver.retrieval.gaps import Gap
from archiver.store import Samples

CONNECTION = frozenset({"cnxlostepsecs", "cnxregainedepsecs", "startup", "connectionChange", "stdz"})
"""Names in notes that are no fields of a record."""

_UNCOUNTED = frozenset({"EAA_COUNT", "NELM"})
"""Metadata that are not noted."""

_Note = tuple[int, dict[str, str]]
"""`(time, note of the first sample later than it)`."""


def is_field_change(note: Mapping[str, str]) -> bool:
    """Whether a note says that fields of the record changed (`fieldactualchange` in `.raw`)."""
    return not CONNECTION.issuperset(note)


def annotate(
    batches: Iterable[Samples], history: Sequence[tuple[int, dict[str, str]]], gaps: Sequence[Gap], start_ns: int
) -> Iterator[Samples]:
    """The same samples with notes.

    The first sample after a gap gets the gap's note; the first at or after the time at which a version of the metadata
    was seen gets what is different in it (an empty text: there is no longer such a field). `history` and `gaps` are all
    that are known up to the window's end. The sample at or before `start_ns` gets no note: whether it was the first of
    its kind can't be told from here.
    """
    found = sorted([*_of_gaps(gaps), *_of_metadata(history)], key=lambda note: note[0])
    if not found:
        yield from batches
        return
    times = np.array([time_ns for time_ns, _ in found], np.int64)
    at = 0
    first = True
    for batch in batches:
        if not len(batch):
            continue
        if first and batch.time_ns[0] <= start_ns:
            at = int(np.searchsorted(times, batch.time_ns[0], "left"))
        first = False
        due = int(np.searchsorted(times, batch.time_ns[-1], "left"))
        if due <= at:
            yield batch
            continue
        rows = np.searchsorted(batch.time_ns, times[at:due], "right").tolist()
        notes: dict[int, dict[str, str]] = {}
        for row, (_, note) in zip(rows, found[at:due], strict=True):
            old = notes.setdefault(row, {})
            if "cnxlostepsecs" in note:
                old.pop("startup", None)
            old.update(note)
        at = due
        yield replace(batch, notes={**(batch.notes or {}), **notes})


def _of_gaps(gaps: Sequence[Gap]) -> Iterator[_Note]:
    for gap in gaps:
        if gap.found_ns is not None:
            yield int(np.iinfo(np.int64).min) if gap.lost_ns is None else gap.lost_ns, gap.note


def _of_metadata(history: Sequence[tuple[int, dict[str, str]]]) -> Iterator[_Note]:
    known: dict[str, str] = {}
    for seen_ns, version in history:
        changed = {key: value for key, value in version.items() if known.get(key) != value}
        changed |= {key: "" for key in known if key not in version}
        known = version
        changed = {key: value for key, value in changed.items() if key not in _UNCOUNTED}
        if changed:
            yield seen_ns - 1, changed
