"""The format `.jplot`: pairs of time and value for JavaScript plots."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from json.encoder import encode_basestring as quoted

import pyarrow as pa

from archiver.retrieval.pb import text_of
from archiver.retrieval.source import Answer
from archiver.retrieval.text import NULL, data_of, in_blocks, moments, pc, values_text
from archiver.store import Samples


def encode(answers: Iterable[Answer]) -> Iterator[bytes]:
    """`[{"label": PV, "data": [["2026-11-20T08:00:00.000Z", value], …]}, …]`, strict JSON."""
    lead = b"[ "
    for answer in answers:
        yield lead + f'{{ "label": {quoted(text_of(answer.requested))},\n"data": [ \n'.encode()
        lead = b"] },\n"
        separator = b""
        for block in in_blocks(answer.batches):
            yield separator + data_of(_rows(block))[:-2]
            separator = b",\n"
        if separator:
            yield b"\n"
    yield b"] } ]\n"


def _rows(samples: Samples) -> pa.Array:
    when = pc.replace_substring(moments(samples.time_ns, "ms"), " ", "T")
    return pc.binary_join_element_wise('["', when, 'Z", ', values_text(samples, NULL), "],\n", "")
