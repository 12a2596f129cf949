"""Importing: PB files as protobuf writes them, answers of servers, and what can be wrong with them."""

from __future__ import annotations

import calendar
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from archive_client.test_raw_reader import event_line, header_line, streams
from hypothesis import HealthCheck, given, settings
from retrieval.archive_fill import NS, T0, Server
from typer.testing import CliRunner

from archiver.cli import app
from archiver.exchange.sources import FileSource, files_in, remote
from archiver.exchange.taking import Taker, take_all
from archiver.store import Dbr, StoreReader

MIDNIGHT_NS = (T0 + 16 * 3600) * NS
START_2025 = calendar.timegm((2025, 1, 1, 0, 0, 0))


def archive(*args: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(args), prog_name="owl archive")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def doubles(year: int, seconds: range, name: str = "LAB:T", **more: Any) -> bytes:
    lines = [
        event_line(6, {"seconds": s, "nano": 10 * s, "val": s / 4, "severity": s % 3, "status": 0}) for s in seconds
    ]
    return header_line(6, name, year, **more) + b"".join(lines)


def stored(folder: Path, name: str) -> list[tuple[int, Any, int]]:
    reader = StoreReader(folder)
    try:
        return [
            (int(t), v.tolist() if isinstance(v, (np.ndarray, np.generic)) else v, int(s))
            for piece in reader.read(name, 0, 2**62)
            for t, v, s in zip(piece.time_ns, piece.values, piece.severity, strict=True)
        ]
    except KeyError:
        return []
    finally:
        reader.close()


def take(folder: Path, *paths: Path, **options: Any):
    return take_all(Taker(folder, **options), [FileSource.of(path) for path in files_in(paths)])


def test_a_folder_of_an_appliance(tmp_path: Path):
    lts = tmp_path / "lts" / "LAB"
    lts.mkdir(parents=True)
    (lts / "T:2024.pb").write_bytes(doubles(2024, range(100), headers={"EGU": "degC", "PREC": "1"}))
    (lts / "T:2025.pb").write_bytes(doubles(2025, range(50), headers={"EGU": "K", "PREC": "2"}))
    (lts / "T:2025_02_03_04.pb").write_bytes(doubles(2025, range(40, 60)))
    (lts / "notes.txt").write_text("nothing")
    store = tmp_path / "archive"
    taken = take(store, tmp_path / "lts")
    assert (taken.new, taken.duplicates, taken.pvs, taken.skipped) == (160, 10, {"LAB:T"}, [])
    rows = stored(store, "LAB:T")
    assert len(rows) == 160 and [t for t, _, _ in rows] == sorted(t for t, _, _ in rows)
    assert rows[-1] == ((START_2025 + 59) * NS + 590, 59 / 4, 59 % 3)
    reader = StoreReader(store)
    info = reader.info("LAB:T")
    assert info is not None and info.dbr is Dbr.DOUBLE and info.metadata["EGU"] == "K"
    reader.close()
    again = take(store, tmp_path / "lts")
    assert (again.new, again.duplicates, again.read) == (0, 170, 170)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(streams())
def test_whatever_protobuf_wrote_is_read_back(tmp_path: Path, stream: tuple[int, list[dict[str, Any]]]):
    payload, events = stream
    unique = {(e["seconds"], e["nano"]): e for e in reversed(events)}
    folder = Path(str(tmp_path / f"{len(list(tmp_path.iterdir()))}"))
    file = tmp_path / "x.pb"
    file.write_bytes(header_line(payload, "A", 2025) + b"".join(event_line(payload, e) for e in events))
    taken = take(folder, file)
    assert taken.new == len(unique) and taken.read == len(events) and not taken.skipped
    rows = stored(folder, "A")
    expected = sorted(((START_2025 + s) * NS + n, e) for (s, n), e in unique.items())
    assert [t for t, _, _ in rows] == [t for t, _ in expected]
    for (_, value, severity), (_, event) in zip(rows, expected, strict=True):
        wanted = event["val"]
        wanted = wanted[0] if payload == 4 else list(wanted) if payload == 11 else wanted
        assert repr(value) == repr(wanted) or (payload in (2, 9) and np.array_equal(value, wanted, equal_nan=True))
        assert severity == (event["severity"] or 0)


def test_what_can_be_wrong_with_a_file(tmp_path: Path):
    whole = doubles(2025, range(10))
    files = {
        "torn:2025.pb": (whole[:-4], 9, "the last line is torn"),
        "year:2024.pb": (whole, 0, "its header is of 2025, its name of 2024"),
        "empty:2025.pb": (b"", 0, "is empty"),
        "no:2025.pb": (b"<html>\n", 0, "header line"),
        "old:2025.pb": (header_line(6, "A", 2025) + event_line(6, {"seconds": 1, "nano": 1, "val": 1.0}), 1, ""),
        "bad:2025.pb": (whole + b"\xff\xff\n", 10, ""),
        "later:2025.pb": (whole + b"\n<html>\n", 10, "header line"),
    }
    for number, (name, (content, new, why)) in enumerate(files.items()):
        path = tmp_path / name
        path.write_bytes(content)
        taken = take(tmp_path / f"archive{number}", path)
        assert taken.new == new, name
        assert (taken.skipped and why in taken.skipped[0][1]) if why else not taken.skipped, name
    assert take(tmp_path / "trusting", tmp_path / "year:2024.pb", trust_header=True).new == 10
    assert take(tmp_path / "lines", tmp_path / "bad:2025.pb").bad_lines == 1


def test_structures_are_counted_and_left_out(tmp_path: Path):
    head = header_line(6, "S", 2025).replace(b"\x08\x06", b"\x08\x0e", 1)
    (tmp_path / "S:2025.pb").write_bytes(head + b"\x08\x01\x10\x02\x1a\x03abc\n" * 3)
    taken = take(tmp_path / "archive", tmp_path / "S:2025.pb")
    assert taken.structures == 3 and taken.new == 0 and "structures" in taken.skipped[0][1]


def test_fields_of_events_are_metadata(tmp_path: Path):
    fields = {"HIHI": "10.0", "cnxlostepsecs": "1", "startup": "true"}
    line = event_line(6, {"seconds": 1, "nano": 1, "val": 1.0, "fields": fields})
    (tmp_path / "A:2025.pb").write_bytes(header_line(6, "A", 2025, headers={"EGU": "V"}) + line)
    take(tmp_path / "archive", tmp_path / "A:2025.pb")
    reader = StoreReader(tmp_path / "archive")
    info = reader.info("A")
    assert info is not None and info.metadata == {"EGU": "V", "HIHI": "10.0"}
    reader.close()


def test_from_another_server(server: Server, tmp_path: Path):
    sources = list(remote(server.url, ["T:*"], "2026-01-01T00:00:00Z", "2026-11-21T00:00:00Z"))
    assert len(sources) > 15
    taken = take_all(Taker(tmp_path), sources)
    ours, theirs = StoreReader(tmp_path), StoreReader(server.folder)

    def content(reader: StoreReader, name: str) -> list[tuple]:
        pieces = list(reader.read(name, 0, MIDNIGHT_NS))
        rows = [(t, repr(v)) for p in pieces for t, v in zip(p.time_ns.tolist(), p.values.tolist(), strict=True)]
        return [*sorted({(p.dbr, p.array) for p in pieces}), *rows]

    for name in theirs.names():
        if name.startswith("T:") and name not in ("T:NewYear", "T:Empty"):
            assert content(ours, name) == content(theirs, name), name
    info = ours.info("T:Ramp")
    assert info is not None and info.metadata["EGU"] == "V"
    assert not taken.skipped and taken.bad_times == 0
    ours.close()
    theirs.close()


def test_the_command(server: Server, tmp_path: Path):
    (tmp_path / "T:2025.pb").write_bytes(doubles(2025, range(1000)))
    store = str(tmp_path / "archive")
    code, out, err = archive("import", str(tmp_path / "T:2025.pb"), "--folder", store)
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "read      1,000 samples of 1 PVs in 1 sources"
    assert "stored    1,000 samples that were not there before" in out
    url = f"{server.url}/retrieval/data/getData.raw?pv=T:Ramp&from=2026-11-20T08:00:00Z&to=2026-11-20T09:00:00Z"
    code, out, _ = archive("import", url, "--folder", store, "--json")
    assert code == 0 and json.loads(out)["new"] == 100
    code, out, _ = archive("import", "--from", server.url, "T:D*", "T:Enum", "--folder", store, "--json")
    assert code == 0 and json.loads(out)["pvs"] == 4 and json.loads(out)["types"]["enum"] == 5
    (tmp_path / "T:2024.pb").write_bytes(doubles(2025, range(10)))
    code, out, _ = archive("import", str(tmp_path / "T:2024.pb"), "--folder", store)
    assert code == 1 and "skipped" in out
    for args, words in (
        ((str(tmp_path / "nothing"),), "there is no"),
        (("--from", server.url, "Nope:*"), "no PV at"),
        (("--from", server.url, "T:Nope"), None),
        (("--from", "http://127.0.0.1:1", "*"), "no archiver answers"),
    ):
        code, out, err = archive("import", *args, "--folder", store)
        assert code == 1 and (words is None or words in err), (args, err)


def test_values_survive_bit_by_bit(tmp_path: Path):
    odd = [math.nan, math.inf, -0.0, 5e-324]
    lines = [event_line(6, {"seconds": n, "nano": 0, "val": v}) for n, v in enumerate(odd)]
    (tmp_path / "A:2025.pb").write_bytes(header_line(6, "A", 2025) + b"".join(lines))
    take(tmp_path / "archive", tmp_path / "A:2025.pb")
    assert repr([v for _, v, _ in stored(tmp_path / "archive", "A")]) == repr(odd)


@pytest.mark.parametrize("name", ["X:2026.pb", "X:2026_11_20_08.pb", "X:2026_11.pb", "a-b/X:2026_11_20_08_15.pb"])
def test_years_in_names(name: str):
    assert FileSource.of(Path(name)).year == 2026
    assert FileSource.of(Path(name.replace(":", "_"))).year is None
