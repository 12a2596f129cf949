"""A store of two SQLite files, and trees to put into it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from db.store import Store
from db.who import Who


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Staging and backend, empty."""
    folder = tmp_path / "databases"
    urls = [f"sqlite:///{folder}/{name}.sqlite" for name in ("staging", "backend")]
    with Store.open(urls[0], urls[1], Who("anna", "daq1")) as opened:
        yield opened
