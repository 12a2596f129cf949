"""A front-end in a directory: its chip file, when that says all that the payloads say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from db.chips.chipfile import chip_file, chip_payloads
from db.errors import BadInput
from db.exchange.outgoing import Contents
from db.nodes import NewPayload, Node

ROLES = ("config", "pixels", "source")


@dataclass(frozen=True, slots=True)
class ChipContent:
    """A chip file, and the roles that it stands for."""

    content: bytes
    roles: tuple[str, ...]


def chip_content(contents: Contents, name: str) -> ChipContent | None:
    """The chip file of payloads; None when reading it would not give back the very same payloads."""
    if not {"config", "pixels"} <= contents.keys():
        return None
    roles = tuple(role for role in ROLES if role in contents)
    try:
        data = chip_file({role: (contents[role][1], contents[role][0].meta) for role in roles}, name)
        made = {payload.role: payload for payload in chip_payloads(data, name)}
    except BadInput:
        return None
    if made.keys() != set(roles) or not all(_same(made[role], contents) for role in roles):
        return None
    return ChipContent(data, roles)


def _same(made: NewPayload, contents: Contents) -> bool:
    info, content = contents[made.role]
    return (made.type, made.format, made.name, dict(made.meta), made.content) == (
        info.type,
        info.format,
        info.name,
        info.meta,
        content,
    )


def chip_file_name(node: Node) -> str:
    """How the file of a front-end is called: as it was in YARR's folder, or like the object."""
    config = node.edge.get("config")
    name = PurePosixPath(config).name if isinstance(config, str) else ""
    return name.removesuffix(".json") or node.name or "chip"


def chip_from(content: bytes, file: str) -> list[NewPayload]:
    """The payloads of a chip file. BadInput."""
    return chip_payloads(content, file)
