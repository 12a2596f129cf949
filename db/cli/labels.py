"""`owl runkey tag, untag, tags, validity`: labels, and from when to when something is to be used."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from db.cli import complete
from db.cli.common import BackendOption, CommentOption, opened
from owlshift.commands.common import JsonOption, SiteOption, StateOption, YesOption, confirm, fail
from owlshift.commands.moments import EXAMPLES, local_text, moment_option
from owlshift.commands.output import count_text, print_json, print_table

if TYPE_CHECKING:
    from db.cli.names import Target
    from db.nodes import Node
    from db.store import Store


class TagType(StrEnum):
    """What a tag is for."""

    LABEL = "LABEL"
    REFERENCE = "REFERENCE"
    GROUP = "GROUP"
    VALIDITY = "VALIDITY"
    RUNKEY = "RUNKEY"


TagArgument = Annotated[str, typer.Argument(metavar="TAG", show_default=False, autocompletion=complete.tags)]
OnRunkey = Annotated[
    str | None,
    typer.Argument(metavar="NAME", show_default=False, help="A runkey.", autocompletion=complete.names),
]
OnPath = Annotated[
    str | None,
    typer.Argument(metavar="PATH", help="An object of it, instead of all.", autocompletion=complete.paths),
]
OnRole = Annotated[
    str | None,
    typer.Argument(metavar="ROLE", help="A payload of that, instead.", autocompletion=complete.roles),
]
TypeOption = Annotated[TagType, typer.Option("--type", "-t", case_sensitive=False, help="What the tag is for.")]


def tag(
    tag: TagArgument,
    name: OnRunkey = None,
    path: OnPath = None,
    role: OnRole = None,
    kind: TypeOption = TagType.LABEL,
    members: Annotated[
        list[str] | None, typer.Option("--member", help="GROUP: a tag that is part of it, as TYPE:NAME or NAME.")
    ] = None,
    comment: CommentOption = "",
    as_json: JsonOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Put a tag on a runkey, on an object or on a payload: a LABEL to find it by, a REFERENCE to compare with, or a
    GROUP of tags. It stays on what it was put on: an edited runkey is another one."""
    if kind in (TagType.RUNKEY, TagType.VALIDITY):
        how = "owl runkey validity" if kind is TagType.VALIDITY else "the runkey itself"
        raise typer.BadParameter(f"{kind.value} tags are made by {how}", param_hint="--type")
    with opened(site, state) as store:
        if kind is TagType.GROUP:
            if name is not None:
                fail("a GROUP is of tags: --member TAG", 2)
            info, where = (
                store.staging.tag(kind.value, tag, [f"tag:{m}" for m in members or ()], comment or None),
                "staging",
            )
        else:
            if name is None:
                fail("what is the tag to be on? owl runkey tag TAG NAME [PATH [ROLE]]", 2)
            target, thing = thing_of(store, name, path, role)
            info, where = target.runkeys.tag(kind.value, tag, [thing], comment or None), target.info.where
        if as_json:
            from db.cli.marks import plain_tag

            print_json({"tag": plain_tag(info, where)})
            return
    on = " ".join(word for word in (name, path, role) if word) or ", ".join(members or ())
    typer.echo(f"tagged {on} with {info.name}" + ("" if info.type == "LABEL" else f" ({info.type.lower()})"))


def untag(
    tag: TagArgument,
    name: OnRunkey = None,
    path: OnPath = None,
    role: OnRole = None,
    kind: TypeOption = TagType.LABEL,
    backend: BackendOption = False,
    yes: YesOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Take a tag from a runkey, object or payload; without any, take it away altogether."""
    with opened(site, state) as store:
        if name is not None:
            target, thing = thing_of(store, name, path, role, backend)
            target.runkeys.untag(kind.value, tag, [thing])
            typer.echo(f"took {tag} from {' '.join(word for word in (name, path, role) if word)}")
            return
        runkeys = store.backend if backend else store.staging
        found = [info for info in runkeys.tags(type=kind.value) if info.name == tag]
        count = sum(len(info.objects) + len(info.payloads) + len(info.members) for info in found)
        if count:
            confirm(f"Take the tag {tag} away from all of its {count_text(count, 'target')}?", yes)
        runkeys.untag(kind.value, tag)
        typer.echo(f"there is no tag {tag} any more")


def tags(
    pattern: Annotated[str, typer.Argument(metavar="GLOB", help="Names, with * and ?.")] = "*",
    of: Annotated[
        str | None, typer.Option("--of", help="Only those in this runkey.", autocompletion=complete.names)
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also those that stand for the names of runkeys.")] = False,
    as_json: JsonOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """List the tags."""
    import fnmatch

    from db.cli.marks import Label, labels_of
    from db.cli.names import resolve

    with opened(site, state) as store:
        if of is not None:
            target = resolve(store, of)
            found = labels_of(target, target.tree(None, payloads=True))
        else:
            found = [
                Label(info, area)
                for area in ("staging", "backend")
                for info in getattr(store, area).tags()
                if everything or info.type != "RUNKEY"
            ]
        found = [label for label in found if fnmatch.fnmatchcase(label.info.name, pattern)]
        if as_json:
            print_json({"tags": [label.plain() for label in found]})
            return
    if not found:
        typer.echo("there are no such tags")
        return
    print_table(
        ("tag", "type", "on", "where", "made", "by", "comment"),
        [
            (
                label.info.name,
                label.info.type.lower(),
                ", ".join(label.places) or ", ".join(label.info.members) or _count(label.info),
                label.where,
                local_text(label.info.created),
                label.info.author,
                " ".join(label.info.comment.split()),
            )
            for label in found
        ],
    )


def _count(info: Any) -> str:
    parts = [(len(info.objects), "object"), (len(info.payloads), "payload")]
    return ", ".join(count_text(n, noun) for n, noun in parts if n) or "nothing"


def validity(
    tag: TagArgument,
    name: OnRunkey = None,
    path: OnPath = None,
    role: OnRole = None,
    since: Annotated[str, typer.Option("--from", "-f", help=f"{EXAMPLES}; without a zone local.")] = "now",
    until: Annotated[
        str | None, typer.Option("--until", "-u", help="The same; without it until further notice.")
    ] = None,
    at: Annotated[str | None, typer.Option("--at", help="Say what the tag means at this time.")] = None,
    backend: BackendOption = False,
    as_json: JsonOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Say from when to when a runkey, an object or a payload is what a tag means: `validity "HV 2026" NAME --from now`.

    With --at: what it means at a time; with the tag alone: all its spans. Of several that hold, the last made counts.
    """
    from db.cli.marks import plain_validity, span_text

    start, end, moment = (
        moment_option(since, "--from"),
        moment_option(until, "--until"),
        moment_option(at, "--at"),
    )
    with opened(site, state) as store:
        runkeys = store.backend if backend else store.staging
        if name is not None:
            target, thing = thing_of(store, name, path, role, backend)
            if start is None:
                raise typer.BadParameter("is needed", param_hint="--from")
            spans = [target.runkeys.set_validity(tag, thing, start, end)]
            runkeys = target.runkeys
        elif moment is not None:
            spans = [runkeys.valid(tag, moment)]
        else:
            spans = runkeys.validities(tag)
        rows = [(span, _named(runkeys, span)) for span in spans]
        if as_json:
            print_json({"tag": tag, "validity": [{**plain_validity(s), "runkeys": names} for s, names in rows]})
            return
    for span, names in rows:
        what = (
            ", ".join(names) or f"{'payload' if span.payload else 'object'} {(span.payload or span.object or '')[-8:]}"
        )
        typer.echo(f"{tag}: {what} {span_text(span)}, by {span.author}")


def _named(runkeys: Any, span: Any) -> list[str]:
    """Runkeys (with the path inside) that hold what a span means; the heads are looked at."""
    found = []
    for info in runkeys.list():
        if info.root == span.object:
            found.append(info.name)
    if found or not (span.object or span.payload):
        return found
    for info in runkeys.list():
        for node in runkeys.tree(info.name, None, payloads=span.payload is not None).walk():
            if node.id == span.object:
                found.append(f"{info.name} {node.path}")
                break
            roles = (
                [role for role, payload in node.payloads.items() if payload.id == span.payload] if span.payload else []
            )
            if roles:
                found.append(f"{info.name} {node.path} {roles[0]}")
                break
    return found


def thing_of(store: Store, name: str, path: str | None, role: str | None, backend: bool = False) -> tuple[Target, Any]:
    """A runkey, and what of it is meant: its root, an object, a payload."""
    from db.cli.names import resolve
    from db.errors import NotFound

    target = resolve(store, name, backend)
    node: Node = target.node(path or "/")
    if role is None:
        return target, node
    if role not in node.payloads:
        raise NotFound(f"{node.path} has no payload {role!r}; it has {', '.join(node.payloads) or 'none'}")
    return target, node.payloads[role]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (tag, untag, tags, validity):
        app.command()(command)
