"""An archive of a few PVs, and its management."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import ROOT

sys.path.insert(0, str(ROOT))

from management_support import Stand

from archiver.config import ArchiverConfig


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    config = ArchiverConfig.model_validate(
        {
            "policy": [
                {"name": "fast", "pv": "F:*", "method": "monitor", "fields": ["ADEL"]},
                {"name": "slow", "pv": "S:*", "method": "scan", "period": 10.0, "doc": "Now and then"},
            ]
        }
    )
    made = Stand(tmp_path / "archive", ["SIM:A", "SIM:B", "SIM:C"], config)
    yield made
    made.close()
