"""Export into files, and the files read back by their own libraries."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from retrieval.archive_fill import NS, T0, Filler, Server
from scipy.io import loadmat
from typer.testing import CliRunner

from archiver.cli import app
from archiver.client.access import Reading
from archiver.client.columns import schema_of
from archiver.exchange import matlab
from archiver.exchange.sinks import ExportError, Names, Window, sink_for
from archiver.exchange.sinks import export as run_export
from archiver.store import Dbr

WINDOW = ("--from", "2026-11-20T08:00:00Z", "--to", "2026-11-20T09:00:00Z")
TIMES = [(T0 + n) * NS for n in range(5)]


def archive(*args: Any) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(map(str, args)), prog_name="owl archive", env={"COLUMNS": "200"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stderr


@pytest.fixture(params=["http", "folder"])
def place(request: pytest.FixtureRequest, server: Server) -> tuple[str, str]:
    return ("--url", server.url) if request.param == "http" else ("--folder", str(server.folder))


def test_hdf5(place: tuple[str, str], tmp_path: Path):
    code, said = archive("export", "T:*", *WINDOW, "-o", tmp_path / "out.h5", *place)
    assert code == 0 and "samples of 20 PVs" in said
    assert [p.name for p in tmp_path.iterdir()] == ["out.h5"]
    with h5py.File(tmp_path / "out.h5") as file:
        assert file.attrs["format"] == "owlshift-archive-export"
        assert file.attrs["from"] == "2026-11-20T08:00:00.000000000Z"
        ramp: Any = file["T:Ramp"]
        assert ramp.attrs["pv"] == "T:Ramp" and ramp.attrs["units"] == "V"
        assert ramp["time_ns"][0] == T0 * NS + 123_456_789 and ramp["value"][-1] == 49.5
        assert ramp["severity"][-1] == 2 and ramp["status"][-1] == 3
        enum: Any = file["T:Enum"]
        assert list(enum.attrs["states"]) == ["Off", "On", "Trip"] and enum["value"][:].tolist() == [0, 1, 2, 1, 0]
        double: Any = file["T:Double"]
        assert repr(double["value"][:].tolist()) == "[nan, inf, -inf, 1e+300, 5e-324]"
        text: Any = file["T:String"]
        assert text["value"].asstr()[:].tolist() == ["", 'say "hi"\\', "line\nfeed", "µA", "x" * 39]
        shorts: Any = file["T:Shorts"]
        assert shorts["value"].dtype == np.int16 and shorts["value"][5].tolist() == [1, 2, 3]
        assert shorts["length"][:].tolist() == [2, 2, 2, 2, 2, 3] and shorts["value"][0].tolist() == [0, 1, 0]
        strings: Any = file["T:Strings"]
        assert strings["value"].asstr()[:].tolist()[1] == ["b,c", "d"]
        changed: Any = file["T:Changed"]
        again: Any = file["T:Changed#2"]
        assert changed["value"].dtype == np.int32 and again["value"].dtype == np.float64
        assert again.attrs["pv"] == "T:Changed" and len(changed["value"]) == len(again["value"]) == 5
        empty: Any = file["T:Empty"]
        assert len(empty["time_ns"]) == 0


def test_matlab(place: tuple[str, str], tmp_path: Path):
    code, _ = archive("export", "T:*", *WINDOW, "-o", tmp_path / "out.mat", *place)
    assert code == 0
    content = loadmat(tmp_path / "out.mat", simplify_cells=True)
    assert content["archive"]["to"] == "2026-11-20T09:00:00.000000000Z"
    ramp = content["T_Ramp"]
    assert ramp["pv"] == "T:Ramp" and ramp["units"] == "V" and ramp["value"].tolist()[-1] == 49.5
    assert ramp["time_ns"].dtype == np.int64 and ramp["time_ns"][0] == T0 * NS + 123_456_789
    days = (ramp["datenum"] - 719529) * 86400
    assert days == pytest.approx(ramp["time_ns"] / NS, abs=2e-5)
    assert content["T_Strings"]["value"][1].tolist() == ["b,c", "d"]
    assert content["T_Shorts"]["value"][5].tolist() == [1, 2, 3]
    assert content["T_NanArray"]["value"].shape == (2,) and np.isnan(content["T_NanArray"]["value"][0])
    assert content["T_String"]["value"].tolist()[1] == 'say "hi"\\'
    assert repr(content["T_Double"]["value"].tolist()) == "[nan, inf, -inf, 1e+300, 5e-324]"
    assert content["T_Enum"]["metadata"]["ENUM_2"] == "Trip"
    assert loadmat(tmp_path / "out.mat")["T_Ramp"]["value"][0, 0].shape == (100, 1)


def test_csv_of_several_pvs(place: tuple[str, str], tmp_path: Path):
    code, _ = archive("export", "T:Enum", "T:Doubles", "T:String", *WINDOW, "-o", tmp_path / "out.csv", *place)
    assert code == 0
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text(), newline="")))
    assert list(rows[0]) == ["pv", "time", "value", "state", "severity", "status"]
    assert [(r["value"], r["state"]) for r in rows if r["pv"] == "T:Enum"][:3] == [
        ("0", "Off"),
        ("1", "On"),
        ("2", "Trip"),
    ]
    assert json.loads([r["value"] for r in rows if r["pv"] == "T:Doubles"][-1]) == [1.0, 2.0, 3.0]
    assert [r["value"] for r in rows if r["pv"] == "T:String"][2] == "line\nfeed"
    assert rows[0]["time"] == "2026-11-20T08:00:00.000000000Z"


def test_parquet_of_several_pvs(place: tuple[str, str], tmp_path: Path):
    code, _ = archive("export", "T:Ramp", "T:Enum", "T:Changed", *WINDOW, "-o", tmp_path / "out.parquet", *place)
    assert code == 0
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.column_names == ["pv", "time", "value", "severity", "status"]
    assert table.schema.field("value").type == pa.float64() and len(table) == 115
    enum = table.filter(pa.compute.equal(table["pv"].cast(pa.string()), "T:Enum"))  # type: ignore[attr-defined]
    assert enum["value"].to_pylist() == [0, 1, 2, 1, 0]
    code, said = archive("export", "T:Ramp", "T:String", *WINDOW, "-o", tmp_path / "no.parquet", *place)
    assert code == 1 and "do not fit into one Parquet file" in said and said.count("\n") == 1
    assert not (tmp_path / "no.parquet").exists() and len(list(tmp_path.iterdir())) == 1


def test_a_file_each_and_an_operator(place: tuple[str, str], tmp_path: Path):
    out = f"{tmp_path}/files/"
    code, said = archive("export", "T:Ramp", "T:Day", *WINDOW, "--operator", "mean_60", "-o", out, *place)
    assert code == 0 and "2 files" in said
    assert sorted(p.name for p in Path(out).iterdir()) == ["T_Day.parquet", "T_Ramp.parquet"]
    table = pq.read_table(f"{out}/T_Ramp.parquet")
    assert table["value"].to_pylist()[:2] == [14.75, 39.75] and table.schema.metadata[b"operator"] == b"mean_60"
    assert table.schema.metadata[b"EGU"] == b"V"


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("T:Ramp", "-o", "out.xyz"), 2, "none of the endings"),
        (("T:Nope", "-o", "out.csv"), 1, "T:Nope is not in the archive"),
        (("Nope*", "-o", "out.csv"), 1, "no archived PV fits"),
        (("T:Ramp", "-o", "no/such/out.csv"), 1, "no such file"),
    ],
)
def test_what_cannot_be_exported(server: Server, tmp_path: Path, args: tuple, code: int, words: str):
    args = tuple(str(tmp_path / a) if "out" in a else a for a in args)
    got, said = archive("export", *args, *WINDOW, "--url", server.url)
    assert got == code and words in said
    assert list(tmp_path.iterdir()) == []


def test_a_mat_file_over_2_gib_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(matlab, "LIMIT", 10_000)
    filler = Filler(tmp_path / "archive")
    filler.put("A", Dbr.DOUBLE, (T0 + np.arange(1000)) * NS, np.zeros(1000))
    filler.close()
    out = tmp_path / "out.mat"
    code, said = archive("export", "A", *WINDOW, "-o", out, "--folder", tmp_path / "archive")
    assert code == 1 and "2 GiB" in said and not out.exists()


def test_types_that_change_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("archiver.exchange.flat.WAITING", 0)

    def reading(*batches: list) -> Reading:
        made = [
            pa.RecordBatch.from_pydict(
                {"time": [n], "value": b, "severity": [0], "status": [0]}, schema=schema_of(pa.array(b).type)
            )
            for n, b in enumerate(batches)
        ]
        return Reading("A", {}, iter(made))

    window = Window(0, 1, None, "test")
    run_export(iter([reading([1.5], [2])]), sink_for("parquet", tmp_path / "a", window, False))
    assert pq.read_table(tmp_path / "a")["value"].to_pylist() == [1.5, 2.0]
    with pytest.raises(ExportError, match="has become a PV of string"):
        run_export(iter([reading([1.5], ["x"])]), sink_for("parquet", tmp_path / "b", window, False))


@given(st.lists(st.text(st.characters(codec="ascii"), max_size=20), max_size=20), st.integers(4, 10))
def test_every_name_is_allowed_and_unique(pvs: list[str], longest: int):
    names = Names("A-Za-z0-9_", longest, "x")
    found = [names.of(pv) for pv in pvs]
    assert len(set(found)) == len(found)
    assert all(n.isidentifier() and n.isascii() and n[0].isalpha() and len(n) <= longest for n in found)
