"""The PVs of an alarm server with nothing behind them, for states that a real one is seldom in.

    python alarm_stub_ioc.py PREFIX

A put of JSON to `PREFIX` + `Test` posts values: `{"": {"NUnack": 3}, "HV:L07": {"Sevr": 6}}`, by the name of the area
or alarm; `Active` and `Shelves` are names of files, since they are large. Commands are noted in `Test_RBV`, one a line.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from iocs.alarm.tree.severity import AlarmSeverity
from owlshift.ioc import CaServerSettings, Device, Ioc, OnDemand, Pv, Text, command, readback, serve, setpoint

FILES = ("Active", "Shelves")


class ItemPvs(OnDemand):
    """An area or alarm."""

    Sevr = readback(AlarmSeverity, initial=AlarmSeverity.OK, doc="Severity")
    Cur = readback(AlarmSeverity, initial=AlarmSeverity.OK, doc="Severity of the PV")
    Msg = readback(Text(200), initial="", doc="Message")
    CurMsg = readback(Text(200), initial="", doc="Message now")
    Val = readback(Text(200), initial="", doc="Value")
    Time = readback(Text(40), initial="", doc="Time")
    State = readback(Text(40), initial="", doc="State")
    GuidanceJson = readback(Text(4000), initial="", doc="Guidance")
    Path = readback(Text(200), initial="", doc="Its path")
    AckBy = readback(Text(100), initial="", doc="By whom")
    NActive = readback(int, initial=0, doc="Active")
    NUnack = readback(int, initial=0, doc="Not acknowledged")
    NAck = readback(int, initial=0, doc="Acknowledged")
    NSupp = readback(int, initial=0, doc="Suppressed")
    NTotal = readback(int, initial=0, doc="All")
    First = readback(Text(200), initial="", doc="The first of a burst")
    Ack = command(doc="Acknowledge")
    Unack = command(doc="Unacknowledge")
    Shelve = setpoint(Text(600), initial="", doc="Shelve")
    Enable = setpoint(bool, initial=True, doc="In service")

    def __init__(self, stub: StubIoc, name: str) -> None:
        self.stub, self.what = stub, name

    def made(self, pv: Pv[Any]) -> None:
        """Its first value."""
        attribute = pv.declaration.attribute
        if (value := self.stub.values.get(self.what, {}).get(attribute)) is not None:
            pv.preset(value)

    @Ack.putter
    async def _(self) -> None:
        await self.stub.control.note(f"{self.what} Ack")

    @Unack.putter
    async def _(self) -> None:
        await self.stub.control.note(f"{self.what} Unack")

    @Shelve.putter
    async def _(self, value: str) -> None:
        await self.stub.control.note(f"{self.what} Shelve {value}".strip())

    @Enable.putter
    async def _(self, value: bool) -> None:
        await self.stub.control.note(f"{self.what} Enable {int(value)}")


class RootPvs(Device):
    """What only the whole tree has."""

    Active = readback(Text(8_000_000), initial="", doc="The table")
    Shelves = readback(Text(2_000_000), initial="", doc="What is shelved")
    Talk = readback(Text(400), initial="", doc="The last announcement")
    TalkCount = readback(int, initial=0, doc="Announcements")
    Rate = readback(float, initial=0.0, doc="Alarms in 10 minutes")
    Flood = readback(bool, initial=False, doc="A flood")
    Maint = readback(bool, initial=False, doc="Maintenance")
    LogState = readback(str, initial="OK", doc="The log")


class Control(Device):
    """What the test asks for, and what was asked of the IOC."""

    Test = setpoint(Text(300_000), initial="", doc="Values to post: JSON")
    Test_RBV = readback(Text(100_000), initial="", doc="What was asked, a line each")

    def __init__(self, stub: StubIoc) -> None:
        self.stub = stub

    @Test.putter
    async def _(self, value: str) -> None:
        for name, values in json.loads(value).items():
            await self.stub.set(name, values)

    async def note(self, line: str) -> None:
        """Something was asked."""
        await self.post(self.Test_RBV, f"{self.Test_RBV.value}{line}\n")


class StubIoc(Ioc):
    """Alarms that are told by a test."""

    def __init__(self, prefix: str) -> None:
        self.values: dict[str, dict[str, Any]] = {}
        self.control, self.tree = Control(self), RootPvs()
        self._items: dict[str, ItemPvs] = {}
        super().__init__(prefix, [("", self.control), ("", self.tree)], backend="none")
        self.provide(self._find)

    def _find(self, name: str) -> Callable[[], Pv[Any]] | None:
        what, _, attribute = name.removeprefix(self.prefix).rpartition(":")
        if not name.startswith(self.prefix) or attribute not in ItemPvs.declarations or what == "IOC":
            return None
        return lambda: getattr(self._item(what), attribute)

    def _item(self, what: str) -> ItemPvs:
        return self._items.setdefault(what, ItemPvs(self, what))

    async def set(self, name: str, values: dict[str, Any]) -> None:
        """Post values of an area or alarm; "" is the whole tree."""
        known = self.values.setdefault(name, {})
        for attribute, value in values.items():
            if attribute in FILES:
                value = Path(value).read_text()
            if not name and attribute in RootPvs.declarations:
                await self.tree.post(getattr(self.tree, attribute), value)
            else:
                known[attribute] = value
                item = self._item(name)
                if attribute in item.pvs:
                    await item.post(getattr(item, attribute), value)


if __name__ == "__main__":
    settings = CaServerSettings(port=int(os.environ["EPICS_CA_SERVER_PORT"]))
    sys.exit(serve(StubIoc(sys.argv[1]), settings))
