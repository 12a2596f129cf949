"""The PVs of a runkey IOC, as a client: write, run a command to its end, read what came of it (stock libca, aioca)."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aioca import DBR_CHAR_STR, DBR_ENUM_STR, DBR_STRING, CANothing, caget, camonitor, caput

WAIT = 5.0
"""Seconds that a PV may take to answer."""
_ECA_TIMEOUT = 80  # caerr.h of EPICS base
TEXTS = {
    "Msg", "Report", "Plan", "SelectedHash", "AppliedHash", "AppliedBy", "AppliedResult", "Comment", "SelectedInfo",
    "IOC:Msg", "AppliedValidity",
}  # fmt: skip
"""PVs that are char waveforms."""
ENUMS = {"State", "DbConn", "Mode", "AppliedValid"}
STRINGS = {"Selected", "SelectedId", "Applied", "AppliedId", "AppliedAt", "SnapshotName"}
STATUS = (
    "State", "Progress", "Msg", "Selected", "SelectedId", "SelectedHash", "Applied", "AppliedId", "AppliedHash",
    "AppliedBy", "AppliedAt", "AppliedResult", "DbConn", "DbLatency", "StageDirty", "DiffCount", "ItemsDone",
    "ItemsTotal", "Mode", "AppliedValid", "AppliedValidity",
)  # fmt: skip


class StandError(Exception):
    """The stand can't be asked; str() is for operators."""


@dataclass
class Outcome:
    """What came of a command."""

    command: str
    ok: bool
    reason: str
    selected: str
    digest: str
    report: str
    plan: str
    differences: int
    state: str
    message: str

    def plain(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "command": self.command.lower(),
            "ok": self.ok,
            "reason": self.reason,
            "runkey": self.selected,
            "digest": self.digest,
            "state": self.state,
            "message": self.message,
            "differences": self.differences,
            "report": self.report,
            "plan": self.plan,
        }


class Stand:
    """The PVs below `prefix`; `step(done, total, text)` is told how far a command is."""

    def __init__(self, prefix: str, step: Callable[..., None]) -> None:
        self.prefix = prefix
        self.step = step

    async def read(self, *names: str) -> dict[str, Any]:
        """Values by name; StandError when the IOC does not answer."""

        async def one(name: str) -> Any:
            if name in TEXTS:
                return str(await caget(self.prefix + name, datatype=DBR_CHAR_STR, timeout=WAIT))
            if name in ENUMS:
                return str(await caget(self.prefix + name, datatype=DBR_ENUM_STR, timeout=WAIT))
            if name in STRINGS:
                return str(await caget(self.prefix + name, datatype=DBR_STRING, timeout=WAIT))
            value: Any = await caget(self.prefix + name, timeout=WAIT)
            return float(value) if isinstance(value, float) else int(value)

        try:
            return dict(zip(names, await asyncio.gather(*(one(name) for name in names)), strict=True))
        except CANothing as error:
            raise StandError(self._why(error)) from None

    async def put(self, name: str, value: str) -> None:
        """Write a text; StandError with the IOC's reason when it is refused."""
        kind = DBR_CHAR_STR if name in TEXTS else DBR_STRING
        if kind == DBR_STRING and len(value.encode()) > 39:
            raise StandError(f"{value!r} is longer than the 39 bytes of a Channel Access string")
        try:
            await caput(self.prefix + name, value, datatype=kind, wait=True, timeout=WAIT)
        except CANothing as error:
            raise StandError(await self._refusal(error)) from None
        except Exception as error:
            if type(error).__name__ != "CAException":  # no write access: a class of libca's wrapper
                raise
            raise StandError(f"{self.prefix}{name}: {error}") from None

    async def select(self, name: str | None) -> None:
        """Make a runkey the one that commands act on; None: it stays as it is, and there must be one."""
        if name is not None:
            await self.put("Selected", name)
        elif not (await self.read("Selected"))["Selected"]:
            raise StandError("no runkey is selected; name one")

    async def run(self, command: str, timeout: float) -> Outcome:
        """Give a command and wait until it is done; Ctrl-C, and the time-out, ask the IOC to abort it."""
        watched = [
            camonitor(f"{self.prefix}Progress", self._progress),
            camonitor(f"{self.prefix}Msg", self._message, datatype=DBR_CHAR_STR),
        ]
        self._percent, self._text = 0.0, command
        before = (await self.read("Report"))["Report"]
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        in_main = threading.current_thread() is threading.main_thread()
        if in_main:  # asyncio takes signals there only
            loop.add_signal_handler(signal.SIGINT, stopping.set)
        doing = asyncio.ensure_future(self._do(command))
        waiting = asyncio.ensure_future(stopping.wait())
        reason = ""
        try:
            done, _ = await asyncio.wait({doing, waiting}, timeout=timeout or None, return_when=asyncio.FIRST_COMPLETED)
            if doing not in done:
                interrupted = "Ctrl-C" if waiting in done else f"not done within {timeout:g} s"
                self.step(self._percent, 100, "aborting")
                await self._do("Abort")
                failure = await doing
                reason = f"{interrupted}: aborted{f'; {failure}' if failure else ''}"
            else:
                reason = doing.result()
        finally:
            waiting.cancel()
            if in_main:
                loop.remove_signal_handler(signal.SIGINT)
            for subscription in watched:
                subscription.close()
        return await self._outcome(command, reason, before)

    async def _do(self, command: str) -> str:
        """Why a command failed; empty when it did what it should."""
        try:
            await self.read("State")  # a name that nobody serves is said at once
            await caput(self.prefix + command, 1, wait=True, timeout=None)
        except CANothing as error:
            return await self._refusal(error)
        except Exception as error:
            if type(error).__name__ != "CAException":
                raise
            return f"{self.prefix}{command}: {error}"
        return ""

    async def _outcome(self, command: str, reason: str, before: str) -> Outcome:
        """`before`: the report that was there; of a command that was refused there is no other."""
        found = await self.read("State", "Selected", "SelectedHash", "Report", "Plan", "DiffCount", "Msg")
        silent = command in ("Abort", "DryRun") or (reason and found["Report"] == before)
        return Outcome(
            command=command,
            ok=not reason,
            reason=reason,
            selected=found["Selected"],
            digest=found["SelectedHash"],
            report="" if silent else found["Report"],
            plan=found["Plan"] if command == "DryRun" else "",
            differences=found["DiffCount"] if command == "Compare" else 0,
            state=found["State"],
            message=found["Msg"],
        )

    def _progress(self, value: Any) -> None:
        self._percent = float(value)
        self.step(self._percent, 100, self._text)

    def _message(self, value: Any) -> None:
        self._text = str(value).splitlines()[0][:60] if str(value) else self._text
        self.step(self._percent, 100, self._text)

    async def _refusal(self, error: CANothing) -> str:
        """The IOC's own reason, or what libca says."""
        if error.errorcode == _ECA_TIMEOUT:
            return self._why(error)
        with contextlib.suppress(StandError):
            found = await self.read("Msg", "IOC:Msg")
            return found["Msg"] or found["IOC:Msg"] or self._why(error)
        return self._why(error)

    def _why(self, error: CANothing) -> str:
        if error.errorcode == _ECA_TIMEOUT:
            return f"{error.name}: no answer within {WAIT:g} s (is the site running? owl status)"
        return str(error)
