"""Operators over a real archive with its tables beside the segments, and one that has none yet."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from archive_fill import NS, T0, Filler
from operator_archive import near, process, rows_of

from archiver.store import Dbr, Samples, StoreReader

DAYS = 3
START, END = T0 - 600, T0 + DAYS * 86400 + 600


class Watched(StoreReader):
    """A reader that counts the samples it gives."""

    given = 0

    def read(self, name: str, from_ns: int, to_ns: int) -> Iterator[Samples]:
        for batch in super().read(name, from_ns, to_ns):
            self.given += len(batch)
            yield batch


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three days at 0.5 Hz: two in merged segments, the third in a fresh one and the log."""
    folder = tmp_path_factory.mktemp("operators") / "store"
    f = Filler(folder)
    rng = np.random.default_rng(5)
    times = (T0 + np.arange(DAYS * 43200) * 2) * NS + rng.integers(0, NS, DAYS * 43200)
    values = 100 + np.cumsum(rng.normal(0, 0.1, len(times)))
    values[30_000] = 1e6
    severity = (rng.random(len(times)) < 0.01).astype(np.uint8)
    edges = np.linspace(0, len(times), 13).astype(int)
    for number, (a, b) in enumerate(pairwise(edges)):
        f.put("A", Dbr.DOUBLE, times[a:b], values[a:b], severity[a:b])
        f.put("B", Dbr.LONG, times[a:b], np.round(values[a:b]).astype(np.int32), severity[a:b])
        if number == 11:
            break  # stays in the log
        f.segment()
        if number == 9:
            for _ in range(50):
                if not f.writer.compact_next(today=T0 // 86400 + 10):
                    break
    f.writer.sync()
    f.close()
    assert list(folder.rglob("*.minute.parquet")) and list(folder.rglob("*.hour.parquet"))
    return folder


@pytest.mark.parametrize("name", ["A", "B"])
@pytest.mark.parametrize(
    "text",
    ["mean_60", "stats_3600", "stdSample_600", "count_7200", "max_900", "rms_3600", "optimized_100", "minmax_300"],
)
def test_tables_and_samples_agree(folder: Path, text: str, name: str):
    reader = Watched(folder)
    dbr = Dbr.DOUBLE if name == "A" else Dbr.LONG
    for start, end in ((START, END), (T0 + 1234, T0 + 200_000), (T0 - 100, T0 + 259_000)):
        reader.given = 0
        got = rows_of(process(text, dbr).open(reader, name, start * NS, end * NS))
        assert reader.given < 150
        if text.startswith(("optimized", "minmax")):
            assert max(r[1][3] if isinstance(r[1], tuple) else r[1] for r in got) == 1e6 or end < T0 + 150_000
            assert len(got) <= int(text.rpartition("_")[2]) + 1
            continue
        expected = rows_of(
            process(text, dbr).run(StoreReader(folder).read(name, start * NS, end * NS), start * NS, end * NS)
        )
        assert [(r[0], r[2]) for r in got] == [(r[0], r[2]) for r in expected]
        assert all(near(one[1], two[1], 1e-9) for one, two in zip(got, expected, strict=True))
    reader.close()


def test_a_name_that_is_not_there(folder: Path):
    with pytest.raises(KeyError):
        process("mean_60").open(StoreReader(folder), "C", START * NS, END * NS)
