"""The names in requests -> the PVs of the archive: protocols, `.VAL`, aliases and fields."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa

from archiver.management import Ledger, LedgerError, LedgerView, PvEntry
from archiver.store import Reader, StoreGroup

log = logging.getLogger(__name__)

_FIELD = re.compile(r"(.+)\.([A-Z][A-Z0-9_]{0,15})", re.ASCII)


_NAME = re.compile(r"[!-~]{1,255}")


def bare_name(name: str) -> str | None:
    """The name without `ca://` or `pva://` and without `.VAL`; None for what can be no name."""
    for scheme in ("ca://", "pva://"):
        name = name.removeprefix(scheme)
    name = name.removesuffix(".VAL")
    return name if _NAME.fullmatch(name) else None


@dataclass(frozen=True)
class Candidate:
    """A PV that may be meant: its name in the archive, and the field that is made of its metadata, if one is asked."""

    name: str
    field: str | None = None


@dataclass(frozen=True)
class Listed:
    """All names, in Arrow arrays, sorted: of PVs that are archived, and of aliases."""

    pvs: pa.StringArray
    aliases: pa.StringArray


class Names:
    """Names by the reader and, if there is one, management's ledger."""

    def __init__(self, reader: Reader, ledger: Ledger | None = None) -> None:
        self.reader = reader
        self._view = None if ledger is None else LedgerView(ledger)
        self._lock = threading.Lock()
        self._names: list[str] = []
        self._listed: tuple[int, Listed] | None = None

    def _look(self) -> LedgerView | None:
        """The ledger as it is now; as it last was when it cannot be read."""
        if self._view is not None:
            try:
                self._view.refresh()
            except LedgerError as error:
                log.warning("the ledger cannot be read: %s", error)
        return self._view

    def aliases(self) -> Mapping[str, str]:
        """Alias -> PV."""
        with self._lock:
            view = self._look()
            return {} if view is None else view.aliases

    def entry(self, name: str) -> PvEntry | None:
        """What was decided about a PV."""
        with self._lock:
            view = self._look()
            return None if view is None else view.entries.get(name)

    def candidates(self, requested: str, aliases: Mapping[str, str] | None = None) -> Iterator[Candidate]:
        """What a name may mean, likeliest first; nothing for what can be no name.

        A PV that is archived as `X.VAL` or `X.HIGH` itself comes before `X` and before the field of `X`.
        """
        seen: set[Candidate] = set()
        for candidate in self._readings(requested, aliases):
            if candidate not in seen:
                seen.add(candidate)
                yield candidate

    def _readings(self, requested: str, aliases: Mapping[str, str] | None) -> Iterator[Candidate]:
        yield Candidate(requested)  # nearly always it is this one
        bare = bare_name(requested)
        if bare is None:
            return
        aliases = self.aliases() if aliases is None else aliases
        yield Candidate(bare)
        if requested in aliases:
            yield Candidate(aliases[requested])
        if bare in aliases:
            yield Candidate(aliases[bare])
        match = _FIELD.fullmatch(bare)
        if match is not None:
            name, field = match.groups()
            yield Candidate(name, field)
            if name in aliases:
                yield Candidate(f"{aliases[name]}.{field}")
                yield Candidate(aliases[name], field)

    def nowhere(self) -> bool:
        """Whether none of the archive's folders is there."""
        readers = self.reader.readers if isinstance(self.reader, StoreGroup) else (self.reader,)
        return not any(reader.folder.is_dir() for reader in readers)

    def listed(self) -> Listed:
        """All names. A PV that was deleted is not among them, though its data may be asked for by name."""
        names = self.reader.names()
        with self._lock:
            view = self._look()
            version = -1 if view is None else view.version
            if self._listed is None or self._listed[0] != version or self._names != names:
                gone = set() if view is None else {n for n, entry in view.entries.items() if entry.deleted}
                aliases = [] if view is None else sorted(view.aliases)
                kept = [n for n in names if n not in gone] if gone else names
                self._names = names
                self._listed = version, Listed(pa.array(kept, pa.string()), pa.array(aliases, pa.string()))
            return self._listed[1]

    def known(self, requested: Iterable[str]) -> dict[str, Candidate | None]:
        """Each of many names, and the PV that it means (None: none)."""
        aliases = self.aliases()
        has = self.reader.has
        found: dict[str, Candidate | None] = {}
        for name in requested:
            if has(name):  # nearly always
                found[name] = Candidate(name)
            else:
                found[name] = next((c for c in self.candidates(name, aliases) if has(c.name)), None)
        return found
