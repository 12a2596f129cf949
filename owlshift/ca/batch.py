"""Events of many channels as arrays, and who receives them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from owlshift.ca.metadata import Metadata
from owlshift.ca.protocol import Access, Dbr


@dataclass(slots=True)
class Batch:
    """Events of one data type and one element count, in the order of their arrival.

    All arrays are the receiver's to keep.
    """

    dbr: Dbr
    """The channels' native type."""
    channel: NDArray[np.uint32]
    """Which channel: the ids that `Client.subscribe` gave; shape (n,)."""
    time_ns: NDArray[np.int64]
    """The server's time stamp, in UTC nanoseconds since 1970, exactly as it was sent; shape (n,)."""
    severity: NDArray[np.uint16]
    """EPICS alarm severity (0 NO_ALARM … 3 INVALID); shape (n,)."""
    status: NDArray[np.uint16]
    """EPICS alarm status; shape (n,)."""
    values: NDArray[Any]
    """Native-endian values: (n,) for channels of one element, (n, count) for the others; strings as `S40`."""

    @property
    def count(self) -> int:
        """Elements in each event."""
        return 1 if self.values.ndim == 1 else self.values.shape[1]

    def __len__(self) -> int:
        """The number of events."""
        return len(self.channel)


@dataclass(frozen=True, slots=True)
class ChannelInfo:
    """A connected channel."""

    id: int
    name: str
    dbr: Dbr
    """Native type."""
    count: int
    """Native (largest) element count; an event of a channel with more than one may carry fewer."""
    host: str
    """`address:port` of the server."""
    access: Access
    metadata: Metadata
    """Units, limits, states; empty where the server would not say."""


class Sink(Protocol):
    """Receives what the client hears; every method is called in the client's event loop and must not block.

    A sink may also have `changed(info: ChannelInfo)`: new access rights or metadata of a connected channel.
    """

    def batch(self, batch: Batch) -> None:
        """Take events."""
        ...

    def connected(self, info: ChannelInfo) -> None:
        """A channel is there; its events follow."""
        ...

    def disconnected(self, channel: int, reason: str, time_ns: int) -> None:
        """A channel that was connected is lost since `time_ns` (UTC); it is searched for again."""
        ...
