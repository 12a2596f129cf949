"""An IOC of 2,000 PVs and more: `python big_ioc.py PREFIX [TITLE]`; prints how long it took to make."""

from __future__ import annotations

import os
import sys
import time

from owlshift.ioc import Archive, CaServerSettings, Device, Ioc, Severity, readback, serve, setpoint


class Cell(Device):
    """Ten PVs."""

    V = readback(float, units="V", precision=3, alarm=(None, 4.2), archive=Archive.MONITOR, doc="Voltage of the cell")
    I = readback(float, units="A", precision=3, alarm=(None, 2.0), archive=Archive.MONITOR, doc="Current")  # noqa: E741
    T = readback(float, units="degC", precision=1, warn=(None, 40), alarm=(None, 60), doc="Temperature")
    N = readback(int, doc="Cycles")
    On = readback(bool, severities={False: Severity.MINOR}, doc="On")
    Name = readback(str, doc="Name")
    VSet = setpoint(float, units="V", precision=3, control=(0, 4.2), save=True, asg="OPERATOR", doc="Voltage")
    ISet = setpoint(float, units="A", precision=3, control=(0, 2), save=True, asg="OPERATOR", doc="Current")
    Mode = setpoint(int, control=(0, 3), save=True, doc="Mode")
    Label = setpoint(str, save=True, doc="Label")


def made(prefix: str, cells: int) -> Ioc:
    return Ioc(prefix, [(f"C{i}:", Cell()) for i in range(cells)])


def main() -> int:
    begun = time.perf_counter()
    ioc = made(sys.argv[1], 200)
    print(f"made {len(ioc.pvdb)} PVs in {time.perf_counter() - begun:.3f} s", flush=True)
    return serve(ioc, CaServerSettings("127.0.0.1", int(os.environ["EPICS_CA_SERVER_PORT"])))


if __name__ == "__main__":
    sys.exit(main())
