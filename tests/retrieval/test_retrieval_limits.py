"""The limit of samples in one answer: counted before anything is sent, refused with a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from archive_fill import NS, T0, Filler, fill
from hypothesis import given, settings
from hypothesis import strategies as st
from retrieval_inside import inside

from archiver.retrieval import limits
from archiver.retrieval.resolve import Names
from archiver.retrieval.source import find
from archiver.store import Dbr, Reader, open_reader

DATA = "/retrieval/data"
DAY = {"from": "2026-11-20T08:00:00Z", "to": "2026-11-21T08:00:00Z"}


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    folder = tmp_path_factory.mktemp("limits") / "store"
    fill(folder)
    f = Filler(folder)
    rng = np.random.default_rng(3)
    times = np.sort(rng.choice(3 * 86_400 * 10, 200_000, replace=False)) * (NS // 10) + T0 * NS + 77
    for part in np.array_split(times, 5):
        f.put("L:Odd", Dbr.DOUBLE, part, np.zeros(len(part)))
        f.segment()
    f.close()
    reader = open_reader(folder)
    yield reader
    reader.close()


@pytest.mark.parametrize(
    ("pv", "limit", "status"),
    [
        ("T:Day", 76_400, 200),
        ("T:Day", 76_000, 413),
        ("T:Ramp", 100, 200),
        ("T:Ramp", 90, 413),
        ("T:String", 4, 413),
        ("T:Strings", 4, 200),
        ("T:Doubles", 5, 413),
        ("T:Empty", 1, 200),
        ("optimized_100(T:Day)", 100, 200),
        ("optimized_100(T:Day)", 10, 413),
        ("optimized_1000000(T:Day)", 76_000, 413),
        ("optimizedSample_2000(T:Ramp)", 100, 200),
        ("optimLastSample_1000000(T:Day)", 1000, 413),
        ("optimized_1000(T:String)", 4, 413),
        ("minmax_100(T:Day)", 100, 200),
        ("minmax_1000000(T:Day)", 1000, 413),
        ("lttb_100(T:Day)", 100, 200),
        ("ncount(T:Day)", 1, 200),
        ("mean_60(T:Day)", 1000, 413),
        ("mean_900(T:Day)", 1000, 200),
        ("nth_100(T:Day)", 800, 200),
        ("nth_100(T:Day)", 700, 413),
        ("deadBand_1(T:Day)", 1000, 413),
        ("lastSample_3600(T:String)", 30, 200),
        ("T:Ramp.HIHI", 1, 200),
        ("L:Odd", 100, 413),
        ("L:Odd", 0, 200),
    ],
)
async def test_one_pv(reader: Reader, pv: str, limit: int, status: int):
    async with inside(reader, limit=limit) as client:
        reply = await client.get(f"{DATA}/getData.json", params={"pv": pv, **DAY})
    assert reply.status_code == status, reply.text[:200]
    if status == 413:
        assert reply.text.startswith(f"This asks for more than {limit} samples, the limit of this archive.")


async def test_several_pvs_and_ranges_count_together(reader: Reader):
    async with inside(reader, limit=7) as client:

        async def status(*pvs: str, **more: Any) -> int:
            reply = await client.get(f"{DATA}/getDataForPVs.json", params={"pv": list(pvs), **DAY, **more})
            return reply.status_code

        assert await status("T:Short") == await status("T:Short", "T:Empty") == 200
        assert await status("T:Short", "T:Long") == 413
        assert await status("T:Short", "T:Nope") == 404
        two = f"{DAY['from']},2026-11-20T09:00:00Z,2026-11-20T10:00:00Z,{DAY['to']}"
        assert await status("T:Short", timeranges=two) == 200
    async with inside(reader) as client:  # no limit
        assert (await client.get(f"{DATA}/getData.csv", params={"pv": "T:Day", **DAY})).status_code == 200


@given(st.integers(-100_000, 4 * 86_400), st.integers(0, 4 * 86_400), st.integers(0, 250_000))
@settings(deadline=None, max_examples=40)
def test_counts_are_right(reader: Reader, start: int, length: int, enough: int):
    low, high = (T0 + start) * NS, (T0 + start + length) * NS
    found = find(reader, Names(reader), "L:Odd")
    real = sum(len(batch) for batch in reader.read("L:Odd", low, high))
    counted = limits.count(reader, found, low, high, enough)
    assert counted > enough if real > enough else real <= counted <= max(enough, real + 2)


def test_counting_reads_little(reader: Reader, monkeypatch: pytest.MonkeyPatch):
    """Long times are counted by the hour."""
    spans: list[int] = []
    read = reader.read

    def watched(name: str, low: int, high: int) -> Any:
        spans.append(high - low)
        return read(name, low, high)

    monkeypatch.setattr(reader, "read", watched)
    found = find(reader, Names(reader), "L:Odd")
    assert limits.count(reader, found, T0 * NS, (T0 + 2 * 86_400) * NS, 150_000) < 150_000
    assert sum(spans[:2]) < 2 * 3600 * NS
