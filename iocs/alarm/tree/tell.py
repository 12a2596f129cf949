"""Tells those who follow the tree; one that fails is logged and stops nobody else."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from iocs.alarm.tree.events import Annunciation, Edit, Listener, Person, State
from iocs.alarm.tree.items import Item

if TYPE_CHECKING:
    from iocs.alarm.tree.nodes import Area, Leaf

log = logging.getLogger(__name__)


class Teller(Listener):
    """Every call goes to all of `listeners`, in their order."""

    def __init__(self) -> None:
        self.listeners: list[Listener] = []

    @contextmanager
    def silence(self) -> Iterator[None]:
        """Nobody is told of what happens within."""
        listeners, self.listeners = self.listeners, []
        try:
            yield
        finally:
            self.listeners = listeners

    def leaf_changed(self, leaf: Leaf, before: State, raised: bool) -> None:
        """See `Listener`."""
        for listener in self.listeners:
            try:
                listener.leaf_changed(leaf, before, raised)
            except Exception:
                log.exception("%s failed", type(listener).__name__)

    def area_changed(self, area: Area) -> None:
        """See `Listener`."""
        for listener in self.listeners:
            try:
                listener.area_changed(area)
            except Exception:
                log.exception("%s failed", type(listener).__name__)

    def configured(self, item: Item, who: Person) -> None:
        """See `Listener`."""
        for listener in self.listeners:
            try:
                listener.configured(item, who)
            except Exception:
                log.exception("%s failed", type(listener).__name__)

    def removed(self, path: str, who: Person) -> None:
        """See `Listener`."""
        for listener in self.listeners:
            try:
                listener.removed(path, who)
            except Exception:
                log.exception("%s failed", type(listener).__name__)

    def edited(self, edit: Edit) -> None:
        """See `Listener`."""
        for listener in self.listeners:
            try:
                listener.edited(edit)
            except Exception:
                log.exception("%s failed", type(listener).__name__)

    def announced(self, annunciation: Annunciation) -> None:
        """See `Listener`."""
        for listener in self.listeners:
            try:
                listener.announced(annunciation)
            except Exception:
                log.exception("%s failed", type(listener).__name__)

    def modes_changed(self) -> None:
        """See `Listener`."""
        for listener in self.listeners:
            try:
                listener.modes_changed()
            except Exception:
                log.exception("%s failed", type(listener).__name__)
