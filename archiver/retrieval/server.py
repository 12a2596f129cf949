"""The retrieval process: sockets, uvicorn, signals and the line that says it is ready."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import signal
import socket
import sys
from collections.abc import Iterator, Sequence

import numpy as np
import uvicorn

from archiver.retrieval import text
from archiver.retrieval.guard import Guarded
from archiver.retrieval.mounts import Place, application
from archiver.store import Dbr, Samples
from owlshift.kinds import LOG_FORMAT

log = logging.getLogger("archiver.retrieval")

STOP_S = 3
"""Seconds that open answers have when the process is told to stop."""


def warm_up() -> None:
    """Have libraries load what they load when they are first used, so that no first answer waits for it."""
    zeros = np.zeros(2)
    times = np.array([0, 1], np.int64)
    samples = Samples(Dbr.DOUBLE, False, times, zeros.astype(np.uint8), zeros.astype(np.uint16), zeros)
    for _ in text.json_stream([({"name": ""}, [samples])]):
        pass


class CannotListen(Exception):  # noqa: N818
    """An address cannot be listened on; str() is one clear line."""


class _Server(uvicorn.Server):
    """uvicorn, with signals left to us (it would end the process by the signal) and our `ready` line."""

    urls: tuple[str, ...] = ()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print("ready", *self.urls, flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let answers end that can in `STOP_S`; then cut the others off, which ends their work too."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        for _ in range(STOP_S * 20):
            if not self.server_state.tasks:
                break
            await asyncio.sleep(0.05)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await super().shutdown(sockets)


def listen(addresses: Sequence[str]) -> list[socket.socket]:
    """Listening TCP sockets for `host:port` addresses (`[::1]:17665` too; port 0: any); CannotListen when one fails."""
    sockets: list[socket.socket] = []
    try:
        for address in addresses:
            sockets.append(_listen(address))
    except BaseException:
        for opened in sockets:
            opened.close()
        raise
    return sockets


def _listen(address: str) -> socket.socket:
    host, colon, port = address.rpartition(":")
    host = host.strip("[]")
    if not colon or not host or not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise CannotListen(f"{address!r} is no address to listen on; write host:port, such as 127.0.0.1:17665")
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        raise CannotListen(f"cannot listen on {address}: {error.strerror or error}") from error
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(place)
        sock.listen(256)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise CannotListen(f"cannot listen on {address}: another process does already") from error
        raise CannotListen(f"cannot listen on {address}: {error.strerror or error}") from error
    return sock


def url_of(sock: socket.socket) -> str:
    """`http://host:port` of a listening socket."""
    host, port = sock.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


async def _serve(place: Place, sockets: list[socket.socket]) -> None:
    config = uvicorn.Config(
        application(place),
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=STOP_S,
        http=Guarded,
        ws="none",
    )
    server = _Server(config)
    server.urls = tuple(url_of(s) for s in sockets)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, setattr, server, "should_exit", True)
    await server.serve(sockets)


def run(place: Place, addresses: Sequence[str]) -> int:
    """Serve an archive until SIGTERM or SIGINT. Returns the exit code: 0, or 1 when it cannot start."""
    try:
        sockets = listen(addresses)
    except CannotListen as error:
        print(f"archiver retrieval: {error}", file=sys.stderr)
        return 1
    warm_up()  # before there is a log: some libraries greet in it
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.asgi"):
        # garbage from the network is not worth a line each; a failure of ours is
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        uvloop_run(_serve(place, sockets))
    finally:
        for sock in sockets:
            sock.close()
    log.info("stopped")
    return 0


def uvloop_run(main) -> None:
    """`asyncio.run` on uvloop where it is installed."""
    try:
        import uvloop
    except ImportError:  # not on every platform
        asyncio.run(main)
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main)
