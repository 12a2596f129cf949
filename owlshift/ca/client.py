"""The Channel Access client: names in, batches of events out."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from owlshift.ca import messages
from owlshift.ca.addresses import CaAddresses
from owlshift.ca.batch import ChannelInfo, Sink
from owlshift.ca.beacons import Beacons
from owlshift.ca.bulk import Bulk, late
from owlshift.ca.channel import Channel, State
from owlshift.ca.directory import Directory
from owlshift.ca.protocol import (
    DBE,
    ECA_NORDACCESS,
    ECA_NOWTACCESS,
    TIME_OFFSET,
    Access,
    CaError,
    Command,
    Dbr,
)
from owlshift.ca.requests import Pending, Reading, read_value, refusal, write_value
from owlshift.ca.stats import Stats

DEFAULT_PACE = 0.015
"""Seconds for which the data of a busy circuit gather between two reads."""
DEFAULT_TIMEOUT = 5.0


class Client:
    """A vectorised Channel Access client in one asyncio event loop.

    `addresses`: where to search, from the `EPICS_CA_*` environment when None. `sink` receives events; without one the
    client is for `get` and `put`. `pace`: the longest time in seconds that data wait to be read, which sets the size of
    batches at high rates. `metadata`: ask for units, limits and states of channels, and follow their changes.
    """

    def __init__(
        self,
        addresses: CaAddresses | None = None,
        sink: Sink | None = None,
        *,
        pace: float = DEFAULT_PACE,
        metadata: bool = True,
    ) -> None:
        self.addresses = CaAddresses.from_environment() if addresses is None else addresses
        self.stats = Stats()
        self._sink = sink
        self._pace = pace
        self._metadata = metadata
        self._pending = Pending()
        self._directory: Directory | None = None
        self._beacons: Beacons | None = None
        self._by_name: dict[str, Channel] = {}

    async def start(self) -> None:
        """Open the sockets; OSError when that is not possible."""
        if self._directory is not None:
            raise RuntimeError("the client has been started")
        loop = asyncio.get_running_loop()
        directory = Directory(
            loop, self.addresses, self._sink, self.stats, self._pending, self._pace, _user(), self._metadata
        )
        directory.start()
        self._directory = directory
        self._beacons = Beacons(loop, self.addresses, self.stats, directory.boost)
        self._beacons.start()

    async def close(self) -> None:
        """Close all circuits and sockets; the sink hears nothing any more."""
        if self._beacons is not None:
            self._beacons.close()
        if self._directory is not None:
            self._directory.close()
        # one turn of the loop, in which cancelled connects end
        await asyncio.sleep(0)

    async def __aenter__(self) -> Client:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _running(self) -> Directory:
        if self._directory is None:
            raise RuntimeError("the client has not been started")
        return self._directory

    def subscribe(
        self, names: Iterable[str], mask: DBE = DBE.VALUE | DBE.ALARM, priority: int = 0
    ) -> NDArray[np.uint32]:
        """Subscribe to channels, found or not yet, and return their ids in the order of `names`.

        ValueError for a bad name.
        """
        if isinstance(names, str):
            raise TypeError("a list of names is needed")
        if not mask or not 0 <= priority <= 99:
            raise ValueError("an event mask, and a priority of 0 to 99, are needed")
        channels = self._running().add(names, mask, priority)
        for channel in channels:
            self._by_name.setdefault(channel.name, channel)
        return np.array([channel.id for channel in channels], dtype=np.uint32)

    def unsubscribe(self, ids: Iterable[int]) -> None:
        """Forget channels by id: no event of them is delivered after this call. Unknown ids are ignored."""
        directory = self._running()
        for number in (wanted := [int(one) for one in ids]):
            channel = directory.channels.get(number)
            if channel is not None and self._by_name.get(channel.name) is channel:
                del self._by_name[channel.name]
        directory.remove(wanted)

    def pause(self) -> None:
        """Ask the servers to hold events back: of each channel they keep the newest. Idempotent."""
        self._running().set_paused(True)

    def resume(self) -> None:
        """Let events flow again; the newest value of what changed meanwhile comes first. Idempotent."""
        self._running().set_paused(False)

    def info(self, channel: int) -> ChannelInfo | None:
        """What is known of a connected channel; None while it is not connected."""
        known = self._running().channels.get(int(channel))
        return known.info() if known is not None and known.state is State.LIVE else None

    @property
    def missing(self) -> list[str]:
        """Names that are subscribed to and not connected."""
        return [c.name for c in self._running().channels.values() if c.mask and c.state is not State.LIVE]

    @overload
    async def get(
        self, names: str, *, timeout: float = ..., as_string: bool = ..., return_exceptions: bool = ...
    ) -> Reading: ...

    @overload
    async def get(
        self, names: Sequence[str], *, timeout: float = ..., as_string: bool = ..., return_exceptions: bool = ...
    ) -> list[Any]: ...

    async def get(
        self,
        names: str | Sequence[str],
        *,
        timeout: float = DEFAULT_TIMEOUT,
        as_string: bool = False,
        return_exceptions: bool = False,
    ) -> Reading | list[Any]:
        """Read one channel, or several at once.

        `as_string`: let the server turn the value into text. CaError (CaTimeoutError, CaStatusError, …) when a value
        cannot be had within `timeout` seconds; with `return_exceptions` a list has the exceptions in the place of the
        values.
        """
        if isinstance(names, str):
            return await self._get(names, timeout, as_string)
        results = await asyncio.gather(*(self._get(name, timeout, as_string) for name in names), return_exceptions=True)
        if not return_exceptions:
            for result in results:
                if isinstance(result, BaseException):
                    raise result
        return list(results)

    async def _get(self, name: str, timeout: float, as_string: bool) -> Reading:
        directory = self._running()
        channel = self._channel(name)
        number = None
        try:
            async with asyncio.timeout(timeout):
                circuit = await directory.wait_live(channel)
                if not channel.access & Access.READ:
                    raise refusal(name, ECA_NORDACCESS)
                number, future = self._pending.add(name, circuit)
                dbr = Dbr.STRING if as_string else channel.dbr
                count = 1 if channel.count == 1 else 0 if circuit.minor_version >= 13 else channel.count
                circuit.send(messages.message(Command.READ_NOTIFY, b"", dbr + TIME_OFFSET, count, channel.sid, number))
                code, got, payload = await future
        except TimeoutError as error:
            raise late(channel, timeout) from error
        finally:
            if number is not None:
                self._pending.forget(number)
        if code != dbr + TIME_OFFSET:
            raise CaError(f"{name}: the server answered with data type {code} instead of {dbr + TIME_OFFSET}")
        return read_value(name, code, got, payload, channel.count, channel.metadata.states)

    async def put(self, name: str, value: Any, *, wait: bool = True, timeout: float = DEFAULT_TIMEOUT) -> None:
        """Write one channel; an enum also takes a state's label.

        With `wait` this returns when the server says that all is done, and CaStatusError says why it refused.
        ValueError or TypeError when the value cannot be of the channel's type.
        """
        directory = self._running()
        channel = self._channel(name)
        number = None
        try:
            async with asyncio.timeout(timeout):
                circuit = await directory.wait_live(channel)
                if not channel.access & Access.WRITE:
                    raise refusal(name, ECA_NOWTACCESS)
                dbr, count, payload = write_value(name, value, channel.dbr, channel.count)
                if not wait:
                    circuit.send(messages.message(Command.WRITE, payload, dbr, count, channel.sid, channel.id))
                    return
                number, future = self._pending.add(name, circuit)
                circuit.send(messages.message(Command.WRITE_NOTIFY, payload, dbr, count, channel.sid, number))
                await future
        except TimeoutError as error:
            raise late(channel, timeout) from error
        finally:
            if number is not None:
                self._pending.forget(number)

    async def read_many(self, names: Iterable[str], *, timeout: float = DEFAULT_TIMEOUT) -> list[Reading | CaError]:
        """Read thousands of channels in one go; the result has the names' order.

        Within `timeout` seconds for search, connection and all answers together. What cannot be had is a CaError in
        its place. ValueError, before anything is asked, for what can be no channel name.
        """
        self._running()
        return await Bulk([self._channel(name) for name in names], self._pending, timeout).read()

    async def write_many(
        self,
        values: Mapping[str, Any],
        *,
        timeout: float = DEFAULT_TIMEOUT,
        done: Callable[[int], None] | None = None,
    ) -> list[CaError | ValueError | TypeError | None]:
        """Write thousands of channels (name -> value) with completion, all at once.

        None where the server says that all is done; an exception where it refused, where no answer came within
        `timeout` seconds (the put may still be carried out), or where the value cannot be of the channel's type.
        `done` is called with the place of each that has been answered, or that failed before that time.
        """
        self._running()
        channels = [self._channel(name) for name in values]
        return await Bulk(channels, self._pending, timeout).write(list(values.values()), done)

    def access(self, name: str) -> Access | None:
        """What the server lets this client do with a channel that was read or written; None while disconnected."""
        channel = self._by_name.get(name)
        return channel.access if channel is not None and channel.state is State.LIVE else None

    def forget(self, names: Iterable[str]) -> None:
        """Let go of channels that were read or written, not subscribed to; unknown names are ignored."""
        found = [self._by_name[name] for name in names if name in self._by_name and not self._by_name[name].mask]
        for channel in found:
            del self._by_name[channel.name]
        self._running().remove(channel.id for channel in found)

    def _channel(self, name: str) -> Channel:
        channel = self._by_name.get(name)
        if channel is None or channel.state is State.CLOSED:
            channel = self._running().add([name], DBE(0), 0)[0]
            self._by_name[name] = channel
        return channel


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
