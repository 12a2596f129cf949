"""`owl runkey import, export, bundle, commit, fetch`: out, in again, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from runkey_shell import STAND, Shell

from db.chips.chipfile import render_chip
from db.chips.make import make_chip

FE3 = "/FELIX 1/OB1/FE3"


def digest(shell: Shell, name: str) -> str:
    return shell.ok("show", name, "--json").json["runkey"]["digest"]


@pytest.mark.parametrize(
    "words", [("export", STAND, "OUT"), ("export", STAND, "OUT.json"), ("bundle", STAND, "-o", "OUT.json")]
)
def test_out_and_in_again(shell: Shell, tmp_path: Path, words: tuple[str, ...]):
    target = tmp_path / ("out.json" if "OUT.json" in words else "out")
    run = shell.ok(*(str(target) if word.startswith("OUT") else word for word in words))
    assert run.out.startswith(f"{target}: 8 objects, 11 payloads, ") and target.exists()
    assert (
        shell.no(1, *(str(target) if word.startswith("OUT") else word for word in words)).count("\n") == 1
    )  # it is there
    made = shell.ok("import", target, "--name", "again", "--json").json
    assert made["runkey"]["digest"] == digest(shell, STAND) and made["objects"] == 8
    assert "there is a runkey 'again' already" in shell.no(1, "import", target, "--name", "again")
    other = Shell(tmp_path / "elsewhere")
    other.ok("import", target)
    assert [r["name"] for r in other.ok("list", "--json").json["runkeys"]] == ["out"]
    assert digest(other, "out") == digest(shell, STAND)


def yarr_files(folder: Path) -> None:
    folder.mkdir(parents=True)
    chips = []
    for n in range(3):
        (folder / f"chip{n}.json").write_bytes(render_chip(make_chip("RD53B", f"chip {n}", n)))
        chips.append({"config": f"chip{n}.json", "path": "relToCon", "tx": 2, "rx": 4 * n, "enable": 1, "locked": 0})
    (folder / "conn.json").write_text(json.dumps({"chipType": "RD53B", "chips": chips}))


def test_yarr_in_and_out(empty: Shell, tmp_path: Path):
    yarr_files(tmp_path / "quad")
    out = empty.ok("import", tmp_path / "quad" / "conn.json", "--name", "quad").out
    assert out.startswith("made 'quad', revision 1, ")
    nodes = empty.ok("tree", "quad", "--json").json["root"]["children"][0]["children"][0]["children"]
    assert [node["edge"]["rx"] for node in nodes] == [0, 4, 8]
    empty.ok("export", "quad", tmp_path / "out", "--format", "yarr")
    for n in range(3):
        assert (tmp_path / "out" / f"chip{n}.json").read_bytes() == (tmp_path / "quad" / f"chip{n}.json").read_bytes()


def test_a_bad_import_is_refused_whole(empty: Shell, tmp_path: Path):
    yarr_files(tmp_path / "quad")
    file = tmp_path / "quad" / "chip1.json"
    file.write_bytes(file.read_bytes().replace(b'"DiffTh1L"', b'"DifTh1L"').replace(b'"LinFc": ', b'"LinFc": 99999'))
    said = empty.no(2, "import", tmp_path / "quad" / "conn.json").splitlines()
    assert len(said) == 2 and all(
        line.startswith("owl: ") and "chip1.json: RD53B.GlobalConfig" in line for line in said
    )
    (tmp_path / "quad" / "chip2.json").unlink()
    assert "chip2.json" in empty.no(2, "import", tmp_path / "quad" / "conn.json")
    assert "there is no" in empty.no(2, "import", tmp_path / "nowhere")
    (tmp_path / "text.json").write_text("hello")
    assert "text.json" in empty.no(2, "import", tmp_path / "text.json")
    assert empty.ok("list", "--json").json["runkeys"] == []


def test_an_import_into_a_runkey(shell: Shell, tmp_path: Path):
    shell.ok("export", STAND, tmp_path / "hv", "--path", "/HV")
    shell.ok("new", "cold")
    shell.ok("import", tmp_path / "hv", "--into", "cold")
    assert shell.ok("get", "cold", "/HV", "setpoints").raw == shell.ok("get", STAND, "/HV", "setpoints").raw
    shell.no(1, "import", tmp_path / "hv", "--into", "cold")
    shell.ok("import", tmp_path / "hv", "--into", "cold", "--replace")


def test_commit_and_fetch(shell: Shell):
    before = digest(shell, STAND)
    assert "never changes" in shell.ok("commit", STAND, "-m", "good").out
    shell.ok("commit", STAND)  # the same again does nothing
    assert digest(shell, f"backend:{STAND}") == before
    assert shell.ok("show", STAND, "--json").json["runkey"]["committed"] is True
    assert "(committed: it never changes any more), backend (the same)" in shell.ok("show", STAND).out
    shell.ok("fetch", STAND, "--as", "mine")
    shell.ok("set", "mine", FE3, "DiffTh1L", "300")
    assert digest(shell, STAND) == before != digest(shell, "mine")
    shell.ok("clone", STAND, "other")
    shell.ok("rename", "other", "else")
    shell.no(1, "commit", "nothing")
    shell.no(1, "fetch", "mine")
    assert "past revision" in shell.no(2, "commit", "mine@1")


def test_a_name_that_the_backend_has_is_refused(shell: Shell):
    shell.ok("commit", STAND)
    shell.ok("delete", STAND, "--yes")
    shell.ok("new", STAND)
    assert "the backend has a runkey 'mmsetup sr1' already" in shell.no(1, "commit", STAND)
