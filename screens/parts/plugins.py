"""PyDM's data plugins, made to say the truth: about connections, and about the time of archived values.

PyDM 1.29 connects a listener in a thread: it asks whether the PV is connected, then tells the widgets. When libca's own
callback comes in between, its "connected" is followed by the stale "disconnected", and the widget stays grey for ever
although values arrive. Seen about once in 3000 connections, that is on one screen of 300 PVs in ten.
"""

from __future__ import annotations

import threading
from typing import Any

import epics
import numpy as np
from pydm.data_plugins import archiver_plugin, plugin_for_address
from pydm.data_plugins.epics_plugins.pyepics_plugin_component import Connection
from pydm.widgets.channel import PyDMChannel

from screens.archive import points_of


class SteadyConnection(Connection):
    """The last thing it says about the connection is true."""

    def __init__(self, channel: PyDMChannel, pv: str, protocol: str | None = None, parent=None) -> None:
        self._saying = threading.Lock()
        super().__init__(channel, pv, protocol, parent)

    def send_connection_state(self, conn: bool | None = None, *args, **kws) -> None:
        """PyDM's hook, called by libca's thread and by PyDM's own."""
        with self._saying:
            self.connected = bool(conn)
            self.connection_state_signal.emit(bool(conn))
        if conn:
            self.clear_cache()
            if hasattr(self, "pv"):
                self.reload_access_state()
                self.pv.run_callbacks()

    def add_listener(self, channel: PyDMChannel) -> None:
        """PyDM's hook."""
        super().add_listener(channel)
        for _ in range(3):
            now = bool(epics.ca.isConnected(self.pv.chid))
            if now == self.connected:
                break
            self.send_connection_state(conn=now)

    @property
    def has_value(self) -> bool:
        """Whether a value has come since the connection was made."""
        return self.connected and self._value is not None


class ArchiveConnection(archiver_plugin.Connection):
    """An archive's values at their full time; PyDM alone drops the nanoseconds and draws a ramp as a staircase."""

    def _send_raw_data(self, data_dict: Any) -> None:
        self.new_value_signal[np.ndarray].emit(points_of(data_dict))  # pyright: ignore[reportIndexIssue]


def install() -> None:
    """Let PyDM use these connections from now on. May be called again."""
    for address, theirs, ours in (
        ("ca://any", Connection, SteadyConnection),
        ("archiver://pv=any", archiver_plugin.Connection, ArchiveConnection),
    ):
        plugin = plugin_for_address(address)
        # PyDM imports its plugins by file name, so that its class there is another object of the same name
        if plugin is not None and plugin.connection_class.__name__ == theirs.__name__:
            plugin.connection_class = ours
