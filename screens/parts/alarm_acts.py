"""What operators do to alarms and areas: acknowledge, shelve, disable; and where they go from there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qtpy.QtCore import Qt, Signal  # pyright: ignore[reportPrivateImportUsage]
from qtpy.QtGui import QAction, QKeySequence  # pyright: ignore[reportPrivateImportUsage]
from qtpy.QtWidgets import QHBoxLayout, QMenu, QPushButton, QWidget

from screens.parts.alarm_data import Alarm, short_path
from screens.parts.alarm_puts import Puts
from screens.parts.alarm_shelve import ShelveDialog
from screens.parts.lines import Line
from screens.parts.widgets import ask, restyle

ASK_FROM = 10
"""So many alarms are acknowledged at once only after a question."""


@dataclass(frozen=True)
class Target:
    """An alarm or an area that something is done to."""

    path: str
    prefix: str
    """What its own PVs begin with, without a colon at the end."""
    alarms: int = 1
    """How many alarms that concerns."""
    alarm: Alarm | None = None
    """None for an area."""

    @classmethod
    def of(cls, alarm: Alarm) -> Target:
        """An alarm."""
        return cls(alarm.path, alarm.name, 1, alarm)

    def pv(self, attribute: str) -> str:
        """The name of one of its PVs."""
        return f"{self.prefix}:{attribute}"


def words_for(targets: Sequence[Target]) -> str:
    """What is meant, in words: a name, or how many there are."""
    if len(targets) == 1:
        one = targets[0]
        if one.alarm is not None:
            return one.alarm.pv
        return f"the area {short_path(one.path, root=True)} ({one.alarms:,} alarms)"
    count = sum(target.alarms for target in targets)
    return f"{count:,} alarms"


class ActionBar(QWidget):
    """What can be done to what is selected: as buttons, in a menu of `view`, and by keys while that has the focus.

    `log` asks for the log of what is selected.
    """

    log = Signal(object)

    def __init__(self, puts: Puts, view: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.puts = puts
        self.targets: list[Target] = []
        self.acknowledge = self._action("✓ Acknowledge", "A", self.do_acknowledge)
        self.shelve = self._action("Shelve …", "S", self.do_shelve)
        self.history = self._action("Log", "L", self._ask_log)
        self.unacknowledge = self._action("Unacknowledge", "U", self.do_unacknowledge)
        self.unshelve = self._action("Unshelve", "", self.do_unshelve)
        self.disable = self._action("Disable …", "", self.do_disable)
        self.enable = self._action("Enable", "", self.do_enable)
        self.menu = QMenu(self)
        self.told = Line(self, "message")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(6)
        for action, role in ((self.acknowledge, "go"), (self.shelve, "command"), (self.history, "command")):
            row.addWidget(_button(action, role, self))
        self.more = QPushButton("More ▾", self)
        self.more.setProperty("role", "command")
        self.more.setMenu(self.menu)
        row.addWidget(self.more)
        row.addWidget(self.told, 1)
        view.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        for action in self.actions_of_alarms:
            view.addAction(action)
        for action in self.actions_of_alarms[3:]:
            self.menu.addAction(action)
        puts.told.connect(self.tell)
        self.set_targets([])

    @property
    def actions_of_alarms(self) -> list[QAction]:
        """All of them; the first three have buttons."""
        return [
            self.acknowledge, self.shelve, self.history, self.unacknowledge, self.unshelve, self.disable, self.enable,
        ]  # fmt: skip

    def _action(self, label: str, key: str, do: Callable[[], None]) -> QAction:
        action = QAction(label, self)
        if key:
            action.setShortcut(QKeySequence(key))
            action.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        action.triggered.connect(lambda _=False: do())
        return action

    def set_targets(self, targets: Sequence[Target]) -> None:
        """What the actions are for from now on."""
        self.targets = list(targets)
        alarms = [target.alarm for target in targets if target.alarm is not None]
        areas = len(alarms) < len(targets)
        self.acknowledge.setEnabled(areas or any(alarm.look.waits for alarm in alarms))
        self.unacknowledge.setEnabled(areas or any(alarm.look.acknowledged for alarm in alarms))
        self.shelve.setEnabled(bool(targets))
        self.unshelve.setEnabled(areas or any(alarm.shelved is not None for alarm in alarms))
        self.disable.setEnabled(areas or any(not _off(alarm) for alarm in alarms))
        self.enable.setEnabled(areas or any(_off(alarm) for alarm in alarms))
        self.history.setEnabled(len(targets) == 1)
        self.more.setEnabled(bool(targets))

    def tell(self, text: str, failed: bool) -> None:
        """What came of it, in a line."""
        self.told.show_text(text)
        restyle(self.told, severity=2 if failed else 0)

    def do_acknowledge(self) -> None:
        """Acknowledge what waits; a question comes before many or an area."""
        chosen = [target for target in self.targets if target.alarm is None or target.alarm.look.waits]
        if not chosen:
            return
        count = sum(target.alarms for target in chosen)
        areas = any(target.alarm is None for target in chosen)
        if count < ASK_FROM and not areas:
            self._put(chosen, "Ack", 1, "Acknowledged")
        else:
            question = f"Acknowledge {words_for(chosen)}?\n\nWhoever acknowledges an alarm looks after it."
            ask(self, "Acknowledge", question, lambda: self._put(chosen, "Ack", 1, "Acknowledged"), urgent=True)

    def do_unacknowledge(self) -> None:
        """Let what was acknowledged wait again."""
        chosen = [target for target in self.targets if target.alarm is None or target.alarm.look.acknowledged]
        self._put(chosen, "Unack", 1, "Unacknowledged")

    def do_shelve(self) -> None:
        """Ask for how long and why, then shelve."""
        chosen = list(self.targets)
        if chosen:
            dialog = ShelveDialog(self, words_for(chosen), lambda text: self._put(chosen, "Shelve", text, "Shelved"))
            dialog.open()

    def do_unshelve(self) -> None:
        """Bring back what is shelved."""
        chosen = [target for target in self.targets if target.alarm is None or target.alarm.shelved is not None]
        self._put(chosen, "Shelve", "", "Unshelved")

    def do_disable(self) -> None:
        """Take out of service, after a question."""
        chosen = [target for target in self.targets if target.alarm is None or not _off(target.alarm)]
        question = (
            f"Disable {words_for(chosen)}?\n\nWhat is disabled does not come back by itself. "
            "To put it aside for a time, shelve it."
        )
        if chosen:
            ask(self, "Disable", question, lambda: self._put(chosen, "Enable", 0, "Disabled"))

    def do_enable(self) -> None:
        """Back into service."""
        chosen = [target for target in self.targets if target.alarm is None or _off(target.alarm)]
        self._put(chosen, "Enable", 1, "Enabled")

    def _put(self, targets: Sequence[Target], attribute: str, value: int | str, what: str) -> None:
        self.puts.put([target.pv(attribute) for target in targets], value, what)

    def _ask_log(self) -> None:
        if self.targets:
            self.log.emit(self.targets[0])


def _off(alarm: Alarm) -> bool:
    return not alarm.enabled or alarm.state == "NormalDisabled"


def _button(action: QAction, role: str, parent: QWidget) -> QPushButton:
    """A button that does what an action does, and is grey when that is."""
    button = QPushButton(action.text(), parent)
    button.setProperty("role", role)
    key = action.shortcut().toString()
    button.setToolTip(f"{action.text().strip(' …✓')}{f' (key {key})' if key else ''}")
    button.clicked.connect(lambda _=False: action.trigger())
    action.enabledChanged.connect(button.setEnabled)
    return button
