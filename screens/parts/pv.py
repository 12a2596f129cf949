"""A process variable as a Qt object, through PyDM's data plugins."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydm.widgets.channel import PyDMChannel
from qtpy.QtCore import QObject, Signal, Slot  # pyright: ignore[reportPrivateImportUsage]

from screens.parts import plugins

plugins.install()

SEVERITIES = ("NO_ALARM", "MINOR", "MAJOR", "INVALID", "DISCONNECTED")
"""Names of PyDM's severities 0 to 4."""

DISCONNECTED = 4


class Pv(QObject):
    """One PV. `changed` is emitted after whatever changes: value, severity, connection, access, limits.

    `value` is None until the first value has come. `severity` is 0 to 3 as in EPICS, 4 while disconnected.
    """

    changed = Signal()
    beat = Signal()
    """Emitted for every new value."""
    _put = Signal((int,), (float,), (str,), (np.ndarray,))  # pyright: ignore[reportArgumentType]

    def __init__(self, name: str, parent: QObject, optional: bool = False) -> None:
        """`optional`: a screen is whole without it."""
        super().__init__(parent)
        self.name = name
        self.optional = optional
        self.value: Any = None
        self.connected = False
        self.write_access = False
        self.units = ""
        self.enum_strings: tuple[str, ...] = ()
        self.limits: tuple[float, float] | None = None
        self._severity = 0
        self._lower = self._upper = 0.0
        self.channel = PyDMChannel(
            address=f"ca://{name}",
            connection_slot=self._on_connection,
            value_slot=self._on_value,
            severity_slot=self._on_severity,
            write_access_slot=self._on_access,
            enum_strings_slot=self._on_enum_strings,
            unit_slot=self._on_units,
            upper_ctrl_limit_slot=self._on_upper,
            lower_ctrl_limit_slot=self._on_lower,
            value_signal=self._put,
        )
        self.channel.connect()

    @property
    def severity(self) -> int:
        """0 NO_ALARM, 1 MINOR, 2 MAJOR, 3 INVALID, 4 disconnected."""
        return self._severity if self.connected else DISCONNECTED

    @property
    def text(self) -> str:
        """The value as text: the state's name of an enum, the characters of a char waveform."""
        return as_text(self.value, self.enum_strings)

    def put(self, value: int | float | str) -> None:
        """Write. A refusal comes back as a message of the IOC, never as an exception here."""
        self._put[type(value)].emit(value)  # pyright: ignore[reportIndexIssue]

    def put_text(self, text: str) -> None:
        """Write a text to a char waveform, in UTF-8."""
        self._put[np.ndarray].emit(np.frombuffer(text.encode() + b"\0", np.uint8))  # pyright: ignore[reportIndexIssue]

    @Slot(bool)
    def _on_connection(self, connected: bool) -> None:
        self.connected = bool(connected)
        if not connected:
            self.write_access = False
        self.changed.emit()

    @Slot(int)
    @Slot(float)
    @Slot(str)
    @Slot(bool)
    @Slot(np.ndarray)
    def _on_value(self, value: Any) -> None:
        self.value = value
        self.beat.emit()
        self.changed.emit()

    @Slot(int)
    def _on_severity(self, severity: int) -> None:
        self._severity = severity
        self.changed.emit()

    @Slot(bool)
    def _on_access(self, allowed: bool) -> None:
        self.write_access = bool(allowed)
        self.changed.emit()

    @Slot(tuple)
    def _on_enum_strings(self, strings: tuple[str, ...]) -> None:
        self.enum_strings = tuple(strings)
        self.changed.emit()

    @Slot(str)
    def _on_units(self, units: str) -> None:
        self.units = units
        self.changed.emit()

    @Slot(float)
    @Slot(int)
    def _on_upper(self, limit: float) -> None:
        self._upper = float(limit)
        self._limits_changed()

    @Slot(float)
    @Slot(int)
    def _on_lower(self, limit: float) -> None:
        self._lower = float(limit)
        self._limits_changed()

    def _limits_changed(self) -> None:
        self.limits = (self._lower, self._upper) if self._upper > self._lower else None
        self.changed.emit()


def as_text(value: Any, enum_strings: tuple[str, ...] = ()) -> str:
    """A PV's value as text; an empty text for None."""
    if value is None:
        return ""
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "iu":
            return bytes(value.astype(np.uint8)).split(b"\0", 1)[0].decode("utf-8", "replace")
        return ", ".join(str(item) for item in value.tolist())
    if enum_strings and isinstance(value, int) and 0 <= value < len(enum_strings):
        return enum_strings[value]
    return str(value)
