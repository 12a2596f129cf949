"""Export into an Archiver Appliance's files, read back by our import and by protobuf's own decoder."""

from __future__ import annotations

import calendar
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from archive_client.test_raw_reader import MESSAGE_OF, header_line, plain, streams
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from retrieval.archive_fill import NS, T0, Filler, Server
from retrieval.epicsevent import MESSAGES, decode
from typer.testing import CliRunner

from archiver.cli import app
from archiver.client.access import Noted
from archiver.exchange.paths import Partition, path_of
from archiver.exchange.pbfiles import PbFolder
from archiver.exchange.sources import FileSource, files_in
from archiver.exchange.taking import Taker, take_all
from archiver.store import Dbr, Samples, StoreReader
from archiver.store.incoming import Importer

MIDNIGHT_NS = (T0 + 16 * 3600) * NS
"""An import takes nothing from the future."""
PAST = ("--from", "1991-01-01", "--to", "2026-11-21T00:00:00Z")
ALL = ("--from", "1991-01-01", "--to", "2100-01-01")


def archive(*args: Any) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(map(str, args)), prog_name="owl archive", env={"COLUMNS": "200"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stderr


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def content(folder: Path) -> dict[str, list[tuple]]:
    """All that an archive holds: times, types, values, severities, states."""
    reader = StoreReader(folder)
    try:
        return {
            name: [
                (t, piece.dbr, piece.array, _plain(v), sev, sta)
                for piece in reader.read(name, 0, 2**62)
                for t, v, sev, sta in zip(
                    piece.time_ns.tolist(),
                    piece.values,
                    piece.severity.tolist(),
                    piece.status.tolist(),
                    strict=True,
                )
            ]
            for name in reader.names()
        }
    finally:
        reader.close()


def _plain(value: Any) -> str:
    return repr(value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value)


def taken(folder: Path, *places: Path) -> dict[str, list[tuple]]:
    report = take_all(Taker(folder), [FileSource.of(path) for path in files_in(places)])
    assert not report.skipped and not report.bad_lines and not report.duplicates
    return content(folder)


@pytest.mark.parametrize(
    ("way", "partition"), [("http", "year"), ("http", "day"), *(("folder", partition) for partition in Partition)]
)
def test_there_and_back(server: Server, tmp_path: Path, way: str, partition: str):
    place = ("--url", server.url) if way == "http" else ("--folder", server.folder)
    out = tmp_path / "lts"
    code, said = archive("export", "T:*", *PAST, "--format", "pb", "--partition", partition, "-o", out, *place)
    assert code == 0, said
    everything = {name: rows for name, rows in content(server.folder).items() if name.startswith("T:")}
    before = {name: [row for row in rows if row[0] < MIDNIGHT_NS] for name, rows in everything.items()}
    before = {name: rows for name, rows in before.items() if rows}
    assert len(before) > 15 and {r[1:3] for rows in before.values() for r in rows} >= {
        (dbr, array) for dbr in Dbr for array in (False, True) if (dbr, array) != (Dbr.FLOAT, True)
    }
    assert taken(tmp_path / "back", out) == before
    year = {"year": "2026", "month": "2026_11", "day": "2026_11_20", "hour": "2026_11_20_08"}[partition]
    assert (out / "T" / f"Ramp:{year}.pb").exists() and not (out / "T" / f"Empty:{year}.pb").exists()
    assert not [name for name in files(out) if not name.endswith(".pb")]
    # what protobuf makes of a file: one header, the PV's own name, units and limits
    (chunk,) = decode((out / "T" / f"Ramp:{year}.pb").read_bytes())
    assert (chunk.kind, chunk.name, chunk.year, chunk.count) == ("SCALAR_DOUBLE", "T:Ramp", 2026, 1)
    assert chunk.headers["EGU"] == "V" and chunk.headers["HIHI"] == "10.0"
    # a second type within a year has a file beside
    assert (out / "other-type-2" / "T" / f"Changed:{year}.pb").exists() and "T:Changed changes its type" in said


@pytest.mark.timeout(600)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(streams(), min_size=1, max_size=3), st.sampled_from(list(Partition)))
def test_all_types_survive(tmp_path: Path, parts: list[tuple[int, list[dict[str, Any]]]], partition: Partition):
    """Samples of several types, mixed within years, months, days and hours."""
    here = tmp_path / str(len(list(tmp_path.iterdir())))
    importer = Importer(here / "one")
    start = calendar.timegm((2020, 1, 1, 0, 0, 0))
    known: set[int] = set()
    for payload, events in parts:
        rows = {(start + e["seconds"]) * NS + e["nano"]: e for e in events}
        times = sorted(set(rows) - known)
        known |= set(times)
        if times:
            importer.add("A:B", _samples(payload, [rows[t] for t in times], times), {"EGU": "V"})
    importer.commit()
    code, said = archive(
        "export", "A:B", *ALL, "--format", "pb", "--partition", partition, "-o", here / "pb", "--folder", here / "one"
    )
    if not known:
        assert code == 1 and "there is no folder" in said
        return
    assert code == 0
    assert taken(here / "two", here / "pb") == content(here / "one")


def _samples(payload: int, events: list[dict[str, Any]], times: list[int]) -> Samples:
    dtypes = [object, "<i2", "<f4", "<u2", "u1", "<i4", "<f8"]
    dtype = dtypes[payload % 7]
    if payload < 7:
        values = np.array([plain(payload, e["val"]) for e in events], dtype)
    else:
        values = np.empty(len(events), object)
        for row, event in enumerate(events):
            values[row] = np.array(plain(payload, event["val"]), dtype)
    severity = np.array([e["severity"] or 0 for e in events], np.uint8)
    status = np.array([e["status"] or 0 for e in events], np.uint16)
    return Samples(Dbr(payload % 7), payload >= 7, np.array(times, np.int64), severity, status, values)


def test_times_at_borders(tmp_path: Path):
    border = calendar.timegm((2026, 3, 1, 0, 0, 0)) * NS
    times = np.array([border - NS, border - 1, border, border + 1])
    filler = Filler(tmp_path / "one")
    filler.put("A", Dbr.DOUBLE, times, np.arange(4.0))
    filler.close()
    out = tmp_path / "pb"
    run = ("--format", "pb", "-o", out, "--folder", tmp_path / "one", "--partition", "month")
    # neither the sample before the start nor the one at the end
    assert archive("export", "A", "--from", "2026-02-28T23:59:59.5Z", "--to", "2026-03-01T00:00:00Z", *run)[0] == 0
    assert files(out) == ["A:2026_02.pb"]
    (chunk,) = decode((out / "A:2026_02.pb").read_bytes())
    assert [event.value for event in chunk.events] == [1.0]
    # the next month is a new file
    code, said = archive("export", "A", "--from", "2026-03-01T00:00:00Z", "--to", "2026-04-01T00:00:00Z", *run)
    assert code == 0 and said == f"2 samples of 1 PV: 1 file in {out}\n"
    assert files(out) == ["A:2026_02.pb", "A:2026_03.pb"]
    (chunk,) = decode((out / "A:2026_03.pb").read_bytes())
    assert [event.time_ns for event in chunk.events] == [border, border + 1]


def test_a_file_that_is_there_loses_nothing(tmp_path: Path):
    filler = Filler(tmp_path / "one")
    filler.put("A", Dbr.DOUBLE, (T0 + np.arange(100)) * NS, np.arange(100.0))
    filler.close()
    run = ("--format", "pb", "-o", tmp_path / "pb", "--folder", tmp_path / "one")
    at = "2026-11-20T08:00:{:02}Z".format
    assert archive("export", "A", "--from", at(0), "--to", at(10), *run)[0] == 0
    file = tmp_path / "pb" / "A:2026.pb"
    short = file.read_bytes()
    assert archive("export", "A", "--from", at(0), "--to", at(20), *run)[0] == 0
    longer = file.read_bytes()
    assert longer.startswith(short) and len(decode(longer)[0].events) == 20
    for times in ((at(0), at(10)), (at(5), at(30))):
        code, said = archive("export", "A", "--from", times[0], "--to", times[1], *run)
        assert code == 1 and said.endswith("is there already, and holds other samples: write into another folder\n")
        assert file.read_bytes() == longer and files(tmp_path / "pb") == ["A:2026.pb"]


def test_names_that_share_a_path(tmp_path: Path):
    filler = Filler(tmp_path / "one")
    for number, name in enumerate(["A:B-C", "A-B:C", "A:B", "A::D", ":E"]):
        filler.put(name, Dbr.LONG, np.array([T0 * NS]), np.array([number], np.int32))
    filler.close()
    run = ("--format", "pb", "-o", tmp_path / "pb", "--folder", tmp_path / "one")
    code, said = archive("export", "*", "A:B", *ALL, *run)
    assert code == 0 and "has the path of" in said
    assert files(tmp_path / "pb") == [
        "A/B/C:2026.pb",
        "A/B:2026.pb",
        "A/D:2026.pb",
        "E:2026.pb",
        "same-path-2/A/B/C:2026.pb",
    ]
    assert taken(tmp_path / "two", tmp_path / "pb") == content(tmp_path / "one")


@pytest.mark.parametrize(
    ("pv", "path"),
    [("LN:AM:RAD", "LN/AM/RAD:"), ("LN:AM-RAD", "LN/AM/RAD:"), ("A/B", "A/B:"), ("X", "X:"), ("A:", "A/:")],
)
def test_paths(pv: str, path: str):
    assert path_of(pv) == Path(path)


@given(st.text(max_size=40))
def test_no_path_leads_out(pv: str):
    try:
        path = path_of(pv)
    except ValueError:
        assert ".." in pv or "." in pv
        return
    assert not path.is_absolute() and ".." not in path.parts and not path.parts[0].startswith("other-")


def test_what_cannot_be_written(tmp_path: Path):
    samples = Samples(Dbr.LONG, False, np.array([T0 * NS]), np.zeros(1, "u1"), np.zeros(1, "u2"), np.zeros(1, "i4"))
    folder = PbFolder(tmp_path / "pb", Partition.YEAR, 0, 2**62)
    with pytest.raises(Exception, match="outside of the folder"):
        folder.add(Noted("..:..:A", {}, iter([samples])), lambda rows: None)

    def broken():
        yield samples
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        folder.add(Noted("A:B", {}, broken()), lambda rows: None)
    assert files(tmp_path) == []
    (tmp_path / "file").write_text("")
    filler = Filler(tmp_path / "one")
    filler.put("A", Dbr.DOUBLE, np.array([T0 * NS]), np.zeros(1))
    filler.close()
    code, said = archive("export", "A", *ALL, "--format", "pb", "-o", tmp_path / "file", "--folder", tmp_path / "one")
    assert code == 1 and said.startswith("owl: cannot write into") and said.count("\n") == 1


def test_lines_are_those_of_protobuf(tmp_path: Path):
    """Byte by byte what protobuf writes for the same samples."""
    times = (T0 + np.arange(3)) * NS + np.array([0, 27, 999_999_999])
    samples = Samples(
        Dbr.DOUBLE, False, times, np.array([0, 2, 0], "u1"), np.array([0, 4, 0], "u2"), np.array([1.5, -0.0, 1e300])
    )
    PbFolder(tmp_path, Partition.DAY, 0, 2**62).add(Noted("A:B", {"EGU": "mA"}, iter([samples])), lambda rows: None)
    body = (tmp_path / "A" / "B:2026_11_20.pb").read_bytes()
    wanted = header_line(6, "A:B", 2026, count=1, headers={"EGU": "mA"})
    start = calendar.timegm((2026, 1, 1, 0, 0, 0))
    for t, v, sev, sta in zip(times.tolist(), [1.5, -0.0, 1e300], [0, 2, 0], [0, 4, 0], strict=True):
        message = MESSAGES[MESSAGE_OF[6]](secondsintoyear=t // NS - start, nano=t % NS, val=v)
        if sev:
            message.severity, message.status = sev, sta
        line = message.SerializeToString()
        wanted += line.replace(b"\x1b", b"\x1b\x01").replace(b"\n", b"\x1b\x02").replace(b"\r", b"\x1b\x03") + b"\n"
    assert body == wanted
