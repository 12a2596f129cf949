"""What is where in the tree: items put and removed, and what may not be."""

from __future__ import annotations

import math
from collections.abc import Iterator

from iocs.alarm.tree.items import AreaConfig, ConfigError, Item, LeafConfig
from iocs.alarm.tree.nodes import Area, Leaf, Node, channel_of
from iocs.alarm.tree.paths import make_path, split_path

MOST = 1_000_000
"""Of seconds of a delay (11 days), and of counts."""


class NoSuchPath(ConfigError, KeyError):  # noqa: N818  (what it says: a path that nothing is at)
    """There is neither an area nor an alarm at that path."""

    def __init__(self, path: str) -> None:
        super().__init__([f"{path}: no such area or alarm"])

    def __str__(self) -> str:
        return self.problems[0]


class Structure:
    """Areas and alarms by path, alarms by PV. It knows nothing of states."""

    def __init__(self, name: str) -> None:
        """ConfigError when the root cannot have that name."""
        try:
            path = make_path("", name)
        except ValueError as error:
            raise ConfigError([str(error)]) from error
        self.root = Area(path, name, None, AreaConfig())
        self.nodes: dict[str, Area | Leaf] = {path: self.root}
        self._channels: dict[str, Leaf] = {}

    def find(self, path: str) -> Area | Leaf | None:
        """What is at the path; None: nothing. Doubled slashes do not matter."""
        found = self.nodes.get(path)
        if found is None and path.startswith("/"):
            try:
                found = self._walk(split_path(path))
            except ValueError:
                return None
        return found

    def get(self, path: str) -> Area | Leaf:
        """The same; NoSuchPath when nothing is there."""
        found = self.find(path)
        if found is None:
            raise NoSuchPath(path)
        return found

    def leaf_of(self, pv: str) -> Leaf | None:
        """The alarm of a PV, with `ca://` or without."""
        return self._channels.get(channel_of(pv))

    def leaves(self) -> Iterator[Leaf]:
        """All alarms, in the order in which they came."""
        return iter(self._channels.values())

    def problem(self, item: Item) -> str:
        """Why the item cannot be put where it says; "" when it can."""
        try:
            names = split_path(item.path)
        except ValueError as error:
            return str(error)
        if names[0] != self.root.name:
            return f"{item.path}: the tree's root is {self.root.path}"
        node: Area | Leaf | None = self.root
        for name in names[1:]:
            if isinstance(node, Leaf):
                return f"{item.path}: {node.path} is an alarm, nothing can be below it"
            node = node.nodes.get(name) if node is not None else None
        if isinstance(item.config, AreaConfig):
            return f"{item.path}: it is an alarm, not an area" if isinstance(node, Leaf) else ""
        if isinstance(node, Area):
            return f"{item.path}: it is an area, not an alarm"
        other = self.leaf_of(names[-1])
        if other is not None and other is not node:
            return f"{item.path}: the PV is in the tree already, as {other.path}"
        return _values(item, item.config)

    def missing(self, path: str) -> list[str]:
        """The areas above a path that are not there yet, from above; the path is one that has no `problem`."""
        names = split_path(path)
        found, above = [], self.root.path
        for name in names[1:-1]:
            above = make_path(above, name)
            if above not in self.nodes:
                found.append(above)
        return found

    def put(self, item: Item) -> tuple[Area | Leaf, bool]:
        """The node of an item that has no `problem`, made if need be; True if it is new. An old one stays as it is."""
        found = self.nodes.get(item.path)
        if found is not None:
            return found, False
        names = split_path(item.path)
        area = self.root
        for name in names[1:-1]:
            below = area.nodes.get(name)
            area = below if isinstance(below, Area) else self._add_area(area, name, AreaConfig())
        if len(names) == 1:
            return self.root, False
        name = names[-1]
        found = area.nodes.get(name)
        if found is not None:
            return found, False
        if isinstance(item.config, AreaConfig):
            return self._add_area(area, name, item.config), True
        path = make_path(area.path, name)
        leaf = Leaf(item.path if item.path == path else path, name, area, item.config, item.extras)
        area.add(leaf)
        self.nodes[leaf.path] = leaf
        self._channels[leaf.channel] = leaf
        for above in leaf.above():
            above.count(0, 1)
        return leaf, True

    def remove(self, node: Area | Leaf) -> None:
        """Take away an alarm, or an area that is empty; not the root."""
        if node.parent is None:
            raise ConfigError([f"{node.path}: the root stays"])
        node.parent.drop(node)
        del self.nodes[node.path]
        if isinstance(node, Leaf):
            del self._channels[node.channel]
            for above in node.above():
                above.count(node.counts_as, -1)

    def _add_area(self, parent: Area, name: str, config: AreaConfig) -> Area:
        area = Area(make_path(parent.path, name), name, parent, config)
        parent.add(area)
        self.nodes[area.path] = area
        return area

    def _walk(self, names: list[str]) -> Area | Leaf | None:
        node: Node | None = self.root if names[0] == self.root.name else None
        for name in names[1:]:
            node = node.nodes.get(name) if isinstance(node, Area) else None
        return node if isinstance(node, (Area, Leaf)) else None


def _values(item: Item, config: LeafConfig) -> str:
    """What of an alarm's configuration its logic cannot work with; "": nothing."""
    extras = item.extras
    if not (0 <= config.delay <= MOST and 0 <= config.count <= MOST):
        return f"{item.path}: delay and count are between 0 and {MOST}"
    if not (math.isfinite(extras.off_delay) and 0 <= extras.off_delay <= MOST):
        return f"{item.path}: the off-delay is between 0 and {MOST} s"
    if config.disabled_until is not None and config.disabled_until.tzinfo is None:
        return f"{item.path}: the date until which it is disabled has no time zone"
    if extras.masked_by and not extras.masked_by.startswith("/"):
        return f"{item.path}: masked by {extras.masked_by!r}, which is no path"
    if extras.masked_by == item.path:
        return f"{item.path}: an alarm cannot mask itself"
    return ""
