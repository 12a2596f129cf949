"""What the databases have, on PVs: lists, the selected runkey, its tree and payloads."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from db.errors import DbError
from iocs.runkey import browse
from iocs.runkey.databases import MYSELF, Databases
from iocs.runkey.pvs import LIST_BYTES, RunkeyPvs
from iocs.runkey.snapshots import taken
from owlshift.ioc import AlarmStatus, Ioc, PutRefused

if TYPE_CHECKING:
    from db.heads import RunkeyInfo
    from db.store import Store

log = logging.getLogger(__name__)

PERIOD = 10.0
"""Seconds between two looks at what `owl runkey` and others have done to the databases."""

Chosen = tuple["RunkeyInfo", str]
"""A runkey, and its tree as JSON; "" when that is shown already."""


class Listing:
    """Lists, selection and payloads of the runkeys in `databases`, as PVs of `device`."""

    def __init__(self, ioc: Ioc, device: RunkeyPvs, databases: Databases) -> None:
        self._ioc, self._device, self._databases = ioc, device, databases
        self._read = -PERIOD
        self.shown: RunkeyInfo | None = None
        """The selected runkey as its PVs show it; None: none is, or the databases have not been asked yet."""
        self._seen: RunkeyInfo | None = None
        """It as somebody has selected, stored, compared or planned it."""

    @property
    def due(self) -> bool:
        """It is time to look again."""
        return time.monotonic() - self._read >= PERIOD

    async def select(self, name: str) -> str:
        """Show the runkey `name`, or none (""); PutRefused when it does not exist."""
        chosen = None
        if name:
            try:
                chosen = await self._databases.run(MYSELF, lambda store: _look_up(store, name), what="select")
            except DbError as error:
                raise PutRefused(str(error)) from None
        await self._show(chosen)
        self._seen = self.shown
        return name

    async def refresh(self) -> None:
        """Read lists and selection from the databases; DbError."""
        device = self._device
        name, text, shown = device.Selected.value, device.Search.value, device.SelectedId.value

        def read(store: Store) -> tuple[str, str, int, Chosen | None]:
            every = browse.newest_first(store)
            found = browse.newest_first(store, text) if text else every
            dirty = sum(1 for info in every if info.where == "staging" and not info.committed)
            chosen = _look_up(store, name, shown) if name and taken(store, name) else None
            return browse.list_text(every, LIST_BYTES), browse.list_text(found, LIST_BYTES), dirty, chosen

        every, found, dirty, chosen = await self._databases.run(MYSELF, read, what="lists")
        self._read = time.monotonic()
        await self._ioc.post_many([(device.List, every), (device.Found, found), (device.StageDirty, dirty)])
        if name != device.Selected.value:  # somebody selects another one at this moment
            return
        if name and chosen is None:
            await self._ioc.post(device.Selected, "")
            await self._ioc.message(f"{name}, which was selected, does not exist any more", logging.WARNING)
        await self._show(chosen)
        if self._seen is None:
            self._seen = self.shown

    async def stored(self, info: RunkeyInfo) -> None:
        """`info` was stored and is selected: `refresh`, or as much of it as can be had."""
        await self._refresh_for(info)
        self._seen = info

    async def looked_at(self, info: RunkeyInfo) -> None:
        """A command has read the selected runkey as `info`, and tells what is in it."""
        await self.show(info)
        self._seen = info

    async def show(self, info: RunkeyInfo) -> None:
        """A command has read the selected runkey as `info`."""
        if not _same(self.shown, info):
            await self._refresh_for(info)

    def edited(self, info: RunkeyInfo) -> bool:
        """`info`, which is selected, is not what was looked at under that name."""
        return self._seen is not None and self._seen.name == info.name and not _same(self._seen, info)

    async def _refresh_for(self, info: RunkeyInfo) -> None:
        try:
            await self.refresh()
        except DbError as error:
            log.warning("lists are not read anew: %s", error)
            await self._show((info, "{}"))

    async def search(self, text: str) -> None:
        """Post what `text` finds."""
        try:
            found = await self._databases.run(MYSELF, lambda store: browse.newest_first(store, text), what="search")
        except DbError as error:
            raise PutRefused(str(error)) from None
        await self._ioc.post(self._device.Found, browse.list_text(found, LIST_BYTES))

    async def view(self, path: str, role: str) -> None:
        """Post the tree below `path`, and the payload there in `role` ("": the first)."""
        name = self._device.Selected.value
        if not name:
            raise PutRefused("no runkey is selected: put a name to Selected")

        def look(store: Store) -> tuple[str, str]:
            tree = browse.tree_text(store, name, path, LIST_BYTES)
            return tree, browse.view_text(store, name, path, role, LIST_BYTES)

        try:
            tree, text = await self._databases.run(MYSELF, look, what="view")
        except DbError as error:
            raise PutRefused(str(error)) from None
        await self._ioc.post_many([(self._device.Tree, tree), (self._device.View, text)])

    async def _show(self, chosen: Chosen | None) -> None:
        device = self._device
        root = digest = form = ""
        tree = "{}"
        before, self.shown = self.shown, chosen[0] if chosen is not None else None
        if chosen is not None:
            info, tree = chosen
            root, digest, form = info.root, info.digest, browse.form_text(info)
            if before is not None and before.name == info.name and not _same(before, info):
                await self._ioc.message(f"{info.name}, which is selected, was edited by {info.author}", logging.WARNING)
        other = device.SelectedId.value != root
        await self._ioc.post_many(
            [(device.SelectedId, root), (device.SelectedHash, digest), (device.SelectedInfo, form)]
        )
        if other:
            posts = [(device.Tree, tree), (device.View, ""), (device.Path, "/"), (device.Role, "")]
            await self._ioc.post_many(posts)
            await self._ioc.invalidate(device.DiffCount, AlarmStatus.UDF)


def _same(one: RunkeyInfo | None, other: RunkeyInfo) -> bool:
    return one is not None and (one.name, one.root) == (other.name, other.root)


def _look_up(store: Store, name: str, shown: str = "") -> Chosen:
    info = store.find(name).info(name)
    return info, "" if info.root == shown else browse.tree_text(store, name, "/", LIST_BYTES)
