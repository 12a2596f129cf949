"""What the PVs of an area or alarm are called.

An area is its path below the root, an alarm its PV without the site's prefix; in both what no PV name may have is `_`:

/DEMO/HV/L07                   DEMO:ALM:HV:L07:Sevr
/DEMO/HV/L07/DEMO:HV:L07:IMon  DEMO:ALM:HV:L07:IMon:Sevr

What would be too long, or is taken already, is shortened and has a hash of the path at its end. `Path` says the path.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from iocs.alarm.tree.nodes import Area, Leaf, Node, channel_of
from iocs.alarm.tree.paths import split_path
from owlshift.ioc.ioc import MAX_NAME

LONGEST_ATTRIBUTE = 12
"""Characters of `ShelvedUntil`."""
RESERVED = frozenset({"IOC"})
"""What the IOC itself has below its prefix."""
_OTHER = re.compile(r"[^A-Za-z0-9_:-]")
_HASH = 8


def plain_name(node: Node, site_prefix: str) -> str:
    """What a node's PVs begin with by the rule, behind the IOC's prefix; "" for the root."""
    if isinstance(node, Leaf):
        name = channel_of(node.pv).removeprefix(site_prefix)
    else:
        name = ":".join(split_path(node.path)[1:])
    return _OTHER.sub("_", name)


def hashed_name(plain: str, path: str, room: int) -> str:
    """A name of at most `room` characters that only this path has."""
    mark = hashlib.sha1(path.encode(), usedforsecurity=False).hexdigest()[:_HASH]
    return f"{plain[: room - _HASH - 1].rstrip(':-')}-{mark}".lstrip("-")


class PvNames:
    """The names of all items of a tree, both ways."""

    def __init__(self, prefix: str, site_prefix: str) -> None:
        self.prefix = prefix
        self._site_prefix = site_prefix
        self._room = MAX_NAME - len(prefix) - 1 - LONGEST_ATTRIBUTE
        self._nodes: dict[str, Node] = {}
        self._others: dict[str, str] = {}
        """By path, the names that are not by the rule."""

    def name_all(self, root: Area) -> None:
        """Name everything below `root`: areas first, so that an alarm never takes the name of one."""
        self._nodes.clear()
        self._others.clear()
        self._add(list(root.areas()))
        self._add(root.leaves())

    def _add(self, nodes: Iterable[Node]) -> None:
        for node in nodes:
            self.add(node)

    def add(self, node: Node) -> None:
        """Name a node; one that has its name keeps it."""
        name = self.name(node)
        known = self._nodes.get(name)
        if known is node:
            return
        if known is not None and known.path != node.path:
            name = self._others[node.path] = hashed_name(name or "root", node.path, self._room)
        self._nodes[name] = node

    def name(self, node: Node) -> str:
        """What a node's PVs begin with behind the IOC's prefix, without the colon at the end; "" for the root."""
        other = self._others.get(node.path)
        if other is not None:
            return other
        plain = plain_name(node, self._site_prefix)
        fits = len(plain) <= self._room and plain.partition(":")[0] not in RESERVED
        if fits and (plain or node.parent is None):
            return plain
        name = self._others[node.path] = hashed_name(plain, node.path, self._room)
        return name

    def prefix_of(self, node: Node) -> str:
        """What a node's PVs begin with, without the colon at the end: `DEMO:ALM:HV:L07`; `DEMO:ALM` for the root."""
        return f"{self.prefix}{self.name(node)}".removesuffix(":")

    def node(self, name: str) -> Node | None:
        """The node whose PVs begin with this, behind the IOC's prefix and without the colon at the end."""
        return self._nodes.get(name)

    def drop(self, path: str) -> str | None:
        """A node is gone; what it was called, None when it had no name."""
        name = self._others.pop(path, None)
        if name is None:
            names = [name for name in self._candidates(path) if name in self._nodes]
            name = next((name for name in names if self._nodes[name].path == path), None)
        if name is not None:
            self._nodes.pop(name, None)
        return name

    def _candidates(self, path: str) -> list[str]:
        """What the rule may have made of a path, as an area and as an alarm."""
        names = split_path(path)
        found = [":".join(names[1:]), channel_of(names[-1]).removeprefix(self._site_prefix)]
        return [_OTHER.sub("_", name) for name in found]
