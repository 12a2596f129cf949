"""`owl archive stats`: figures of PVs over a window, and of the archive as a whole."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from archiver.commands.common import (
    FromOption,
    SiteOption,
    ToOption,
    UrlOption,
    UtcOption,
    expand,
    opened,
    print_facts,
    store_folder,
    window,
)
from owlshift.commands.common import JsonOption, StateOption, fail
from owlshift.commands.output import print_json, print_table, size_text, span_text

if TYPE_CHECKING:
    from pathlib import Path

    from archiver.client.statistics import Statistics

SHOWN_GAPS = 5
ASKED_FOR = ("scan", "deadband")
"""Reasons for which samples are left out because somebody wants it so: no loss."""


def stats(
    pvs: Annotated[
        list[str] | None, typer.Argument(metavar="PV", help="Names or globs; without any: the whole archive.")
    ] = None,
    start: FromOption = "-1h",
    end: ToOption = "now",
    gap: Annotated[
        float | None, typer.Option("--gap", min=0, help="Seconds without a sample that are a gap; else 10 x the usual.")
    ] = None,
    utc: UtcOption = False,
    as_json: JsonOption = False,
    url: UrlOption = None,
    site: SiteOption = None,
    state: StateOption = None,
    folder: Annotated[str | None, typer.Option("--folder", help="The archive's folder, without any server.")] = None,
) -> None:
    """Count, rate, mean, std, min, max, alarms and gaps of PVs; or what the whole archive holds, takes and dropped."""
    from pathlib import Path

    where = Path(folder) if folder is not None else None
    if not pvs:
        place, _ = store_folder(where, site, state)
        _whole(place, as_json)
        return
    from archiver.client.statistics import plain, statistics

    start_ns, end_ns = window(start, end)
    with opened(pvs[0] if len(pvs) == 1 else "", url, site, where) as archive:
        found = [
            (statistics(reading, start_ns, end_ns, gap), reading.metadata)
            for name in expand(archive, pvs)
            for reading in [archive.read(name, start_ns, end_ns)]
        ]
    if as_json:
        print_json({each.name: plain(each) for each, _ in found})
    elif len(found) == 1:
        _one(*found[0], utc)
    else:
        _several([each for each, _ in found])


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"


def _several(found: list[Statistics]) -> None:
    rows = []
    for each in found:
        alarms = sum(each.severities[1:])
        share = f"{100 * alarms / each.samples:.3g} %" if alarms else ""
        gaps = f"{len(each.gaps)}, {span_text(each.gaps[0][1] / 1e9)}" if each.gaps else ""
        numbers = [_number(value) for value in (each.mean, each.std, each.low, each.high)]
        rows.append([each.name, f"{each.samples:,}", f"{each.rate:.4g}", *numbers, each.units, share, gaps])
    head = ["PV", "samples", "per s", "mean", "std", "min", "max", "unit", "in alarm", "gaps, longest"]
    print_table(head, rows, right=(1, 2, 3, 4, 5, 6, 8))


def _one(each: Statistics, metadata: dict[str, str], utc: bool) -> None:
    from archiver.client.columns import states
    from archiver.client.moments import local_text

    unit = f" {each.units}" if each.units else ""
    facts = [("PV", each.name), ("samples", f"{each.samples:,} ({each.rate:.4g} per s)")]
    if each.first_ns is not None and each.last_ns is not None:
        facts += [("first", local_text(each.first_ns, utc)), ("last", local_text(each.last_ns, utc))]
    if each.numbers and not states(metadata):
        facts += [("mean", f"{_number(each.mean)}{unit}"), ("std", f"{_number(each.std)}{unit}")]
        for label, value, when in (("min", each.low, each.low_ns), ("max", each.high, each.high_ns)):
            facts.append((label, f"{_number(value)}{unit}" + (f", at {local_text(when, utc)}" if when else "")))
        if each.numbers < each.samples:
            facts.append(("no numbers", f"{each.samples - each.numbers:,} samples are NaN or infinite"))
    labels = states(metadata)
    for value, count in sorted(each.states.items()) if labels else ():
        facts.append((labels.get(value, str(value)), f"{count:,} samples"))
    for name, count in zip(("MINOR", "MAJOR", "INVALID"), each.severities[1:], strict=True):
        if count:
            facts.append((name, f"{count:,} samples ({100 * count / each.samples:.3g} %)"))
    if not math.isnan(each.interval_s):
        facts.append(("interval", f"{span_text(each.interval_s)} (median)"))
    for begin, length in each.gaps[:SHOWN_GAPS]:
        facts.append(("gap", f"{span_text(length / 1e9)} from {local_text(begin, utc)}"))
    if len(each.gaps) > SHOWN_GAPS:
        facts.append(("", f"and {len(each.gaps) - SHOWN_GAPS} more gaps"))
    print_facts(facts)


def _whole(folder: Path, as_json: bool) -> None:
    """Figures of a whole archive."""
    from archiver.store import StoreError

    try:
        found = overview(folder)
    except (StoreError, OSError) as error:
        fail(f"the archive in {folder} cannot be read: {error}")
    if as_json:
        print_json(found)
        return
    from archiver.client.moments import local_text, parse_moment

    facts = [("archive", found["folder"]), ("PVs", f"{found['pvs']:,} ({found['silent']:,} without a sample)")]
    for key in ("oldest", "newest"):
        if found[key]:
            facts.append((key, local_text(parse_moment(found[key], 0))))
    facts.append(("received", f"{found['received']:,} samples"))
    for reason, count in sorted(found["dropped"].items()):
        what = "  left out" if reason in ASKED_FOR else "  dropped"
        facts.append((what, f"{count:,} {reason.replace('_', ' ')}"))
    if found["imported"]:
        facts.append(("imported", f"{found['imported']:,} samples"))
    print_facts(facts)
    rows = [
        [row["tier"], f"{row['files']:,}", f"{row['samples']:,}", size_text(row["bytes"]), _each(row), row["place"]]
        for row in found["tiers"]
    ]
    typer.echo()
    print_table(["tier", "files", "samples", "size", "bytes each", "where"], rows, right=(1, 2, 3, 4))
    for name, why in found["quarantined"].items():
        typer.echo(f"put aside: {name}: {why}")


def _each(row: dict[str, Any]) -> str:
    return f"{row['bytes'] / row['samples']:.2f}" if row["samples"] else ""


def overview(folder: Path) -> dict[str, Any]:
    """What an archive holds, by tier; what it received and dropped since it was made."""
    from archiver.client.moments import iso_text
    from archiver.lake.stores import store_folders
    from archiver.store.events import ENGINE_PV
    from archiver.store.files import Layout
    from archiver.store.group import open_reader
    from archiver.store.manifest import TIERS, load_manifest
    from archiver.store.segment import EVENTS_KIND

    totals: Counter[str] = Counter()
    tiers: dict[tuple[str, str], Counter[str]] = {}
    quarantined: dict[str, str] = {}
    log: Counter[str] = Counter(files=0, samples=0, bytes=0)
    for store in store_folders(folder):
        layout = Layout(store)
        manifest = load_manifest(layout.manifest)
        totals.update(manifest.totals)
        quarantined |= manifest.quarantined
        for segment in manifest.segments:
            counts = tiers.setdefault((segment.tier, segment.place), Counter())
            samples = segment.rows if segment.kind != EVENTS_KIND else 0
            beside = sum(size for _, size, _ in segment.sidecars)
            counts.update(files=1, samples=samples, bytes=segment.bytes + beside)
        for _, path in layout.logs(manifest.first_log):
            log.update(files=1, bytes=path.stat().st_size)
    reader = open_reader(folder)
    try:
        pvs = [total for total in reader.infos() if total.name != str(ENGINE_PV)]
    finally:
        reader.close()
    log["samples"] = max(0, sum(pv.samples for pv in pvs) - sum(c["samples"] for c in tiers.values()))
    first = min((pv.first_ns for pv in pvs if pv.first_ns is not None), default=None)
    last = max((pv.last_ns for pv in pvs if pv.last_ns is not None), default=None)
    order = {tier: n for n, tier in enumerate(TIERS)}
    rows = [{"tier": "log", "place": str(folder), **log}]
    for (tier, place), counts in sorted(tiers.items(), key=lambda entry: (order.get(entry[0][0], 9), entry[0][1])):
        rows.append({"tier": tier, "place": place or str(folder), **counts})
    return {
        "folder": str(folder),
        "pvs": len(pvs),
        "silent": sum(pv.last_ns is None for pv in pvs),
        "oldest": None if first is None else iso_text(first),
        "newest": None if last is None else iso_text(last),
        "received": totals.get("received", 0) + log["samples"],
        "stored": totals.get("stored", 0),
        "imported": totals.get("imported", 0),
        "dropped": {key.removeprefix("dropped."): n for key, n in totals.items() if key.startswith("dropped.") and n},
        "tiers": rows,
        "quarantined": quarantined,
    }


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(stats)
