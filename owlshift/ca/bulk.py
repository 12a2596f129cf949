"""Thousands of reads or writes at once: requests are gathered by circuit, and no coroutine is made for each."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
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
    from owlshift.ca.directory import Directory


@dataclass(slots=True)
class _Asked:
    index: int
    channel: Channel
    number: int
    future: asyncio.Future[Any]


class Bulk:
    """One go of requests over the channels of a client."""

    def __init__(self, directory: Directory, pending: Pending, timeout: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._directory = directory
        self._pending = pending
        self._timeout = timeout
        self._deadline = self._loop.time() + timeout

    async def read(self, channels: Sequence[Channel]) -> list[Reading | CaError]:
        """Read each channel."""
        await self._connected(channels)
        results: list[Any] = [None] * len(channels)
        asked: list[_Asked] = []
        out: defaultdict[Circuit, list[bytes]] = defaultdict(list)
        for index, channel in enumerate(channels):
            circuit = self._ready(channel, Access.READ, ECA_NORDACCESS, results, index)
            if circuit is None:
                continue
            number, future = self._pending.add(channel.name, circuit)
            asked.append(_Asked(index, channel, number, future))
            count = 1 if channel.count == 1 else 0 if circuit.minor_version >= 13 else channel.count
            code = channel.dbr + TIME_OFFSET
            out[circuit].append(messages.message(Command.READ_NOTIFY, b"", code, count, channel.sid, number))
        await self._answers(asked, out)
        for one in asked:
            results[one.index] = _taken(one, self._timeout, _decoded)
        return results

    async def write(
        self, channels: Sequence[Channel], values: Iterable[Any], done: Callable[[int], None] | None
    ) -> list[CaError | ValueError | TypeError | None]:
        """Write each channel with completion."""
        await self._connected(channels)
        results: list[Any] = [None] * len(channels)
        asked: list[_Asked] = []
        out: defaultdict[Circuit, list[bytes]] = defaultdict(list)
        for index, (channel, value) in enumerate(zip(channels, values, strict=True)):
            circuit = self._ready(channel, Access.WRITE, ECA_NOWTACCESS, results, index)
            if circuit is None:
                continue
            try:
                dbr, count, payload = write_value(channel.name, value, channel.dbr, channel.count)
            except (ValueError, TypeError) as error:
                results[index] = error
                continue
            number, future = self._pending.add(channel.name, circuit)
            if done is not None:
                future.add_done_callback(lambda _, index=index: done(index))
            asked.append(_Asked(index, channel, number, future))
            out[circuit].append(messages.message(Command.WRITE_NOTIFY, payload, dbr, count, channel.sid, number))
        await self._answers(asked, out)
        for one in asked:
            results[one.index] = _taken(one, self._timeout, _nothing)
        return results

    def _ready(self, channel: Channel, access: Access, status: int, results: list[Any], index: int) -> Circuit | None:
        """The circuit over which `channel` can be asked; None when it cannot, which `results` then says."""
        if channel.state is State.LIVE and channel.circuit is not None:
            if channel.access & access:
                return channel.circuit
            results[index] = refusal(channel.name, status)
        elif channel.state is State.CLOSED:
            results[index] = CaDisconnectedError(f"{channel.name}: the client is closed")
        else:
            results[index] = late(channel, self._timeout)
        return None

    async def _connected(self, channels: Iterable[Channel]) -> None:
        """Wait until all are connected, or it is too late for that."""
        waiters = []
        for channel in channels:
            if channel.state is not State.LIVE and channel.state is not State.CLOSED:
                waiter: asyncio.Future[None] = self._loop.create_future()
                channel.waiters.append(waiter)
                waiters.append(waiter)
        await self._wait(waiters)
        for waiter in waiters:
            waiter.cancel()

    async def _answers(self, asked: Sequence[_Asked], out: defaultdict[Circuit, list[bytes]]) -> None:
        """Send, and wait until all has been answered or the time is up."""
        try:
            for circuit, requests in out.items():
                circuit.send(b"".join(requests))
            await self._wait([one.future for one in asked])
        except asyncio.CancelledError:
            for one in asked:
                one.future.cancel()
                if not one.future.cancelled():
                    one.future.exception()  # nobody will ask for it
            raise
        finally:
            for one in asked:
                self._pending.forget(one.number)

    async def _wait(self, futures: Sequence[asyncio.Future[Any]]) -> None:
        """Wait for all, not longer than allowed; one callback each, without a task."""
        left = sum(not future.done() for future in futures)
        if not left:
            return
        everything: asyncio.Future[None] = self._loop.create_future()

        def ended(_: asyncio.Future[Any]) -> None:
            nonlocal left
            left -= 1
            if left == 0 and not everything.done():
                everything.set_result(None)

        for future in futures:
            if not future.done():
                future.add_done_callback(ended)
        timer = self._loop.call_at(self._deadline, lambda: everything.done() or everything.set_result(None))
        try:
            await everything
        finally:
            timer.cancel()
            for future in futures:
                future.remove_done_callback(ended)


def _taken(one: _Asked, timeout: float, decode: Callable[[Channel, Any], Any]) -> Any:
    future = one.future
    if not future.done():
        future.cancel()
        return late(one.channel, timeout)
    error = future.exception()
    if error is not None:
        return error
    try:
        return decode(one.channel, future.result())
    except CaError as problem:
        return problem


def _decoded(channel: Channel, answer: tuple[int, int, bytes]) -> Reading:
    code, count, payload = answer
    if code != channel.dbr + TIME_OFFSET:
        raise CaError(f"{channel.name}: the server answered with data type {code}")
    return read_value(channel.name, code, count, payload, channel.count, channel.metadata.states)


def _nothing(channel: Channel, answer: Any) -> None:
    return None


def late(channel: Channel, timeout: float) -> CaTimeoutError:
    """What a channel that has not answered in time is told as."""
    if channel.state is State.SEARCHING:
        return CaTimeoutError(f"{channel.name}: no server has it (searched for {timeout:g} s)")
    host = channel.circuit.host if channel.circuit is not None else "the server"
    return CaTimeoutError(f"{channel.name}: no answer from {host} within {timeout:g} s")
