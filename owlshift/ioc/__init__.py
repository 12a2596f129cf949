"""owlshift.ioc: a device class declares its PVs once; `serve` makes an EPICS IOC of its instances.

from owlshift.ioc import Device, Ioc, readback, setpoint, serve

class Lamp(Device):
    On = setpoint(bool, doc="Switches the lamp")
    Current = readback(float, units="A", precision=2, alarm=(None, 1.5), doc="Current through the lamp")

serve(Ioc("LAB:", [("LAMP:", Lamp())]))
"""

from caproto import AlarmStatus

from .access import AccessFileError, AccessSecurity
from .catalogue import catalogue, catalogue_markdown
from .config import Config
from .declare import Alarm, Archive, DeclarationError, PutRefused, Severity, command, readback, setpoint
from .device import Device, child
from .health import IocState
from .ioc import Ioc
from .ondemand import Finder, OnDemand
from .pv import Pv
from .run import RESTART_EXIT_CODE, SUPERVISED, CaServerSettings, serve
from .values import Array, Text

__all__ = [
    "RESTART_EXIT_CODE",
    "SUPERVISED",
    "AccessFileError",
    "AccessSecurity",
    "Alarm",
    "AlarmStatus",
    "Archive",
    "Array",
    "CaServerSettings",
    "Config",
    "DeclarationError",
    "Device",
    "Finder",
    "Ioc",
    "IocState",
    "OnDemand",
    "PutRefused",
    "Pv",
    "Severity",
    "Text",
    "catalogue",
    "catalogue_markdown",
    "child",
    "command",
    "readback",
    "serve",
    "setpoint",
]
