"""What operators read: reports of snapshots, comparisons and applies, and the one line of each for `Msg`.

A report begins with what was done, to what, by whom, and how it went; then the items, the gravest first.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from iocs.runkey.browse import iso
from iocs.runkey.outcome import HEADS

if TYPE_CHECKING:
    from db.heads import RunkeyInfo
    from iocs.runkey.compare import Comparison
    from iocs.runkey.outcome import Outcome
    from iocs.runkey.plan import Plan
    from iocs.runkey.stand import Snapshot

SHOWN = 500
"""Items that a report has at most."""
_KINDS = {
    "value": "{} of another value",
    "read-only": "{} of another value that cannot be written",
    "disconnected": "{} cannot be read",
    "missing": "{} that no subsystem has",
    "type": "{} of another type",
    "new": "{} that the runkey does not have",
}
"""Of `compare.Kind`, in the order of a sentence."""


def settings_text(count: int) -> str:
    """`1 setting`, `5 settings`."""
    return f"{count} setting{'' if count == 1 else 's'}"


def first_of(reasons: Mapping[str, str]) -> str:
    """The first of some, and how many more there are."""
    if not reasons:
        return "there is nothing that is configuration"
    name, why = next(iter(reasons.items()))
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return f"{name}: {why}{more}"


def unreadable(missing: Mapping[str, str]) -> str:
    """`INCOMPLETE: 2 PVs could not be read: …`."""
    count = f"{len(missing)} PV{'' if len(missing) == 1 else 's'}"
    return f"INCOMPLETE: {count} could not be read: {first_of(missing)}"


def _head(what: str, info: RunkeyInfo, client: str, comment: str = "") -> list[str]:
    lines = [f"{what} of {info.name!r} by {client} at {iso(datetime.now(UTC))}"]
    if comment:
        lines.append(f"Why: {comment}")
    lines.append(
        f"Runkey: revision {info.number} of {iso(info.created)} by {info.author}, in {info.where}, hash {info.digest}"
    )
    return lines


def _some(lines: list[str]) -> list[str]:
    if len(lines) <= SHOWN:
        return lines
    return [*lines[:SHOWN], f"  … and {len(lines) - SHOWN} more"]


def snapshot_text(
    name: str, snapshot: Snapshot, missing: Mapping[str, str], client: str, comment: str, at: datetime, base: str
) -> str:
    """What was read, from which subsystem, and what was not."""
    lines = [f"Snapshot {name!r} by {client} at {iso(at)}"]
    if comment:
        lines.append(f"Why: {comment}")
    lines.append(f"Result: {unreadable(missing)}" if missing else "Result: complete")
    if base:
        lines.append(f"All that is no setting of the stand is that of {base!r}")
    for system, settings in snapshot.settings.items():
        conditions = snapshot.conditions[system]
        bad = [pv for pv, state in conditions.items.items() if state[0]]
        if settings or conditions.missing:
            count = f"{settings_text(len(settings))}, {len(bad)} in alarm, {len(conditions.missing)} missing"
            lines.append(f"  {system}: {count}")
    for pv, why in list(missing.items())[:SHOWN]:
        lines.append(f"  missing: {pv}: {why}")
    asked = [
        f"  {pv}: the device has another value than was asked for ({value})"
        for conditions in snapshot.conditions.values()
        for pv, value in conditions.asked.items()
    ]
    lines += _some(asked)
    return "\n".join(lines)


def changed(comparison: Comparison) -> int:
    """Settings that are not as the runkey says; PVs that it does not know are not counted."""
    return sum(count for kind, count in comparison.counts().items() if kind != "new")


def counts_text(comparison: Comparison) -> str:
    """One sentence."""
    counts = comparison.counts()
    if comparison.equal:
        return f"the stand is as it says ({settings_text(comparison.checked)})"
    parts = [_KINDS[kind].format(counts[kind]) for kind in _KINDS if kind in counts]
    parts += [f"{system} not compared: {why}" for system, why in comparison.unread.items()]
    return f"{len(comparison.items)} of {settings_text(comparison.checked)} differ: {', '.join(parts)}"


def comparison_text(info: RunkeyInfo, comparison: Comparison, client: str) -> str:
    """All differences."""
    lines = _head("Comparison", info, client)
    lines.append(f"Result: {counts_text(comparison)}")
    lines += _some([f"  {item.text}" for item in comparison.items])
    return "\n".join(lines)


def plan_line(plan: Plan) -> str:
    """One sentence."""
    if plan.refusals:
        first, *others = plan.refusals
        return f"Apply would be refused: {first}{f' (and {len(others)} more)' if others else ''}"
    if not plan.levels:
        return "Apply would write nothing"
    return f"Apply would write {settings_text(len(plan.puts))} in {len(plan.levels)} steps"


def plan_text(info: RunkeyInfo, plan: Plan, client: str) -> str:
    """What an apply would do."""
    return "\n".join([*_head("Dry run", info, client), f"Result: {plan_line(plan)}", plan.as_text(SHOWN)])


def outcome_line(info: RunkeyInfo, outcome: Outcome, aborted_by: str) -> str:
    """Why it is not applied, in one line."""
    text = f"{info.name}: {HEADS.get(outcome.state, outcome.state)}"
    if aborted_by:
        text += f" (by {aborted_by})"
    return f"{text}: {outcome.reason}" if outcome.reason else text


def outcome_text(info: RunkeyInfo, outcome: Outcome, client: str, comment: str) -> str:
    """What came of an apply."""
    return "\n".join([*_head("Apply", info, client, comment), f"Result: {outcome.report}"])
