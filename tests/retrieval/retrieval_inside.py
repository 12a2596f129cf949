"""Retrieval's application inside the test's process: over httpx alone, or on a real socket of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
import uvicorn

from archiver.retrieval.app import create_app
from archiver.retrieval.guard import Guarded


@asynccontextmanager
async def inside(reader: Any, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of `create_app(reader, **options)`."""
    transport = httpx.ASGITransport(create_app(reader, **options), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://inside", timeout=60) as client:
        yield client


@contextmanager
def on_a_socket(app: Any) -> Iterator[tuple[str, int]]:
    """The application served by a thread; its address."""
    config = uvicorn.Config(app, lifespan="off", log_level="critical", http=Guarded, ws="none")
    server = uvicorn.Server(config)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(64)
        thread = threading.Thread(target=lambda: asyncio.run(server._serve([sock])), daemon=True)
        thread.start()
        try:
            yield sock.getsockname()
        finally:
            server.should_exit = server.force_exit = True
            thread.join(60)
            assert not thread.is_alive()
