"""What happens in the alarm tree, as rows of the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from db.alarms.event import PRIORITIES, Event
from db.alarms.writer import EventWriter
from iocs.alarm.tree.bursts import bursts
from iocs.alarm.tree.events import SERVER, Annunciation, Edit, Effective, Listener, Person, State
from iocs.alarm.tree.nodes import Leaf
from iocs.alarm.tree.paths import split_path
from iocs.alarm.tree.severity import AlarmSeverity

if TYPE_CHECKING:
    from iocs.alarm.tree.nodes import Area, Burst
    from iocs.alarm.tree.tree import AlarmTree

KINDS = {"acknowledge": "ack", "unacknowledge": "unack", "configure": "config"}
"""Kinds of events by what `Edit` calls them, where these are not the same."""
_OTHERS = ("shelve", "unshelve", "disable", "enable", "delete", "mode", "notify", "action", "server")


class LogWriter(Listener):
    """Follows the tree and writes its log: every transition, edit and announcement, by the tree's clock."""

    def __init__(self, tree: AlarmTree, writer: EventWriter) -> None:
        self._tree = tree
        self.writer = writer
        self._last: dict[str, tuple[Effective, State]] = {}
        """By path what was logged last: the alarm's effective state, and its PV's; absent: nothing ever happened."""

    def begin(self, detail: str = "") -> None:
        """The server begins; after `restore`, before the first PV is heard: alarms that were up are no news."""
        for leaf in self._tree.leaves():
            if leaf.effective is not Effective.Normal:
                self._last[leaf.path] = (leaf.effective, leaf.current)
        self.note("server", self._tree.root.path, SERVER, detail or "the server begins")

    def end(self, detail: str = "") -> None:
        """The server ends."""
        self.note("server", self._tree.root.path, SERVER, detail or "the server ends")

    def note(self, kind: str, path: str, who: Person, detail: str) -> None:
        """Write an event that is not of the tree: an action that was run, or something of the server itself."""
        self.writer.put([Event(self._now, kind, path, self._pv(path), user=who.user, host=who.host, detail=detail)])

    @property
    def _now(self) -> int:
        return self._tree.clock.now_ns()

    def _pv(self, path: str) -> str:
        node = self._tree.find(path)
        return node.pv if isinstance(node, Leaf) else ""

    # -- the tree ------------------------------------------------------------------------------------------------------

    def leaf_changed(self, leaf: Leaf, before: State, raised: bool) -> None:
        """One row, unless it was told for a reason that nobody can see."""
        alarm, current, effective = leaf.alarm, leaf.current, leaf.effective
        last = self._last.get(leaf.path)
        was = last[0] if last is not None else Effective.Normal
        if last is not None and not raised and alarm == before and effective is was and current == last[1]:
            return
        self._last[leaf.path] = (effective, current)
        # who knows: as Phoebus, an acknowledgement shows in the severity
        acked = alarm.severity.acknowledged is alarm.severity is not AlarmSeverity.OK and before.severity.active
        person = leaf.acknowledged_by if acked else None
        burst = _burst(leaf) if raised else None
        self.writer.put(
            [
                Event(
                    time_ns=self._now,
                    kind="transition",
                    path=leaf.path,
                    pv=leaf.pv,
                    severity=int(alarm.severity),
                    before=int(before.severity),
                    current=int(current.severity),
                    message=alarm.message,
                    current_message=current.message,
                    value=alarm.value,
                    effective=int(effective),
                    effective_before=int(was),
                    raised=raised,
                    priority=PRIORITIES.index(leaf.extras.priority),
                    burst=str(burst.first_ns) if burst is not None else "",
                    first_out=burst is not None and burst.first is leaf,
                    user=person.user if person is not None else "",
                    host=person.host if person is not None else "",
                    time_pv_ns=current.time_ns,
                )
            ]
        )

    def removed(self, path: str, who: Person) -> None:
        """What was up when it was removed is up no more."""
        last = self._last.pop(path, None)
        if last is not None and last[0] is not Effective.Normal:
            event = Event(
                self._now,
                "transition",
                path,
                split_path(path)[-1],
                message="Deleted",
                effective_before=int(last[0]),
                user=who.user,
                host=who.host,
            )
            self.writer.put([event])

    def edited(self, edit: Edit) -> None:
        """One row."""
        kind = KINDS.get(edit.action, edit.action)
        detail = edit.detail
        if kind not in _OTHERS and kind not in KINDS.values():
            kind, detail = "server", f"{edit.action}: {edit.detail}"
        who = edit.who
        row = Event(edit.time_ns, kind, edit.path, self._pv(edit.path), user=who.user, host=who.host, detail=detail)
        self.writer.put([row])

    def announced(self, annunciation: Annunciation) -> None:
        """One row."""
        said = annunciation
        self.writer.put(
            [
                Event(
                    said.time_ns,
                    "announce",
                    said.path,
                    self._pv(said.path),
                    int(said.severity),
                    detail=f"{'! ' if said.standout else ''}{said.text}",
                )
            ]
        )

    def configured(self, item: object, who: Person) -> None:
        """Told as an edit."""

    def area_changed(self, area: Area) -> None:
        """Follows from its alarms."""

    def modes_changed(self) -> None:
        """Told as an edit."""


def _burst(leaf: Leaf) -> Burst | None:
    """What the alarm came together with, in the widest area; alone it is the first of a burst to be."""
    found = bursts(leaf)
    if found:
        return found[-1].burst
    return next((area.burst for area in leaf.above() if area.burst is not None and area.burst.first is leaf), None)
