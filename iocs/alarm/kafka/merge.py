"""The topic as it is found when a session begins, and how it is brought together with the tree.

At the first session `config_from` decides where the two differ: with `site`, what is configured here stays; with
`topic`, what stands there is taken. What only one of them knows goes to the other, but for two cases: what this server
itself wrote there and does not have any more was taken out of the site's files and is deleted, and what was removed
here before the topic had been read stays removed. At a later session it is known what stood there before, so that each
side's own changes are told apart; where both have changed the same, ours stay.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Literal

from iocs.alarm.kafka.edits import Edits
from iocs.alarm.kafka.publisher import UNKNOWN, Publisher, area_mark, leaf_mark
from iocs.alarm.kafka.reading import BadRecord, ConfigRecord, DeleteRecord, StateRecord, decode_state
from iocs.alarm.tree.events import SERVER
from iocs.alarm.tree.items import AreaConfig
from iocs.alarm.tree.paths import split_path
from iocs.alarm.tree.tree import AlarmTree

log = logging.getLogger(__name__)

KEYS = 500_000
"""So many keys of a topic are looked at."""
AT_ONCE = 0.005
"""Seconds that are spent before others have their turn in the loop."""


class Merge:
    """Gathers the records of the replay, then brings topic and tree together."""

    def __init__(
        self, tree: AlarmTree, publisher: Publisher, edits: Edits, config_from: Literal["site", "topic"]
    ) -> None:
        self._tree, self._publisher, self._edits, self._config_from = tree, publisher, edits, config_from
        self._configs: dict[str, bytes] = {}
        self._states: dict[str, bytes] = {}
        self.edited: set[str] = set()
        """Paths that an operator has configured here since before the replay."""
        self.removed: set[str] = set()
        """Paths that somebody has removed here since before the replay."""

    def gather(self, kind: str, path: str, value: bytes | None) -> None:
        """A record of the replay: the last one of a key counts. BadRecord when there are too many keys."""
        if kind not in ("config", "state"):
            raise BadRecord(f"a {kind} record on the topic of configuration and states")
        found = self._configs if kind == "config" else self._states
        if value is None:
            found.pop(path, None)
        elif path in found or len(found) < KEYS:
            found[path] = value
        else:
            raise BadRecord(f"the topic has more than {KEYS:,} keys")

    async def finish(self, refuse: Callable[[str, str], None]) -> int:
        """Bring both together; what has to be sent is marked in the publisher. How many items came from the topic."""
        before, self._publisher.configs = self._publisher.configs, {}
        pace = _Pace()
        records = await self._read_configs(refuse, pace)
        await self._read_states(pace)
        taken = 0
        # areas before what is in them
        for path, record in sorted(records.items(), key=lambda found: found[0].count("/")):
            await pace.rest()
            if self._wants(path, record, before):
                taken += 1
                self._take(record)
        self._edits.try_waiting()
        self._publisher.mark_all()
        for path in self._edits.waiting:
            self._publisher.gone.pop(path, None)
        self._configs, self._states = {}, {}
        self.edited.clear()
        self.removed.clear()
        return taken

    async def _read_configs(self, refuse: Callable[[str, str], None], pace: _Pace) -> dict[str, ConfigRecord]:
        records: dict[str, ConfigRecord] = {}
        marks = self._publisher.configs
        for path, value in self._configs.items():
            await pace.rest()
            try:
                found = self._edits.read(path, value)
            except BadRecord as error:
                refuse(path, str(error))
                # what is not understood is overwritten where we know better, and else left alone
                if self._tree.find(path) is not None:
                    marks[path] = UNKNOWN
                continue
            if isinstance(found, DeleteRecord):
                # somebody began to delete it, and got no further
                marks[path] = UNKNOWN
            else:
                marks[path] = self._publisher.config_mark(found.item)
                records[path] = found
        return records

    async def _read_states(self, pace: _Pace) -> None:
        marks: dict[str, int] = {}
        for path, value in self._states.items():
            await pace.rest()
            try:
                found = decode_state(value)
            except BadRecord:
                marks[path] = UNKNOWN
                continue
            if isinstance(found, StateRecord):
                marks[path] = leaf_mark(found.alarm, found.current_severity, found.current_message)
            else:
                marks[path] = area_mark(found)
        self._publisher.states = marks

    def _wants(self, path: str, record: ConfigRecord, before: dict[str, int]) -> bool:
        """The record of the topic is to go into the tree."""
        mark = self._publisher.configs[path]
        node = self._tree.find(path)
        if node is None:
            ours = self._config_from == "site" and record.who.user == SERVER.user
            return path not in self.removed and not ours and before.get(path) != mark
        wanted = self._publisher.wanted_mark(node)
        if mark == wanted or path in self.edited:
            return False
        if node.config == AreaConfig() and path not in before:
            return True  # nobody has configured this area here: it is there for what is in it
        if path in before:
            return before[path] == wanted
        return self._config_from == "topic" and not before

    def _take(self, record: ConfigRecord) -> None:
        path = record.item.path
        self._edits.take(record)
        if self._config_from == "topic" and path in self._edits.waiting:
            # the topic is right: the same PV elsewhere in our own files is not
            pv = split_path(path)[-1]
            leaf = self._tree.leaf_of(pv)
            if leaf is not None and leaf.path != path and leaf.path not in self._publisher.configs:
                log.info("Kafka: %s is at %s on the topic, no more at %s", pv, path, leaf.path)
                self._tree.remove(leaf.path, record.who)
                self._edits.try_waiting()


class _Pace:
    """Lets others have their turn after a few milliseconds."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    async def rest(self) -> None:
        if time.monotonic() - self._begun > AT_ONCE:
            await asyncio.sleep(0)
            self._begun = time.monotonic()
