"""A live plot with its archived past, that draws no line where nobody can vouch for the value."""

from __future__ import annotations

import math
import os
import time
from typing import cast

import numpy as np
import pyqtgraph
from pydm.widgets.archiver_time_plot import ArchivePlotCurveItem, PyDMArchiverTimePlot
from pydm.widgets.timeplot import PyDMTimePlot
from qtpy.QtCore import Qt, QTimer, Signal, Slot  # pyright: ignore[reportPrivateImportUsage]
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QWidget

BACKGROUND = "#161b20"
FOREGROUND = "#c9d3dc"
UPDATE_INTERVAL = 0.5
"""Seconds between two points of a curve: PyDM's own "on change" draws nothing at all for a value that stays."""
LIVE_POINTS = 18_000
REFILL_INTERVAL = 3600.0
"""Seconds after which the archive is asked again; shorter than the live points last, so that no gap opens."""


class Curve(ArchivePlotCurveItem):
    """A curve with gaps where its PV was disconnected or INVALID."""

    def __init__(self, *args, **kwargs) -> None:
        self._value = math.nan
        self._invalid = True
        self.archive_answered = False
        super().__init__(*args, **kwargs)

    @Slot(float)
    @Slot(int)
    def receiveNewValue(self, new_value: float) -> None:
        """PyDM's hook."""
        self._value = float(new_value)
        super().receiveNewValue(new_value)
        self._honest()

    @Slot(int)
    def severityChanged(self, severity: int) -> None:
        """PyDM's hook."""
        super().severityChanged(severity)
        self._invalid = severity >= 3
        self._honest()

    @Slot(bool)
    def connectionStateChanged(self, connected: bool) -> None:
        """PyDM's hook. A connection begins with an unknown value: the first one follows."""
        super().connectionStateChanged(connected)
        self._value = math.nan
        self._invalid = False
        self._honest()

    @Slot(np.ndarray)
    def receiveArchiveData(self, data: np.ndarray) -> None:
        """PyDM's hook. An archive that has nothing answers with no points, which PyDM would stumble over."""
        self.archive_answered = True
        if data.ndim == 2 and data.shape[1]:
            super().receiveArchiveData(data)

    @Slot(bool)
    def archiveConnectionStateChanged(self, connected: bool) -> None:
        """PyDM's hook: an archive that failed has answered, too."""
        super().archiveConnectionStateChanged(connected)
        if not connected:
            self.archive_answered = True

    def _honest(self) -> None:
        self.latest_value = math.nan if self._invalid else self._value


class TimePlot(PyDMArchiverTimePlot):
    """Curves over time, each with an axis of its own. The time axis follows the clock until the user moves it."""

    following_changed = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent, background=BACKGROUND)
        self.updateMode = PyDMTimePlot.AtFixedRate
        self.updateInterval = UPDATE_INTERVAL
        self.maxRedrawRate = 2
        self.bufferSize = LIVE_POINTS
        self._has_archive = bool(os.environ.get("PYDM_ARCHIVER_URL"))
        self._refill = QTimer(self)
        self._refill.setInterval(int(REFILL_INTERVAL * 1000))
        self._refill.timeout.connect(lambda: self.requestDataFromArchiver())
        self._refill.start()
        self.setShowXGrid(True, 0.25)
        self.setMinimumHeight(160)
        self.mouseEnabledX = True
        self.following = True
        self._ranges: dict[str, tuple[float, float]] = {}
        self.plot_redrawn_signal.connect(self._fit)
        self.plotItem.sigXRangeChangedManually.connect(self._hold)
        pyqtgraph.setConfigOptions(antialias=True)
        bottom = self.getAxis("bottom")
        bottom.setPen(FOREGROUND)
        bottom.setTextPen(FOREGROUND)

    def channels(self) -> list:
        """PyDM's hook, by which a screen is disconnected: from the archive as well as from the live PVs."""
        return [channel for curve in self._curves for channel in curve.channels() if channel is not None]

    def createCurveItem(self, *args, **kwargs) -> Curve:
        """PyDM's hook."""
        curve = Curve(*args, **kwargs)
        curve.archive_data_received_signal.connect(self.archive_data_received)
        curve.prompt_archive_request.connect(self.requestDataFromArchiver)
        return curve

    def add(
        self, name: str, axis: str, orientation: str, label: str, color: str, least: float, share: float = 1.0
    ) -> Curve:
        """Add the PV `name` with an axis of its own on the `left` or `right`.

        `least` is the smallest range that the axis shows, in the PV's unit, so that noise does not look like trouble.
        The curve takes the lower `share` of the height, so that two curves of one shape do not cover each other.
        """
        self.addAxis(plot_data_item=None, name=axis, orientation=orientation, label=label)
        curve = self.addYChannel(
            f"ca://{name}",
            name=label,
            color=QColor(color),
            lineWidth=2,
            lineStyle=Qt.PenStyle.SolidLine,
            yAxisName=axis,
            useArchiveData=self._has_archive,
        )
        curve.opts["connect"] = "finite"
        curve.stepMode = "right"  # a monitored value holds until the next one
        item = self.plotItem.getAxis(axis)
        item.setPen(color)
        item.setTextPen(color)
        item.setLabel(label, color=color, **{"font-size": "13pt", "font-weight": "bold"})
        self._ranges[axis] = (least, share)
        return cast(Curve, curve)

    def show_last(self, seconds: float) -> None:
        """Let the time axis show the last `seconds`, and ask the archive for what is not here yet."""
        self.following = True
        self.following_changed.emit(True)
        self._min_x = time.time() - seconds
        self.setTimeSpan(seconds)
        self.setAutoScroll(True, timespan=seconds, padding=0.0, refresh_rate=1000)

    def _hold(self) -> None:
        """The user has moved or zoomed: stay there."""
        self.setAutoScroll(False)
        self.following = False
        self.following_changed.emit(False)

    def _fit(self, curve: Curve) -> None:
        """Fit the axis of a curve to what is visible of it."""
        if not self.following or curve.y_axis_name not in self._ranges:
            return
        view = self.plotItem.getAxis(curve.y_axis_name).linkedView()
        x, y = curve.getData()
        if x is None or y is None:
            return
        left, right = view.viewRange()[0]
        y = y[(x >= left) & (x <= right) & np.isfinite(y)]
        if not len(y):
            return
        least, share = self._ranges[curve.y_axis_name]
        low, high = float(y.min()), float(y.max())
        if high - low < least:
            middle = (low + high) / 2
            low, high = middle - least / 2, middle + least / 2
            if y.min() >= 0 > low:
                low, high = 0.0, least
        height = (high - low) / share
        view.setYRange(low - 0.04 * height, low + 1.04 * height, padding=0)

    def answered(self) -> bool:
        """Whether the archive has answered, or failed, for every curve; true when there is none."""
        return not self._has_archive or all(
            curve.archive_answered for curve in self._curves if isinstance(curve, Curve)
        )
