"""The figures of alarms as text: each with its target, and bars for what comes most."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from iocs.alarm.cli.drawing import drawable
from owlshift.commands.output import count_text, span_text, table_lines

Form = dict[str, Any]

WIDTH = 30
"""Characters of the longest bar."""
COLUMNS = 72
"""Bars over time at most."""
FEW = 100
"""Alarms below which shares of them say nothing yet."""
EIGHTHS = " ▏▎▍▌▋▊▉█"
HEIGHTS = " ▁▂▃▄▅▆▇█"


def report(form: Form) -> list[str]:
    """The whole page."""
    where = f" below {form['area']}" if form["area"] else ""
    counted = count_text(form["alarms"], "alarm")
    lines = [f"{_local(form['since'])} to {_local(form['until'])}{where}: {counted}", ""]
    lines += table_lines(("figure", "is", "should be", ""), _figures(form), right=(1,))
    if form["alarms"]:
        lines += [
            "",
            f"over time (each {span_text(_step(form) * form['series']['seconds'])})",
            over_time(form["series"]),
        ]
    if form["top"]:
        lines += ["", "what came most often"]
        lines += bars([(one["pv"] or one["path"], one["count"], f"{one['share']:.0%}") for one in form["top"]])
    if len(form["areas"]) > 1:
        lines += ["", "where"]
        lines += bars([(one["area"], one["count"], f"{one['share']:.0%}") for one in form["areas"][:10]])
    for key, heading in (("chattering", "chattering: give it a delay or an off-delay"), ("fleeting", "fleeting")):
        if form[key]["alarms"]:
            lines += ["", heading]
            lines += bars([(one["pv"] or one["path"], one["count"], "") for one in form[key]["alarms"][:10]])
    if form["stale"]["alarms"]:
        lines += ["", "up for more than a day"]
        lines += [
            f"  {one['pv'] or one['path']}  {span_text(one['hours'] * 3600)}" for one in form["stale"]["alarms"][:10]
        ]
    if form["people"]:
        lines += ["", "who did what"]
        for one in form["people"][:10]:
            acts = ", ".join(f"{count} {kind}" for kind, count in one.items() if kind != "person")
            lines.append(f"  {one['person']}: {acts}")
    return lines


def _figures(form: Form) -> list[tuple[str, str, str, str]]:
    flood, waits = form["flood"], form["acknowledged"]
    early = form["alarms"] < FEW
    rows = [
        _row("alarms per hour", form["per_hour"], "{:.1f}"),
        _row("alarms per 10 minutes", form["per_10_min"], "{:.2f}"),
        _row("most in 10 minutes", form["max_10_min"], "{:g}"),
        ("10 minutes with over 1 alarm", f"{form['share_above_1']['value']:.0%}", "", ""),
        ("10 minutes with over 2 alarms", f"{form['share_above_2']['value']:.0%}", "", ""),
        _row("time in floods", flood["share"], "{:.1%}"),
        ("floods", str(flood["count"]), "", f"{flood['alarms']:,} alarms in them" if flood["count"] else ""),
        _row("share of the top ten", form["top_share"], "{:.0%}", early=early),
        _row("alarms that chatter", form["chattering"], "{:g}"),
        _row("alarms that are fleeting", form["fleeting"], "{:g}"),
        _row("alarms up for over a day", form["stale"], "{:g}", under="under "),
    ]
    for name, figure in form["priorities"].items():
        rows.append(_row(f"priority {name}", figure, "{:.0%}", under="about ", early=early))
    if waits["count"]:
        rows.append(
            ("until acknowledged, median", span_text(waits["median"]), "", f"90 % within {span_text(waits['p90'])}")
        )
    return rows


def _row(name: str, figure: Form, style: str, under: str = "", early: bool = False) -> tuple[str, str, str, str]:
    """`early`: there are too few alarms to judge by it."""
    target = style.format(figure["target"])
    verdict = "" if figure["ok"] else "just manageable" if figure.get("manageable") else "! too much"
    if not figure["ok"] and (early or under == "about "):
        verdict = "few alarms yet" if early else "! off"
    wanted = f"{under}{target}" if under else f"at most {target}" if figure["target"] else "none"
    return name, style.format(figure["value"]), wanted, verdict


def bars(rows: list[tuple[str, int, str]]) -> list[str]:
    """A line each: name, bar, number, remark."""
    most = max(count for _, count, _ in rows)
    width = max(len(name) for name, _, _ in rows)
    digits = max(len(f"{count:,}") for _, count, _ in rows)
    return [
        f"  {name:{width}}  {bar(count / most):{WIDTH}}  {count:>{digits},}  {remark}".rstrip()
        for name, count, remark in rows
    ]


def bar(share: float) -> str:
    """A bar of `WIDTH` characters for 1."""
    if not drawable(EIGHTHS):
        return "#" * max(round(share * WIDTH), 1)
    whole, rest = divmod(max(round(share * WIDTH * 8), 1), 8)
    return EIGHTHS[8] * whole + (EIGHTHS[rest] if rest else "")


def _step(form: Form) -> int:
    return -(-len(form["series"]["counts"]) // COLUMNS)


def over_time(series: Form) -> str:
    """One column for each part of the time, as high as there were alarms in it; the most stands behind."""
    counts, step = series["counts"], -(-len(series["counts"]) // COLUMNS)
    sums = [sum(counts[at : at + step]) for at in range(0, len(counts), step)]
    most = max(sums)
    steps = HEIGHTS if drawable(HEIGHTS) else " .:-=+*#@"
    return f"  {''.join(steps[-(-count * 8 // most)] for count in sums)}  at most {most:,}"


def _local(text: str) -> str:
    return f"{datetime.fromisoformat(text).astimezone():%Y-%m-%d %H:%M}"
