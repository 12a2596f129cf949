"""The format `.svg`: a plain drawing of one PV, with axes, for a browser, a logbook or an e-mail."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

import numpy as np

from archiver.retrieval.blocks import NS
from archiver.retrieval.pb import rectangle, text_of
from archiver.retrieval.source import Answer
from archiver.store import Dbr, Samples

OPERATOR = "optimizedSample_800"
"""What PVs of numbers are drawn of, unless the request names another operator."""
MOST_POINTS = 4000
"""Of other PVs, or of another operator's answer; what comes after is left out, and the drawing says so."""

WIDTH, HEIGHT = 900, 360
LEFT, RIGHT, TOP, BOTTOM = 84, 20, 34, 46
_STEPS_S = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30),
    *(60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200),
    *(86400 * days for days in (1, 2, 5, 7, 14, 30, 60, 91, 182, 365, 730, 1826, 3652)),
)
_STYLE = (
    "text{font:12px sans-serif;fill:#222}.t{font-size:14px;font-weight:bold}.g{stroke:#ddd}.a{stroke:#444}"
    ".l{fill:none;stroke:#1f5fa8;stroke-width:1.5}.d{fill:#1f5fa8}.b{fill:#1f5fa8;fill-opacity:.2}"
)


@dataclass(frozen=True)
class _Points:
    """Times (unix ns, i8) and what to draw there; `labels`: the names of whole numbers; `cut`: whether more follow."""

    time_ns: np.ndarray
    low: np.ndarray
    middle: np.ndarray
    high: np.ndarray
    labels: dict[int, str]
    cut: bool = False


def encode(answer: Answer) -> Iterator[bytes]:
    """The drawing: a line of steps; a band from minimum to maximum where a point stands for several values."""
    yield _drawing(answer, _points(answer)).encode()


def _points(answer: Answer) -> _Points:
    columns: list[np.ndarray] = []
    words: dict[str, int] = {}
    number = 0
    cut = False
    for batch in answer.batches:
        cut = len(batch) > MOST_POINTS - number
        batch = batch[: MOST_POINTS - number]
        number += len(batch)
        values = _values(batch, not answer.info.is_array, words)
        columns.append(np.concatenate([batch.time_ns[None].astype(float), values]))
        if number >= MOST_POINTS:
            cut = cut or next(answer.batches, None) is not None
            break
    table = np.concatenate(columns, axis=1) if columns else np.zeros((4, 0))
    labels = {place: word for word, place in words.items()}
    if answer.info.dbr is Dbr.ENUM:
        states = {key.removeprefix("ENUM_"): text for key, text in answer.metadata.items() if key.startswith("ENUM_")}
        labels |= {int(key): text for key, text in states.items() if key.isdigit()}
    return _Points(table[0], table[1], table[2], table[3], labels, cut)


def _values(batch: Samples, of_scalar: bool, words: dict[str, int]) -> np.ndarray:
    """Low, middle and high of each sample, (3, n)."""
    if batch.dbr is Dbr.STRING:
        lists = batch.values.tolist() if batch.array else [[value] for value in batch.values.tolist()]
        texts = [", ".join(text_of(value) for value in row) for row in lists]
        places = np.array([words.setdefault(text, len(words)) for text in texts], float)
        return np.stack([places] * 3)
    if not batch.array:
        return np.stack([batch.values.reshape(-1).astype(float)] * 3)
    values, present = rectangle(batch.values)
    wide = values.astype(float)
    if of_scalar and wide.shape[1] >= 4:  # statistics of a bin: mean, deviation, minimum, maximum, …
        return np.stack([wide[:, 2], wide[:, 0], wide[:, 3]])
    there = present & ~np.isnan(wide)
    none = ~there.any(axis=1)
    total = np.where(there, wide, 0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
    out = np.stack([np.where(there, wide, np.inf).min(axis=1), total, np.where(there, wide, -np.inf).max(axis=1)])
    out[:, none] = np.nan
    return out


def _drawing(answer: Answer, points: _Points) -> str:
    start, end = answer.ranges[0][0] / NS, answer.ranges[-1][1] / NS
    if end <= start:
        start, end = end - 1, end + 1
    seconds = np.maximum(points.time_ns / NS, start)
    good = np.isfinite(points.low) & np.isfinite(points.high)
    low, high = _reach(points.low[good], points.high[good])
    unit = answer.metadata.get("EGU", "")
    title = answer.requested + (f" [{unit}]" if unit else "")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}">',
        f"<title>{_escaped(title)}</title><style>{_STYLE}</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text class="t" x="{LEFT}" y="22">{_escaped(title)}</text>',
        *_time_axis(start, end),
        *_value_axis(low, high, points.labels),
        f'<path class="a" fill="none" d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>',
    ]
    if good.any():
        x = LEFT + (seconds - start) / (end - start) * (WIDTH - LEFT - RIGHT)
        y = [
            TOP + (high - np.where(good, v, low)) / (high - low) * (HEIGHT - TOP - BOTTOM)
            for v in (points.low, points.middle, points.high)
        ]
        parts += _curves(x, y[0], y[1], y[2], good)
    else:
        parts.append(f'<text x="{WIDTH // 2}" y="{HEIGHT // 2}" text-anchor="middle">no samples</text>')
    if points.cut:
        note = f"only the first {MOST_POINTS} samples are drawn"
        parts.append(f'<text x="{WIDTH - RIGHT}" y="22" text-anchor="end">{note}</text>')
    return "\n".join([*parts, "</svg>\n"])


def _escaped(text: str) -> str:
    return escape("".join(c if c.isprintable() else "?" for c in text_of(text)))


def _reach(low: np.ndarray, high: np.ndarray) -> tuple[float, float]:
    """The ends of the value axis: a little more than the values."""
    if not len(low):
        return 0.0, 1.0
    bottom, top = float(low.min()), float(high.max())
    bottom, top = max(bottom, -1e300), min(top, 1e300)
    margin = 0.05 * (top - bottom) or 0.5 * abs(top) or 1.0
    return bottom - margin, top + margin


def _curves(x: np.ndarray, low: np.ndarray, middle: np.ndarray, high: np.ndarray, good: np.ndarray) -> list[str]:
    parts = []
    edges = np.flatnonzero(np.diff(np.concatenate([[0], good.astype(np.int8), [0]])))
    for first, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        part = slice(first, stop)
        if (low[part] != high[part]).any():
            there = [f"{a:.1f},{b:.1f}" for a, b in zip(x[part], high[part], strict=True)]
            back = [f"{a:.1f},{b:.1f}" for a, b in zip(x[part][::-1], low[part][::-1], strict=True)]
            parts.append(f'<polygon class="b" points="{" ".join([*there, *back])}"/>')
        steps = "".join(f"H{a:.1f}V{b:.1f}" for a, b in zip(x[first + 1 : stop], middle[first + 1 : stop], strict=True))
        last = x[stop] if stop < len(x) else WIDTH - RIGHT
        parts.append(f'<path class="l" d="M{x[first]:.1f} {middle[first]:.1f}{steps}H{last:.1f}"/>')
    if good.sum() <= 100:
        parts += [
            f'<circle class="d" cx="{a:.1f}" cy="{b:.1f}" r="2"/>' for a, b in zip(x[good], middle[good], strict=True)
        ]
    return parts


def _time_axis(start: float, end: float) -> list[str]:
    step = next((s for s in _STEPS_S if (end - start) / s <= 8), (end - start) / 8)
    form = "%Y-%m-%d" if step >= 86400 else "%m-%d %H:%M" if end - start > 86400 else "%H:%M:%S"
    parts = []
    for number in range(math.ceil(start / step), math.floor(end / step) + 1):
        x = LEFT + (number * step - start) / (end - start) * (WIDTH - LEFT - RIGHT)
        moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=number * step)
        label = moment.strftime(form) + (f".{moment.microsecond // 1000:03}" if step < 1 else "")
        parts.append(f'<path class="g" d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{label}</text>')
    first = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=start)
    label = f"{first:%Y-%m-%d %H:%M:%S} UTC"
    parts.append(f'<text x="{LEFT}" y="{HEIGHT - 10}">{label}</text>')
    return parts


def _value_axis(low: float, high: float, labels: dict[int, str]) -> list[str]:
    raw = (high - low) / 6
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw)
    if labels:
        step = max(1.0, math.ceil(step))
    parts = []
    for number in range(math.ceil(low / step), math.floor(high / step) + 1):
        value = number * step
        y = TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM)
        label = labels.get(round(value), "") if labels else f"{value:.6g}"
        parts.append(f'<path class="g" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_escaped(label[:14])}</text>')
    return parts
