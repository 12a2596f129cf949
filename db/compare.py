"""What differs between two runkeys, by content: registers, pixel maps, setpoints, connectivity.

`describe` turns the paths and hashes of a tree diff into that. `RunkeyDiff.as_dict` is:

    {"counts": {"objects", "added", "removed", "changed", "registers", "values", "maps", "pixels", "setpoints", "edges",
                "others"},           numbers; objects = added + removed + changed; maps of pixels, changed pixels
     "added": [{"path", "type", "objects"}],  objects: with all below it
     "removed": [the same],
     "parents": [{"path", and the counts of the objects directly below it}],
     "groups": [{"role", "key", "before", "after", "objects", "paths"}],   registers that changed alike, most first
     "changes": [CHANGE, …], "more": 0}       what is at and below `path`; without `full`, `more` counts those left out

    CHANGE = {"kind": "register" | "value", "path", "role", "key", "before", "after"}        null: it is not there
           | {"kind": "setpoint", "path", "role", "pv", "before", "after", "units", "about"}
           | {"kind": "pixels", "path", "role", "chip", "cols", "rows", "enable", "injen", "hitbus", "tdac", "other",
              "changed", "tdac_mean", "tdac_rms", "before", "after"}              counts of pixels; sha256s of the maps
           | {"kind": "edge", "path", "key", "before", "after"}
           | {"kind": "other", "path", "what", "role", "before", "after"}    in words
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from db.blobs import get_blobs
from db.compare_items import Edge, Item, Other, Pixels, Setpoint, Value, dict_items, payload_items, payload_words, short
from db.nodes import VIEW, PayloadInfo
from db.rows import fetch_in

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from db import diff
    from db.diff import Change, TreeDiff
    from db.runkeys import Runkeys
    from db.store import Store

SHOWN = 200
"""Changes that as_dict lists without `full`."""
PATHS = 10
"""Paths that a group names."""
_TOGETHER = 32
"""Changed payloads whose contents are in memory at one time."""
COUNTS = ("added", "removed", "changed", "registers", "values", "maps", "pixels", "setpoints", "edges", "others")


@dataclass(frozen=True, slots=True)
class Place:
    """An object that only one side has."""

    path: str
    type: str
    objects: int
    """Itself and all below it."""


@dataclass(frozen=True, slots=True)
class Group:
    """The same change of a value in many objects."""

    role: str
    key: str
    before: Any
    after: Any
    paths: tuple[str, ...]


@dataclass
class RunkeyDiff:
    """The differences, described."""

    added: list[Place]
    removed: list[Place]
    items: list[Item]
    changed: list[str]
    """Paths of objects that both sides have."""
    before: Runkeys | None = field(default=None, repr=False)
    after: Runkeys | None = field(default=None, repr=False)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.added or self.removed or self.items or self.changed)

    def counts(self) -> dict[str, int]:
        """How much of everything."""
        return {"objects": sum(p.objects for p in [*self.added, *self.removed]) + len(self.changed)} | _counts(
            self.added, self.removed, self.changed, self.items
        )

    def parents(self) -> dict[str, dict[str, int]]:
        """Path of a parent -> the counts of what differs in its children (and, for `/`, in the root)."""
        paths = sorted({parent(p) for p in self.paths()}, key=path_order)
        parts: dict[str, tuple[list[Place], list[Place], list[str], list[Item]]] = {p: ([], [], [], []) for p in paths}
        for place in self.added:
            parts[parent(place.path)][0].append(place)
        for place in self.removed:
            parts[parent(place.path)][1].append(place)
        for path in self.changed:
            parts[parent(path)][2].append(path)
        for item in self.items:
            parts[parent(item.path)][3].append(item)
        return {path: _counts(*lists) for path, lists in parts.items()}

    def paths(self) -> Iterator[str]:
        """Of all that differs, perhaps several times."""
        for place in (*self.added, *self.removed):
            yield place.path
        yield from self.changed
        for item in self.items:
            yield item.path

    def groups(self, path: str = "/") -> list[Group]:
        """Values that changed in the same way in several objects or in one, the most frequent first."""
        found: dict[tuple[str, str, str, str], list[Value]] = {}
        for item in self.below(path):
            if isinstance(item, Value):
                found.setdefault((item.role, item.key, repr(item.before), repr(item.after)), []).append(item)
        ordered = sorted(found.values(), key=lambda values: (-len(values), values[0].role, values[0].key))
        return [Group(v[0].role, v[0].key, v[0].before, v[0].after, tuple(item.path for item in v)) for v in ordered]

    def below(self, path: str = "/") -> list[Item]:
        """What differs at and below a path."""
        return [item for item in self.items if is_below(item.path, path)]

    def as_text(self, path: str = "/", full: bool = False, width: int = 100) -> str:
        """For terminals: counts per parent first; details of what is at and below `path`; all of them when `full`."""
        from db.compare_text import text_of

        return text_of(self, path, full, width)

    def as_dict(self, path: str = "/", full: bool = False) -> dict[str, Any]:
        """For `--json`; the form is in this module's docstring."""
        items = self.below(path)
        shown = items if full else items[:SHOWN]
        return {
            "counts": self.counts(),
            "added": [asdict(place) for place in self.added if is_below(place.path, path)],
            "removed": [asdict(place) for place in self.removed if is_below(place.path, path)],
            "parents": [{"path": p, **counts} for p, counts in self.parents().items() if is_below(p, path)],
            "groups": [
                {
                    "role": group.role,
                    "key": group.key,
                    "before": group.before,
                    "after": group.after,
                    "objects": len(group.paths),
                    "paths": list(group.paths if full else group.paths[:PATHS]),
                }
                for group in self.groups(path)[: None if full else SHOWN]
            ],
            "changes": [_plain(item) for item in shown],
            "more": len(items) - len(shown),
        }

    def write_pictures(self, folder: Path) -> list[Path]:
        """A PNG per changed pixel map (before, what changed, after), and an index.html that shows them."""
        from db.compare_pages import write_pages

        return write_pages(self, folder)

    def contents(self, item: Pixels) -> tuple[bytes, bytes]:
        """The two maps of a change."""
        if self.before is None or self.after is None:
            raise RuntimeError("this description came without its databases")
        return self.before.payload_by_hash(item.before), self.after.payload_by_hash(item.after)


def describe(found: TreeDiff, before: Runkeys, after: Runkeys) -> RunkeyDiff:
    """What a tree diff means; `before` and `after` hold the contents."""
    items: list[Item] = []
    payloads: list[tuple[str, PayloadInfo, PayloadInfo]] = []
    for change in found.changed:
        if change.what == "payload" and change.before is not None and change.after is not None:
            payloads.append((shown_path(change), change.before, change.after))
        else:
            items += _small(change, shown_path(change))
    with before.database.read() as one, after.database.read() as two:
        for start in range(0, len(payloads), _TOGETHER):
            some = payloads[start : start + _TOGETHER]
            a = _contents(one, (x for _, x, _ in some))
            b = _contents(two, (y for _, _, y in some))
            for path, x, y in some:
                items += payload_items(path, x, y, a[x.sha256], b[y.sha256])
        removed, added = _places(one, found.removed), _places(two, found.added)
    items.sort(key=lambda item: path_order(item.path))
    changed = sorted({shown_path(change) for change in found.changed}, key=path_order)
    return RunkeyDiff(added, removed, items, changed, before, after)


def compare_runkeys(store: Store, a: str, b: str, view: str | None = None) -> RunkeyDiff:
    """What changed from runkey `a` to `b` (names or digests, in either database)."""
    from db.diff import diff_trees

    one, two = store.find(a), store.find(b)
    with one.database.read() as before, two.database.read() as after:
        found = diff_trees((before, one.root(a)), (after, two.root(b)), view)
    return describe(found, one, two)


def _small(change: Change, path: str) -> Iterable[Item]:
    a, b = change.before, change.after
    if change.what in ("edge", "meta"):
        return dict_items(path, dict(a or {}), dict(b or {}), change.what)
    if change.what == "payload":
        words = [payload_words(info) if isinstance(info, PayloadInfo) else "" for info in (a, b)]
        return [Other(path, "payload", change.role, *words)]
    return [Other(path, change.what, change.role, short(a), short(b))]


_BELOW = """
WITH RECURSIVE reach(top, id) AS (
  SELECT id, id FROM object WHERE id IN {ids}
  UNION
  SELECT reach.top, c.child_id FROM reach JOIN connection c ON c.parent_id = reach.id
)
SELECT top, count(*) FROM reach GROUP BY top"""


def _places(connection: Connection, places: Iterable[diff.Place]) -> list[Place]:
    """With the number of objects; one in several places stands once."""
    found = {place.id: place for place in reversed(list(places))}
    sizes = {row[0]: row[1] for row in fetch_in(connection, _BELOW, found)}
    made = [Place(shown_path(place), place.type, sizes.get(place.id, 1)) for place in found.values()]
    return sorted(made, key=lambda place: path_order(place.path))


def shown_path(place: Change | diff.Place) -> str:
    """Its path, with the view where it is not the usual one."""
    return place.path if place.view == VIEW else f"{place.view}:{place.path}"


def _contents(connection: Connection, infos: Iterable[PayloadInfo]) -> dict[str, bytes]:
    hashes = [bytes.fromhex(info.sha256) for info in infos]
    return {sha.hex(): content for sha, content in get_blobs(connection, hashes)}


def _counts(
    added: Iterable[Place], removed: Iterable[Place], changed: Iterable[str], items: Iterable[Item]
) -> dict[str, int]:
    counted: Counter[str] = Counter(dict.fromkeys(COUNTS, 0))
    counted["added"] = sum(place.objects for place in added)
    counted["removed"] = sum(place.objects for place in removed)
    counted["changed"] = len(list(changed))
    for item in items:
        match item:
            case Value():
                counted["registers" if item.register else "values"] += 1
            case Pixels():
                counted["maps"] += 1
                counted["pixels"] += item.changed
            case Setpoint():
                counted["setpoints"] += 1
            case Edge():
                counted["edges"] += 1
            case Other():
                counted["others"] += 1
    return {name: counted[name] for name in COUNTS}


def _plain(item: Item) -> dict[str, Any]:
    plain = asdict(item)
    if isinstance(item, Value):
        kind = "register" if plain.pop("register") else "value"
    else:
        kind = type(item).__name__.lower()
    return {"kind": kind, **plain}


def parent(path: str) -> str:
    """The path of what is above; of the root itself."""
    above = path.rpartition("/")[0]
    return f"{above}/" if above.endswith(":") or not above else above


def is_below(path: str, top: str) -> bool:
    """Whether a path is `top` or below it."""
    top = top.rstrip("/")
    if top and not top.startswith("/") and ":/" not in top:
        top = f"/{top}"
    return not top or path == top or path.startswith(f"{top}/")


def path_order(path: str) -> list[tuple[str, int, str]]:
    """For sorting: FE2 before FE10."""
    order = []
    for name in path.split("/"):
        digits = len(name) - len(name.rstrip("0123456789"))
        stem, number = (name[:-digits], name[-digits:]) if 0 < digits < 10 else (name, "0")
        order.append((stem, int(number), name))
    return order
