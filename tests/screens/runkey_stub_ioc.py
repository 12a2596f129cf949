"""The PVs of a runkey IOC with nothing behind them, for states that a real one is seldom in.

    python runkey_stub_ioc.py PREFIX

A put of JSON to `PREFIX` + `Test` posts values: `{"State": 3, "Progress": 42.0, "bad": ["DbLatency"]}`. Commands are
noted in `Test_RBV`, one a line.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from iocs.runkey.config import RunkeyConfig
from iocs.runkey.pvs import RunkeyPvs
from owlshift.ioc import AlarmStatus, CaServerSettings, Device, Ioc, PutRefused, Text, readback, serve, setpoint


class Control(Device):
    """What the test asks for, and what was asked of the IOC."""

    Test = setpoint(Text(300_000), initial="", doc="Values to post: JSON")
    Test_RBV = readback(Text(20_000), initial="", doc="What was asked, a line each")

    def __init__(self, ioc: StubIoc) -> None:
        self.stub = ioc

    @Test.putter
    async def _(self, value: str) -> None:
        values: dict[str, Any] = json.loads(value)
        device = self.stub.device
        bad = values.pop("bad", [])
        for name, content in values.items():
            await device.post(getattr(device, name), content)
        await device.invalidate([getattr(device, name) for name in bad], AlarmStatus.COMM)

    async def note(self, line: str) -> None:
        """Something was asked."""
        await self.post(self.Test_RBV, f"{self.Test_RBV.value}{line}\n")


class StubIoc(Ioc):
    """Runkeys that are told by a test."""

    def __init__(self, prefix: str) -> None:
        self.control = Control(self)
        self.device = RunkeyPvs(self, RunkeyConfig())
        super().__init__(prefix, [("", self.device), ("", self.control)], backend="none")

    async def select(self, name: str) -> str:
        """Any name but `unknown`."""
        if name == "unknown":
            raise PutRefused("there is no runkey 'unknown'")
        await self.control.note(f"select {name}")
        return name

    async def name_snapshot(self, name: str) -> str:
        """Any name."""
        return name

    async def search(self, text: str) -> None:
        """Nothing is found."""

    async def view(self, path: str, role: str) -> None:
        """Nothing is shown."""

    async def snapshot(self) -> None:
        """Noted."""
        await self._note("snapshot")

    async def compare(self) -> None:
        """Noted."""
        await self._note("compare")

    async def dry_run(self) -> None:
        """Noted."""
        await self._note("dry_run")

    async def apply(self) -> None:
        """Noted."""
        await self._note("apply")

    async def abort(self) -> None:
        """Noted."""
        await self._note("abort")

    async def commit(self) -> None:
        """Noted."""
        await self._note("commit")

    async def refresh(self) -> None:
        """Noted."""
        await self._note("refresh")

    async def _note(self, command: str) -> None:
        await self.control.note(f"{command} {self.device.Comment.value}".strip())


if __name__ == "__main__":
    settings = CaServerSettings(port=int(os.environ["EPICS_CA_SERVER_PORT"]))
    sys.exit(serve(StubIoc(sys.argv[1]), settings))
