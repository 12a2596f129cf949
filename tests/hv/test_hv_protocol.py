"""Bytes <-> messages of the N1470 protocol: what is right is read, what is wrong is never a value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iocs.hv.board import BoardSpec, Identity, Range, Setting, believable, learn_widths, order
from iocs.hv.protocol import (
    MAX_LINE,
    PARAMETERS,
    BadReply,
    DeviceError,
    Kind,
    LineSplitter,
    Rejected,
    Reply,
    Request,
    check,
    decode,
    mon,
    parse_reply,
)

VMON = mon(3, "VMON", 4)
FOUR = b"#BD:03,CMD:OK,VAL:0001.0;0002.0;0003.0;0004.5"
IDENTITY = Identity(
    "N1470",
    4,
    "1.0",
    "7",
    {"VSET": (Range(0, 8000, 1),) * 4, "ISET": (Range(0, 3000, 2),) * 4, "RUP": (Range(1, 500, 0),) * 4},
    {"VMON": 6, "STAT": 5},
)


def test_requests_are_the_bytes_of_the_manual():
    assert mon(0, "VMON", 4).encode() == b"$BD:00,CMD:MON,CH:4,PAR:VMON\r\n"
    assert mon(31, "BDNAME", 4).encode() == b"$BD:31,CMD:MON,PAR:BDNAME\r\n"
    assert Request(0, "SET", "VSET", 1, "1500").encode() == b"$BD:00,CMD:SET,CH:1,PAR:VSET,VAL:1500\r\n"
    assert Request(0, "SET", "ON", 1).encode() == b"$BD:00,CMD:SET,CH:1,PAR:ON\r\n"


def test_values_are_read():
    assert decode(VMON, parse_reply(FOUR), [1] * 4) == (1.0, 2.0, 3.0, 4.5)
    assert decode(mon(3, "STAT", 4), parse_reply(b"#BD:03,CMD:OK,VAL:00001;1;02;128")) == (1, 1, 2, 128)
    assert decode(mon(3, "POL", 4), parse_reply(b"#BD:03,CMD:OK,VAL:+;-;+;-")) == ("+", "-", "+", "-")
    assert decode(mon(3, "BDNAME", 4), parse_reply(b"#BD:03,CMD:OK,VAL:N1470")) == ("N1470",)


@pytest.mark.parametrize("error", ["CMD:ERR", "CH:ERR", "PAR:ERR", "VAL:ERR", "LOC:ERR"])
def test_a_refusal_has_the_devices_own_word_in_it(error):
    reply = parse_reply(f"#BD:03,{error}".encode())
    check(VMON, reply)
    with pytest.raises(Rejected, match=error):
        decode(VMON, reply)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"#BD:3,CMD:OK",
        b"#BD:03,CMD:OK,VAL:",
        b"#BD:03,CMD:OK,VAL:0001.0;0002.0;0003.0;0004",
        b"#BD:03,CMD:OK,VAL:0001.0;0002.0;0003.0;0004.",
        b"#BD:03,CMD:OK,VAL:0001.0;0002.0;0003.0;",
        b"#BD:03,CMD:OK,VAL:0001.0;0002.0;0003.0",
        b"#BD:03,CMD:OK,VAL:0001.0;0002.0;0003.0;0004.55",
        b"#BD:03,CMD:OK,VAL:0001.0;0002.0;0003.0;nan",
        b"#BD:03,CMD:OK,VAL:0001.0;0002.0;0003.0;1e3",
        b"#BD:03,CMD:OK,VAL:0001.0;0002.0;0003.0;00#BD:03,CMD:OK",
        b"#BD:04,CMD:OK,VAL:0001.0;0002.0;0003.0;0004.5",
        b"#BD:03,CMD:OK",
        b" #BD:03,CMD:OK,VAL:0001.0;0002.0;0003.0;0004.5",
        b"#BD:03,CMD:OK,VAL:0001.0;0002.0;0003.0;0004.5\r",
        b"#BD:03,CMD:OK,VAL:\xff",
        b"#BD:03,CMD:OK,VAL:HIGH;HIGH;LOW;LOW",
        b"#BD:03,CMD:OK,VAL:\xc2\xb2;1.0;1.0;1.0",
    ],
)
def test_what_is_not_the_answer_is_a_bad_reply(line):
    with pytest.raises(BadReply):
        reply = parse_reply(line)
        check(VMON, reply)
        decode(VMON, reply, [1] * 4)


def test_a_number_outside_of_what_the_board_can_do_is_a_bad_reply():
    with pytest.raises(BadReply, match="outside"):
        believable(IDENTITY, VMON, parse_reply(b"#BD:03,CMD:OK,VAL:0001.0;0002.0;0003.0;9999.5"))
    with pytest.raises(BadReply, match="outside"):
        believable(IDENTITY, mon(3, "RUP", 4), parse_reply(b"#BD:03,CMD:OK,VAL:000;100;100;100"))


def test_a_number_cut_short_is_a_bad_reply():
    good = b"#BD:03,CMD:OK,VAL:00001;00001;00001;00129"
    assert believable(IDENTITY, mon(3, "STAT", 4), parse_reply(good)) == (1, 1, 1, 129)
    for length in range(1, len(good)):
        with pytest.raises(BadReply):
            reply = parse_reply(good[:length])
            check(mon(3, "STAT", 4), reply)
            believable(IDENTITY, mon(3, "STAT", 4), reply)


def test_widths_are_learned_only_from_boards_that_pad():
    padded = [parse_reply(b"#BD:03,CMD:OK,VAL:00000;00001"), parse_reply(b"#BD:03,CMD:OK,VAL:8100;8100")]
    assert learn_widths(["STAT", "MAXV"], padded) == {"STAT": 5, "MAXV": 4}
    plain = [parse_reply(b"#BD:03,CMD:OK,VAL:0;1"), parse_reply(b"#BD:03,CMD:OK,VAL:0.5;100.5")]
    assert learn_widths(["STAT", "VMON"], plain) == {}


def test_orders_have_the_boards_decimals_and_stay_in_its_range():
    board = BoardSpec("B3", 3)
    assert str(order(board, IDENTITY, Setting("B3", "VSET", 1, 1500.04))) == "$BD:03,CMD:SET,CH:1,PAR:VSET,VAL:1500.0"
    assert str(order(board, IDENTITY, Setting("B3", "RUP", None, 99.6))) == "$BD:03,CMD:SET,CH:4,PAR:RUP,VAL:100"
    assert str(order(board, IDENTITY, Setting("B3", "OFF"))) == "$BD:03,CMD:SET,CH:4,PAR:OFF"
    assert str(order(board, IDENTITY, Setting("B3", "BDCLR"))) == "$BD:03,CMD:SET,PAR:BDCLR"
    for value in (-1.0, 8000.1, float("nan"), float("inf")):
        with pytest.raises(Rejected, match="outside"):
            order(board, IDENTITY, Setting("B3", "VSET", 1, value))


@given(st.binary(max_size=200))
def test_no_bytes_break_the_parser(line):
    try:
        reply = parse_reply(line)
        check(VMON, reply)
        decode(VMON, reply)
    except DeviceError:
        pass


@given(st.text(alphabet="#BD:03,CMOKVALER-+.;HIGLOW0189\r\n$", max_size=80))
def test_no_text_of_the_protocols_alphabet_breaks_the_parser(text):
    for request in (VMON, mon(0, "POL", 2), mon(3, "BDNAME", 4), Request(3, "SET", "ON", 1)):
        try:
            reply = parse_reply(text.encode())
            check(request, reply)
            if request.command == "MON":
                decode(request, reply)
        except DeviceError:
            pass


@given(
    st.integers(0, 99),
    st.lists(st.decimals(0, 8000, places=1, allow_nan=False), min_size=1, max_size=16),
)
def test_what_a_board_writes_is_what_is_read(board, values):
    request = mon(board, "VMON", len(values))
    line = f"#BD:{board:02d},CMD:OK,VAL:{';'.join(f'{float(value):06.1f}' for value in values)}"
    assert decode(request, parse_reply(line.encode()), [1] * len(values)) == tuple(float(value) for value in values)


@given(st.sampled_from([p for p in PARAMETERS.values() if p.kind is not Kind.ACTION]), st.data())
def test_the_answer_to_another_kind_of_question_is_never_taken(parameter, data):
    """A word is never a number; the order in which a board is read relies on it."""
    other = data.draw(st.sampled_from([p for p in PARAMETERS.values() if p.kind is Kind.WORD and p != parameter]))
    values = tuple(data.draw(st.sampled_from(other.words)) for _ in range(4 if other.per_channel else 1))
    request = mon(3, parameter.name, 4)
    if parameter.kind is Kind.TEXT or set(values) <= set(parameter.words):
        return
    with pytest.raises(BadReply):
        decode(request, Reply(3, None, values))


@given(st.lists(st.binary(max_size=60).filter(lambda b: b"\r\n" not in b), max_size=8), st.integers(1, 20))
def test_lines_come_whole_however_they_arrive(lines, size):
    data = b"".join(line + b"\r\n" for line in lines)
    splitter = LineSplitter()
    got = [line for start in range(0, len(data), size) for line in splitter.feed(data[start : start + size])]
    assert b"\r\n".join(got) == b"\r\n".join(lines)
    assert splitter.take_rest() == b""


def test_an_endless_line_does_not_grow():
    splitter = LineSplitter()
    for _ in range(100):
        list(splitter.feed(b"x" * 100))
    assert len(splitter.take_rest()) <= MAX_LINE
