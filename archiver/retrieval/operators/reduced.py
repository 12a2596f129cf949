"""`twoweek`: what a client gets that asks for reduced data (`usereduced=true`) without saying how.

Two weeks or less come as they are. Of a longer time it is the lowest and the highest sample of each quarter of an hour,
or the first where samples are no numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from archiver.retrieval.operators.choosing import kept
from archiver.retrieval.operators.plots import extremes
from archiver.retrieval.operators.process import DEFAULT_INTERVAL, Process
from archiver.retrieval.operators.source import NS, Source, after_start
from archiver.retrieval.query import Operator
from archiver.store import Samples

TWO_WEEKS_NS = 14 * 86400 * NS


def find(operator: Operator, numeric: bool = True) -> Process | None:
    """The process of the operator, or None."""
    return Process(partial(_two_weeks, numeric=numeric)) if operator.name == "twoweek" else None


def _two_weeks(source: Source, numeric: bool) -> Iterator[Samples]:
    if source.end - source.start <= TWO_WEEKS_NS:
        return after_start(source.samples(), source.start)
    if numeric:
        return extremes(source, DEFAULT_INTERVAL * NS)
    return kept(source, DEFAULT_INTERVAL, "firstSample")
