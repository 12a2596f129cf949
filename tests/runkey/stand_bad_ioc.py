"""An IOC with configuration that misbehaves in every way that an apply must bear: `python stand_bad_ioc.py PREFIX`."""

from __future__ import annotations

import asyncio
import enum
import os
import sys

from owlshift.ioc import (
    AlarmStatus,
    Array,
    CaServerSettings,
    Config,
    Device,
    Ioc,
    PutRefused,
    Text,
    command,
    readback,
    serve,
    setpoint,
)


class Mode(enum.IntEnum):
    Idle = 0
    Run = 1
    Test = 2


QUICK = 0.4


class Good(Device):
    """Does what it is told, and writes down in which order."""

    V = setpoint(float, precision=1, units="V", control=(0, 3000), initial=100.0,
        config=Config(after=("Max", "Rate"), lower_first=("Max",), blocked_by={"/Lock": "Yes"}))  # fmt: skip
    V_RBV = readback(float, precision=1, units="V", initial=100.0)
    Max = setpoint(float, precision=0, units="V", control=(0, 4000), initial=200.0, config=True)
    Max_RBV = readback(float, precision=0, units="V", initial=200.0)
    Rate = setpoint(int, control=(1, 500), initial=50, config=True)
    Mode = setpoint(Mode, initial=Mode.Idle, config=Config(after=("V",)))
    Label = setpoint(str, initial="spare", config=True)
    Note = setpoint(Text(200), initial="", config=True)
    Curve = setpoint(Array(float, 8), initial=[1.0, 2.0], config=Config(tolerance=0.01))
    Steps = setpoint(Array(int, 8), initial=[1, 2, 3], config=True)
    Slow = setpoint(float, initial=1.0, precision=2, config=Config(settle=20.0))
    Slow_RBV = readback(float, initial=1.0, precision=2)
    Serial = readback(str, initial="SN1", config=True)

    @V.putter
    @Max.putter
    async def _(self, value, pv):
        name = pv.declaration.attribute
        limit = value if name == "Max" else self.Max.value
        if (self.V.value if name == "Max" else value) > limit:
            raise PutRefused(f"V would be above Max={limit:g}")
        await self.bad.did(f"{name}={value:g}")
        await self.post(self.pvs[f"{name}_RBV"], value)

    @Rate.putter
    @Mode.putter
    @Label.putter
    @Note.putter
    @Curve.putter
    @Steps.putter
    async def _(self, value, pv):
        await self.bad.did(pv.declaration.attribute)

    @Slow.putter
    async def _(self, value):
        await self.bad.did(f"Slow={value:g}")
        self.ioc.spawn(self.late(value), "late")

    async def late(self, value: float) -> None:
        await asyncio.sleep(0.3)
        await self.post(self.Slow_RBV, value)

    @property
    def bad(self) -> Bad:
        assert isinstance(self.ioc, BadIoc)
        return self.ioc.bad


class Bad(Device):
    """Each of these fails in its way when it is put above 50."""

    Changed = setpoint(float, initial=1.0, precision=1, config=True)
    Hangs = setpoint(float, initial=1.0, precision=1, lane="hang", config=True)
    Refused = setpoint(float, initial=1.0, precision=1, config=True)
    Forbidden = setpoint(float, initial=1.0, precision=1, lane="other", config=True)
    Never = setpoint(float, initial=1.0, precision=1, config=Config(settle=QUICK))
    Never_RBV = readback(float, initial=1.0, precision=1)
    Invalid = setpoint(float, initial=1.0, precision=1, config=Config(settle=QUICK))
    Invalid_RBV = readback(float, initial=1.0, precision=1)
    Dies = setpoint(float, initial=1.0, precision=1, config=Config(after=("Mover",)))
    Mover = setpoint(float, initial=1.0, precision=1, config=True)
    Moved = setpoint(float, initial=1.0, precision=1, config=Config(after=("Mover",)))
    Stray = setpoint(float, initial=1.0, precision=1, config=True)
    Tide = setpoint(float, initial=1.0, precision=1, config=True)
    Moon = setpoint(float, initial=1.0, precision=1, config=Config(after=("Tide",)))
    Late = setpoint(float, initial=1.0, precision=1, lane="late", config=Config(after=("/A:Label", "/A:Rate")))
    Waits = setpoint(float, initial=1.0, precision=1, lane="waits", config=True)
    Fresh = setpoint(float, precision=1, config=True)
    Last = setpoint(float, initial=1.0, precision=1, config=Config(after=("Changed", "Hangs", "Refused", "Never",
        "Invalid", "Dies", "Moved", "Waits")))  # fmt: skip
    Closed = setpoint(float, initial=1.0, precision=1, asg="NOBODY", config=True)
    Lock = setpoint(bool, initial=False)
    Puts = readback(Text(20000), initial="")
    Release = command(lane="release")
    Break = command(lane="break")
    Heal = command(lane="heal")
    Reset = command(lane="reset")

    def __init__(self) -> None:
        self.log: list[str] = []
        self.released = asyncio.Event()
        self.broken = False

    async def did(self, what: str) -> None:
        self.log.append(what)
        await self.post(self.Puts, " ".join(self.log))

    @Changed.putter
    async def _(self, value):
        await self.did(f"Changed={value:g}")
        return value / 2 if value > 50 else value

    @Hangs.putter
    @Waits.putter
    @Late.putter
    async def _(self, value, pv):
        await self.did(f"{pv.declaration.attribute}={value:g}")
        if value > 50:
            await self.released.wait()

    @Refused.putter
    async def _(self, value):
        if value > 50:
            raise PutRefused("the device does not like it")
        await self.did(f"Refused={value:g}")

    @Forbidden.putter
    async def _(self, value):
        if value > 50:
            raise PutRefused("it is forbidden")

    @Never.putter
    async def _(self, value):
        await self.did(f"Never={value:g}")
        if value <= 50:
            await self.post(self.Never_RBV, value)

    @Invalid.putter
    async def _(self, value):
        await self.did(f"Invalid={value:g}")
        if value > 50 or self.broken:
            await self.invalidate(self.Invalid_RBV, AlarmStatus.COMM)
            self.broken = self.broken or value > 70
            if self.broken:
                raise PutRefused("B0 does not answer")
        else:
            await self.post(self.Invalid_RBV, value)

    @Dies.putter
    async def _(self, value):
        if value > 50:
            print("dying", flush=True)
            os._exit(1)

    @Mover.putter
    async def _(self, value):
        await self.did(f"Mover={value:g}")
        await self.post_many([(self.Moved, 7.0), (self.Stray, 9.0)])

    @Moved.putter
    @Stray.putter
    @Last.putter
    async def _(self, value, pv):
        await self.did(f"{pv.declaration.attribute}={value:g}")

    @Tide.putter
    async def _(self, value):
        await self.post(self.Moon, -1.0)

    @Moon.putter
    async def _(self, value):
        await self.post(self.Tide, -1.0)

    @Release.putter
    async def _(self):
        self.released.set()

    @Heal.putter
    async def _(self):
        self.broken = False
        await self.post(self.Invalid_RBV, self.Invalid.value)

    @Break.putter
    async def _(self):
        self.broken = True
        await self.invalidate(self.Invalid_RBV, AlarmStatus.COMM)

    @Reset.putter
    async def _(self):
        """All as after the start."""
        self.log.clear()
        self.released.clear()
        self.broken = False
        for name, pv in self.ioc.pvdb.items():
            initial = pv.declaration.initial
            if initial is not None and "IOC:" not in name and pv is not self.Reset:
                await self.post(pv, initial)
        await self.invalidate(self.Fresh, AlarmStatus.UDF)


class BadIoc(Ioc):
    def __init__(self, prefix: str) -> None:
        self.bad = Bad()
        super().__init__(prefix, [("", self.bad), ("A:", Good()), ("B:", Good())], backend="test")


ACCESS = """
UAG(nobody) { root-of-nothing }
ASG(DEFAULT) { RULE(1, READ) RULE(1, WRITE) }
ASG(NOBODY) { RULE(1, READ) RULE(1, WRITE) { UAG(nobody) } }
"""


def main() -> int:
    from pathlib import Path

    prefix, folder = sys.argv[1:]
    access = Path(folder) / "bad.acf"
    access.write_text(ACCESS)
    settings = CaServerSettings("127.0.0.1", int(os.environ["EPICS_CA_SERVER_PORT"]))
    return serve(BadIoc(prefix), settings, None, access)


if __name__ == "__main__":
    sys.exit(main())
