"""Things that can be in alarm: `python alarm_source_ioc.py PREFIX NUMBER`. V above 10 is MINOR, above 20 MAJOR."""

from __future__ import annotations

import os
import sys

from owlshift.ioc import Alarm, CaServerSettings, Device, Ioc, readback, serve, setpoint


class Tank(Device):
    """A tank."""

    V = setpoint(float, units="V", precision=1, initial=0.0, warn=(None, 10.0), alarm=(None, 20.0),
        doc="Level of the tank", alarm_info=Alarm("Open the valve.", priority="high", display="tanks"))  # fmt: skip
    Slow = setpoint(
        float, initial=0.0, alarm=(None, 20.0), doc="Slow level", alarm_info=Alarm(latching=False, delay=2.0)
    )
    Other = readback(float, initial=0.0, doc="No alarm")


def main() -> int:
    prefix, number = sys.argv[1], int(sys.argv[2])
    ioc = Ioc(prefix, [(f"T{n}:", Tank()) for n in range(1, number + 1)])
    return serve(ioc, CaServerSettings("127.0.0.1", int(os.environ["EPICS_CA_SERVER_PORT"])))


if __name__ == "__main__":
    sys.exit(main())
