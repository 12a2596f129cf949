"""What subsystems fetch from the database because Channel Access is no way for it: chip configurations, masks, scans.

    with open_store(site) as store:
        chip = frontend(store, applied_id, "/FELIX1/OB1/FE3", applied_hash)
        chip.config["GlobalConfig"]["DiffTh1L"], chip.pixels.shape, chip.edge["rx"]

Channel Access carries a runkey's id and hash (`AppliedId`, `AppliedHash`). What is fetched is checked all the way: each
content against its sha256, each object on the path against its digest, and the root against the hash.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from db.blobs import get_blobs
from db.chips.chipfile import chip_file
from db.chips.pixels import Map, decode
from db.config import open_store
from db.digests import object_digest
from db.edit import parse_path
from db.errors import BadInput, Damaged
from db.history import node_at

if TYPE_CHECKING:
    from db.nodes import Node
    from db.store import Store

__all__ = ["Content", "Frontend", "fetch", "frontend", "frontends", "open_store"]


@dataclass(frozen=True, slots=True)
class Content:
    """A payload with its content."""

    role: str
    type: str
    format: str
    """json, pixels, text or raw."""
    name: str
    sha256: str
    meta: dict[str, Any]
    data: bytes = field(repr=False)

    def json(self) -> Any:
        """What a json payload says; BadInput when it is none."""
        try:
            return orjson.loads(self.data)
        except orjson.JSONDecodeError as error:
            raise BadInput(f"{self.role}: line {error.lineno}: this is no JSON: {error.msg}") from None


@dataclass(frozen=True, slots=True)
class Fetched:
    """An object of a runkey with its payloads."""

    path: str
    type: str
    name: str
    serial: str
    meta: dict[str, Any]
    edge: dict[str, Any]
    """What belongs to its place: rx, tx, enable, locked."""
    digest: str
    payloads: dict[str, Content]
    """By role."""


@dataclass(frozen=True, slots=True)
class Frontend:
    """A front-end chip, ready to be configured."""

    path: str
    chip: str
    """RD53A, RD53B, ITKPIXV2 or FE-I4B."""
    name: str
    """The chip's own (its serial number, or the name of the object)."""
    config: dict[str, Any]
    """The blocks of the chip file without PixelConfig: GlobalConfig, Parameter."""
    pixels: Map
    """uint8 [cols, rows], one byte a pixel as in `db.chips.pixels`."""
    edge: dict[str, Any]
    """rx, tx, enable, locked."""
    payloads: dict[str, Content] = field(repr=False)

    def file(self) -> bytes:
        """The chip file as it was imported."""
        return chip_file({role: (p.data, p.meta) for role, p in self.payloads.items()}, self.path)


def fetch(store: Store, runkey: str, path: str, digest: str = "", *, roles: tuple[str, ...] | None = None) -> Fetched:
    """The object at `path` of a runkey (its name, or the id that Channel Access carries), with its payloads.

    `digest`: the hash that the runkey must have. `roles`: only these payloads. NotFound; Damaged when anything on the
    way from the root to the content is not what the hash says.
    """
    runkeys = store.find(runkey)
    root = runkeys.root(runkey)
    view, names = parse_path(path)
    with runkeys.database.read() as connection:
        node = node_at(connection, root, names, view)
        _check(node, digest, runkey)
        infos = [info for role, info in node.payloads.items() if roles is None or role in roles]
        found = dict(get_blobs(connection, list({bytes.fromhex(info.sha256) for info in infos})))
    payloads = {
        info.role: Content(
            info.role, info.type, info.format, info.name, info.sha256, info.meta, found[bytes.fromhex(info.sha256)]
        )
        for info in infos
    }
    edge = node.edge if node.parent is not None else {}
    return Fetched(node.path, node.type, node.name, node.serial, node.meta, edge, node.digest, payloads)


def frontend(store: Store, runkey: str, path: str, digest: str = "") -> Frontend:
    """The front-end at `path`; as `fetch`. BadInput when the object is none."""
    return _frontend(fetch(store, runkey, path, digest))


def frontends(store: Store, runkey: str, digest: str = "", *, below: str = "/") -> Iterator[Frontend]:
    """All front-ends below a path, one after another; as `frontend`."""
    tree = store.find(runkey).tree(runkey)
    for node in tree.node(below).walk():
        if node.type == "frontend":
            yield frontend(store, tree.root.id, node.path, digest)


def _frontend(found: Fetched) -> Frontend:
    if missing := [role for role in ("config", "pixels") if role not in found.payloads]:
        raise BadInput(f"{found.path}: is no front-end: it has no payload {' and no '.join(missing)}")
    config, pixels = found.payloads["config"], found.payloads["pixels"]
    chip = str(pixels.meta.get("chip", ""))
    content = config.json()
    if not isinstance(content, dict) or chip not in content:
        raise BadInput(f"{found.path}: config: is not of the chip {chip!r}, of which pixels is")
    try:
        array = decode(pixels.data, chip)
    except (KeyError, ValueError) as error:
        raise BadInput(f"{found.path}: pixels: {error}") from None
    return Frontend(found.path, chip, found.serial or found.name, content[chip], array, found.edge, found.payloads)


def _check(node: Node, digest: str, runkey: str) -> None:
    """Every object from the node to the root is what its digest says, and the root what `digest` says."""
    above: Node | None = node
    while above is not None:
        payloads = [(p.role, p.type, p.name, p.format, p.sha256, p.meta) for p in above.payloads.values()]
        children = [(c.view, c.pos, c.edge, c.name, c.digest) for c in above.children]
        made = object_digest(above.type, above.name, above.serial, above.meta, payloads, children)
        if made.hex() != above.digest:
            raise Damaged(f"{runkey}: {above.path} is not what its digest {above.digest} says")
        if above.parent is None and digest and above.digest != digest.lower():
            raise Damaged(f"{runkey} has the hash {above.digest}, and not {digest}")
        above = above.parent
