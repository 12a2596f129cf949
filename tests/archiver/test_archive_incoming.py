"""Imports: samples of any time come beside live ones, once, whatever happens meanwhile."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from archive_tools import columns_of, counted, flat, opened

from archiver.store import Dbr, Samples, StoreReader
from archiver.store.incoming import Importer, ImportReport
from archiver.store.order import OLDEST_NS
from archiver.store.places import PlaceError
from archiver.store.verify import verify

YEAR = 2020
START = 1577836800 * 10**9
"""2020-01-01 UTC in ns."""

DAY = 86400 * 10**9


def samples_of(
    times: list[int], values: list[Any] | None = None, dbr: Dbr = Dbr.DOUBLE, array: bool = False
) -> Samples:
    time_ns = np.array(times, np.int64)
    made: Any = np.array(times if values is None else values, object if dbr is Dbr.STRING else dbr.dtype)
    return Samples(dbr, array, time_ns, (time_ns % 4).astype("u1"), (time_ns % 20).astype("u2"), made)


def imported(folder: Path, **pvs: Samples) -> ImportReport:
    importer = Importer(folder)
    for name, samples in pvs.items():
        importer.add(name, samples)
    return importer.commit()


def times_of(folder: Path, name: str) -> list[int]:
    return [row[2] for row in flat(StoreReader(folder), name)]


def test_an_import_into_an_archive_without_an_engine(tmp_path: Path) -> None:
    opened(tmp_path).close()
    times = [START + i * DAY for i in range(100)]
    importer = Importer(tmp_path)
    importer.add("B", samples_of(times), {"EGU": "V"})
    importer.add("A", samples_of(times[:3], ["x", "", "µ"], Dbr.STRING))
    importer.add("W", samples_of(times[:2], [[1, 2], [3, 4]], Dbr.SHORT, array=True))
    # out of order and twice: sorted, and counted
    importer.add("C", samples_of(times[10:20]))
    importer.add("C", samples_of(times[5:12]))
    assert importer.commit() == ImportReport(samples=120, duplicates=2, pvs=4)
    reader = StoreReader(tmp_path)
    assert times_of(tmp_path, "B") == times
    assert [row[3] for row in flat(reader, "A")] == ["x", "", "µ"]
    assert [row[3] for row in flat(reader, "W")] == [[1, 2], [3, 4]]
    assert times_of(tmp_path, "C") == times[5:20]
    info = reader.info("B")
    assert info is not None and info.metadata == {"EGU": "V"} and (info.first_ns, info.last_ns) == (times[0], times[-1])
    assert [row[2] for row in flat(reader, "B", times[40], times[42])] == times[40:43]
    assert verify(tmp_path).problems == []
    assert reader.totals()["imported"] == 120
    assert not [p for p in (tmp_path / "incoming").iterdir() if p.is_dir()]


def test_importing_twice_stores_nothing_twice(tmp_path: Path) -> None:
    times = [START + i * DAY for i in range(60)]
    assert imported(tmp_path, A=samples_of(times)).samples == 60
    assert imported(tmp_path, A=samples_of(times)) == ImportReport(0, 60, 1)
    more = sorted({*times[10:30], *(t + 5 for t in times[10:30])})
    assert imported(tmp_path, A=samples_of(more)) == ImportReport(20, 20, 1)
    # another type at the same times is the same sample too
    assert imported(tmp_path, A=samples_of(times, dbr=Dbr.LONG, values=[1] * 60)).duplicates == 60
    expected = sorted({*times, *more})
    assert times_of(tmp_path, "A") == expected
    writer = opened(tmp_path)
    for _ in range(50):
        if not writer.compact_next(today=10**6):
            break
    assert len(writer.manifest.segments) == 3 - 1
    assert times_of(tmp_path, "A") == expected
    writer.close()
    assert verify(tmp_path).problems == []
    assert imported(tmp_path, A=samples_of(more)).samples == 0


def test_a_running_engine_takes_imports_in_beside_live_samples(tmp_path: Path) -> None:
    writer = opened(tmp_path)
    now = time.time_ns() // 10**9 * 10**9
    pv = writer.add_pvs(["A"])["A"]
    live = [now - 100 * 10**9, now - 50 * 10**9]
    writer.append(columns_of(Dbr.DOUBLE, [pv] * 2, live, [1, 2]))
    writer.roll()
    writer.convert_next()
    tail = [now - 40 * 10**9, now - 30 * 10**9]
    writer.append(columns_of(Dbr.DOUBLE, [pv] * 2, tail, [3, 4]))
    past = [START, live[0], live[0] + 1, tail[0] + 1, now - 20 * 10**9]
    reports: list[ImportReport] = []
    importing = threading.Thread(target=lambda: reports.append(imported(tmp_path, A=samples_of(past))))
    importing.start()
    end = time.monotonic() + 60
    while importing.is_alive() and time.monotonic() < end:
        writer.compact_next()
        time.sleep(0.01)
    importing.join(1)
    assert reports == [ImportReport(4, 1, 1)]
    expected = sorted({*live, *tail, *past})
    assert times_of(tmp_path, "A") == expected
    # live samples go on although the import has later ones, and what is before them is a duplicate of nothing
    writer.append(columns_of(Dbr.DOUBLE, [pv] * 2, [now - 25 * 10**9, now], [5, 6]))
    expected = sorted({*expected, now - 25 * 10**9, now})
    assert times_of(tmp_path, "A") == expected
    writer.roll()
    writer.convert_next()
    assert times_of(tmp_path, "A") == expected
    assert counted(writer.manifest.totals) == (6, 6)
    for _ in range(50):
        if not writer.compact_next(today=10**6):
            break
    assert times_of(tmp_path, "A") == expected
    assert verify(tmp_path).problems == []
    writer.close()


def test_an_engine_that_takes_its_time_leaves_the_import_waiting(tmp_path: Path) -> None:
    writer = opened(tmp_path)
    importer = Importer(tmp_path)
    importer.add("A", samples_of([START]))
    assert importer.commit(timeout=0.1) == ImportReport(1, 0, 1, waiting=True)
    assert StoreReader(tmp_path).names() == []
    assert writer.adopt_incoming() == 1
    assert times_of(tmp_path, "A") == [START]
    writer.close()


def test_times_that_cannot_be_are_dropped_and_counted(tmp_path: Path) -> None:
    times = [0, OLDEST_NS - 1, OLDEST_NS, START, time.time_ns() + 3600 * 10**9]
    assert imported(tmp_path, A=samples_of(times)) == ImportReport(2, 0, 1, bad_times=3)
    assert times_of(tmp_path, "A") == [OLDEST_NS, START]
    assert imported(tmp_path, A=samples_of([0])) == ImportReport(0, 0, 0, bad_times=1)
    with pytest.raises(ValueError, match="name"):
        Importer(tmp_path).add("", samples_of([START]))


def test_nothing_comes_of_an_import_that_is_not_committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archiver.store.incoming.LIMIT", 100)
    writer = opened(tmp_path)
    importer = Importer(tmp_path)
    importer.add("A", samples_of([START + i for i in range(100)]))
    assert list((tmp_path / "incoming").glob("*/*.parquet"))
    assert writer.adopt_incoming() == 0
    importer.abort()
    assert list((tmp_path / "incoming").iterdir()) == []
    writer.close()


def test_large_imports_come_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archiver.store.incoming.LIMIT", 3000)
    importer = Importer(tmp_path)
    for part in range(20):
        for name in ("A", "B"):
            importer.add(name, samples_of([START + 1000 * part + i for i in range(100)]))
    assert importer.commit() == ImportReport(4000, 0, 2)
    expected = [START + 1000 * part + i for part in range(20) for i in range(100)]
    assert times_of(tmp_path, "A") == times_of(tmp_path, "B") == expected
    writer = opened(tmp_path)
    for _ in range(50):
        if not writer.compact_next(today=10**6):
            break
    assert len(writer.manifest.segments) == 1
    assert times_of(tmp_path, "A") == expected
    writer.close()


@pytest.mark.parametrize("damage", ["file", "list"])
def test_a_damaged_import_is_put_aside(tmp_path: Path, damage: str) -> None:
    writer = opened(tmp_path)
    importer = Importer(tmp_path)
    importer.add("A", samples_of([START]))
    importer.commit(timeout=0.01)
    (folder,) = [p for p in (tmp_path / "incoming").iterdir() if p.is_dir()]
    path = next(iter(folder.glob("*.parquet"))) if damage == "file" else folder / "import.json"
    path.write_bytes(path.read_bytes()[:-7])
    assert writer.adopt_incoming() == 1
    assert writer.manifest.segments == ()
    assert list(writer.manifest.quarantined) == [f"incoming/{folder.name}"]
    assert (tmp_path / "quarantine" / f"import-{folder.name}").is_dir()
    writer.close()


def test_a_kill_in_the_middle_of_an_import_only_means_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = [START + i * DAY for i in range(300)]
    opened(tmp_path).close()

    class KilledError(BaseException):
        pass

    from archiver.store import adoption

    real = adoption.produce
    seen = [0]

    def dying(*args: Any, **kwargs: Any) -> Any:
        seen[0] += 1
        if seen[0] == 4:
            raise KilledError
        return real(*args, **kwargs)

    importer = Importer(tmp_path)
    importer.add("A", samples_of(times))
    monkeypatch.setattr(adoption, "produce", dying)
    with pytest.raises(KilledError):
        importer.commit()
    monkeypatch.undo()
    writer = opened(tmp_path)
    assert 0 < len(times_of(tmp_path, "A")) < 300
    assert writer.adopt_incoming() == 1
    assert times_of(tmp_path, "A") == times
    (report,) = (tmp_path / "incoming").glob("*.done")
    assert orjson.loads(report.read_bytes())["samples"] == 300
    writer.close()
    assert verify(tmp_path).problems == []


def test_logs_become_segments_between_the_files_of_an_import(tmp_path: Path) -> None:
    """An import of a whole past takes hours: it comes in file by file."""
    writer = opened(tmp_path)
    importer = Importer(tmp_path)
    importer.add("A", samples_of([START + i * 40 * DAY for i in range(5)]))
    importer.commit(timeout=0.0)
    steps = 0
    while not list((tmp_path / "incoming").glob("*.done")):
        assert writer.compact_next()
        steps += 1
    assert steps == 5
    writer.close()


def test_an_import_that_cannot_be_read_holds_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be another user's, whose files the engine must not read."""
    writer = opened(tmp_path)
    for name in ("A", "B"):
        importer = Importer(tmp_path)
        importer.add(name, samples_of([START]))
        importer.commit(timeout=0.0)
    first = min(p for p in (tmp_path / "incoming").iterdir() if p.is_dir())
    real = Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        if path.parent == first:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    while writer.compact_next():
        pass
    assert times_of(tmp_path, "B") == [START]
    monkeypatch.undo()
    writer.close()
    writer = opened(tmp_path)
    assert writer.adopt_incoming() == 1
    assert times_of(tmp_path, "A") == [START]
    writer.close()


def test_an_import_without_an_engine_gives_up_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*args: Any) -> bool:
        raise PlaceError("the place is away")

    monkeypatch.setattr("archiver.store.upkeep.adopt", away)
    importer = Importer(tmp_path)
    importer.add("A", samples_of([START]))
    assert importer.commit(timeout=0.1) == ImportReport(1, 0, 1, waiting=True)


def test_what_a_killed_importer_left_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archiver.store.incoming.LIMIT", 100)
    monkeypatch.setattr("archiver.store.adoption.ABANDONED", 0.0)
    script = (
        "import sys, os; sys.path[:0] = %r; from pathlib import Path; from test_archive_incoming import *;"
        "importer = Importer(Path(%r)); importer.add('A', samples_of([START])); importer._flush(); os._exit(9)"
    )
    path = [str(Path(__file__).parent), *sys.path]
    subprocess.run([sys.executable, "-c", script % (path, str(tmp_path))], timeout=60, check=False)
    importer = Importer(tmp_path)
    importer.add("B", samples_of([START + i for i in range(100)]))
    assert len(list((tmp_path / "incoming").glob("*.part"))) == 2
    opened(tmp_path).close()
    # that of an importer that is still at work stays
    assert len(list((tmp_path / "incoming").glob("*.part"))) == 1
    assert importer.commit().samples == 100
    assert list((tmp_path / "incoming").iterdir()) == []
