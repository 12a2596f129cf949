"""`owl runkey list, show, tree, get`: what there is."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from db.cli import complete
from db.cli.common import (
    BackendOption,
    JsonOption,
    NameArgument,
    OutputOption,
    PathArgument,
    RoleArgument,
    SiteOption,
    StateOption,
    count_text,
    fail,
    opened,
    print_facts,
    print_json,
    print_table,
    size_text,
    write_file,
)
from db.cli.moments import local_text

if TYPE_CHECKING:
    from db.cli.names import Target
    from db.nodes import Node
    from db.runkeys import RunkeyInfo

CHIP = "chip"
"""The role that stands for a front-end's whole chip file, put together of its payloads."""


class Field(StrEnum):
    """What of a pixel is drawn."""

    TDAC = "tdac"
    ENABLE = "enable"
    INJEN = "injen"
    HITBUS = "hitbus"


ViewOption = Annotated[str, typer.Option("--view", help="daq, power, cooling, …")]
BelowOption = Annotated[
    str, typer.Option("--path", help="Only what is here and below.", autocompletion=complete.paths, show_default=False)
]


def list_(
    pattern: Annotated[str, typer.Argument(metavar="GLOB", help="Names, with * and ?.")] = "*",
    tag: Annotated[
        str | None, typer.Option("--tag", "-t", help="Only those with this tag.", autocompletion=complete.tags)
    ] = None,
    text: Annotated[str, typer.Option("--text", help="Only those with this in name, comment or author.")] = "",
    backend: BackendOption = False,
    as_json: JsonOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """List the runkeys. Exit code 1 when none fits."""
    from db.cli.plain import plain_health

    with opened(site, state) as store:
        areas = [store.backend] if backend else [store.staging, store.backend]
        found = [info for runkeys in areas for info in runkeys.list(pattern, tag=tag, text=text)]
        if as_json:
            print_json({"runkeys": [i.plain() for i in found], "databases": plain_health(store)})
            return
    if not found:
        if pattern != "*" or tag or text:
            fail("no runkey fits that")
        typer.echo("there are no runkeys yet; make one: owl runkey init --demo, or owl runkey import FOLDER")
        return
    print_table(
        ("name", "rev", "digest", "where", "changed", "by", "tags", "comment"),
        [_row(info, where) for info, where in _merged(found)],
        right={1},
    )


def _merged(found: list[RunkeyInfo]) -> Iterator[tuple[RunkeyInfo, str]]:
    """One for each name; what both databases have alike is said once."""
    both = Counter((info.name, info.digest) for info in found)
    said = set()
    for info in sorted(found, key=lambda i: (i.name, i.where)):
        key = (info.name, info.digest)
        if key not in said:
            yield info, "staging, backend" if both[key] > 1 else info.where
        said.add(key)


def _row(info: RunkeyInfo, where: str) -> tuple[str, ...]:
    comment = " ".join(info.comment.split())
    if len(comment) > 50:
        comment = comment[:49] + "…"
    return (
        info.name,
        str(info.number),
        info.digest[:8],
        where,
        local_text(info.created),
        info.author,
        ", ".join(info.tags),
        comment,
    )


def show(
    name: NameArgument,
    backend: BackendOption = False,
    as_json: JsonOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """All about one runkey on a page: what, who, when, why, tree, setpoints, tags, validity."""
    from db.cli.names import resolve
    from db.cli.summary import page, summary

    with opened(site, state) as store:
        target = resolve(store, name, backend)
        content = summary(store, target)
        if as_json:
            print_json(content.plain())
        else:
            for line in page(content):
                typer.echo(line)


def tree(
    name: NameArgument,
    path: BelowOption = "/",
    depth: Annotated[int, typer.Option("--depth", "-d", min=0, help="Levels at most; 0: all.")] = 0,
    view: ViewOption = "daq",
    backend: BackendOption = False,
    as_json: JsonOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Show a runkey as a tree: front-ends with Rx, Tx, enabled and locked, and every object's payloads."""
    from db.cli.drawing import draw
    from db.cli.names import resolve
    from db.cli.plain import plain_node

    with opened(site, state) as store:
        target = resolve(store, name, backend)
        all_of_it = target.tree(view, payloads=True)
        top = all_of_it.node(path)
        if as_json:
            node = plain_node(top, depth or None)
            info = target.info.plain()
            print_json({"runkey": info, "view": view, "objects": len(all_of_it), "root": node})
            return
        title = f"{target.info.name}  (revision {target.info.number}, {target.info.digest[:8]})"
        for line in draw(top, title if top.parent is None else f"{target.info.name} {top.path}", depth or None):
            typer.echo(line)
        counts = Counter(node.type for node in top.walk() if node is not top)
        typer.echo(", ".join(count_text(n, kind) for kind, n in sorted(counts.items())) or "nothing below")


def get(
    name: NameArgument,
    path: PathArgument,
    role: RoleArgument,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Write a PNG of the pixel map to this file.")
    ] = None,
    field: Annotated[Field, typer.Option("--field", help="What of the pixels is drawn.")] = Field.TDAC,
    output: OutputOption = None,
    backend: BackendOption = False,
    as_json: JsonOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Print a payload, to the byte. The role `chip` is a front-end's whole YARR file, put together of its payloads.

    On a terminal a pixel map is drawn, and other binary content is not printed: give a file with -o.
    """
    from db.cli.names import resolve
    from db.cli.plain import plain_content

    with opened(site, state) as store:
        target = resolve(store, name, backend)
        node = target.node(path)
        if picture is not None:
            write_file(picture, _picture(target, node, role, field))
        if as_json:
            content = content_of(target, node, role)
            print_json(plain_content(target.info, node, role, content))
            return
        if picture is not None and output is None:
            return
        content = content_of(target, node, role)
        if output is not None:
            write_file(output, content)
            return
        kind = node.payloads[role].format if role in node.payloads else "json"
        if sys.stdout.isatty() and kind in ("pixels", "raw"):
            _on_terminal(node, role, content, field)
            return
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()


def content_of(target: Target, node: Node, role: str) -> bytes:
    """The content of a payload, or the chip file that the payloads make; NotFound says which roles there are."""
    from db.errors import NotFound

    if role == CHIP and role not in node.payloads and {"config", "pixels"} & set(node.payloads):
        return _chip_file(target, node)
    if role not in node.payloads:
        roles = ", ".join(node.payloads) or "none"
        raise NotFound(f"{target.info.name}: {node.path} has no payload {role!r}; it has {roles}")
    return target.runkeys.payload_by_hash(node.payloads[role].sha256)


def _chip_file(target: Target, node: Node) -> bytes:
    from db.chips.chipfile import chip_file

    contents = {
        info.role: (target.runkeys.payload_by_hash(info.sha256), dict(info.meta))
        for info in node.payloads.values()
        if info.role in ("config", "pixels", "source")
    }
    return chip_file(contents, f"{target.info.name} {node.path}")


def _picture(target: Target, node: Node, role: str, field: Field) -> bytes:
    from db.cli.pixelmaps import map_picture

    info = node.payloads.get(role)
    if info is None or info.format != "pixels":
        fail(f"{node.path}: {role} is no pixel map, so there is no picture of it", 2)
    return map_picture(content_of(target, node, role), info.meta, field.value, f"{target.info.name} {node.path}")


def _on_terminal(node: Node, role: str, content: bytes, field: Field) -> None:
    info = node.payloads[role]
    if info.format != "pixels":
        fail(f"{node.path}: {role} is {size_text(len(content))} of binary content; give a file with -o FILE", 2)
    from db.cli.pixelmaps import map_facts, map_lines

    print_facts(map_facts(content, info.meta))
    for line in map_lines(content, info.meta, field.value):
        typer.echo(line)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("list")(list_)
    for command in (show, tree, get):
        app.command()(command)
