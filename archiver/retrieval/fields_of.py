"""Fields of archived PVs (`X.HIHI`, `X.DESC`), as streams made of the versions of their metadata that were kept.

Every change of the field is a sample at the time it was first seen. Limits and the like are doubles, and so is what was
always a number; the rest are strings. Where a version of the metadata no longer has the field there is a NaN, or an
empty string, and INVALID.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from archiver.retrieval.notes import annotate
from archiver.retrieval.operators.source import Archive
from archiver.store import Dbr, PvInfo, Samples

__all__ = ["annotate", "info", "names", "read"]

NUMERIC = frozenset("LOPR HOPR LOW HIGH LOLO HIHI DRVL DRVH PREC ADEL MDEL HYST NELM EAA_COUNT".split())
"""Fields that are numbers, whatever they contain."""

TEXT = frozenset("DESC EGU NAME RTYP DTYP SCAN".split())
"""Fields that are text, even if it is that of a number; so are ENUM_0 and so on."""

INVALID, UDF = 3, 17
"""Severity and status of a sample that says that there is no longer such a field."""


def names(archive: Archive, name: str) -> list[str]:
    """The fields that a PV has, or had."""
    return sorted({field for _, version in archive.metadata_history(name) for field in version})


def info(archive: Archive, name: str, field: str) -> PvInfo | None:
    """What is known of a field of a PV, as of a PV of its own; None when no version of the metadata has it.

    Limits have the PV's units and precision.
    """
    history = archive.metadata_history(name)
    changes = _changes(history, field)
    if not changes:
        return None
    numeric = _is_numeric(field, changes)
    newest = history[-1][1]
    metadata = {key: newest[key] for key in ("EGU", "PREC") if numeric and key in newest and field != "PREC"}
    dbr = Dbr.DOUBLE if numeric else Dbr.STRING
    return PvInfo(f"{name}.{field}", dbr, 1, changes[0][0], changes[-1][0], metadata)


def read(archive: Archive, name: str, field: str, from_ns: int, to_ns: int) -> Iterator[Samples]:
    """The values of a field: the newest at or before `from_ns` first, then all up to and including `to_ns`."""
    changes = _changes(archive.metadata_history(name), field)
    if not changes:
        return
    times = np.array([time_ns for time_ns, _ in changes], np.int64)
    low = max(int(np.searchsorted(times, from_ns, "right")) - 1, 0)
    high = int(np.searchsorted(times, to_ns, "right"))
    if high <= low:
        return
    texts = [text for _, text in changes[low:high]]
    gone = np.array([text is None for text in texts])
    if _is_numeric(field, changes):
        dbr, values = Dbr.DOUBLE, np.array([_number(text) for text in texts])
        gone |= np.isnan(values)
    else:
        dbr, values = Dbr.STRING, np.array([text or "" for text in texts], object)
    severity, status = np.where(gone, INVALID, 0).astype(np.uint8), np.where(gone, UDF, 0).astype(np.uint16)
    yield Samples(dbr, False, times[low:high], severity, status, values)


def _changes(history: Sequence[tuple[int, dict[str, str]]], field: str) -> list[tuple[int, str | None]]:
    """When the field changed, and what to; None: there is none any more. Times ascend strictly."""
    changes: list[tuple[int, str | None]] = []
    for seen_ns, version in history:
        value = version.get(field)
        if value == (changes[-1][1] if changes else None):
            continue
        if changes and seen_ns <= changes[-1][0]:
            changes[-1] = (changes[-1][0], value)
        else:
            changes.append((seen_ns, value))
    return changes


def _is_numeric(field: str, changes: Sequence[tuple[int, str | None]]) -> bool:
    if field in NUMERIC or field in TEXT or field.startswith("ENUM_"):
        return field in NUMERIC
    return all(text is None or not math.isnan(_number(text)) for _, text in changes)


def _number(text: str | None) -> float:
    try:
        return float(text) if text is not None else math.nan
    except ValueError:
        return math.nan
