"""What an alarm becomes when its PV says something, and when somebody acknowledges it: no time, no memory."""

from __future__ import annotations

from iocs.alarm.tree.events import State
from iocs.alarm.tree.severity import AlarmSeverity

OK, INVALID, UNDEFINED = AlarmSeverity.OK, AlarmSeverity.INVALID, AlarmSeverity.UNDEFINED
PRIORITY = tuple(severity.priority for severity in AlarmSeverity)
"""By severity: which of two states of an alarm wins."""

CLEARED = "OK"
DISABLED = "Disabled"
DISCONNECTED = "Disconnected"
"""Messages that are not of a PV."""

INITIAL = State(OK, "", "", 0)
"""Before a PV has said anything."""


def lost(state: State) -> bool:
    """It says that the connection to the PV is lost (acknowledged or not)."""
    return state.message == DISCONNECTED and state.severity.unacknowledged is UNDEFINED


def cleared(now: State) -> State:
    """The alarm of a PV that is OK `now`."""
    return State(OK, CLEARED, now.value, now.time_ns)


def with_severity(state: State, severity: AlarmSeverity) -> State:
    """The same with another severity."""
    return state if state.severity is severity else State(severity, state.message, state.value, state.time_ns)


def combined(base: State, latch: bool, new: State, latching: bool) -> tuple[State, bool] | None:
    """The state and latch flag of an alarm of state `base` whose PV says `new`; None: no other."""
    higher = PRIORITY[new.severity] > PRIORITY[base.severity]
    if latching:
        if higher:
            return new, True
        return (base, False) if latch else None
    return (new, False) if higher or base.severity.active else None


def acknowledged(alarm: State, now: State) -> State:
    """An alarm that somebody knows of, while its PV says `now`.

    If the PV is OK, the alarm is over with that. If the PV is better than the alarm, the alarm becomes what the PV is.
    """
    if alarm.severity is OK:
        return alarm
    if now.severity is OK:
        return cleared(now)
    shown = now if now.severity < alarm.severity else alarm
    return with_severity(shown, shown.severity.acknowledged)


def unacknowledged(alarm: State, now: State, compatible: bool) -> State:
    """An alarm whose acknowledgement is taken back: it becomes what its PV says `now`.

    In Phoebus (`compatible`) that holds for an alarm that nobody has acknowledged, too: it drops a latch.
    """
    if compatible:
        return with_severity(now, now.severity.unacknowledged)
    if alarm.severity is OK or alarm.severity.active:
        return alarm
    return now if now.severity is not OK else with_severity(alarm, alarm.severity.unacknowledged)
