"""Whether the runkey that was applied is the one for now: what VALIDITY tags say of it, as PVs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import select

from db.errors import DbError, NotFound, Unavailable
from db.models import Object
from db.tags import Target, ValidityInfo, tags, validities
from iocs.runkey.browse import iso
from iocs.runkey.databases import MYSELF, Databases
from iocs.runkey.pvs import VALIDITY_BYTES, RunkeyPvs
from owlshift.ioc import AlarmStatus, Ioc, Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from db.runkeys import Runkeys
    from db.store import Store
    from iocs.runkey.recovery import Applied

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Verdict:
    """What VALIDITY tags say of a runkey."""

    valid: bool = True
    text: str = ""


class Validity:
    """The PVs `AppliedValid` and `AppliedValidity` of `device`."""

    def __init__(
        self, ioc: Ioc, device: RunkeyPvs, databases: Databases, applied: Callable[[], Applied], period: float
    ) -> None:
        self._ioc, self._device, self._databases = ioc, device, databases
        self._applied, self._period = applied, period
        self._due = asyncio.Event()

    def look_now(self) -> None:
        """What is applied, or what is said of it, may have changed."""
        self._due.set()

    async def follow(self) -> None:
        """Look every `period` seconds and whenever asked, for ever."""
        while True:
            self._due.clear()
            await self._look()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._period):
                    await self._due.wait()

    async def _look(self) -> None:
        device, applied = self._device, self._applied()
        try:
            found = Verdict()
            if applied.root:
                found = await self._databases.run(MYSELF, lambda store: verdict(store, applied.root), what="validity")
        except DbError as error:
            log.debug("validity: %s", error)
            await self._ioc.invalidate(device.AppliedValid)
            return
        if self._applied() is not applied:  # it is of what was before
            self._due.set()
            return
        text = found.text.encode()[:VALIDITY_BYTES].decode(errors="ignore")
        alarm = None if found.valid else (AlarmStatus.STATE, Severity.MINOR)
        await self._ioc.post_many([(device.AppliedValidity, text), (device.AppliedValid, found.valid, alarm)])


def verdict(store: Store, root: str, at: datetime | None = None) -> Verdict:
    """What the VALIDITY tags on a root object say of it at a time (now), in both databases; what one lacks is the
    other's. It is valid without a tag; with some when one of them means it then, and none another. Blocks; DbError."""
    at = at or datetime.now(UTC)
    intervals: dict[str, dict[str, ValidityInfo]] = {}
    digests: dict[str, bytes] = {}
    names: dict[str, str] = {}
    for runkeys in (store.staging, store.backend):
        try:
            _collect(runkeys, root, intervals, digests, names)
        except Unavailable:
            if runkeys is store.staging:
                raise
    if not intervals:
        return Verdict(True, "no VALIDITY tag")
    meant, others, lines = False, False, []
    for tag, found in sorted(intervals.items()):
        now = _in_force(found.values(), at)
        if now is None:
            lines.append(f"{tag}: {_spans(found.values(), root)}: not now")
        elif now.object is not None and digests.get(now.object) == digests.get(root):
            meant = True
            lines.append(f"{tag}: {_span(now)}")
        else:
            others = True
            thing = names.get(now.object or "", "a payload" if now.object is None else f"object {now.object}")
            lines.append(f"{tag}: means {thing} now, {_span(now)}")
    return Verdict(meant and not others, "; ".join(lines))


def _collect(
    runkeys: Runkeys,
    root: str,
    intervals: dict[str, dict[str, ValidityInfo]],
    digests: dict[str, bytes],
    names: dict[str, str],
) -> None:
    """Add what one database says: intervals by tag and id, digests and names of the objects that they are of."""
    with runkeys.database.read() as connection:
        for tag in tags(connection, Target(object=root), "VALIDITY"):
            try:
                found = validities(connection, tag.name)
            except NotFound:  # somebody takes it away at this moment
                continue
            intervals.setdefault(tag.name, {}).update({one.id: one for one in found})
        objects = {root} | {one.object for found in intervals.values() for one in found.values() if one.object}
        for id_, digest in connection.execute(select(Object.id, Object.digest).where(Object.id.in_(objects))):
            digests[id_] = digest
            called = [tag.name for tag in tags(connection, Target(object=id_), "RUNKEY")]
            if called:
                names[id_] = called[0]


def _in_force(intervals: Iterable[ValidityInfo], at: datetime) -> ValidityInfo | None:
    """Of those that hold, the one made last."""
    holding = [one for one in intervals if one.since <= at and (one.until is None or at < one.until)]
    return max(holding, key=lambda one: (one.created, one.id), default=None)


def _spans(intervals: Iterable[ValidityInfo], root: str) -> str:
    of_it = sorted((one for one in intervals if one.object == root), key=lambda one: one.since)
    return ", ".join(_span(one) for one in of_it) or "no interval"


def _span(one: ValidityInfo) -> str:
    return f"from {iso(one.since)} until {iso(one.until) if one.until else 'further notice'}"
