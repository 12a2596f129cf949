"""Autosave: the values of `save=True` setpoints in a JSON file, so that they survive a restart.

The file is replaced as a whole (temporary file, fsync, rename), shortly after a change and at the stop. It is read back
before the IOC starts, and no putter runs for it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .pv import Pv

log = logging.getLogger("owlshift.ioc.autosave")

FORMAT = "owlshift autosave"
DELAY = 1.0
"""Seconds between a change and the writing of the file: one file for a burst of changes."""
COMPLAINT_PERIOD = 60.0


class Autosave:
    """The saved values of one IOC. `changed` is set when one has changed, `tell` takes a line for the operator."""

    def __init__(
        self,
        folder: Path,
        prefix: str,
        pvs: Mapping[str, Pv[Any]],
        changed: asyncio.Event,
        tell: Callable[[str], object],
    ) -> None:
        self.path = folder / "autosave" / f"{prefix.rstrip(':').replace(':', '.') or 'ioc'}.json"
        self.prefix = prefix
        self.pvs = {name: pv for name, pv in pvs.items() if pv.declaration.save}
        self.tell = tell
        self.changed = changed
        self._complained = -COMPLAINT_PERIOD
        self._writing = threading.Lock()  # the last write at the stop may meet one that is still under way

    def restore(self) -> int:
        """Give the PVs their saved values and return how many; what cannot be used is said and left alone."""
        try:
            text = self.path.read_text("utf-8")
        except FileNotFoundError:
            return 0
        except (OSError, UnicodeDecodeError) as error:
            self._set_aside(str(error))
            return 0
        try:
            found = json.loads(text, parse_constant=_no_constant)
            values = _values(found, self.prefix)
        except (ValueError, RecursionError) as error:
            self._set_aside(str(error))
            return 0
        count = 0
        for name, value in values.items():
            pv = self.pvs.get(name)
            if pv is None:
                log.warning("%s: %s is no saved setpoint of this IOC any more", self.path, name)
                continue
            try:
                pv.restore(value)
                count += 1
            except (ValueError, TypeError, OverflowError) as error:
                self.tell(f"autosave: {name} is not restored: {error}")
        self.changed.clear()
        log.info("%s: %d values restored", self.path, count)
        return count

    def _set_aside(self, reason: str) -> None:
        aside = self.path.with_name(f"{self.path.stem}.bad-{time.strftime('%Y%m%dT%H%M%S')}.json")
        try:
            self.path.replace(aside)
            self.tell(f"autosave: {self.path.name} cannot be used ({reason}); kept as {aside.name}")
        except OSError as error:
            self.tell(f"autosave: {self.path.name} cannot be used ({reason}), nor be moved ({error})")

    def values(self) -> dict[str, Any]:
        """What would be saved now: the setpoints that have a value."""
        return {
            name: pv.type.to_json(pv.value)
            for name, pv in self.pvs.items()
            if pv.defined and not (isinstance(pv.value, float) and math.isinf(pv.value))
        }

    def write(self, values: Mapping[str, Any]) -> None:
        """Replace the file; OSError when that fails, and then the old one is still there."""
        body = {"format": FORMAT, "version": 1, "ioc": self.prefix, "saved": time.time(), "values": values}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._writing:
            self._replace(self.path.with_suffix(".part"), body)

    def _replace(self, part: Path, body: Mapping[str, Any]) -> None:
        try:
            with part.open("w", encoding="utf-8") as file:
                json.dump(body, file, indent=1, allow_nan=False)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    async def save(self) -> bool:
        """Write the file beside the loop; False, with a line a minute, when it cannot be written."""
        try:
            await asyncio.to_thread(self.write, self.values())
        except OSError as error:
            now = time.monotonic()
            if now - self._complained >= COMPLAINT_PERIOD:
                self._complained = now
                self.tell(f"autosave: {self.path} cannot be written: {error.strerror or error}")
            return False
        return True

    async def run(self) -> None:
        """Write the file after every change, for ever."""
        while True:
            await self.changed.wait()
            await asyncio.sleep(DELAY)
            self.changed.clear()
            if not await self.save():
                self.changed.set()
                await asyncio.sleep(10 * DELAY)

    async def flush(self) -> None:
        """Write what has changed since the last time, at the stop."""
        if self.changed.is_set():
            self.changed.clear()
            await self.save()


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} in JSON")


def _values(found: Any, prefix: str) -> dict[str, Any]:
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ValueError("this is no autosave file of owlshift")
    if found.get("version") != 1:
        raise ValueError(f"version {found.get('version')!r}, 1 is known")
    if found.get("ioc") != prefix:
        raise ValueError(f"it belongs to {found.get('ioc')!r}")
    values = found.get("values")
    if not isinstance(values, dict):
        raise ValueError("it has no values")
    return values
