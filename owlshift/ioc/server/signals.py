"""SIGTERM and SIGINT as a clean stop."""

from __future__ import annotations

import asyncio
import signal


def stop_on_signals(stop: asyncio.Event) -> None:
    """Set `stop` at the first SIGTERM or SIGINT, also where SIGINT is ignored (a job started with & from a script).

    The second signal of the same kind ends the process at once, as signals do.
    """
    loop = asyncio.get_running_loop()

    def arrived(number: int) -> None:
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_DFL)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, arrived, number)
