"""The Channel Access server of an IOC: listens, answers searches, sends beacons, and keeps count."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import socket
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any

from caproto import ChannelData

from . import beacon, feed, names
from .circuit import Circuit
from .limited import LimitedLog
from .search import AddressInUse, SearchResponder, explain
from .stream import Stream
from .wire import MAX_MESSAGE

log = logging.getLogger(__name__)


class CaServer:
    """Serves the PVs of `pvdb` over Channel Access.

    `pvdb` maps names to caproto ChannelData; it is asked with `in` and `[]` only, so names may be made when they are
    asked for. `interface` is an IPv4 address of this host, or 0.0.0.0; `port` is the UDP port of searches and the first
    TCP port tried. `on_clients(clients, channels)` is called soon after either number changed. `max_message` is the
    greatest payload in bytes (`max_answer`: of what the server sends), `max_circuits` the greatest number of clients
    (by default what the process' file descriptors allow), `max_channels` the greatest number of channels, and of
    monitors, of one client.

    Counters, for reading: `clients`, `channels`, `monitors`, `puts` (requests), `updates` (monitor events given to
    clients), `dropped_updates` (replaced by a newer value before a slow client could take them), `malformed_circuits`
    (dropped for a fault of the client's), `refused_circuits` (over `max_circuits`), `searches`, `malformed_datagrams`,
    `port` (TCP).
    """

    def __init__(
        self,
        pvdb: Mapping[str, ChannelData],
        *,
        interface: str = "127.0.0.1",
        port: int = 5064,
        on_clients: Callable[[int, int], None] | None = None,
        max_message: int = MAX_MESSAGE,
        max_answer: int | None = None,
        max_circuits: int | None = None,
        max_channels: int = 100_000,
    ) -> None:
        self.pvdb = pvdb
        self.interface = interface
        self.search_port = port
        self.port = 0
        self.max_message = max_message
        self.max_answer = max_message if max_answer is None else max_answer
        self.max_circuits = _descriptor_limit() if max_circuits is None else max_circuits
        self.max_channels = max_channels
        self.channels = 0
        self.monitors = 0
        self.puts = 0
        self.updates = 0
        self.dropped_updates = 0
        self.malformed_circuits = 0
        self.refused_circuits = 0
        self.put_bytes = 0
        """Bytes of the puts that wait or run."""
        self.limited = LimitedLog(log)
        self._on_clients = on_clients
        self._told = True
        self._stopping = False
        self._circuits: set[Circuit] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._responder: SearchResponder | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop the server runs in; RuntimeError before `run`."""
        if self._loop is None:
            raise RuntimeError("the server does not run yet")
        return self._loop

    @property
    def clients(self) -> int:
        """Circuits that are open."""
        return len(self._circuits)

    @property
    def searches(self) -> int:
        """Names asked for over UDP."""
        return self._responder.searches if self._responder else 0

    @property
    def malformed_datagrams(self) -> int:
        """Datagrams that made no sense."""
        return self._responder.malformed if self._responder else 0

    async def run(self, stop: asyncio.Event, on_ready: Callable[[], None] | None = None) -> None:
        """Serve until `stop` is set. `on_ready` is called once clients can connect.

        Raises AddressInUse, AddressNotAvailable or another OSError, with a text for the user, when it cannot listen.
        """
        loop = self._loop = asyncio.get_running_loop()
        listener = self._bind_tcp()
        self.port = listener.getsockname()[1]
        try:
            responder = self._responder = SearchResponder(
                self.interface, self.search_port, lambda: self.port, self.knows, self.limited
            )
        except BaseException:
            listener.close()
            raise
        server = await loop.create_server(lambda: Circuit(self), sock=listener, backlog=512)
        responder.start(loop)
        beacons = loop.create_task(
            beacon.send_beacons(
                responder.socket, self.interface, self.port, beacon.beacon_addresses(self.interface), _beacon_period()
            )
        )
        log.info("serving on %s, TCP port %d, searches on UDP port %d", self.interface, self.port, self.search_port)
        try:
            if on_ready is not None:
                on_ready()
            await stop.wait()
        finally:
            self._stopping = True
            beacons.cancel()
            responder.stop(loop)
            server.close()
            await self._shut_down(beacons)

    async def _shut_down(self, *tasks: asyncio.Task[None]) -> None:
        for circuit in list(self._circuits):
            circuit.close()
        everything = [*tasks, *self._tasks]
        for task in everything:
            task.cancel()
        await asyncio.gather(*everything, return_exceptions=True)
        await asyncio.sleep(0)
        for circuit in list(self._circuits):
            circuit.abort()
        while self._circuits:
            await asyncio.sleep(0)

    def _bind_tcp(self) -> socket.socket:
        """A listening socket on the wanted port, or on any when another IOC has it."""
        for port in (self.search_port, 0):
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.setblocking(False)
                sock.bind((self.interface, port))
                sock.listen(512)
            except OSError as error:
                sock.close()
                clear = explain(error, "TCP", self.interface, port)
                if port and isinstance(clear, AddressInUse | PermissionError):
                    continue
                raise clear from None
            return sock
        raise AddressInUse(f"no free TCP port on {self.interface}")

    def knows(self, name: str) -> bool:
        """Whether there is such a PV; one that would be made when it is asked for is not made for this."""
        try:
            return names.knows(self.pvdb, name)
        except Exception as error:
            self.limited(logging.ERROR, "find", "looking up %r", name[:100], exc_info=error)
            return False

    def find(self, name: str) -> names.Found | None:
        """The PV that a client means by `name`, with its modifiers; None when there is none."""
        try:
            return names.find(self.pvdb, name)
        except Exception as error:  # a fault in the PV list must cost no more than this name
            self.limited(logging.ERROR, "find", "looking up %r", name[:100], exc_info=error)
            return None

    def feed(self, pv: ChannelData) -> feed.Feed:
        """The PV's feed, made at the first call."""
        return feed.attach(self, pv)

    def name_of(self, pv: ChannelData) -> str:
        """What to call a PV in a log line."""
        return str(getattr(pv, "pvname", None) or getattr(pv, "name", None) or type(pv).__name__)

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine as a task of the server, which outlives the circuit that asked for it."""
        task = self.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def refresh_access(self) -> None:
        """The access rules changed: every client is told of every right that is different now."""
        for circuit in list(self._circuits):
            circuit.refresh_access()

    def circuit_opened(self, circuit: Circuit) -> bool:
        """A client connected. False: there are too many, it must go."""
        if self._stopping:
            return False
        if len(self._circuits) >= self.max_circuits:
            self.refused_circuits += 1
            self.limited(
                logging.WARNING, "full", "%d clients are connected; %s:%d refused", self.clients, *circuit.peer
            )
            return False
        self._circuits.add(circuit)
        self._changed()
        return True

    def circuit_closed(self, circuit: Circuit) -> None:
        """A client is gone."""
        self._circuits.discard(circuit)
        self._changed()

    def channel_opened(self) -> None:
        """A client opened a PV."""
        self.channels += 1
        self._changed()

    def channel_closed(self) -> None:
        """A client closed a PV."""
        self.channels -= 1
        self._changed()

    def malformed(self, circuit: Stream, reason: str) -> None:
        """A circuit is dropped for what its client sent."""
        self.malformed_circuits += 1
        self.limited(
            logging.WARNING,
            "malformed",
            "dropped the circuit of %s@%s: %s",
            circuit.user or "?",
            circuit.peer[0],
            reason,
        )

    def _changed(self) -> None:
        if self._told and self._on_clients is not None:
            self._told = False
            self.loop.call_soon(self._tell)

    def _tell(self) -> None:
        self._told = True
        if self._on_clients is not None:
            try:
                self._on_clients(self.clients, self.channels)
            except Exception as error:
                self.limited(logging.ERROR, "on_clients", "counting clients", exc_info=error)


def _descriptor_limit() -> int:
    """Clients that fit the process' file descriptors, some left for the IOC itself."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 4096 if soft == resource.RLIM_INFINITY else max(16, min(4096, soft - 128))


def _beacon_period() -> float:
    with suppress(ValueError):
        period = float(os.environ.get("EPICS_CAS_BEACON_PERIOD", ""))
        if period > 0:
            return max(period, beacon.FIRST_PERIOD)
    return beacon.LONGEST_PERIOD
