"""What an IOC says about itself in `IOC:Catalogue`, as far as screens need it. Imports no Qt."""

from __future__ import annotations

import json
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Catalogue:
    """The objects of an IOC and their attributes, in the order in which the IOC declares them.

    `objects` maps, for example, ``L07`` to ``("VMon", "VSet", ...)``; attributes of the IOC itself are under ``""``.
    """

    objects: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def having(self, *attributes: str) -> list[str]:
        """Names of the objects that have all of `attributes`."""
        wanted = set(attributes)
        return [name for name, own in self.objects.items() if name and wanted <= set(own)]


def parse(text: str, prefix: str) -> Catalogue:
    """Read the JSON of `IOC:Catalogue` of the IOC whose names begin with `prefix`; ValueError when it is none."""
    document = json.loads(text)
    entries = document.get("pvs") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError("no list of PVs")
    objects: dict[str, list[str]] = {}
    for entry in entries:
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not name.startswith(prefix):
            continue
        owner, colon, attribute = name.removeprefix(prefix).partition(":")
        if not colon:
            owner, attribute = "", owner
        objects.setdefault(owner, []).append(attribute)
    return Catalogue({name: tuple(attributes) for name, attributes in objects.items()})
