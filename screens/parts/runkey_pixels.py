"""Pixel maps as pictures: one with a choice of layers, or two of them and their difference beside each other."""

from __future__ import annotations

from typing import cast

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import QPointF, QRectF, Qt, QTimer, Signal  # pyright: ignore[reportPrivateImportUsage]
from qtpy.QtGui import QImage, QPainter, QResizeEvent, QShowEvent
from qtpy.QtWidgets import QButtonGroup, QGraphicsGridLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from screens.parts.lines import FlowLayout
from screens.parts.plot import BACKGROUND, FOREGROUND
from screens.parts.runkey_maps import LAYERS, TDAC_MOST, difference, layer, summary
from screens.parts.widgets import caption

SIGNED = ("#3b6fd4", "#7fa6ee", "#20262c", "#f0b74a", "#fff2b0")
"""Negative blue, zero as dark as the background, positive yellow: told apart by every kind of colour vision."""
AROUND = 3
"""A single pixel that differs is drawn larger by so many on each side."""
BAR = 56
"""Width in pixels of a colour bar with its numbers."""
TWO = ("#2b3b55", "#ffd166")
"""No and yes, far apart in brightness."""


def colors_of(name: str, most: int = TDAC_MOST) -> tuple[pg.ColorMap, tuple[float, float]]:
    """The colours of a layer, and the values of the first and the last of them."""
    if name == "TDAC":
        return pg.ColorMap([0.0, 0.3, 0.5, 0.7, 1.0], SIGNED), (-float(most), float(most))
    return pg.ColorMap([0.0, 1.0], TWO), (0.0, 1.0)


class MapImage(pg.ImageItem):
    """Shrunk by averages over areas, so that a masked column between two dots of the screen is still seen.

    Qt alone drops columns, and a smooth transformation all but does. Enlarged, pixels stay sharp.
    """

    def paint(self, painter: QPainter, *args: object) -> None:
        """pyqtgraph's hook."""
        shape = painter.worldTransform()
        if self.image is None or min(abs(shape.m11()), abs(shape.m22())) >= 1:
            super().paint(painter, *args)
            return
        if self._renderRequired:  # before, the picture may be one of values that are gone
            self.render()
        target = shape.mapRect(self.boundingRect()).toAlignedRect()
        if self._unrenderable or target.isEmpty():
            return
        whole = cast(QImage, self.qimage)
        small = whole.scaled(
            target.size(), Qt.AspectRatioMode.IgnoreAspectRatio, Qt.TransformationMode.SmoothTransformation
        )
        painter.drawImage(self.boundingRect(), small)


class MapPlot(pg.PlotItem):
    """A map with columns to the right and rows up. `pointed` says at which pixel the cursor is: (-1, -1) for none."""

    pointed = Signal(int, int)

    def __init__(self, title: str = "") -> None:
        super().__init__()
        self.values = np.zeros((0, 0), np.int8)
        self.image = MapImage()
        self.addItem(self.image)
        self.box = cast(pg.ViewBox, self.getViewBox())
        self.setTitle(title or None, color=FOREGROUND, size="11pt")
        self.box.setAspectLocked(True)
        self.hideButtons()
        self.setMenuEnabled(False)
        for side, label in (("bottom", "Column"), ("left", "Row")):
            axis = self.getAxis(side)
            axis.setPen(FOREGROUND)
            axis.setTextPen(FOREGROUND)
            if not title:
                axis.setLabel(label, color=FOREGROUND)  # of several, there is no room for more than titles
        self.getAxis("left").setWidth(34 if title else 46)
        self.cross = [pg.InfiniteLine(angle=angle, pen=pg.mkPen("#ffffff70", width=1)) for angle in (90, 0)]
        for line in self.cross:
            line.setVisible(False)
            self.addItem(line, ignoreBounds=True)

    def show_values(self, values: np.ndarray, colors: pg.ColorMap, levels: tuple[float, float]) -> None:
        """Draw values of shape (cols, rows). A pixel is around its column and row, so that ticks hit its middle."""
        new_shape = values.shape != self.values.shape
        self.values = values
        self.image.setImage(values.astype(np.float32), autoLevels=False, levels=levels, colorMap=colors)
        self.image.setRect(QRectF(-0.5, -0.5, values.shape[0], values.shape[1]))
        if new_shape:
            self.fit()

    def fit(self) -> None:
        """Show all of the map, as large as there is room for."""
        cols, rows = self.values.shape
        self.box.setRange(xRange=(-0.5, cols - 0.5), yRange=(-0.5, rows - 0.5), padding=0.01)

    def pixel_at(self, scene: QPointF) -> tuple[int, int]:
        """Column and row under a point of the scene, (-1, -1) for none."""
        if not self.box.sceneBoundingRect().contains(scene):
            return -1, -1
        at = self.box.mapSceneToView(scene)
        col, row = round(at.x()), round(at.y())
        inside = 0 <= col < self.values.shape[0] and 0 <= row < self.values.shape[1]
        return (col, row) if inside else (-1, -1)

    def show_cross(self, col: int, row: int) -> None:
        """Mark a pixel, or none."""
        for line, value in zip(self.cross, (col, row), strict=True):
            line.setVisible(col >= 0)
            line.setValue(value)


class _Maps(QWidget):
    """Layer buttons, plots beside each other on one cursor and one range, a colour bar, and lines of text."""

    def __init__(self, titles: tuple[str, ...], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.layer = "TDAC"
        self.buttons: dict[str, QPushButton] = {}
        row = FlowLayout()
        group = QButtonGroup(self)
        for name in LAYERS:
            button = QPushButton(name, self)
            button.setCheckable(True)
            button.setChecked(name == self.layer)
            button.setProperty("role", "span")
            button.clicked.connect(lambda _=False, name=name: self.show_layer(name))
            group.addButton(button)
            row.addWidget(button)
            self.buttons[name] = button
        self.all = QPushButton("All", self)
        self.all.setProperty("role", "span")
        self.all.setToolTip("Show all of the map again; the wheel zooms, the left button moves")
        self.all.clicked.connect(lambda: self.fit())
        row.addWidget(self.all)
        self.readout = QLabel(self)
        self.readout.setProperty("role", "text")
        self.readout.setWordWrap(True)
        self.note = caption("", self)
        self.note.setWordWrap(True)
        self.graphics = pg.GraphicsLayoutWidget(self)
        self.graphics.setBackground(BACKGROUND)
        self.graphics.setMinimumHeight(140)
        self.plots = [MapPlot(title) for title in titles]
        self._columns: list[int] = []
        self._bars = 0
        self._grid = cast(QGraphicsGridLayout, self.graphics.ci.layout)
        for index, plot in enumerate(self.plots):
            self._place(plot, index if index < 2 else 3)
        self.bar = self._make_bar(min(len(self.plots), 2))
        self._moved = False
        for plot in self.plots:
            plot.box.sigRangeChangedManually.connect(lambda *_, plot=plot: self._follow(plot))
        cast(pg.GraphicsScene, self.graphics.scene()).sigMouseMoved.connect(self._point)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(row)
        column.addWidget(self.graphics, 1)
        column.addWidget(self.readout)
        column.addWidget(self.note)

    def _place(self, plot: MapPlot, column: int) -> None:
        """All plots are of one width."""
        self.graphics.ci.addItem(plot, 0, column)
        self._columns.append(column)

    def _make_bar(self, column: int) -> pg.ColorBarItem:
        bar = pg.ColorBarItem(values=(-TDAC_MOST, TDAC_MOST), interactive=False, width=14)
        bar.getAxis("right").setTextPen(FOREGROUND)
        self.graphics.ci.addItem(bar, 0, column)
        self._narrow(column)
        return bar

    def _narrow(self, column: int) -> None:
        self._grid.setColumnFixedWidth(column, BAR)
        self._bars += 1

    def _follow(self, moved: MapPlot) -> None:
        """What the user looks at in one map is shown in all of them."""
        self._moved = True
        for plot in self.plots:
            if plot is not moved:
                x, y = moved.box.viewRange()
                plot.box.setRange(xRange=x, yRange=y, padding=0)

    def fit(self) -> None:
        """Show all of the maps."""
        self._moved = False
        for plot in self.plots:
            plot.fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        room = self.graphics.width() - self._bars * BAR - 6 * (self._bars + len(self._columns)) - 20
        for column in self._columns:
            self._grid.setColumnFixedWidth(column, max(room / len(self._columns), 60))
        if not self._moved:
            QTimer.singleShot(0, self, self.fit)  # when the plots have their new sizes

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if not self._moved:
            QTimer.singleShot(0, self, self.fit)

    def show_layer(self, name: str) -> None:
        """Show TDAC, Enable, InjEn or Hitbus."""
        self.layer = name
        self.buttons[name].setChecked(True)
        self._draw()

    def _draw(self) -> None:
        raise NotImplementedError

    def _say(self, col: int, row: int) -> str:
        raise NotImplementedError

    def _show_bar(self) -> None:
        colors, levels = colors_of(self.layer)
        self.bar.setColorMap(colors)
        self.bar.setLevels(levels)
        signed = self.layer == "TDAC"
        ticks = [(v, f"{v:+d}" if v else "0") for v in range(-15, 16, 5)] if signed else [(0, "no"), (1, "yes")]
        self.bar.getAxis("right").setTicks([ticks])

    def _point(self, scene: QPointF) -> None:
        col, row = next((at for at in (plot.pixel_at(scene) for plot in self.plots) if at[0] >= 0), (-1, -1))
        self.point(col, row)

    def point(self, col: int, row: int) -> None:
        """Say what is at a pixel; (-1, -1): nothing is pointed at."""
        for plot in self.plots:
            plot.show_cross(col, row)
        self.readout.setText(self._say(col, row) if col >= 0 else "Point at a pixel to read it")


class PixelView(_Maps):
    """One map of a front end."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(("",), parent)
        self.pixels = np.zeros((1, 1), np.uint8)

    def show_pixels(self, pixels: np.ndarray) -> None:
        """Show a map, uint8 of shape (cols, rows)."""
        self.pixels = pixels
        self._draw()

    def _draw(self) -> None:
        colors, levels = colors_of(self.layer)
        self.plots[0].show_values(layer(self.pixels, self.layer), colors, levels)
        self._show_bar()
        cols, rows = self.pixels.shape
        self.note.setText(f"{summary(self.pixels, self.layer)}  ·  {cols} columns, {rows} rows")
        self.point(-1, -1)

    def _say(self, col: int, row: int) -> str:
        at = self.pixels[col : col + 1, row : row + 1]
        values = "  ".join(f"{name} {int(layer(at, name)[0, 0]):{'+d' if name == 'TDAC' else 'd'}}" for name in LAYERS)
        return f"col {col}  row {row}:  {values}"


class PixelDiffView(_Maps):
    """A map before, the same after, and what differs."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(("A: before", "B: after", "after − before"), parent)
        # the difference has values of its own
        self.shift_bar = self._make_bar(4)
        self.before = self.after = np.zeros((1, 1), np.uint8)

    def show_pair(self, before: np.ndarray, after: np.ndarray) -> None:
        """Show two maps, uint8 of one shape (cols, rows); ValueError for two shapes."""
        found = difference(before, after)
        self.before, self.after = before, after
        if not found.counts[self.layer]:
            # the first layer that has something to show
            self.layer = next((name for name in LAYERS if found.counts[name]), self.layer)
            self.buttons[self.layer].setChecked(True)
        for name, button in self.buttons.items():
            button.setText(f"{name} {found.counts[name]:,}")
        self.note.setText(found.text)
        self._draw()

    def _draw(self) -> None:
        colors, levels = colors_of(self.layer)
        before, after = layer(self.before, self.layer), layer(self.after, self.layer)
        self.plots[0].show_values(before, colors, levels)
        self.plots[1].show_values(after, colors, levels)
        shift = after.astype(np.int8) - before
        signed, _ = colors_of("TDAC")
        most = max(int(np.abs(shift).max()), 1)
        # sparse changes of one pixel would be lost between the dots of the screen
        self.plots[2].show_values(_widened(shift) if np.count_nonzero(shift) < 200 else shift, signed, (-most, most))
        self._show_bar()
        self.shift_bar.setColorMap(signed)
        self.shift_bar.setLevels((-most, most))
        step = max(most // 3, 1)
        self.shift_bar.getAxis("right").setTicks([[(v, f"{v:+d}" if v else "0") for v in _steps(most, step)]])
        self.point(-1, -1)

    def _say(self, col: int, row: int) -> str:
        parts = []
        for name in LAYERS:
            old, new = (int(layer(p[col : col + 1, row : row + 1], name)[0, 0]) for p in (self.before, self.after))
            if old != new or name == self.layer:
                parts.append(f"{name} {old} → {new}" if old != new else f"{name} {old}")
        return f"col {col}  row {row}:  {'  '.join(parts)}"


def _steps(most: int, step: int) -> list[int]:
    return list(range(-(most // step) * step, most + 1, step))


def _widened(shift: np.ndarray) -> np.ndarray:
    """Every value that is not 0 also at its neighbours, so that one pixel of 150,000 can be seen."""
    wide = shift.copy()
    for col, row in np.argwhere(shift):
        area = wide[max(col - AROUND, 0) : col + AROUND + 1, max(row - AROUND, 0) : row + AROUND + 1]
        area[area == 0] = shift[col, row]
    return wide


__all__ = ["MapPlot", "PixelDiffView", "PixelView", "colors_of"]
