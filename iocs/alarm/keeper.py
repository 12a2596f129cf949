"""Keeps in the database what must survive a restart: states of alarms, modes, and what operators configured."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from db.alarms.store import AlarmStore
from db.errors import Conflict, DbError
from db.who import Who
from iocs.alarm.configuration import Configuration
from iocs.alarm.threads import Threads
from iocs.alarm.tree.events import Edit, Listener, Person, State
from iocs.alarm.tree.nodes import Area, Leaf
from iocs.alarm.tree.tree import AlarmTree

log = logging.getLogger(__name__)

LINGER = 0.1
"""Seconds in which changes of one transaction come together; none when somebody waits for it."""
AGAIN = 2.0
"""Seconds until a database that is gone is tried again."""
TIMEOUT = 20.0
"""Seconds that a transaction may take."""
PATIENCE = 3.0
"""Seconds for which a put waits until it is kept."""
BATCH = 20_000
"""Alarms of one transaction."""
SERVER_STATE = ""
"""The path of what is kept of the server itself."""


class Keeper(Listener):
    """Follows the tree, and writes what has changed. `lost`: another server has the lease."""

    def __init__(
        self, tree: AlarmTree, configuration: Configuration, store: AlarmStore, threads: Threads,
        lost: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._tree, self._configuration, self._store, self._threads = tree, configuration, store, threads
        self._lost = lost
        self.told: Callable[[str], None] = lambda problem: None
        """Called when `problem` is another."""
        self.more: dict[str, Any] = {}
        """What else is kept of the server."""
        self._leaves: dict[str, None] = {}
        self._server = False
        self._work = asyncio.Event()
        self._urgent = asyncio.Event()
        self._kept = asyncio.Condition()
        self._due = 0
        """Counts changes."""
        self._done = 0
        """Of these, what the database has."""
        self.problem = ""
        """Why nothing is kept; "" while all is well."""

    # what the tree tells

    def leaf_changed(self, leaf: Leaf, before: State, raised: bool) -> None:
        """See `Listener`."""
        self._leaves[leaf.path] = None
        self._changed()

    def edited(self, edit: Edit) -> None:
        """See `Listener`."""
        if edit.action in ("mode", "notify", "server"):
            self.server_changed()
        elif isinstance(self._tree.find(edit.path), Leaf):
            self._leaves[edit.path] = None
            self._changed()

    def configured(self, item: Any, who: Person) -> None:
        """The configuration has noted it."""
        self._changed()

    def removed(self, path: str, who: Person) -> None:
        """Its state is forgotten."""
        self._leaves[path] = None
        self._changed()

    def modes_changed(self) -> None:
        """See `Listener`."""
        self.server_changed()

    def area_changed(self, area: Area) -> None:
        """Areas have no state of their own."""

    def server_changed(self) -> None:
        """Something of the server itself is to be kept."""
        self._server = True
        self._changed()

    def _changed(self) -> None:
        self._due += 1
        self._work.set()

    # work

    @property
    def behind(self) -> int:
        """Alarms and items that the database has not got yet."""
        return len(self._leaves) + len(self._configuration.changed) + self._server

    async def run(self) -> None:
        """Write, for ever."""
        while True:
            await self._work.wait()
            if not self.problem and not self._urgent.is_set():
                try:
                    async with asyncio.timeout(LINGER):
                        await self._urgent.wait()
                except TimeoutError:
                    pass
            self._work.clear()
            self._urgent.clear()
            if not await self.write():
                self._work.set()
                await asyncio.sleep(AGAIN)

    async def write(self) -> bool:
        """Write what there is; whether the database took it."""
        until = self._due
        while self._leaves or self._configuration.changed or self._server:
            states, items = self._take()
            try:
                await self._threads.run(lambda states=states, items=items: self._save(states, items), TIMEOUT, "states")
            except DbError as error:
                self._put_back(states, items)
                if isinstance(error, Conflict):
                    self._lost(str(error))
                if not self.problem:
                    log.warning("what has changed cannot be kept for the next start: %s", error)
                await self._tell(str(error) or type(error).__name__)
                return False
        self._done = until
        if self.problem:
            log.info("what has changed is kept again")
        await self._tell("")
        return True

    async def _tell(self, problem: str) -> None:
        if problem != self.problem:
            self.problem = problem
            self.told(problem)
        async with self._kept:
            self._kept.notify_all()

    def _take(self) -> tuple[dict[str, Any], dict[str, Any]]:
        states: dict[str, Any] = {}
        paths = list(self._leaves)[:BATCH]
        for path in paths:
            del self._leaves[path]
            node = self._tree.find(path)
            states[path] = (self._tree.state_of(node) or None) if isinstance(node, Leaf) else None
        if self._server:
            states[SERVER_STATE] = {**self._tree.server_state(), **self.more}
            self._server = False
        items = dict(self._configuration.changed)
        self._configuration.changed.clear()
        return states, items

    def _put_back(self, states: dict[str, Any], items: dict[str, Any]) -> None:
        """What was not written is due again; what has changed meanwhile is newer."""
        for path in states:
            if path == SERVER_STATE:
                self._server = True
            else:
                self._leaves[path] = None
        self._configuration.changed = {**items, **self._configuration.changed}

    def _save(self, states: dict[str, Any], items: dict[str, Any]) -> None:
        """On a thread."""
        if items:
            self._store.save_items(items, Who.me())
        if states:
            self._store.save_states(states)

    async def kept(self) -> bool:
        """Wait until the database has what has happened so far; False when it does not take it now."""
        wanted = self._due
        if self._done >= wanted:
            return True
        if self.problem:
            return False
        self._urgent.set()
        try:
            async with asyncio.timeout(PATIENCE), self._kept:
                await self._kept.wait_for(lambda: self._done >= wanted or bool(self.problem))
        except TimeoutError:
            return False
        return self._done >= wanted
