"""Devices inside of devices, inheritance, and the catalogue's view of them; no network."""

from __future__ import annotations

import re

import pytest

from owlshift.ioc import (
    Alarm,
    Archive,
    DeclarationError,
    Device,
    Ioc,
    PutRefused,
    Severity,
    Text,
    catalogue,
    catalogue_markdown,
    child,
    command,
    readback,
    setpoint,
)


class Channel(Device):
    """A channel.

    More is not for the catalogue.
    """

    VMon = readback(float, units="V", doc="Voltage")
    VSet = setpoint(float, control=(0, 10), doc="Voltage | wanted", archive=Archive.scan(10), asg="OPERATOR")
    On = readback(bool, name="Sts:On", severities={False: Severity.MINOR}, alarm_info=Alarm("Switch it on", "low"))

    def __init__(self, number: int) -> None:
        self.number = number
        self.put_values: list[float] = []

    @VSet.putter
    async def _(self, value: float) -> None:
        self.put_values.append(value)


class Trip(Channel):
    """A channel that trips."""

    Clear = command(doc="Clears the trip")
    VMon = readback(float, units="kV", doc="Voltage in kV")

    @Clear.putter
    async def _(self) -> None:
        raise PutRefused(f"channel {self.number} is not tripped")


class Board(Device):
    """A board."""

    Name = readback(str)
    first = child(Channel, "CH0:", 0)

    def __init__(self) -> None:
        self.others = [self.add(f"CH{i}:", Trip(i)) for i in (1, 2)]


def test_names_of_nested_devices() -> None:
    one, other = Board(), Board()
    ioc = Ioc("LAB:HV:", [("B0:", one), ("B1:", other)])
    names = [name for name in ioc.pvdb if ":IOC:" not in name]
    assert names[:8] == [
        "LAB:HV:B0:Name", "LAB:HV:B0:CH0:VMon", "LAB:HV:B0:CH0:VSet", "LAB:HV:B0:CH0:Sts:On", "LAB:HV:B0:CH1:VMon",
        "LAB:HV:B0:CH1:VSet", "LAB:HV:B0:CH1:Sts:On", "LAB:HV:B0:CH1:Clear",
    ]  # fmt: skip
    assert len(names) == 24
    assert one.first is not other.first and one.first.VMon is ioc.pvdb["LAB:HV:B0:CH0:VMon"]
    assert {device.ioc for device in (one, one.first, *other.others)} == {ioc}
    assert other.others[0].VMon.declaration.units == "kV"  # a subclass says it anew


async def test_putters_belong_to_their_instance() -> None:
    board = Board()
    Ioc("T:", [("", board)])
    await board.others[0].VSet.put(3.0)
    await board.others[1].VSet.put(4)
    assert [channel.put_values for channel in (board.first, *board.others)] == [[], [3.0], [4.0]]
    with pytest.raises(PutRefused, match="channel 2 is not tripped"):
        await board.others[1].Clear.put(True)
    with pytest.raises(PutRefused, match="11 is above the limit of 10"):
        await board.first.VSet.put(11)
    with pytest.raises(PutRefused, match="NaN"):
        await board.first.VSet.put(float("nan"))


def test_putters_that_cannot_be() -> None:
    async def fine(self: Device, value: float) -> None: ...

    def not_async(self: Device, value: float) -> None: ...

    async def no_value(self: Device) -> None: ...

    for putters, reason in (
        ([fine, fine], "has two putters"),
        ([not_async], "the putter must be `async def`"),
        ([no_value], r"the putter at line \d+ must take \(self, value\) or \(self, value, pv\)"),
    ):
        declaration = setpoint(float)
        for function in putters:
            declaration.putter(function)  # type: ignore[arg-type]
        with pytest.raises(DeclarationError, match=rf"test_ioc_device\.py:\d+: Bad\.x: {reason}"):
            type("Bad", (Device,), {"x": declaration})
    declaration = readback(float)
    declaration.putter(fine)
    with pytest.raises(DeclarationError, match="a readback cannot have a putter"):
        type("Bad", (Device,), {"x": declaration})
    with pytest.raises(TypeError, match="unexpected keyword argument 'unit'"):
        readback(float, unit="V")  # type: ignore[call-overload]


def test_the_catalogue_and_its_table() -> None:
    board = Board()
    board.first.VSet.set_limits(control=(0, None), alarm=(-5, 12.5))
    ioc = Ioc("T:", [("", board)])
    found = catalogue("T:", ioc.pvdb.values(), board.everything("T:"))
    assert found["objects"] == {
        "T:": "A board.", "T:CH0:": "A channel.", "T:CH1:": "A channel that trips.", "T:CH2:": "A channel that trips.",
    }  # fmt: skip
    entries = {entry["name"]: entry for entry in found["pvs"]}
    vset = entries["T:CH0:VSet"]
    assert (vset["control"], vset["alarm"], vset["asg"]) == ([0, None], [-5, 12.5], "OPERATOR")
    assert vset["archive"] == {"method": "scan", "period": 10}
    assert re.fullmatch(r"test_ioc_device\.py:\d+", vset["source"])
    on = entries["T:CH0:Sts:On"]
    assert on["states"] == ["No", "Yes"] and on["severities"] == {"No": "MINOR"}
    assert on["alarm_info"]["guidance"] == "Switch it on" and on["alarm_info"]["priority"] == "low"
    assert entries["T:CH1:Clear"]["kind"] == "command"
    assert "units" not in on and "alarm_info" not in vset
    table = catalogue_markdown(found)
    assert "| `T:CH0:VSet` | setpoint | double |  | 0 … | MAJOR -5 … 12.5 | Voltage \\| wanted |" in table
    assert "| `T:CH0:Sts:On` | readback | enum: No, Yes |" in table


def test_the_catalogue_pv_has_room_for_longer_limits() -> None:
    board = Board()
    ioc = Ioc("T:", [("", board)])
    ioc.publish_catalogue()
    before = ioc.pvdb["T:IOC:Catalogue"]
    assert isinstance(before.type, Text)
    for channel in (board.first, *board.others):
        channel.VSet.set_limits(control=(-1.2345678901234567e-300, 1.2345678901234567e300))
    ioc.publish_catalogue()
    assert before.value == ioc.pvdb["T:IOC:Catalogue"].value and "1.2345678901234567e+300" in before.value
    assert before.value.endswith("]}")
