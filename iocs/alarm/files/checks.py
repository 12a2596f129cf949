"""What a configured item must be like, wherever it comes from: files, Channel Access, Kafka, the command line."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from iocs.alarm.tree.items import Action, Item, LeafConfig
from iocs.alarm.tree.paths import split_path
from iocs.alarm.watch.filters import BadFilter, parse

ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
KINDS = ("mailto", "sevrpv", "infopv", "cmd", "webhook")
SCHEME = re.compile(r"([a-z]+)://")
MAX_DEPTH = 40
"""Levels of the tree."""


@dataclass
class Findings:
    """What is wrong with items, and what is strange about them; each line begins with the path."""

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def check_item(item: Item) -> Findings:
    """Everything that can be said of an item by itself."""
    found = Findings()
    config = item.config
    names = split_path(item.path)
    if len(names) > MAX_DEPTH:
        found.problems.append(f"{item.path}: deeper than {MAX_DEPTH} levels")
    if len(names[-1]) > 200 or not names[-1].isprintable() or names[-1].endswith("\\"):
        reason = "a name has at most 200 characters, all of them printable, and no backslash at its end"
        found.problems.append(f"{item.path}: {reason}")
    elif isinstance(config, LeafConfig):
        _leaf(item.path, names[-1], config, found)
    for action in config.actions:
        reason = action_problem(action)
        if reason:
            found.problems.append(f"{item.path}: action {action.details!r}: {reason}")
        elif isinstance(config, LeafConfig) and action.details.startswith("sevrpv:"):
            found.warnings.append(f"{item.path}: action {action.details!r}: only areas write their severity to a PV")
    return found


def _leaf(path: str, name: str, config: LeafConfig, found: Findings) -> None:
    if reason := pv_problem(name):
        found.problems.append(f"{path}: {reason}")
    scheme = SCHEME.match(name)
    if scheme and scheme.group(1) != "ca":
        found.warnings.append(f"{path}: PVs of {scheme.group(1)}:// are not watched, only those of Channel Access")
    if config.filter:
        try:
            found.warnings += [f"{path}: filter {config.filter!r}: {text}" for text in parse(config.filter).warnings]
        except BadFilter as error:
            found.problems.append(f"{path}: filter {config.filter!r}: {error}")
    if config.delay < 0 or config.count < 0:
        found.problems.append(f"{path}: delay and count must not be negative")
    if config.count and not config.delay:
        found.warnings.append(f"{path}: a count of {config.count} without a delay does nothing")


def pv_problem(name: str) -> str:
    """Why this cannot be the name of a PV; "" when it can."""
    if not bare_name(name) or len(name) > 200:
        return f"a PV's name has 1 to 200 characters, not {len(bare_name(name))}"
    if re.search(r"\s", name) or not name.isprintable():
        return f"{name!r} has characters that no PV's name has"
    return ""


def bare_name(name: str) -> str:
    """The Channel Access name of a PV that may be written with `ca://`."""
    return name.removeprefix("ca://")


def action_problem(action: Action) -> str:
    """Why this cannot be an action; "" when it can. Whether the site allows it is another question."""
    kind, colon, rest = action.details.partition(":")
    rest = rest.strip()
    if not colon or kind not in KINDS:
        return f"unknown action; known: {', '.join(f'{one}:' for one in KINDS)}"
    if not rest:
        return f"nothing follows {kind}:"
    if any(ord(letter) < 32 for letter in action.details):
        return "it has control characters"
    if action.delay < 0:
        return "its delay is negative"
    return _PROBLEM[kind](rest)


def _mail_problem(text: str) -> str:
    wrong = [one for one in recipients(text) if not ADDRESS.fullmatch(one)]
    return f"{wrong[0]!r} is no mail address" if wrong else ""


def _pv_action_problem(text: str) -> str:
    scheme = SCHEME.match(text)
    if scheme and scheme.group(1) != "ca":
        return f"{scheme.group(1)}:// cannot be written to, only Channel Access"
    return pv_problem(text)


def _command_problem(text: str) -> str:
    try:
        words = shlex.split(text)
    except ValueError as error:
        return f"its words cannot be told apart: {str(error).lower()}"
    return "" if words else "it names no program"


def _address_problem(text: str) -> str:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        return f"no address: {error}"
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        return "no address of http:// or https://"
    if re.search(r"\s", text) or not text.isascii():
        return "an address has no blanks and only ASCII characters"
    if parts.username is not None or parts.password is not None or parts.fragment:
        return "an address with a user or a fragment is not taken"
    return ""


_PROBLEM = {
    "mailto": _mail_problem,
    "sevrpv": _pv_action_problem,
    "infopv": _pv_action_problem,
    "cmd": _command_problem,
    "webhook": _address_problem,
}


def recipients(text: str) -> list[str]:
    """The addresses of a `mailto:` action."""
    return [one.strip() for one in text.split(",")]
