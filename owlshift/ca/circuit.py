"""One TCP connection to a server: paced reads into a shared buffer, queued writes, liveness."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Protocol

import numpy as np

from owlshift.ca import messages
from owlshift.ca.addresses import Address
from owlshift.ca.channel import Channel
from owlshift.ca.events import MalformedError
from owlshift.ca.frames import MAX_MESSAGE, Group, split
from owlshift.ca.protocol import Command
from owlshift.ca.stats import Stats

log = logging.getLogger(__name__)

RECEIVE_BUFFER = 512 << 10
ECHO_TIMEOUT = 5.0
_READS_PER_TURN = 8
_ASSEMBLE_FROM = 32 << 10
"""A message of at least this many bytes that is not complete is gathered on its own."""
_SEND_PIECE = 256 << 10


class Handler(Protocol):
    """What a circuit tells."""

    def circuit_up(self, circuit: Circuit) -> None:
        """The connection is made."""
        ...

    def receive(self, circuit: Circuit, groups: list[Group]) -> None:
        """Take messages; MalformedError drops the circuit."""
        ...

    def circuit_closed(self, circuit: Circuit, reason: str, detail: str) -> None:
        """The circuit has ended."""
        ...


class Pacer:
    """Reads busy circuits together at a fixed pace, so that data gather meanwhile; quiet ones are read at once."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pace: float) -> None:
        self.loop = loop
        self.pace = pace
        self._busy: dict[Circuit, int] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, circuit: Circuit) -> None:
        """Read `circuit` at the pace until it falls silent."""
        self._busy[circuit] = 0
        if self._timer is None:
            self._timer = self.loop.call_later(self.pace, self._tick)

    def remove(self, circuit: Circuit) -> None:
        """Forget a closed circuit."""
        self._busy.pop(circuit, None)

    def _tick(self) -> None:
        began = self.loop.time()
        self._timer = None
        for circuit in list(self._busy):
            if circuit.read() > 0:
                if circuit in self._busy:
                    self._busy[circuit] = 0
            elif circuit in self._busy:
                self._busy[circuit] += 1
                if self._busy[circuit] >= 2:
                    del self._busy[circuit]
                    circuit.watch()
        if self._busy:
            self._timer = self.loop.call_at(max(began + self.pace, self.loop.time()), self._tick)

    def close(self) -> None:
        """Stop."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._busy.clear()


class Circuit:
    """One connection to a server at one priority."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        handler: Handler,
        pacer: Pacer,
        stats: Stats,
        buffer: np.ndarray,
        arrays: Callable[[], np.ndarray | None],
        address: Address,
        priority: int,
        number: int,
    ) -> None:
        self.address = address
        self.host = f"{address[0]}:{address[1]}"
        self.priority = priority
        self.number = number
        self.minor_version = 0
        self.channels: dict[int, Channel] = {}
        self.keep = False
        """A name server: stays open without channels."""
        self.paused = False
        self.has_arrays = False
        self.property_noise = 0
        self.up = False
        self.closed = False
        self.up_since = 0.0
        self.max_message = MAX_MESSAGE
        self._loop = loop
        self._handler = handler
        self._pacer = pacer
        self._stats = stats
        self._buffer = buffer
        self._view = buffer.data
        self._arrays = arrays
        self._socket: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None
        self._carry = b""
        self._large: bytearray | None = None
        self._large_size = 0
        self._out = bytearray()
        self._flush_due = False
        self._writing = False
        self._last_read = 0.0
        self._last_data = 0.0
        self._last_sent = 0.0
        self._echo_sent = 0.0

    def connect(self, timeout: float, user: str, host_name: str) -> None:
        """Begin to connect; what is sent meanwhile waits."""
        self._out += messages.greeting(self.priority, user, host_name)
        self._task = self._loop.create_task(self._connect(timeout), name=f"ca-connect-{self.host}")

    async def _connect(self, timeout: float) -> None:
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            async with asyncio.timeout(timeout):
                await self._loop.sock_connect(connection, self.address)
        except TimeoutError:
            connection.close()
            self.drop("cannot connect", f"no answer within {timeout:g} s")
            return
        except OSError as error:
            connection.close()
            self.drop("cannot connect", error.strerror or str(error))
            return
        except BaseException:
            connection.close()
            raise
        if self.closed:
            connection.close()
            return
        self._socket = connection
        self.up = True
        self.up_since = self._last_data = self._last_sent = self._loop.time()
        self._stats.circuits += 1
        self.watch()
        self._handler.circuit_up(self)
        self._flush()

    def watch(self) -> None:
        """Read as soon as something comes."""
        if self._socket is not None:
            self._loop.add_reader(self._socket.fileno(), self._readable)

    def _readable(self) -> None:
        if self._socket is None:
            return
        if self._loop.time() - self._last_read < self._pacer.pace:
            self._loop.remove_reader(self._socket.fileno())
            self._pacer.add(self)
        else:
            self.read()

    def read(self) -> int:
        """Take what has arrived; return the number of bytes."""
        total = 0
        now = self._last_read = self._loop.time()
        for _ in range(_READS_PER_TURN):
            if self._socket is None:
                break
            if self._large is not None:
                start, end = 0, min(self._large_size - len(self._large), len(self._view))
            else:
                start, end = len(self._carry), len(self._view)
                self._view[:start] = self._carry
            try:
                got = self._socket.recv_into(self._view[start:end])
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                self.drop("connection lost", error.strerror or str(error))
                break
            if got == 0:
                self.drop("closed by server")
                break
            total += got
            self._last_data = now
            self._echo_sent = 0.0
            self._stats.reads += 1
            self._stats.bytes_received += got
            if self._large is not None:
                self._large += self._view[:got]
                if len(self._large) == self._large_size:
                    whole, self._large = np.frombuffer(self._large, np.uint8), None
                    self._take(whole)
            else:
                self._take(self._buffer[: start + got])
                if start + got < end:
                    break
        return total

    def _take(self, data: np.ndarray) -> None:
        found = split(data, self._arrays() if self.has_arrays else None, self.max_message)
        try:
            self._handler.receive(self, found.groups)
        except MalformedError as error:
            self._stats.malformed += 1
            self.drop(str(error))
            return
        if self.closed:
            return
        if found.error:
            self._stats.malformed += 1
            self.drop(found.error)
            return
        self._carry = data[found.consumed :].tobytes()
        if found.needed >= _ASSEMBLE_FROM:
            self._large, self._large_size, self._carry = bytearray(self._carry), found.needed, b""

    def send(self, data: bytes) -> None:
        """Queue `data`; it goes out with all else that is queued in this turn of the loop."""
        if self.closed:
            return
        self._out += data
        if self.up and not self._flush_due and not self._writing:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    @property
    def unsent(self) -> int:
        """Bytes that wait for the server to read."""
        return len(self._out)

    def _flush(self) -> None:
        self._flush_due = False
        while self._out and self._socket is not None:
            try:
                with memoryview(self._out) as whole, whole[:_SEND_PIECE] as piece:
                    sent = self._socket.send(piece)
            except (BlockingIOError, InterruptedError):
                if not self._writing:
                    self._writing = True
                    self._loop.add_writer(self._socket.fileno(), self._flush)
                return
            except OSError as error:
                self.drop("connection lost", error.strerror or str(error))
                return
            del self._out[:sent]
            self._last_sent = self._loop.time()
        if self._writing and self._socket is not None:
            self._writing = False
            self._loop.remove_writer(self._socket.fileno())
        if not self._out:
            self._last_sent = self._loop.time()

    def check(self, now: float, timeout: float) -> None:
        """Ask a silent server whether it lives; drop one that does not answer, or does not read."""
        if not self.up or self.closed:
            return
        if self._out and now - self._last_sent > timeout:
            self.drop("server does not read", f"{len(self._out)} bytes wait since {timeout:g} s")
        elif self._echo_sent:
            if now - self._echo_sent > ECHO_TIMEOUT:
                self.drop("server does not answer", f"no echo within {ECHO_TIMEOUT:g} s")
        elif now - self._last_data > timeout:
            self._echo_sent = now
            self.send(messages.message(Command.ECHO))

    def drop(self, reason: str, detail: str = "") -> None:
        """End the circuit."""
        if self.closed:
            return
        self.closed = True
        self.up = False
        self._pacer.remove(self)
        connection, self._socket = self._socket, None
        if connection is not None:
            self._loop.remove_reader(connection.fileno())
            if self._writing:
                self._loop.remove_writer(connection.fileno())
            connection.close()
        task, self._task = self._task, None
        if task is not None and task is not _current_task() and not task.done():
            task.cancel()
        self._out.clear()
        self._carry = b""
        self._large = None
        self._handler.circuit_closed(self, reason, detail)


def _current_task() -> asyncio.Task[object] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
