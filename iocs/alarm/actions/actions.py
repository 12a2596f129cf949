"""Actions: what alarms and areas do by themselves once they are in alarm, and again when they are no longer.

`mailto:`, `infopv:`, `cmd:` and `webhook:` come after their delay, if the item is still active then; once for each rise
of its severity; and once more (a follow-up) when it is OK or acknowledged. `sevrpv:` of an area writes its severity to
a PV at each change. An alarm that is suppressed starts nothing, one that chatters only what is worse than before.
Nothing is done that the site file does not allow, and what comes of an action is told as an edit named `action`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Protocol

from iocs.alarm.actions import command, mail, webhook
from iocs.alarm.actions.action_texts import Told, told
from iocs.alarm.actions.jobs import Jobs
from iocs.alarm.actions.pvwriter import PvWriter
from iocs.alarm.config import ActionsConfig
from iocs.alarm.files.checks import action_problem, bare_name, recipients
from iocs.alarm.tree.clock import SECOND, Clock, Timer
from iocs.alarm.tree.events import SERVER, Edit, Listener, Person, State
from iocs.alarm.tree.items import Action, Item
from iocs.alarm.tree.nodes import Area, Leaf
from iocs.alarm.tree.severity import AlarmSeverity
from owlshift.ca import Client

log = logging.getLogger(__name__)

FOLLOWED_UP = ("mailto", "cmd", "infopv", "webhook")
NOTIFYING = ("mailto", "infopv", "webhook")
"""What the switch for notifications silences."""
INFO_TIME = 30.0
"""Seconds for which writing an info PV is tried."""
MAX_WAITING = 1000
"""Runs of mails, commands and webhooks that may wait; more are refused."""


class Tree(Protocol):
    """What is needed of the alarm tree."""

    def find(self, path: str) -> Area | Leaf | None:
        """The item at a path."""
        ...

    @property
    def root(self) -> Area:
        """The area above all."""
        ...


@dataclass(slots=True)
class _Item:
    """How far the actions of an item are."""

    actions: tuple[Action, ...]
    notified: dict[Action, AlarmSeverity] = field(default_factory=dict)
    """For which severity an action was done, or is going to be."""
    waiting: dict[Action, Timer] = field(default_factory=dict)
    performed: dict[Action, None] = field(default_factory=dict)
    """What needs a follow-up, in its order."""
    over: bool = False
    """It has been OK or acknowledged since."""
    written: AlarmSeverity | None = None
    """By `sevrpv:`."""


class Actions(Listener):
    """The actions of a tree. `client`: for PVs. `notifying`: False while notifications are switched off.

    Nothing is done before `start`, which takes the alarms that are there as known, nor after `close`.
    """

    def __init__(
        self,
        tree: Tree,
        clock: Clock,
        config: ActionsConfig,
        *,
        tell: Callable[[Edit], None],
        client: Client | None = None,
        notifying: Callable[[], bool] = lambda: True,
    ) -> None:
        self._tree, self._clock, self._config, self._tell, self._notifying = tree, clock, config, tell, notifying
        self._writer = None if client is None else PvWriter(client)
        self._commands = command.Commands()
        self._items: dict[str, _Item] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._last: dict[tuple[str, str], asyncio.Task[None]] = {}
        """The newest run of each action of an item."""
        self._started = False
        self._jobs = Jobs()

    def start(self) -> None:
        """Begin, within a running loop.

        What was due before is taken as done in an earlier life of the server, and is followed up; what is not yet due
        still comes.
        """
        self._started = True
        for area in self._tree.root.areas():
            self._begin(area)
        for leaf in self._tree.root.leaves():
            self._begin(leaf)

    async def close(self) -> None:
        """End: nothing that waits is done any more, and commands that run are killed."""
        self._started = False
        for path in list(self._items):
            self._forget(path)
        self._commands.stop()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._writer is not None:
            await self._writer.close()

    def leaf_changed(self, leaf: Leaf, before: State, raised: bool) -> None:
        """See `Listener`."""
        if leaf.config.actions and self._started:
            self._look(leaf)

    def area_changed(self, area: Area) -> None:
        """See `Listener`."""
        if area.config.actions and self._started:
            self._look(area)

    def configured(self, item: Item, who: Person) -> None:
        """Other actions begin afresh: nothing is done for the severity that is there already."""
        known = self._items.get(item.path)
        if not self._started or (known.actions if known else ()) == item.config.actions:
            return
        self._forget(item.path)
        if (node := self._tree.find(item.path)) is not None and node.config.actions:
            found = self._items[item.path] = _Item(node.config.actions)
            found.notified = dict.fromkeys(found.actions, node.severity)
            self._write_severity(node, found)

    def removed(self, path: str, who: Person) -> None:
        """See `Listener`."""
        self._forget(path)

    def _begin(self, node: Area | Leaf) -> None:
        if not node.config.actions:
            return
        item = self._items[node.path] = _Item(node.config.actions)
        self._write_severity(node, item)
        if not node.severity.active:
            return
        since = node.since_ns if isinstance(node, Leaf) else 0
        for action in _delayed(item):
            item.notified[action] = node.severity
            left = action.delay - (self._clock.now_ns() - since) / SECOND
            if left > 0:
                self._schedule(node.path, item, action, min(left, action.delay))
            else:
                item.performed[action] = None

    def _forget(self, path: str) -> None:
        item = self._items.pop(path, None)
        if item is not None:
            for timer in item.waiting.values():
                timer.cancel()

    def _look(self, node: Area | Leaf) -> None:
        item = self._items.get(node.path)
        if item is None or item.actions != node.config.actions:
            self._forget(node.path)
            item = self._items[node.path] = _Item(node.config.actions)
        self._write_severity(node, item)
        if node.severity.active:
            if item.over and not (isinstance(node, Leaf) and node.chattering):
                item.notified.clear()
            item.over = False
            self._rise(node, item)
            return
        for action, timer in item.waiting.items():
            timer.cancel()
            item.notified.pop(action, None)
        item.waiting.clear()
        if isinstance(node, Leaf) and node.suppressed and node.alarm.severity.active:
            return  # it goes on behind the suppression, so there is nothing to follow up yet
        item.over = True
        performed, item.performed = list(item.performed), {}
        for action in performed:
            if _kind(action) in FOLLOWED_UP:
                self._perform(node, action)

    def _rise(self, node: Area | Leaf, item: _Item) -> None:
        for action in _delayed(item):
            if node.severity <= item.notified.get(action, AlarmSeverity.OK):
                continue
            item.notified[action] = node.severity
            if action not in item.waiting:
                self._schedule(node.path, item, action, action.delay)

    def _schedule(self, path: str, item: _Item, action: Action, seconds: float) -> None:
        def due() -> None:
            del item.waiting[action]
            node = self._tree.find(path)
            if node is not None:
                item.performed[action] = None
                self._perform(node, action)

        item.waiting[action] = self._clock.call_later(seconds, due)

    def _write_severity(self, node: Area | Leaf, item: _Item) -> None:
        if isinstance(node, Leaf) or item.written is node.severity:
            return
        item.written = node.severity
        for action in item.actions:
            if _kind(action) == "sevrpv":
                self._put(node.path, action, int(node.severity), None)

    def _perform(self, node: Area | Leaf, action: Action) -> None:
        """Do it now, or say why not."""
        kind = _kind(action)
        if kind in NOTIFYING and not self._notifying():
            self._say(node.path, action, "not done: notifications are switched off")
            return
        what = told(node)
        if kind == "infopv":
            self._put(node.path, action, what.text, INFO_TIME)
            return
        try:
            job = self._job(action, what)
        except (command.NotAllowed, ValueError) as error:
            self._say(node.path, action, f"refused: {error}")
            return
        if len(self._tasks) >= MAX_WAITING:
            self._say(node.path, action, f"refused: {MAX_WAITING} actions wait already")
            return
        # an alarm and its follow-up in this order, however long the first takes
        key = (node.path, action.details)
        task = asyncio.get_running_loop().create_task(self._run(node.path, action, job, self._last.get(key)))
        self._tasks.add(task)
        self._last[key] = task
        task.add_done_callback(lambda task: self._ended(key, task))

    def _ended(self, key: tuple[str, str], task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._last.get(key) is task:
            del self._last[key]

    def _job(self, action: Action, what: Told) -> Callable[[], str]:
        """What is to be done in a thread; NotAllowed or ValueError, with the reason, when it is not to be done."""
        kind, rest, config = _kind(action), _rest(action), self._config
        if problem := action_problem(action):
            raise ValueError(problem)
        if kind == "mailto":
            if not config.mail_host:
                raise command.NotAllowed("the site file names no mail_host")
            letter = mail.message(config.mail_from, recipients(rest), what.subject, what.body)
            return lambda: mail.send(config.mail_host, letter, config.timeout)
        if kind == "webhook":
            if not webhook.allowed(rest, config.webhook):
                raise command.NotAllowed("the address is not among the webhooks of the site file")
            return lambda: webhook.post(rest, what.form, config.timeout)
        if kind == "cmd":
            argv = command.arguments(rest, what.pairs, config.cmd)
            return lambda: self._commands.run(argv, config.timeout)
        raise ValueError(f"{kind} cannot be run")

    async def _run(self, path: str, action: Action, job: Callable[[], str], before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        try:
            result = await self._jobs.run(_kind(action), job)
        except Exception as error:
            # whatever a mail server, a web server or a program does: the alarm server goes on, and says so
            result = f"failed: {_FAILURE.get(_kind(action), str)(error)}"
        self._say(path, action, result)

    def _put(self, path: str, action: Action, value: int | str, give_up: float | None) -> None:
        name = bare_name(_rest(action))
        if problem := action_problem(action):
            self._say(path, action, f"refused: {problem}")
        elif not any(fnmatchcase(name, pattern) for pattern in self._config.sevrpv):
            self._say(path, action, "refused: the PV is not among those of the site file")
        elif self._writer is None:
            self._say(path, action, "refused: there is no Channel Access client")
        else:
            shown = f"{value} " if isinstance(value, int) else ""
            self._writer.put(name, value, lambda result: self._say(path, action, f"{shown}{result}"), give_up)

    def _say(self, path: str, action: Action, result: str) -> None:
        level = logging.INFO if result.startswith(("sent", "done", "written", "2")) else logging.WARNING
        log.log(level, "%s: %s: %s", path, action.details, result)
        self._tell(Edit("action", path, SERVER, self._clock.now_ns(), f"{action.details}: {result}"))


def _delayed(item: _Item) -> list[Action]:
    return [action for action in item.actions if _kind(action) != "sevrpv"]


def _kind(action: Action) -> str:
    return action.details.partition(":")[0]


def _rest(action: Action) -> str:
    return action.details.partition(":")[2].strip()


_FAILURE: dict[str, Callable[[Exception], str]] = {"mailto": mail.failure, "webhook": webhook.failure}
