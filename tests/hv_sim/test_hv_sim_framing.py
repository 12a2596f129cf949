"""How the line cuts a byte stream into requests, and how faults act on replies: no sockets."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from iocs.hv.model import Board, Line
from iocs.hv.simulator import KEEP, Conversation, Simulator
from iocs.hv.simulator_faults import Distortion, Faults, Rule

REPLY = b"#BD:00,CMD:OK,VAL:0012.5\r\n"


def replies(chunks: list[bytes]) -> bytes:
    """What a board answers to a stream that arrives in these chunks; its clock stands still."""
    out = bytearray()
    simulator = Simulator(Line([Board(0)]), speed=0.0)
    conversation = Conversation(simulator, out.extend, lambda _: None)
    for chunk in chunks:
        conversation.feed(chunk)
    return bytes(out)


PIECES = st.sampled_from(
    [b"$BD:00,", b"CMD:MON,", b"PAR:BDNAME", b"CH:4,PAR:VMON", b"\r\n", b"\r", b"\n", b"$", b"$BD:09,", b"\xff\x00"]
    + [b"x" * n for n in (1, KEEP // 2, KEEP - 1, KEEP, KEEP + 1)]
)


@settings(deadline=None)
@given(stream=st.lists(PIECES, max_size=30).map(b"".join), cuts=st.lists(st.integers(0, 20_000), max_size=30))
@example(stream=b"$BD:00," + b"x" * KEEP + b"\r" + b"y\n" + b"\r\n", cuts=[KEEP - 1, KEEP, KEEP + 7, KEEP + 8])
@example(stream=b"$BD:00," + b"x" * (KEEP - 8) + b"\r" + b"z" * KEEP + b"\n\r\n", cuts=[2 * KEEP])
def test_chunks_do_not_matter(stream: bytes, cuts: list[int]) -> None:
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    chunks = [stream[a:b] for a, b in itertools.pairwise(edges)]
    assert replies(chunks) == replies([stream])


def test_a_line_as_long_as_can_be_is_answered_once() -> None:
    assert replies([b"$BD:00,", *[b"y" * 5000] * 20, b"\r\n"]) == b"#BD:00,CMD:ERR\r\n"
    assert replies([b"y" * 100_000, b"$BD:00,CMD:MON,PAR:BDNCH\r\n"]) == b"#BD:00,CMD:OK,VAL:4\r\n"


class TestDistort:
    @given(seed=st.integers(0, 1000), distortion=st.sampled_from(list(Distortion)))
    def test_every_distortion_spoils(self, seed: int, distortion: Distortion) -> None:
        faults = Faults([Rule(distortion)], random=random.Random(seed))
        out, held = faults.distort(0, REPLY, b"")
        assert out != REPLY
        assert held == (REPLY if distortion is Distortion.STALE else b"")
        if distortion in (Distortion.HALF, Distortion.CUT):
            assert REPLY.startswith(out.removesuffix(b"\r\n"))
            assert len(out.removesuffix(b"\r\n")) < len(REPLY) - 2
        assert out.endswith(b"\r\n") == (
            distortion not in (Distortion.HALF, Distortion.MERGE, Distortion.SILENCE, Distortion.STALE)
        )

    def test_counts_down(self) -> None:
        faults = Faults([Rule(Distortion.SILENCE, left=2)])
        assert [faults.distort(0, REPLY, b"")[0] for _ in range(3)] == [b"", b"", REPLY]
        assert not faults.active

    def test_another_board_is_not_counted(self) -> None:
        faults = Faults([Rule(Distortion.SILENCE, left=1, board=1)])
        assert faults.distort(0, REPLY, b"")[0] == REPLY
        assert faults.distort(1, REPLY, b"")[0] == b""

    def test_board_31_becomes_board_0(self) -> None:
        faults = Faults([Rule(Distortion.WRONG_BOARD)])
        assert faults.distort(31, b"#BD:31,CMD:OK\r\n", b"")[0] == b"#BD:00,CMD:OK\r\n"

    def test_two_at_once(self) -> None:
        faults = Faults([Rule(Distortion.WRONG_BOARD), Rule(Distortion.DUPLICATE)])
        assert faults.distort(0, REPLY, b"")[0] == REPLY.replace(b"00", b"01", 1) * 2

    @pytest.mark.parametrize(("per_byte", "seconds"), [(False, 0.5), (True, 0.5 * len(REPLY))])
    def test_delay(self, per_byte: bool, seconds: float) -> None:
        faults = Faults(delay=0.5, per_byte=per_byte)
        assert faults.active
        assert faults.seconds(REPLY) == pytest.approx(seconds)
        faults.clear()
        assert not faults.active
        assert faults.seconds(REPLY) == 0.0
