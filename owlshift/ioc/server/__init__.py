"""A Channel Access server that no client can end or slow down, on caproto's data model.

caproto's own server encodes and queues every update several times, waits for the slowest client, and ends when a
client leaves at the wrong moment. Here PVs are still caproto ChannelData, and caproto converts what clients write; the
protocol, the queues and the sockets are this package's: `wire` (bytes), `values` and `dbr` (a PV's state as a payload),
`names` (modifiers and filters), `feed` (a change to its monitors), `puts` (one at a time per PV), `stream` and
`circuit` (one client), `search` and `beacon` (UDP), `server` (all together).
"""

from .feed import has_monitors, publish
from .search import AddressInUse, AddressNotAvailable
from .server import CaServer
from .signals import stop_on_signals

__all__ = ["AddressInUse", "AddressNotAvailable", "CaServer", "has_monitors", "publish", "stop_on_signals"]
