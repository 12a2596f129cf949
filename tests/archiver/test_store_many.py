"""Many PVs read in one pass: the same as each by itself, in bounded memory, whatever lies where."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest
from archive_tools import columns_of, opened

from archiver.store import Dbr, Samples, StoreReader, open_reader
from archiver.store.events import ENGINE_PV
from archiver.store.incoming import Importer
from archiver.store.writer import StoreWriter

NS = 10**9
START = 1_700_000_000
EVER = 2**62
PVS = 300
NAMES = [f"M:{n:03}" for n in range(PVS)]


def rows(samples: list[Samples] | None) -> list[tuple]:
    assert samples is not None
    return [
        (t, piece.dbr, piece.array, repr(v.tolist() if isinstance(v, np.ndarray) else v), sev, sta)
        for piece in samples
        for t, v, sev, sta in zip(
            piece.time_ns.tolist(), piece.values, piece.severity.tolist(), piece.status.tolist(), strict=True
        )
    ]


def settle(writer: StoreWriter) -> None:
    writer.roll()
    while writer.convert_next():
        pass


def fill(folder: Path) -> None:
    """Of each third of the PVs: numbers, texts, arrays; in two segments and the log."""
    writer = opened(folder)
    ids = list(writer.add_pvs(NAMES).values())
    for part in range(3):
        for second in range(10 * part, 10 * part + 10):
            stamps = [(START + second) * NS + pv for pv in range(100)]
            numbers = [second + pv / 100 for pv in range(100)]
            texts = [f"{second} {pv} µ" for pv in range(100)]
            arrays = [[second, pv, part] for pv in range(100)]
            writer.append(columns_of(Dbr.DOUBLE, ids[:100], stamps, numbers))
            writer.append(columns_of(Dbr.STRING, ids[100:200], stamps, texts))
            writer.append(columns_of(Dbr.LONG, ids[200:], stamps, arrays, True))
        if part < 2:
            settle(writer)
    writer.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many") / "archive"
    fill(folder)
    return folder


@pytest.mark.parametrize(("low", "high"), [(0, 30), (-9, -5), (5, 7), (12, 28), (9, 10), (29, 99), (40, 50)])
def test_the_same_as_one_by_one(folder: Path, low: int, high: int):
    reader = StoreReader(folder)
    span = (START + low) * NS, (START + high) * NS
    found = reader.read_many([*reversed(NAMES), "absent"], *span)
    assert list(found) == NAMES[::-1]
    for name in NAMES:
        assert rows(found[name].samples) == rows(list(reader.read(name, *span))), name
        assert found[name].connections == reader.connections(name, -EVER, span[1])
        assert found[name].history == reader.metadata_history(name)
    assert reader.info_many(["absent", *NAMES]) == {name: reader.info(name) for name in NAMES}
    with pytest.raises(ValueError, match="before the start"):
        reader.read_many(NAMES, 1, 0)
    assert reader.read_many(["absent"], 0, 1) == {}
    reader.close()


def test_bounded_memory(folder: Path):
    reader = StoreReader(folder)
    span = START * NS, (START + 30) * NS
    for most in (0, 1000, 10_000, 100_000):
        found = reader.read_many(NAMES, *span, most)
        held = sum(len(piece) for data in found.values() for piece in data.samples or ())
        assert len(found) < PVS and held * 19 <= most + 100_000
        for name, data in found.items():
            assert rows(data.samples) == rows(list(reader.read(name, *span)))
    # a few samples don't keep the row group that they came from
    found = reader.read_many(NAMES[:1] + NAMES[-1:], START * NS, (START + 3) * NS)
    gc.collect()
    for data in found.values():
        for piece in data.samples or ():
            for column in (piece.time_ns, piece.values):
                assert column.base is None or column.base.nbytes < 1000
    reader.close()


def test_connections_of_many(tmp_path: Path):
    writer = opened(tmp_path)
    a, b, _ = writer.add_pvs(["A", "B", "C"]).values()
    times = (START + np.arange(4)) * NS
    writer.append_events(np.array([ENGINE_PV, a, b, a], np.uint32), times, np.array([3, 1, 1, 0], np.uint8))
    settle(writer)
    writer.append_events(np.array([a, ENGINE_PV], np.uint32), times[2:] + 7, np.array([1, 2], np.uint8))
    writer.close()
    reader = StoreReader(tmp_path)
    found = reader.read_many(["A", "B", "C"], 0, int(times[3]))
    for name, data in found.items():
        assert data.connections == reader.connections(name, 0, int(times[3])) and data.samples == []
    assert len(found["A"].connections) == 4 and len(found["C"].connections) == 1
    assert len(reader.connections("A", 0, EVER)) == 5
    reader.close()


def test_a_damaged_segment_is_left_out_and_says_whose_it_was(tmp_path: Path):
    fill(tmp_path)
    victim = max((tmp_path / "segments" / "double").rglob("*.parquet"), key=lambda path: path.name)
    content = bytearray(victim.read_bytes())
    content[: len(content) // 2] = b"\xff" * (len(content) // 2)
    victim.write_bytes(content)
    reader = StoreReader(tmp_path)
    span = START * NS, (START + 30) * NS
    assert reader.lacking(NAMES) == []
    found = reader.read_many(NAMES, *span)
    assert [len(rows(found[name].samples)) for name in (NAMES[0], NAMES[100], NAMES[200])] == [20, 30, 30]
    assert reader.lacking([*NAMES[98:102], "absent"]) == NAMES[98:100]
    reader.close()


def test_a_file_that_merging_replaced(tmp_path: Path):
    fill(tmp_path)
    reader = StoreReader(tmp_path)
    span = START * NS, (START + 30) * NS
    before = {name: rows(data.samples) for name, data in reader.read_many(NAMES, *span).items()}
    writer = opened(tmp_path)
    settle(writer)
    while writer.compact_next(today=40_000):
        pass
    writer.close()
    assert {name: rows(data.samples) for name, data in reader.read_many(NAMES, *span).items()} == before
    reader.close()


def test_several_stores(tmp_path: Path):
    for number, engine in enumerate(("one", "two")):
        names = NAMES[number * 100 : number * 100 + 150]
        importer = Importer(tmp_path / "engines" / engine)
        for name in names:
            stamps = np.array([(START + 10 * number + n) * NS for n in range(5)])
            zero = np.zeros(5, np.uint8)
            values = np.arange(5.0) + number
            importer.add(name, Samples(Dbr.DOUBLE, False, stamps, zero, zero.astype(np.uint16), values), {"EGU": "V"})
        importer.commit()
    reader = open_reader(tmp_path)
    found = reader.read_many([*NAMES[:260], "absent"], 0, EVER)
    # what is in both is put together one by one
    assert set(found) == {*NAMES[:100], *NAMES[150:250]}
    for name, data in found.items():
        assert rows(data.samples) == rows(list(reader.read(name, 0, EVER)))
    assert reader.info_many(NAMES[90:170]) == {name: reader.info(name) for name in NAMES[90:170]}
    assert len(list(reader.read(NAMES[120], 0, EVER))) == 2
    reader.close()
