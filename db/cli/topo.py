"""`owl runkey device, topo`: the hardware that there is, and how it is connected."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from db.cli.common import BackendOption, opened
from owlshift.commands.common import JsonOption, SiteOption, StateOption, YesOption, confirm, fail
from owlshift.commands.moments import EXAMPLES, json_time, local_text, moment_option
from owlshift.commands.output import print_facts, print_json, print_table

if TYPE_CHECKING:
    from db.topology import DeviceInfo, LinkInfo, Topology

devices = typer.Typer(no_args_is_help=True, help="The assets: hardware that the experiment has.")
topo = typer.Typer(no_args_is_help=True, help="Cables, pipes and fibres between devices, each valid for a time.")

DeviceArgument = Annotated[str, typer.Argument(metavar="DEVICE", show_default=False)]
KindArgument = Annotated[str, typer.Argument(metavar="KIND", show_default=False, help="psu, crate, chiller, …")]
SerialOption = Annotated[str | None, typer.Option("--serial", help="The maker's serial number.")]
AddressOption = Annotated[str | None, typer.Option("--address", help="How it is reached: tcp://HOST:PORT.")]
LocationOption = Annotated[str | None, typer.Option("--location", help="Where it stands.")]
MetaOption = Annotated[list[str] | None, typer.Option("--meta", help="KEY=VALUE; may be repeated.")]
ViewOption = Annotated[str, typer.Option("--view", help="daq, power, cooling, …")]
SomeViewOption = Annotated[str | None, typer.Option("--view", help="Only this one.", show_default=False)]
AtOption = Annotated[str | None, typer.Option("--at", help=f"As it was then: {EXAMPLES}.", show_default=False)]


@devices.command("list")
def device_list(
    pattern: Annotated[str, typer.Argument(metavar="GLOB", help="Names, with * and ?.")] = "*",
    kind: Annotated[str | None, typer.Option("--kind", help="Only of this kind.", show_default=False)] = None,
    text: Annotated[str, typer.Option("--text", help="Only with this in name, serial, address or location.")] = "",
    backend: BackendOption = False,
    as_json: JsonOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """List the devices."""
    with opened(site, state) as store:
        found = _topology(store, backend).devices(kind, pattern, text)
    if as_json:
        print_json({"devices": [asdict(device) for device in found]})
    elif not found:
        typer.echo("there are no such devices")
    else:
        rows = [(d.name, d.kind, d.serial, d.address, d.location) for d in found]
        print_table(("device", "kind", "serial", "address", "location"), rows)


@devices.command("show")
def device_show(
    name: DeviceArgument,
    backend: BackendOption = False,
    as_json: JsonOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """All about one device, with what it is connected to."""
    with opened(site, state) as store:
        topology = _topology(store, backend)
        device, links = topology.device(name), topology.links(name)
    if as_json:
        print_json({"device": asdict(device), "links": [_plain(link) for link in links]})
        return
    print_facts(list(_facts(device)))
    for link in links:
        typer.echo(_line(link))


@devices.command("add")
def device_add(
    kind: KindArgument,
    name: DeviceArgument,
    serial: SerialOption = None,
    address: AddressOption = None,
    location: LocationOption = None,
    meta: MetaOption = None,
    backend: BackendOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Add a device."""
    with opened(site, state) as store:
        facts = _pairs(meta)
        device = _topology(store, backend).add(kind, name, serial or "", address or "", location or "", facts)
        typer.echo(f"added {device.kind} {device.name}")


@devices.command("set")
def device_set(
    name: DeviceArgument,
    new_name: Annotated[str | None, typer.Option("--name", help="Another name.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="Another kind.")] = None,
    serial: SerialOption = None,
    address: AddressOption = None,
    location: LocationOption = None,
    meta: MetaOption = None,
    backend: BackendOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Change what is known of a device."""
    said = {"name": new_name, "kind": kind, "serial": serial, "address": address, "location": location}
    changes: dict[str, Any] = {key: value for key, value in said.items() if value is not None}
    with opened(site, state) as store:
        topology = _topology(store, backend)
        if meta:
            changes["meta"] = {**topology.device(name).meta, **_pairs(meta)}
        if not changes:
            fail("say what is to change, for example --location 'rack 3'", 2)
        print_facts(list(_facts(topology.set(name, **changes))))


@devices.command("remove")
def device_remove(
    name: DeviceArgument,
    backend: BackendOption = False,
    yes: YesOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Forget a device that was never connected."""
    with opened(site, state) as store:
        confirm(f"Forget the device {name}?", yes)
        _topology(store, backend).remove(name)
        typer.echo(f"there is no device {name} any more")


@topo.command("link")
def topo_link(
    parent: Annotated[str, typer.Argument(metavar="PARENT", show_default=False, help="NAME, or NAME:PORT.")],
    child: Annotated[str, typer.Argument(metavar="CHILD", show_default=False, help="NAME, or NAME:PORT.")],
    view: ViewOption = "daq",
    cable: Annotated[str, typer.Option("--cable", help="What is written on it.")] = "",
    since: Annotated[str, typer.Option("--from", "-f", help=f"{EXAMPLES}.")] = "now",
    until: Annotated[str | None, typer.Option("--until", "-u", help="Without it until further notice.")] = None,
    backend: BackendOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Connect two devices: `owl runkey topo link PSU1:CH2 OB1 --view power`."""
    start, end = moment_option(since, "--from"), moment_option(until, "--until")
    with opened(site, state) as store:
        topology = _topology(store, backend)
        (above, above_port), (below, below_port) = _port(topology, parent), _port(topology, child)
        link = topology.link(above, below, view, above_port, below_port, cable, start, end)
        typer.echo(_line(link))


@topo.command("unlink")
def topo_unlink(
    parent: Annotated[str, typer.Argument(metavar="PARENT", show_default=False)],
    child: Annotated[str, typer.Argument(metavar="CHILD", show_default=False)],
    view: ViewOption = "daq",
    until: Annotated[str, typer.Option("--until", "-u", help=f"{EXAMPLES}.")] = "now",
    backend: BackendOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """End a connection; that it was there stays known."""
    with opened(site, state) as store:
        _topology(store, backend).unlink(parent, child, view, moment_option(until, "--until"))
        typer.echo(f"{parent} and {child} are no longer connected ({view})")


@topo.command("path")
def topo_path(
    device: DeviceArgument,
    view: ViewOption = "daq",
    at: AtOption = None,
    backend: BackendOption = False,
    as_json: JsonOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Say what a device is fed or read through, from the top down to it; every way when there are several."""
    moment = moment_option(at, "--at")
    with opened(site, state) as store:
        ways = _topology(store, backend).paths(device, view, moment)
    if as_json:
        print_json({"device": device, "view": view, "paths": [[_plain(link) for link in way] for way in ways]})
        return
    for way in ways:
        typer.echo(_way(way) if way else f"{device} is a top itself ({view})")


@topo.command("show")
def topo_show(
    device: Annotated[str | None, typer.Argument(metavar="DEVICE", show_default=False)] = None,
    view: SomeViewOption = None,
    at: AtOption = None,
    ever: Annotated[bool, typer.Option("--ever", help="Also what is no longer connected.")] = False,
    backend: BackendOption = False,
    as_json: JsonOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Draw what is connected to what, of one device or of all. As a table with --ever."""
    moment = moment_option(at, "--at")
    with opened(site, state) as store:
        topology = _topology(store, backend)
        if device is not None and not ever:
            topology.device(device)
            links = [link for v in _views(topology, view, moment) for link in topology.below(device, v, moment)]
            links += [link for link in topology.links(device, view, moment) if link.child == device]
        else:
            links = topology.links(device, view, moment, ever=ever)
    if as_json:
        print_json({"links": [_plain(link) for link in links]})
    elif not links:
        typer.echo("nothing is connected")
    elif ever:
        head = ("view", "from", "to", "cable", "since", "until")
        rows = [
            (k.view, _end(k, True), _end(k, False), k.cable, local_text(k.since), local_text(k.until)) for k in links
        ]
        print_table(head, rows)
    else:
        for name in dict.fromkeys(link.view for link in links):
            typer.echo(name)
            for line in _drawing([link for link in links if link.view == name]):
                typer.echo(line)


def _views(topology: Topology, view: str | None, moment: Any) -> list[str]:
    return [view] if view is not None else list(dict.fromkeys(k.view for k in topology.links(at=moment)))


def _drawing(links: list[LinkInfo]) -> Iterator[str]:
    """Devices as a tree; one with two ways above it is drawn twice, what is below it once."""
    under: dict[str, list[LinkInfo]] = {}
    for link in links:
        under.setdefault(link.parent, []).append(link)
    children = {link.child for link in links}
    done: set[str] = set()

    def below(name: str, lead: str) -> Iterator[str]:
        if name in done:
            return
        done.add(name)
        inner = under.get(name, [])
        for number, link in enumerate(inner):
            last = number == len(inner) - 1
            port = f"{link.parent_port} - " if link.parent_port else ""
            at = f":{link.child_port}" if link.child_port else ""
            cable = f"  ({link.cable})" if link.cable else ""
            again = "  (see above)" if link.child in done and link.child in under else ""
            yield f"{lead}{'└── ' if last else '├── '}{port}{link.child}{at}{cable}{again}"
            yield from below(link.child, lead + ("    " if last else "│   "))

    for name in dict.fromkeys(link.parent for link in links):
        if name not in children:
            yield name
            yield from below(name, "")


def _way(way: list[LinkInfo]) -> str:
    text = way[0].parent
    for link in way:
        port = f":{link.parent_port}" if link.parent_port else ""
        at = f":{link.child_port}" if link.child_port else ""
        cable = f" ({link.cable})" if link.cable else ""
        text += f"{port} -> {link.child}{at}{cable}"
    return text


def _line(link: LinkInfo) -> str:
    until = f" until {local_text(link.until)}" if link.until else ""
    cable = f", {link.cable}" if link.cable else ""
    return f"{link.view}: {_end(link, True)} -> {_end(link, False)}{cable}, since {local_text(link.since)}{until}"


def _end(link: LinkInfo, above: bool) -> str:
    name, port = (link.parent, link.parent_port) if above else (link.child, link.child_port)
    return f"{name}:{port}" if port else name


def _port(topology: Topology, word: str) -> tuple[str, str]:
    """`PSU1:CH2` as device and port; a device may have a colon in its name."""
    names = {device.name for device in topology.devices()}
    name, colon, port = word.rpartition(":")
    if word in names or not colon:
        return word, ""
    return name, port


def _facts(device: DeviceInfo) -> Iterator[tuple[str, str]]:
    yield "device", device.name
    for key in ("kind", "serial", "address", "location"):
        if value := getattr(device, key):
            yield key, value
    for key, value in device.meta.items():
        yield key, str(value)


def _plain(link: LinkInfo) -> dict[str, Any]:
    return {**asdict(link), "since": json_time(link.since), "until": json_time(link.until)}


def _pairs(words: list[str] | None) -> dict[str, str]:
    from db.cli.edit import pairs

    return dict(pairs(words, "--meta"))


def _topology(store: Any, backend: bool) -> Topology:
    from db.topology import Topology

    runkeys = store.backend if backend else store.staging
    return Topology(runkeys.database, runkeys.who)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(devices, name="device")
    app.add_typer(topo, name="topo")
