"""The live stand as runkeys see it: snapshot, compare, plan and apply, without PVs of its own and without SQL.

stand = Stand(client, {"HV": "DEMO:HV:"})
snapshot = await stand.snapshot()                    # settings and conditions by system
comparison = await stand.compare(settings)
scope = await stand.plan(settings)                   # scope.plan.as_text() is a dry run
outcome = await stand.apply(scope, SqlJournal(on(database), …), abort=event)
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from iocs.runkey.apply import Progress, apply
from iocs.runkey.catalogues import Catalogue, Item, name_systems, read_catalogues
from iocs.runkey.compare import Comparison, compare
from iocs.runkey.journal import Journal
from iocs.runkey.outcome import Outcome
from iocs.runkey.plan import Scope, make_plan
from iocs.runkey.reading import READ_TIMEOUT, Live, read_labels, read_live
from iocs.runkey.settings import Conditions, Setting
from iocs.runkey.writing import Pace
from owlshift.ca import Client


@dataclass(frozen=True)
class Snapshot:
    """All settings of the stand at one moment, by system."""

    settings: Mapping[str, tuple[Setting, ...]] = field(default_factory=dict)
    conditions: Mapping[str, Conditions] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    """Systems whose catalogue could not be had -> why. They are in none of the above."""

    @property
    def count(self) -> int:
        """PVs with a value."""
        return sum(map(len, self.settings.values()))

    @property
    def missing(self) -> dict[str, str]:
        """Configuration PVs without a value -> why, of all systems."""
        return {pv: why for conditions in self.conditions.values() for pv, why in conditions.missing.items()}


class Stand:
    """The subsystems with these prefixes (system -> prefix, or prefixes), seen through `client`.

    The client may be made with `metadata=False`: the catalogues say all that is needed.
    """

    def __init__(
        self,
        client: Client,
        prefixes: Mapping[str, str] | Iterable[str],
        *,
        timeout: float = READ_TIMEOUT,
        pace: Pace | None = None,
    ) -> None:
        self.client = client
        self.systems = name_systems(prefixes)
        self.timeout = timeout
        """Seconds for the catalogues, and again for all values together."""
        self.pace = pace or Pace(read=timeout)

    async def catalogue(self) -> Catalogue:
        """What the subsystems say of their configuration now."""
        return await read_catalogues(self.client, self.systems, self.timeout)

    async def snapshot(self) -> Snapshot:
        """All settings, in one pass."""
        catalogue = await self.catalogue()
        live = await read_live(self.client, catalogue.items.values(), catalogue, self.timeout)
        taken = datetime.now(UTC)
        settings, conditions = {}, {}
        for system in catalogue.systems:
            if system in catalogue.unread:
                continue
            items = catalogue.of(system)
            settings[system] = tuple(_setting(item, live[item.pv]) for item in items if live[item.pv].known is not None)
            conditions[system] = _conditions(taken, items, live)
        return Snapshot(settings, conditions, catalogue.unread)

    async def compare(self, settings: Iterable[Setting], systems: Iterable[str] | None = None) -> Comparison:
        """What differs. `systems`: those of the runkey (None: all of the stand), for PVs that it lacks."""
        comparison, _, _ = await self._look(tuple(settings), systems)
        return comparison

    async def plan(self, settings: Iterable[Setting], systems: Iterable[str] | None = None) -> Scope:
        """What would have to be written; `scope.plan.refusals` says why nothing may be."""
        settings = tuple(settings)
        comparison, catalogue, live = await self._look(settings, systems)
        changing = [one.pv for one in comparison.items if one.kind == "value"]
        names = {name for pv in changing for name in catalogue.items[pv].blocked_by}
        blockers = await read_labels(self.client, names, catalogue.states, self.timeout)
        plan = make_plan(comparison, settings, catalogue, live, blockers)
        return Scope(plan, settings, catalogue, live, comparison)

    async def apply(
        self,
        scope: Scope,
        journal: Journal,
        *,
        abort: asyncio.Event | None = None,
        progress: Progress | None = None,
    ) -> Outcome:
        """Carry out a plan; see `apply.apply`."""
        return await apply(self.client, scope, journal, abort=abort, progress=progress, pace=self.pace)

    async def _look(
        self, settings: tuple[Setting, ...], systems: Iterable[str] | None
    ) -> tuple[Comparison, Catalogue, dict[str, Live]]:
        catalogue = await self.catalogue()
        wanted = None if systems is None else set(systems)
        stored = {setting.pv for setting in settings}
        items = [
            item for item in catalogue.items.values() if item.pv in stored or wanted is None or item.system in wanted
        ]
        live = await read_live(self.client, items, catalogue, self.timeout)
        return compare(settings, catalogue, live, wanted), catalogue, live


def _setting(item: Item, live: Live) -> Setting:
    if live.known is None:
        raise ValueError(f"{item.pv} has no value")
    return Setting(item.pv, item.type, live.known, item.units, item.states, item.precision)


def _conditions(taken: datetime, items: Iterable[Item], live: Mapping[str, Live]) -> Conditions:
    states, missing, asked = {}, {}, {}
    for item in items:
        now = live[item.pv]
        if now.known is None:
            missing[item.pv] = now.reason
            continue
        states[item.pv] = (now.severity, now.status, now.time_ns)
        if now.asked is not None:
            asked[item.pv] = now.asked
    return Conditions(taken, states, missing, asked)
