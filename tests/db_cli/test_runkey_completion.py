"""The tab key: names, paths, roles, keys and tags, in a real bash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from runkey_shell import STAND, Shell
from support import ROOT

pytestmark = pytest.mark.timeout(300)
needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")


def complete(shell: Shell, *words: str, env: dict[str, str] | None = None) -> list[str]:
    """What is offered for the last of the words of a line, each as it is typed; by what the shell starts."""
    environment = {
        **os.environ,
        **shell.environment,
        "_OWL_COMPLETE": "complete_bash",
        "COMP_WORDS": "\n".join(("owl", "runkey", *words)),
        "COMP_CWORD": str(len(words) + 1),
        **(env or {}),
    }
    argv = [sys.executable, "-c", "import sys; sys.argv = ['owl']; from owlshift.cli import main; main()"]
    done = subprocess.run(argv, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    return [line for line in done.stdout.splitlines() if line]


def test_names(shell: Shell):
    shell.ok("clone", STAND, "cosmics 12")
    shell.ok("commit", "cosmics 12")
    shell.ok("delete", "cosmics 12", "--yes")
    assert complete(shell, "show", "") == ["mmsetup\\ sr1", "cosmics\\ 12"]
    assert complete(shell, "show", "cos") == ["cosmics\\ 12"]
    assert complete(shell, "show", '"cos') == ["cosmics 12"]
    assert complete(shell, "show", "cosmics\\ 1") == ["cosmics\\ 12"]
    assert complete(shell, "edit", "") == ["mmsetup\\ sr1"]  # of the staging area
    assert complete(shell, "fetch", "") == ["cosmics\\ 12"]
    assert complete(shell, "diff", "mmsetup\\ sr1", "cos") == ["cosmics\\ 12"]


def test_paths_roles_keys(shell: Shell):
    name = "mmsetup\\ sr1"
    assert complete(shell, "get", name, "") == ["/", "/FELIX\\ 1", "/FELIX\\ 1/", "/HV"]
    assert complete(shell, "get", name, "/FELIX\\ 1/OB1/FE") == [f"/FELIX\\ 1/OB1/FE{n}" for n in (1, 2, 3, 4)]
    assert complete(shell, "get", name, "/HV", "") == ["conditions", "setpoints"]
    assert complete(shell, "get", name, "/FELIX\\ 1/OB1/FE2", "p") == ["pixels"]
    assert complete(shell, "set", name, "/FELIX\\ 1/OB1/FE2", "DiffTh1") == ["DiffTh1L", "DiffTh1M", "DiffTh1R"]
    assert "DEMO:HV:L07:VSet" in complete(shell, "blame", name, "/HV", "DEMO")
    assert complete(shell, "tree", name, "--path", "/FELIX\\ 1/") == ["/FELIX\\ 1/OB1", "/FELIX\\ 1/OB1/"]


def test_tags_and_options(shell: Shell):
    shell.ok("tag", "good run", STAND)
    assert complete(shell, "untag", "g") == ["good\\ run"]
    assert complete(shell, "list", "--tag", "g") == ["good\\ run"]
    assert "--tag" in complete(shell, "list", "--")
    assert "snapshot" in complete(shell, "sn")


def test_a_site_of_the_line(shell: Shell):
    site = shell.folder / "site.toml"
    state = shell.folder / "state"
    site.write_text(f'[site]\nname = "T"\nstate = "{state}"\n[db]\nstaging = "sqlite:///db/staging.sqlite"\n')
    env = {"OWLSHIFT_STATE": "", "XDG_STATE_HOME": str(shell.folder / "none")}
    assert complete(shell, "show", "--site", str(site), "mm", env=env) == ["mmsetup\\ sr1"]
    assert complete(shell, "show", "mm", env={**env, "OWLSHIFT_SITE": str(site)}) == ["mmsetup\\ sr1"]
    assert complete(shell, "show", "--state", str(state), "mm", env=env) == ["mmsetup\\ sr1"]
    assert complete(shell, "show", "mm", env=env) == []


def test_what_is_wrong_is_not_said(empty: Shell):
    assert complete(empty, "show", "") == []
    (empty.folder / "state" / "db").mkdir(parents=True)
    (empty.folder / "state" / "db" / "staging.sqlite").write_text("no database")
    assert complete(empty, "show", "") == []
    assert complete(empty, "get", "nothing", "/x") == []


@needs_bash
def test_in_bash(shell: Shell):
    script = """
        eval "$("$PYTHON" -c "$MAIN" --show-completion bash)"
        owl() { "$PYTHON" -c "$MAIN" "$@"; }
        COMP_WORDS=(owl runkey show mm); COMP_CWORD=3
        complete -p owl >&2
        _owl_completion owl
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    main = "import sys; sys.argv[0] = 'owl'; from owlshift.cli import main; main()"
    folder = shell.folder / "bin"
    folder.mkdir()
    (folder / "owl").write_text(f'#!/bin/sh\nexec {sys.executable} -c "{main}" "$@"\n')
    (folder / "owl").chmod(0o755)
    environment = {
        **os.environ,
        **shell.environment,
        "PYTHON": sys.executable,
        "MAIN": main,
        "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
        "PATH": f"{folder}:{os.environ['PATH']}",
    }
    done = subprocess.run(["bash", "-c", script], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout == "mmsetup\\ sr1\n", done.stderr
