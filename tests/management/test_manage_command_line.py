"""`owl archive add`, `pause` and the others, against a running archiver."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from manage_stand import TIMEOUT, Site, counter
from support import owl, wait_until
from typer.testing import CliRunner, Result

from archiver.cli import app

pytestmark = pytest.mark.timeout(600)


def test_ten_thousand_pvs_start_at_once_and_the_command_line(tmp_path: Path, prefix: str) -> None:
    a, b = f"{prefix}A", f"{prefix}B"
    with Site(tmp_path, counter(a) + counter(b)) as site:
        names = [f"{prefix}none{n}" for n in range(9_998)] + [a, b]
        (tmp_path / "names").write_text("# what the lab wants\n" + "\n".join(names))
        assert "10000 PVs" in site.owl("add", "--file", str(tmp_path / "names"), "--period", "2")
        for name in (a, b):
            site.wait_status(name, "Being archived")
        assert "every event" in site.owl("state", a)
        assert site.owl("report", "never-connected", "-n", "3").count("METAINFO_REQUESTED") == 3
        assert len(json.loads(site.owl("report", "never-connected", "-n", "0", "--json"))) == 9_998
        assert "9998 PVs: ok" in site.owl("pause", f"{prefix}none*")
        assert "9998 PVs: ok" in site.owl("delete", f"{prefix}none*", "--data", "--yes")
        assert "not paused" in site.owl("delete", b, code=1)
        assert "needs --yes" in site.owl("delete", b, "--data", code=2)
        assert site.owl("pause", a).splitlines()[1].endswith("ok")
        assert "already paused" in site.owl("pause", a, b, code=1)
        assert "is called" in site.owl("rename", a, f"{prefix}Z")
        assert "stands for" in site.owl("alias", "Nick", f"{prefix}Z")
        assert "already" in site.owl("rename", "Nick", b, code=1)
        assert "Nick" in site.owl("alias") and "any more" in site.owl("alias", "--remove", "Nick")
        assert "3.0" in site.owl("change", f"{prefix}Z", "--period", "3", "--method", "scan")
        assert "rename" in site.owl("audit", "--pv", f"{prefix}Z")
        assert site.owl("policies").startswith("policy")
        assert site.owl("add", "no good name", code=1).startswith("owl: 'no good name' is no name of a PV")
        assert site.owl("report", "nonsense", code=2)


def test_what_needs_no_archiver() -> None:
    def owl_here(*arguments: str) -> Result:
        return CliRunner().invoke(app, [*arguments, "--url", "http://127.0.0.1:9"])

    listed = owl_here("report").stdout.split()
    assert "silent" in listed and json.loads(owl_here("report", "--json").stdout) == listed
    reset = owl_here("policies", "--reset")
    assert reset.exit_code == 2 and "--apply" in reset.output
    gone = owl_here("report", "silent")
    assert gone.exit_code == 1 and gone.stderr.startswith("owl: no archiver answers at http://127.0.0.1:9")


def test_tokens_where_the_access_file_asks_for_one(tmp_path: Path, prefix: str) -> None:
    name = f"{prefix}A"
    (tmp_path / "site.acf").write_text(
        'UAG(ops) { "anna" }\nASG(DEFAULT) { RULE(1, WRITE) }\n'
        "ASG(ARCHIVER) { RULE(1, READ) RULE(1, WRITE) { UAG(ops) } }\n"
    )
    extra = '[archiver.access]\ntokens = "tokens"\n[access]\nfile = "site.acf"\n'
    with Site(tmp_path, counter(name), extra) as site:
        made = [
            subprocess.run(
                [*owl("archive", "token", "add", user), "--site", str(tmp_path / "site.toml")],
                capture_output=True,
                text=True,
                timeout=TIMEOUT,
                check=True,
            )
            for user in ("anna", "ben")
        ]
        anna, ben = (done.stdout.strip() for done in made)
        assert "not shown again" in made[0].stderr and anna not in (tmp_path / "tokens").read_text()
        assert "do not let anonymous" in site.owl("add", name, code=1)
        assert "$OWLSHIFT_ARCHIVE_TOKEN" in site.owl("add", name, code=1)
        wait_until(lambda: "do not let ben" in site.owl("add", name, code=1, token=ben), TIMEOUT, "ben to be known")
        assert "submitted" in site.owl("add", name, token=anna)
        site.wait_status(name, "Being archived")
        refused = site.owl("audit", "--refused")
        assert "ben@127.0.0.1" in refused and "refused: The rules of ASG(ARCHIVER)" in refused
