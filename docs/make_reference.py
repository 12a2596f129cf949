"""Write the generated pages of docs/reference: `python docs/make_reference.py [--check]`.

With --check nothing is written; exit code 1 says which page is out of date.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from owlshift.cli import build_app
from owlshift.kinds import ioc_kinds, load_object
from owlshift.site import demo_site_path, load_site

REFERENCE = Path(__file__).parent / "reference"


def command_line() -> str:
    """The page of every `owl` command with its arguments and options."""
    lines = ["# Command line", "", "Made by `docs/make_reference.py` from the commands' own help.", ""]
    lines += [
        "Exit codes: 0 it worked; 1 it failed while running; 2 it was asked for wrongly (bad option, bad file).",
        "",
    ]
    for path, command in _commands(typer.main.get_command(build_app()), ("owl",)):
        arguments = [_argument(p) for p in command.params if p.param_type_name == "argument"]
        lines += [f"## `{' '.join([*path, *arguments])}`", "", _sentence(command.help), ""]
        options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
        if options:
            lines += ["| option | meaning |", "|---|---|"]
            lines += [f"| `{', '.join(p.opts + p.secondary_opts)}` | {_sentence(p.help)} |" for p in options]
            lines.append("")
    return "\n".join(lines)


def process_variables() -> str:
    """The page of every PV of the demo's IOCs, from their catalogues."""
    from archiver.ioc import build
    from owlshift.ioc import catalogue, catalogue_markdown

    site = load_site(demo_site_path())
    kinds = ioc_kinds()
    parts = ["# PVs of the demo", "", "Made by `docs/make_reference.py` from what the IOCs declare.", ""]
    for entry in site.iocs:
        kind = kinds[entry.kind]
        ioc = load_object(kind.build)(entry, (lambda: "tcp://127.0.0.1:1") if kind.needs_device else site)
        parts.append(catalogue_markdown(_one_of_each(catalogue(entry.prefix, ioc.pvdb.values()))))
    config: Any = site.services["archiver"]
    parts.append(catalogue_markdown(catalogue(config.ioc_prefix(site.prefix), build(site, config).pvdb.values())))
    return "\n".join(parts)


def _one_of_each(found: dict[str, Any]) -> dict[str, Any]:
    """The catalogue with the first PV of each declaration, which says how many there are like it."""
    alike = Counter(pv["source"] for pv in found["pvs"])
    shown: dict[str, Any] = {}
    for pv in found["pvs"]:
        count = alike[pv["source"]]
        shown.setdefault(pv["source"], pv if count == 1 else {**pv, "doc": f"{pv.get('doc', '')} ({count} of these)"})
    return {**found, "pvs": list(shown.values())}


def _commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that is no group, with the words that call it."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
        return
    for name in sorted(inner):
        if not inner[name].hidden:
            yield from _commands(inner[name], (*path, name))


def _argument(parameter: Any) -> str:
    """`PV`, `[PV]` when it may be left out, with dots when there may be several."""
    name = (parameter.metavar or parameter.name.upper()).rstrip(".") + ("..." if parameter.nargs == -1 else "")
    return name if parameter.required else f"[{name}]"


def _sentence(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


PAGES = {"cli.md": command_line, "pvs.md": process_variables}


def main() -> int:
    """Write or check the pages; the exit code."""
    check, stale = "--check" in sys.argv[1:], []
    for name, make in PAGES.items():
        text, path = make().rstrip() + "\n", REFERENCE / name
        if not path.exists() or path.read_text() != text:
            stale.append(name)
            if not check:
                path.write_text(text)
    if stale:
        print(("out of date: " if check else "written: ") + ", ".join(stale))
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
