"""The PVs of runkeys: what an operator asks for, how it goes, what is on the stand, and how the databases are."""

from __future__ import annotations

import enum
from typing import Protocol

from iocs.runkey.config import RunkeyConfig
from owlshift.ioc import Alarm, Archive, Device, Severity, Text, command, readback, setpoint

MONITOR = Archive.MONITOR
SLOW = Archive.scan(60.0)
MINOR, MAJOR, INVALID = Severity.MINOR, Severity.MAJOR, Severity.INVALID
REPORT_BYTES = 65536
LIST_BYTES = 262144
HASH_BYTES = 64
COMMENT_BYTES = 1000
MESSAGE_BYTES = 1024
VALIDITY_BYTES = 1000


class RunkeyState(enum.IntEnum):
    """What the IOC is doing."""

    Idle = 0
    Snapshotting = 1
    Comparing = 2
    Applying = 3
    RollingBack = 4
    Aborting = 5
    Committing = 6
    Failed = 7
    """The last command did not do what it should; `Msg` and `Report` say why. Until the next one."""
    Offline = 8
    """No database."""


class StandMode(enum.IntEnum):
    """What the stand is used for now."""

    Configuration = 0
    Operation = 1
    """Nothing is applied or committed; looking and storing go on."""


class Actions(Protocol):
    """What the PVs ask the IOC to do. Everything raises PutRefused with the reason when it cannot be done."""

    async def select(self, name: str) -> str:
        """Make `name`, or nothing (""), the runkey that commands act on; the name as it is stored."""
        ...

    async def name_snapshot(self, name: str) -> str:
        """Check the name that the next snapshot is to have."""
        ...

    async def snapshot(self) -> None:
        """Store the stand as it is in a new runkey, and select that."""
        ...

    async def compare(self) -> None:
        """Report what differs between the stand and the selected runkey."""
        ...

    async def dry_run(self) -> None:
        """Report what applying the selected runkey would do."""
        ...

    async def apply(self) -> None:
        """Bring the stand to what the selected runkey says, and verify that it is there."""
        ...

    async def abort(self) -> None:
        """End what is under way, undo it, and return when that is done."""
        ...

    async def commit(self) -> None:
        """Bring the selected runkey from the staging area to the backend."""
        ...

    async def refresh(self) -> None:
        """Read lists and selection anew from the databases."""
        ...

    async def search(self, text: str) -> None:
        """Show what is found."""
        ...

    async def view(self, path: str, role: str) -> None:
        """Show the tree below `path`, and the payload there in `role` ("": the first)."""
        ...


class RunkeyPvs(Device):
    """Runkeys: whole configurations of the stand."""

    Selected = setpoint(str, initial="", save=True, asg="OPERATOR", lane="select", archive=MONITOR,
        doc="The runkey that commands act on; empty: none")  # fmt: skip
    SelectedId = readback(str, initial="", archive=MONITOR, doc="Id of its root object")
    SelectedHash = readback(Text(HASH_BYTES), initial="", archive=MONITOR, doc="Hash of all of it, hexadecimal")
    SelectedInfo = readback(Text(16384), initial="", doc="Who made it, when and why, where it is: JSON")

    SnapshotName = setpoint(str, initial="", asg="OPERATOR", lane="name",
        doc="What the next snapshot is called; empty: by date and time")  # fmt: skip
    Comment = setpoint(Text(COMMENT_BYTES), initial="", asg="OPERATOR", lane="name",
        doc="Why: of the next Snapshot, Apply or Commit; cleared by it")  # fmt: skip
    Snapshot = command(
        asg="OPERATOR", lane="Snapshot", archive=MONITOR, doc="Stores the stand as it is in a new runkey"
    )
    Compare = command(asg="OPERATOR", lane="Compare", doc="Reports what differs between the stand and Selected")
    DryRun = command(asg="OPERATOR", lane="DryRun", doc="Reports in Plan what Apply would do")
    Apply = command(asg="OPERATOR", lane="Apply", archive=MONITOR,
        doc="Brings the stand to what Selected says, and verifies it")  # fmt: skip
    Abort = command(asg="OPERATOR", lane="Abort", archive=MONITOR, doc="Ends what is under way, and undoes it")
    Commit = command(asg="EXPERT", lane="Commit", archive=MONITOR, doc="Selected from staging to the backend")
    Refresh = command(asg="OPERATOR", lane="Refresh", doc="Reads lists and selection anew from the databases")
    Mode = setpoint(StandMode, initial=StandMode.Configuration, save=True, asg="EXPERT", lane="mode", archive=MONITOR,
        doc="In Operation nothing is applied or committed")  # fmt: skip

    State = readback(RunkeyState, initial=RunkeyState.Offline, archive=MONITOR,
        severities={RunkeyState.Failed: MAJOR, RunkeyState.RollingBack: MINOR, RunkeyState.Offline: INVALID},
        doc="What the IOC is doing",
        alarm_info=Alarm("A runkey could not be applied, stored or read: Msg and Report say why"))  # fmt: skip
    Progress = readback(float, units="%", precision=1, display=(0, 100), initial=0.0, doc="Of the command under way")
    ItemsDone = readback(int, initial=0, doc="PVs that are done")
    ItemsTotal = readback(int, initial=0, doc="PVs to do")
    Msg = readback(Text(MESSAGE_BYTES), initial="", archive=MONITOR, doc="The last thing an operator should know")
    Report = readback(Text(REPORT_BYTES), initial="", archive=MONITOR,
        doc="The last snapshot, comparison or apply, in full")  # fmt: skip
    Plan = readback(Text(REPORT_BYTES), initial="", doc="What Apply would do, in its order")
    DiffCount = readback(int, archive=MONITOR, doc="Settings of the stand that were not as in Selected, at Compare")
    Missing = readback(int, initial=0, archive=MONITOR, warn=(None, 1),
        doc="PVs that the last snapshot could not read")  # fmt: skip

    Applied = readback(str, initial="", archive=MONITOR, doc="The runkey that was applied last; empty: none, or undone")
    AppliedId = readback(str, initial="", archive=MONITOR, doc="Id of its root object")
    AppliedHash = readback(Text(HASH_BYTES), initial="", archive=MONITOR, doc="Hash of all of it, hexadecimal")
    AppliedBy = readback(Text(200), initial="", archive=MONITOR, doc="Who applied it: user@host of the client")
    AppliedAt = readback(str, initial="", archive=MONITOR, doc="When, in UTC")
    AppliedResult = readback(Text(500), initial="", archive=MONITOR,
        doc="Whether the stand is as it says",
        alarm_info=Alarm("The stand is not as the runkey says: Compare shows what differs"))  # fmt: skip
    AppliedValid = readback(bool, archive=MONITOR,
        doc="Whether VALIDITY tags say that Applied is to be used now; without a tag it is",
        alarm_info=Alarm("The runkey on the stand is not the one for now: see AppliedValidity"))  # fmt: skip
    AppliedValidity = readback(Text(VALIDITY_BYTES), initial="", archive=MONITOR,
        doc="What VALIDITY tags say of Applied: from when to when")  # fmt: skip
    LiveDiffCount = readback(int, archive=MONITOR, warn=(None, 1),
        doc="Settings that are not as in Applied now; UDF when that is not looked at")  # fmt: skip

    Search = setpoint(Text(200), initial="", asg="OPERATOR", lane="search",
        doc="Part of a name or comment, a glob, or tag:NAME")  # fmt: skip
    Found = readback(Text(LIST_BYTES), initial="[]", doc="Runkeys that Search finds, newest first: JSON")
    List = readback(Text(LIST_BYTES), initial="[]", doc="All runkeys, newest first: JSON")
    Tree = readback(Text(LIST_BYTES), initial="{}", doc="Objects of Selected below Path: JSON")
    Path = setpoint(Text(500), initial="/", asg="OPERATOR", lane="view", doc="An object of Selected, such as /HV")
    Role = setpoint(str, initial="", asg="OPERATOR", lane="view", doc="Which of its payloads; empty: the first")
    View = readback(Text(LIST_BYTES), initial="", doc="That payload, as text")

    DbConn = readback(bool, labels=("Away", "Connected"), initial=False, severities={False: MAJOR}, archive=MONITOR,
        doc="Both databases answer",
        alarm_info=Alarm("Runkeys can be neither stored nor applied: Msg says which database is away"))  # fmt: skip
    DbLatency = readback(
        float, units="ms", precision=1, archive=SLOW, doc="Time that the slower database takes to answer"
    )
    StageDirty = readback(int, archive=MONITOR, doc="Runkeys in the staging area that are not committed")

    def __init__(self, actions: Actions, config: RunkeyConfig) -> None:
        self.actions = actions
        self.DbLatency.set_limits(warn=(None, config.latency_high), alarm=(None, config.latency_hihi))

    @Selected.putter
    async def _(self, value):
        return await self.actions.select(value)

    @SnapshotName.putter
    async def _(self, value):
        return await self.actions.name_snapshot(value)

    @Snapshot.putter
    async def _(self):
        await self.actions.snapshot()

    @Compare.putter
    async def _(self):
        await self.actions.compare()

    @DryRun.putter
    async def _(self):
        await self.actions.dry_run()

    @Apply.putter
    async def _(self):
        await self.actions.apply()

    @Abort.putter
    async def _(self):
        await self.actions.abort()

    @Commit.putter
    async def _(self):
        await self.actions.commit()

    @Refresh.putter
    async def _(self):
        await self.actions.refresh()

    @Search.putter
    async def _(self, value):
        await self.actions.search(value)

    @Path.putter
    async def _(self, value):
        await self.actions.view(value, self.Role.value)

    @Role.putter
    async def _(self, value):
        await self.actions.view(self.Path.value, value)
