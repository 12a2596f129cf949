"""The logic of one alarm, as Phoebus has it: latch, delay, count, acknowledge, disable, maintenance.

Where Phoebus is plainly wrong, the default differs; `Context.compatible` brings Phoebus' behaviour back:

- *A delay is defeated by a recovery.* In Phoebus an alarm that is up and waits for a higher severity to last takes
  that severity at once when the PV becomes OK. Here a severity that did not last is forgotten as soon as the PV is back
  at or below what the alarm shows already.
- *A lost connection hides what comes after it.* In Phoebus an UNDEFINED "Disconnected" stays while the PV is back in
  MAJOR, and one acknowledgement acknowledges a MAJOR that nobody has seen. Here the lost connection lies on top of the
  alarm as it was (`hidden`): once the PV is back, what it says is weighed against that.
- *Taking back an acknowledgement* makes an alarm in Phoebus what the PV is now, which drops a latched alarm of a PV
  that is OK. Here only an alarm that is acknowledged becomes what the PV is now.

Beyond Phoebus: an OK counts only once it has lasted `off_delay` seconds, and while an alarm is suppressed
(`suppress`, `resume`) it follows its PV and latches nothing new.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from iocs.alarm.tree.clock import SECOND, Clock, Timer
from iocs.alarm.tree.events import State
from iocs.alarm.tree.items import LeafConfig
from iocs.alarm.tree.judgement import (
    CLEARED,
    DISABLED,
    DISCONNECTED,
    INITIAL,
    PRIORITY,
    acknowledged,
    cleared,
    combined,
    lost,
    unacknowledged,
    with_severity,
)
from iocs.alarm.tree.severity import AlarmSeverity

__all__ = ["CLEARED", "DISABLED", "DISCONNECTED", "INITIAL", "PRIORITY", "AlarmLogic", "Context", "lost"]

OK, INVALID = AlarmSeverity.OK, AlarmSeverity.INVALID

Changed: TypeAlias = "Callable[[AlarmLogic, State, bool, bool], None]"
"""Called with the logic, its alarm state before, whether it was raised, and whether the PV has gone into alarm."""


@dataclass(slots=True)
class Context:
    """What all alarms of a tree share."""

    clock: Clock
    changed: Changed
    compatible: bool = False
    maintenance: bool = False


class AlarmLogic:
    """One alarm: `current` is what its PV says, `alarm` what operators see."""

    __slots__ = (
        "_off_timer", "_timer", "alarm", "config", "context", "count_times", "current", "deadline", "enabled", "held",
        "hidden", "kept", "latch", "off_deadline", "off_delay", "owner", "pending", "pending_latch", "saved",
        "suppressed",
    )  # fmt: skip

    def __init__(self, context: Context, config: LeafConfig, owner: object = None, off_delay: float = 0.0) -> None:
        self.context, self.config, self.owner, self.off_delay = context, config, owner, off_delay
        self.current = self.alarm = INITIAL
        self.latch = False
        """The alarm has just risen, and latches: Phoebus' records carry it until the PV says something else."""
        self.enabled = True
        self.saved: State | None = None
        """What the PV says while it is disabled."""
        self.held: State | None = None
        """The PV is OK, but has been for less than the off-delay: what it said before."""
        self.hidden: State | None = None
        """The alarm says that the connection is lost: what it said before."""
        self.suppressed = False
        """It follows its PV and latches nothing."""
        self.kept: State | None = None
        """What was latched when it was suppressed, and comes back."""
        self.pending: State | None = None
        """What the alarm will be if it lasts for the delay, until `deadline` (UTC ns)."""
        self.pending_latch = False
        self.deadline = 0
        self.off_deadline = 0
        """When `held` is over (UTC ns)."""
        self.count_times: tuple[int, ...] = ()
        """When the latest changes were that `count` counts."""
        self._timer: Timer | None = None
        self._off_timer: Timer | None = None

    @property
    def delayed(self) -> bool:
        """It waits whether the alarm lasts."""
        return self.pending is not None

    @property
    def latches(self) -> bool:
        """What it becomes now stays until somebody acknowledges it."""
        return self.config.latching and not self.suppressed

    @property
    def counted(self) -> State:
        """What the PV says, an OK that has not lasted for the off-delay left out."""
        return self.held or self.current

    # -- what the PV says ----------------------------------------------------------------------------------------

    def on_update(self, new: State) -> None:
        """The PV has a new state. Only a new severity or message is of interest."""
        if not self.enabled:
            self.saved = new
            return
        previous, self.current = self.current, new
        if self.pending is not None and self._timer is None:  # from before a restart
            self._arm()
        if self.held is not None and self._off_timer is None:
            self._arm_off()
        if new.severity is previous.severity and new.message == previous.message:
            return
        if new.severity is OK and self.off_delay > 0 and (self.held or self.alarm.severity is not OK):
            if self.held is None:
                self._hold(previous)
            self._publish(self.alarm, False, False)
            return
        if self.held is not None:
            previous = self.held
            self._release()
            if new.severity is previous.severity and new.message == previous.message:
                self._publish(self.alarm, False, False)
                return
        self._process(previous, new)

    def _process(self, previous: State, new: State) -> None:
        before = self.alarm
        context = self.context
        if self.hidden is not None and not lost(new):
            raised = self._uncover(self.hidden, new)
        else:
            severity = new.severity
            clears = severity is OK and not before.severity.active
            leaves = context.maintenance and severity < INVALID and PRIORITY[before.severity] >= PRIORITY[INVALID]
            if clears or leaves:
                self._set(cleared(new))
                self._cancel()
            raised = self._update(new, self.config.delay > 0)
        came = new.severity is not OK and previous.severity is OK and self.pending is None
        self._publish(before, raised, raised or came)

    def _update(self, new: State, with_delay: bool) -> bool:
        """Take `new` into the alarm; True if that raises it."""
        alarm, pending = self.alarm, self.pending
        if pending is not None and not self.context.compatible:
            level = PRIORITY[alarm.severity]
            if new.severity is OK or PRIORITY[pending.severity] > level >= PRIORITY[new.severity]:
                self._cancel()
                pending = None
        base, latch = (alarm, self.latch) if pending is None else (pending, self.pending_latch)
        found = combined(base, latch, new, self.latches)
        if found is None:
            return False
        if with_delay and new.severity is not OK:
            self.pending, self.pending_latch = found
            if self._timer is None:
                self.deadline = self.context.clock.now_ns() + self.config.delay * SECOND
                self._arm()
            if not self._often(new.time_ns):
                return False
            self._cancel()
            self.count_times = ()
        return self._raise(*found)

    def _raise(self, state: State, latch: bool) -> bool:
        raised = PRIORITY[state.severity] > PRIORITY[self.alarm.severity]
        hidden = self.hidden if lost(state) else None
        if hidden is None and raised and lost(state) and not self.context.compatible:
            hidden = self.alarm
        self._set(state, latch)
        self.hidden = hidden
        return raised

    def _uncover(self, hidden: State, new: State) -> bool:
        """The PV is connected again. What an unacknowledged alarm says now goes before the lost connection."""
        if new.severity is OK and not hidden.severity.active:
            found: tuple[State, bool] = (cleared(new), False)
        else:
            found = combined(hidden, False, new, self.latches) or (hidden, False)
        if self.latches and self.alarm.severity.active and not found[0].severity.active:
            return False
        self._cancel()
        self._set(*found)
        return PRIORITY[found[0].severity] > PRIORITY[hidden.severity]

    def _set(self, alarm: State, latch: bool = False) -> None:
        self.alarm, self.latch, self.hidden = alarm, latch, None

    def _publish(self, before: State, raised: bool, came: bool) -> None:
        if self.context.maintenance and self.alarm.severity >= INVALID:
            self.alarm = with_severity(self.alarm, self.alarm.severity.acknowledged)
            raised = False
        self.context.changed(self, before, raised, came)

    def _often(self, time_ns: int) -> bool:
        """This is the `count`-th change within the delay."""
        count = self.config.count
        if count <= 0:
            return False
        times = self.count_times = (*self.count_times, time_ns)[-count:]
        return len(times) == count and times[-1] - times[0] <= self.config.delay * SECOND

    # -- timers --------------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        left = (self.deadline - self.context.clock.now_ns()) / SECOND
        self._timer = self.context.clock.call_later(left, self._lasted)

    def _cancel(self) -> None:
        self.pending = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _lasted(self) -> None:
        """The delay is over."""
        pending, before, counted = self.pending, self.alarm, self.counted
        self._timer = None
        self._cancel()
        if pending is None or (counted.severity is OK and counted.time_ns > pending.time_ns):
            return
        raised = self._update(pending, False)
        self._publish(before, raised, raised)

    def _hold(self, previous: State) -> None:
        """The PV has become OK; whether that lasts is to be seen."""
        self.held = previous
        self._cancel()
        self.off_deadline = self.context.clock.now_ns() + round(self.off_delay * SECOND)
        self._arm_off()

    def _arm_off(self) -> None:
        left = (self.off_deadline - self.context.clock.now_ns()) / SECOND
        self._off_timer = self.context.clock.call_later(left, self._gone)

    def _release(self) -> None:
        self.held = None
        if self._off_timer is not None:
            self._off_timer.cancel()
            self._off_timer = None

    def _gone(self) -> None:
        """The off-delay is over."""
        previous = self.held
        self._release()
        if previous is not None:
            self._process(previous, self.current)

    def reconfigured(self, old: LeafConfig) -> None:
        """`config` or `off_delay` are others; the state stays, and what waits goes by the new times."""
        config, before = self.config, self.alarm
        if self.pending is not None and config.delay != old.delay:
            self.deadline += (config.delay - old.delay) * SECOND
            if self._timer is not None:
                self._timer.cancel()
                self._arm()
        if self.held is not None and self.off_delay <= 0:
            self._gone()
        unlatched = old.latching and not config.latching and self.enabled
        if unlatched and before.severity.active and self.counted.severity is OK and self.current is not INITIAL:
            self._set(cleared(self.current))
            self._publish(before, False, False)

    def restart(self) -> None:
        """Begin anew, as if the PV said for the first time what it says now: Phoebus does so at every edit."""
        before, last = self.alarm, self.current
        self.stop()
        self.held = self.kept = None
        self.count_times = ()
        if not self.enabled:
            return
        self._set(INITIAL)
        self.current = INITIAL
        if last is INITIAL:
            self._publish(before, False, False)
        else:
            self.on_update(last)

    def stop(self) -> None:
        """No timer runs any more; the alarm is not used further."""
        self._cancel()
        self._release()

    # -- what people do ------------------------------------------------------------------------------------------

    def acknowledge(self, on: bool = True) -> bool:
        """Somebody knows (or takes that back); True if the alarm changed by it.

        See `judgement.acknowledged` and `unacknowledged`.
        """
        before = self.alarm
        after = self._acknowledged(on)
        if after is None:
            return False
        if not on:
            self._cancel()
        hidden = self.hidden if lost(after) else None
        self.alarm, self.hidden, self.kept = after, hidden, None
        # in Phoebus the next word of the PV ends it, not the acknowledgement
        self.latch = self.latch and self.context.compatible and on and before.severity <= self.counted.severity
        self._publish(before, False, False)
        return True

    def can_acknowledge(self, on: bool = True) -> bool:
        """`acknowledge` would change the alarm."""
        return self._acknowledged(on) is not None

    def _acknowledged(self, on: bool) -> State | None:
        if not self.enabled:
            return None
        if on:
            found = acknowledged(self.alarm, self.counted)
        else:
            found = unacknowledged(self.alarm, self.counted, self.context.compatible)
        return None if found == self.alarm and not (on and self.kept) else found

    def disable(self) -> None:
        """Its PV counts no more; the alarm is OK "Disabled"."""
        if not self.enabled:
            return
        before, self.enabled, self.saved, self.kept = self.alarm, False, self.current, None
        self.stop()
        self.count_times = ()
        self.current = self.alarm = State(OK, DISABLED, "", self.context.clock.now_ns())
        self.latch, self.hidden = False, None
        self._publish(before, False, False)

    def enable(self) -> None:
        """Its PV counts again: what it has said last is as if it said it now."""
        if self.enabled:
            return
        before, self.enabled = self.alarm, True
        saved, self.saved = self.saved, None
        if before.message == DISABLED:
            self._set(State(OK, CLEARED, "", self.context.clock.now_ns()))
        if saved is None or saved is INITIAL:
            self.current = INITIAL
            self._publish(before, False, False)
        else:
            self.on_update(saved)

    def set_maintenance(self, on: bool) -> None:
        """Maintenance of the whole server begins: what is INVALID or UNDEFINED is acknowledged by that."""
        self.context.maintenance = on
        if on and self.alarm.severity >= INVALID:
            self._publish(self.alarm, False, False)

    # -- suppression ---------------------------------------------------------------------------------------------

    def suppress(self, seen: bool) -> None:
        """From now on it follows its PV and latches nothing.

        `seen`: a person does that, who has seen the alarm: it does not come back once its PV is OK. Otherwise an alarm
        that nobody acknowledged comes back at the end (`resume`) even if its PV is OK by then.
        """
        self.suppressed = True
        alarm = self.alarm
        if not seen:
            if self.kept is None and self.config.latching and alarm.severity.active:
                self.kept = alarm
            return
        self.kept = None
        if alarm.severity.active and self.counted.severity is OK and self.current is not INITIAL:
            self._set(cleared(self.current))
            self._publish(alarm, False, False)

    def resume(self) -> None:
        """It is suppressed no more. The caller publishes."""
        self.suppressed = False
        kept, self.kept = self.kept, None
        if kept is not None and PRIORITY[kept.severity] > PRIORITY[self.alarm.severity]:
            self._set(kept)
        elif self.alarm.severity.active:
            self.latch = self.config.latching
