"""The order rule over many PVs at once is the rule over one sample at a time."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from archiver.store.order import NEVER, kept, order

ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=40)
NEWEST = st.lists(st.one_of(st.just(NEVER), st.integers(0, 9)), min_size=4, max_size=4)


@given(ROWS, NEWEST)
def test_many_at_once_as_one_by_one(rows: list[tuple[int, int]], newest: list[int]) -> None:
    now = list(newest)
    expected: list[list[int]] = [[] for _ in now]
    duplicate = out_of_order = 0
    for place, (pv, time_ns) in enumerate(rows):
        if time_ns == now[pv]:
            duplicate += 1
        elif time_ns < now[pv]:
            out_of_order += 1
        else:
            now[pv] = time_ns
            expected[pv].append(place)
    key = np.array([pv for pv, _ in rows], np.uint32)
    time_ns = np.array([t for _, t in rows], np.int64)
    result = order(key, time_ns, np.array(newest, np.int64))
    assert result.rows.tolist() == [place for pv in expected for place in pv]
    assert (result.duplicate, result.out_of_order) == (duplicate, out_of_order)
    for pv in range(4):
        mine = np.flatnonzero(key == pv)
        assert mine[kept(time_ns[mine], newest[pv])].tolist() == expected[pv]


def test_more_pvs_than_a_16_bit_key_has() -> None:
    n = 70_000
    key = np.arange(n, dtype=np.uint32)[::-1]
    result = order(key, np.arange(n), np.full(n, NEVER))
    assert np.array_equal(key[result.rows], np.arange(n))
