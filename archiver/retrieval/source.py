"""What is asked for -> the PV, its metadata and its samples, by the appliance's rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain

import numpy as np

from archiver.retrieval import fields_of, operators
from archiver.retrieval.query import NOWHERE, DataRequest, Refused, Target, unknown
from archiver.retrieval.resolve import Candidate, Names
from archiver.store import Dbr, PvInfo, Reader, Samples

PING_PV = "ArchApplPingPV"
"""A name that is always answered, with ten numbers: clients try their connection with it."""

_LIMITS = ("LOPR", "HOPR", "LOW", "HIGH", "LOLO", "HIHI", "DRVL", "DRVH")


@dataclass(frozen=True)
class Answer:
    """One PV of an answer. `batches` can be gone through once; `array`: whether its samples are."""

    requested: str
    info: PvInfo
    metadata: dict[str, str]
    array: bool
    ranges: tuple[tuple[int, int], ...]
    """Start and end of each time asked for, in unix ns."""
    batches: Iterator[Samples]
    """Read as they are asked for."""
    warnings: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The PV's real name."""
        return self.info.name

    @property
    def start_ns(self) -> int:
        """The start of the first time asked for."""
        return self.ranges[0][0]


@dataclass(frozen=True)
class Found:
    """The PV that goes by a name: what is known of it, and its name in the archive.

    With `field` it is that field of the PV, as a PV of its own made of the metadata.
    """

    info: PvInfo
    name: str
    field: str | None = None


def find(reader: Reader, names: Names, requested: str) -> Found:
    """The PV that goes by this name; 404 when there is none."""
    for candidate in names.candidates(requested):
        if candidate.field is not None:
            info = fields_of.info(reader, candidate.name, candidate.field)
        else:
            info = reader.info(candidate.name)
        if info is not None:
            return Found(info, candidate.name, candidate.field)
    if requested == PING_PV:
        return Found(PvInfo(PING_PV, Dbr.DOUBLE, 1, None, None, {}), PING_PV)
    raise _absent(names, requested)


def _absent(names: Names, requested: str) -> Refused:
    if names.nowhere():
        return Refused(503, NOWHERE)
    return unknown(requested)


def check_known(names: Names, known: Mapping[str, Candidate | None]) -> None:
    """404 for the first of these that is not archived."""
    for name, candidate in known.items():
        if candidate is None and name != PING_PV:
            raise _absent(names, name)


def begun(answer: Answer) -> Answer:
    """The answer with its first samples already read, so that what goes wrong does so now.

    They say, too, whether an operator that may make arrays of samples has done so.
    """
    first = next(answer.batches, None)
    return answer if first is None else replace(answer, array=first.array, batches=chain([first], answer.batches))


def open_answer(reader: Reader, names: Names, target: Target, request: DataRequest) -> Answer:
    """The answer for one PV of a request."""
    try:
        found = find(reader, names, target.name)
    except Refused as refused:
        if request.template is None or refused.status != 404:
            raise
        info = replace(find(reader, names, request.template).info, name=target.name, first_ns=None, last_ns=None)
        metadata = headers(info.metadata, request.latest_metadata)
        return Answer(target.name, info, metadata, info.is_array, request.ranges, iter(()))
    info = found.info
    ranges = request.ranges
    warnings: list[str] = []
    process = None
    array = info.is_array
    if info.name == PING_PV and not reader.has(PING_PV):
        batches = iter([_ping_samples(ranges[0][1])])
    else:
        if target.operator is not None:
            process = operators.find(target.operator, info.dbr, array)
            if process is None:
                known = operators.is_known(target.operator)
                why = "is not for values of this type" if known else "is not there"
                warnings.append(f"operator {target.operator.name} {why}: the samples are as they were archived")
            else:
                for start, end in ranges:
                    process.check(start, end)
        batches = _read(reader, found, ranges, process)
    array = array or (process is not None and process.array)
    metadata = headers(info.metadata, request.latest_metadata)
    return Answer(target.name, info, metadata, array, ranges, batches, warnings)


def headers(metadata: dict[str, str], latest: bool) -> dict[str, str]:
    """Metadata as clients read it: units and precision first, limits only when they are numbers.

    The precision is a whole number, but a floating-point one when the client asked for the latest metadata: the
    appliance does the same, and there are clients for both.
    """
    out: dict[str, str] = {}
    if metadata.get("EGU"):
        out["EGU"] = metadata["EGU"]
    precision = _number(metadata.get("PREC", ""))
    if precision is not None and np.isfinite(precision):
        out["PREC"] = repr(float(precision)) if latest else str(round(precision))
    for key, value in metadata.items():
        if key in out or key in ("EGU", "PREC") or (key in _LIMITS and _number(value) is None):
            continue
        out[key] = value
    return out


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _read(
    reader: Reader, found: Found, ranges: tuple[tuple[int, int], ...], process: operators.Process | None
) -> Iterator[Samples]:
    """The samples of all ranges, in order and none twice."""
    last = None
    for start, end in ranges:
        try:
            batches = _range(reader, found, start, end, process)
        except KeyError:
            raise unknown(found.info.name) from None
        for batch in batches:
            if last is not None:
                batch = batch[int(np.searchsorted(batch.time_ns, last, "right")) :]
            if len(batch):
                yield batch
                if len(ranges) > 1:
                    last = int(batch.time_ns[-1])


def _range(reader: Reader, found: Found, start: int, end: int, process: operators.Process | None) -> Iterator[Samples]:
    process = process or operators.PLAIN
    if found.field is None:
        return process.open(reader, found.name, start, end)
    return process.run(fields_of.read(reader, found.name, found.field, start, end), start, end)


def _ping_samples(end_ns: int) -> Samples:
    times = (end_ns // 1_000_000_000 - np.arange(10, 0, -1)) * 1_000_000_000
    zeros = np.zeros(10)
    return Samples(Dbr.DOUBLE, False, times, zeros.astype(np.uint8), zeros.astype(np.uint16), 0.1 * np.arange(10))
