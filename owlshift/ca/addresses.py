"""Where a client searches: the `EPICS_CA_*` environment, as every other Channel Access client reads it."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

from owlshift.ca.protocol import DEFAULT_REPEATER_PORT, DEFAULT_SERVER_PORT

log = logging.getLogger(__name__)

Address = tuple[str, int]
DEFAULT_CONNECTION_TIMEOUT = 30.0
DEFAULT_MAX_SEARCH_PERIOD = 300.0
_MIN_MAX_SEARCH_PERIOD = 60.0


@dataclass(frozen=True)
class CaAddresses:
    """Servers to ask, and the time-outs of the protocol. Addresses are (IPv4 in dots, port)."""

    servers: tuple[Address, ...] = ()
    """Unicast or broadcast addresses to which searches are sent by UDP."""
    name_servers: tuple[Address, ...] = ()
    """Servers that are asked by TCP."""
    repeater_port: int = DEFAULT_REPEATER_PORT
    """UDP port of beacons; 0: do not listen."""
    connection_timeout: float = DEFAULT_CONNECTION_TIMEOUT
    """Seconds of silence after which a server is asked whether it lives."""
    max_search_period: float = DEFAULT_MAX_SEARCH_PERIOD
    """Longest time in seconds between two searches for one name."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> CaAddresses:
        """Read `EPICS_CA_ADDR_LIST`, `EPICS_CA_AUTO_ADDR_LIST`, `EPICS_CA_NAME_SERVERS`, the ports and time-outs.

        What cannot be understood is logged and its default taken, as libca does.
        """
        env = os.environ if environment is None else environment
        port = _port(env, "EPICS_CA_SERVER_PORT", DEFAULT_SERVER_PORT)
        servers = _list(env.get("EPICS_CA_ADDR_LIST", ""), port, "EPICS_CA_ADDR_LIST")
        if env.get("EPICS_CA_AUTO_ADDR_LIST", "YES").strip().upper() != "NO":
            servers += [(address, port) for address in broadcast_addresses()]
        return cls(
            servers=tuple(dict.fromkeys(servers)),
            name_servers=tuple(
                dict.fromkeys(_list(env.get("EPICS_CA_NAME_SERVERS", ""), port, "EPICS_CA_NAME_SERVERS"))
            ),
            repeater_port=_port(env, "EPICS_CA_REPEATER_PORT", DEFAULT_REPEATER_PORT),
            connection_timeout=_seconds(env, "EPICS_CA_CONN_TMO", DEFAULT_CONNECTION_TIMEOUT, 0.1),
            max_search_period=_seconds(
                env, "EPICS_CA_MAX_SEARCH_PERIOD", DEFAULT_MAX_SEARCH_PERIOD, _MIN_MAX_SEARCH_PERIOD
            ),
        )


def broadcast_addresses() -> list[str]:
    """The IPv4 broadcast addresses of this host's interfaces; those of loopback only when there is nothing else."""
    found: list[str] = []
    for interface in psutil.net_if_addrs().values():
        for address in interface:
            if address.family == socket.AF_INET and not address.address.startswith("127."):
                other = address.broadcast or address.ptp
                if other:
                    found.append(other)
    return found or ["127.255.255.255"]


def _port(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name, "").strip()
    if not text:
        return default
    try:
        port = int(text)
    except ValueError:
        port = -1
    if not 0 < port < 65536:
        log.warning("%s=%s is no port number; using %d", name, text, default)
        return default
    return port


def _seconds(env: Mapping[str, str], name: str, default: float, least: float) -> float:
    text = env.get(name, "").strip()
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value < 1e9:
        log.warning("%s=%s is no time in seconds; using %g", name, text, default)
        return default
    return max(value, least)


def _list(text: str, port: int, name: str) -> list[Address]:
    found: list[Address] = []
    for word in text.split():
        host, _, number = word.partition(":")
        try:
            own_port = int(number) if number else port
            if not 0 < own_port < 65536:
                raise ValueError(number)
            found.append((socket.gethostbyname(host), own_port))
        except (OSError, ValueError, UnicodeError) as error:
            log.warning("%s: %s is no address (%s); left out", name, word, error)
    return found
