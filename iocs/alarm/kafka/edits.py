"""What others configure over the topic, taken into the tree."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from iocs.alarm.files.checks import check_item
from iocs.alarm.kafka.publisher import UNKNOWN, Publisher
from iocs.alarm.kafka.reading import BadRecord, ConfigRecord, DeleteRecord, decode_config
from iocs.alarm.tree.events import Person
from iocs.alarm.tree.items import ConfigError, Item, LeafConfig
from iocs.alarm.tree.tree import AlarmTree, Area, Leaf

log = logging.getLogger(__name__)

PATIENCE = 5.0
"""Seconds that an item waits whose PV is elsewhere in the tree: who moves an alarm may write the new place first."""
REMEMBERED = 1000
"""So many items wait, and of so many deletions it is remembered who began them."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Refuse = Callable[[str, str], None]
"""Called with a path and the reason why what was configured there is not taken."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    record: ConfigRecord
    until: float
    reason: str


class Edits:
    """Applies `config:` records of others. The topic is put right again where the tree does not take one."""

    def __init__(self, tree: AlarmTree, publisher: Publisher, refuse: Refuse) -> None:
        self._tree, self._publisher, self._refuse = tree, publisher, refuse
        self.applying = ""
        """The path whose record is being applied: what the tree tells of it is on the topic already."""
        self.deleting = ""
        """The same of a path that is being removed."""
        self.taken = 0
        """Records that were applied."""
        self.overridden = 0
        """Records of others that came when one of ours was on its way already."""
        self.waiting: dict[str, _Waiting] = {}
        self._deleters: dict[str, Person] = {}

    # -- one record ----------------------------------------------------------------------------------------------------

    def record(self, path: str, value: bytes | None) -> None:
        """A `config:` record of somebody else, with a path of this tree."""
        if self._publisher.overrides(path):
            self.overridden += 1
            self._publisher.configs[path] = UNKNOWN
            log.info("Kafka: what was configured of %s meets an edit that was made here, which stays", path)
            return
        if value is None:
            self._delete(path)
            return
        try:
            found = self.read(path, value)
        except BadRecord as error:
            self._refuse(path, str(error))
            if self._tree.find(path) is not None:
                self.correct(path)
            return
        if isinstance(found, DeleteRecord):
            while len(self._deleters) >= REMEMBERED:
                del self._deleters[next(iter(self._deleters))]
            self._deleters[path] = found.who
        else:
            self.take(found)

    def read(self, path: str, value: bytes) -> ConfigRecord | DeleteRecord:
        """Decode a record; what it warns of is logged. BadRecord."""
        node = self._tree.find(path)
        previous = node.config if isinstance(node, Leaf) else None
        now = EPOCH + timedelta(microseconds=self._tree.clock.now_ns() // 1000)
        found = decode_config(path, value, now=now, zone=self._publisher.zone, previous=previous)
        if isinstance(found, ConfigRecord):
            checked = check_item(found.item)
            if checked.problems:
                raise BadRecord(_without(path, checked.problems))
            for warning in found.warnings:
                self._refuse(path, warning)
        return found

    def take(self, record: ConfigRecord) -> None:
        """Put an item of the topic into the tree, now or (when its PV is still elsewhere) in a moment."""
        path = record.item.path
        self.waiting.pop(path, None)
        # what was not understood is not what the tree has
        understood = not record.warnings
        self._publisher.configs[path] = self._publisher.config_mark(record.item) if understood else UNKNOWN
        try:
            self._put(record)
        except ConfigError as error:
            if len(self.waiting) < REMEMBERED:
                self.waiting[path] = _Waiting(record, time.monotonic() + PATIENCE, _reasons(path, error))
            else:
                self._refuse(path, _reasons(path, error))
                self.correct(path)

    def correct(self, path: str) -> None:
        """What stands on the topic for a path is not so: write what is."""
        self._publisher.configs[path] = UNKNOWN
        if self._tree.find(path) is not None:
            self._publisher.mark(path)
        else:
            self._publisher.gone.setdefault(path, self._publisher.server)

    def try_waiting(self) -> None:
        """Items whose PV was elsewhere: try again, and give up those that have waited long."""
        for path, waiting in list(self.waiting.items()):
            try:
                self._put(waiting.record)
            except ConfigError as error:
                if time.monotonic() < waiting.until:
                    continue
                self._refuse(path, _reasons(path, error))
                self.correct(path)
            self.waiting.pop(path, None)

    # -- how -----------------------------------------------------------------------------------------------------------

    def _delete(self, path: str) -> None:
        who = self._deleters.pop(path, Person("unknown", "kafka"))
        self.waiting.pop(path, None)
        self._publisher.configs.pop(path, None)
        if self._tree.find(path) is None:
            self._publisher.removed_by_others(path)
            return
        self.applying = self.deleting = path
        try:
            self._tree.remove(path, who)
            self.taken += 1
        except ConfigError as error:
            self._refuse(path, _reasons(path, error))
            self.correct(path)
        finally:
            self.applying = self.deleting = ""
        self.try_waiting()

    def _put(self, record: ConfigRecord) -> None:
        item, who = record.item, record.who
        path = item.path
        node = self._tree.find(path)
        shelve: int | None = None
        unshelve = False
        if node is not None and type(node.config) is type(item.config):
            item = replace(item, extras=node.extras)
        if isinstance(node, Leaf) and isinstance(item.config, LeafConfig):
            item, shelve, unshelve = self._shelf(node, item, item.config)
        self.applying = path
        try:
            self._tree.put(item, who)
            self.taken += 1
        finally:
            self.applying = ""
        try:
            if unshelve:
                self._tree.unshelve(path, who)
            elif shelve is not None and isinstance(node, Leaf) and node.shelf is not None:
                self._tree.shelve(path, who, node.shelf.why, shelve)
        except ConfigError as error:
            self._refuse(path, _reasons(path, error))
        self._check(path, who)

    def _shelf(self, leaf: Leaf, item: Item, config: LeafConfig) -> tuple[Item, int | None, bool]:
        """What a record means for an alarm that is shelved, which the topic knows as disabled until a date.

        The item without that date; a new end of the shelf (UTC ns), if it is one; and whether the shelf is to end.
        """
        end = self._publisher.shelf_end(leaf)
        until = config.disabled_until
        if end is None or not leaf.config.enabled:
            return item, None, False
        if config.enabled:
            return item, None, True
        if until is None:
            return item, None, False
        item = replace(item, config=replace(config, enabled=True, disabled_until=None))
        seconds = round((until - EPOCH).total_seconds())
        return item, None if until == end else seconds * 1_000_000_000, False

    def _check(self, path: str, who: Person) -> None:
        """The tree has understood the record in its own way: then the topic is to say so, too."""
        node: Area | Leaf | None = self._tree.find(path)
        if node is not None and self._publisher.configs.get(path) != self._publisher.wanted_mark(node):
            self._publisher.mark(path, who)


def _reasons(path: str, error: ConfigError) -> str:
    return _without(path, error.problems)


def _without(path: str, problems: list[str]) -> str:
    """Problems without the path that each begins with."""
    return "; ".join(problem.removeprefix(f"{path}: ") for problem in problems)
