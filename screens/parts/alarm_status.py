"""What is unusual about the alarm server itself, in a line: maintenance, silence, a log that is not written."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtWidgets import QLabel, QWidget

from screens.parts.pv import Pv

WELL = {"", "ok", "off", "connected", "on"}


def _on(pv: Pv) -> bool:
    return pv.value not in (None, 0)


def _ill(pv: Pv) -> bool:
    """What it says of itself is none of the words for all being well."""
    return pv.text.lower() not in WELL


Check = tuple[str, Callable[[Pv], bool], str]
CHECKS: tuple[Check, ...] = (
    ("Flood", _on, "FLOOD: more alarms than anybody can follow"),
    ("Maint", _on, "Maintenance mode: INVALID alarms acknowledge themselves"),
    ("Notify", lambda pv: pv.value == 0, "Notification is off: nobody is mailed"),
    ("Role", lambda pv: pv.text == "Standby", "This server stands by; another one is active"),
    ("LogState", _ill, "The alarm log: {text}"),
    ("StoreState", _ill, "The store of states: {text}"),
    ("KafkaState", _ill, "Kafka: {text}"),
)


class ServerStatus(QLabel):
    """Nothing while all is as usual."""

    def __init__(self, prefix: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "notice")
        self.setWordWrap(True)
        self.pvs = {name: Pv(f"{prefix}{name}", self, optional=True) for name, _, _ in CHECKS}
        for pv in self.pvs.values():
            pv.changed.connect(self._show)
        self._show()

    def channels(self) -> list:
        """PyDM's tools find the PVs by this."""
        return [pv.channel for pv in self.pvs.values()]

    def _show(self) -> None:
        words = []
        for name, wrong, text in CHECKS:
            pv = self.pvs[name]
            if pv.connected and pv.value is not None and wrong(pv):
                words.append(text.format(text=" ".join(pv.text.split())))
        self.setText("    ".join(words))
        self.setVisible(bool(words))
