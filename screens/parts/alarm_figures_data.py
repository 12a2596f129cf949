"""The figures of `owl alarm stats --json` as cards and lists. Imports no Qt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from screens.parts.alarm_time import span_text
from screens.parts.words import when

GOOD, FAIR, BAD, PLAIN = "good", "fair", "bad", ""
SYMBOLS = {GOOD: "✔", FAIR: "~", BAD: "✖", PLAIN: ""}


@dataclass(frozen=True)
class Card:
    """A figure with its target."""

    title: str
    value: str
    target: str
    state: str
    """GOOD, FAIR (it can be managed), BAD, or PLAIN without a target."""
    tip: str = ""


@dataclass(frozen=True)
class Bar:
    """A row of a bar chart; `target` is where the mark stands."""

    label: str
    value: float
    text: str
    target: float | None = None
    state: str = PLAIN


@dataclass(frozen=True)
class Series:
    """Alarms over time."""

    begin: str
    seconds: float
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Listing:
    """A table behind a figure."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Figures:
    """All of it."""

    since: str
    until: str
    alarms: int
    cards: tuple[Card, ...]
    series: Series
    top: tuple[Bar, ...]
    priorities: tuple[Bar, ...]
    areas: tuple[Bar, ...]
    lists: tuple[Listing, ...]


def state_of(figure: dict[str, Any]) -> str:
    """Whether a figure reaches its target."""
    if "ok" not in figure:
        return PLAIN
    if figure["ok"]:
        return GOOD
    return FAIR if figure.get("manageable") else BAD


def number(value: float) -> str:
    """A number with as many digits as say something."""
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 100 else f"{value:.2g}"


def percent(value: float) -> str:
    """A share in percent."""
    return f"{100 * value:.1f} %" if 0 < value < 0.1 else f"{100 * value:.0f} %"


def _card(figure: dict[str, Any], title: str, show: Callable[[float], str], tip: str) -> Card:
    target = f"at most {show(float(figure['target']))}" if "target" in figure else ""
    if "limit" in figure:
        target += f", limit {show(float(figure['limit']))}"
    return Card(title, show(float(figure["value"])), target, state_of(figure), tip)


def read_figures(document: Any) -> Figures:
    """Of `stats --json`."""
    flood, acknowledged, series = document["flood"], document["acknowledged"], document["series"]
    stale = document["stale"]
    cards = (
        _card(document["per_10_min"], "Alarms in 10 min", number, "The mean; for each operator"),
        _card(document["max_10_min"], "Most in 10 min", number, "The worst ten minutes; more than 10 are a flood"),
        _card(flood["share"], "Time in floods", percent, f"{flood['count']:,} floods, {flood['alarms']:,} alarms"),
        _card(document["top_share"], "Ten most frequent", percent, "Their share of all alarms"),
        _card(document["chattering"], "Chattering", number, "Alarms that came three times within a minute"),
        _card(document["fleeting"], "Fleeting", number, "Alarms that were gone within a minute"),
        Card("Stale", number(stale["value"]), f"fewer than {stale['target']}", state_of(stale), "Up for over a day"),
        Card(
            "Until acknowledged",
            span_text(float(acknowledged["median"])) if acknowledged["count"] else "–",
            f"9 of 10 in {span_text(float(acknowledged['p90']))}" if acknowledged["count"] else "none was acknowledged",
            PLAIN,
            "The median, from the alarm to its acknowledgement",
        ),
    )
    return Figures(
        since=str(document["since"]),
        until=str(document["until"]),
        alarms=int(document["alarms"]),
        cards=cards,
        series=Series(str(series["begin"]), float(series["seconds"]), tuple(int(n) for n in series["counts"])),
        top=tuple(
            Bar(str(one["pv"] or one["path"]), float(one["count"]), f"{one['count']:,} ({percent(one['share'])})")
            for one in document["top"]
        ),
        priorities=tuple(
            Bar(
                str(name),
                float(one["value"]),
                f"{percent(one['value'])}, target {100 * one['target']:.0f} %",
                float(one["target"]),
                state_of(one),
            )
            for name, one in document["priorities"].items()
        ),
        areas=tuple(
            Bar(str(one["area"]), float(one["count"]), f"{one['count']:,} ({percent(one['share'])})")
            for one in document["areas"][:10]
        ),
        lists=_lists(document),
    )


def _lists(document: Any) -> tuple[Listing, ...]:
    def counted(title: str, key: str) -> Listing:
        rows = [(str(one["pv"]), f"{one['count']}", str(one["path"])) for one in document[key]["alarms"]]
        return Listing(title, ("PV", "How often", "Path"), tuple(rows))

    stale = [
        (
            str(one["pv"]),
            when(str(one["begin"])),
            when(str(one["end"])) if one.get("end") else "still",
            f"{float(one['hours']):.0f}",
        )
        for one in document["stale"]["alarms"]
    ]
    floods = [
        (when(str(one["begin"])), span_text(float(one["seconds"])), f"{one['alarms']}", f"{one['peak']}")
        for one in document["flood"]["floods"]
    ]
    people = [
        (str(one["person"]), ", ".join(f"{count} {kind}" for kind, count in one.items() if kind != "person"))
        for one in document["people"]
    ]
    return (
        counted("Chattering", "chattering"),
        counted("Fleeting", "fleeting"),
        Listing("Stale", ("PV", "Since", "Until", "Hours"), tuple(stale)),
        Listing("Floods", ("Began", "Lasted", "Alarms", "Most in 10 min"), tuple(floods)),
        Listing("People", ("Who", "Did"), tuple(people)),
    )
