"""Which samples are kept, and in which order: the one place where that is decided, for the engine and for readers.

Samples of one PV are kept in the order they came, and only while their time goes forward:

- a time equal to the PV's newest kept sample is a `duplicate`. Channel Access sends the present value again after every
  (re)connect and after every restart of the engine; that is the same sample, not a new one.
- a time before it is `out_of_order` (a clock that was set back, a device that stamps by itself). Such a sample can't be
  told from a wrong one, and everything that reads an archive relies on ascending times.

What follows from that, and from the recorder's rule that drops times before 1991 and those more than `future` seconds
ahead of this machine's clock:

- A PV whose clock is set back has no samples until its clock is where it was; one whose clock is set forward (by less
  than `future`) and then right again, neither. Each of these samples is counted, in total and for its PV.
- This machine's own clock decides of the future only, of the day by which segments are merged, and of retention, but
  there no further than a day after the newest sample. Its steps change neither times nor the order of samples.
- The rule knows no types. A PV that changes its type goes on with the same rule: an equal time with another type is a
  duplicate too, and samples of both types come in one ascending sequence.
- Nanoseconds are kept as they come: times that differ by one are two samples.
- Imports are beside this rule: their samples may lie anywhere, those with a time that the PV has are duplicates, and
  the order rule goes on from the newest live sample.

Drops are counted, never silently lost. The Archiver Appliance drops the same samples, but doesn't count the equal ones.
The rule is applied when a log becomes a segment, and in the same way to what readers see of the log.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

OLDEST_NS = 662688000 * 10**9
"""1991-01-01: EPICS time begins in 1990, and nothing was archived in its first year."""

NEVER = np.iinfo(np.int64).min
"""The newest time of a PV that has no sample."""


@dataclass(frozen=True)
class Order:
    """`rows`: indexes of the kept samples, sorted by PV (in the order asked for) and time; how many were dropped.

    `dropped`: i8[PVs], how many of each PV.
    """

    rows: np.ndarray
    duplicate: int
    out_of_order: int
    dropped: np.ndarray


def kept(time_ns: np.ndarray, newest: int) -> np.ndarray:
    """bool[n]: which of one PV's samples, in the order they came, go forward in time from `newest` on."""
    before = np.maximum.accumulate(np.concatenate(([newest], time_ns)))[:-1]
    return time_ns > before


def order(key: np.ndarray, time_ns: np.ndarray, newest: np.ndarray) -> Order:
    """Sort samples by `key` and drop those that don't go forward in time.

    `key`: u4[n], the place of each sample's PV. `time_ns`: i8[n], in the order the samples came. `newest`: i8[PVs], the
    newest kept time of each PV by `key`, `NEVER` for none.
    """
    if len(newest) <= 1 << 16:
        # numpy sorts 16-bit keys by radix, some ten times faster
        rows = np.argsort(key.astype(np.uint16), kind="stable")
    else:
        rows = np.argsort(key, kind="stable")
    key, time_ns = key[rows], time_ns[rows]
    head = np.ones(len(rows), bool)
    head[1:] = key[1:] != key[:-1]
    before = np.empty(len(rows), np.int64)
    before[1:] = time_ns[:-1]
    before[head] = newest[key[head]]
    keep = time_ns > before
    back = np.flatnonzero(~keep)
    if not len(back):
        return Order(rows, 0, 0, np.zeros(len(newest), np.int64))
    # the usual case, a value sent again after a reconnect: only a PV's first sample doesn't go forward, the next does
    hard = np.zeros(len(newest), bool)
    hard[key[back[~head[back]]]] = True
    follows = back[head[back]] + 1
    follows = follows[follows < len(rows)]
    follows = follows[~head[follows]]
    hard[key[follows[time_ns[follows] <= newest[key[follows]]]]] = True
    easy = back[~hard[key[back]]]
    duplicate = int(np.count_nonzero(time_ns[easy] == before[easy]))
    out_of_order = len(easy) - duplicate
    for number in np.flatnonzero(hard):
        start, end = np.searchsorted(key, [number, number + 1])
        times = time_ns[start:end]
        high = np.maximum.accumulate(np.concatenate((newest[number : number + 1], times)))[:-1]
        keep[start:end] = times > high
        duplicate += int(np.count_nonzero(times == high))
        out_of_order += int(np.count_nonzero(times < high))
    return Order(rows[keep], duplicate, out_of_order, np.bincount(key[~keep], minlength=len(newest)))
