"""What of the tree survives a restart, as JSON has it.

After `restore`, the first word of each PV is as any other: if it says what was known already, nothing happens. Delays
and off-delays go on with that first word, not before: what a PV said before the restart may be over.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from iocs.alarm.tree import bursts
from iocs.alarm.tree.clock import SECOND
from iocs.alarm.tree.core import Core
from iocs.alarm.tree.events import Person, State
from iocs.alarm.tree.logic import INITIAL, AlarmLogic
from iocs.alarm.tree.nodes import DISABLED, FILTERED, MASKED, SHELVED, Leaf, Shelf
from iocs.alarm.tree.severity import AlarmSeverity
from iocs.alarm.tree.suppression import Suppression

if TYPE_CHECKING:
    from iocs.alarm.tree.tree import AlarmTree

log = logging.getLogger(__name__)

VERSION = 1
STATES = ("alarm", "current", "held", "hidden", "kept", "pending")
GRACE = 30 * SECOND
"""What ends a suppression waits so long (ns), so that PVs have said by then what they are."""


def of_tree(tree: AlarmTree, core: Core) -> dict[str, Any]:
    """Everything."""
    leaves = {leaf.path: found for leaf in tree.leaves() if (found := of_leaf(leaf, core))}
    return {**of_server(tree, core), "leaves": leaves}


def of_server(tree: AlarmTree, core: Core) -> dict[str, Any]:
    """All but the alarms."""
    return {
        "version": VERSION,
        "mode": tree.mode,
        "maintenance": tree.in_maintenance,
        "notify": tree.notifying,
        "flood": core.flood.times(),
    }


def of_leaf(leaf: Leaf, core: Core) -> dict[str, Any]:
    """One alarm; {} when nothing is known of it. Of one that is disabled, nothing is but its shelf."""
    found = _of_logic(leaf.logic) if leaf.logic.enabled else {}
    if leaf.since_ns:
        found["since"] = leaf.since_ns
    if leaf.acknowledged_by is not None:
        found["acknowledged_by"] = [leaf.acknowledged_by.user, leaf.acknowledged_by.host]
    if leaf.shelf is not None:
        found["shelf"] = _shelf_form(leaf.shelf)
    for name, reason in (("filtered", FILTERED), ("masked", MASKED)):
        if leaf.reasons & reason:
            found[name] = True
    if core.masks.exempt(leaf):
        found["came_first"] = True
    chatter = leaf.chatter
    if chatter is not None and chatter.on:
        found["chatter"] = {"times": list(chatter.times), "announced": chatter.announced, "owed": chatter.owed}
    return found


def _of_logic(logic: AlarmLogic) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in STATES:
        state: State | None = getattr(logic, name)
        always = name not in ("alarm", "current")
        if state is not None and (always or state != INITIAL):
            found[name] = _state_form(state)
    for name in ("latch", "pending_latch"):
        if getattr(logic, name):
            found[name] = True
    if logic.pending is not None:
        found["deadline"] = logic.deadline
    if logic.held is not None:
        found["off_deadline"] = logic.off_deadline
    if logic.count_times:
        found["count_times"] = list(logic.count_times)
    return found


def restore(tree: AlarmTree, found: Mapping[str, Any], core: Core, suppression: Suppression) -> None:
    """See `AlarmTree.restore`."""
    with core.tell.silence():
        suppression.set_mode(str(found.get("mode", "")))
        core.context.maintenance = bool(found.get("maintenance", False))
        tree.notifying = bool(found.get("notify", True))
        times = found.get("flood", [])
        if isinstance(times, list):
            core.flood.restore([each for each in times if isinstance(each, int)])
        leaves = found.get("leaves", {})
        for path, form in leaves.items() if isinstance(leaves, Mapping) else ():
            leaf = tree.find(path)
            if isinstance(leaf, Leaf):
                try:
                    _restore_leaf(leaf, form, core, suppression)
                except (KeyError, TypeError, ValueError, AttributeError) as error:
                    log.warning("%s: what was known before the restart cannot be read: %r", path, error)
        for leaf in tree.leaves():
            if leaf.extras.masked_by:
                core.masks.look_at(leaf)
        core.masks.check()
        for leaf in sorted(core.in_alarm, key=lambda leaf: leaf.since_ns):
            bursts.note(leaf)


def _restore_leaf(leaf: Leaf, form: Mapping[str, Any], core: Core, suppression: Suppression) -> None:
    states = {name: _state(form[name]) for name in STATES if name in form}
    shelf = _shelf(form["shelf"]) if "shelf" in form else None
    by = _person(form["acknowledged_by"]) if "acknowledged_by" in form else None
    logic = leaf.logic
    if logic.enabled:
        _restore_logic(logic, states, form)
        leaf.since_ns = int(form.get("since", 0))
        leaf.acknowledged_by = by
        if form.get("came_first") and leaf.extras.masked_by:
            core.masks.keep_visible(leaf)
        chatter = form.get("chatter")
        if chatter:
            times = tuple(int(each) for each in chatter["times"])
            if times:
                core.chatter.restore(leaf, times, int(chatter["announced"]), bool(chatter["owed"]), GRACE / SECOND)
    if form.get("filtered") and leaf.config.filter and not core.context.compatible:
        leaf.reasons |= FILTERED
    if form.get("masked") and leaf.extras.masked_by:
        leaf.reasons |= MASKED
    if shelf is not None:
        leaf.reasons |= SHELVED
        suppression.restore_shelf(leaf, shelf, core.clock.now_ns() + GRACE)
    leaf.logic.suppressed = bool(leaf.reasons & ~DISABLED)
    core.recount(leaf)


def _restore_logic(logic: AlarmLogic, states: Mapping[str, State], form: Mapping[str, Any]) -> None:
    logic.stop()
    logic.alarm = states.get("alarm", INITIAL)
    logic.current = states.get("current", INITIAL)
    logic.held, logic.hidden = states.get("held"), states.get("hidden")
    logic.kept, logic.pending = states.get("kept"), states.get("pending")
    logic.latch, logic.pending_latch = bool(form.get("latch")), bool(form.get("pending_latch"))
    logic.deadline, logic.off_deadline = int(form.get("deadline", 0)), int(form.get("off_deadline", 0))
    logic.count_times = tuple(int(each) for each in form.get("count_times", ()))


def _state_form(state: State) -> list[Any]:
    return [state.severity.name, state.message, state.value, state.time_ns]


def _shelf_form(shelf: Shelf) -> dict[str, Any]:
    return {
        "by": [shelf.by.user, shelf.by.host],
        "why": shelf.why,
        "since": shelf.since_ns,
        "until": shelf.until_ns,
        "one_shot": shelf.one_shot,
    }


def _state(form: Any) -> State:
    severity, message, value, time_ns = form
    return State(AlarmSeverity[severity], str(message), str(value), int(time_ns))


def _person(form: Any) -> Person:
    user, host = form
    return Person(str(user), str(host))


def _shelf(form: Any) -> Shelf:
    return Shelf(
        _person(form["by"]), str(form["why"]), int(form["since"]), int(form["until"]), bool(form.get("one_shot"))
    )
