"""One channel of a client and where it is on its way."""

from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from owlshift.ca.batch import ChannelInfo
from owlshift.ca.metadata import EMPTY, Metadata
from owlshift.ca.protocol import DBE, Access, Dbr

if TYPE_CHECKING:
    from owlshift.ca.circuit import Circuit

PROPERTY_BIT = 0x8000_0000
"""A channel's id with this bit is the id of its subscription to metadata; without it, to values."""
MAX_CHANNELS = PROPERTY_BIT - 1


class State(enum.Enum):
    """Where a channel is."""

    SEARCHING = enum.auto()
    CREATING = enum.auto()
    DESCRIBING = enum.auto()
    """Created; its metadata are awaited."""
    LIVE = enum.auto()
    CLOSED = enum.auto()


@dataclass(slots=True, eq=False)
class Channel:
    """One channel; what the server says of it holds from DESCRIBING on."""

    id: int
    name: str
    wire_name: bytes
    mask: DBE
    """What it subscribes to; none: it is only for reads and writes."""
    priority: int = 0
    state: State = State.SEARCHING
    circuit: Circuit | None = None
    sid: int = 0
    dbr: Dbr = Dbr.DOUBLE
    count: int = 1
    access: Access = Access.NONE
    metadata: Metadata = EMPTY
    since: float = 0.0
    """Loop time of the last change of state."""
    property_subscribed: bool = False
    search_ticket: int = 0
    """Which of the search's entries is the valid one."""
    waiters: list[asyncio.Future[None]] = field(default_factory=list)

    def info(self) -> ChannelInfo:
        """What a sink is told."""
        host = self.circuit.host if self.circuit is not None else ""
        return ChannelInfo(self.id, self.name, self.dbr, self.count, host, self.access, self.metadata)

    def wake(self) -> None:
        """Tell those who wait for the connection."""
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)
        self.waiters.clear()
