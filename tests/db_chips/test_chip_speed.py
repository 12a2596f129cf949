"""That the way of nearly all files is the fast one. Both sides are timed in turns on the same machine."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
from chip_samples import chip_bytes

from db.chips.chipfile import chip_file, chip_payloads


def best(work: Callable[[], object]) -> float:
    """Seconds of CPU."""
    start = time.process_time()
    work()
    return time.process_time() - start


@pytest.mark.parametrize("layout", ["yarr", "tight"])
def test_faster_than_json_alone(layout: str) -> None:
    data = chip_bytes("RD53B", layout)
    made = {one.role: (one.content, one.meta) for one in chip_payloads(data, "x.json")}
    rounds = [
        (best(lambda: json.loads(data)), best(lambda: chip_payloads(data, "x.json")), best(lambda: chip_file(made)))
        for _ in range(7)
    ]
    alone, ours, back = (min(one) for one in zip(*rounds, strict=True))
    assert ours < alone
    assert back < alone
