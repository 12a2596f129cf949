"""A time-out for a whole conversation over a socket, not just for each of its steps."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def cut_off(connection: Callable[[], socket.socket | None], seconds: float) -> Iterator[None]:
    """Within this, what is the connection after so many seconds is shut down, which ends whatever waits for it.

    TimeoutError in the place of what comes of that.
    """
    over = threading.Event()

    def shut() -> None:
        over.set()
        with contextlib.suppress(OSError):
            if (found := connection()) is not None:
                found.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(seconds, 0.0), shut)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Exception as error:
        if over.is_set():
            raise TimeoutError(f"not done within {seconds:g} s") from error
        raise
    finally:
        timer.cancel()
    if over.is_set():
        raise TimeoutError(f"not done within {seconds:g} s")
