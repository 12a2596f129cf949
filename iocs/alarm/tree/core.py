"""What one change of an alarm brings with it: its state, the counts above, masks, and what is told and announced."""

from __future__ import annotations

from collections.abc import Callable

from iocs.alarm.tree import bursts
from iocs.alarm.tree.announce import Announcer
from iocs.alarm.tree.clock import SECOND, Clock
from iocs.alarm.tree.events import SERVER, Edit, Effective, Person, State
from iocs.alarm.tree.flood import ChatterRule, ChatterWatch, FloodRule, FloodWatch
from iocs.alarm.tree.logic import PRIORITY, AlarmLogic, Context
from iocs.alarm.tree.losses import Losses
from iocs.alarm.tree.masks import Masks
from iocs.alarm.tree.nodes import DISABLED, FILTERED, MASKED, OUT_OF_MODE, SHELVED, SUPPRESSED, Area, Leaf
from iocs.alarm.tree.severity import AlarmSeverity
from iocs.alarm.tree.tell import Teller

OK = AlarmSeverity.OK
AHEAD_NS = 60 * SECOND
"""A PV's time further in the future than this is not believed."""


class Core:
    """Takes every change of an alarm's logic and of its suppression, in the order in which they happen."""

    def __init__(
        self,
        root: Area,
        clock: Clock,
        find: Callable[[str], Area | Leaf | None],
        compatible: bool,
        chatter: ChatterRule,
        flood: FloodRule,
    ) -> None:
        self.root, self.clock = root, clock
        self.context = Context(clock, self._changed, compatible)
        self._disables = DISABLED | FILTERED if compatible else DISABLED
        self.tell = Teller()
        self.in_alarm: dict[Leaf, None] = {}
        """Alarms that are up and not suppressed."""
        self.masks = Masks(find, self.suppress, self.resume, clock)
        self.losses = Losses(clock, self.masks)
        self.chatter = ChatterWatch(clock, chatter, self._calm)
        self.flood = FloodWatch(clock, flood, self._flooded)
        self.voice = Announcer(clock, root.path, self.tell.announced, self._waiting, compatible)
        self.cleared: Callable[[Leaf], None] = lambda leaf: None
        """Told of a shelved alarm that has just become OK."""

    # -- what the logic says ---------------------------------------------------------------------------------------

    def _changed(self, logic: AlarmLogic, before: State, raised: bool, came: bool) -> None:
        leaf = logic.owner
        if not isinstance(leaf, Leaf):
            return
        severity = logic.alarm.severity
        new = severity is not OK and before.severity is OK
        if new or (severity is not OK and not leaf.since_ns):
            leaf.since_ns = self._sane(logic.alarm.time_ns)
        elif severity is OK:
            leaf.since_ns = 0
        if leaf.acknowledged_by is not None and (severity is OK or severity.active):
            leaf.acknowledged_by = None
        if came and not leaf.reasons:
            self.chatter.came(leaf)
        raised = raised and not leaf.reasons
        if new and not leaf.reasons:
            bursts.note(leaf)
        self.settle(leaf, before, raised)
        if leaf.shelf is not None and severity is OK and before.severity is not OK:
            self.cleared(leaf)
        self.masks.check()

    def settle(self, leaf: Leaf, before: State, raised: bool) -> None:
        """Bring the effective state and the counts above up to date, tell all, and announce what was raised."""
        logic, reasons = leaf.logic, leaf.reasons
        severity = logic.alarm.severity
        leaf.effective = effective(leaf)
        leaf.live = severity is not OK and logic.counted.severity is not OK
        self.masks.count(leaf)
        now = SUPPRESSED if reasons else severity
        old = leaf.counts_as
        if old != now:
            leaf.counts_as = now
            if now == SUPPRESSED or severity is OK:
                self.in_alarm.pop(leaf, None)
            else:
                self.in_alarm[leaf] = None
            for area in leaf.above():
                area.move(old, now)
                if area.burst is not None and area.active == 0:
                    area.burst = None
        self.tell.leaf_changed(leaf, before, raised)
        if old != now:
            for area in leaf.above():
                self.tell.area_changed(area)
        if raised:
            self.announce(leaf)

    def recount(self, leaf: Leaf) -> None:
        """Bring counts up to date and tell nobody: before anything runs."""
        leaf.effective = effective(leaf)
        severity = leaf.alarm.severity
        leaf.live = severity is not OK and leaf.logic.counted.severity is not OK
        self.masks.count(leaf)
        now = SUPPRESSED if leaf.reasons else severity
        if leaf.counts_as != now:
            for area in leaf.above():
                area.move(leaf.counts_as, now)
            leaf.counts_as = now
        if now == SUPPRESSED or severity is OK:
            self.in_alarm.pop(leaf, None)
        else:
            self.in_alarm[leaf] = None

    def announce(self, leaf: Leaf) -> None:
        """An alarm has come, or is suppressed no more."""
        if not leaf.config.annunciating:
            return
        severity = leaf.alarm.severity
        priority = PRIORITY[severity]
        if not self.context.compatible and self.chatter.silences(leaf, priority):
            return
        self.flood.note()
        important = leaf.extras.priority == "high" or (self.flood.on and self.flood.leads(priority))
        self.voice.alarm(leaf.path, leaf.config.description, severity, important)

    # -- suppression -----------------------------------------------------------------------------------------------

    def suppress(self, leaf: Leaf, reason: int) -> None:
        """The alarm is suppressed for one more reason."""
        if leaf.reasons & reason or leaf.logic.owner is not leaf:
            return
        others = leaf.reasons & ~self._disables
        leaf.reasons |= reason
        if reason & self._disables:
            self.chatter.forget(leaf)
            leaf.logic.disable()
        elif not others or reason == SHELVED:
            leaf.logic.suppress(seen=reason == SHELVED)
        self.settle(leaf, leaf.alarm, False)
        self.masks.check()

    def resume(self, leaf: Leaf, reason: int) -> None:
        """A reason is gone. With the last one, an alarm that is up is raised if nobody has acknowledged it."""
        if not leaf.reasons & reason or leaf.logic.owner is not leaf:
            return
        leaf.reasons &= ~reason
        before = leaf.alarm
        if reason & self._disables:
            if leaf.reasons & self._disables:
                self.settle(leaf, before, False)
            else:
                leaf.logic.enable()
        elif leaf.reasons & ~self._disables:
            self.settle(leaf, before, False)
        else:
            leaf.logic.resume()
            alarm = leaf.alarm
            if alarm.severity is not OK and not leaf.since_ns:
                leaf.since_ns = self._sane(alarm.time_ns)
            raised = alarm.severity.active and not leaf.reasons
            if raised:
                self.chatter.came(leaf)
            self.settle(leaf, before, raised)
        self.masks.check()

    # -- the rest --------------------------------------------------------------------------------------------------

    def edited(self, action: str, path: str, who: Person, detail: str = "") -> None:
        """Tell what somebody did."""
        self.tell.edited(Edit(action, path, who, self.clock.now_ns(), detail))

    def _sane(self, time_ns: int) -> int:
        """A PV's time, or now when it cannot be right."""
        now = self.clock.now_ns()
        return time_ns if 0 < time_ns <= now + AHEAD_NS else now

    def _calm(self, leaf: Leaf, owed: bool) -> None:
        raised = owed and leaf.severity.active
        self.settle(leaf, leaf.alarm, False)
        if raised:
            self.announce(leaf)

    def _flooded(self) -> None:
        flood = self.flood
        self.voice.flood = flood.on and not self.context.compatible
        if flood.on:
            detail = f"flood begins: {flood.rate} alarms announced of late"
        else:
            seconds = (self.clock.now_ns() - flood.since_ns) // SECOND
            detail = f"flood ends after {seconds} s; at most {flood.peak} alarms at once"
        self.edited("server", self.root.path, SERVER, detail)
        self.tell.modes_changed()

    def _waiting(self) -> tuple[AlarmSeverity, int]:
        return self.root.severity, self.root.unacknowledged


def effective(leaf: Leaf) -> Effective:
    """The first state that applies: why it is suppressed goes before what it is."""
    reasons, logic = leaf.reasons, leaf.logic
    if reasons:
        if reasons & DISABLED:
            return Effective.NormalDisabled
        if reasons & (FILTERED | OUT_OF_MODE):
            return Effective.NormalFiltered
        if reasons & MASKED:
            return Effective.NormalMasked
        one_shot = leaf.shelf is not None and leaf.shelf.one_shot
        return Effective.NormalOneShotShelved if one_shot else Effective.NormalContinuousShelved
    severity = logic.alarm.severity
    if severity is OK:
        return Effective.NormalOnDelayed if logic.delayed else Effective.Normal
    if logic.held is not None:
        return Effective.ActiveOffDelayed
    if not severity.active:
        return Effective.Acknowledged
    return Effective.ActiveLatched if logic.current.severity is OK else Effective.Active
