"""Work that blocks, on daemon threads: one that hangs keeps nobody from stopping the IOC."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Any, TypeVar

T = TypeVar("T")


async def on_thread(function: Callable[[], T], name: str) -> T:
    """`function()` on a thread of its own, what it raises included; when this is cancelled it goes on unheard."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    context = copy_context()

    def deliver(result: Any, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def work() -> None:
        result, failure = None, None
        try:
            result = context.run(function)
        except BaseException as error:
            failure = error
        try:
            loop.call_soon_threadsafe(deliver, result, failure)
        except RuntimeError:  # the loop has ended meanwhile: nobody waits any more
            return

    threading.Thread(target=work, name=name, daemon=True).start()
    return await future
