"""Tags and validities of one runkey, with the places in it that they are on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from owlshift.commands.moments import json_time, local_text

if TYPE_CHECKING:
    from db.cli.names import Target
    from db.tags import TagInfo, ValidityInfo
    from db.trees import Tree


@dataclass(frozen=True)
class Label:
    """A tag, and where in the runkey it is."""

    info: TagInfo
    where: str
    places: tuple[str, ...] = ()
    """Paths; `/HV setpoints` for a payload."""

    def text(self) -> str:
        """For people."""
        kind = "" if self.info.type == "LABEL" else f" ({self.info.type.lower()})"
        inner = [place for place in self.places if place != "/"]
        on = f" on {', '.join(inner[:3])}{', …' if len(inner) > 3 else ''}" if inner else ""
        return f"{self.info.name}{kind}{on}"

    def plain(self) -> dict[str, Any]:
        """TAG of `db.cli.forms`, with the places."""
        return {**plain_tag(self.info, self.where), "places": list(self.places)}


@dataclass(frozen=True)
class ValidSpan:
    """From when to when a validity tag means something of the runkey."""

    info: ValidityInfo
    path: str
    role: str = ""

    def text(self) -> str:
        """For people."""
        at = "" if self.path == "/" else f" {self.path}" + (f" {self.role}" if self.role else "")
        return f"{self.info.tag}:{at} {span_text(self.info)}"

    def plain(self) -> dict[str, Any]:
        """For `--json`."""
        return {**plain_validity(self.info), "path": self.path, "role": self.role}


def span_text(info: ValidityInfo) -> str:
    """`from … until …`; whether that is now."""
    until = f"until {local_text(info.until)}" if info.until else "until further notice"
    now = datetime.now(UTC)
    holds = info.since <= now and (info.until is None or now < info.until)
    return f"from {local_text(info.since)} {until}{' (now)' if holds else ''}"


def plain_tag(info: TagInfo, where: str) -> dict[str, Any]:
    """TAG of `db.cli.forms`."""
    return {
        "type": info.type,
        "name": info.name,
        "comment": info.comment,
        "author": info.author,
        "created": json_time(info.created),
        "where": where,
        "targets": len(info.objects) + len(info.payloads) + len(info.members),
        "objects": list(info.objects),
        "payloads": list(info.payloads),
        "members": list(info.members),
    }


def plain_validity(info: ValidityInfo) -> dict[str, Any]:
    """For `--json`."""
    return {
        "id": info.id,
        "tag": info.tag,
        "object": info.object,
        "payload": info.payload,
        "from": json_time(info.since),
        "to": json_time(info.until),
        "author": info.author,
        "created": json_time(info.created),
    }


def labels_of(target: Target, tree: Tree) -> list[Label]:
    """The tags on a runkey and on what is in it; those that only hold its names are left out."""
    objects, payloads = _places(tree)
    found = []
    for info in target.runkeys.tags():
        if info.type == "RUNKEY":
            continue
        on = [objects[id_] for id_ in info.objects if id_ in objects]
        on += [payloads[id_] for id_ in info.payloads if id_ in payloads]
        if on:
            found.append(Label(info, target.info.where, tuple(sorted(on))))
    return found


def spans_of(target: Target, tree: Tree) -> list[ValidSpan]:
    """From when to when validity tags mean something of a runkey."""
    tags = target.runkeys.tags(type="VALIDITY")
    if not tags:
        return []
    objects, payloads = _places(tree)
    spans = []
    for tag in tags:
        for info in target.runkeys.validities(tag.name):
            if info.object in objects:
                spans.append(ValidSpan(info, objects[info.object]))
            elif info.payload in payloads:
                path, _, role = payloads[info.payload].rpartition(" ")
                spans.append(ValidSpan(info, path, role))
    return spans


def _places(tree: Tree) -> tuple[dict[str | None, str], dict[str | None, str]]:
    """Ids of objects and payloads -> where they are."""
    objects: dict[str | None, str] = {}
    payloads: dict[str | None, str] = {}
    for node in tree.walk():
        if node.id in objects:
            continue
        objects[node.id] = node.path
        for role, info in node.payloads.items():
            payloads[info.id] = f"{node.path} {role}"
    return objects, payloads
