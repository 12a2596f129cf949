"""The tree as it is at the start: from alarm files, the database, and catalogues as they were the last time."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from db.alarms.store import Stored
from iocs.alarm.config import AlarmConfig
from iocs.alarm.configuration import Configuration
from iocs.alarm.files.extras import beside, read_extras, with_extras
from iocs.alarm.files.xmlfile import read_xml
from iocs.alarm.keeper import SERVER_STATE
from iocs.alarm.tree.clock import Clock
from iocs.alarm.tree.items import ConfigError, Item
from iocs.alarm.tree.tree import AlarmTree

log = logging.getLogger(__name__)


def make_tree(name: str, clock: Clock, config: AlarmConfig) -> AlarmTree:
    """A tree as the site file wants it, with nothing in it."""
    return AlarmTree(
        name,
        clock,
        compatible=config.phoebus_compatible,
        chatter=(config.chatter.transitions, config.chatter.period),
        flood=(config.flood.begin, config.flood.period, config.flood.end),
        max_shelf=config.max_shelf,
    )


def read_files(
    folder: Path, names: tuple[str, ...], root: str, *, compatible: bool = False, keep: Path | None = None
) -> tuple[list[Item], list[str]]:
    """What the alarm files below `folder` say, and what is wrong with them. It blocks.

    A file with a fault is refused as a whole. `keep`: a folder with copies of files that were good: what a file said
    before it had its fault goes on.
    """
    items: list[Item] = []
    problems: list[str] = []
    for name in names:
        path = folder / name
        try:
            items += _read(path, root, compatible)
        except ConfigError as error:
            problems += error.problems
            if keep is not None and (keep / name).is_file():
                try:
                    items += _read(keep / name, root, compatible)
                    problems.append(f"{path}: goes on as it was before")
                except ConfigError as old:
                    log.warning("%s: the copy of the last good one is of no use: %s", path, old)
            continue
        if keep is not None:
            _keep(path, keep / name)
    return items, problems


def _read(path: Path, root: str, compatible: bool) -> list[Item]:
    found = read_xml(path, root, compatible=compatible)
    for warning in found.warnings:
        log.warning("%s", warning)
    extras = beside(path)
    if not extras.is_file():
        return list(found.items)
    items, problems = with_extras(found.items, read_extras(extras, root))
    if problems:
        raise ConfigError(problems)
    return items


def _keep(path: Path, copy: Path) -> None:
    """A copy of a good file, for the day when it has a fault. What it includes is not copied."""
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        if beside(path).is_file():
            shutil.copyfile(beside(path), beside(copy))
        else:
            beside(copy).unlink(missing_ok=True)
    except OSError as error:
        log.warning("%s cannot be kept: %s", path, error)


def fill(tree: AlarmTree, configuration: Configuration, cached: list[Item], stored: Stored) -> Mapping[str, Any]:
    """Load and restore, before anything runs; returns what was kept of the server itself."""
    began = time.perf_counter()
    tree.load(configuration.load(cached))
    server = dict(stored.states.get(SERVER_STATE, {}))
    leaves = {path: state for path, state in stored.states.items() if path != SERVER_STATE}
    tree.restore({**server, "leaves": leaves})
    log.info("%d alarms, %d of them known, in %.1f s", tree.root.total, len(leaves), time.perf_counter() - began)
    return server
