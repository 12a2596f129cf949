"""A soft IOC whose PVs a test puts into alarm: `python watch_soft_ioc.py PREFIX COUNT [free]`.

With `free` it also serves, under PREFIX + `FREE:`, a catalogue that a test writes.
"""

from __future__ import annotations

import enum
import os
import sys

from owlshift.ioc import Alarm, Array, CaServerSettings, Device, Ioc, Severity, Text, readback, serve, setpoint


class Mode(enum.IntEnum):
    Off = 0
    Beam = 1
    Cosmics = 2


class Level(enum.IntEnum):
    Fine = 0
    Minor = 1
    Major = 2
    Invalid = 3


class Channel(Device):
    """One channel."""

    IMon = setpoint(
        float,
        units="uA",
        precision=1,
        warn=(None, 40.0),
        alarm=(None, 48.0),
        initial=0.0,
        doc="Current",
        alarm_info=Alarm(guidance="Look at the channel", priority="high", delay=0.0, display="hv"),
    )
    Level = setpoint(
        Level,
        severities={"Minor": Severity.MINOR, "Major": Severity.MAJOR, "Invalid": Severity.INVALID},
        initial=Level.Fine,
        doc="In whatever severity is put",
    )
    Plain = setpoint(int, warn=(None, 10), initial=0, doc="No alarm of the catalogue")


class Others(Device):
    """One of each type."""

    State = setpoint(Mode, severities={"Cosmics": Severity.MAJOR}, initial=Mode.Off, doc="A state")
    Word = setpoint(str, initial="fine", doc="A string")
    Long = setpoint(Text(400), initial="a longer text", doc="A char array")
    Wave = setpoint(Array(float, 20), initial=[1.5, 2.5], doc="A waveform")
    Gone = readback(float, units="V", doc="Never read: UDF")
    Switch = setpoint(float, initial=1.0, doc="Input of a filter")
    Dead = readback(float, doc="Input of a filter that is INVALID")


class Free(Device):
    """A catalogue as a test writes it."""

    Catalogue = setpoint(Text(1 << 20), initial="", doc="Written by a test")


def main() -> int:
    prefix, count = sys.argv[1], int(sys.argv[2])
    devices: list[tuple[str, Device]] = [(f"L{number:02d}:", Channel()) for number in range(1, count + 1)]
    devices.append(("X:", Others()))
    if "free" in sys.argv[3:]:
        devices.append(("FREE:IOC:", Free()))
    port = int(os.environ["EPICS_CA_SERVER_PORT"])
    return serve(Ioc(prefix, devices, backend="test"), CaServerSettings(port=port))


if __name__ == "__main__":
    raise SystemExit(main())
