"""What an alarm costs."""

from __future__ import annotations

import gc
import tracemalloc

from support_alarm_core import FRED, Stand

from iocs.alarm.tree.items import Extras, Item, LeafConfig, Link

COUNT = 4000
BYTES = 1500
"""At most for each alarm: its configuration, its state, and its places in the tree."""


def items() -> list[Item]:
    """As from catalogues and files: no string is shared."""
    return [
        Item(
            f"/DEMO/HV{n // 1000}/L{n // 10:03d}/DEMO:HV{n // 1000}:L{n // 10:03d}:Value{n % 10}",
            LeafConfig(f"Voltage of channel {n}", guidance=(Link("Call", f"the expert of {n}"),)),
            Extras(priority="high", screen=f"hv_{n % 7}"),
        )
        for n in range(COUNT)
    ]


def test_memory() -> None:
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        at = Stand(items())
        for number, leaf in enumerate(at.tree.leaves()):
            at.tree.update(leaf, 0, "NO_ALARM", f"{number}.5 V", at.clock.now_ns() + number)
        at.record.clear()
        gc.collect()
        each = (tracemalloc.get_traced_memory()[0] - before) / COUNT
    finally:
        tracemalloc.stop()
    assert each < BYTES, f"{each:.0f} bytes for each alarm"


def test_many_alarms_at_once() -> None:
    """All of them, up and down; the counts are right all the way."""
    at = Stand(items())
    for leaf in at.tree.leaves():
        at.tree.update(leaf, 2, "HIHI_ALARM", "1", at.clock.now_ns())
    assert at.counts() == ("MAJOR", COUNT, 0, 0, COUNT)
    assert len(at.record.texts) <= 10
    assert at.tree.acknowledge("/DEMO", FRED) == COUNT
    assert at.counts("/DEMO/HV1") == ("MAJOR_ACK", 0, 1000, 0, 1000)
    for leaf in at.tree.leaves():
        at.tree.update(leaf, 0, "NO_ALARM", "1", at.clock.now_ns())
    assert at.counts() == ("OK", 0, 0, 0, COUNT)
