"""Pictures of pixel maps: PNG files for screens, and rows of characters for terminals.

Column 0 is on the left, row 0 at the bottom, as the axes say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from db.chips import png
from db.chips.differences import ENABLE, HITBUS, INJEN, OTHER, TDAC
from db.chips.pixels import Map, PixelMap
from db.chips.png import Color, Image

FIELDS = ("tdac", "enable", "injen", "hitbus")

_PAPER, _INK, _FRAME, _FIRST = 0, 1, 2, 3
_BASE: tuple[Color, ...] = ((255, 255, 255), (40, 40, 40), (150, 150, 150))
_BLUE, _MIDDLE, _RED = np.array((33, 72, 171)), np.array((240, 238, 232)), np.array((178, 24, 43))
_BLACK: Color = (0, 0, 0)
_ON: Color = (198, 219, 239)
_OFF: Color = (165, 15, 21)
_SAME: Color = (235, 235, 235)
_MASKED: Color = (0, 0, 0)
_UNMASKED: Color = (0, 158, 64)
_FLAGS: Color = (230, 159, 0)

_LEFT, _TOP, _BOTTOM = 40, 26, 34


@dataclass(slots=True)
class _Scale:
    """Colours with a word each, beside the map."""

    palette: list[Color]
    """Of the map's indices."""
    labels: list[tuple[int, str]]
    """Index and text, from the top down."""
    steps: bool = False
    """A bar of all colours beside those labels that are numbers; boxes for the others."""

    @property
    def bar(self) -> list[int]:
        """The indices of the bar that have a label."""
        numbers = (i for i, text in self.labels if not text[0].isalpha() or text == "same")
        return list(numbers) if self.steps else []

    @property
    def step(self) -> int:
        """Pixels of the picture per colour of the bar."""
        return max(4, min(16, 400 // (max(self.bar) - min(self.bar) + 1)))

    @property
    def height(self) -> int:
        """Pixels of the picture that all this takes."""
        bar = (max(self.bar) - min(self.bar) + 1) * self.step + 14 if self.bar else 0
        return bar + 22 * (len(self.labels) - len(self.bar))


def picture(array: Map, field: str = "tdac", *, title: str = "", scale: int = 0, legend: bool = True) -> bytes:
    """A PNG of one field of a pixel map: tdac, enable, injen or hitbus.

    In that of the TDACs masked pixels are black. `scale`: pixels of the picture per pixel of the chip, 0 chooses it;
    `legend`: with title, axes and colours explained, otherwise nothing but the map. ValueError for an unknown field.
    """
    pixels = PixelMap(array)
    if field == "tdac":
        tdac = pixels.tdac.astype(np.int16)
        low, high = (0, 31) if array.ndim == 3 else (-15, 15)
        values = (tdac - low).astype(np.uint8)
        values[~pixels.enable] = high - low + 1
        middle = 0 if low < 0 else (low + high) / 2
        palette = [*(_diverging((v - middle) / max(high - middle, 1)) for v in range(low, high + 1)), _BLACK]
        ticks = sorted({low, -10, -5, 0, 5, 10, high} if low < 0 else {low, 10, 20, high}, reverse=True)
        labels = [(v - low, f"{v:+d}" if low < 0 and v else str(v)) for v in ticks]
        labels.append((high - low + 1, f"masked {pixels.masked}"))
        live = tdac[pixels.enable]
        note = f"mean {live.mean():.2f}, rms {live.std():.2f}" if live.size else "all masked"
        scale_of = _Scale(palette, labels, steps=True)
    elif field in FIELDS:
        on: NDArray[np.bool_] = getattr(pixels, field)
        count = int(np.count_nonzero(on))
        values = on.astype(np.uint8)
        scale_of = _Scale([_OFF, _ON], [(1, f"on {count}"), (0, f"off {on.size - count}")])
        note = ""
    else:
        raise ValueError(f"{field} is none of {', '.join(FIELDS)}")
    heading = " ".join(part for part in (title, {"tdac": "TDAC"}.get(field, field.capitalize()), note) if part)
    return _draw(values, scale_of, heading, scale, legend)


def difference_picture(before: Map, after: Map, *, title: str = "", scale: int = 0, legend: bool = True) -> bytes:
    """A PNG of what differs: the shift of the TDAC in colours, newly masked black, newly enabled green.

    Orange: something else (InjEn, Hitbus, …) differs. ValueError when the maps are of different sizes.
    """
    if before.shape != after.shape:
        raise ValueError(f"maps of {list(before.shape)} and {list(after.shape)} pixels can't be compared")
    old, new = PixelMap(before), PixelMap(after)
    shift = new.tdac.astype(np.int16) - old.tdac
    most = max(4, int(np.abs(shift).max()))
    values = (shift + most).astype(np.uint8)
    steps = 2 * most + 1
    flags = (old.injen != new.injen) | (old.hitbus != new.hitbus)
    if before.ndim == 3:
        flags |= before[1] != after[1]
    masked, unmasked = old.enable & ~new.enable, new.enable & ~old.enable
    flags &= (shift == 0) & ~masked & ~unmasked
    for index, where in enumerate((flags, masked, unmasked)):
        values[where] = steps + index
    # a difference of one must be seen beside none
    palette = [_diverging(np.sign(s) * (0.25 + 0.75 * abs(s) / most)) if s else _SAME for s in range(-most, most + 1)]
    palette += [_FLAGS, _MASKED, _UNMASKED]
    half = most // 2
    labels = [(s + most, f"{s:+d}" if s else "same") for s in (most, half, 0, -half, -most)]
    labels += [
        (steps + i, f"{word} {np.count_nonzero(where)}")
        for i, (word, where) in enumerate((("flags", flags), ("masked", masked), ("unmasked", unmasked)))
    ]
    count = int(np.count_nonzero((shift != 0) | flags | masked | unmasked))
    heading = " ".join(part for part in (title, f"TDAC shift, {count} pixels differ") if part)
    return _draw(values, _Scale(palette, labels, steps=True), heading, scale, legend)


def changes_picture(changes: Map, *, title: str = "", scale: int = 0, legend: bool = True) -> bytes:
    """A PNG of `PixelDiff.map`: which field differs."""
    kinds = ((ENABLE, _MASKED, "Enable"), (TDAC, (178, 24, 43), "TDAC"), (INJEN, _FLAGS, "InjEn"))
    kinds += ((HITBUS, (0, 114, 178), "Hitbus"), (OTHER, (204, 121, 167), "other"))
    values = np.zeros(changes.shape, np.uint8)
    for index, (bit, _, _) in reversed(list(enumerate(kinds, 1))):
        values[(changes & bit) != 0] = index
    labels = [(i, f"{word} {np.count_nonzero(changes & bit)}") for i, (bit, _, word) in enumerate(kinds, 1)]
    scale_of = _Scale([_SAME, *(color for _, color, _ in kinds)], [*labels, (0, "same")])
    heading = " ".join(part for part in (title, f"{np.count_nonzero(changes)} pixels differ") if part)
    return _draw(values, scale_of, heading, scale, legend)


def _diverging(part: float) -> Color:
    """From -1, blue, to +1, red."""
    end = _RED if part > 0 else _BLUE
    red, green, blue = np.rint(_MIDDLE + (end - _MIDDLE) * min(1.0, abs(part))).astype(int)
    return int(red), int(green), int(blue)


def _draw(values: Map, scale_of: _Scale, heading: str, scale: int, legend: bool) -> bytes:
    cols, rows = values.shape
    scale = scale or max(1, 800 // max(cols, rows))
    body = np.kron(values.T[::-1], np.ones((scale, scale), np.uint8))
    if not legend:
        return png.png(body, scale_of.palette)
    body += np.uint8(_FIRST)
    height, width = body.shape
    words = max(png.width(text) for _, text in scale_of.labels)
    need = max(_LEFT + width + 20 + 24 + words, _LEFT + png.width(heading) + 8)
    tall = max(height, scale_of.height)
    image: Image = np.zeros((_TOP + tall + _BOTTOM, need), np.uint8)
    image[_TOP - 1 : _TOP + height + 1, _LEFT - 1 : _LEFT + width + 1] = _FRAME
    image[_TOP : _TOP + height, _LEFT : _LEFT + width] = body
    png.write(image, _LEFT, 9, heading, _INK)
    _axes(image, cols, rows, scale, height)
    _legend(image, _LEFT + width + 14, scale_of)
    return png.png(image, [*_BASE, *scale_of.palette])


def _axes(image: Image, cols: int, rows: int, scale: int, height: int) -> None:
    """Ticks each 50 or 100 columns and rows, and at the last."""
    for col in _ticks(cols):
        x = _LEFT + col * scale + scale // 2
        image[_TOP + height + 1 : _TOP + height + 5, x] = _INK
        text = str(col)
        png.write(image, x - png.width(text) // 2, _TOP + height + 8, text, _INK)
    for row in _ticks(rows):
        y = _TOP + height - 1 - row * scale - scale // 2
        image[y, _LEFT - 5 : _LEFT - 1] = _INK
        text = str(row)
        png.write(image, _LEFT - 7 - png.width(text), y - png.HEIGHT // 2, text, _INK)
    png.write(image, _LEFT + cols * scale // 2 - png.width("column") // 2, _TOP + height + 20, "column", _INK)
    png.write(image, 2, 9, "row", _INK)


def _ticks(count: int) -> list[int]:
    step = 50 if count >= 150 else 20
    return [*(n for n in range(0, count, step) if count - 1 - n >= step / 2), count - 1]


def _legend(image: Image, x: int, scale_of: _Scale) -> None:
    """A bar of colours with words beside some, then boxes; or boxes only."""
    y = _TOP
    boxes = scale_of.labels
    if scale_of.steps:
        bar, step = scale_of.bar, scale_of.step
        high, low = max(bar), min(bar)
        for index in range(high, low - 1, -1):
            top = y + (high - index) * step
            image[top : top + step, x : x + 18] = _FIRST + index
        for index, text in scale_of.labels:
            if index in bar:
                png.write(image, x + 24, y + (high - index) * step + step // 2 - png.HEIGHT // 2, text, _INK)
        y += (high - low + 1) * step + 14
        boxes = [(index, text) for index, text in scale_of.labels if index not in bar]
    for index, text in boxes:
        image[y : y + 14, x : x + 18] = _FRAME
        image[y + 1 : y + 13, x + 1 : x + 17] = _FIRST + index
        png.write(image, x + 24, y + 4, text, _INK)
        y += 22


_SHADES = " ░▒▓█"
_LEVELS = "▁▂▃▄▅▆▇█"


def coarse(array: Map, width: int = 72, height: int = 24, field: str = "tdac") -> list[str]:
    """A pixel map in characters for terminals: `height` lines of `width` characters and a line that explains them.

    Field tdac: the mean TDAC of the enabled pixels of each cell, in eighths of the range that occurs. Fields enable,
    injen and hitbus: how many of the pixels of a cell are off (enable) or on. Field changes, for `PixelDiff.map`: how
    many differ; in these a cell with at least one such pixel is never blank. ValueError for an unknown field.
    """
    pixels = PixelMap(array)
    cols, rows = (array.shape[1:] if array.ndim == 3 else array.shape)[:2]
    width, height = max(1, min(width, cols)), max(1, min(height, rows))
    if field == "tdac":
        live = pixels.enable
        counts = _cells(live.astype(np.int64), width, height)
        sums = _cells(np.where(live, pixels.tdac, 0).astype(np.int64), width, height)
        means = np.divide(sums, counts, out=np.full(counts.shape, np.nan), where=counts > 0)
        if np.isnan(means).all():
            return [*_text(np.full(counts.shape, " ")), "all masked"]
        low, high = float(np.nanmin(means)), float(np.nanmax(means))
        levels = (means - low) / ((high - low) or 1.0) * (len(_LEVELS) - 1)
        index = np.where(np.isnan(means), -1, np.rint(np.nan_to_num(levels))).astype(int)
        chars = np.array([*_LEVELS, " "])[index]
        return [*_text(chars), f"mean TDAC of a cell: {_LEVELS[0]} {low:+.2f} … {_LEVELS[-1]} {high:+.2f}"]
    if field == "changes":
        wanted, word = array != 0, "differ"
    elif field in FIELDS:
        wanted, word = (~pixels.enable, "masked") if field == "enable" else (getattr(pixels, field), "on")
    else:
        raise ValueError(f"{field} is none of {', '.join((*FIELDS, 'changes'))}")
    counts = _cells(wanted.astype(np.int64), width, height)
    total = _cells(np.ones((cols, rows), np.int64), width, height)
    shades = np.ceil(counts / total * (len(_SHADES) - 1)).astype(int)
    legend = f"{np.count_nonzero(wanted):,} of {wanted.size:,} pixels {word}: {_SHADES[1]} some … {_SHADES[-1]} all"
    return [*_text(np.array(list(_SHADES))[shades]), legend]


def _cells(values: NDArray[np.int64], width: int, height: int) -> NDArray[np.int64]:
    """Sums of values [cols, rows] over cells, as [width, height]."""
    cols, rows = values.shape
    sums = np.add.reduceat(values, np.arange(width) * cols // width, axis=0)
    return np.add.reduceat(sums, np.arange(height) * rows // height, axis=1)


def _text(chars: NDArray[np.str_]) -> Sequence[str]:
    return ["".join(line) for line in chars.T[::-1]]
