"""Which Channel Access channel a PV's name in the alarm tree stands for."""

from __future__ import annotations

from owlshift.ca.directory import wire_name

_PROTOCOL = "://"


def channel_of(pv: str) -> str:
    """The channel of `NAME` or `ca://NAME`; ValueError, with the reason, for what Channel Access cannot watch."""
    protocol, separator, name = pv.partition(_PROTOCOL)
    if not separator:
        name = pv
    elif protocol != "ca":
        raise ValueError(f"{protocol}{_PROTOCOL} cannot be watched: owlshift speaks Channel Access (ca://) only")
    wire_name(name)
    return name
