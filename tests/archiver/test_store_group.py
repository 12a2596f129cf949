"""Several stores as one archive: engines that share PVs, PVs that moved, and what another host publishes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from archive_tools import EVER, columns_of, flat, opened

from archiver.config import ArchiverConfig
from archiver.store import Dbr, StoreGroup, StoreReader, group, open_reader
from archiver.store.files import Layout
from archiver.store.mirror import publish
from archiver.store.places import claim
from archiver.store.summary import concat

NS = 10**9
T0 = 1_700_000_040
"""Seconds; a minute begins."""


def engine(folder: Path, name: str, rows: dict[str, list[int]], dbr: Dbr = Dbr.DOUBLE, convert: bool = True) -> None:
    writer = opened(folder if not name else folder / "engines" / name)
    ids = writer.add_pvs(rows)
    for pv, seconds in rows.items():
        for t in seconds:
            writer.append(columns_of(dbr, [ids[pv]], [(T0 + t) * NS], [t]))
    writer.describe({ids[pv]: {"EGU": f"u{name}"} for pv in rows})
    if convert:
        writer.roll()
        writer.convert_next()
    writer.close()


def times(reader: StoreReader | StoreGroup, name: str, low: int = -(10**6), high: int = 10**6) -> list[int]:
    return [row[2] // NS - T0 for row in flat(reader, name, (T0 + low) * NS, (T0 + high) * NS)]  # type: ignore[arg-type]


def test_a_folder_with_one_engine_is_its_store(tmp_path: Path) -> None:
    engine(tmp_path, "", {"A": [1, 2]})
    reader = open_reader(tmp_path)
    assert isinstance(reader, StoreReader)
    assert times(reader, "A") == [1, 2]
    assert isinstance(open_reader(tmp_path / "absent"), StoreReader)


def test_a_pv_that_moved_has_its_history(tmp_path: Path) -> None:
    engine(tmp_path, "", {"OLD": [0], "A": [1, 2, 3]})
    engine(tmp_path, "e1", {"A": [3, 5, 6, 70], "B": [1]}, Dbr.LONG)
    engine(tmp_path, "e2", {"A": [80, 90], "C": [4]}, convert=False)
    reader = open_reader(tmp_path, ArchiverConfig(engines=("e1", "e2", "e3")))
    assert isinstance(reader, StoreGroup)
    assert reader.names() == ["A", "B", "C", "OLD"]
    assert times(reader, "A") == [1, 2, 3, 5, 6, 70, 80, 90]
    assert [row[0] for row in flat(reader, "A", 0, EVER)] == [Dbr.DOUBLE] * 3 + [Dbr.LONG] * 3 + [Dbr.DOUBLE] * 2  # type: ignore[arg-type]
    assert times(reader, "A", 4, 75) == [3, 5, 6, 70]
    assert times(reader, "A", 100, 100) == [90]
    arrow = [b.column("value").to_pylist() for b in reader.read_arrow("A", T0 * NS, (T0 + 75) * NS)]
    assert [value for values in arrow for value in values] == [1.0, 2.0, 3.0, 5, 6, 70]
    newest = reader.newest(["A", "B", "C", "absent"], (T0 + 75) * NS)
    assert {name: float(sample.values[0]) for name, sample in newest.items()} == {"A": 70, "B": 1, "C": 4}
    bins = concat(list(reader.summaries("A", 60, T0 * NS, (T0 + 120) * NS)))
    assert (bins.count.tolist(), bins.first.tolist(), bins.last.tolist()) == ([5, 3], [1, 70], [6, 90])
    assert bins.mean.tolist() == [3.4, 80.0]
    info = reader.info("A")
    assert info is not None
    assert (info.dbr, info.first_ns, info.last_ns) == (Dbr.DOUBLE, (T0 + 1) * NS, (T0 + 90) * NS)
    assert info.metadata == {"EGU": "ue2"}
    totals = {row.name: row for row in reader.infos()}
    assert list(totals) == ["A", "B", "C", "OLD"]
    assert (totals["A"].samples, totals["A"].first_ns, totals["A"].last_ns) == (9, info.first_ns, info.last_ns)
    assert [row.name for row in reader.infos(["C", "absent", "A"])] == ["C", "A"]
    table, names = reader.channels()
    assert sorted(names.values()) == ["A", "A", "A", "B", "C", "OLD"]
    assert max(names) < len(table)
    stored = {names[pv]: int(table["samples"][pv]) for pv in sorted(names)}
    assert stored["B"] == 1 and stored["OLD"] == 1
    assert reader.totals()["stored"] == 9
    assert reader.connections("A", 0, EVER) == []
    assert not reader.damaged
    reader.close()


def test_summaries_of_pieces_that_overlap_are_of_their_samples_together(tmp_path: Path) -> None:
    engine(tmp_path, "e1", {"A": list(range(0, 180, 2))})
    engine(tmp_path, "e2", {"A": list(range(0, 180, 3))})
    reader = open_reader(tmp_path)
    seconds = sorted({*range(0, 180, 2), *range(0, 180, 3)})
    assert times(reader, "A") == seconds
    bins = concat(list(reader.summaries("A", 60, T0 * NS, (T0 + 180) * NS)))
    assert bins.count.tolist() == [len([t for t in seconds if t // 60 == k]) for k in range(3)]
    np.testing.assert_allclose(bins.mean, [np.mean([t for t in seconds if t // 60 == k]) for k in range(3)])


def test_what_another_host_publishes_is_part_of_the_archive(tmp_path: Path) -> None:
    other = tmp_path / "other"
    engine(other, "", {"A": [1, 2], "FAR": [5]})
    url = f"file://{tmp_path / 'bucket'}"
    layout = Layout(other)
    place = layout.place(url)
    claim(place, "other-archive", new=True)
    writer = opened(other)
    (segment,) = writer.manifest.segments
    for name in segment.files:
        place.put(name, layout.segments / name)
    moved = dataclasses.replace(segment, place=url)
    publish(layout, url, dataclasses.replace(writer.manifest, segments=(moved,)))
    writer.close()
    here = tmp_path / "here"
    engine(here, "", {"A": [2, 3], "NEAR": [7]})
    nowhere = f"file://{tmp_path / 'nothing'}"
    reader = open_reader(here, ArchiverConfig(remote=(url, nowhere)))
    assert isinstance(reader, StoreGroup)
    assert reader.names() == ["A", "FAR", "NEAR"]
    assert times(reader, "A") == [1, 2, 3]
    assert times(reader, "FAR") == [5]
    reader.close()
    assert not any(isinstance(r, group.MirrorReader) and r._thread.is_alive() for r in reader.readers)
