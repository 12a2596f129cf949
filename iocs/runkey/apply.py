"""Carry out a plan: level by level, verified, and taken back when something of it fails.

Before each level: nothing is blocked, and each PV is what the plan saw. Then the journal has it as `writing`, the puts
go out together with completion, and read-backs are looked at. After the last level everything of the runkey is compared
again, since a put may have moved others; what was moved is written in a second round, and there is no third.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

from db.errors import DbError
from iocs.runkey.catalogues import Item
from iocs.runkey.compare import compare
from iocs.runkey.journal import Book, ItemState, Journal
from iocs.runkey.messages import Messages
from iocs.runkey.outcome import ItemOutcome, Outcome, Track, report_of
from iocs.runkey.plan import Plan, Put, Scope, blocks_of, dependents, make_plan
from iocs.runkey.rollback import Rollback
from iocs.runkey.settings import Value
from iocs.runkey.writing import Level, Pace, Writer, refused_now, show_now
from owlshift.ca import CaError, Client

Progress = Callable[[int, int, str], None]
"""Puts verified (or taken back) so far, puts in all, what is being done."""
ROUNDS = 2


class _Stop(Exception):  # noqa: N818 (it is a decision)
    """Nothing further is written."""

    def __init__(self, reason: str, aborted: bool = False) -> None:
        self.aborted = aborted
        super().__init__(reason)


async def apply(
    client: Client,
    scope: Scope,
    journal: Journal,
    *,
    abort: asyncio.Event | None = None,
    progress: Progress | None = None,
    pace: Pace | None = None,
) -> Outcome:
    """Carry out `scope.plan`. With `abort` set it stops, takes back what it has written, and returns that.

    Cancelled it does the same, and then raises CancelledError; the journal has what came of it. Cancelled a second
    time it ends at once and leaves the journal as it is.
    """
    run = _Run(client, scope, journal, abort or asyncio.Event(), progress, pace or Pace())
    task = asyncio.ensure_future(run.run())
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if task.done():
            raise
        run.abort.set()
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait([task])
            raise
        raise


class _Run:
    """One apply."""

    def __init__(
        self,
        client: Client,
        scope: Scope,
        journal: Journal,
        abort: asyncio.Event,
        progress: Progress | None,
        pace: Pace,
    ) -> None:
        self.scope, self.journal, self.abort = scope, Book(journal), abort
        systems = {put.item.system for put in scope.plan.puts}
        self.messages = Messages(client, [scope.catalogue.systems.get(system, "") for system in systems])
        self.writer = Writer(client, scope.catalogue, pace, self.messages)
        self.pace = pace
        self.track = Track(scope.plan.puts)
        self._progress = progress or (lambda done, total, text: None)
        self._expected: dict[str, Value | None] = {}
        """What PVs that are still to be put have become by earlier puts."""

    async def run(self) -> Outcome:
        """All of it."""
        plan = self.scope.plan
        if plan.refusals:
            return await self._unwritten("refused", "; ".join(plan.refusals), plan.as_text())
        async with self.messages:
            return await self._carry_out(plan)

    async def _carry_out(self, plan: Plan) -> Outcome:
        try:
            await self.journal.begin(plan.puts)
        except DbError as error:
            reason = f"the journal cannot be written: {error}"
            return Outcome("failed", report_of("failed", reason, []), (), reason, False)
        try:
            await self._write_all(plan)
        except _Stop as stop:
            return await self._stopped(str(stop), stop.aborted)
        except (DbError, CaError) as error:
            return await self._stopped(str(error), False)
        return await self._end("applied", "")

    async def _unwritten(self, state: str, reason: str, report: str) -> Outcome:
        try:
            await self.journal.begin([])
            await self.journal.finish(state, report)
        except DbError as error:
            return Outcome(state, f"{report}\nthe journal could not be written: {error}", (), reason, False)
        return Outcome(state, report, (), reason)

    # forward

    async def _write_all(self, plan: Plan) -> None:
        for round_ in range(ROUNDS):
            for index, level in enumerate(plan.levels, 1):
                again = " (second round)" if round_ else ""
                self._say(f"level {index} of {len(plan.levels)}{again}: {len(level)} puts")
                await self._write_level(level)
            moved = await self._compare_again()
            if not moved.levels:
                return
            if round_ + 1 == ROUNDS:
                raise _Stop(f"still moved by other puts after a second round: {_names(moved.puts)}")
            self.track.notes.append(f"moved by other puts, or by somebody, and written again: {_names(moved.puts)}")
            self._expected.clear()
            self.track.add(moved.puts)
            await self.journal.add(moved.puts)
            plan = moved

    async def _write_level(self, puts: Sequence[Put]) -> None:
        self._check_abort()
        live, blockers = await self._unless_aborted(self.writer.look([put.item for put in puts]))
        wanted = []
        problems = []
        for put in puts:
            there, problem = refused_now(put, live[put.pv], self._expected)
            found = [problem] if problem else [] if there else blocks_of(put.item, blockers)
            problems += [f"{put.pv}: {one}" for one in found]
            if found:
                self.track.set(put, "planned", "; ".join(found))
            elif there:
                self.track.set(put, "verified", "it had this value already")
            else:
                wanted.append(put)
        if problems:
            raise _Stop("; ".join(problems))
        if wanted:
            # from here on it may happen
            await self.journal.note([ItemState(put.number, "writing") for put in wanted])
            self.track.write(wanted)
            await self._write(wanted)
        await self.journal.note([self.track.state(put) for put in puts])
        await self._follow(puts)

    async def _write(self, puts: Sequence[Put]) -> None:
        level = Level()
        base = self.track.done

        def done() -> None:
            self.track.done += 1
            if self.track.done % 50 == 0 or self.track.done - base == len(puts):
                self._say("writing")

        try:
            await self._unless_aborted(self.writer.put(puts, level, done), self.pace.grace)
            if not level.failed:
                self._say("verifying")
                await self._unless_aborted(self.writer.verify(puts, level))
        finally:
            self.track.take(puts, level)
        if level.failed:
            await self._note_quietly([self.track.state(put) for put in puts])
            raise _Stop("; ".join(f"{pv}: {why}" for pv, why in level.failed.items()))

    async def _follow(self, puts: Iterable[Put]) -> None:
        """What these puts have made of PVs that come after them is no change of somebody else."""
        waiting = {put.pv: put for put in self.track.puts if self.track.state(put).state == "planned"}
        moved = [waiting[pv].item for pv in dependents([p.pv for p in puts], self.scope.catalogue.items) & set(waiting)]
        if moved:
            live, _ = await self._unless_aborted(self.writer.look(moved))
            self._expected.update({pv: one.value for pv, one in live.items() if one.readable and one.vouched})

    async def _compare_again(self) -> Plan:
        """What is to be put again."""
        self._check_abort()
        self._say("comparing")
        scope, first = self.scope, len(self.track.puts)
        items = [scope.catalogue.items[s.pv] for s in scope.settings if s.pv in scope.catalogue.items]
        live, blockers = await self._unless_aborted(self.writer.look(items))
        self.track.live.update(live)
        comparison = compare(scope.settings, scope.catalogue, live, ())
        plan = make_plan(comparison, scope.settings, scope.catalogue, live, blockers, first)
        if plan.refusals:
            raise _Stop("at the end: " + "; ".join(plan.refusals))
        return plan

    # backward, and the end

    async def _stopped(self, reason: str, aborted: bool) -> Outcome:
        """Take back what was written."""
        track = self.track
        track.stopped = reason
        if not track.written:
            return await self._end("aborted" if aborted else "failed", reason)
        self._say(f"rolling back: {reason}")
        rollback = Rollback(self.writer, self.journal, self.scope, track, self._say)
        await rollback.run()
        if rollback.failed:
            return await self._end("rollback_failed", reason)
        return await self._end("aborted" if aborted else "rolled_back", reason)

    async def _end(self, state: str, reason: str) -> Outcome:
        track = self.track
        if state not in ("applied", "rolled_back", "aborted", "failed") or track.written:
            await self._last_look()
        items = tuple(self._item(put) for put in track.puts)
        lines = [one.text for one in items]
        report = report_of(state, reason, [*lines, *track.notes, *(f"left: {text}" for text in self.scope.plan.left)])
        journaled = True
        try:
            await self.journal.finish(state, report, [self.track.state(put) for put in track.puts])
        except DbError as error:
            journaled = False
            report += f"\nthe journal could not be written: {error}"
        self._say(state)
        return Outcome(state, report, items, reason, journaled)

    async def _last_look(self) -> None:
        """What everything that was written is now."""
        items: dict[str, Item] = {put.pv: put.item for put in self.track.puts}
        missing = [item for pv, item in items.items() if pv not in self.track.live]
        live, _ = await self.writer.look(missing)
        self.track.live.update(live)

    def _item(self, put: Put) -> ItemOutcome:
        state = self.track.state(put)
        live = self.track.live.get(put.pv)
        now = show_now(put.item, live) if live is not None else ""
        text = f"{put.text()}: {state.state.replace('_', ' ')}"
        if state.message:
            text += f": {state.message}"
        if state.state not in ("verified", "planned") and now:
            text += f"; it is {now} now"
        return ItemOutcome(
            put.pv, put.old, put.new, state.state, state.message, live.known if live is not None else None, text
        )

    # small things

    def _say(self, text: str) -> None:
        self._progress(min(self.track.done, len(self.track.puts)), len(self.track.puts), text)

    def _check_abort(self) -> None:
        if self.abort.is_set():
            raise _Stop("aborted", aborted=True)

    async def _note_quietly(self, states: Sequence[ItemState]) -> None:
        """To the journal, if it can be had: something else has failed already."""
        try:
            await self.journal.note(states)
        except DbError as error:
            self.track.notes.append(f"the journal could not be written: {error}")

    async def _unless_aborted(self, work: Coroutine[Any, Any, Any], grace: float = 0.0) -> Any:
        """What `work` returns; _Stop when the apply is aborted before it is done, after `grace` seconds more."""
        task = asyncio.ensure_future(work)
        waiter = asyncio.ensure_future(self.abort.wait())
        try:
            await asyncio.wait([task, waiter], return_when=asyncio.FIRST_COMPLETED)
            if not task.done() and grace:
                await asyncio.wait([task], timeout=grace)
            if not task.done() or self.abort.is_set():
                raise _Stop("aborted", aborted=True)
            return task.result()
        finally:
            waiter.cancel()
            if not task.done():
                task.cancel()
            await asyncio.gather(task, waiter, return_exceptions=True)


def _names(puts: Sequence[Put], most: int = 10) -> str:
    names = [put.pv for put in puts[:most]]
    return ", ".join(names) + (f" and {len(puts) - most} more" if len(puts) > most else "")
