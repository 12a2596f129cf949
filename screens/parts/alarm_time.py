"""Spans of time for people. Imports no Qt."""

from __future__ import annotations


def span_text(seconds: float) -> str:
    """A span in its two greatest units: ``45 s``, ``12 min``, ``3 h 20 min``, ``2 d 4 h``."""
    minutes, rest = divmod(int(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    if not hours:
        return f"{minutes} min"
    days, hours = divmod(hours, 24)
    if not days:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{days} d {hours} h" if hours else f"{days} d"
