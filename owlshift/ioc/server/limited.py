"""Logging that a hostile client cannot turn into a flood."""

from __future__ import annotations

import logging
import time


class LimitedLog:
    """Logs each kind of event at most once per `period` seconds and says how many it left out.

    At most `kinds` different kinds are remembered; beyond that all new ones share one.
    """

    def __init__(self, log: logging.Logger, period: float = 10.0, kinds: int = 200) -> None:
        self._log = log
        self._period = period
        self._kinds = kinds
        self._state: dict[str, tuple[float, int]] = {}

    def __call__(self, level: int, kind: str, text: str, *args: object, exc_info: BaseException | None = None) -> None:
        """Log `text % args` at `level` unless this `kind` was logged a moment ago."""
        now = time.monotonic()
        if kind not in self._state and len(self._state) >= self._kinds:
            self._state = {k: v for k, v in self._state.items() if now - v[0] < self._period}
            if len(self._state) >= self._kinds:
                kind = "other"
        last, left_out = self._state.get(kind, (float("-inf"), 0))
        if now - last < self._period:
            self._state[kind] = (last, left_out + 1)
            return
        self._state[kind] = (now, 0)
        if left_out:
            text += f" ({left_out} more like this since the last such line)"
        self._log.log(level, text, *args, exc_info=exc_info)
