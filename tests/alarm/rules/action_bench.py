"""A tree with actions, a clock that is moved by hand, and real servers for what they do."""

from __future__ import annotations

import asyncio
import http.server
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller

from iocs.alarm.actions.actions import Actions
from iocs.alarm.config import ActionsConfig
from iocs.alarm.tree.clock import VirtualClock
from iocs.alarm.tree.events import Edit, Person
from iocs.alarm.tree.items import Action, AreaConfig, Extras, Item, LeafConfig, Link
from iocs.alarm.tree.tree import AlarmTree
from owlshift.ca import Client

ME = Person("me", "here")
LEAF = "/S/HV/L7/S:L7:I"
OK, MINOR, MAJOR, INVALID = range(4)
TIMEOUT = 60.0


async def eventually(condition: Callable[[], object], what: Callable[[], str]) -> None:
    """Wait until it holds; `what` says what is missing."""
    try:
        async with asyncio.timeout(TIMEOUT):
            while not condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"waited {TIMEOUT:g} s for {what()}") from None


class Bench:
    """One alarm below three areas, with actions on some of them."""

    def __init__(
        self,
        config: ActionsConfig,
        leaf: tuple[Action, ...] = (),
        area: tuple[Action, ...] = (),
        client: Client | None = None,
        latching: bool = True,
        description: str = "*!Current of layer 7",
    ) -> None:
        self.clock = VirtualClock()
        self.tree = AlarmTree("S", self.clock)
        guidance = (Link("Do", "ramp down"),)
        leaf_config = LeafConfig(description=description, latching=latching, actions=leaf, guidance=guidance)
        self.tree.load([
            Item("/S/HV", AreaConfig(actions=area)),
            Item(LEAF, leaf_config, Extras(priority="high")),
            Item("/S/HV/L8/S:L8:I", LeafConfig(description="Layer 8")),
        ])  # fmt: skip
        self.edits: list[Edit] = []
        self.actions = Actions(
            self.tree,
            self.clock,
            config,
            tell=self.edits.append,
            client=client,
            notifying=lambda: self.tree.notifying,
        )
        self.tree.listeners.append(self.actions)

    def set(self, severity: int, message: str = "HIHI_ALARM", pv: str = "S:L7:I", value: str = "2.5 uA") -> None:
        """The PV changes."""
        leaf = self.tree.leaf_of(pv)
        assert leaf is not None
        self.tree.update(leaf, severity, message if severity else "NO_ALARM", value, self.clock.now_ns())

    @property
    def results(self) -> list[str]:
        """What came of actions so far."""
        return [edit.detail for edit in self.edits]

    async def result(self, count: int) -> list[str]:
        """Wait for so many results."""
        await eventually(lambda: len(self.edits) >= count, lambda: f"{count} results; there are {self.results}")
        return self.results


@asynccontextmanager
async def bench(config: ActionsConfig | None = None, *, started: bool = True, **more: Any) -> AsyncIterator[Bench]:
    """A bench that is closed at the end."""
    found = Bench(config or ActionsConfig(sevrpv=("*",)), **more)
    if started:
        found.actions.start()
    yield found
    await found.actions.close()


class Mailbox:
    """What an SMTP server takes: all but mails to `nobody@…`."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], EmailMessage]] = []
        self.refuse = ""

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address.startswith("nobody@"):
            return "550 no such user here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.refuse:
            return self.refuse
        mail = message_from_bytes(envelope.content, policy=policy.default)
        self.mails.append((list(envelope.rcpt_tos), mail))
        return "250 Message accepted"


@contextmanager
def mail_server(port: int) -> Iterator[Mailbox]:
    """A real SMTP server on loopback."""
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=port, ready_timeout=TIMEOUT)
    controller.start()
    try:
        yield box
    finally:
        controller.stop()


class Hooks:
    """What a web server was posted; `answer` is its status, and `hang` keeps it from answering."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.answer = 204
        self.go_on = threading.Event()
        self.go_on.set()


@contextmanager
def web_server() -> Iterator[tuple[str, Hooks]]:
    """A real HTTP server on loopback: its address, and what it is posted."""
    hooks = Hooks()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            hooks.posts.append((self.path, dict(self.headers), json.loads(content)))
            hooks.go_on.wait(TIMEOUT)
            self.send_response(hooks.answer)
            if 300 <= hooks.answer < 400:
                self.send_header("Location", "/elsewhere")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionError:  # the client was tired of waiting
                pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", hooks
    finally:
        hooks.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join(TIMEOUT)
