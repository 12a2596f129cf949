"""PVs that are made when somebody first asks for them: an IOC may offer a million and have a hundred.

    class Alarm(OnDemand):
        Sevr = readback(int, doc="Severity")

    def find(name: str) -> Callable[[], Pv] | None:
        number = known.get(name.removesuffix(":Sevr"))
        return None if number is None else lambda: device_of(number).Sevr

    ioc.provide(find)

Nothing is made for a search, only for a client that connects; what no client has any more is left to the garbage
collection, with its device. Such PVs are neither in the catalogue nor kept over restarts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias
from weakref import WeakValueDictionary

from .declare import NAME
from .device import Device
from .pv import Pv, make

Offer: TypeAlias = Callable[[], Pv[Any]]
Finder: TypeAlias = Callable[[str], Offer | None]
"""Of a full name: what gives its PV, or None where there is none. Asked at every search, so it must be fast."""


class OnDemand(Device):
    """A device that has only those of its PVs that somebody has asked for; `pvs` holds these.

    An attribute makes its PV: publish with `for name, pv in self.pvs.items()`. `made` gives a new one its first value.
    """

    def _first_pvs(self) -> dict[str, Pv[Any]]:
        return _Pvs(self)

    def made(self, pv: Pv[Any]) -> None:
        """A PV is new; no client has it yet."""


class _Pvs(dict[str, Pv[Any]]):
    """The PVs of a device that have been asked for, by attribute."""

    def __init__(self, device: OnDemand) -> None:
        super().__init__()
        self._device = device

    def __missing__(self, attribute: str) -> Pv[Any]:
        pv = self[attribute] = make(self._device.declarations[attribute], self._device)
        self._device.made(pv)
        return pv


class Names(Mapping[str, Pv[Any]]):
    """All PVs of an IOC by name: those that it declares, and those that it makes when they are asked for.

    `in` makes nothing. Iteration gives the declared ones.
    """

    def __init__(self, declared: Mapping[str, Pv[Any]], longest: int, bind: Callable[[str, Pv[Any]], None]) -> None:
        self._declared = declared
        self._longest = longest
        self._bind = bind
        self._finders: list[Finder] = []
        self._made: WeakValueDictionary[str, Pv[Any]] = WeakValueDictionary()

    def add(self, finder: Finder) -> None:
        """Ask `finder`, too; earlier ones come first."""
        self._finders.append(finder)

    @property
    def made(self) -> int:
        """How many PVs have been made and are still there."""
        return len(self._made)

    def _offer(self, name: str) -> Offer | None:
        if not self._finders or len(name) > self._longest or not NAME.fullmatch(name):
            return None
        for finder in self._finders:
            offer = finder(name)
            if offer is not None:
                return offer
        return None

    def __contains__(self, name: object) -> bool:
        return name in self._declared or (isinstance(name, str) and self._offer(name) is not None)

    def __getitem__(self, name: str) -> Pv[Any]:
        known = self._declared.get(name)
        if known is not None:  # a PV may be false: it has a length
            return known
        offer = self._offer(name)
        if offer is None:
            raise KeyError(name)
        pv = offer()
        if self._made.get(name) is not pv:
            self._bind(name, pv)
            self._made[name] = pv
        return pv

    def __iter__(self) -> Iterator[str]:
        return iter(self._declared)

    def __len__(self) -> int:
        return len(self._declared)
