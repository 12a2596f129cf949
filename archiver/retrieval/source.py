"""What is asked for -> the PV, its metadata and its samples, by the appliance's rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

import numpy as np

from archiver.retrieval import operators
from archiver.retrieval.query import DataRequest, Refused, Target, real_name, unknown
from archiver.store import Dbr, PvInfo, Samples, StoreReader

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
    start_ns: int
    batches: Iterator[Samples]
    """Read as they are asked for."""
    warnings: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The PV's real name."""
        return self.info.name


def find(reader: StoreReader, requested: str) -> PvInfo:
    """The PV that goes by this name; 404 when there is none. A PV archived as `X.VAL` itself is found before `X`."""
    for name in _candidates(requested):
        info = reader.info(name)
        if info is not None:
            return info
    if requested == PING_PV:
        return PvInfo(PING_PV, Dbr.DOUBLE, 1, None, None, {})
    raise unknown(requested)


def check_known(reader: StoreReader, targets: Sequence[Target]) -> None:
    """404 for the first of these that is not archived."""
    names = {PING_PV}.union(reader.names()) if targets else set()
    for target in targets:
        if not names.intersection(_candidates(target.name)):
            raise unknown(target.name)


def _candidates(requested: str) -> list[str]:
    return list(dict.fromkeys((requested, real_name(requested))))


def begun(answer: Answer) -> Answer:
    """The answer with its first samples already read, so that what goes wrong does so now."""
    first = next(answer.batches, None)
    return answer if first is None else replace(answer, batches=chain([first], answer.batches))


def open_answer(reader: StoreReader, target: Target, request: DataRequest) -> Answer:
    """The answer for one PV of a request."""
    info = find(reader, target.name)
    ranges = request.ranges
    warnings: list[str] = []
    process = None
    array = info.count != 1
    if info.name == PING_PV and reader.info(PING_PV) is None:
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
        batches = _read(reader, info, ranges, process)
    array = array or (process is not None and target.operator is not None and target.operator.name.startswith("stats"))
    metadata = headers(info.metadata, request.latest_metadata)
    return Answer(target.name, info, metadata, array, ranges[0][0], batches, warnings)


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
    reader: StoreReader, info: PvInfo, ranges: tuple[tuple[int, int], ...], process: operators.Process | None
) -> Iterator[Samples]:
    """The samples of all ranges, in order and none twice."""
    last = None
    for start, end in ranges:
        try:
            batches = reader.read(info.name, start, end)
        except KeyError:
            raise unknown(info.name) from None
        for batch in process.run(batches, start, end) if process else operators.after_start(batches, start):
            if last is not None:
                batch = batch[int(np.searchsorted(batch.time_ns, last, "right")) :]
            if len(batch):
                yield batch
                if len(ranges) > 1:
                    last = int(batch.time_ns[-1])


def _ping_samples(end_ns: int) -> Samples:
    times = (end_ns // 1_000_000_000 - np.arange(10, 0, -1)) * 1_000_000_000
    zeros = np.zeros(10)
    return Samples(Dbr.DOUBLE, False, times, zeros.astype(np.uint8), zeros.astype(np.uint16), 0.1 * np.arange(10))


def newest_at(reader: StoreReader, requested: str, at_ns: int) -> tuple[dict[str, str], Samples] | None:
    """Metadata and the newest sample at or before a time; None when there is no such PV or no such sample."""
    try:
        candidates = _candidates(requested)
    except Refused:
        return None
    for name in candidates:
        try:
            batches = list(operators.after_start(reader.read(name, at_ns, at_ns), at_ns))
        except KeyError:
            continue
        history = reader.metadata_history(name)
        return (history[-1][1] if history else {}, batches[-1][-1:]) if batches else None
    return None
