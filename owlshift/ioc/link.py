"""The other side of a PV: what it asks of the IOC that it belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from caproto import AccessRights

if TYPE_CHECKING:
    from .pv import Pv


class Client(NamedTuple):
    """Who puts: what a client claims to be, or the IOC itself."""

    user: str | None = None
    host: str | None = None

    def __str__(self) -> str:
        return f"{_printable(self.user)}@{_printable(self.host)}"


def _printable(name: str | None) -> str:
    """What a client says goes into the log: no line feeds, no pages of text."""
    return "".join(c if c.isprintable() else "?" for c in (name or "?")[:60])


IOC_ITSELF = Client("ioc", "itself")


class Link:
    """What a PV asks of its IOC; this one serves a PV that belongs to none yet."""

    def access(self, group: str, user: str | None, host: str | None) -> AccessRights:
        """What `user` at `host` (as they claim to be) may do in the access-security group."""
        return AccessRights.READ | AccessRights.WRITE

    def saved_changed(self, pv: Pv[Any]) -> None:
        """A value that is kept over restarts has changed."""

    def catalogue_changed(self) -> None:
        """Something that the catalogue says has changed."""

    def bad_value(self, pv: Pv[Any], error: Exception) -> None:
        """The IOC posted something that the PV cannot have."""

    def put_refused(self, pv: Pv[Any], reason: str, who: Client) -> None:
        """A put was refused before it came to a putter."""

    def put_forbidden(self, pv: Pv[Any], who: Client) -> None:
        """A put came from somebody who may not write."""

    async def put(self, pv: Pv[Any], value: Any, who: Client) -> None:
        """Carry out a put that has been checked."""
        await pv.carry_out(value)


UNBOUND = Link()
