"""What a reader does about files that are damaged, missing or foreign: it leaves them out, says so, and goes on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from archive_tools import columns_of, flat, opened

from archiver.store import Columns, Dbr, StoreReader
from archiver.store.names import SIDECARS
from archiver.store.summary import concat, summarise

NS = 10**9
T0 = 1_700_000_400
"""Seconds; an hour does not begin, a minute does."""
SECONDS = 7200
NOW = (T0 + 10**6) * NS


def made(folder: Path) -> tuple[Path, np.ndarray]:
    """An archive of two merged hours at 1 Hz of A, and its segment."""
    writer = opened(folder)
    pv = writer.add_pvs(["A"])["A"]
    for half in range(2):
        stamps = (T0 + np.arange(half * SECONDS // 2, (half + 1) * SECONDS // 2)) * NS
        one = columns_of(Dbr.DOUBLE, [pv] * len(stamps), stamps.tolist(), [0.0] * len(stamps))
        writer.append(Columns(Dbr.DOUBLE, False, one.pv, stamps, one.severity, one.status, np.sin(stamps / 3e11)))
        writer.roll()
        writer.convert_next()
    while writer.compact_next(today=10**5):
        pass
    (segment,) = writer.manifest.segments
    assert segment.summary
    writer.close()
    return folder / "segments" / segment.name, np.sin((T0 + np.arange(SECONDS)) * NS / 3e11)


def bins_are_right(reader: StoreReader, values: np.ndarray) -> None:
    stamps = (T0 + np.arange(SECONDS)) * NS
    for unit in (60, 3600):
        low, high = T0 // unit * unit * NS, -(-(T0 + SECONDS) // unit) * unit * NS
        found = concat(list(reader.summaries("A", unit, low, high)))
        expected = summarise(stamps, values, (stamps % 4).astype(np.uint8), unit)
        assert found.number.tolist() == expected.number.tolist()
        assert found.count.tolist() == expected.count.tolist()
        assert found.last.tolist() == expected.last.tolist()
        np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-12)
        np.testing.assert_allclose(found.m2, expected.m2, rtol=1e-9)


@pytest.mark.parametrize("how", ["gone", "empty", "cut", "foreign", "swapped"])
def test_summaries_that_cant_be_read_are_made_of_samples(tmp_path: Path, how: str) -> None:
    path, values = made(tmp_path / "archive")
    bins_are_right(StoreReader(tmp_path / "archive"), values)
    minute, hour = (path.with_suffix(ending) for ending in SIDECARS[1:])
    content = minute.read_bytes()
    if how == "gone":
        minute.unlink()
        hour.unlink()
    elif how == "swapped":
        minute.write_bytes(hour.read_bytes())
        hour.write_bytes(content)
    else:
        wrong = {"empty": b"", "cut": content[: len(content) // 2], "foreign": path.read_bytes()}[how]
        minute.write_bytes(wrong)
        hour.write_bytes(wrong)
    reader = StoreReader(tmp_path / "archive")
    bins_are_right(reader, values)
    bins_are_right(reader, values)
    assert reader.damaged == {}
    assert len(flat(reader, "A")) == SECONDS


@pytest.mark.parametrize("which", ["samples", "index"])
@pytest.mark.parametrize("how", ["gone", "empty", "cut", "foreign", "flipped"])
def test_a_segment_that_cant_be_read_is_left_out_and_said(tmp_path: Path, which: str, how: str) -> None:
    folder = tmp_path / "archive"
    path, _ = made(folder)
    writer = opened(folder)
    pv = writer.add_pvs(["A"])["A"]
    writer.append(columns_of(Dbr.DOUBLE, [pv], [(T0 + SECONDS + 1) * NS], [5.0]))
    broken = path if which == "samples" else path.with_suffix(SIDECARS[0])
    content = broken.read_bytes()
    if how == "gone":
        broken.unlink()
    elif how == "flipped" and which == "samples":
        # within the pages of the first row group
        broken.write_bytes(content[:100] + bytes(200) + content[300:])
    elif how == "flipped":
        broken.write_bytes(content[:10] + bytes(20) + content[30:])
    else:
        broken.write_bytes({"empty": b"", "cut": content[: len(content) // 2], "foreign": b"GIF89a" * 100}[how])
    reader = StoreReader(folder)
    assert [row[2:] for row in flat(reader, "A", T0 * NS, NOW)] == [((T0 + SECONDS + 1) * NS, 5.0)]
    assert list(reader.damaged) == [path.relative_to(folder / "segments").as_posix()]
    # the engine is told
    assert [file.name for file in (folder / "suspects").iterdir()] == [f"double:{path.name}"]
    assert reader.newest(["A"], NOW)["A"].values.tolist() == [5.0]
    assert reader.newest(["A"], (T0 + 5) * NS) == {}
    assert [len(b) for b in reader.summaries("A", 60, T0 // 60 * 60 * NS, (T0 // 60 + 200) * 60 * NS)] == [1]
    info = reader.info("A")
    assert info is not None and info.dbr is Dbr.DOUBLE
    writer.close()


def test_a_reader_follows_renames_and_forgets_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    writer = opened(folder)
    ids = writer.add_pvs(["A", "B"])
    for t in range(10):
        writer.append(columns_of(Dbr.DOUBLE, list(ids.values()), [(T0 + t) * NS] * 2, [float(t), -float(t)]))
        if t == 6:
            writer.roll()
            writer.convert_next()
    reader = StoreReader(folder)
    assert len(flat(reader, "A", 0, NOW)) == 10
    writer.rename({"A": "NEW:A"})
    writer.forget(["B"])
    assert reader.names() == ["NEW:A"]
    assert len(flat(reader, "NEW:A", 0, NOW)) == 10
    for gone in ("A", "B"):
        assert not reader.has(gone)
        assert reader.info(gone) is None
        with pytest.raises(KeyError):
            reader.read(gone, 0, NOW)
        with pytest.raises(KeyError):
            reader.summaries(gone, 60, 0, 60 * NS)
    assert list(reader.newest(["A", "B", "NEW:A"], NOW)) == ["NEW:A"]
    assert [row.name for row in reader.infos()] == ["NEW:A"]
    assert list(reader.channels().names.values()) == ["NEW:A"]
    # under its old name a PV begins anew
    pv = writer.add_pvs(["B"])["B"]
    writer.append(columns_of(Dbr.DOUBLE, [pv], [(T0 + 100) * NS], [1.0]))
    assert [row[2] for row in flat(reader, "B", 0, NOW)] == [(T0 + 100) * NS]
    writer.roll()
    while writer.convert_next() or writer.compact_next(today=10**5):
        pass
    assert len(flat(reader, "NEW:A", 0, NOW)) == 10
    assert len(flat(reader, "B", 0, NOW)) == 1
    writer.close()


def test_bad_questions_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    made(folder)
    reader = StoreReader(folder)
    with pytest.raises(ValueError, match="before the start"):
        reader.read("A", 2, 1)
    with pytest.raises(ValueError, match="not of 61"):
        reader.summaries("A", 61, 0, 61 * NS)
    with pytest.raises(ValueError, match="no whole bins"):
        reader.summaries("A", 60, 1, 60 * NS)
    assert list(reader.summaries("A", 60, 60 * NS, 60 * NS)) == []
    assert list(reader.summaries("A", 60, 120 * NS, 60 * NS)) == []
    assert reader.newest([], NOW) == {}
    assert reader.infos([]) == []
