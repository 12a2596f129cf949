"""Thousands of reads or writes at once, without a coroutine for each.

What is connected is asked at once, and does not wait for what is not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from owlshift.ca import messages
from owlshift.ca.channel import Channel, State
from owlshift.ca.circuit import Circuit
from owlshift.ca.protocol import (
    ECA_NORDACCESS,
    ECA_NOWTACCESS,
    TIME_OFFSET,
    Access,
    CaDisconnectedError,
    CaError,
    CaTimeoutError,
    Command,
)
from owlshift.ca.requests import Pending, Reading, read_value, refusal, write_value

if TYPE_CHECKING:
    from asyncio import Future

_WAITING = object()
_READABLE = (Access.READ, Access.READ | Access.WRITE)
_WRITABLE = (Access.WRITE, Access.READ | Access.WRITE)


class Bulk:
    """One go of requests over channels of a client; `results` has the order of `channels`."""

    def __init__(self, channels: Sequence[Channel], pending: Pending, timeout: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._channels = channels
        self._pending = pending
        self._timeout = timeout
        self._results: list[Any] = [_WAITING] * len(channels)
        self._left = len(channels)
        self._everything: Future[None] = self._loop.create_future()
        self._waiting: dict[int, tuple[Future[Any], int]] = {}
        """Place -> what it waits for, and the number of its request (0: for the connection)."""
        self._done: Callable[[int], None] | None = None

    async def read(self) -> list[Reading | CaError]:
        """Read each channel."""
        await self._run(self._ask)
        return self._results

    async def write(
        self, values: Sequence[Any], done: Callable[[int], None] | None
    ) -> list[CaError | ValueError | TypeError | None]:
        """Write each channel with completion."""
        self._done = done
        await self._run(partial(self._put, values))
        return self._results

    def _ask(self, index: int, channel: Channel, circuit: Circuit) -> None:
        if channel.access not in _READABLE:
            self._settle(index, refusal(channel.name, ECA_NORDACCESS))
            return
        number, future = self._pending.add(channel.name, circuit)
        count = 1 if channel.count == 1 else 0 if circuit.minor_version >= 13 else channel.count
        code = channel.dbr + TIME_OFFSET
        circuit.send(messages.message(Command.READ_NOTIFY, b"", code, count, channel.sid, number))
        self._wait(index, number, future, self._read)

    def _read(self, index: int, future: Future[tuple[int, int, bytes]]) -> None:
        channel = self._channels[index]
        code, count, payload = future.result()
        if code != channel.dbr + TIME_OFFSET:
            raise CaError(f"{channel.name}: the server answered with data type {code}")
        self._settle(index, read_value(channel.name, code, count, payload, channel.count, channel.metadata.states))

    def _put(self, values: Sequence[Any], index: int, channel: Channel, circuit: Circuit) -> None:
        if channel.access not in _WRITABLE:
            self._settle(index, refusal(channel.name, ECA_NOWTACCESS))
            return
        try:
            dbr, count, payload = write_value(channel.name, values[index], channel.dbr, channel.count)
        except (ValueError, TypeError) as error:
            self._settle(index, error)
            return
        number, future = self._pending.add(channel.name, circuit)
        circuit.send(messages.message(Command.WRITE_NOTIFY, payload, dbr, count, channel.sid, number))
        self._wait(index, number, future, self._written)

    def _written(self, index: int, future: Future[None]) -> None:
        future.result()
        self._settle(index, None)

    async def _run(self, request: Callable[[int, Channel, Circuit], None]) -> None:
        """Ask all that are connected, the others as soon as they are, and wait until the time is up."""
        for index in range(len(self._channels)):
            self._begin(request, index)
        timer = self._loop.call_later(self._timeout, self._end)
        try:
            if self._left:
                await self._everything
        finally:
            timer.cancel()
            self._leave()

    def _begin(self, request: Callable[[int, Channel, Circuit], None], index: int, *_: Any) -> None:
        channel = self._channels[index]
        if channel.state is State.LIVE and channel.circuit is not None:
            request(index, channel, channel.circuit)
        elif channel.state is State.CLOSED:
            self._settle(index, CaDisconnectedError(f"{channel.name}: the client is closed"))
        else:
            waiter: Future[None] = self._loop.create_future()
            channel.waiters.append(waiter)
            self._wait(index, 0, waiter, partial(self._begin, request))

    def _wait(self, index: int, number: int, future: Future[Any], then: Callable[[int, Future[Any]], None]) -> None:
        self._waiting[index] = (future, number)
        future.add_done_callback(partial(self._answered, index, then))

    def _answered(self, index: int, then: Callable[[int, Future[Any]], None], future: Future[Any]) -> None:
        if self._waiting.pop(index, None) is None or future.cancelled():
            return
        try:
            then(index, future)
        except CaError as error:
            self._settle(index, error)

    def _settle(self, index: int, result: Any) -> None:
        self._results[index] = result
        self._left -= 1
        if self._done is not None:
            self._done(index)
        if not self._left:
            self._end()

    def _end(self) -> None:
        if not self._everything.done():
            self._everything.set_result(None)

    def _leave(self) -> None:
        """Forget what has not been answered."""
        for index, (future, number) in self._waiting.items():
            self._results[index] = late(self._channels[index], self._timeout)
            if number:
                self._pending.forget(number)
            if not future.cancel() and not future.cancelled():
                future.exception()  # answered in this very moment; nobody will ask for it
        self._waiting.clear()


def late(channel: Channel, timeout: float) -> CaTimeoutError:
    """The error of a channel that has not answered in time."""
    if channel.state is State.SEARCHING:
        return CaTimeoutError(f"{channel.name}: no server has it (searched for {timeout:g} s)")
    host = channel.circuit.host if channel.circuit is not None else "the server"
    return CaTimeoutError(f"{channel.name}: no answer from {host} within {timeout:g} s")
