"""What of the tree stands on its topic, and what has yet to be sent.

While the brokers keep up, every change is a record of its own, at once and in order. When too many are on their way, or
no broker answers, only the places that changed are remembered (`dirty`), and once there is room again each gets one
record with what it is by then: memory is bounded by the size of the tree, and the newest state wins.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Protocol

from iocs.alarm.kafka.link import Topic
from iocs.alarm.kafka.records import (
    DISABLED,
    Kind,
    encode_area_state,
    encode_config,
    encode_delete,
    encode_leaf_state,
    make_key,
)
from iocs.alarm.tree.events import SERVER, Person, State
from iocs.alarm.tree.items import AreaConfig
from iocs.alarm.tree.severity import AlarmSeverity
from iocs.alarm.tree.tree import Area, Leaf

if TYPE_CHECKING:
    from iocs.alarm.tree.items import Item
    from iocs.alarm.tree.tree import AlarmTree

WINDOW = 20_000
"""So many records may be on their way to the brokers."""
SLICE = 200
"""Places that `drain` deals with at once."""
UNKNOWN = 0
"""The mark of a path whose record on the topic is not known."""

_NOBODY = Person("", "")
_SUPPRESSED = -1


class Produce(Protocol):
    """Hands a record over; False when that is not possible now."""

    def __call__(self, topic: Topic, key: bytes, value: bytes | None) -> bool:
        """Hand it over to `topic`."""
        ...


class Publisher:
    """Writes what changes to the tree's topic, in the order in which it does. `open` while a broker answers."""

    def __init__(self, tree: AlarmTree, produce: Produce, server: Person, zone: tzinfo | None = None) -> None:
        """`server`: whom records name when nobody did what they say. `zone`: of the dates in records."""
        self.tree, self.server, self.zone = tree, server, zone
        self._produce = produce
        self.open = False
        self.window = WINDOW
        self.in_flight = 0
        self.sent = 0
        """Records that were handed over."""
        self.states_sent = 0
        self.configs: dict[str, int] = {}
        """What is configured on the topic, with what is on its way there: a mark (`config_mark`) by path."""
        self.states: dict[str, int] = {}
        """What state is on the topic, likewise."""
        self.dirty: dict[str, Person | None] = {}
        """Paths to look at, and who configured them."""
        self.gone: dict[str, Person] = {}
        """Paths that are to be deleted from the topic before anything else; those below come first."""
        self._echoes: dict[bytes, deque[int]] = {}
        """Hashes of records that have not come back yet, by key, in order."""
        self._shelved: dict[str, int] = {}
        """Alarms whose record says that they are disabled until then (UTC seconds), being shelved."""
        self._failed: dict[str, None] = {}

    # -- what happens in the tree ------------------------------------------------------------------------------------

    def changed(self, node: Area | Leaf, who: Person | None = None) -> None:
        """Something of a place may be new: its state, its configuration (by `who`), or whether it is shelved."""
        if self.exact and self._has_room():
            self._send(node, who)
        else:
            self.mark(node.path, who)

    def removed(self, path: str, who: Person) -> None:
        """A place is no more."""
        self.dirty.pop(path, None)
        if self.exact and self._has_room():
            self._delete(path, who)
        elif path in self.configs or path in self.states:
            self.gone[path] = who

    def removed_by_others(self, path: str) -> None:
        """A place is no more, and the topic says so already, but for its state."""
        self.configs.pop(path, None)
        self._shelved.pop(path, None)
        self.removed(path, self.server)

    def root_again(self) -> None:
        """Send the root's state even if it is no other: the heartbeat, or modes have changed."""
        self.states.pop(self.tree.root.path, None)
        self.changed(self.tree.root)

    # -- sending what waits ------------------------------------------------------------------------------------------

    @property
    def exact(self) -> bool:
        """Every change is sent by itself, at once."""
        return self.open and not self.dirty and not self.gone

    @property
    def waiting(self) -> int:
        """Records on their way, and what is still to be sent."""
        return self.in_flight + len(self.dirty) + len(self.gone)

    def mark(self, path: str, who: Person | None = None) -> None:
        """Look at a path later, after all that are marked already."""
        earlier = self.dirty.pop(path, None)
        self.dirty[path] = who or earlier

    def mark_all(self, again: bool = False) -> None:
        """Look at the whole tree; `again`: send all states even if the topic should have them already."""
        if again:
            self.states = dict.fromkeys(self.states, UNKNOWN)
        for area in self.tree.areas():
            self.mark(area.path)
            for node in area.children:
                if isinstance(node, Leaf):
                    self.mark(node.path)
        for path in sorted((path for path in {*self.configs, *self.states} if path not in self.dirty), key=_deepest):
            self.gone.setdefault(path, self.server)

    def drain(self) -> bool:
        """Send some of what waits; True when more could be sent at once."""
        for _ in range(SLICE):
            if not (self.open and self._has_room()):
                return False
            if self.gone:
                path = next(iter(self.gone))
                self._delete(path, self.gone.pop(path))
            elif self.dirty:
                path = next(iter(self.dirty))
                who = self.dirty.pop(path)
                node = self.tree.find(path)
                if node is not None:
                    self._send(node, who, look=True)
            else:
                return False
        return True

    def delivered(self, count: int, failed: Iterable[bytes]) -> None:
        """So many records have arrived. Those that failed (by key) are looked at again at the next `retry`."""
        lost = 0
        for key in failed:
            lost += 1
            kind, _, path = key.decode(errors="replace").partition(":")
            (self.states if kind == "state" else self.configs)[path] = UNKNOWN
            self._failed[path] = None
            self._came_back(key)
        self.in_flight = max(self.in_flight - count - lost, 0)

    def doubt_state(self, path: str) -> None:
        """Somebody else has written a state there: ours is sent again at the next `retry`."""
        self.states[path] = UNKNOWN
        self._failed[path] = None

    def retry(self) -> None:
        """What failed or is in doubt is sent once more."""
        failed, self._failed = self._failed, {}
        for path in failed:
            self._look_again(path)

    def close(self) -> None:
        """What was on its way is lost; the topic has to be read again."""
        self.open = False
        self.in_flight = 0
        self._echoes.clear()

    # -- what comes back ---------------------------------------------------------------------------------------------

    def own(self, key: bytes, value: bytes | None) -> bool:
        """A record that has come is one of ours, coming back."""
        waiting = self._echoes.get(key)
        if waiting is None or waiting[0] != hash(value):
            return False
        self._came_back(key)
        return True

    def overrides(self, path: str) -> bool:
        """What is configured on the topic will be overwritten: a record of ours is on its way, or is to be sent."""
        return make_key("config", path) in self._echoes or self.dirty.get(path) is not None or path in self.gone

    def _came_back(self, key: bytes) -> None:
        waiting = self._echoes.get(key)
        if waiting is not None:
            waiting.popleft()
            if not waiting:
                del self._echoes[key]

    # -- what should be on the topic ---------------------------------------------------------------------------------

    def shelf_end(self, node: Area | Leaf) -> datetime | None:
        """Until when an alarm is shelved, in whole seconds; None when it is not, or until it clears at most."""
        shelf = node.shelf if isinstance(node, Leaf) else None
        if shelf is None or shelf.one_shot:
            return None
        return datetime.fromtimestamp(-(-shelf.until_ns // 1_000_000_000), UTC)

    def config_mark(self, item: Item, until: datetime | None = None) -> int:
        """A figure for what is configured, whoever did it."""
        return hash(encode_config(item, _NOBODY, self.zone, until))

    def wanted_mark(self, node: Area | Leaf) -> int:
        """`config_mark` of what the topic should say of a place."""
        return self.config_mark(node.item, self.shelf_end(node))

    def state_mark(self, node: Area | Leaf) -> int | None:
        """A figure for the state that the topic should say; None: nothing is known yet."""
        if isinstance(node, Area):
            return area_mark(node.severity)
        alarm, current = node.alarm, node.current
        if _hidden(node):
            return _SUPPRESSED
        if not alarm.time_ns and not alarm.message and not current.message:
            return None
        return leaf_mark(alarm, current.severity, current.message)

    # -- records -----------------------------------------------------------------------------------------------------

    def _has_room(self) -> bool:
        return self.in_flight < self.window

    def _look_again(self, path: str) -> None:
        if self.tree.find(path) is not None:
            self.mark(path)
        else:
            self.gone.setdefault(path, self.server)

    def _send(self, node: Area | Leaf, who: Person | None, look: bool = False) -> None:
        """Send what the topic does not say yet of a place; `look`: its configuration may be another one, too."""
        path = node.path
        until = self.shelf_end(node)
        until_s = 0 if until is None else round(until.timestamp())
        if look or who is not None or not self.configs.get(path):
            self._send_config(node, who, until)
        elif isinstance(node, Leaf) and self._shelved.get(path, 0) != until_s:
            self._send_config(node, node.shelf.by if node.shelf else None, until)
        if until_s:
            self._shelved[path] = until_s
        else:
            self._shelved.pop(path, None)
        mark = self.state_mark(node)
        if mark is not None and self.states.get(path) != mark:
            self.states[path] = mark
            self._put("state", path, self._state(node))
            self.states_sent += 1

    def _send_config(self, node: Area | Leaf, who: Person | None, until: datetime | None) -> None:
        if node.parent is None and node.path not in self.configs and node.config == AreaConfig():
            return  # nothing is said of the root until there is something
        mark = self.config_mark(node.item, until)
        if self.configs.get(node.path) != mark:
            self.configs[node.path] = mark
            person = self.server if who is None or who == SERVER else who
            self._put("config", node.path, encode_config(node.item, person, self.zone, until))

    def _state(self, node: Area | Leaf) -> bytes:
        maintenance, notify = self.tree.in_maintenance, self.tree.notifying
        if isinstance(node, Area):
            return encode_area_state(node.severity, maintenance=maintenance, notify=notify)
        alarm, current, latch = node.alarm, node.current, node.latch
        if _hidden(node):
            alarm = current = State(AlarmSeverity.OK, DISABLED, "", self.tree.clock.now_ns())
            latch = False
        return encode_leaf_state(
            alarm, current.severity, current.message, latch=latch, maintenance=maintenance, notify=notify
        )

    def _delete(self, path: str, who: Person) -> None:
        if self.configs.pop(path, None) is not None:
            self._put("config", path, encode_delete(self.server if who == SERVER else who))
            self._put("config", path, None)
        if self.states.pop(path, None) is not None:
            self._put("state", path, None)
        self._shelved.pop(path, None)

    def _put(self, kind: Kind, path: str, value: bytes | None) -> None:
        key = make_key(kind, path)
        if self._produce("config", key, value):
            self.in_flight += 1
            self.sent += 1
            self._echoes.setdefault(key, deque()).append(hash(value))
        else:
            (self.states if kind == "state" else self.configs)[path] = UNKNOWN
            self._look_again(path)


def leaf_mark(alarm: State, current: AlarmSeverity, current_message: str) -> int:
    """A figure for the state of an alarm."""
    return hash((alarm.severity, alarm.message, alarm.value, alarm.time_ns, current, current_message))


def area_mark(severity: AlarmSeverity) -> int:
    """A figure for the state of an area."""
    return int(severity) + 1


def _hidden(leaf: Leaf) -> bool:
    """Suppressed in a way that Phoebus has no word for but `Disabled`."""
    return leaf.suppressed and leaf.alarm.message != DISABLED


def _deepest(path: str) -> tuple[int, str]:
    return -path.count("/"), path
