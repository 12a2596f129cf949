"""The PVs of areas and alarms. What they show comes from `show`, what puts do is in `commands`."""

from __future__ import annotations

import enum
from typing import Any, Protocol

from iocs.alarm.tree.events import Effective
from iocs.alarm.tree.nodes import Area, Leaf, Node
from iocs.alarm.tree.severity import AlarmSeverity
from owlshift.ioc import Archive, OnDemand, Pv, Severity, Text, command, readback, setpoint
from owlshift.ioc.pv import make

ACK, SHELVE, CONFIG = "ALARM_ACK", "ALARM_SHELVE", "ALARM_CONFIG"
"""Access-security groups: who may acknowledge, who may shelve, and who may change what is an alarm at all."""
MONITOR = Archive.MONITOR
SLOW = Archive.scan(60.0)

PATH_BYTES = 1024
TEXT_BYTES = 1024
GUIDANCE_BYTES = 65536
JSON_BYTES = 1 << 20
ACTIVE_BYTES = 8 << 20
"""Of 2,000 alarms with much guidance."""
TREE_BYTES = 96 << 20
"""Of 60,000 items. What is served is as long as it is; clients that ask for all the room get zeros behind it."""
CONFIG_BYTES = 15 << 20
"""Of a put to `Config`: 50,000 alarms fit."""

SEVERITIES = {
    AlarmSeverity.MINOR: Severity.MINOR,
    AlarmSeverity.MAJOR: Severity.MAJOR,
    AlarmSeverity.INVALID: Severity.INVALID,
    AlarmSeverity.UNDEFINED: Severity.INVALID,
}
"""What waits for somebody is an alarm of the PV that shows it; what is acknowledged is none."""


class Priority(enum.IntEnum):
    """How much an alarm matters."""

    low = 0
    medium = 1
    high = 2


class ServerRole(enum.IntEnum):
    """What this server is of those that serve one tree."""

    Active = 0
    Standby = 1


class Actions(Protocol):
    """What puts do. Everything raises PutRefused with the reason when it cannot be done."""

    async def acknowledge(self, node: Node, on: bool) -> None:
        """Acknowledge, or take that back, all at a place of the tree."""
        ...

    async def shelve(self, node: Node, text: str) -> str:
        """Shelve what the text says, or unshelve; what `Shelve` shows then."""
        ...

    async def enable(self, node: Node, on: bool) -> None:
        """Watch it, or do not."""
        ...

    async def configure(self, text: str) -> str:
        """Add, change and remove items; what `Config` shows then."""
        ...

    async def maintenance(self, on: bool) -> None:
        """Begin or end maintenance."""
        ...

    async def notify(self, on: bool) -> None:
        """Whether mails and messages are sent."""
        ...

    async def mode(self, text: str) -> str:
        """Another operating mode."""
        ...

    async def nag(self, seconds: float) -> None:
        """How often active alarms are announced again."""
        ...

    async def reload(self) -> None:
        """Read the alarm files again."""
        ...


class Values(Protocol):
    """What gives the PVs what they show."""

    def first_value(self, device: ItemPvs, pv: Pv[Any]) -> None:
        """Give a new PV its value."""
        ...

    async def text(self, name: str) -> str:
        """A text of JSON of the root: Active, Shelves or Tree."""
        ...

    async def items_text(self, device: ItemPvs) -> str:
        """What is configured at and below a place, as JSON."""
        ...


class ItemPvs(OnDemand):
    """What areas and alarms have in common."""

    Sevr = readback(AlarmSeverity, severities=SEVERITIES, archive=MONITOR,
        doc="Severity of what is not suppressed; ..._ACK: somebody knows")  # fmt: skip
    Path = readback(Text(PATH_BYTES), doc="Its place in the tree of alarms")
    Ack = command(asg=ACK, doc="Acknowledges it, and all below")
    Unack = command(asg=ACK, doc="Takes the acknowledgement back")
    Shelve = setpoint(Text(TEXT_BYTES), initial="", asg=SHELVE,
        doc="Puts it aside: '10m why', 'once why', '2030-01-01T12:00:00Z why'; empty: back")  # fmt: skip
    Enable = setpoint(bool, initial=True, asg=CONFIG, doc="Whether it is an alarm at all")
    Guidance = readback(Text(GUIDANCE_BYTES), doc="What to do, as text")
    GuidanceJson = readback(Text(GUIDANCE_BYTES), doc="What to do, with displays and rationale: JSON")
    AckBy = readback(str, doc="Who acknowledged it")
    Items = readback(Text(TREE_BYTES), initial="", doc="What is configured of it and of all below: JSON")

    def __init__(self, values: Values, actions: Actions, node: Node) -> None:
        self.values, self.actions, self.node = values, actions, node

    def made(self, pv: Pv[Any]) -> None:
        """Give a new PV its value."""
        self.values.first_value(self, pv)

    @Ack.putter
    async def _(self) -> None:
        await self.actions.acknowledge(self.node, True)

    @Unack.putter
    async def _(self) -> None:
        await self.actions.acknowledge(self.node, False)

    @Shelve.putter
    async def _(self, value: str) -> str:
        return await self.actions.shelve(self.node, value)

    @Enable.putter
    async def _(self, value: bool) -> None:
        await self.actions.enable(self.node, value)

    @Items.getter
    async def _(self) -> str:
        return await self.values.items_text(self)


class AreaPvs(ItemPvs):
    """An area of alarms."""

    node: Area

    NActive = readback(int, archive=MONITOR, doc="Alarms that are up, acknowledged or not")
    NUnack = readback(int, archive=MONITOR, doc="Alarms that wait for somebody")
    NAck = readback(int, archive=MONITOR, doc="Alarms that are up, and somebody knows")
    NSupp = readback(int, archive=MONITOR, doc="Alarms that do not count: shelved, disabled, masked …")
    NTotal = readback(int, archive=SLOW, doc="All alarms below")
    First = readback(Text(PATH_BYTES), doc="The alarm that came first in the last burst")


class AlarmPvs(ItemPvs):
    """An alarm."""

    node: Leaf

    Cur = readback(AlarmSeverity, archive=MONITOR, doc="What the PV is now")
    Msg = readback(str, doc="The status that made the alarm")
    CurMsg = readback(str, doc="The status of the PV now")
    Val = readback(str, doc="The value that made the alarm")
    Time = readback(str, doc="When the alarm became what it is (UTC)")
    Since = readback(str, doc="Since when it is up (UTC)")
    State = readback(Effective, archive=MONITOR, doc="Active, acknowledged, shelved, masked …")
    Desc = readback(Text(TEXT_BYTES), doc="What it is")
    Prio = readback(Priority, doc="How much it matters")
    Resp = readback(float, units="s", doc="Within which somebody must act; 0: not said")
    ShelvedUntil = readback(str, doc="Until when it is shelved (UTC)")
    ShelvedBy = readback(str, doc="Who shelved it")
    ShelvedWhy = readback(Text(TEXT_BYTES), doc="Why it is shelved")


class RootPvs(AreaPvs):
    """All alarms, and the alarm server."""

    Active = readback(Text(ACTIVE_BYTES), doc="What is active, latched or acknowledged: JSON, at most 2000 rows")
    Tree = readback(Text(TREE_BYTES), initial="", doc="The whole tree with its state and the names of its PVs: JSON")
    Shelves = readback(Text(ACTIVE_BYTES), doc="What is shelved: JSON")
    Maint = setpoint(bool, initial=False, labels=("Off", "On"), severities={True: Severity.MINOR}, asg=CONFIG,
        archive=MONITOR, doc="Maintenance: INVALID and lost PVs acknowledge themselves")  # fmt: skip
    Notify = setpoint(bool, initial=True, labels=("Off", "On"), severities={False: Severity.MINOR}, asg=CONFIG,
        archive=MONITOR, doc="Whether mails and messages are sent")  # fmt: skip
    Mode = setpoint(Text(100), initial="", asg=CONFIG, archive=MONITOR, doc="Operating mode")
    Talk = readback(Text(TEXT_BYTES), initial="", archive=MONITOR, doc="What was announced last")
    TalkSevr = readback(AlarmSeverity, initial=AlarmSeverity.OK, archive=MONITOR, doc="Severity of what was announced")
    TalkCount = readback(int, initial=0, archive=SLOW, doc="Announcements since the start")
    NagPeriod = setpoint(float, units="s", precision=0, control=(0, 86400), asg=CONFIG,
        doc="Silence after which active alarms are announced again; 0: never")  # fmt: skip
    Role = readback(ServerRole, initial=ServerRole.Active, archive=MONITOR, doc="Standby: another one serves")
    Standby = readback(str, initial="", archive=MONITOR, doc="The server that would take over")
    LogState = readback(str, initial="", archive=MONITOR, doc="Whether the alarm log is written")
    LogBehind = readback(int, initial=0, archive=SLOW, doc="Entries that are not in the database yet")
    StoreState = readback(str, initial="", archive=MONITOR, doc="Whether states are kept for the next start")
    KafkaState = readback(str, initial="Off", archive=MONITOR, doc="Whether the broker is there")
    Watched = readback(int, initial=0, archive=SLOW, doc="PVs that are watched")
    Missing = readback(int, initial=0, archive=SLOW, doc="PVs that are watched and not there")
    Rate = readback(int, initial=0, archive=MONITOR, doc="Alarms announced in the last 10 minutes")
    Flood = readback(bool, initial=False, archive=MONITOR, doc="More alarms than anybody can follow")
    Chattering = readback(Text(JSON_BYTES), initial="[]", doc="Alarms that come and go all the time: JSON")
    Problems = readback(Text(JSON_BYTES), initial="[]", doc="Files, catalogues and PVs that cannot be used: JSON")
    Config = setpoint(Text(CONFIG_BYTES), initial="", asg=CONFIG,
        doc="Adds, changes or removes items: JSON of one, or of a list")  # fmt: skip
    Restart = command(asg=CONFIG, doc="Reads the alarm files again")

    def _first_pvs(self) -> dict[str, Pv[Any]]:
        return {name: make(declaration, self) for name, declaration in self.declarations.items()}

    @Active.getter
    async def _(self) -> str:
        return await self.values.text("Active")

    @Tree.getter
    async def _(self) -> str:
        return await self.values.text("Tree")

    @Shelves.getter
    async def _(self) -> str:
        return await self.values.text("Shelves")

    @Maint.putter
    async def _(self, value: bool) -> None:
        await self.actions.maintenance(value)

    @Notify.putter
    async def _(self, value: bool) -> None:
        await self.actions.notify(value)

    @Mode.putter
    async def _(self, value: str) -> str:
        return await self.actions.mode(value)

    @NagPeriod.putter
    async def _(self, value: float) -> None:
        await self.actions.nag(value)

    @Config.putter
    async def _(self, value: str) -> str:
        return await self.actions.configure(value)

    @Restart.putter
    async def _(self) -> None:
        await self.actions.reload()
