"""The N1470's ASCII dialogue, as a client sees it line by line."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iocs.hv.model import Board, Line
from iocs.hv.simulator_protocol import MAX_LINE, Dialogue, parse

REPLY = re.compile(rb"#BD:(\d\d),(?:(?:CMD|CH|PAR|VAL|LOC):ERR|CMD:OK(?:,VAL:[!-~]+)?)\r\n")

CHANNEL_DEFAULTS = {
    "VSET": "0000.0",
    "VMIN": "0000.0",
    "VMAX": "8000.0",
    "VDEC": "1",
    "VMON": "0000.0",
    "ISET": "0100.00",
    "IMIN": "0000.00",
    "IMAX": "3000.00",
    "ISDEC": "2",
    "IMON": "0000.00",
    "IMRANGE": "HIGH",
    "IMDEC": "2",
    "MAXV": "8100",
    "MVMIN": "0000",
    "MVMAX": "8100",
    "MVDEC": "0",
    "RUP": "050",
    "RUPMIN": "001",
    "RUPMAX": "500",
    "RUPDEC": "0",
    "RDW": "050",
    "RDWMIN": "001",
    "RDWMAX": "500",
    "RDWDEC": "0",
    "TRIP": "0010.0",
    "TRIPMIN": "0000.0",
    "TRIPMAX": "1000.0",
    "TRIPDEC": "1",
    "PDWN": "KILL",
    "POL": "+",
    "STAT": "00000",
}
BOARD_DEFAULTS = {
    "BDNAME": "N1470",
    "BDNCH": "4",
    "BDFREL": "1.2",
    "BDSNUM": "1003",
    "BDILK": "NO",
    "BDILKM": "CLOSED",
    "BDCTR": "REMOTE",
    "BDTERM": "ON",
    "BDALARM": "00000",
}


class Talk:
    """A conversation with board 3 of a line of boards 0 and 3."""

    def __init__(self, padded: bool = True) -> None:
        self.line = Line([Board(0), Board(3)])
        self.board = self.line.boards[3]
        self.dialogue = Dialogue(self.line, padded)

    def raw(self, line: str | bytes) -> str | None:
        reply = self.dialogue.answer(line.encode() if isinstance(line, str) else line)
        if reply is None:
            return None
        assert REPLY.fullmatch(reply), reply
        return reply.decode().removesuffix("\r\n")

    def ask(self, text: str) -> str:
        """What follows `#BD:03,` in the reply to `$BD:03,` and `text`."""
        reply = self.raw("$BD:03," + text)
        assert reply is not None
        assert reply.startswith("#BD:03,")
        return reply.removeprefix("#BD:03,")

    def value(self, text: str) -> str:
        reply = self.ask("CMD:MON," + text)
        assert reply.startswith("CMD:OK,VAL:"), reply
        return reply.removeprefix("CMD:OK,VAL:")


@pytest.fixture
def talk() -> Talk:
    return Talk()


@pytest.mark.parametrize(("name", "value"), CHANNEL_DEFAULTS.items())
def test_monitor_channel(talk: Talk, name: str, value: str) -> None:
    assert talk.value(f"CH:1,PAR:{name}") == value
    assert talk.value(f"CH:4,PAR:{name}") == ";".join([value] * 4)
    assert talk.ask(f"CMD:MON,PAR:{name}") == "CH:ERR"
    assert talk.ask(f"CMD:MON,CH:5,PAR:{name}") == "CH:ERR"


@pytest.mark.parametrize(("name", "value"), BOARD_DEFAULTS.items())
def test_monitor_board(talk: Talk, name: str, value: str) -> None:
    assert talk.value(f"PAR:{name}") == value
    assert talk.ask(f"CMD:MON,CH:0,PAR:{name}") == "CH:ERR"


def test_nothing_else_can_be_monitored(talk: Talk) -> None:
    for name in ("ON", "OFF", "BDCLR", "FOO", "vmon", "VMO", "VMONX", ""):
        assert talk.ask(f"CMD:MON,CH:0,PAR:{name}") == "PAR:ERR", name


def test_plain_numbers() -> None:
    talk = Talk(padded=False)
    talk.board.channels[0].vmon = 12.34
    assert talk.value("CH:4,PAR:VMON") == "12.3;0.0;0.0;0.0"
    assert talk.value("CH:0,PAR:STAT") == "0"
    assert talk.value("CH:0,PAR:RUP") == "50"


def test_readings_are_written_as_the_manual_has_them(talk: Talk) -> None:
    channel = talk.board.channels[0]
    channel.vmon, channel.imon = 1000.24, 123.456
    assert talk.raw("$BD:03,CMD:MON,CH:0,PAR:VMON") == "#BD:03,CMD:OK,VAL:1000.2"
    assert talk.value("CH:0,PAR:IMON") == "0123.46"
    channel.low_range = True
    assert talk.value("CH:0,PAR:IMON") == "123.456"
    assert talk.value("CH:4,PAR:IMDEC") == "3;2;2;2"
    channel.positive = False
    assert talk.value("CH:0,PAR:POL") == "-"


@pytest.mark.parametrize(
    ("name", "good", "seen"),
    [
        ("VSET", "1500", "1500.0"),
        ("VSET", "0", "0000.0"),
        ("VSET", "8000.0", "8000.0"),
        ("VSET", "1234.56", "1234.6"),
        ("VSET", "0012.5", "0012.5"),
        ("VSET", "12.", "0012.0"),
        ("ISET", "3000.00", "3000.00"),
        ("ISET", "0.05", "0000.05"),
        ("MAXV", "8100", "8100"),
        ("MAXV", "0", "0000"),
        ("RUP", "1", "001"),
        ("RUP", "500", "500"),
        ("RDW", "33", "033"),
        ("TRIP", "0.2", "0000.2"),
        ("TRIP", "1000", "1000.0"),
        ("TRIP", "0", "0000.0"),
        ("PDWN", "RAMP", "RAMP"),
        ("PDWN", "KILL", "KILL"),
        ("IMRANGE", "LOW", "LOW"),
        ("IMRANGE", "HIGH", "HIGH"),
    ],
)
def test_set(talk: Talk, name: str, good: str, seen: str) -> None:
    before = talk.value(f"CH:0,PAR:{name}")
    assert talk.raw(f"$BD:03,CMD:SET,CH:1,PAR:{name},VAL:{good}") == "#BD:03,CMD:OK"
    assert talk.value(f"CH:1,PAR:{name}") == seen
    assert talk.value(f"CH:0,PAR:{name}") == before
    assert talk.ask(f"CMD:SET,CH:4,PAR:{name},VAL:{good}") == "CMD:OK"
    assert talk.value(f"CH:4,PAR:{name}") == ";".join([seen] * 4)


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("VSET", ["8000.1", "-1", "-0", "+1", "1e3", "nan", "inf", "", " 1", "0x10", "1,5", "1.2.3", "½", ".5"]),
        ("ISET", ["3000.01", "-0.01", "A"]),
        ("MAXV", ["8101", "-1"]),
        ("RUP", ["0", "0.4", "501", "0000000000000000"]),
        ("RDW", ["0", "501"]),
        ("TRIP", ["1000.1", "-1"]),
        ("PDWN", ["ramp", "R", "", "0"]),
        ("IMRANGE", ["low", "1", ""]),
        ("BDILKM", ["open", "", "DRIVEN"]),
    ],
)
def test_wrong_values_change_nothing(talk: Talk, name: str, bad: list[str]) -> None:
    where = "" if name.startswith("BD") else "CH:4,"
    before = talk.value(f"{where}PAR:{name}")
    for value in bad:
        expected = "VAL:ERR" if re.fullmatch(r"[!-+\--~]*", value) else "CMD:ERR"
        assert talk.ask(f"CMD:SET,{where}PAR:{name},VAL:{value}") == expected, value
    assert talk.ask(f"CMD:SET,{where}PAR:{name}") == "VAL:ERR"
    assert talk.value(f"{where}PAR:{name}") == before


def test_on_and_off(talk: Talk) -> None:
    assert talk.ask("CMD:SET,CH:1,PAR:ON") == "CMD:OK"
    assert talk.value("CH:4,PAR:STAT") == "00000;00001;00000;00000"
    assert talk.ask("CMD:SET,CH:4,PAR:ON") == "CMD:OK"
    assert talk.value("CH:4,PAR:STAT") == "00001;00001;00001;00001"
    assert talk.ask("CMD:SET,CH:4,PAR:OFF") == "CMD:OK"
    assert talk.value("CH:4,PAR:STAT") == "00000;00000;00000;00000"
    assert talk.ask("CMD:SET,CH:1,PAR:ON,VAL:1") == "VAL:ERR"


def test_board_commands(talk: Talk) -> None:
    talk.board.channels[1].tripped = True
    talk.line.advance(0.1)
    assert talk.value("PAR:BDALARM") == "00002"
    assert talk.ask("CMD:SET,PAR:BDCLR") == "CMD:OK"
    assert talk.value("PAR:BDALARM") == "00000"
    assert talk.value("CH:1,PAR:STAT") == "00000"
    assert talk.ask("CMD:SET,PAR:BDCLR,VAL:1") == "VAL:ERR"
    assert talk.ask("CMD:SET,CH:0,PAR:BDCLR") == "CH:ERR"
    assert talk.ask("CMD:SET,PAR:BDILKM,VAL:OPEN") == "CMD:OK"
    assert talk.value("PAR:BDILKM") == "OPEN"
    assert talk.value("PAR:BDILK") == "YES"
    assert talk.value("CH:4,PAR:STAT") == "04096;04096;04096;04096"


def test_what_cannot_be_set(talk: Talk) -> None:
    for name in ("VMON", "IMON", "STAT", "POL", "VMAX", "TRIPDEC", "BDNAME", "BDALARM", "BDCTR", "FOO", ""):
        assert talk.ask(f"CMD:SET,CH:0,PAR:{name},VAL:1") == "PAR:ERR", name


def test_local_mode(talk: Talk) -> None:
    talk.board.local = True
    assert talk.value("PAR:BDCTR") == "LOCAL"
    assert talk.value("CH:0,PAR:VSET") == "0000.0"
    for request in ("CH:0,PAR:VSET,VAL:5", "CH:0,PAR:ON", "PAR:BDCLR", "CH:0,PAR:FOO", "CH:9,PAR:VSET,VAL:5"):
        assert talk.ask(f"CMD:SET,{request}") == "LOC:ERR"
    assert talk.value("CH:0,PAR:VSET") == "0000.0"
    assert talk.ask("CMD:SETT,CH:0,PAR:VSET,VAL:5") == "CMD:ERR"


@pytest.mark.parametrize(
    "form",
    [
        "$BD:03",
        "$BD:03,",
        "$BD:03,CMD",
        "$BD:03,CMD:",
        "$BD:03,CMD:MON",
        "$BD:03,CMD:GET,CH:0,PAR:VMON",
        "$BD:03,CMD:mon,CH:0,PAR:VMON",
        "$BD:03,cmd:MON,CH:0,PAR:VMON",
        "$BD:03,CH:0,CMD:MON,PAR:VMON",
        "$BD:03, CMD:MON,CH:0,PAR:VMON",
        "$BD:03,CMD:MON,CH:0, PAR:VMON",
        "$BD:03,CMD:MON,CH:0,PAR:VMON ",
        "$BD:03,CMD:MON,CH:0,PAR:VMON,",
        "$BD:03,CMD:MON,CH:0,CH:1,PAR:VMON",
        "$BD:03,CMD:MON,CH:0,PAR:VMON,VAL:1",
        "$BD:03,CMD:MON,CH:0,PAR:VMON,FOO:1",
        "$BD:03,CMD:MON,CH0,PAR:VMON",
        "$BD:03,CMD:MON,CH:0,PAR:VMON\r",
        "$BD:03,CMD:MON,CH:0,PAR:VMON\n",
        "$BD:03,CMD:MON;CH:0;PAR:VMON",
        "$BD:03,CMD:MON,CH:0,PAR:VMÖN",
        "$BD:03,CMD:MON,CH:0,PAR:" + "V" * MAX_LINE,
    ],
)
def test_malformed(talk: Talk, form: str) -> None:
    assert talk.raw(form) == "#BD:03,CMD:ERR"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "BD:03,CMD:MON,CH:0,PAR:VMON",
        "#BD:03,CMD:OK",
        "$bd:03,CMD:MON,CH:0,PAR:VMON",
        "$BD:01,CMD:MON,CH:0,PAR:VMON",
        "$BD:32,CMD:MON,CH:0,PAR:VMON",
        "$BD:003,CMD:MON,CH:0,PAR:VMON",
        "$BD:,CMD:MON,CH:0,PAR:VMON",
        "$BD: 3,CMD:MON,CH:0,PAR:VMON",
        "$BD:03 ,CMD:MON,CH:0,PAR:VMON",
        "$CMD:MON,CH:0,PAR:VMON",
        "$",
    ],
)
def test_nobody_feels_addressed(talk: Talk, line: str) -> None:
    assert talk.raw(line) is None


def test_a_board_without_power_says_nothing(talk: Talk) -> None:
    talk.board.power_off()
    assert talk.raw("$BD:03,CMD:MON,PAR:BDNAME") is None
    assert talk.raw("$BD:00,CMD:MON,PAR:BDNAME") == "#BD:00,CMD:OK,VAL:N1470"


def test_tolerated_forms(talk: Talk) -> None:
    assert talk.raw("$BD:3,CMD:MON,PAR:BDNAME") == "#BD:03,CMD:OK,VAL:N1470"
    assert talk.raw("$BD:03,CMD:MON,PAR:VMON,CH:2") == "#BD:03,CMD:OK,VAL:0000.0"
    assert talk.raw(b"\xff\x00noise$BD:03,CMD:MON,PAR:BDNCH") == "#BD:03,CMD:OK,VAL:4"
    assert talk.raw("$BD:03,CMD:MO$BD:03,CMD:MON,PAR:BDNCH") == "#BD:03,CMD:OK,VAL:4"


def test_channel_numbers(talk: Talk) -> None:
    for text in ("5", "9", "", "00", "04", "-1", "A", "1.0", "44"):
        assert talk.ask(f"CMD:MON,CH:{text},PAR:VMON") == "CH:ERR", text


def test_group_number_is_the_number_of_channels() -> None:
    talk = Talk()
    talk.line.boards[3] = Board(3, channels=2)
    assert talk.value("CH:2,PAR:VMON") == "0000.0;0000.0"
    assert talk.ask("CMD:MON,CH:3,PAR:VMON") == "CH:ERR"
    assert talk.value("PAR:BDNCH") == "2"


FRAGMENTS = st.sampled_from(
    "$|#BD:|BD:03|BD:00|,|:|;|CMD:|MON|SET|CH:0|CH:4|CH:|PAR:|PAR:VSET|PAR:ON|PAR:BDCLR|VAL:|15|-1|.|\r|\n|\0".split(
        "|"
    )
)
SHAPED = st.builds(
    lambda bd, cmd, ch, par, val: f"$BD:{bd},CMD:{cmd}{ch}{par}{val}".encode("utf-8", "surrogatepass"),
    st.sampled_from(["00", "03", "3", "31", "99"]),
    st.sampled_from(["MON", "SET", "FOO"]),
    st.sampled_from(["", ",CH:0", ",CH:4", ",CH:9"]),
    st.sampled_from([f",PAR:{name}" for name in [*CHANNEL_DEFAULTS, *BOARD_DEFAULTS, "ON", "OFF", "BDCLR", "X"]]),
    st.one_of(
        st.just(""), st.floats().map(lambda x: f",VAL:{x}"), st.text(max_size=20).map(lambda text: f",VAL:{text}")
    ),
)


@settings(deadline=None)
@given(
    st.one_of(
        st.binary(max_size=300),
        st.lists(FRAGMENTS, max_size=20).map(lambda parts: "".join(parts).encode()),
        SHAPED,
    )
)
def test_every_line_has_a_legal_answer_or_silence(line: bytes) -> None:
    talk = Talk()
    talk.line.boards[3].channels[0].set_vset(1000.0)
    talk.raw(line)  # asserts the grammar
    talk.line.advance(10.0)
    for channel in talk.line.channels():
        assert 0 <= channel.vset <= 8000
        assert 0 <= channel.iset <= 3000
        assert 1 <= channel.rup <= 500
        assert 0 <= channel.trip <= 1000


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_parsing_is_total(line: bytes) -> None:
    request = parse(line)
    assert request is None or 0 <= request.board <= 99
