"""Alarms from Python: an asyncio client of an alarm IOC's PVs, over Channel Access alone.

```python
async with AlarmClient("DEMO:ALM:") as alarms:
    for row in (await alarms.active())["alarms"]:
        print(row["severity"], row["pv"], row["message"])
    await alarms.acknowledge("DEMO:HV:L07:IMon")
    await alarms.shelve("/DEMO/HV/L08", "cable is being changed", seconds=3600)
    async for table in alarms.follow():      # each change; None while the server is away
        ...
```
What is asked for is named by its path (`/DEMO/HV/L07`) or, an alarm, by its PV. `iocs.alarm.forms` says what comes
back. Who acts is who Channel Access says: the user of this process, on this host.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

import orjson

from iocs.alarm.follow import Follower
from iocs.alarm.item_forms import item_form, item_of
from iocs.alarm.tree.items import ConfigError, Item
from iocs.alarm.tree.paths import natural, split_path
from owlshift.ca import CaAccessError, CaAddresses, CaError, CaStatusError, CaTimeoutError, Client, Reading

Form: TypeAlias = dict[str, Any]

TIMEOUT = 5.0
"""Seconds that the server may take to answer."""
LOOK_TIME = 1.0
"""Seconds in which an item's own PVs must be found by rule, before the whole tree is asked for."""
LONG = 60.0
"""Seconds for what may be large: the tree, and all of its configuration."""
STATES = ("Sevr", "Role", "Standby", "LogState", "StoreState", "KafkaState")
SWITCHES = ("Maint", "Notify", "Flood")
TEXTS = ("Mode", "Talk")
LISTS = ("Chattering", "Problems")
NUMBERS = (
    "NActive", "NUnack", "NAck", "NSupp", "NTotal", "LogBehind", "NagPeriod", "Rate", "TalkCount", "Watched", "Missing",
)  # fmt: skip


class AlarmError(Exception):
    """It could not be done; str() is for operators."""


class NoServerError(AlarmError):
    """No alarm server answers."""


class NoSuchItemError(AlarmError):
    """The tree has nothing of that path or PV. `near`: up to five that are like it."""

    def __init__(self, item: str, near: Sequence[str] = ()) -> None:
        self.item, self.near = item, tuple(near)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        super().__init__(f"no alarm or area {item!r}{hint}")


class RefusedError(AlarmError):
    """The server did not do it, and says why."""


class AlarmClient:
    """The alarm server whose PVs begin with `prefix` (`DEMO:ALM:`).

    `addresses`: where to search, the `EPICS_CA_*` environment when None; `timeout`: seconds that an answer may take.
    """

    def __init__(self, prefix: str, addresses: CaAddresses | None = None, *, timeout: float = TIMEOUT) -> None:
        self.prefix = prefix if prefix.endswith(":") else f"{prefix}:"
        self.timeout = timeout
        self._addresses = addresses
        self._ca = Client(addresses, metadata=False)
        self._found: dict[str, str] = {}

    async def __aenter__(self) -> AlarmClient:
        await self._ca.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._ca.close()

    # What there is

    async def active(self) -> Form:
        """The table of what is active, latched or acknowledged: the worst first, the newest first among equals."""
        return await self._json("Active", self.timeout)

    async def tree(self) -> Form:
        """The whole tree with the state of everything."""
        return await self._json("Tree", LONG)

    async def shelves(self) -> Form:
        """What is shelved: by whom, why, until when."""
        return await self._json("Shelves", self.timeout)

    async def status(self) -> Form:
        """The server itself: severity and counts of the whole tree, role, modes, log, Kafka, how busy it is."""
        names = (*SWITCHES, *TEXTS, *LISTS, *NUMBERS)
        readings = await self._get([self.prefix + name for name in names])
        states = await self._get([self.prefix + name for name in STATES], as_string=True)
        found: Form = {name: str(one.value) for name, one in zip(STATES, states, strict=True)}
        for name, reading in zip(names, readings, strict=True):
            if name in NUMBERS:
                found[name] = reading.value
            elif name in SWITCHES:
                found[name] = bool(reading.value)
            else:
                found[name] = reading.label if name in TEXTS else _loads(reading.label or "[]", reading.name)
        return found

    async def switch(self, name: str) -> bool:
        """Whether one of the server's switches (`Maint`, `Notify`) is on."""
        return bool((await self._get([self.prefix + name]))[0].value)

    async def find(self, item: str) -> str:
        """What an item's own PVs begin with, without the colon at the end; NoSuchItemError."""
        if item in ("", "/"):
            return self.prefix.removesuffix(":")
        if item not in self._found:
            await self._look(item)
        return self._found[item]

    async def path_of(self, item: str) -> str:
        """The path of an item that may be named by its PV; NoSuchItemError."""
        return (await self._get([f"{await self.find(item)}:Path"]))[0].label

    async def state(self, item: str) -> Form:
        """One item with its state, as in the tree; an area with all that is below it. NoSuchItemError."""
        return _pick(await self.tree(), item)

    async def items(self, item: str = "") -> list[Item]:
        """What is configured of an item and of all below it, of everything when it is not said; parents come first."""
        name = f"{await self.find(item)}:Items" if item else f"{self.prefix}Items"
        found = []
        for form in await self._read_json(name, LONG):
            try:
                found.append(item_of(form))
            except ConfigError as error:
                raise AlarmError(f"{name} holds what cannot be: {error}") from None
        return found

    async def follow(self) -> AsyncGenerator[Form | None, None]:
        """The table of alarms now and after each change; None while the server is away. It never ends by itself."""
        async with Follower(f"{self.prefix}Active", self._addresses) as follower:
            async for text in follower:
                yield None if text is None else _loads(text, f"{self.prefix}Active")

    # What operators do

    async def acknowledge(self, item: str) -> None:
        """Somebody knows; of an area: all alarms below it."""
        await self._put(f"{await self.find(item)}:Ack", 1)

    async def unacknowledge(self, item: str) -> None:
        """Nobody knows after all."""
        await self._put(f"{await self.find(item)}:Unack", 1)

    async def shelve(
        self, item: str, why: str, *, seconds: float = 0.0, until: datetime | None = None, one_shot: bool = False
    ) -> None:
        """Put an alarm, or all below an area, aside: for some seconds, until a time, or (`one_shot`) until normal.

        ValueError when not exactly one of these is said, or no reason.
        """
        if not why.strip():
            raise ValueError("say why")
        if sum((seconds > 0, until is not None, one_shot)) != 1:
            raise ValueError("say for how many seconds, until when, or one_shot")
        when = "once" if one_shot else f"{seconds:.0f}s" if until is None else iso_text(until)
        await self._put(f"{await self.find(item)}:Shelve", f"{when} {' '.join(why.split())}")

    async def unshelve(self, item: str) -> None:
        """Back from the shelf."""
        await self._put(f"{await self.find(item)}:Shelve", "")

    async def enable(self, item: str) -> None:
        """Watch it again."""
        await self._put(f"{await self.find(item)}:Enable", 1)

    async def disable(self, item: str) -> None:
        """Watch it no longer, until somebody enables it. Shelving, which ends, is nearly always the better choice."""
        await self._put(f"{await self.find(item)}:Enable", 0)

    async def maintenance(self, on: bool) -> None:
        """While it is on, alarms INVALID and UNDEFINED acknowledge themselves: somebody works on the hardware."""
        await self._put(f"{self.prefix}Maint", int(on))

    async def notify(self, on: bool) -> None:
        """Whether mails and the like are sent."""
        await self._put(f"{self.prefix}Notify", int(on))

    async def mode(self, text: str) -> None:
        """The operating mode: alarms that are not for it do not count."""
        await self._put(f"{self.prefix}Mode", text)

    # What experts do

    async def put_items(self, items: Iterable[Item]) -> None:
        """Add items, or change those that are there; all or, when one is refused, none of them."""
        await self._configure([item_form(item, sparse=True) for item in items])

    async def remove(self, paths: Iterable[str]) -> None:
        """Take items away, with all that is below them."""
        await self._configure([{"path": path, "delete": True} for path in paths])

    async def change(self, put: Iterable[Item], remove: Iterable[str]) -> None:
        """Take away, then add and change, in one go: all or none of it."""
        gone = [{"path": path, "delete": True} for path in remove]
        await self._configure(gone + [item_form(item, sparse=True) for item in put])

    async def _configure(self, forms: list[Form]) -> None:
        if forms:
            await self._put(f"{self.prefix}Config", orjson.dumps(forms).decode(), timeout=LONG)

    # Channel Access

    async def silent(self, names: list[str], timeout: float) -> set[str]:
        """Which PVs, of whatever IOC, do not answer within some seconds."""
        answers = await self._ca.read_many(names, timeout=timeout) if names else []
        return {name for name, answer in zip(names, answers, strict=True) if isinstance(answer, CaError)}

    async def _look(self, item: str) -> None:
        """Find an item by the rule of names; by the whole tree where the rule does not lead to it."""
        names = [self.prefix.removesuffix(":") + name for name in _likely(item, self.prefix)]
        asked = [asyncio.create_task(self._named(name)) for name in names]
        try:
            for answer in asyncio.as_completed(asked):
                name, path = await answer
                if path and (path == item or path.endswith(f"/{item.replace('/', chr(92) + '/')}")):
                    self._found[item] = name
                    return
        finally:
            for task in asked:
                task.cancel()
        node = _pick(await self.tree(), item)
        self._found[item] = node["pv_prefix"]

    async def _named(self, name: str) -> tuple[str, str]:
        try:
            return name, (await self._ca.get(f"{name}:Path", timeout=min(LOOK_TIME, self.timeout))).label
        except CaError:
            return name, ""

    async def _json(self, name: str, timeout: float) -> Any:
        return await self._read_json(self.prefix + name, timeout)

    async def _read_json(self, name: str, timeout: float) -> Any:
        return _loads((await self._get([name], timeout))[0].label, name)

    async def _present(self) -> None:
        """NoServerError at once, rather than when a long time is over."""
        try:
            await self._ca.get(f"{self.prefix}IOC:HEARTBEAT", timeout=self.timeout)
        except CaError:
            raise self._nobody() from None

    async def _get(self, names: list[str], timeout: float = 0.0, as_string: bool = False) -> list[Reading]:
        if timeout > self.timeout:
            await self._present()
        try:
            return await self._ca.get(names, timeout=timeout or self.timeout, as_string=as_string)
        except CaTimeoutError as error:
            raise await self._away(error) from None
        except CaError as error:
            raise AlarmError(str(error)) from None

    async def _put(self, name: str, value: Any, timeout: float = 0.0) -> None:
        if timeout > self.timeout:
            await self._present()
        try:
            await self._ca.put(name, value, timeout=timeout or self.timeout)
        except CaTimeoutError as error:
            raise await self._away(error) from None
        except CaAccessError:
            raise RefusedError(f"{name}: you may not write it (the site's access security says who may)") from None
        except CaStatusError as error:
            raise RefusedError(await self._reason(error)) from None
        except (CaError, ValueError, TypeError) as error:
            raise AlarmError(str(error)) from None

    async def _away(self, error: CaTimeoutError) -> AlarmError:
        """Is it the server that is not there, or is it slow?"""
        try:
            await self._ca.get(f"{self.prefix}IOC:HEARTBEAT", timeout=LOOK_TIME)
        except CaError:
            return self._nobody()
        return AlarmError(f"the alarm server at {self.prefix} is there, but slow: {error}")

    def _nobody(self) -> NoServerError:
        return NoServerError(f"no alarm server answers at {self.prefix} (is the site running? `owl status`)")

    async def _reason(self, error: CaStatusError) -> str:
        """Why a put was refused: what the IOC itself says."""
        try:
            said = (await self._ca.get(f"{self.prefix}IOC:Msg", timeout=self.timeout)).label
        except CaError:
            said = ""
        name, _, reason = said.partition(": ")
        return reason if reason and name == error.name else said or str(error)


def iso_text(moment: datetime) -> str:
    """ISO 8601 in UTC; ValueError without a time zone."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def walk(node: Form) -> Iterable[Form]:
    """A node of the tree's form and all below it, parents first."""
    waiting = [node]
    while waiting:
        found = waiting.pop()
        yield found
        waiting += reversed(found.get("children", ()))


def _pick(tree: Form, item: str) -> Form:
    """The node of a path or PV; NoSuchItemError with names that are near."""
    if tree.get("truncated"):
        raise AlarmError(f"the tree is too large to look for {item!r} in all of it")
    if item in ("", "/"):
        return tree
    names: dict[str, None] = {}
    for node in walk(tree):
        if item in (node["path"], node.get("pv")):
            return node
        names[node["path"] if item.startswith("/") else node.get("pv", node["name"])] = None
    raise NoSuchItemError(item, _near(item, list(names)))


def _likely(item: str, prefix: str) -> list[str]:
    """What an item's own PVs may begin with behind `prefix`, by the plain rule: as an area, and as an alarm.

    Most of them are right. What is too long, or was taken, has another name, which the tree tells.
    """
    try:
        names = split_path(item) if item.startswith("/") else [item]
    except ValueError:
        return []
    pv = re.sub(r"^\w+://", "", names[-1]).removeprefix(prefix.rstrip(":").rpartition(":")[0] + ":")
    found = [pv] if not item.startswith("/") else [":".join(names[1:]), pv]
    return list(dict.fromkeys(":" + re.sub(r"[^A-Za-z0-9_:-]", "_", name) if name else "" for name in found))


def _near(item: str, names: list[str]) -> list[str]:
    import difflib

    folded = {name.lower(): name for name in sorted(names, key=natural)}
    inside = [name for low, name in folded.items() if low.endswith(item.lower().strip("/:"))]
    close = difflib.get_close_matches(item.lower(), list(folded)[:20_000], 5, 0.7)
    return list(dict.fromkeys([*inside, *(folded[low] for low in close)]))[:5]


def _loads(text: str, name: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise AlarmError(f"{name} is no JSON ({error}); is it an alarm server's?") from None
