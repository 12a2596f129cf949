"""Post-processors: what is made of a PV's samples before they are sent.

`find` gives the `Process` of an operator by its name and arguments. Operators work on batches and hold at most one
unfinished bin, or as many points as were asked for, whatever the length of the window. Those whose bins are whole
minutes take them from the archive's tables of minutes and hours and read samples only at the window's ends.

One file for each family: `statistics` (per bin), `ordered` (the median and the like), `optimized`, `choosing` (samples
as they are), `flyers`, `caplot`, `plots` (our own) and `reduced`. `bins` is what the statistics stand on.
"""

from __future__ import annotations

from archiver.retrieval.operators import caplot, choosing, flyers, optimized, ordered, plots, reduced, statistics
from archiver.retrieval.operators.points import NUMERIC
from archiver.retrieval.operators.process import MAX_BINS, MAX_POINTS, Process
from archiver.retrieval.operators.source import Archive, Batches, after_start, take
from archiver.retrieval.query import Operator

__all__ = [
    "MAX_BINS",
    "MAX_POINTS",
    "NUMERIC",
    "PLAIN",
    "Archive",
    "Batches",
    "Process",
    "after_start",
    "find",
    "is_known",
    "take",
]

_FAMILIES = (statistics, ordered, optimized, choosing, flyers, caplot, plots, reduced)


def find(operator: Operator, dbr: int | None, array: bool) -> Process | None:
    """The process of an operator for a PV of this type; None when the operator is not known, or not for this type.

    404 when its argument is no number, as the appliance answers; 400 when it asks for too much.
    """
    if dbr not in NUMERIC or array:
        return reduced.find(operator, numeric=False) or choosing.find(operator, numeric=False)
    return next((p for p in (family.find(operator) for family in _FAMILIES) if p is not None), None)


def is_known(operator: Operator) -> bool:
    """Whether there is such an operator, if not for every type."""
    bare = Operator(operator.name, operator.name, ())
    return any(family.find(bare) is not None for family in _FAMILIES)


PLAIN = Process(lambda source: after_start(source.samples(), source.start))
"""Samples as they are, with the notes of single ones."""
