"""Metadata of PVs on their way into the registry: from the channels, and from fields of their records."""

from __future__ import annotations

from collections.abc import Mapping

from archiver.engine.fields import Fields
from archiver.engine.metadata import metadata_of
from archiver.engine.plan import Target
from archiver.store import StoreWriter
from owlshift.ca import ChannelInfo


class Descriptions:
    """What is known of PVs and not in the registry yet. For the loop's thread."""

    def __init__(self, store: StoreWriter) -> None:
        self._store = store
        self._pending: dict[int, dict[str, str]] = {}
        self._writing: dict[int, dict[str, str]] = {}
        self._asked: set[str] = set()
        self.fields = Fields(self._found)

    def known(self, pv: int) -> Mapping[str, str]:
        """The newest metadata of a PV by id."""
        found = self._pending.get(pv) or self._writing.get(pv)
        return found if found is not None else self._store.registry.metadata.get(pv, {})

    def take(self, info: ChannelInfo, pv: int, target: Target) -> None:
        """A channel has connected, or has other metadata now. What its server can't say with them is kept, or asked."""
        known = self.known(pv)
        fresh = metadata_of(info, target.description)
        kept = [*target.sampling.fields, *(("DESC",) if target.description is None else ())]
        fresh |= {key: known[key] for key in kept if key in known and key not in fresh}
        if target.description is None and "DESC" not in target.sampling.fields and info.name not in self._asked:
            self._asked.add(info.name)
            self.fields.ask(info.name, "DESC")
        if fresh != known:
            self._pending[pv] = fresh

    def _found(self, name: str, field: str, text: str) -> None:
        self._asked.discard(name)
        pv = self._store.registry.ids.get(name)
        if pv is None:
            return
        known = self.known(pv)
        if known.get(field, "") != text:
            self._pending[pv] = {**known, field: text} if text else {k: v for k, v in known.items() if k != field}

    def begin_save(self) -> dict[int, dict[str, str]]:
        """What is new since the last time, to be written by another thread; `end_save` must follow."""
        self._writing, self._pending = self._pending, {}
        return self._writing

    def end_save(self, written: bool) -> None:
        """It is in the registry; or else it must be written the next time."""
        if not written:
            self._pending = {**self._writing, **self._pending}
        self._writing = {}
