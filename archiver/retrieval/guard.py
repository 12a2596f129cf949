"""HTTP connections as uvicorn serves them, with bounds that it does not have itself.

A connection must send its request's head within a time and a size, and its body within a time; and there are only so
many connections, of one peer and in all. Who goes beyond gets a status and a sentence, and the connection is closed.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import get_remote_addr

HEAD_S = 20.0
"""Seconds that a connection has for the first line and the headers of a request."""
BODY_S = 120.0
"""Seconds that it has for the body."""
HEAD_BYTES = 64 << 10
READ_BYTES = 256 << 10
"""What the event loop reads at once, at most."""
URL_BYTES = 32 << 10
CONNECTIONS = 500
OF_ONE_PEER = 250

_REASONS = {
    408: "Request Timeout",
    414: "URI Too Long",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}


class Guarded(HttpToolsProtocol):
    """One connection. The numbers of open ones are kept for the whole process."""

    open_total = 0
    open_of: Counter[str] = Counter()
    """By the peer's address."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._patience: asyncio.TimerHandle | None = None
        self._peer: str | None = None
        self._began = False
        self._in_head = True
        self._received = self._headers = 0

    # the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, or refuse it when there are too many."""
        remote = get_remote_addr(transport)
        peer = remote[0] if remote else ""
        many = Guarded.open_total >= CONNECTIONS
        if many or Guarded.open_of[peer] >= OF_ONE_PEER:
            whose = "all together" if many else "of yours"
            most = CONNECTIONS if many else OF_ONE_PEER
            _refuse(transport, 503, f"There are {most} connections {whose}; try again when some are closed.")
            return
        Guarded.open_total += 1
        Guarded.open_of[peer] += 1
        self._peer = peer
        super().connection_made(transport)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._wait(HEAD_S)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._wait(None)
        if self._peer is None:  # refused
            return
        Guarded.open_total -= 1
        Guarded.open_of[self._peer] -= 1
        if not Guarded.open_of[self._peer]:
            del Guarded.open_of[self._peer]
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, unless the head gets too long."""
        if self._peer is None or self.transport.is_closing():
            return
        if self._in_head:
            # the parser itself takes a header of any length; what came with the head in one piece counts too
            self._received += len(data)
            if self._received > HEAD_BYTES + READ_BYTES:
                self._stop(431, f"The headers are longer than {HEAD_BYTES} bytes.")
                return
        super().data_received(data)

    # the parser's callbacks

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._began = self._in_head = True
        self._received = self._headers = 0
        self._wait(HEAD_S)

    def on_url(self, url: bytes) -> None:
        """A part of the first line."""
        super().on_url(url)
        if len(self.url) > URL_BYTES:
            self._stop(414, f"The address is longer than {URL_BYTES} bytes.")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        super().on_header(name, value)
        self._headers += len(name) + len(value)
        if self._headers > HEAD_BYTES:
            self._stop(431, f"The headers are longer than {HEAD_BYTES} bytes.")

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._in_head = False
        if self.transport.is_closing():
            return
        self._wait(BODY_S)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is there."""
        self._wait(None)
        if not self.transport.is_closing():
            super().on_message_complete()

    # bounds

    def _wait(self, seconds: float | None) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        if seconds is not None:
            self._patience = self.loop.call_later(seconds, self._late)

    def _late(self) -> None:
        what = "head" if self._in_head else "body"
        self._stop(408, f"The {what} of the request did not come in time.")

    def _stop(self, status: int, sentence: str) -> None:
        if self.transport.is_closing():
            return
        if self._in_head:  # the request before this one may still be being answered
            may_say = self._began and (self.cycle is None or self.cycle.response_complete)
        else:
            may_say = not self.cycle.response_started
        if may_say:
            _refuse(self.transport, status, sentence)
        else:
            self.transport.close()


def _refuse(transport: asyncio.Transport, status: int, sentence: str) -> None:
    body = (sentence + "\n").encode()
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\ncontent-type: text/plain; charset=utf-8\r\n"
        f"content-length: {len(body)}\r\naccess-control-allow-origin: *\r\nretry-after: 5\r\nconnection: close\r\n\r\n"
    )
    transport.write(head.encode("ascii") + body)
    transport.close()
