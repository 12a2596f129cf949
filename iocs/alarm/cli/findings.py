"""What `owl alarm check` looks at: each part says whether all is well, and what is to be done where it is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from iocs.alarm.config import AlarmConfig
    from iocs.alarm.tree.items import Item

Grade = Literal["ok", "warn", "bad"]
GOOD_STATES = ("OK", "Connected")
COMING_STATES = ("Connecting", "Reading", "Replaying")
"""Of the log, the memory and the broker; the others are bad."""
STALE = timedelta(hours=24)
HIGH_SHARE, HIGH_LEAST = 0.05, 20
"""ISA-18.2: 5 % of the alarms, once there are so many, may have high priority."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    grade: Grade
    text: str
    details: tuple[str, ...] = field(default=())
    """A line each: which ones."""


def finding(name: str, wrong: Iterable[str], well: str, bad: str, grade: Grade = "bad") -> Finding:
    """Well when nothing is wrong; else `bad`, where {} stands for how many there are."""
    details = tuple(wrong)
    return Finding(name, grade, bad.format(len(details)), details) if details else Finding(name, "ok", well)


def of_server(status: dict[str, Any]) -> Iterator[Finding]:
    """Role, log, memory, broker, watched PVs, floods: what the server says of itself."""
    standby = f"; {status['Standby']} stands by" if status["Standby"] else ""
    if status["Role"] == "Active":
        yield Finding("role", "ok", f"active{standby}")
    else:
        yield Finding("role", "warn", f"{status['Role']}: another server is the active one")
    behind = status["LogBehind"]
    late = f", {behind} entries are not in the database yet" if behind else ""
    yield _state("log", status["LogState"], late)
    yield _state("memory", status["StoreState"], "")
    kafka = status["KafkaState"]
    yield Finding("Kafka", "ok", "not used") if kafka in ("Off", "") else _state("Kafka", kafka, "")
    if status["Flood"]:
        yield Finding("load", "warn", f"a flood: {status['Rate']} alarms in 10 minutes")
    else:
        yield Finding("load", "ok", f"{status['Rate']} alarms in the last 10 minutes")
    for name, on, text in (
        ("maintenance", status["Maint"], "is on: INVALID and lost PVs acknowledge themselves"),
        ("notification", not status["Notify"], "is off: no mail is sent"),
    ):
        if on:
            yield Finding(name, "warn", text)
    yield finding("files", _texts(status["Problems"]), "all are read", "{} cannot be used")
    yield finding(
        "chattering", _texts(status["Chattering"]), "none comes and goes all the time",
        "{} come and go all the time: give them a delay or an off-delay", "warn",
    )  # fmt: skip


def _state(name: str, state: str, more: str) -> Finding:
    grade: Grade = "ok" if state in GOOD_STATES else "warn" if state in COMING_STATES else "bad"
    return Finding(name, grade, f"{state or 'unknown'}{more}")


def _texts(found: Any) -> list[str]:
    """Entries of a JSON list as lines."""
    return [_line(one) for one in found] if isinstance(found, list) else []


def _line(one: Any) -> str:
    return "  ".join(str(value) for value in one.values()) if isinstance(one, dict) else str(one)


def of_tree(nodes: list[dict[str, Any]], now: datetime) -> Iterator[Finding]:
    """What the state of the alarms shows: lost PVs, disabled and stale ones, empty areas."""
    alarms = [node for node in nodes if node["kind"] == "alarm"]
    if not alarms:
        yield Finding("tree", "bad", "there is no alarm at all: no catalogue declares one, and no file names one")
        return
    areas = [node for node in nodes if node["kind"] == "area"]
    yield Finding("tree", "ok", f"{len(alarms)} alarms in {len(areas)} areas")
    lost = [
        f"{node['pv']}  ({node['path']})"
        for node in alarms
        if node["enabled"] and node["current"] == "UNDEFINED" and node["current_message"] in ("Disconnected", "No PV")
    ]
    yield finding("PVs", lost, "all answer", "{} do not answer: is the IOC running, is the name right?")
    yield finding(
        "areas", [area["path"] for area in areas if not area["total"]], "none is empty", "{} are empty", "warn"
    )
    disabled = [node["path"] for node in alarms if not node["enabled"]]
    yield finding("disabled", disabled, "none", "{} are out of service: is that still meant?", "warn")
    stale = [
        f"{node['path']}  since {node['since']}"
        for node in alarms
        if node["since"] and not node["reasons"] and now - datetime.fromisoformat(node["since"]) > STALE
    ]
    yield finding("stale", stale, "none is up for more than a day", "{} are up for more than a day", "warn")


def of_items(items: list[Item], config: AlarmConfig | None) -> Iterator[Finding]:
    """What the configuration shows: what can't work, and what helps nobody at night."""
    from iocs.alarm.files.checks import check_item
    from iocs.alarm.tree.items import LeafConfig

    leaves = [item for item in items if isinstance(item.config, LeafConfig)]
    checked = [check_item(item) for item in items]
    wrong = [line for found in checked for line in (*found.problems, *found.warnings)]
    yield finding("configuration", wrong, "nothing is wrong with it", "{} things cannot work as they stand")
    paths = {item.path for item in items}
    masks = [
        f"{item.path}: {item.extras.masked_by} is not in the tree"
        for item in leaves
        if item.extras.masked_by and item.extras.masked_by not in paths
    ]
    yield finding("masks", masks, "all are there", "{} alarms are masked by what is not there")
    if config is not None:
        yield finding("actions", _forbidden(items, config), "all are allowed", "{} are not allowed by the site file")
    helpless = [item.path for item in _without_help(items)]
    yield finding(
        "guidance", helpless, "whatever matters says what to do",
        "{} alarms of high priority do not say what to do", "warn",
    )  # fmt: skip
    counts = Counter(item.extras.priority for item in leaves)
    share = counts["high"] / max(len(leaves), 1)
    mix = f"{counts['low']} low, {counts['medium']} medium, {counts['high']} high"
    over = len(leaves) >= HIGH_LEAST and share > HIGH_SHARE
    text = f"{mix}: {share:.0%} are high, 5 % should be" if over else mix
    yield Finding("priorities", "warn" if over else "ok", text)


def _without_help(items: list[Item]) -> Iterator[Item]:
    """Alarms of high priority with neither guidance, of their own or of an area above, nor a corrective action."""
    from iocs.alarm.tree.items import LeafConfig
    from iocs.alarm.tree.paths import parent_path

    helped = {item.path for item in items if item.config.guidance}
    for item in items:
        if not isinstance(item.config, LeafConfig) or item.extras.priority != "high" or item.extras.corrective_action:
            continue
        path = item.path
        while path and path not in helped:
            path = parent_path(path)
        if not path:
            yield item


def _forbidden(items: list[Item], config: AlarmConfig) -> Iterator[str]:
    """Actions that the site file does not let run."""
    from fnmatch import fnmatchcase

    from iocs.alarm.actions.command import NotAllowed, arguments
    from iocs.alarm.actions.webhook import allowed

    for item in items:
        for action in item.config.actions:
            kind, _, what = action.details.partition(":")
            reason = ""
            if kind == "cmd":
                try:
                    arguments(what, [], config.actions.cmd)
                except (NotAllowed, ValueError) as error:
                    reason = str(error)
            elif kind == "webhook" and not allowed(what, config.actions.webhook):
                reason = "the address is not among [ioc.config.actions] webhook"
            elif kind == "mailto" and not config.actions.mail_host:
                reason = "there is no [ioc.config.actions] mail_host"
            elif kind in ("sevrpv", "infopv") and not any(fnmatchcase(what, one) for one in config.actions.sevrpv):
                reason = "the PV is not among [ioc.config.actions] sevrpv"
            if reason:
                yield f"{item.path}: {action.details}: {reason}"


def filter_inputs(items: list[Item]) -> dict[str, list[str]]:
    """PVs that filters need, and the paths of the alarms that need them; filters that can't be read are left out."""
    from iocs.alarm.tree.items import LeafConfig
    from iocs.alarm.watch.filters import BadFilter, parse

    found: dict[str, list[str]] = {}
    for item in items:
        if isinstance(item.config, LeafConfig) and item.config.filter:
            try:
                names = parse(item.config.filter).names
            except BadFilter:
                continue
            for name in sorted(names):
                found.setdefault(name.removeprefix("ca://"), []).append(item.path)
    return found


def of_inputs(inputs: dict[str, list[str]], silent: set[str]) -> Finding:
    """Filters whose PVs do not answer."""
    wrong = [
        f"{name}  needed by {', '.join(paths[:3])}{' …' * (len(paths) > 3)}"
        for name, paths in inputs.items()
        if name in silent
    ]
    if not inputs:
        return Finding("filters", "ok", "no alarm has one")
    return finding(
        "filters", wrong, f"all {len(inputs)} PVs that they need answer", "{} PVs that they need do not answer"
    )


def today() -> datetime:
    """Now, in UTC."""
    return datetime.now(UTC)
