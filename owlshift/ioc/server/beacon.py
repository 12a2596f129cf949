"""Beacons: CA_PROTO_RSRV_IS_UP datagrams that tell clients, through the CA repeater, that a server is up."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
from collections.abc import Mapping, Sequence

from . import wire
from .search import all_broadcast_addresses, broadcast_address
from .wire import Command

FIRST_PERIOD = 0.02
LONGEST_PERIOD = 15.0


def beacon_port(environment: Mapping[str, str] = os.environ) -> int:
    """The UDP port beacons go to: EPICS_CAS_BEACON_PORT, EPICS_CA_REPEATER_PORT or 5065."""
    for name in ("EPICS_CAS_BEACON_PORT", "EPICS_CA_REPEATER_PORT"):
        try:
            port = int(environment.get(name, ""))
        except ValueError:
            continue
        if 0 < port < 65536:
            return port
    return 5065


def beacon_addresses(interface: str, environment: Mapping[str, str] = os.environ) -> list[tuple[str, int]]:
    """Where beacons go: the interface's broadcast address, or all, and what EPICS_CAS_BEACON_ADDR_LIST names.

    EPICS_CAS_AUTO_BEACON_ADDR_LIST=NO leaves the first one out. Entries that make no sense are left out.
    """
    port = beacon_port(environment)
    found: list[tuple[str, int]] = []
    if environment.get("EPICS_CAS_AUTO_BEACON_ADDR_LIST", "").upper() != "NO":
        if ipaddress.IPv4Address(interface).is_unspecified:
            found += [(address, port) for address in all_broadcast_addresses()]
        elif (broadcast := broadcast_address(interface)) is not None:
            found.append((broadcast, port))
    for entry in environment.get("EPICS_CAS_BEACON_ADDR_LIST", "").split():
        host, _, own_port = entry.partition(":")
        try:
            place = (socket.gethostbyname(host), int(own_port) if own_port else port)
        except (OSError, ValueError):
            continue
        if place not in found:
            found.append(place)
    return found


def beacon(number: int, tcp_port: int, interface: str) -> bytes:
    """One beacon. The address is the interface's, or 0 for 0.0.0.0: then the repeater takes the datagram's source."""
    return wire.message(
        Command.RSRV_IS_UP, wire.MINOR_VERSION, tcp_port, number & 0xFFFFFFFF, int(ipaddress.IPv4Address(interface))
    )


async def send_beacons(
    sock: socket.socket, interface: str, tcp_port: int, addresses: Sequence[tuple[str, int]], longest: float
) -> None:
    """Send beacons for ever: after 0.02 s, 0.04 s, … up to `longest` seconds. That nobody hears them is no error."""
    number, period = 0, FIRST_PERIOD
    while True:
        data = beacon(number, tcp_port, interface)
        for address in addresses:
            try:
                sock.sendto(data, address)
            except OSError:
                pass  # no route, or an earlier one was refused: the next beacon may arrive
        number += 1
        await asyncio.sleep(period)
        period = min(period * 2, longest)
