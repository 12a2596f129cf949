"""A shell in Berlin, with empty databases, or with a runkey to look at."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from runkey_shell import STAND, Shell, stand


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is that of Berlin; nothing of the caller's environment names a site."""
    for name in ("OWLSHIFT_SITE", "OWLSHIFT_STATE", "OWLSHIFT_DB_PASSWORD", "VISUAL", "EDITOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (("TZ", "Europe/Berlin"), ("NO_COLOR", "1"), ("COLUMNS", "200")):
        monkeypatch.setenv(name, value)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def empty(tmp_path: Path) -> Shell:
    """No database yet."""
    return Shell(tmp_path)


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Databases with one runkey, to be copied."""
    shell = Shell(tmp_path_factory.mktemp("filled"))
    with shell.store() as store:
        store.staging.create(STAND, stand(), "as found in November")
    return shell.folder / "state"


@pytest.fixture
def shell(filled: Path, tmp_path: Path) -> Shell:
    """Databases with the runkey `STAND` in the staging area."""
    shutil.copytree(filled, tmp_path / "state")
    return Shell(tmp_path)
