"""A stand-in for the HV IOC that can be put into any scene at once, to look at screens in states that are rare.

    python hv_scenes.py PREFIX PORT

`caput PREFIX:Scene ramping` (a name of `SCENES`) changes all readings; commands and setpoints take any value.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time

from caproto import AlarmSeverity, AlarmStatus, ChannelByte, ChannelDouble, ChannelEnum, ChannelInteger, ChannelString
from caproto.asyncio.server import Context

ALIASES = "L01 L02 F L04 L05 L06 L07 L08 L09 L10 L11 L12 L13 L14 L15 L16 L17 L18 L19 L20 L21 L03 R1 R2".split()
V_DEF = {"L01": 1880, "L02": 1880, "L16": 1970, "L17": 1970, "L18": 1900, "L19": 1950, "L20": 1550, "L21": 1265}
V_DEF |= {"F": 0, "R1": 0, "R2": 0}
SCENES = ("off", "ramping", "on", "trip", "minor", "pulled")
BITS = "On RUp RDw OvC OvV UnV MaxV Trip OvP OvT Dis Kill Ilk NoCal".split()
NO_YES = ("No", "Yes")


class SceneString(ChannelString):
    """The PV that changes the scene."""

    stand: Stand

    async def verify_value(self, data):
        await self.stand.play(str(data[0] if isinstance(data, (list, tuple)) else data))
        return data


def double(value: float, units: str, precision: int = 1, limits: tuple[float, float] | None = None) -> ChannelDouble:
    extra = {"lower_ctrl_limit": limits[0], "upper_ctrl_limit": limits[1]} if limits else {}
    return ChannelDouble(value=value, units=units, precision=precision, **extra)


class Stand:
    """All PVs of the stand-in."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.pvs: dict[str, object] = {}
        p = prefix
        for alias in ALIASES:
            self.channel(f"{p}{alias}:", alias)
        for board in range(6):
            b = f"{p}B{board}:"
            self.pvs |= {
                b + "Name": ChannelString(value="N1470"),
                b + "NCh": ChannelInteger(value=4),
                b + "FwRel": ChannelString(value="1.31"),
                b + "Serial": ChannelInteger(value=1201 + board),
                b + "Ilk": ChannelEnum(value="No", enum_strings=NO_YES),
                b + "IlkMode": ChannelEnum(value="Closed", enum_strings=("Open", "Closed")),
                b + "Ctrl": ChannelEnum(value="Remote", enum_strings=("Local", "Remote")),
                b + "Alarm": ChannelInteger(value=0),
            }
        self.pvs |= {
            p + "Mult": double(0.9, "", 4, (0.0, 1.2)),
            p + "Mult_RBV": double(0.9, "", 4),
            p + "ScaleRamp": ChannelEnum(value="Yes", enum_strings=NO_YES),
            **{p + n: ChannelEnum(value="No", enum_strings=NO_YES) for n in ("Down", "Clear", "Init")},
        }
        i = p + "IOC:"
        self.beat = ChannelInteger(value=0)
        self.message = ChannelByte(value=b"Ready: 6 boards, 24 channels", max_length=1024)
        self.state = ChannelEnum(value="Running", enum_strings=("Starting", "Running", "Degraded", "Stopping"))
        self.pvs |= {
            i + "HEARTBEAT": self.beat,
            i + "UPTIME": ChannelString(value="0 days, 00:41:07"),
            i + "Version": ChannelString(value="0.1.0"),
            i + "Backend": ChannelString(value="sim"),
            i + "State": self.state,
            i + "Msg": self.message,
            i + "IOC_CPU_LOAD": double(3.2, "%"),
            i + "CA_CLNT_CNT": ChannelInteger(value=3),
        }
        catalogue = json.dumps({"ioc": p, "version": 1, "pvs": [{"name": name} for name in self.pvs]})
        self.pvs[i + "Catalogue"] = ChannelByte(value=catalogue.encode(), max_length=400_000)
        scene = SceneString(value="off")
        scene.stand = self
        self.pvs[p + "Scene"] = scene

    def channel(self, c: str, alias: str) -> None:
        vdef = float(V_DEF.get(alias, 2000))
        for name, value, units, precision in (
            ("VSet", 0.9 * vdef, "V", 1),
            ("ISet", 50.0, "uA", 2),
            ("RUp", 100.0, "V/s", 0),
            ("RDwn", 100.0, "V/s", 0),
            ("Trip", 0.2, "s", 1),
            ("VMax", 4000.0, "V", 0),
        ):
            self.pvs[c + name] = double(value, units, precision, (0, 8000))
            self.pvs[c + name + "_RBV"] = double(value, units, precision)
        for name, strings in (("PDwn", ("Kill", "Ramp")), ("IMonRange", ("High", "Low")), ("Pw", ("Off", "On"))):
            self.pvs[c + name] = ChannelEnum(value=strings[0], enum_strings=strings)
            self.pvs[c + name + "_RBV"] = ChannelEnum(value=strings[0], enum_strings=strings)
        self.pvs |= {
            c + "VMon": double(0.0, "V"),
            c + "IMon": double(0.0, "uA", 2),
            c + "IMonH": double(0.0, "uA", 2),
            c + "IMonL": double(0.0, "uA", 3),
            c + "VDef": double(vdef, "V", 0),
            c + "Polarity": ChannelEnum(value="Positive", enum_strings=("Negative", "Positive")),
            c + "Status": ChannelInteger(value=0),
            **{f"{c}Sts:{bit}": ChannelEnum(value="No", enum_strings=NO_YES) for bit in BITS},
        }

    async def play(self, scene: str) -> None:
        if scene not in SCENES:
            raise ValueError(scene)
        for number, alias in enumerate(ALIASES):
            vdef, bits, fraction, current = float(V_DEF.get(alias, 2000)), 0, 0.0, 0.0
            worst = AlarmSeverity.NO_ALARM
            if scene in ("on", "trip", "minor") and vdef:
                bits, fraction, current = 1, 0.9, 2.0 + number / 7
            elif scene == "ramping" and vdef:
                bits, fraction, current = 3, 0.62, 4.0 + number / 7
            if scene == "trip" and alias == "L07":
                bits, fraction, current, worst = 1 << 7, 0.0, 0.0, AlarmSeverity.MAJOR_ALARM
            if scene == "minor" and alias in ("L04", "L12"):
                bits, worst = 1 | 1 << 5, AlarmSeverity.MINOR_ALARM
            if scene == "minor" and alias == "L09":
                bits = 1 | 1 << 2
            await self.show(alias, bits, fraction * vdef, current, worst, scene == "pulled")
        text = "B0: no answer from the line for 2.0 s" if scene == "pulled" else f"Scene {scene}: Mult 0.9"
        if scene == "trip":
            text = "L07 tripped: over current for 0.2 s at 1799.8 V; Clear and switch on again to go on, please"
        await self.message.write(text.encode())
        await self.state.write("Degraded" if scene == "pulled" else "Running")

    async def show(self, alias: str, bits: int, volts: float, current: float, worst, pulled: bool) -> None:
        c = f"{self.prefix}{alias}:"
        names = [c + "VMon", c + "IMon", c + "Status", *(f"{c}Sts:{bit}" for bit in BITS)]
        names += [n for n in self.pvs if n.startswith(c) and n.endswith("_RBV")]
        if pulled:
            for name in names:
                await self.pvs[name].alarm.write(status=AlarmStatus.COMM, severity=AlarmSeverity.INVALID_ALARM)
            return
        for name in names:
            await self.pvs[name].alarm.write(status=AlarmStatus.NO_ALARM, severity=AlarmSeverity.NO_ALARM)
        await self.pvs[c + "VMon"].write(volts + random.gauss(0, 0.1) if volts else 0.0)
        await self.pvs[c + "IMon"].write(current)
        await self.pvs[c + "Status"].write(bits)
        for index, bit in enumerate(BITS):
            pv = self.pvs[f"{c}Sts:{bit}"]
            await pv.write(NO_YES[bits >> index & 1])
            if bits >> index & 1 and index > 2 and worst:
                await pv.alarm.write(status=AlarmStatus.STATE, severity=worst)
        if worst:
            await self.pvs[c + "Status"].alarm.write(status=AlarmStatus.STATE, severity=worst)

    async def run(self) -> None:
        context = Context(self.pvs, interfaces=["127.0.0.1"])
        asyncio.get_running_loop().create_task(self.live(context))
        await context.run(log_pv_names=False)

    async def live(self, context: Context) -> None:
        while not context.port:
            await asyncio.sleep(0.05)
        print("ready", self.prefix, flush=True)
        while True:
            await asyncio.sleep(1.0)
            await self.beat.write(int(time.monotonic()) % 1_000_000)


if __name__ == "__main__":
    asyncio.run(Stand(sys.argv[1]).run())
