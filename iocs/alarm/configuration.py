"""Where the configuration of each item comes from, and what of it is kept in the database.

What operators configure is before what alarm files say, and that before what catalogues declare. Kept is only what
operators did, by path: the whole item; where they only enabled or disabled what a file or a catalogue declares, just
that; or that an item is deleted, though a file or a catalogue has it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from iocs.alarm.item_forms import item_form, item_of
from iocs.alarm.tree.events import Listener, Person
from iocs.alarm.tree.items import ConfigError, Item, LeafConfig
from iocs.alarm.tree.nodes import channel_of
from iocs.alarm.tree.paths import split_path
from iocs.alarm.tree.structure import Structure
from iocs.alarm.watch.catalogue_watch import CATALOGUE, Catalogues

if TYPE_CHECKING:
    from iocs.alarm.tree.tree import AlarmTree

log = logging.getLogger(__name__)

FILE = "alarm-file"
"""`Person.user` of what an alarm file changes."""
DELETED = "deleted"
_OVERLAY = ("enabled", "disabled_until")


class Configuration(Listener):
    """The sources of a tree's configuration. As a listener it learns what operators do; `changed` has that."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.files: dict[str, Item] = {}
        """By path, what alarm files say."""
        self._declared: dict[str, Item] | None = {}
        """By PV, what catalogues say; None: it is to be asked for again."""
        self._ask: Callable[[], dict[str, Item]] = dict
        self.stored: dict[str, dict[str, Any]] = {}
        """By path, what operators did."""
        self.changed: dict[str, dict[str, Any] | None] = {}
        """What of `stored` is not kept yet; None: is to be forgotten."""
        self.problems: list[str] = []
        """What of it cannot be used: path and reason."""
        self._items: dict[str, Item] = {}
        """By path, `stored` as items."""
        self._channels: dict[str, str] = {}
        """By channel, the path at which files or operators have it; "" where it is deleted."""

    # before anything runs

    def take_stored(self, stored: Mapping[str, Mapping[str, Any]]) -> None:
        """What the database has; what of it cannot be understood is told and left there."""
        self.stored = {path: dict(document) for path, document in stored.items()}
        self._items.clear()
        for path, document in self.stored.items():
            if "item" in document:
                try:
                    self._items[path] = item_of(document["item"])
                except ConfigError as error:
                    self._problem("the database", error.problems)
        self._claim()

    def take_files(self, items: Iterable[Item]) -> None:
        """What alarm files say, all of them."""
        self.files = {item.path: item for item in items}
        self._claim()

    def load(self, catalogues: Iterable[Item]) -> list[Item]:
        """All items for `AlarmTree.load`. What contradicts a source that goes before is left out, and told."""
        structure = Structure(self.root)
        good: list[Item] = []
        sources = (
            ("the database", self._items.values()),
            ("an alarm file", (item for item in self.files.values() if self.from_file(item))),
            ("a catalogue", (item for item in catalogues if not self.claimed(item.config and _channel(item)))),
        )
        for source, items in sources:
            for item in items:
                problem = structure.problem(item)
                if problem:
                    self._problem(source, [problem])
                    continue
                structure.put(item)
                good.append(self.overlaid(item))
        # an area that is said later must not come after what is in it
        return good

    def from_file(self, item: Item) -> bool:
        """No operator has configured or deleted what a file says here."""
        if item.path in self._items or self.stored.get(item.path, {}).get(DELETED):
            return False
        channel = _channel(item)
        return not channel or self._channels.get(channel) == item.path

    def _problem(self, source: str, problems: Iterable[str]) -> None:
        for problem in problems:
            self.problems.append(f"{source}: {problem}")
            log.warning("%s has what cannot be used: %s", source, problem)

    def _claim(self) -> None:
        self._channels = {}
        for item in (*self.files.values(), *self._items.values()):
            if channel := _channel(item):
                self._channels[channel] = item.path
        for path, document in self.stored.items():
            if document.get(DELETED):
                channel = channel_of(split_path(path)[-1])
                if self._channels.get(channel, path) == path:
                    self._channels[channel] = ""

    # what others ask

    def claimed(self, pv: str) -> bool:
        """A file or an operator configures the alarm of this PV, or has deleted it: no catalogue does."""
        return channel_of(pv) in self._channels

    @property
    def declared(self) -> Mapping[str, Item]:
        """By PV, what catalogues say."""
        if self._declared is None:
            self._declared = self._ask()
        return self._declared

    def base(self, path: str, pv: str = "") -> Item | None:
        """What a file, or else a catalogue, says of a place."""
        found = self.files.get(path)
        if found is None:
            found = self.declared.get(channel_of(pv or split_path(path)[-1]))
        return found if found is not None and found.path == path else None

    def overlaid(self, item: Item) -> Item:
        """An item of a file or catalogue, enabled or disabled as an operator wanted it."""
        document = self.stored.get(item.path)
        config = item.config
        if document is None or "enabled" not in document or not isinstance(config, LeafConfig):
            return item
        form = item_form(item)
        form["config"] |= {name: document.get(name) for name in _OVERLAY}
        try:
            return item_of(form)
        except ConfigError:
            return item

    def for_catalogues(self, tree: AlarmTree, catalogues: Catalogues) -> AlarmTree:
        """The tree as `Catalogues.follow` is to see it: what it puts is enabled or disabled as operators want it."""
        configuration = self
        self._ask, self._declared = catalogues.items, None

        class Overlaid:
            def put(self, item: Item, who: Person) -> None:
                configuration._declared = None
                tree.put(configuration.overlaid(item), who)

            def __getattr__(self, name: str) -> Any:
                return getattr(tree, name)

        return cast("AlarmTree", Overlaid())

    # what the tree tells

    def configured(self, item: Item, who: Person) -> None:
        """Keep what an operator configured."""
        if not by_operator(who):
            return
        path = item.path
        base = self.base(path)
        if base is not None and base == item:
            self._store(path, None)
        elif base is not None and _alike(base, item):
            form = item_form(item)["config"]
            self._store(path, {name: form[name] for name in _OVERLAY})
        else:
            self._store(path, {"item": item_form(item)}, item)

    def removed(self, path: str, who: Person) -> None:
        """Keep that an operator deleted it."""
        if not by_operator(who):
            return
        self._store(path, None if self.base(path) is None else {DELETED: True})

    def _store(self, path: str, document: dict[str, Any] | None, item: Item | None = None) -> None:
        before = self._items.pop(path, None)
        if before is not None and (channel := _channel(before)) and self._channels.get(channel) == path:
            del self._channels[channel]
        if document is None:
            if self.stored.pop(path, None) is None:
                return
        else:
            self.stored[path] = document
        self.changed[path] = document
        if item is not None:
            self._items[path] = item
            if channel := _channel(item):
                self._channels[channel] = path
        elif document is not None and document.get(DELETED):
            self._channels[channel_of(split_path(path)[-1])] = ""
        elif path in self.files and (channel := _channel(self.files[path])):
            self._channels[channel] = path
        elif document is None:
            channel = channel_of(split_path(path)[-1])
            if self._channels.get(channel) == "":
                del self._channels[channel]


def by_operator(who: Person) -> bool:
    """An operator does that: neither a file nor a catalogue."""
    return who.user not in (CATALOGUE, FILE)


def _channel(item: Item) -> str:
    """The channel of an alarm; "" for an area."""
    return channel_of(split_path(item.path)[-1]) if isinstance(item.config, LeafConfig) else ""


def _alike(one: Item, other: Item) -> bool:
    """They differ in whether they are enabled at most."""
    if not isinstance(one.config, LeafConfig) or not isinstance(other.config, LeafConfig):
        return False
    same = {name: getattr(one.config, name) for name in _OVERLAY}
    return one.extras == other.extras and replace(other.config, **same) == one.config
