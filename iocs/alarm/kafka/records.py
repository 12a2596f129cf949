"""Phoebus' alarm records as they are written: keys and JSON values of items, states, commands and annunciations.

A value has Phoebus' keys in its order, and no others: its alarm logger ends for good at a key it does not know.
"""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import Any, Literal

import orjson

from iocs.alarm.kafka.dates import local_text
from iocs.alarm.tree.events import Annunciation, Person, State
from iocs.alarm.tree.items import Item, LeafConfig
from iocs.alarm.tree.severity import AlarmSeverity

Kind = Literal["config", "state", "command", "talk"]
DISABLED = "Disabled"
"""The message by which Phoebus shows an alarm as disabled for now."""


def make_key(kind: Kind, path: str) -> bytes:
    """The key of a record."""
    return f"{kind}:{path}".encode(errors="replace")


def _json(content: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(content)
    except TypeError:
        # half a pair of surrogates is no text that could be sent
        return orjson.dumps(_whole(content))


def _whole(content: Any) -> Any:
    if isinstance(content, str):
        return content.encode(errors="replace").decode()
    if isinstance(content, dict):
        return {key: _whole(value) for key, value in content.items()}
    return [_whole(one) for one in content] if isinstance(content, list) else content


def encode_config(item: Item, who: Person, zone: tzinfo | None = None, until: datetime | None = None) -> bytes:
    """The value of an item's `config:` record.

    Dates are local times of `zone` (None: the system's). `until`: an enabled alarm is shelved up to then, which Phoebus
    knows as disabled until.
    """
    config = item.config
    content: dict[str, Any] = {"user": who.user, "host": who.host}
    if isinstance(config, LeafConfig):
        content["description"] = config.description
        if config.enabled and until is not None:
            content["enabled"] = local_text(until, zone)
        elif not config.enabled:
            dated = config.disabled_until
            content["enabled"] = False if dated is None else local_text(dated, zone)
        for name in ("latching", "annunciating"):
            if not getattr(config, name):
                content[name] = False
        for name in ("delay", "count", "filter"):
            if getattr(config, name):
                content[name] = getattr(config, name)
    for name in ("guidance", "displays", "commands"):
        if entries := getattr(config, name):
            content[name] = [{"title": one.title, "details": one.details} for one in entries]
    if config.actions:
        content["actions"] = [
            {"title": one.title, "details": one.details, "delay": one.delay} for one in config.actions
        ]
    return _json(content)


def encode_delete(who: Person) -> bytes:
    """The value of the first of the two records that delete an item."""
    return _json({"user": who.user, "host": who.host, "delete": "Deleting"})


def encode_leaf_state(
    alarm: State,
    current_severity: AlarmSeverity,
    current_message: str,
    *,
    latch: bool = False,
    maintenance: bool = False,
    notify: bool = True,
) -> bytes:
    """The value of an alarm's `state:` record; `latch`: a latching alarm has just gone up."""
    seconds, nano = divmod(alarm.time_ns, 1_000_000_000)
    content: dict[str, Any] = {"severity": alarm.severity.name}
    if latch:
        content["latch"] = True
    content |= {
        "message": alarm.message,
        "value": alarm.value,
        "time": {"seconds": seconds, "nano": nano},
        "current_severity": current_severity.name,
        "current_message": current_message,
    }
    return _json(_with_modes(content, maintenance, notify))


def encode_area_state(severity: AlarmSeverity, *, maintenance: bool = False, notify: bool = True) -> bytes:
    """The value of an area's `state:` record."""
    return _json(_with_modes({"severity": severity.name}, maintenance, notify))


def _with_modes(content: dict[str, Any], maintenance: bool, notify: bool) -> dict[str, Any]:
    if maintenance:
        content["mode"] = "maintenance"
    if not notify:
        content["notify"] = False
    return content


def encode_talk(said: Annunciation) -> bytes:
    """The value of a `talk:` record."""
    return _json({"standout": said.standout, "severity": said.severity.name, "talk": said.text})


def encode_command(command: str, who: Person) -> bytes:
    """The value of a `command:` record."""
    return _json({"user": who.user, "host": who.host, "command": command})
