"""A vectorised Channel Access client: batches of events as numpy arrays, from the socket on."""

from owlshift.ca.addresses import CaAddresses
from owlshift.ca.batch import Batch, ChannelInfo, Sink
from owlshift.ca.client import Client
from owlshift.ca.metadata import Metadata
from owlshift.ca.protocol import (
    DBE,
    Access,
    CaAccessError,
    CaDisconnectedError,
    CaError,
    CaStatusError,
    CaTimeoutError,
    Dbr,
)
from owlshift.ca.requests import Reading
from owlshift.ca.stats import Stats

__all__ = [
    "DBE",
    "Access",
    "Batch",
    "CaAccessError",
    "CaAddresses",
    "CaDisconnectedError",
    "CaError",
    "CaStatusError",
    "CaTimeoutError",
    "ChannelInfo",
    "Client",
    "Dbr",
    "Metadata",
    "Reading",
    "Sink",
    "Stats",
]
