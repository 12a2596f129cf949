"""An IOC: devices under one prefix, the PVs about itself, the order of puts, and who may put."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Iterable
from contextvars import ContextVar
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from caproto import AccessRights

import owlshift

from .access import AccessSecurity
from .alarms import stamp
from .catalogue import alarm_problems, catalogue_text
from .config import config_problems
from .declare import NAME, DeclarationError, PutRefused, readback
from .device import Device, Publisher
from .health import Health, IocState
from .link import IOC_ITSELF, Client, Link
from .ondemand import Finder, Names
from .pv import Pv
from .server.wire import MAX_MESSAGE
from .values import Text

log = logging.getLogger("owlshift.ioc")

MAX_NAME = 60
"""Characters of a PV's name: what EPICS records have room for."""
LOG_PERIOD = 1.0
"""Seconds in which a PV's refusals make one line in the log; IOC:Msg shows each of them."""

D = TypeVar("D", bound=Device)
_held: ContextVar[frozenset[int]] = ContextVar("lanes that the running putter holds", default=frozenset())
_client: ContextVar[Client] = ContextVar("who made the put that is being carried out", default=IOC_ITSELF)


class Ioc(Link, Publisher):
    """Devices, with the suffixes under which they are served.

    Subclass it for a poll loop: `start` runs once saved values are back and before clients can connect, `stop` when it
    ends. `backend` says in `IOC:Backend` what the IOC talks to.
    """

    max_answer = MAX_MESSAGE
    """Bytes of the greatest value that it serves."""

    def __init__(self, prefix: str, devices: Iterable[tuple[str, Device]] = (), *, backend: str = "") -> None:
        self.prefix = prefix
        self.health = Health()
        self.pvdb: dict[str, Pv[Any]] = {}
        """All PVs by full name; complete once `serve` has begun."""
        self.names = Names(self.pvdb, MAX_NAME, self._bind)
        """`pvdb`, and the PVs that `provide` makes when they are asked for."""
        self.security = AccessSecurity.everybody()
        self.restart_wanted = False
        self.stopping = False
        """No put is taken any more."""
        self.failure: str | None = None
        """What ended the IOC, if anything did."""
        self.ended = asyncio.Event()
        """Set when the IOC wants to end."""
        self.saved = asyncio.Event()
        """Set when a value that is kept over restarts has changed."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._objects: list[tuple[str, Device]] = []
        self._lanes: WeakValueDictionary[Any, asyncio.Lock] = WeakValueDictionary()
        self._catalogue_event = asyncio.Event()
        self._said: dict[str, float] = {}
        self.health.Version.preset(owlshift.__version__)
        self.health.Backend.preset(backend)
        for suffix, device in devices:
            self.add(suffix, device)
        self.add("IOC:", self.health)

    def add(self, suffix: str, device: D) -> D:
        """Serve `device` under `prefix + suffix`; DeclarationError when a name is taken or too long. Before `serve`."""
        for name, pv in device.walk(self.prefix + suffix):
            other = self.pvdb.get(name)
            if other is not None:
                raise DeclarationError(
                    f"{pv.declaration.source}: {name} is already declared at {other.declaration.source}"
                )
            if not NAME.fullmatch(name):
                raise DeclarationError(f"the name {name!r} has characters other than A-Z a-z 0-9 _ : -")
            if len(name) > MAX_NAME:
                raise DeclarationError(f"{pv.declaration.source}: {name} has over {MAX_NAME} characters")
            self.pvdb[name] = pv
            self._bind(name, pv)
        for name, inner in device.everything(self.prefix + suffix):
            inner.ioc = self
            self._objects.append((name, inner))
        return device

    def _bind(self, name: str, pv: Pv[Any]) -> None:
        pv.name = name
        pv.link = self
        pv.device.ioc = self

    def provide(self, finder: Finder) -> None:
        """Serve PVs that are made when a client first asks for them: see `ondemand`."""
        self.names.add(finder)

    def check_config(self) -> None:
        """DeclarationError, a line for each fault.

        Configuration PVs that name what is not there, or go in a circle; alarms that are masked by what is none.
        """
        problems = config_problems(self.prefix, self.pvdb) + alarm_problems(self.prefix, self.pvdb)
        if problems:
            raise DeclarationError("\n".join(problems))

    # For subclasses

    @property
    def client(self) -> Client:
        """Who made the put that the running putter carries out; `ioc@itself` outside of putters."""
        return _client.get()

    async def start(self) -> None:
        """Begin work: `self.spawn` poll loops. It must not wait for hardware, since clients wait for it."""

    async def stop(self) -> None:
        """End work; spawned tasks still run, and are cancelled afterwards."""

    async def gone(self) -> None:
        """Nothing is served any more: after `stop`, when the last client has been disconnected."""

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run `work` beside everything else. An exception that escapes it ends the IOC with exit code 1."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)
        return task

    def _task_ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("%s %s failed", self.prefix, task.get_name(), exc_info=error)
            self.fail(f"{task.get_name()} ended by {type(error).__name__}: {error}")

    def fail(self, reason: str) -> None:
        """End the IOC with exit code 1 and this line."""
        self.failure = self.failure or reason
        self.ended.set()

    async def cancel_tasks(self) -> None:
        """Cancel what `spawn` started and wait for its end."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def message(self, text: str, level: int = logging.INFO) -> None:
        """Tell the operator: `IOC:Msg` and the log."""
        self.tell(text, level)

    def tell(self, text: str, level: int = logging.INFO) -> None:
        """`message`, for code that is no coroutine."""
        log.log(level, "%s %s", self.prefix, text)
        self.health.Msg.take(text, stamp())

    async def set_state(self, state: IocState) -> None:
        """Publish `IOC:State`."""
        self.health.State.take(state, stamp())

    def request_restart(self) -> None:
        """End the IOC in order to start it anew (`IOC:SYSRESET`)."""
        log.info("%s restart requested", self.prefix)
        self.restart_wanted = True
        self.ended.set()

    # What PVs ask

    def access(self, group: str, user: str | None, host: str | None) -> AccessRights:
        """What the client may do with PVs of the access-security group."""
        return self.security.rights(group, user, host)

    def saved_changed(self, pv: Pv[Any]) -> None:
        """Autosave will write the file soon."""
        self.saved.set()

    def catalogue_changed(self) -> None:
        """The catalogue will be posted anew soon."""
        self._catalogue_event.set()

    def put_refused(self, pv: Pv[Any], reason: str, who: Client) -> None:
        """Say why, to the operator."""
        self.health.errors += 1
        self._say(pv, f"{pv.name}: {reason}", who)

    def put_forbidden(self, pv: Pv[Any], who: Client) -> None:
        """Count it, and say it in the log."""
        self.health.errors += 1
        self._say(pv, f"{pv.name}: {who} may not write", who)

    def bad_value(self, pv: Pv[Any], error: Exception) -> None:
        """Count it, and say it in the log once a minute."""
        self.health.errors += 1
        if self._due(f"value {pv.name}", 60.0):
            log.warning("%s: a value that cannot be published: %s", pv.name, error)

    def _due(self, key: str, period: float) -> bool:
        now = time.monotonic()
        if now - self._said.get(key, -period) < period:
            return False
        self._said[key] = now
        return True

    def _say(self, pv: Pv[Any], text: str, who: Client) -> None:
        self.health.Msg.take(text, stamp())
        if self._due(pv.name, LOG_PERIOD):
            log.info("put by %s refused: %s", who, text)

    async def put(self, pv: Pv[Any], value: Any, who: Client) -> None:
        """Carry out a put that has been checked; PutRefused when it is refused or fails.

        Up to its place in the lane nothing is awaited: puts run in the order in which they arrive.
        """
        self.health.puts += 1
        if self.stopping:
            self.put_refused(pv, "the IOC is stopping", who)
            raise PutRefused("the IOC is stopping")
        if self.security.trapped(pv.declaration.asg, who.user, who.host):
            log.info("%s: put of %r by %s", pv.name, value, who)
        if pv.declaration.function is None:
            await pv.carry_out(value)
            return
        lane = self._lanes.setdefault(pv.declaration.lane or id(pv.device), asyncio.Lock())
        task = asyncio.get_running_loop().create_task(self._run_put(lane, pv, value, who), name=f"put {pv.name}")
        self._tasks.add(task)
        task.add_done_callback(self._put_ended)
        try:
            await asyncio.shield(task)  # a client that goes away does not stop what it has begun
        except asyncio.CancelledError:
            if not task.cancelled():
                raise
            raise PutRefused("the IOC is stopping") from None

    def _put_ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # told already; this keeps asyncio from telling it again

    async def _run_put(self, lane: asyncio.Lock, pv: Pv[Any], value: Any, who: Client) -> None:
        _client.set(who)  # this is a task of its own, with a context of its own
        held = _held.get()
        if id(lane) in held:  # a putter that puts to its own lane would wait for itself
            await self._carry_out(pv, value, who)
            return
        async with lane:
            _held.set(held | {id(lane)})
            await self._carry_out(pv, value, who)

    async def _carry_out(self, pv: Pv[Any], value: Any, who: Client) -> None:
        try:
            await pv.carry_out(value)
        except PutRefused as refused:
            self.put_refused(pv, str(refused), who)
            raise
        except Exception as error:
            log.exception("%s: put of %r by %s failed", pv.name, value, who)
            reason = f"{type(error).__name__}: {error}"
            self.put_refused(pv, reason, who)
            raise PutRefused(reason) from error

    # The catalogue

    def publish_catalogue(self) -> None:
        """Make the catalogue and post it."""
        self._catalogue_event.clear()
        self._catalogue_pv().take(self._catalogue_text(), stamp())

    def _catalogue_text(self) -> str:
        return catalogue_text(self.prefix, self.pvdb.values(), self._objects)

    def _catalogue_pv(self) -> Pv[Any]:
        name = f"{self.prefix}IOC:Catalogue"
        known = self.pvdb.get(name)
        if known is not None:
            return known
        # its room depends on what it has to say; limits may grow by some digits afterwards
        room = 2 * len(self._catalogue_text()) + 65536

        class Catalogue(Device):
            """The catalogue."""

            Catalogue = readback(
                Text(room), initial="", doc="All PVs of this IOC and what is known about them, as JSON"
            )

        self.add("IOC:", Catalogue())
        return self.pvdb[name]

    async def follow_catalogue(self) -> None:
        """Post the catalogue again a second after something in it has changed, for ever."""
        while True:
            await self._catalogue_event.wait()
            await asyncio.sleep(1.0)
            self.publish_catalogue()
