"""A small IOC for tests: `python lamp_ioc.py PREFIX [STATE_DIR [ACCESS_FILE]]`."""

from __future__ import annotations

import asyncio
import enum
import os
import sys
from pathlib import Path

from owlshift.ioc import (
    Alarm,
    AlarmStatus,
    Archive,
    Array,
    CaServerSettings,
    Device,
    Ioc,
    IocState,
    PutRefused,
    Severity,
    Text,
    command,
    readback,
    serve,
    setpoint,
)


class Mode(enum.IntEnum):
    Off = 0
    Ramp = 1
    On = 2
    Trip = 3


class Lamp(Device):
    """One lamp."""

    Current = readback(
        float,
        units="A",
        precision=2,
        display=(0, 2),
        warn=(None, 1.0),
        alarm=(-0.5, 1.5),
        archive=Archive.MONITOR,
        doc="Current through the lamp, measured at the supply",
        alarm_info=Alarm(guidance="Switch it off", priority="high"),
    )
    Count = readback(int, warn=(None, 10), doc="How often it was switched on")
    State = readback(Mode, severities={Mode.Trip: Severity.MAJOR, Mode.Ramp: Severity.MINOR}, doc="State")
    Model = readback(str, doc="Model")
    Trace = readback(Array(float, 100), alarm=(None, 5.0), doc="Trace")
    Set = setpoint(
        float, units="A", precision=2, control=(0, 2), save=True, config=True, asg="OPERATOR", doc="Requested current"
    )
    Steps = setpoint(int, control=(0, 100), initial=3, save=True, doc="Steps")
    Mode = setpoint(Mode, initial=Mode.Off, save=True, doc="Requested state")
    On = setpoint(bool, name="Sts:On", initial=False, doc="On")
    Label = setpoint(str, initial="", save=True, doc="Label")
    Note = setpoint(Text(1000), initial="", save=True, doc="Note")
    Curve = setpoint(Array(float, 10), control=(0, 9), initial=[], save=True, doc="Curve")
    Slow = setpoint(float, initial=0.0, doc="A put that takes its value in seconds")
    Refuse = setpoint(float, initial=1.0, doc="Refuses negative numbers by itself")
    Post = setpoint(float, initial=0.0, doc="Posted as Current by the putter")
    Puts = readback(Text(4000), initial="", doc="All puts carried out, in order")
    Go = command(doc="Does something; takes 0.3 s")
    Fail = command(doc="Always fails")
    Gone = command(doc="Invalidates all readbacks")
    Urgent = command(lane="urgent", doc="Overtakes")
    Hold = setpoint(float, initial=0.0, doc="A put that ends when Release is put")
    Release = command(lane="urgent", doc="Ends the put to Hold")
    Widen = command(doc="Sets the alarm limit of Current to 1.8, and says that the IOC is degraded")
    Twice = command(doc="Puts to this device itself")

    def __init__(self) -> None:
        self.done: list[str] = []
        self.released = asyncio.Event()

    async def did(self, what: str) -> None:
        self.done.append(what)
        await self.post(self.Puts, " ".join(self.done))

    @Set.putter
    async def _(self, value: float) -> None:
        await asyncio.sleep(0.02 if value == 1.0 else 0)
        await self.did(f"Set={value:g}")

    @Slow.putter
    async def _(self, value: float) -> None:
        await asyncio.sleep(value)
        await self.did(f"Slow={value:g}")

    @Refuse.putter
    async def _(self, value: float) -> float:
        if value < 0:
            raise PutRefused("the lamp does not like it")
        if value == 666:
            raise RuntimeError("a fault of the driver")
        return round(value)

    @Post.putter
    async def _(self, value: float) -> None:
        await self.post(self.Current, value)

    @Steps.putter
    @Curve.putter
    async def _(self, value: object, pv: object) -> None:
        await self.did("Steps" if pv is self.Steps else "Curve")

    @Go.putter
    async def _(self) -> None:
        await asyncio.sleep(0.3)
        await self.did("Go")

    @Fail.putter
    async def _(self, value: bool) -> None:
        raise PutRefused("it cannot")

    @Gone.putter
    async def _(self) -> None:
        await self.invalidate([self.Current, self.Count, self.State, self.Model], AlarmStatus.COMM)

    @Hold.putter
    async def _(self, value: float) -> None:
        await self.did("hold")
        await self.released.wait()
        self.released.clear()
        await self.did("held")

    @Release.putter
    async def _(self) -> None:
        self.released.set()

    @Widen.putter
    async def _(self) -> None:
        self.Current.set_limits(alarm=(None, 1.8), display=(0, 5))
        await self.ioc.set_state(IocState.Degraded)

    @Twice.putter
    async def _(self) -> None:
        await self.Set.put(0.25)
        await self.Set.put(99.0)

    @Urgent.putter
    async def _(self) -> None:
        await self.did("Urgent")


class LampIoc(Ioc):
    async def start(self) -> None:
        print("start", self.pvdb[f"{self.prefix}L:Set"].value, flush=True)
        match os.environ.get("LAMP_FAULT"):
            case "crash":
                self.spawn(self.crash(), "crash")
            case "start":
                raise ConnectionError("no lamp")
            case "hang":
                print("hanging", flush=True)
                await asyncio.Event().wait()

    async def crash(self) -> None:
        raise RuntimeError("a bug in the poll loop")

    async def stop(self) -> None:
        print("stop hook", flush=True)


def main() -> int:
    prefix, *rest = sys.argv[1:]
    state = Path(rest[0]) if rest else None
    access = Path(rest[1]) if len(rest) > 1 else None
    ioc = LampIoc(prefix, [("L:", Lamp())], backend="test")
    interface = os.environ.get("LAMP_INTERFACE", "127.0.0.1")
    return serve(ioc, CaServerSettings(interface, int(os.environ["EPICS_CA_SERVER_PORT"])), state, access)


if __name__ == "__main__":
    sys.exit(main())
