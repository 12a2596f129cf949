"""Take back what an apply has written, by the same rules of order and safety; nothing of it can be aborted.

What cannot be reached is tried again for a while. What depends on something that could not be taken back stays as it
is: no voltage goes up to a value whose limit is not in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from db.errors import DbError
from iocs.runkey.journal import Book, ItemState
from iocs.runkey.outcome import Track
from iocs.runkey.plan import CircleError, Put, Scope, blocks_of, dependents, in_levels, order_of, way_back
from iocs.runkey.reading import same
from iocs.runkey.settings import Value, show_value
from iocs.runkey.writing import Level, Writer, has_already, show_now

RETRY = 0.5
"""Seconds between two tries at what cannot be reached."""


class Rollback:
    """The way back of one apply. Its states are in the track; `failed` says whether all is as before."""

    def __init__(self, writer: Writer, journal: Book, scope: Scope, track: Track, say: Callable[[str], None]) -> None:
        self.writer, self.journal, self.scope, self.track, self._say = writer, journal, scope, track, say
        self.failed: dict[str, str] = {}
        """PV -> why it is not as before."""
        self._numbers: dict[str, list[Put]] = {}
        self._reasons: dict[str, str] = {}
        self._expected: dict[str, Value | None] = {}
        """What PVs that are still to go back have become by the way back of others."""

    async def run(self) -> None:
        """All of it."""
        track = self.track
        for put in track.written:
            self._numbers.setdefault(put.pv, []).append(put)
            self._reasons.setdefault(put.pv, track.state(put).message)
        back = way_back(track.written, self.scope.before)
        for pv in self._numbers.keys() - {put.pv for put in back}:
            self._give_up(pv, "it had no valid value before")
        await self._round(back)
        moved = await self._moved()
        if moved:
            self._expected.clear()
            await self._round(moved)
            for put in await self._moved(tell=False):
                self._give_up(put.pv, "another put of the way back has moved it again")
        track.notes += [f"{pv}: {why}" for pv, why in self.failed.items() if pv not in self._numbers]

    async def _round(self, back: Sequence[Put]) -> None:
        items = self.scope.catalogue.items
        try:
            levels = in_levels(back, items)
            before = order_of(back, items)
        except CircleError as error:
            for put in back:
                self._give_up(put.pv, str(error))
            return
        # patience is for all of it together: what cannot be reached for long has had its chance
        deadline = asyncio.get_running_loop().time() + self.writer.pace.patience
        for index, level in enumerate(levels, 1):
            self._say(f"rolling back: level {index} of {len(levels)}")
            ready = []
            for put in level:
                stuck = sorted(before[put.pv] & set(self.failed))
                if stuck:
                    self._give_up(put.pv, f"left, since {stuck[0]} could not be taken back")
                else:
                    ready.append(put)
            await self._level(ready, deadline)
            await self._follow(ready, [put for later in levels[index:] for put in later])

    async def _level(self, puts: Sequence[Put], deadline: float) -> None:
        waiting = {put.pv: put for put in puts}
        mine = [one for put in puts for one in self._all(put.pv)]
        await self._note([ItemState(one.number, "rolling_back", self._reason(one.pv)) for one in mine])
        unreachable: dict[str, str] = {}
        while waiting:
            unreachable = await self._try(waiting)
            for pv in list(waiting):
                if pv not in unreachable:
                    del waiting[pv]
            if not waiting or asyncio.get_running_loop().time() >= deadline:
                break
            self._say(f"rolling back: {len(waiting)} PVs cannot be reached; trying again")
            await asyncio.sleep(RETRY)
        for pv in waiting:
            self._give_up(pv, unreachable[pv])
        await self._note([self.track.state(one) for one in mine])

    async def _follow(self, done: Sequence[Put], later: Sequence[Put]) -> None:
        """What the way back of these has made of PVs that come after them is no change of somebody else."""
        ours = dependents([put.pv for put in done], self.scope.catalogue.items)
        moved = [put.item for put in later if put.pv in ours]
        if moved:
            live, _ = await self.writer.look(moved)
            self._expected.update({pv: one.known for pv, one in live.items()})

    async def _try(self, waiting: dict[str, Put]) -> dict[str, str]:
        """Put once; what could not be reached -> why. The rest is settled, one way or the other."""
        live, blockers = await self.writer.look([put.item for put in waiting.values()])
        self.track.live.update(live)
        unreachable: dict[str, str] = {}
        ready: list[Put] = []
        for pv, put in waiting.items():
            now = live[pv]
            blocks = blocks_of(put.item, blockers)
            if not now.readable or not now.vouched:
                unreachable[pv] = f"cannot be reached: {now.reason}"
            elif pv not in self.track.unclear and has_already(put.item, now, put.new):
                self._settle(pv, "was as before already")
            elif pv not in self.track.unclear and not (
                same(put.item, now.value, put.old) or same(put.item, now.value, self._expected.get(pv))
            ):
                self._give_up(pv, f"left: somebody has changed it to {show_now(put.item, now)} meanwhile")
            elif blocks:
                self._give_up(pv, "; ".join(blocks))
            else:
                ready.append(put)
        if not ready:
            return unreachable
        level = Level()
        await self.writer.put(ready, level, lambda: None)
        good = [put for put in ready if put.pv not in level.failed]
        await self.writer.verify(good, level, to_the_end=True)
        if len(good) < len(ready):
            seen, _ = await self.writer.look([put.item for put in ready if put.pv in level.failed])
            level.live.update(seen)
        self.track.live.update(level.live)
        for put in ready:
            if put.pv in level.verified:
                self._settle(put.pv, "")
                continue
            self.track.unclear.add(put.pv)
            why = level.failed.get(put.pv, "was not verified")
            now = level.live.get(put.pv)
            if put.pv in level.lost or (now is not None and not (now.readable and now.vouched)):
                unreachable[put.pv] = why
            else:
                self._give_up(put.pv, why)
        return unreachable

    async def _moved(self, tell: bool = True) -> list[Put]:
        """What was not written, or is settled, and is not as before; what may be put back of that."""
        settings = [s.pv for s in self.scope.settings if s.pv in self.scope.catalogue.items]
        items = [self.scope.catalogue.items[pv] for pv in settings if pv in self.scope.before]
        live, _ = await self.writer.look(items)
        self.track.live.update(live)
        ours = dependents(self._numbers, self.scope.catalogue.items) | set(self._numbers)
        moved = []
        for item in items:
            before, now = self.scope.before[item.pv], live[item.pv]
            if item.pv in self.failed or before.known is None or now.known is None:
                continue
            if same(item, before.known, now.known):
                continue
            was, is_ = (show_value(one, item.units, item.precision) for one in (before.known, now.known))
            if item.pv in ours and item.writable:
                moved.append(Put(item, now.known, before.known))
                note = f"{item.pv}: moved to {is_} by other puts, and put back to {was}"
            else:
                note = f"{item.pv}: was {was} before, is {is_} now; the apply did not write it"
            if tell:
                self.track.notes.append(note)
        return moved

    def _all(self, pv: str) -> list[Put]:
        return self._numbers.get(pv, [])

    def _reason(self, pv: str) -> str:
        return self._reasons.get(pv, "")

    def _settle(self, pv: str, text: str) -> None:
        self.failed.pop(pv, None)
        why = "; ".join(filter(None, [self._reason(pv), text]))
        for put in self._all(pv):
            self.track.set(put, "rolled_back", why)

    def _give_up(self, pv: str, why: str) -> None:
        self.failed[pv] = why
        text = "; ".join(filter(None, [self._reason(pv), f"not taken back: {why}"]))
        for put in self._all(pv):
            self.track.set(put, "rollback_failed", text)

    async def _note(self, states: Sequence[ItemState]) -> None:
        """To the journal, if it can be had: the stand comes first."""
        try:
            await self.journal.note(states)
        except DbError as error:
            text = f"the journal could not be written: {error}"
            if text not in self.track.notes:
                self.track.notes.append(text)
