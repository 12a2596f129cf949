"""`owl runkey new, clone, rename, add, set, edit, rm`: making and changing runkeys of the staging area."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from db.cli import complete
from db.cli.common import (
    CommentOption,
    EditedArgument,
    JsonOption,
    NameArgument,
    PathArgument,
    RoleArgument,
    SiteOption,
    StateOption,
    YesOption,
    confirm,
    count_text,
    fail,
    opened,
    print_json,
)
from db.cli.editor import in_editor
from db.cli.history import KeyArgument

if TYPE_CHECKING:
    from db.cli.keys import Key
    from db.cli.names import Target
    from db.edit import Edit
    from db.nodes import NewPayload, Node
    from db.runkeys import RunkeyInfo
    from db.store import Store

NewNameArgument = Annotated[
    str, typer.Argument(metavar="NEW", show_default=False, help="At most 39 bytes, no /; blanks inside are fine.")
]
FileOption = Annotated[
    Path | None, typer.Option("--file", "-f", help="Take the content of this file (- is standard input).")
]


def new(
    name: NewNameArgument,
    comment: CommentOption = "",
    as_json: JsonOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Make an empty runkey, to be filled with `add`; `import`, `snapshot` and `clone` make full ones."""
    from db.nodes import NewObject

    with opened(site, state) as store:
        _say(store.staging.create(name, NewObject("runkey", ""), comment), as_json, "made")


def clone(
    name: NameArgument,
    new: NewNameArgument,
    comment: CommentOption = "",
    as_json: JsonOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Make a runkey of the same content under a new name: at once, whatever its size. Then edit that.

    One that only the backend has is fetched first.
    """
    from db.cli.names import resolve

    with opened(site, state) as store:
        target = resolve(store, name)
        if target.runkeys is store.staging:
            info = store.staging.clone(target.key, new, comment)
        elif target.past:
            fail("that is an earlier revision in the backend; fetch the runkey first (owl runkey fetch)", 2)
        else:
            info = store.fetch(target.info.name, new)
        _say(info, as_json, "made")


def rename(
    name: EditedArgument,
    new: NewNameArgument,
    as_json: JsonOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Give a runkey of the staging area another name."""
    with opened(site, state) as store:
        info = store.staging.rename(staged(store, name).info.name, new)
        _say(info or store.staging.info(new), as_json, "renamed to")


def add(
    name: EditedArgument,
    path: Annotated[str, typer.Argument(metavar="PATH", show_default=False, help="Of the new object.")],
    kind: Annotated[str, typer.Argument(metavar="TYPE", show_default=False, help="felix, optoboard, frontend, …")],
    serial: Annotated[str, typer.Option("--serial", help="The maker's serial number.")] = "",
    edge: Annotated[list[str] | None, typer.Option("--edge", help="rx=4, tx=2, enable=1, locked=0.")] = None,
    meta: Annotated[list[str] | None, typer.Option("--meta", help="KEY=VALUE; may be repeated.")] = None,
    view: Annotated[str, typer.Option("--view", help="daq, power, cooling, …")] = "daq",
    chip: Annotated[Path | None, typer.Option("--chip", help="Its configuration: a YARR chip file.")] = None,
    comment: CommentOption = "",
    as_json: JsonOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Add an object: a FELIX, an optoboard, a front-end, a subsystem, …"""
    from db.cli.keys import edge_value
    from db.cli.names import Target, place
    from db.nodes import NewObject

    above, _, last = path.rstrip("/").rpartition("/")
    if not last:
        raise typer.BadParameter(f"{path!r} names no object; write for example /FELIX1/OB1", param_hint="PATH")
    facts = {k: edge_value(k, v, f"{path} edge") for k, v in pairs(edge, "--edge")}
    metas = {k: edge_value(f"meta {k}", v, f"{path} meta") for k, v in pairs(meta, "--meta")}
    with opened(site, state) as store:
        payloads = _parse_chip(chip.read_bytes(), str(chip)) if chip is not None else []
        with store.staging.edit(staged(store, name).info.name, comment or f"add {path}") as change:
            parent = Target(store.staging, change.base).node(above or "/")
            pos = 1 + max((child.pos for child in parent.children if child.view == view), default=-1)
            thing = NewObject(kind, last, serial=serial, meta=metas, payloads=payloads)
            change.add(place(parent), thing, view=view, pos=pos, edge=facts)
        _say(change.result, as_json, "changed")


def pairs(words: list[str] | None, option: str) -> list[tuple[str, str]]:
    """KEY=VALUE words of an option."""
    pairs = []
    for word in words or ():
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"{word!r} is not KEY=VALUE", param_hint=option)
        pairs.append((key, value))
    return pairs


def set_(
    name: EditedArgument,
    path: PathArgument,
    key: KeyArgument,
    value: Annotated[str, typer.Argument(metavar="VALUE", show_default=False)],
    comment: CommentOption = "",
    as_json: JsonOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Change one value: a register (DiffTh1L), a setpoint (DEMO:HV:L07:VSet), a pixel (pixels:12,300.TDAC), a
    connection's property (rx, tx, enable, locked), serial, or meta:KEY. What the chip or PV can't have is refused."""
    from db.cli.keys import key_of, value_text
    from db.cli.names import Target, place

    with opened(site, state) as store:
        with store.staging.edit(staged(store, name).info.name) as change:
            target = Target(store.staging, change.base)
            node = target.node(path)
            found = key_of(target, node, key)
            old = _old(found, target, node)
            change.comment = comment or f"{node.path} {found.shown} = {value}"
            _set(change, target, node, found, value)
        info = change.result
        now = found.read(after := Target(store.staging, info), after.node(place(node)))
        if as_json:
            print_json({"runkey": info.plain(), "path": node.path, "key": str(found), "old": old, "value": now})
        elif info.revision == target.info.revision:
            typer.echo(f"{node.path} {found.shown} is {value_text(old)} already; nothing was changed")
        else:
            typer.echo(f"{node.path} {found.shown}: {'none' if old is None else value_text(old)} -> {value_text(now)}")
            _say(info, False, "changed")


def _old(key: Key, target: Target, node: Node) -> Any:
    from db.errors import NotFound

    try:
        return key.read(target, node)
    except NotFound:  # a property that is to be added
        if key.kind not in ("edge", "meta"):
            raise
        return None


def _set(change: Edit, target: Target, node: Node, key: Key, value: str) -> None:
    from db.cli.contents import check_content
    from db.cli.keys import edge_value, new_content
    from db.cli.names import place

    path = place(node)
    if key.kind == "serial":
        change.set_serial(path, value)
    elif key.kind == "edge":
        change.update_edge(path, {key.inner: edge_value(key.inner, value, f"{path} edge")})
    elif key.kind == "meta":
        change.update_meta(path, {key.inner: edge_value("meta", value, f"{path} meta")})
    else:
        info = node.payloads[key.kind]
        before = target.runkeys.payload_by_hash(info.sha256)
        content = new_content(key, node, before, value)
        if content != before:
            check_content(content, key.kind, info.type, info.format, info.meta, f"{path} {key.kind}")
            change.put(path, key.kind, content)


def edit(
    name: EditedArgument,
    path: PathArgument,
    role: RoleArgument,
    file: FileOption = None,
    kind: Annotated[str | None, typer.Option("--type", help="Of a new payload: config, scan_config, mask, …")] = None,
    form: Annotated[str | None, typer.Option("--format", help="Of a new payload: json, text, raw, pixels.")] = None,
    comment: CommentOption = "",
    as_json: JsonOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Change a payload in $EDITOR, or replace it by a file. What can't be is refused with its line.

    The role `chip` is a front-end's whole YARR file: `owl runkey edit NAME PATH chip --file tuned.json`.
    """
    from db.cli.names import Target

    with opened(site, state) as store:
        with store.staging.edit(staged(store, name).info.name) as change:
            _edit(change, Target(store.staging, change.base), path, role, file, kind, form)
            change.comment = comment or f"edit {path} {role}"
        if change.result.revision == change.base.revision:
            typer.echo("nothing was changed", err=as_json)
        _say(change.result, as_json, "changed" if change.result.revision != change.base.revision else "still")


def _edit(
    change: Edit, target: Target, path: str, role: str, file: Path | None, kind: str | None, form: str | None
) -> None:
    from db.cli.contents import check_content
    from db.cli.look import CHIP, content_of
    from db.cli.names import place

    node = target.node(path)
    whole = role == CHIP and CHIP not in node.payloads
    info = node.payloads.get(role)
    format_ = form or (info.format if info is not None else "json")
    type_ = kind or (info.type if info is not None else "config")
    meta = dict(info.meta) if info is not None else {}
    shown = str(file) if file is not None else f"{node.path} {role}"
    payloads: list[NewPayload] = []

    def check(content: bytes) -> None:
        if whole:
            payloads[:] = _parse_chip(content, shown)
        else:
            check_content(content, role, type_, format_, meta, shown)

    if file is not None:
        content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        check(content)
    else:
        if format_ in ("pixels", "raw"):
            fail(f"{node.path} {role} is binary; give its new content as a file: --file FILE", 2)
        before = content_of(target, node, role) if info is not None or whole else b"{}\n"
        ending = "txt" if format_ == "text" else "json"
        content = in_editor(before, f"{node.name or target.info.name}-{role}.{ending}", check)
        if content == before:
            return
    if whole:
        _put_chip(change, node, payloads)
    elif info is not None:
        change.put(place(node), role, content)
    else:
        change.put(place(node), role, content, type=type_, format=format_, name="", meta=meta)


def _put_chip(change: Edit, node: Node, payloads: list[NewPayload]) -> None:
    """All payloads of a chip file; of what it replaces nothing stays."""
    from db.cli.names import place

    where = place(node)
    for new in payloads:
        change.put(where, new.role, new.content, type=new.type, format=new.format, name=new.name, meta=new.meta)
    if "source" in node.payloads and all(new.role != "source" for new in payloads):
        change.drop(where, "source")


def _parse_chip(content: bytes, file: str) -> list[NewPayload]:
    from db.chips.chipfile import chip_payloads

    return chip_payloads(content, file)


def rm(
    name: EditedArgument,
    path: PathArgument,
    role: Annotated[
        str | None,
        typer.Argument(metavar="ROLE", help="A payload, instead of the object.", autocompletion=complete.roles),
    ] = None,
    yes: YesOption = False,
    comment: CommentOption = "",
    as_json: JsonOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Take an object and all below it, or one payload, out of a runkey. Earlier revisions keep it."""
    from db.cli.names import place
    from db.errors import NotFound

    with opened(site, state) as store:
        target = staged(store, name)
        node = target.node(path)
        if role is not None and role not in node.payloads:
            raise NotFound(f"{node.path} has no payload {role!r}; it has {', '.join(node.payloads) or 'none'}")
        if role is None and node.parent is None:
            fail(f"/ is the whole runkey; owl runkey delete {shlex.quote(name)} takes it away", 2)
        below = sum(1 for _ in node.walk()) - 1
        if role is None and below:
            confirm(f"Take {node.path} and {count_text(below, 'object')} below it out of {name!r}?", yes)
        what = f"{node.path} {role}" if role else node.path
        with store.staging.edit(target.info.name, comment or f"remove {what}") as change:
            if role is not None:
                change.drop(place(node), role)
            else:
                change.remove(place(node))
        _say(change.result, as_json, "changed")


def staged(store: Store, name: str) -> Target:
    """A runkey of the staging area that may be changed; NotFound and Forbidden say what to do instead."""
    from db.cli.names import resolve
    from db.errors import Forbidden

    target = resolve(store, name)
    quoted = shlex.quote(target.info.name)
    if target.past:
        raise Forbidden(f"{name!r} is a past revision, which never changes; owl runkey clone {shlex.quote(name)} NEW")
    if target.runkeys is not store.staging:
        raise Forbidden(f"{name!r} is in the backend only, where nothing changes; owl runkey clone {quoted} NEW")
    if target.info.committed:
        raise Forbidden(f"{name!r} is committed and never changes any more; owl runkey clone {quoted} NEW")
    return target


def _say(info: RunkeyInfo, as_json: bool, what: str) -> None:
    if as_json:
        print_json({"runkey": info.plain()})
    else:
        typer.echo(f"{what} {info.name!r}, revision {info.number}, {info.digest[:8]}")


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("set", context_settings={"ignore_unknown_options": True})(set_)  # a value may be negative
    for command in (new, clone, rename, add, edit, rm):
        app.command()(command)
