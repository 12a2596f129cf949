"""`owl screens`: open a screen, list them, or make pictures of them. Qt is imported only where it is needed."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from typer.core import TyperGroup

from owlshift.commands.common import SiteOption, StateOption, fail, open_site, use_site_environment
from owlshift.commands.output import print_rich
from screens.registry import KIND_SCREENS, SCREENS, ScreenError, Subsystem, find, pack

if TYPE_CHECKING:
    from pydm import PyDMApplication

    from screens.shot import Picture


class _Group(TyperGroup):
    """`owl screens NAME` is `owl screens open NAME`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ("-h", "--help")):
            args = ["open", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_Group,
    help="Open the PyDM screens of a site, or make pictures of them.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

PrefixOption = Annotated[
    list[str] | None,
    typer.Option("--prefix", help="Show the IOC of this prefix instead of a site's: DEMO:HV: or DEMO:HV:=hv (a kind)."),
]
MacroOption = Annotated[list[str] | None, typer.Option("--macro", "-m", help="A macro: NAME=VALUE. May be repeated.")]
ArchiverOption = Annotated[
    str | None,
    typer.Option("--archiver", envvar="PYDM_ARCHIVER_URL", help="An archiver's URL, instead of the site's."),
]


@dataclass(frozen=True)
class _Target:
    """What the screens are to show."""

    title: str
    subsystems: list[Subsystem]
    archiver: str | None

    def macros(self, screen: str, given: dict[str, str]) -> dict[str, str]:
        """The macros of `screen`: those given, else what the site says."""
        macros = {"SUBSYSTEMS": pack(self.subsystems), "TITLE": self.title}
        matching = [s for s in self.subsystems if s.kind == find(screen).kind]
        if matching and "P" in find(screen).macros:
            macros["P"] = matching[0].prefix
        return macros | given


def _target(site_path: Path | None, state: Path | None, prefixes: list[str] | None, archiver: str | None) -> _Target:
    if prefixes:
        subsystems = []
        for text in prefixes:
            prefix, _, kind = text.partition("=")
            subsystems.append(Subsystem(prefix if prefix.endswith(":") else f"{prefix}:", kind or "hv"))
        return _Target("owlshift", subsystems, archiver)
    site = open_site(site_path, state)
    use_site_environment(site)
    # for the `owl runkey` that screens ask
    os.environ.update(OWLSHIFT_SITE=str(site.path.resolve()), OWLSHIFT_STATE=str(site.state.resolve()))
    http = next(iter(getattr(site.services.get("archiver"), "http", ())), None)
    subsystems = [Subsystem(ioc.prefix, ioc.kind, f"{ioc.prefix} · {ioc.kind}") for ioc in site.iocs]
    return _Target(site.title, subsystems, archiver or (f"http://{http}" if http else None))


def _parse_macros(texts: list[str] | None) -> dict[str, str]:
    macros = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not equals or not name:
            fail(f"a macro is NAME=VALUE, not {text!r}", 2)
        macros[name] = value
    return macros


@app.command("list")
def list_screens() -> None:
    """Which screens there are, and the macros each of them needs."""
    table = Table("screen", "shows", "macros", box=None, header_style="bold")
    for screen in SCREENS.values():
        table.add_row(screen.name, screen.title, ", ".join(screen.macros))
    print_rich(table)


@app.command("open")
def open_screen(
    name: Annotated[str, typer.Argument(help="The screen; `owl screens list` has them all.")] = "top",
    channel: Annotated[str | None, typer.Option("--channel", "-c", help="The channel of a detail screen: L07.")] = None,
    macro: MacroOption = None,
    prefix: PrefixOption = None,
    site: SiteOption = None,
    state: StateOption = None,
    archiver: ArchiverOption = None,
    size: Annotated[str, typer.Option(help="Width and height of the window in pixels.")] = "1280x800",
    read_only: Annotated[bool, typer.Option("--read-only", help="Nothing can be written from these screens.")] = False,
) -> None:
    """Open a screen in a window: NAME, else the top screen."""
    given = _parse_macros(macro) | ({"CH": channel} if channel else {})
    width, height = _parse_size(size)
    try:
        screen = find(name)
    except ScreenError as error:
        fail(str(error), 2)
    target = _target(site, state, prefix, archiver)
    macros = target.macros(name, given)
    try:
        screen.check(macros)
    except ScreenError as error:
        fail(f"{error}: --macro NAME=VALUE, or --channel for CH", 2)
    raise typer.Exit(_with_qt(target, False, read_only, lambda qt: _run_window(qt, name, macros, width, height)))


@app.command("shot")
def shot(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder for the PNGs; it is made when missing.")],
    name: Annotated[list[str] | None, typer.Option("--screen", help="Only this screen. May be repeated.")] = None,
    channel: Annotated[
        str | None, typer.Option("--channel", "-c", help="The channel of the detail; without it, the first one.")
    ] = None,
    macro: MacroOption = None,
    prefix: PrefixOption = None,
    site: SiteOption = None,
    state: StateOption = None,
    archiver: ArchiverOption = None,
    settle: Annotated[float, typer.Option(help="Seconds to go on after all PVs are connected.", min=0.0)] = 2.0,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the PVs of a screen.", min=0.0)] = 15.0,
    size: Annotated[str, typer.Option(help="Width and height in pixels.")] = "1280x800",
) -> None:
    """Draw every screen to DIR as it looks now, without a display. Exit code 1 when a PV did not connect."""
    given = _parse_macros(macro) | ({"CH": channel} if channel else {})
    width, height = _parse_size(size)
    for wanted in name or []:
        try:
            find(wanted)
        except ScreenError as error:
            fail(str(error), 2)
    target = _target(site, state, prefix, archiver)

    def draw(qt: PyDMApplication) -> int:
        return _take_all(target, folder, set(name or SCREENS), given, (width, height), timeout, settle)

    raise typer.Exit(_with_qt(target, True, False, draw))


def _parse_size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and 200 <= int(width) <= 8000 and 200 <= int(height) <= 8000):
        fail(f"a size is WIDTHxHEIGHT in pixels, for example 1920x1080, not {text!r}", 2)
    return int(width), int(height)


def _with_qt(target: _Target, offscreen: bool, read_only: bool, work: Callable[[PyDMApplication], int]) -> int:
    """Run `work` with an application; what is missing for one ends the command with a line."""
    from screens import runtime

    runtime.set_environment(offscreen, target.archiver)
    try:
        runtime.check_libraries()
        if not offscreen:
            runtime.check_display()
        qt = runtime.make_application(read_only)
    except ScreenError as error:
        fail(str(error))
    try:
        return work(qt)
    except (ScreenError, OSError) as error:
        fail(str(error))
    finally:
        runtime.end(qt)


def _take_all(
    target: _Target,
    folder: Path,
    names: set[str],
    given: dict[str, str],
    size: tuple[int, int],
    timeout: float,
    settle: float,
) -> int:
    from qtpy.QtCore import QSize

    from screens import shot as shots

    missing: list[str] = []
    for picture in _pictures(target, folder, names, given, timeout):
        absent, reason = shots.take(picture, QSize(*size), timeout, settle)
        missing += [name for name in absent if name not in missing]
        print(picture.file, flush=True)
        if not absent and reason:
            print(f"owl: {picture.file.name}: {reason} did not come within {timeout:g} s", file=sys.stderr)
    if missing:
        print(
            f"owl: {len(missing)} PVs did not connect within {timeout:g} s: {shots.describe(missing)}", file=sys.stderr
        )
    return 1 if missing else 0


def _pictures(target: _Target, folder: Path, names: set[str], given: dict[str, str], timeout: float) -> list[Picture]:
    """What to draw: the top screen, and the screens of each IOC that has any."""
    from screens.shot import Picture

    site_macros = {"SUBSYSTEMS": pack(target.subsystems), "TITLE": target.title}
    pictures = [Picture(folder / "top.png", "top", site_macros | given)] if "top" in names else []
    of_kind: dict[str, int] = {}
    for subsystem in target.subsystems:
        if subsystem.kind not in KIND_SCREENS:
            continue
        of_kind[subsystem.kind] = of_kind.get(subsystem.kind, 0) + 1
        start = "" if of_kind[subsystem.kind] == 1 else f"{subsystem.system.lower()}_"
        own = site_macros | {"P": subsystem.prefix}
        for screen in SCREENS.values():
            if screen.kind != subsystem.kind or screen.name not in names:
                continue
            macros = own | given
            if "CH" in screen.macros and not macros.get("CH"):
                macros["CH"] = _first_channel(subsystem.prefix, timeout)
            pictures.append(Picture(folder / f"{start}{screen.name}.png", screen.name, macros))
    return pictures


def _first_channel(prefix: str, timeout: float) -> str:
    """The first channel that the IOC's catalogue names, else L01."""
    from qtpy.QtCore import QObject

    from screens import catalogue
    from screens.parts.pv import Pv
    from screens.shot import process, time

    owner = QObject()
    pv = Pv(f"{prefix}IOC:Catalogue", owner)
    deadline = time.monotonic() + timeout
    while not (pv.connected and pv.value is not None) and time.monotonic() < deadline:
        process(0.05)
    try:
        return catalogue.parse(pv.text, prefix).having("VMon", "IMon", "State")[0]
    except (ValueError, IndexError):
        return "L01"
    finally:
        pv.channel.disconnect()


def _run_window(qt: PyDMApplication, name: str, macros: dict[str, str], width: int, height: int) -> int:
    from qtpy.QtCore import QSize

    from screens.window import ScreenWindow

    window = ScreenWindow(QSize(width, height))
    window.go(name, macros)
    window.show()
    _quit_on_signals(qt)
    print(f"ready screen {name}", flush=True)
    try:
        return int(qt.exec())
    finally:
        window.close_screens()


def _quit_on_signals(qt: PyDMApplication) -> None:
    """SIGINT and SIGTERM end the application; a socket wakes Python, which would not hear of them while Qt waits."""
    from qtpy.QtCore import QSocketNotifier, QTimer

    reader, writer = socket.socketpair()
    for end in (reader, writer):
        end.setblocking(False)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    notifier = QSocketNotifier(reader.fileno(), QSocketNotifier.Type.Read, qt)

    def drain() -> None:
        reader.recv(64)

    notifier.activated.connect(drain)
    qt.wakeup = (reader, writer, notifier)  # type: ignore[attr-defined]  # they live as long as the application

    def leave(*_: object) -> None:
        # from inside the event loop, which may not run yet; quit() would close windows that are still to be painted
        QTimer.singleShot(0, lambda: qt.exit(0))

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave)
