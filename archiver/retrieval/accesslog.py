"""A log of requests, a line each, in a file that may be moved away while it is written."""

from __future__ import annotations

import logging
import time
from logging.handlers import WatchedFileHandler
from pathlib import Path

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from archiver.retrieval.query import printable


class AccessLog:
    """The application, with a line in `path` for each request.

    `2026-11-20T08:00:00Z 192.0.2.7 GET /retrieval/data/getData.json?pv=A 200 12345 0.017`: status, bytes and seconds.
    What was cut off, or whose client left before there was an answer, has a `-` after the number of bytes.
    """

    def __init__(self, app: ASGIApp, path: Path) -> None:
        self._app = app
        self._log = logging.getLogger("archiver.retrieval.access")
        self._log.propagate = False
        self._log.setLevel(logging.INFO)
        handler = WatchedFileHandler(path, encoding="utf-8", delay=True)
        handler.setFormatter(logging.Formatter("%(message)s"))
        self._log.addHandler(handler)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.time()
        status, sent, complete = 0, 0, False

        async def counted(message: Message) -> None:
            nonlocal status, sent, complete
            await send(message)
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                sent += len(message.get("body", b""))
                complete = not message.get("more_body", False)

        try:
            await self._app(scope, receive, counted)
        finally:
            peer = (scope.get("client") or ("-",))[0]
            query = scope["query_string"].decode("latin-1")
            target = printable(scope["path"] + (f"?{query}" if query else ""), 2000).replace(" ", "%20")
            when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began))
            number = f"{sent}{'' if complete else '-'}"
            self._log.info(
                "%s %s %s %s %s %s %.3f", when, peer, scope["method"], target, status, number, time.time() - began
            )
