"""Alarm files that are read again while the server runs: the tree becomes what they say now."""

from __future__ import annotations

from iocs.alarm.configuration import FILE, Configuration
from iocs.alarm.pvs.documents import Breath
from iocs.alarm.tree.events import Person
from iocs.alarm.tree.items import AreaConfig, ConfigError, Item, LeafConfig
from iocs.alarm.tree.nodes import Area
from iocs.alarm.tree.paths import parent_path, split_path
from iocs.alarm.tree.tree import AlarmTree

BY_FILES = Person(FILE, "")


async def apply_files(tree: AlarmTree, configuration: Configuration, items: list[Item]) -> tuple[int, list[str]]:
    """Change the tree from what alarm files said to what they say; how many items changed, and what was refused."""
    before = dict(configuration.files)
    configuration.take_files(items)
    refused: list[str] = []
    changed = 0
    breath = Breath()
    # the deepest first: an area goes when it is empty
    for path in sorted(before.keys() - configuration.files.keys(), key=len, reverse=True):
        node = tree.find(path)
        if node is None or path in configuration.stored:
            continue
        changed += 1
        if isinstance(node, Area):
            if node.children:
                tree.put(Item(path, AreaConfig()), BY_FILES)
                continue
        declared = None if isinstance(node, Area) else configuration.declared.get(node.channel)
        if node.parent is not None and (declared is None or declared.path != path):
            tree.remove(path, BY_FILES)
            _prune(tree, parent_path(path))
        if declared is not None and not configuration.claimed(split_path(declared.path)[-1]):
            tree.put(configuration.overlaid(declared), BY_FILES)
        await breath.take()
    for path, item in configuration.files.items():
        if before.get(path) == item and tree.find(path) is not None:
            continue
        if not configuration.from_file(item):
            continue
        other = tree.leaf_of(split_path(path)[-1]) if isinstance(item.config, LeafConfig) else None
        try:
            if other is not None and other.path != path:
                tree.remove(other.path, BY_FILES)
            tree.put(configuration.overlaid(item), BY_FILES)
            changed += 1
        except ConfigError as error:
            refused += error.problems
        await breath.take()
    return changed, refused


def _prune(tree: AlarmTree, path: str) -> None:
    """Remove areas that have nothing in them and of which nothing is configured, from here upwards."""
    while path and parent_path(path):
        area = tree.find(path)
        if not isinstance(area, Area) or area.children or area.config != AreaConfig():
            return
        tree.remove(path, BY_FILES)
        path = parent_path(path)
