"""What `owl alarm show` prints: first what somebody needs who stands before the alarm, then the configuration."""

from __future__ import annotations

from typing import Any

from iocs.alarm.cli.drawing import STATES, local_time, shape
from owlshift.commands.output import span_text

Facts = list[tuple[str, str]]


def page(found: dict[str, Any]) -> list[tuple[str, Facts]]:
    """Parts of the page: (heading, facts)."""
    config: dict[str, Any] = (found["configured"] or {}).get("config", {})
    extras: dict[str, Any] = (found["configured"] or {}).get("extras", {})
    parts = [("", _alarm(found, extras) if found["kind"] == "alarm" else _area(found))]
    if help_ := _help(config, extras):
        parts.append(("What to do", help_))
    if found["kind"] == "alarm":
        parts.append(("Configuration", _settings(config, extras)))
    if actions := [(one["title"], _action(one)) for one in config.get("actions", ())]:
        parts.append(("Done by itself", actions))
    return parts


def _alarm(found: dict[str, Any], extras: dict[str, Any]) -> Facts:
    shelf = found["shelved"]
    facts = [
        ("path", found["path"]),
        ("what it is", found["description"].lstrip("*!")),
        ("severity", f"{shape(found['severity'])} {found['severity']}  {found['message']}".rstrip()),
        ("now", f"{found['current']}  {found['current_message']}".rstrip()),
        ("value", found["value"]),
        ("since", local_time(found["since"])),
        ("state", STATES.get(found["state"], found["state"]) or "normal"),
        ("acknowledged", found["acknowledged_by"] and f"by {found['acknowledged_by']}"),
        ("set aside", ", ".join(found["reasons"])),
        ("chatters", "yes: it comes and goes" if found["chattering"] else ""),
        ("priority", found["priority"]),
        ("to be answered", f"within {span_text(extras['response_time'])}" if extras.get("response_time") else ""),
        ("PVs", f"{found['pv_prefix']}:Sevr, :Ack, :Shelve, …"),
    ]
    if shelf is not None:
        facts.insert(8, ("shelved", f"until {local_time(shelf['until'])} by {shelf['by']}: {shelf['why']}"))
    return [(key, text) for key, text in facts if text]


def _area(found: dict[str, Any]) -> Facts:
    facts = [
        ("path", found["path"]),
        ("severity", f"{shape(found['severity'])} {found['severity']}"),
        ("alarms", f"{found['total']}"),
        ("waiting", f"{found['unacknowledged']}"),
        ("acknowledged", f"{found['acknowledged']}"),
        ("set aside", f"{found['suppressed']}"),
        ("first out", found["first_out"]),
        ("PVs", f"{found['pv_prefix']}:Sevr, :Ack, :Shelve, …"),
    ]
    return [(key, text) for key, text in facts if text]


def _help(config: dict[str, Any], extras: dict[str, Any]) -> Facts:
    facts = [(one["title"], one["details"]) for one in config.get("guidance", ())]
    facts += [("action", extras.get("corrective_action", "")), ("why it matters", extras.get("rationale", ""))]
    facts += [("screen", extras.get("screen") and f"owl screens {extras['screen']}")]
    facts += [(f"display {one['title']}".rstrip(), one["details"]) for one in config.get("displays", ())]
    facts += [(f"command {one['title']}".rstrip(), one["details"]) for one in config.get("commands", ())]
    return [(key, text) for key, text in facts if text]


def _settings(config: dict[str, Any], extras: dict[str, Any]) -> Facts:
    enabled = "yes" if config.get("enabled", True) else "no"
    if config.get("disabled_until"):
        enabled = f"no, until {local_time(config['disabled_until'])}"
    delay = f"{config['delay']} s" if config.get("delay") else ""
    if delay and config.get("count"):
        delay += f", or {config['count']} times within that"
    facts = [
        ("enabled", enabled),
        ("latching", "yes" if config.get("latching", True) else "no"),
        ("announced", "yes" if config.get("annunciating", True) else "no"),
        ("delay", delay),
        ("off-delay", f"{extras['off_delay']:g} s" if extras.get("off_delay") else ""),
        ("filter", config.get("filter", "")),
        ("masked by", extras.get("masked_by", "")),
        ("modes", ", ".join(extras.get("modes", ()))),
    ]
    return [(key, text) for key, text in facts if text]


def _action(action: dict[str, Any]) -> str:
    return f"{action['details']}{' after ' + str(action['delay']) + ' s' if action.get('delay') else ''}"
