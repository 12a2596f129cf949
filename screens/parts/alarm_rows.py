"""PVs of those rows of a tree that are seen: 50,000 alarms have a million of them, and a screen has room for forty."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from qtpy.QtCore import QObject, QTimer, Signal  # pyright: ignore[reportPrivateImportUsage]

from screens.parts.alarm_banner import count_of, look_of_pv
from screens.parts.alarm_data import Node
from screens.parts.alarm_look import Look, look_of
from screens.parts.pv import Pv

AREA = ("Sevr", "NUnack", "NAck", "NSupp", "First")
ALARM = ("Sevr", "Msg", "Val", "State", "AckBy")
KEPT = 150
"""Items whose PVs stay connected; those seen last."""
EVERY = 100
"""Milliseconds between two updates of the view."""


class Item(QObject):
    """The PVs of an area or alarm."""

    changed = Signal(str)

    def __init__(self, node: Node, parent: QObject) -> None:
        super().__init__(parent)
        self.path = node.path
        self._node = node
        self.pvs = {name: Pv(f"{node.prefix}:{name}", self) for name in (AREA if node.is_area else ALARM)}
        for pv in self.pvs.values():
            pv.changed.connect(self._tell)

    def _tell(self) -> None:
        self.changed.emit(self.path)

    @property
    def look(self) -> Look:
        """How its severity looks; GONE when its PV does not answer any more."""
        return look_of_pv(self.pvs["Sevr"])

    def count(self, name: str) -> int | None:
        """A number of alarms of an area."""
        return count_of(self.pvs[name]) if name in self.pvs else None

    def text(self, name: str) -> str:
        """A text of an alarm or area; empty while it is not known."""
        pv = self.pvs.get(name)
        return pv.text if pv is not None and pv.connected else ""

    @property
    def known(self) -> bool:
        """It has answered at least once."""
        return self.pvs["Sevr"].value is not None

    def let_go(self) -> None:
        """Disconnect its PVs."""
        for pv in self.pvs.values():
            pv.channel.disconnect()


class Live(QObject):
    """The items that are seen, and those that were. `changed` is emitted with the paths of what has changed."""

    changed = Signal(list)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._items: OrderedDict[str, Item] = OrderedDict()
        self._news: set[str] = set()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(EVERY)
        self._timer.timeout.connect(self._flush)

    def watch(self, nodes: Sequence[Node]) -> None:
        """These are seen now."""
        for node in nodes:
            if node.path in self._items:
                self._items.move_to_end(node.path)
            elif node.prefix:
                item = self._items[node.path] = Item(node, self)
                item.changed.connect(self._hear)
        while len(self._items) > max(KEPT, len(nodes)):
            self._drop(self._items.popitem(last=False)[1])

    def item(self, path: str) -> Item | None:
        """The PVs of an item, if they are here and have answered."""
        item = self._items.get(path)
        return item if item is not None and item.known else None

    def look(self, node: Node) -> Look:
        """How an item looks now; as the tree was told it when its PVs are not here."""
        item = self.item(node.path)
        return item.look if item is not None else look_of(str(node.entry.get("severity") or ""))

    def clear(self) -> None:
        """Let go of everything."""
        for item in self._items.values():
            self._drop(item)
        self._items.clear()

    def __len__(self) -> int:
        return len(self._items)

    def _drop(self, item: Item) -> None:
        item.blockSignals(True)
        item.let_go()
        item.deleteLater()

    def _hear(self, path: str) -> None:
        self._news.add(path)
        if not self._timer.isActive():
            self._timer.start()

    def _flush(self) -> None:
        news, self._news = sorted(self._news), set()
        self.changed.emit(news)
