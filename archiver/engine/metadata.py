"""What a channel's metadata looks like in the store: text by the names that archive clients know."""

from __future__ import annotations

import math

from owlshift.ca.batch import ChannelInfo

_PAIRS = (
    ("display", "LOPR", "HOPR"),
    ("warning", "LOW", "HIGH"),
    ("alarm", "LOLO", "HIHI"),
    ("control", "DRVL", "DRVH"),
)


def metadata_of(info: ChannelInfo, description: str | None) -> dict[str, str]:
    """The metadata of a connected channel, without what its server didn't say and limits that are no numbers."""
    meta = info.metadata
    result = {"EAA_COUNT": str(info.count), "NELM": str(info.count)}
    if meta.units:
        result["EGU"] = meta.units
    if meta.precision is not None:
        result["PREC"] = str(meta.precision)
    for attribute, low, high in _PAIRS:
        limits = getattr(meta, attribute)
        if limits is not None:
            result |= {key: repr(float(v)) for key, v in ((low, limits[0]), (high, limits[1])) if math.isfinite(v)}
    result |= {f"ENUM_{i}": label for i, label in enumerate(meta.states)}
    if description:
        result["DESC"] = description
    return result
