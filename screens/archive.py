"""What an archive answers, as points of a curve. Imports no Qt."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

INVALID = 3
"""EPICS severity."""


def points_of(answer: Any) -> np.ndarray:
    """Times in s and values, shape (2, n), of what getData.json answered.

    A value is NaN where nobody could vouch for it: INVALID, no number, or the archiver had lost the PV.
    """
    points: list[tuple[float, float]] = []
    for event in answer[0].get("data", []) if answer else []:
        value = event["val"]
        good = isinstance(value, (int, float)) and event.get("severity", 0) < INVALID
        lost = (event.get("fields") or {}).get("cnxlostepsecs")
        if lost is not None and points:
            points.append((max(float(lost), points[-1][0]), math.nan))
        points.append((event["secs"] + event.get("nanos", 0) / 1e9, float(value) if good else math.nan))
    return np.array(points, dtype=float).reshape(-1, 2).T
