"""The rules for samples, each as a row of a table: what comes in, what is kept, and what is counted."""

from __future__ import annotations

from pathlib import Path

import pytest
from archive_tools import columns_of, counted, flat, opened

from archiver.store import Dbr, StoreReader

T = 1577836800 * 10**9
"""2020-01-01 UTC in ns."""

HOUR = 3600 * 10**9

RULES: dict[str, tuple[list[int], list[int], dict[str, int]]] = {
    "in order": ([T, T + 5, T + 9], [T, T + 5, T + 9], {}),
    "one nanosecond apart": ([T, T + 1, T + 2], [T, T + 1, T + 2], {}),
    "sent again after a reconnect": ([T, T + 5, T + 5, T + 6], [T, T + 5, T + 6], {"duplicate": 1}),
    "sent again twice": ([T, T, T], [T], {"duplicate": 2}),
    "one late sample": ([T, T + 9, T + 5, T + 10], [T, T + 9, T + 10], {"out_of_order": 1}),
    "late, and equal to one before the newest": ([T, T + 5, T + 9, T + 5], [T, T + 5, T + 9], {"out_of_order": 1}),
    "a clock set back an hour, until it has caught up": (
        [T + HOUR, T + 1, T + 2, T + HOUR, T + HOUR + 1],
        [T + HOUR, T + HOUR + 1],
        {"out_of_order": 2, "duplicate": 1},
    ),
    "a clock set forward and right again": (
        [T, T + HOUR, T + 1, T + 2, T + HOUR + 1],
        [T, T + HOUR, T + HOUR + 1],
        {"out_of_order": 2},
    ),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("logs", ["one", "each"])
@pytest.mark.parametrize("types", ["same", "changing"])
def test_rule(tmp_path: Path, rule: str, logs: str, types: str) -> None:
    came, kept, dropped = RULES[rule]
    writer = opened(tmp_path)
    ids = writer.add_pvs(["OTHER", "A"])
    for number, time_ns in enumerate(came):
        dbr = (Dbr.DOUBLE, Dbr.LONG, Dbr.STRING)[number % 3] if types == "changing" else Dbr.DOUBLE
        value = "x" if dbr is Dbr.STRING else number
        writer.append(columns_of(dbr, [ids["A"]], [time_ns], [value]))
        writer.append(columns_of(Dbr.DOUBLE, [ids["OTHER"]], [T + number], [0.0]))
        # a reader of the log sees what the segments will hold
        assert [row[2] for row in flat(StoreReader(tmp_path), "A")] == [t for t in kept if t in came[: number + 1]]
        if logs == "each":
            writer.roll()
            assert writer.convert_next()
    writer.roll()
    while writer.convert_next() or writer.compact_next(today=10**6):
        pass
    assert [row[2] for row in flat(StoreReader(tmp_path), "A")] == kept
    assert len(flat(StoreReader(tmp_path), "OTHER")) == len(came)
    totals = writer.manifest.totals
    assert {key: totals.get(f"dropped.{key}", 0) for key in dropped} == dropped
    assert counted(totals) == (2 * len(came), 2 * len(came))
    assert int(writer.channels["dropped"][ids["A"]]) == sum(dropped.values())
    assert int(writer.channels["dropped"][ids["OTHER"]]) == 0
    writer.close()
