"""From a PV's change to its monitors: each update is encoded once per shape and handed to whoever wants it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from caproto import ChannelData

from . import dbr, wire
from .dbr import Encoded, Shape
from .names import Deadband
from .puts import puts_of
from .wire import Command, Eca

if TYPE_CHECKING:
    from .circuit import Channel, Circuit
    from .server import CaServer

VALUE, LOG, ALARM, PROPERTY = 1, 2, 4, 8
LARGE = 65536
"""Bytes of a payload that is not kept beyond the update it was made for."""
MAX_SHAPES = 64
"""Shapes of one PV's state that are kept encoded."""


class Monitor:
    """One subscription of one circuit."""

    __slots__ = ("_head", "_head_for", "blocked", "channel", "circuit", "deadband", "feed", "id", "mask", "shape")

    def __init__(
        self, circuit: Circuit, channel: Channel, feed: Feed, subscription: int, mask: int, shape: Shape
    ) -> None:
        self.circuit = circuit
        self.channel = channel
        self.feed = feed
        self.id = subscription
        self.mask = mask
        self.shape = shape
        self.deadband = Deadband(channel.deadband) if channel.deadband is not None else None
        self.blocked = False
        """No read access: nothing is sent but the notice of it."""
        self._head_for: tuple[int, int] | None = None
        self._head = b""

    def head(self, encoded: Encoded) -> bytes:
        """The header of an event with this payload; sizes rarely change, so it is kept."""
        key = (len(encoded.payload), encoded.data_count)
        if key != self._head_for:
            self._head_for = key
            self._head = wire.header(Command.EVENT_ADD, key[0], self.shape.dbr, key[1], Eca.NORMAL, self.id)
        return self._head

    def failed(self, status: int) -> bytes:
        """An event that carries a status other than NORMAL, and zeros for a value."""
        payload, count = dbr.empty(self.shape)
        return wire.message(Command.EVENT_ADD, self.shape.dbr, count, status, self.id, payload)


class Feed:
    """A served PV: who monitors it, what was encoded of its present state, and the puts that wait for it."""

    __slots__ = ("_encoded", "_has_large", "_publishing", "monitors", "puts", "pv", "server")

    def __init__(self, server: CaServer, pv: ChannelData) -> None:
        self.server = server
        self.pv = pv
        self.monitors: dict[Monitor, None] = {}
        self.puts = puts_of(server, pv)
        self._encoded: dict[Shape, Encoded | None] = {}
        self._publishing = self._has_large = False

    def publish(self, flags: int) -> None:
        """The PV changed: one event to each monitor whose mask has a bit of `flags` (0 counts as VALUE and LOG)."""
        self._encoded.clear()
        if not self.monitors:
            return
        flags = int(flags) or VALUE | LOG
        self._publishing = True
        for monitor in tuple(self.monitors):
            if not monitor.mask & flags or monitor.blocked:
                continue
            try:
                if monitor.deadband is None or monitor.deadband.passes(self.pv, flags):
                    monitor.circuit.post(monitor)
            except Exception as error:  # whoever publishes must not end by one client's monitor
                self.server.limited(logging.ERROR, "publish", "an event of %s", monitor.channel.name, exc_info=error)
        self._publishing = False
        if self._has_large:
            self.refresh()

    def refresh(self) -> None:
        """Forget what was encoded: the state may have changed without being published."""
        self._encoded.clear()
        self._has_large = False

    async def publish_later(self, flags: int) -> None:
        """`publish` in the form of caproto's ChannelData.publish, which it replaces on the PV."""
        self.publish(flags)

    def encoded(self, shape: Shape) -> Encoded | None:
        """The state last published, in this shape; None when it cannot be given so (which is logged)."""
        try:
            return self._encoded[shape]
        except KeyError:
            found = self.encode(shape)
        large = found is not None and len(found.payload) > LARGE
        if len(self._encoded) < MAX_SHAPES and (self._publishing or not large):
            self._encoded[shape] = found
            self._has_large |= large
        return found

    def encode(self, shape: Shape) -> Encoded | None:
        """The PV's state now, in this shape; None when it cannot be given so (which is logged)."""
        try:
            return dbr.encode(self.pv, shape, self.server.max_answer)
        except dbr.TooLargeError:
            raise
        except dbr.BadTypeError:
            return None
        except ValueError as error:
            self.server.limited(
                logging.WARNING, "encode", "%s as DBR type %d: %s", self.server.name_of(self.pv), shape.dbr, error
            )
        except Exception as error:  # a PV that holds nonsense must cost nobody else anything
            self.server.limited(
                logging.ERROR,
                "encode",
                "%s as DBR type %d cannot be encoded",
                self.server.name_of(self.pv),
                shape.dbr,
                exc_info=error,
            )
        return None


def attach(server: CaServer, pv: ChannelData) -> Feed:
    """The feed of a PV, made at the first call; it takes over the PV's `publish`: caproto's own write is heard."""
    state: dict[str, Any] = pv.__dict__
    feed = state.get("owlshift_feed")
    if feed is None or feed.server is not server:
        feed = Feed(server, pv)
        state["owlshift_feed"] = feed
        state["publish"] = feed.publish_later
    return feed


def publish(pv: ChannelData, flags: int) -> None:
    """Send the PV's present state to every client that monitors it and asked for a bit of `flags` (DBE_*).

    Call it after each change, from the server's event loop. It costs next to nothing while nobody listens.
    """
    feed = pv.__dict__.get("owlshift_feed")
    if feed is not None:
        feed.publish(flags)


def has_monitors(pv: ChannelData) -> bool:
    """Whether a client has subscribed to a PV."""
    feed = pv.__dict__.get("owlshift_feed")
    return feed is not None and bool(feed.monitors)


__all__ = ["Feed", "Monitor", "attach", "has_monitors", "publish"]
