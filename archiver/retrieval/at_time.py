"""The answer of getDataAtTime: the newest samples of many PVs, as one JSON object."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from json.encoder import encode_basestring as quoted

from archiver.retrieval import fields_of, text
from archiver.retrieval.catalogue import type_name
from archiver.retrieval.resolve import Candidate, Names
from archiver.retrieval.source import headers
from archiver.store import Dbr, Reader, Samples


def newest(reader: Reader, names: Names, requested: list[str], at_ns: int) -> str:
    """One entry for each name asked for that has a sample at or before `at_ns` (unix ns), under that name."""
    lines = [_line(name, samples, metadata) for name, samples, metadata in found(reader, names, requested, at_ns)]
    return "{ " + ",\n".join(lines) + " }"


def found(
    reader: Reader, names: Names, requested: list[str], at_ns: int
) -> Iterator[tuple[str, Samples, dict[str, str]]]:
    """Each name asked for that has one, its sample and the PV's metadata, as `newest` tells them."""
    meant = names.known(requested)
    samples = reader.newest(list({c.name: None for c in meant.values() if c is not None and c.field is None}), at_ns)
    described: dict[Candidate, dict[str, str]] = {}
    for name, candidate in meant.items():
        if candidate is None:
            continue
        if candidate.field is None:
            sample = samples.get(candidate.name)
        else:
            pieces = list(fields_of.read(reader, candidate.name, candidate.field, at_ns, at_ns))
            sample = pieces[-1][-1:] if pieces else None
        if sample is None:
            continue
        if candidate not in described:
            history = reader.metadata_history(candidate.name) if candidate.field is None else []
            described[candidate] = headers(history[-1][1], True) if history else {}
        yield name, sample, described[candidate]


def _line(name: str, samples: Samples, metadata: dict[str, str]) -> str:
    seconds, nanos = divmod(int(samples.time_ns[0]), 1_000_000_000)
    meta = {"source": "store", "DBRType": type_name(samples.dbr, samples.array), **metadata}
    return (
        f'{quoted(text.text_of(name))}: {{ "secs": {seconds}, "val": {_value(samples)}, "nanos": {nanos}, '
        f'"severity": {int(samples.severity[0])}, "status": {int(samples.status[0])}, "meta": {json.dumps(meta)} }}'
    )


def _value(samples: Samples) -> str:
    if samples.array or samples.dbr is Dbr.STRING:
        return text.values_text(samples, text.NULL)[0].as_py()
    value = samples.values.reshape(-1)[0]
    if samples.dbr in (Dbr.DOUBLE, Dbr.FLOAT) and not math.isfinite(value):
        return "null"
    if samples.dbr is Dbr.DOUBLE:
        return json.dumps(float(value))
    if samples.dbr is Dbr.FLOAT:  # the shortest text of 32 bits, not that of the same number in 64
        return json.dumps(float(str(value)))
    return str(int(value))
