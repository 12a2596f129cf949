"""Dead-bands: a number is kept when it differs from the last kept one by more than the PV's band."""

from __future__ import annotations

import numpy as np

from archiver.store.log import take
from archiver.store.records import Columns
from owlshift.ca.protocol import Dbr

NUMERIC = (Dbr.SHORT, Dbr.FLOAT, Dbr.CHAR, Dbr.LONG, Dbr.DOUBLE)

FEW = 16
"""Below so many PVs with a further sample, going on sample by sample is faster than array by array."""


class DeadbandFilter:
    """Leaves out samples within their PV's dead-band.

    Always kept: a PV's first sample, the first after it connected again, a change of severity, of NaN to a number or
    back, and whatever is no scalar number.
    """

    def __init__(self) -> None:
        self._value = np.zeros(0)
        self._severity = np.zeros(0, np.uint8)
        self._known = np.zeros(0, bool)

    def forget(self, pvs: np.ndarray) -> None:
        """Keep the next sample of these PVs (u4 ids), whatever it is."""
        self._known[pvs[pvs < len(self._known)]] = False

    def split(self, columns: Columns, deadband: np.ndarray) -> tuple[Columns, np.ndarray]:
        """What is kept of `columns`, and the PV ids of what isn't. `deadband`: f8 by PV id, 0 keeps everything."""
        none = np.zeros(0, np.uint32)
        if columns.array or columns.dbr not in NUMERIC:
            return columns, none
        bands = np.take(deadband, columns.pv, mode="clip")
        rows = np.flatnonzero(bands > 0)
        if not len(rows):
            return columns, none
        pv = columns.pv[rows]
        if (highest := int(pv.max())) >= len(self._known):
            self._grow(max(highest + 1, 2 * len(self._known)))
        keep = np.ones(len(columns), bool)
        keep[rows] = self._kept(pv, columns.values[rows].astype(np.float64), columns.severity[rows], bands[rows])
        return take(columns, keep), columns.pv[~keep]

    def _grow(self, size: int) -> None:
        more = size - len(self._known)
        self._value = np.concatenate((self._value, np.zeros(more)))
        self._severity = np.concatenate((self._severity, np.zeros(more, np.uint8)))
        self._known = np.concatenate((self._known, np.zeros(more, bool)))

    def _kept(self, pv: np.ndarray, value: np.ndarray, severity: np.ndarray, band: np.ndarray) -> np.ndarray:
        """Which samples are kept. All first samples of a PV are looked at together, then all second ones, and so on."""
        keep = np.zeros(len(pv), bool)
        by_pv = np.argsort(pv, kind="stable")
        starts = np.concatenate(([0], np.flatnonzero(np.diff(pv[by_pv])) + 1))
        lengths = np.diff(np.append(starts, len(pv)))
        turn = 0
        while len(starts) >= FEW:
            rows = by_pv[starts + turn]
            ids, v, s = pv[rows], value[rows], severity[rows]
            good = self._differs(ids, v, s, band[rows])
            keep[rows[good]] = True
            self._value[ids[good]], self._severity[ids[good]], self._known[ids] = v[good], s[good], True
            turn += 1
            more = lengths > turn
            starts, lengths = starts[more], lengths[more]
        for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
            rows = by_pv[start + turn : start + length]
            keep[rows] = self._one(int(pv[rows[0]]), value[rows], severity[rows], float(band[rows[0]]))
        return keep

    def _differs(self, ids: np.ndarray, value: np.ndarray, severity: np.ndarray, band: np.ndarray) -> np.ndarray:
        last = self._value[ids]
        with np.errstate(invalid="ignore"):  # the difference of equal infinities
            far = np.abs(value - last) > band
        far |= np.isnan(value) != np.isnan(last)
        return far | (severity != self._severity[ids]) | ~self._known[ids]

    def _one(self, pv: int, value: np.ndarray, severity: np.ndarray, band: float) -> np.ndarray:
        """The same for the samples of one PV, one after the other."""
        last, last_severity, known = float(self._value[pv]), int(self._severity[pv]), bool(self._known[pv])
        keep = []
        for v, s in zip(value.tolist(), severity.tolist(), strict=True):
            good = not known or s != last_severity or abs(v - last) > band or (v != v) != (last != last)
            if good:
                last, last_severity, known = v, s, True
            keep.append(good)
        self._value[pv], self._severity[pv], self._known[pv] = last, last_severity, known
        return np.array(keep, bool)
