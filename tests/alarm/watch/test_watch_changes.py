"""Which events change an alarm: against the plain loop, over whatever batches there may be."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from iocs.alarm.watch.changes import Changes
from owlshift.ca import Batch, Dbr

words = st.sampled_from([0, 1, 2, 3, 0xFFFF])
event = st.tuples(st.integers(0, 12), words, words)
batches = st.lists(st.lists(event, max_size=20), max_size=8)


def make_batch(events: list[tuple[int, int, int]]) -> Batch:
    count = len(events)
    return Batch(
        Dbr.DOUBLE,
        np.array([one[0] for one in events], np.uint32),
        np.full(count, 1_700_000_000_000_000_000, np.int64),
        np.array([one[1] for one in events], np.uint16),
        np.array([one[2] for one in events], np.uint16),
        np.arange(count, dtype=float),
    )


@given(batches, st.sets(st.integers(0, 12)))
def test_as_a_plain_loop_would(all_events, forgotten) -> None:
    changes = Changes(room=2)
    last: dict[int, tuple[int, int]] = {}
    for number, events in enumerate(all_events):
        expected = []
        for place, (channel, *code) in enumerate(events):
            if last.get(channel) != tuple(code):
                expected.append(place)
                last[channel] = (code[0], code[1])
        assert changes.take(make_batch(events)) == expected
        if number % 2:
            for channel in forgotten:
                changes.forget(channel)
                last.pop(channel, None)
        for channel in range(13):
            assert changes.heard(channel) == (channel in last)


def test_there_and_back_within_a_batch() -> None:
    changes = Changes()
    assert changes.take(make_batch([(3, 0, 0), (4, 1, 4)])) == [0, 1]
    assert changes.take(make_batch([(3, 2, 3), (4, 1, 4), (3, 2, 3), (3, 0, 0)])) == [0, 3]
    assert changes.take(make_batch([(3, 0, 0)])) == []
