"""Each trap of caproto's value and alarm semantics: that ours is not caught, and (where it is cheap) that stock is."""

# Wrong types are what is tested here, and stock caproto's decorators are beyond pyright:
# pyright: reportArgumentType=false, reportGeneralTypeIssues=false, reportCallIssue=false, reportAttributeAccessIssue=false

from __future__ import annotations

import asyncio
import enum
import math
from collections.abc import Iterator

import numpy as np
import pytest
from caproto import AlarmSeverity, AlarmStatus, CaprotoValueError, ChannelType, SubscriptionType
from caproto.server import PVGroup, pvproperty

from owlshift.ioc import (
    Array,
    DeclarationError,
    Device,
    Ioc,
    PutRefused,
    Pv,
    Severity,
    Text,
    command,
    readback,
    setpoint,
)
from owlshift.ioc import pv as pv_module

VALUE, ALARM, PROPERTY = 3, 4, 8
NO_ALARM = (AlarmStatus.NO_ALARM, Severity.NO_ALARM)
UDF = (AlarmStatus.UDF, Severity.INVALID)
COMM = (AlarmStatus.COMM, Severity.INVALID)
READ = (AlarmStatus.READ, Severity.INVALID)


class Mode(enum.IntEnum):
    Off = 0
    Ramp = 1
    Trip = 2


class Box(Device):
    """A device with one of each."""

    a = readback(float, units="V", warn=(None, 8), alarm=(None, 10))
    b = readback(float, alarm=(-5, 10), severities={"HIHI": Severity.MINOR, "LOLO": Severity.NO_ALARM})
    free = readback(float)
    count = readback(int, alarm=(None, 10))
    mode = readback(Mode, severities={Mode.Ramp: Severity.MINOR, Mode.Trip: Severity.MAJOR})
    flag = readback(bool, severities={True: Severity.MAJOR})
    text = readback(str)
    trace = readback(Array(float, 5), alarm=(None, 10))
    ints = readback(Array(int, 5))
    note = readback(Text(10))
    want = setpoint(float, control=(0, 10))
    number = setpoint(int, initial=1)
    choice = setpoint(Mode, initial=Mode.Off)
    name_ = setpoint(str, name="name", initial="x")

    def __init__(self) -> None:
        self.puts: list[object] = []

    @want.putter
    async def _(self, value: float) -> None:
        if value == 9:
            raise PutRefused("not nine")
        self.puts.append(value)

    @choice.putter
    async def _(self, value: Mode) -> None:
        if value is Mode.Trip:
            raise PutRefused("nobody trips on demand")


Event = tuple[int, object, tuple[AlarmStatus, Severity]]


def alarm(pv: Pv) -> tuple[AlarmStatus, Severity]:
    return pv.status, pv.severity


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, list[Event]]]:
    """Everything that would go to monitors, by PV name."""
    found: dict[str, list[Event]] = {}

    def publish(pv: Pv, flags: int) -> None:
        found.setdefault(pv.name, []).append((flags, pv.value, alarm(pv)))

    monkeypatch.setattr(pv_module, "publish", publish)
    yield found


@pytest.fixture
def box(events: dict[str, list[Event]]) -> Box:
    box = Box()
    Ioc("T:", [("", box)])
    events.clear()
    return box


async def client_put(pv: Pv, data: object, dbr: ChannelType = ChannelType.DOUBLE) -> None:
    """A put as the server hands it on."""
    if dbr == ChannelType.STRING:
        items: object = [data] if isinstance(data, bytes) else data
    else:
        dtype = {ChannelType.DOUBLE: ">f8", ChannelType.LONG: ">i4", ChannelType.INT: ">i2", ChannelType.CHAR: "u1"}
        items = np.atleast_1d(np.asarray(data, dtype.get(dbr, ">u2")))
    await pv.auth_write("host", "user", items, dbr, None)


# A1


async def test_a1_an_alarm_is_its_pvs_own(box: Box) -> None:
    await box.post_many([(box.a, 50.0), (box.b, 1.0)])
    assert alarm(box.a) == (AlarmStatus.HIHI, Severity.MAJOR)
    assert alarm(box.b) == NO_ALARM
    await box.post(box.b, 2.0)
    assert alarm(box.a) == (AlarmStatus.HIHI, Severity.MAJOR)
    assert len({id(pv.alarm) for pv in box.pvs.values()}) == len(box.pvs)


async def test_a1_stock_shares_one_alarm_per_group() -> None:
    class Stock(PVGroup):
        a = pvproperty(value=0.0, upper_alarm_limit=10.0, lower_alarm_limit=-math.inf)
        b = pvproperty(value=0.0)

    stock = Stock("S:")
    await stock.a.write(50.0)
    assert stock.b.alarm.severity == AlarmSeverity.MAJOR_ALARM
    await stock.b.write(1.0)


# A2


async def test_a2_a_post_never_runs_the_putter(box: Box) -> None:
    await box.post(box.want, 5.0)
    await box.want.write(6.0)
    assert box.puts == [] and box.want.value == 6.0
    await client_put(box.want, 7.0)
    assert box.puts == [7.0]


async def test_a2_stock_commands_the_hardware() -> None:
    puts = []

    class Stock(PVGroup):
        want = pvproperty(value=0.0)

        @want.putter
        async def want(self, instance: object, value: float) -> None:
            puts.append(value)

    await Stock("S:").want.write(5.0)
    assert puts == [5.0]


# A3


async def test_a3_no_limit_hides_an_excursion(box: Box) -> None:
    with pytest.raises(DeclarationError, match=r"test_ioc_traps\.py:\d+: Bad\.x: a readback has no control limits"):

        class Bad(Device):
            x = readback(float, control=(0, 10))

    with pytest.raises(ValueError, match="no control limits"):
        box.a.set_limits(control=(0, 10))
    await box.post(box.a, 1e9)
    assert box.a.value == 1e9 and box.a.severity == Severity.MAJOR
    await box.post(box.want, 1e9)  # what the hardware says counts, even for a setpoint
    assert box.want.value == 1e9


async def test_a3_stock_keeps_the_old_value() -> None:
    class Stock(PVGroup):
        a = pvproperty(value=0.0, upper_ctrl_limit=10.0, lower_ctrl_limit=0.0)

    stock = Stock("S:")
    with pytest.raises(CaprotoValueError):
        await stock.a.write(1501.0)
    assert stock.a.value == 0.0


# A4


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (-1e30, NO_ALARM),
        (-1.0, NO_ALARM),
        (0.0, NO_ALARM),
        (7.99, NO_ALARM),
        (8.0, (AlarmStatus.HIGH, Severity.MINOR)),
        (10.0, (AlarmStatus.HIHI, Severity.MAJOR)),
        (math.inf, (AlarmStatus.HIHI, Severity.MAJOR)),
        (-math.inf, NO_ALARM),
    ],
)
async def test_a4_an_open_side_has_no_limit(box: Box, value: float, expected: object) -> None:
    await box.post(box.a, value)
    assert alarm(box.a) == expected


async def test_a4_open_sides_on_the_wire(box: Box) -> None:
    assert box.a._data["lower_alarm_limit"] == -math.inf
    assert box.count._data["lower_alarm_limit"] == -(2**31)
    await box.post(box.count, 0)
    assert alarm(box.count) == NO_ALARM
    await box.post(box.b, -5.0)
    assert alarm(box.b) == NO_ALARM  # LOLO is declared to be none
    await box.post(box.b, 11.0)
    assert alarm(box.b) == (AlarmStatus.HIHI, Severity.MINOR)


async def test_a4_stock_takes_zero_for_a_limit() -> None:
    class Stock(PVGroup):
        a = pvproperty(value=5.0, upper_alarm_limit=10.0)

    stock = Stock("S:")
    await stock.a.write(0.0)
    assert stock.a.alarm.status == AlarmStatus.LOLO


# A5


async def test_a5_an_invalidation_is_one_event_and_does_not_flap(box: Box, events: dict[str, list[Event]]) -> None:
    await box.post(box.a, 1.0)
    events.clear()
    for _ in range(5):
        await box.invalidate(box.a, AlarmStatus.COMM)
    assert events == {"T:a": [(ALARM, 1.0, COMM)]}
    await box.post(box.a, 1.0)
    assert events["T:a"][1:] == [(ALARM, 1.0, NO_ALARM)]


async def test_a5_stock_flaps() -> None:
    class Stock(PVGroup):
        a = pvproperty(value=0.0, upper_alarm_limit=10.0, lower_alarm_limit=-10.0)

    stock = Stock("S:")
    seen = []
    for _ in range(4):
        await stock.a.write(1.0, status=AlarmStatus.COMM, severity=AlarmSeverity.INVALID_ALARM)
        seen.append(stock.a.alarm.status)
    assert len(set(seen)) == 2


# A6


@pytest.mark.parametrize(("name", "value"), [("text", "abc"), ("mode", Mode.Off), ("flag", False), ("note", "n")])
async def test_a6_a_good_value_ends_the_alarm_of_text_and_states(box: Box, name: str, value: object) -> None:
    pv = box.pvs[name]
    await box.post(pv, value)
    await box.invalidate(pv)
    assert alarm(pv) == COMM
    await box.post(pv, value)
    assert alarm(pv) == NO_ALARM


async def test_a6_a_refused_put_leaves_no_trace(box: Box, events: dict[str, list[Event]]) -> None:
    await box.post(box.want, 5.0)
    events.clear()
    for pv, data in ((box.want, 11.0), (box.want, 9.0), (box.choice, 7.0), (box.choice, 2.0), (box.number, 1.5)):
        with pytest.raises(PutRefused):
            await client_put(pv, data)
    assert set(events) == {"T:IOC:Msg"}
    assert (box.want.value, box.choice.value, box.number.value) == (5.0, Mode.Off, 1)
    assert {alarm(pv) for pv in (box.want, box.choice, box.number)} == {NO_ALARM}


async def test_a6_stock_leaves_a_string_in_alarm_for_ever() -> None:
    class Stock(PVGroup):
        text = pvproperty(value="x", dtype=ChannelType.STRING)

        @text.putter
        async def text(self, instance: object, value: str) -> None:
            if value == "bad":
                raise ValueError("bad")

    stock = Stock("S:")
    with pytest.raises(ValueError, match="bad"):
        await stock.text.write("bad")
    await stock.text.write("good")
    assert stock.text.alarm.severity == AlarmSeverity.MAJOR_ALARM


# A7


async def test_a7_nan_is_nobodys_value(box: Box, events: dict[str, list[Event]]) -> None:
    await box.post_many([(box.a, math.nan), (box.free, math.nan)])
    assert alarm(box.a) == UDF and alarm(box.free) == UDF
    events.clear()
    await box.post_many([(box.a, math.nan), (box.free, math.nan)])
    assert events == {}  # NaN again is no news
    await box.post(box.a, 1.0)
    assert alarm(box.a) == NO_ALARM
    await box.post(box.want, 3.0)
    for dbr, data in ((ChannelType.DOUBLE, math.nan), (ChannelType.STRING, b"nan")):
        with pytest.raises(PutRefused, match="NaN"):
            await client_put(box.want, data, dbr)
    assert box.want.value == 3.0 and box.puts == []


async def test_a7_arrays_have_alarms(box: Box) -> None:
    await box.post(box.trace, [1.0, 11.0, math.nan])
    assert alarm(box.trace) == (AlarmStatus.HIHI, Severity.MAJOR)
    await box.post(box.trace, np.array([1.0, math.nan]))
    assert alarm(box.trace) == NO_ALARM
    await box.post(box.trace, [])
    assert alarm(box.trace) == NO_ALARM


async def test_a7_stock_finds_nan_good() -> None:
    class Stock(PVGroup):
        a = pvproperty(value=0.0, upper_alarm_limit=10.0, lower_alarm_limit=-10.0)

    stock = Stock("S:")
    await stock.a.write(math.nan)
    assert stock.a.alarm.severity == AlarmSeverity.NO_ALARM


# A8


@pytest.mark.parametrize("value", [2**40, -(2**31) - 1, 1.7, math.nan, math.inf, "abc", None, [1, 2]])
async def test_a8_an_int_takes_only_integers_of_32_bits(box: Box, value: object) -> None:
    await box.post(box.count, 5)
    await box.post(box.count, value)
    assert box.count.value == 5 and alarm(box.count) == READ
    await box.post(box.count, 3.0)
    assert box.count.value == 3 and isinstance(box.count.value, int) and alarm(box.count) == NO_ALARM


@pytest.mark.parametrize(
    ("dbr", "data"),
    [
        (ChannelType.DOUBLE, 2.0**40),
        (ChannelType.DOUBLE, 1.7),
        (ChannelType.DOUBLE, math.inf),
        (ChannelType.STRING, b"1.7"),
        (ChannelType.STRING, b"1099511627776"),
        (ChannelType.STRING, b"one"),
        (ChannelType.STRING, b"1_0"),
        (ChannelType.STRING, b""),
        (ChannelType.DOUBLE, [1.0, 2.0]),
        (ChannelType.DOUBLE, []),
    ],
)
async def test_a8_a_put_to_an_int(box: Box, dbr: ChannelType, data: object) -> None:
    with pytest.raises(PutRefused):
        await client_put(box.number, data, dbr)
    assert box.number.value == 1
    await client_put(box.number, 7, ChannelType.INT)
    assert box.number.value == 7
    await client_put(box.number, b" -0x10 ", ChannelType.STRING)
    assert box.number.value == -16


@pytest.mark.parametrize("value", ["Unknown", 7, -1, 1.5, None])
async def test_a8_an_enum_takes_only_its_states(box: Box, value: object) -> None:
    await box.post(box.mode, Mode.Ramp)
    await box.post(box.mode, value)
    assert box.mode.value is Mode.Ramp and alarm(box.mode) == READ
    with pytest.raises(PutRefused):
        await client_put(box.choice, b"Unknown", ChannelType.STRING)
    with pytest.raises(PutRefused):
        await client_put(box.choice, 65535, ChannelType.ENUM)
    for data, dbr in ((b"Ramp", ChannelType.STRING), (b"1", ChannelType.STRING), (1, ChannelType.ENUM)):
        await client_put(box.choice, 0)
        await client_put(box.choice, data, dbr)
        assert box.choice.value is Mode.Ramp


async def test_a8_text_fits_or_is_refused(box: Box) -> None:
    await box.post_many([(box.text, "ä" * 30), (box.note, "0123456789abc")])
    assert box.text.value == "ä" * 19 and box.note.value == "0123456789"  # 39 bytes, and whole characters
    await client_put(box.name_, b"y" * 39, ChannelType.STRING)
    with pytest.raises(PutRefused):
        await client_put(box.name_, b"y" * 40, ChannelType.STRING)
    with pytest.raises(PutRefused):
        await client_put(box.name_, b"\xff\xfe", ChannelType.STRING)
    assert box.name_.value == "y" * 39


async def test_a8_a_posted_array_is_a_copy_and_fits(box: Box) -> None:
    mine = np.array([1.0, 2.0])
    await box.post(box.trace, mine)
    mine[0] = 99
    assert box.trace.value.tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="read-only"):
        box.trace.value[0] = 5
    for bad in (range(6), [[1, 2]], ["a"]):
        await box.post(box.trace, bad)
        assert alarm(box.trace) == READ and box.trace.value.tolist() == [1.0, 2.0]
        await box.post(box.trace, mine)
        await box.post(box.trace, [1.0, 2.0])
    for bad_ints in ([2**40], [1.5], [math.nan]):
        await box.post(box.ints, bad_ints)
        assert alarm(box.ints) == READ


async def test_a8_stock_stores_what_the_wire_cannot_carry() -> None:
    class Stock(PVGroup):
        number = pvproperty(value=0)

    stock = Stock("S:")
    await stock.number.write(1.7)
    assert stock.number.value == 1.7
    _, wire = await stock.number.read(ChannelType.LONG)
    assert wire[0] == 1


# A9


async def test_a9_units_that_do_not_fit_are_found_at_once() -> None:
    with pytest.raises(DeclarationError, match=r"test_ioc_traps\.py:\d+: Bad\.x: units 'kilovolt' take 8 bytes, 7 fit"):

        class Bad(Device):
            x = readback(float, units="kilovolt")

    with pytest.raises(DeclarationError, match="take 8 bytes"):

        class Micro(Device):
            x = readback(float, units="µµµA µ"[:4] + "b")

    class Good(Device):
        x = readback(float, units="7 bytes")


async def test_a9_stock_raises_when_a_client_asks() -> None:
    class Stock(PVGroup):
        x = pvproperty(value=0.0, units="kilovolts")

    with pytest.raises(ValueError, match="too long"):
        await Stock("S:").x.read(ChannelType.CTRL_DOUBLE)


# A10


async def test_a10_an_invalidation_has_its_own_time(box: Box) -> None:
    await box.post(box.a, 1.0, timestamp=1_000_000_000.5)
    assert box.a.timestamp == 1_000_000_000.5
    await box.invalidate(box.a, timestamp=1_000_000_010.25)
    assert box.a.timestamp == 1_000_000_010.25
    await box.invalidate(box.a, timestamp=1_000_000_020.0)  # still the same news
    assert box.a.timestamp == 1_000_000_010.25
    await box.post_many([(box.a, 1.0), (box.b, 1.0), (box.count, 1)])
    assert box.a.timestamp == box.b.timestamp == box.count.timestamp


async def test_a10_stock_keeps_the_old_time() -> None:
    class Stock(PVGroup):
        a = pvproperty(value=0.0)

    stock = Stock("S:")
    before = stock.a.timestamp
    await asyncio.sleep(0.01)
    await stock.a.alarm.write(status=AlarmStatus.COMM, severity=AlarmSeverity.INVALID_ALARM)
    assert stock.a.timestamp == before


# A12


@pytest.mark.parametrize("name", ["log", "name", "parent", "prefix", "post", "ioc", "pvs", "invalidate", "add"])
def test_a12_reserved_attribute_names(name: str) -> None:
    with pytest.raises(DeclarationError, match=rf"test_ioc_traps\.py:\d+: Bad\.{name}: the attribute name '{name}' is"):
        type("Bad", (Device,), {name: readback(float)})


@pytest.mark.parametrize("name", ["{P}x", "a b", "", "ä", "a.b"])
def test_a12_names_that_are_none(name: str) -> None:
    with pytest.raises(DeclarationError, match=r"Bad\.x: the name"):

        class Bad(Device):
            x = readback(float, name=name)

    if name:
        with pytest.raises(DeclarationError, match="the name"):
            Ioc("T:").add(name, Box())


def test_a12_all_faults_of_a_class_at_once() -> None:
    with pytest.raises(DeclarationError) as caught:

        class Bad(Device):
            x = readback(float, units="too long a unit")
            y = readback(complex)
            z = setpoint(int, control=(5, 1), initial=7)
            w = readback(Mode, severities={"Nowhere": Severity.MAJOR})
            v = command()
            u = readback(bool, labels=("a",))
            t = readback(float, severities={"hihi": Severity.MAJOR})
            s = setpoint(float, control=(0, 1), initial=2)
            r = readback(str, units="V")
            q = readback(int, alarm=(0.5, None))
            p = readback(float, name="x")

    lines = str(caught.value).splitlines()
    assert list(dict.fromkeys(line.split(": ")[1].split(".")[1] for line in lines)) == list("xyzwvutsrqp")
    numbers = list(dict.fromkeys(int(line.split(":")[1]) for line in lines))
    assert numbers == list(range(numbers[0], numbers[0] + 11))


def test_a12_a_pv_is_not_assigned() -> None:
    box = Box()
    with pytest.raises(AttributeError, match=r"await self\.post\(self\.a, value\)"):
        box.a = 5


def test_a12_two_pvs_of_one_name() -> None:
    with pytest.raises(DeclarationError, match="T:a is already declared at test_ioc_traps"):
        Ioc("T:", [("", Box()), ("", Box())])
    with pytest.raises(DeclarationError, match="over 60 characters"):
        Ioc("T" * 60, [("", Box())])


# A13


def test_a13_nothing_is_good_before_it_is_known() -> None:
    box = Box()
    readbacks = [pv for pv in box.pvs.values() if pv.declaration.kind == "readback"]
    assert {alarm(pv) for pv in readbacks} == {UDF}
    assert alarm(box.want) == UDF
    assert alarm(box.number) == NO_ALARM  # it has an initial value


async def test_a13_the_first_value_is_news_even_when_it_is_zero(box: Box, events: dict[str, list[Event]]) -> None:
    await box.post(box.free, 0.0)
    assert events["T:free"] == [(VALUE | ALARM, 0.0, NO_ALARM)]
    await box.post(box.free, 0.0)
    assert len(events["T:free"]) == 1


# A14


async def test_a14_a_new_severity_with_the_same_status_is_news(box: Box, events: dict[str, list[Event]]) -> None:
    await box.post(box.mode, Mode.Ramp)
    await box.post(box.mode, Mode.Trip)
    assert [event[2] for event in events["T:mode"]] == [
        (AlarmStatus.STATE, Severity.MINOR),
        (AlarmStatus.STATE, Severity.MAJOR),
    ]
    assert events["T:mode"][1][0] == VALUE | ALARM


async def test_a14_stock_loses_it() -> None:
    class Stock(PVGroup):
        a = pvproperty(value=0.0)

    a = Stock("S:").a
    await a.alarm.write(status=AlarmStatus.STATE, severity=AlarmSeverity.MINOR_ALARM)
    a.status, a.severity = AlarmStatus.STATE, AlarmSeverity.MAJOR_ALARM  # what a verify_value would find
    assert "severity" not in a._collect_alarm()


# Events and limits


async def test_only_changes_are_events(box: Box, events: dict[str, list[Event]]) -> None:
    await box.post_many([(box.a, 1.0), (box.b, 1.0)])
    events.clear()
    await box.post_many([(box.a, 1.0), (box.b, 2.0)])
    assert events == {"T:b": [(VALUE, 2.0, NO_ALARM)]}


async def test_an_alarm_that_the_code_knows_of(box: Box) -> None:
    await box.post_many(
        [(box.a, 9.0, (AlarmStatus.STATE, Severity.MAJOR)), (box.b, 11.0, (AlarmStatus.LINK, Severity.MINOR))]
    )
    assert alarm(box.a) == (AlarmStatus.STATE, Severity.MAJOR)
    assert alarm(box.b) == (AlarmStatus.HIHI, Severity.MINOR)
    await box.post(box.a, 9.0)
    assert alarm(box.a) == (AlarmStatus.HIGH, Severity.MINOR)


async def test_limits_change_at_run_time(box: Box, events: dict[str, list[Event]]) -> None:
    await box.post_many([(box.a, 5.0), (box.want, 5.0)])
    events.clear()
    box.a.set_limits(alarm=(None, 4))
    assert events["T:a"] == [(PROPERTY, 5.0, NO_ALARM), (ALARM, 5.0, (AlarmStatus.HIHI, Severity.MAJOR))]
    assert box.a._data["upper_alarm_limit"] == 4 and box.a._data["upper_warning_limit"] == 8
    box.a.set_limits(alarm=(None, None), warn=(None, None))
    assert alarm(box.a) == NO_ALARM
    box.want.set_limits(control=(0, 6), display=(0, 20))
    with pytest.raises(PutRefused, match="7 is above the limit of 6"):
        await client_put(box.want, 7.0)
    for bad in ((6, 0), (math.nan, 1), ("a", 1), 5):
        with pytest.raises(ValueError, match="want: control"):
            box.want.set_limits(control=bad)
    with pytest.raises(ValueError, match="has no limits"):
        box.text.set_limits(display=(0, 1))
    await box.invalidate(box.a)
    box.a.set_limits(alarm=(None, 100))
    assert alarm(box.a) == COMM  # limits vouch for nothing


async def test_an_instance_has_its_own_limits_and_start_value() -> None:
    one, other = Box(), Box()
    one.want.set_limits(control=(0, 100))
    one.want.preset(50.0)
    assert one.want.value == 50.0 and alarm(one.want) == NO_ALARM
    assert alarm(other.want) == UDF
    with pytest.raises(ValueError, match="above the limit of 10"):
        other.want.preset(50.0)


async def test_what_a_client_calls_itself_cannot_forge_a_log(box: Box, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with pytest.raises(PutRefused):
        await box.want.auth_write("h\n2026 ERROR", "u" * 500, np.array([11.0]), ChannelType.DOUBLE, None)
    assert "h?2026 ERROR refused: T:want: 11 is above the limit of 10" in caplog.text
    assert all(len(record.getMessage()) < 250 and "\n" not in record.getMessage() for record in caplog.records)


def test_flags_are_caprotos() -> None:
    assert VALUE == SubscriptionType.DBE_VALUE | SubscriptionType.DBE_LOG
    assert (ALARM, PROPERTY) == (SubscriptionType.DBE_ALARM, SubscriptionType.DBE_PROPERTY)
