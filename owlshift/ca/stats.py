"""What a client counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Stats:
    """Counters since the client was made; nothing is left out without being counted here."""

    events: int = 0
    """Events handed to the sink."""
    batches: int = 0
    reads: int = 0
    bytes_received: int = 0
    circuits: int = 0
    """Circuits that came up."""
    connected: int = 0
    """Times a channel connected."""
    disconnected: int = 0
    """Times a channel that was connected was lost."""
    datagrams_sent: int = 0
    names_searched: int = 0
    """Names asked for, repetitions included."""
    search_replies: int = 0
    beacons: int = 0
    beacon_anomalies: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    """Events, replies and datagrams left out, and odd time stamps (which are passed on), by reason."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Circuits that ended, by reason."""
    malformed: int = 0
    """Circuits that ended because the server sent what is no Channel Access; `dropped` says what."""
    sink_errors: int = 0
    """Exceptions that the sink raised."""
