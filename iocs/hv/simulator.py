"""A line of simulated N1470 boards on a TCP port or a pseudo-terminal, and the faults of that line.

The model's time follows the wall clock, times `speed`. Several clients may be connected at once; each has a
conversation of its own with the same boards.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
import os
import socket
import time
import tty
from collections import deque
from collections.abc import Callable

from iocs.hv.model import Line
from iocs.hv.simulator_faults import Faults
from iocs.hv.simulator_protocol import END, Dialogue

log = logging.getLogger("hv.simulator")

TICK = 0.02
"""Seconds between steps of the model when nobody asks."""
FRESH = 0.01
"""Seconds: a question is answered from a model at most this old."""
KEEP = 1024
"""Bytes of an unfinished line that are kept."""
QUEUE = 256
"""Delayed replies per client before its questions have to wait."""


class Cable(enum.Enum):
    """The state of the line's cable."""

    PLUGGED = "plugged"
    PULLED = "pulled"
    """Connections are reset and new ones refused (on a serial line: silence)."""
    SILENT = "silent"
    """Connections stay and can be made, but nothing comes through."""


class Clock:
    """Lets the model's time follow the wall clock."""

    def __init__(self, line: Line, speed: float = 1.0) -> None:
        self._line = line
        self._speed = speed
        self._last = time.monotonic()

    @property
    def speed(self) -> float:
        """Model seconds per second."""
        return self._speed

    @speed.setter
    def speed(self, value: float) -> None:
        self.advance(0.0)
        self._speed = value

    def advance(self, at_least: float = FRESH) -> None:
        """Bring the model up to now when it is `at_least` seconds behind."""
        now = time.monotonic()
        if now - self._last >= at_least:
            elapsed, self._last = now - self._last, now
            self._line.advance(elapsed * self._speed)


class Counters:
    """What went over the line since the start."""

    def __init__(self) -> None:
        self.connections = self.requests = self.unanswered = self.errors = 0


class Conversation:
    """One client: bytes in, replies out through the line's faults."""

    def __init__(self, simulator: Simulator, send: Callable[[bytes], None], hold: Callable[[bool], None]) -> None:
        self._simulator = simulator
        self._send = send
        self._hold = hold
        self._tail = b""
        self._held = b""
        self._queue: deque[tuple[bytes, float]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._holding = False

    def feed(self, data: bytes) -> None:
        """Take what the client sent."""
        simulator = self._simulator
        if simulator.cable is not Cable.PLUGGED:
            return
        *lines, tail = (self._tail + data).split(END)
        self._tail = _bounded(tail)
        if not lines:
            return
        simulator.clock.advance()
        answer, counters = simulator.dialogue.answer, simulator.counters
        replies: list[bytes] = []
        for line in lines:
            counters.requests += 1
            reply = answer(line)
            if reply is None:
                counters.unanswered += 1
                continue
            if b":ERR" in reply:
                counters.errors += 1
            replies.append(reply)
        if simulator.faults.active or self._queue:
            self._send_through_faults(replies)
        elif replies:
            self._send(b"".join(replies))

    def close(self) -> None:
        """Forget everything: the client is gone."""
        self._queue.clear()
        self._tail = self._held = b""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _send_through_faults(self, replies: list[bytes]) -> None:
        faults = self._simulator.faults
        for reply in replies:
            out, self._held = faults.distort(int(reply[4:6]), reply, self._held)
            if not out:
                continue
            seconds = faults.seconds(out)
            if seconds <= 0 and not self._queue:
                self._send(out)
            elif faults.per_byte:
                self._queue += [(out[i : i + 4], seconds * 4 / len(out)) for i in range(0, len(out), 4)]
            else:
                self._queue.append((out, seconds))
        self._run_queue()

    def _run_queue(self) -> None:
        if self._timer is None and self._queue:
            self._timer = asyncio.get_running_loop().call_later(self._queue[0][1], self._send_next)
        full = len(self._queue) > (QUEUE // 2 if self._holding else QUEUE)
        if full != self._holding:
            self._holding = full
            self._hold(full)

    def _send_next(self) -> None:
        self._timer = None
        if self._queue:
            out, _ = self._queue.popleft()
            if self._simulator.cable is Cable.PLUGGED:
                self._send(out)
        self._run_queue()


def _bounded(tail: bytes) -> bytes:
    """An unfinished line, with a bound on its length that changes nothing of its answer."""
    if len(tail) <= KEEP:
        return tail
    tail = tail[max(0, tail.rfind(b"$")) :]
    if len(tail) <= KEEP:
        return tail
    return tail[: KEEP - 1] + (b"\r" if tail.endswith(b"\r") else b"?")


class _TcpClient(asyncio.Protocol):
    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._transport: asyncio.Transport | None = None
        self._pauses: set[str] = set()
        self.conversation: Conversation | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.Transport):
            raise TypeError(f"not a stream: {transport!r}")
        self._transport = transport
        self._simulator.counters.connections += 1
        self._simulator.clients.add(self)
        self.conversation = Conversation(self._simulator, self._write, lambda on: self._pause("queue", on))
        if self._simulator.cable is Cable.PULLED:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        if self.conversation is not None:
            self.conversation.feed(data)

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def pause_writing(self) -> None:
        self._pause("socket", True)

    def resume_writing(self) -> None:
        self._pause("socket", False)

    def connection_lost(self, exc: Exception | None) -> None:
        self._simulator.clients.discard(self)
        if self.conversation is not None:
            self.conversation.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _pause(self, reason: str, on: bool) -> None:
        """Read no more questions while replies pile up."""
        was = bool(self._pauses)
        (self._pauses.add if on else self._pauses.discard)(reason)
        if self._transport is None or self._transport.is_closing() or was == bool(self._pauses):
            return
        if self._pauses:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()


class _PtyClient:
    """The simulator's end of a pseudo-terminal."""

    def __init__(self, simulator: Simulator) -> None:
        self._master, self._slave = os.openpty()  # the slave stays open: without a reader there is no hang-up
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path = os.ttyname(self._slave)
        self._out = bytearray()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._master, self._read)
        self._reading = True
        self.conversation = Conversation(simulator, self._write, self._hold)

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self.conversation.feed(os.read(self._master, 65536))

    def _hold(self, on: bool) -> None:
        if on == self._reading:
            self._reading = not on
            if on:
                self._loop.remove_reader(self._master)
            else:
                self._loop.add_reader(self._master, self._read)

    def _write(self, data: bytes) -> None:
        if len(self._out) > 65536:
            return  # nobody reads; a serial line does not wait
        if not self._out:
            self._loop.add_writer(self._master, self._flush)
        self._out += data
        self._flush()

    def _flush(self) -> None:
        with contextlib.suppress(BlockingIOError):
            del self._out[: os.write(self._master, self._out)]
        if not self._out:
            self._loop.remove_writer(self._master)

    def close(self) -> None:
        self.conversation.close()
        self._loop.remove_reader(self._master)
        self._loop.remove_writer(self._master)
        os.close(self._master)
        os.close(self._slave)


class Simulator:
    """A line that answers. Use `listen` or `open_pty`, then `run`."""

    def __init__(self, line: Line, padded: bool = True, speed: float = 1.0) -> None:
        self.line = line
        self.dialogue = Dialogue(line, padded)
        self.clock = Clock(line, speed)
        self.faults = Faults()
        self.counters = Counters()
        self.clients: set[_TcpClient] = set()
        self.cable = Cable.PLUGGED
        self.address = ""
        """`tcp://host:port` or `serial:///dev/pts/n`."""
        self._place: tuple[str, int] | None = None
        self._server: asyncio.Server | None = None
        self._reserved: socket.socket | None = None
        self._pty: _PtyClient | None = None

    async def listen(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Serve on TCP, port 0 = a free one, and return the address; OSError when the port is in use."""
        self._server = await asyncio.get_running_loop().create_server(lambda: _TcpClient(self), host, port)
        host, port = self._server.sockets[0].getsockname()[:2]
        self._place = (host, port)
        self.address = f"tcp://{f'[{host}]' if ':' in host else host}:{port}"
        return self.address

    def open_pty(self) -> str:
        """Serve on a new pseudo-terminal and return its address."""
        self._pty = _PtyClient(self)
        self.address = f"serial://{self._pty.path}"
        return self.address

    async def run(self) -> None:
        """Let time pass until cancelled."""
        while True:
            await asyncio.sleep(TICK)
            self.clock.advance(0.0)

    async def set_cable(self, state: Cable) -> None:
        """Pull or plug the cable."""
        if state is Cable.PULLED:
            self._refuse()
        elif self._reserved is not None:
            reserved, self._reserved = self._reserved, None
            self._server = await asyncio.get_running_loop().create_server(lambda: _TcpClient(self), sock=reserved)
        self.cable = state
        log.info("cable %s", state.value)

    def _refuse(self) -> None:
        """Reset all clients and refuse new ones, but keep the port: bound and not listening."""
        for client in list(self.clients):
            client.abort()
        if self._server is None or self._place is None:
            return
        self._server.close()
        self._server = None
        family = socket.AF_INET6 if ":" in self._place[0] else socket.AF_INET
        reserved = socket.socket(family, socket.SOCK_STREAM)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(self._place)
        self._reserved = reserved

    async def close(self) -> None:
        """Stop serving."""
        for client in list(self.clients):
            client.abort()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        if self._reserved is not None:
            self._reserved.close()
        if self._pty is not None:
            self._pty.close()
