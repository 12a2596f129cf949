"""A soft IOC whose PVs a test puts into alarm: `python alarm_soft_ioc.py PREFIX`."""

from __future__ import annotations

import os
import sys

from owlshift.ioc import Alarm, CaServerSettings, Device, Ioc, serve, setpoint


class Channel(Device):
    """One channel, with one alarm in the catalogue."""

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


class Others(Device):
    """PVs that the catalogue does not declare as alarms."""

    State = setpoint(float, initial=0.0, doc="A number")
    Long = setpoint(float, initial=0.0, doc="Another")


def main() -> int:
    """Serve until SIGTERM."""
    devices: list[tuple[str, Device]] = [(f"L{number:02d}:", Channel()) for number in (1, 2, 3)]
    devices.append(("X:", Others()))
    settings = CaServerSettings(port=int(os.environ["EPICS_CA_SERVER_PORT"]))
    return serve(Ioc(sys.argv[1], devices, backend="test"), settings)


if __name__ == "__main__":
    raise SystemExit(main())
