"""Writes PVs until they have taken it: of several values for one PV, only the newest matters."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from owlshift.ca import CaError, Client

FIRST_PAUSE = 1.0
"""Seconds after a put that failed."""
LAST_PAUSE = 10.0
TIMEOUT = 5.0
"""Seconds for a put with its completion."""
_FITS = (4095, 2047, 1023, 511, 255, 127, 39)
"""Bytes to which a text is cut that is too long for its PV."""

Value = int | str
Done = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class _Wish:
    value: Value
    until: float | None
    """By the loop's clock; None: it is tried for ever."""
    done: Done


class PvWriter:
    """Puts values to PVs over a client, in the background.

    `done` is told of a first failure, after which it is tried again, and of the end.
    """

    def __init__(self, client: Client, pause: float = FIRST_PAUSE, timeout: float = TIMEOUT) -> None:
        self._client, self._pause, self._timeout = client, pause, timeout
        self._wishes: dict[str, _Wish] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._newer: dict[str, asyncio.Event] = {}

    def put(self, name: str, value: Value, done: Done, give_up: float | None = None) -> None:
        """Write it; what was still to be written to this PV is forgotten. After `give_up` seconds it is not tried."""
        until = None if give_up is None else asyncio.get_running_loop().time() + give_up
        self._wishes[name] = _Wish(value, until, done)
        if name in self._tasks:
            self._newer[name].set()
        else:
            self._newer[name] = asyncio.Event()
            self._tasks[name] = asyncio.create_task(self._write(name), name=f"put {name}")

    async def close(self) -> None:
        """Forget what is not written."""
        self._wishes.clear()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _write(self, name: str) -> None:
        pause, failed = self._pause, ""
        try:
            while (wish := self._wishes.get(name)) is not None:
                self._newer[name].clear()
                problem, final = await self._try(name, wish)
                if self._wishes.get(name) is not wish:
                    continue
                if not problem or final or self._late(wish):
                    del self._wishes[name]
                    wish.done(f"given up: {problem}" if problem else "written")
                    pause, failed = self._pause, ""
                    continue
                if not failed:
                    wish.done(f"not written, tried again: {problem}")
                failed = problem
                await self._wait(name, pause)
                pause = min(pause * 1.5, LAST_PAUSE)
        finally:
            del self._tasks[name], self._newer[name]

    async def _wait(self, name: str, pause: float) -> None:
        try:
            async with asyncio.timeout(pause):
                await self._newer[name].wait()
        except TimeoutError:
            pass

    def _late(self, wish: _Wish) -> bool:
        return wish.until is not None and asyncio.get_running_loop().time() >= wish.until

    async def _try(self, name: str, wish: _Wish) -> tuple[str, bool]:
        """("", …) when it is written, otherwise why not, and whether it never will be."""
        sizes = [None, *_FITS] if isinstance(wish.value, str) else [None]
        problem = ""
        for size in sizes:
            value = wish.value if size is None else _cut(str(wish.value), size)
            if size is not None and value == wish.value:
                continue
            try:
                await self._client.put(name, value, timeout=self._timeout)
            except CaError as error:
                return _reason(name, error), False
            except (ValueError, TypeError) as error:
                problem = _reason(name, error)
                continue
            return "", True
        return problem, True


def _cut(text: str, size: int) -> str:
    """At most `size` bytes of UTF-8."""
    return text.encode()[:size].decode(errors="ignore")


def _reason(name: str, error: Exception) -> str:
    return str(error).removeprefix(f"{name}: ")
