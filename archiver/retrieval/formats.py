"""The formats of an answer, by extension."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from archiver.retrieval import jplot, mat, pb, svg, text
from archiver.retrieval.blocks import year_of
from archiver.retrieval.query import Refused, printable
from archiver.retrieval.source import Answer, begun


@dataclass(frozen=True)
class Format:
    """`content_type`: exactly so, as there are clients that compare the whole header.

    `several`: whether one answer may hold more than one PV. `operator`: what PVs of numbers are put through when the
    request names no operator.
    """

    content_type: str
    encode: Callable[[Iterable[Answer]], Iterator[bytes]]
    several: bool = False
    operator: str | None = None


def _json(answers: Iterable[Answer]) -> Iterator[bytes]:
    return text.json_stream(({"name": a.name, **a.metadata}, a.batches) for a in answers)


def _qw(answers: Iterable[Answer]) -> Iterator[bytes]:
    read = map(begun, answers)
    return text.qw_stream(({"name": a.requested, **a.metadata}, a.array, a.batches) for a in read)


def _raw(answers: Iterable[Answer]) -> Iterator[bytes]:
    for number, a in enumerate(answers):
        if number:
            yield b"\n"
        yield from pb.encode(a.name, a.info, a.metadata, year_of(a.start_ns), a.batches)


def _csv(answers: Iterable[Answer]) -> Iterator[bytes]:
    return text.csv_stream(_one(answers).batches)


def _txt(answers: Iterable[Answer]) -> Iterator[bytes]:
    one = _one(answers)
    return text.txt_stream(one.name, "owlshift", one.batches)


def _one(answers: Iterable[Answer]) -> Answer:
    return next(iter(answers))


FORMATS = {
    "raw": Format("application/x-protobuf", _raw, several=True),
    "json": Format("application/json", _json, several=True),
    "qw": Format("application/json", _qw, several=True),
    "jplot": Format("application/json", jplot.encode, several=True),
    "csv": Format("text/csv", _csv),
    "txt": Format("text/plain", _txt),
    "mat": Format("application/matlab", lambda answers: mat.encode(_one(answers))),
    "svg": Format("image/svg+xml", lambda answers: svg.encode(_one(answers)), operator=svg.OPERATOR),
}


def find(extension: str, several: bool) -> Format:
    """The format of an extension; 400 when there is none, or none for several PVs."""
    known = {name: form for name, form in FORMATS.items() if form.several or not several}
    there = ", ".join("." + name for name in known)
    if extension == "flx" and not several:
        raise Refused(501, f"The format .flx is of the past and is not made here; there are {there}.")
    if extension not in known:
        raise Refused(400, f"There is no format {printable('.' + extension)!r}; there are {there}.")
    return known[extension]
