"""What `owl runkey … --json` says, as a screen needs it. Imports no Qt.

The forms are those that the command documents (`owl runkey --help`); keys that are not known here are passed over. What
can't be read is a ValueError.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Runkey:
    """A name and what it means now, in one of the two databases (`where`: staging or backend)."""

    name: str
    where: str = "staging"
    number: int = 0
    digest: str = ""
    action: str = ""
    author: str = ""
    created: str = ""
    comment: str = ""
    committed: bool = False
    tags: tuple[str, ...] = ()

    @classmethod
    def of(cls, entry: dict[str, Any]) -> Runkey:
        """From RUNKEY."""
        return cls(
            name=str(entry["name"]),
            where=str(entry.get("where") or "staging"),
            number=int(entry.get("number") or 0),
            digest=str(entry.get("digest") or ""),
            action=str(entry.get("action") or ""),
            author=str(entry.get("author") or ""),
            created=str(entry.get("created") or ""),
            comment=str(entry.get("comment") or ""),
            committed=bool(entry.get("committed")),
            tags=tuple(str(tag).removeprefix("LABEL:") for tag in entry.get("tags") or ()),
        )

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from all others: a name may be in both databases."""
        return self.where, self.name

    def matches(self, words: Sequence[str]) -> bool:
        """Whether every one of `words` (lower case) is in its name, comment, author or tags."""
        text = " ".join((self.name, self.comment, self.author, *self.tags)).lower()
        return all(word in text for word in words)


@dataclass(frozen=True)
class Database:
    """One of the two databases: does it answer, and if not, why."""

    where: str
    url: str = ""
    ok: bool = True
    reason: str = ""


@dataclass(frozen=True)
class Payload:
    """What an object has in a role, by its hash."""

    role: str
    type: str = ""
    format: str = "raw"
    sha256: str = ""
    size: int = 0
    meta: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, role: str, entry: dict[str, Any]) -> Payload:
        """From PAYLOAD."""
        return cls(
            role=role,
            type=str(entry.get("type") or ""),
            format=str(entry.get("format") or "raw"),
            sha256=str(entry.get("sha256") or ""),
            size=int(entry.get("size") or 0),
            meta=dict(entry.get("meta") or {}),
        )


@dataclass
class Node:
    """An object of a runkey's tree. `more` counts children that are not here yet."""

    name: str
    path: str
    type: str = ""
    serial: str = ""
    digest: str = ""
    meta: dict[str, Any] = field(default_factory=dict)
    edge: dict[str, Any] = field(default_factory=dict)
    payloads: dict[str, Payload] = field(default_factory=dict)
    children: list[Node] = field(default_factory=list)
    more: int = 0
    parent: Node | None = field(default=None, repr=False, compare=False)
    row: int = 0

    @classmethod
    def of(cls, entry: dict[str, Any], parent: Node | None = None, row: int = 0) -> Node:
        """From NODE, with all its children."""
        node = cls(
            name=str(entry.get("name") or ""),
            path=str(entry["path"]),
            type=str(entry.get("type") or ""),
            serial=str(entry.get("serial") or ""),
            digest=str(entry.get("digest") or ""),
            meta=dict(entry.get("meta") or {}),
            edge=dict(entry.get("edge") or {}),
            payloads={str(role): Payload.of(str(role), p) for role, p in dict(entry.get("payloads") or {}).items()},
            more=int(entry.get("more") or 0),
            parent=parent,
            row=row,
        )
        node.children = [cls.of(child, node, index) for index, child in enumerate(entry.get("children") or ())]
        return node

    def walk(self) -> Iterator[Node]:
        """This object and all that are below it, as far as they are here."""
        yield self
        for child in self.children:
            yield from child.walk()

    def find(self, path: str) -> Node | None:
        """The object at `path`, if it is here."""
        return next((node for node in self.walk() if node.path == path), None)

    def below(self) -> int:
        """How many children it has, here or not."""
        return len(self.children) + self.more

    def as_document(self) -> dict[str, Any]:
        """What the object says of itself, without its children."""
        return {
            "path": self.path,
            "type": self.type,
            "serial": self.serial,
            "digest": self.digest,
            "meta": self.meta,
            "edge": self.edge,
            "payloads": {
                role: {"type": p.type, "format": p.format, "size": p.size, "sha256": p.sha256, "meta": p.meta}
                for role, p in self.payloads.items()
            },
        }


@dataclass(frozen=True)
class Tree:
    """A runkey's tree in a view; `objects` counts all of it, also what was left out."""

    runkey: Runkey
    objects: int
    root: Node


def read_list(document: Any) -> tuple[list[Runkey], list[Database]]:
    """Of `list --json`."""
    runkeys = [Runkey.of(entry) for entry in document["runkeys"]]
    databases = [
        Database(
            str(entry["where"]),
            str(entry.get("url") or ""),
            bool(entry.get("ok", True)),
            str(entry.get("reason") or ""),
        )
        for entry in document.get("databases") or ()
    ]
    return runkeys, databases


def read_tree(document: Any) -> Tree:
    """Of `tree NAME --json`."""
    return Tree(Runkey.of(document["runkey"]), int(document.get("objects") or 0), Node.of(document["root"]))


def size_text(size: float) -> str:
    """Bytes for people, for example ``150 kB``."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if size >= 10 or unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def scalar_text(value: Any) -> str:
    """A value as a cell of a table shows it: JSON's words for true, false and null."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, list):
        return f"[{', '.join(scalar_text(item) for item in value[:32])}{', …' if len(value) > 32 else ''}]"
    if isinstance(value, dict):
        return f"{{{len(value)}}}"
    return str(value)


YES_NO = {True: "✔", False: "✖"}


def flag(edge: dict[str, Any], name: str) -> str:
    """A yes or no of an edge (enable, locked) as a symbol; empty when the edge does not say."""
    return YES_NO[bool(edge[name])] if name in edge else ""
