"""What an alarm server says, made up: in the forms that `iocs.alarm.forms` documents."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

ATTRIBUTES = ("IMon", "VMon", "Temp", "Trip", "State")
SEVERITIES = ("MAJOR", "MINOR", "INVALID", "UNDEFINED", "MAJOR_ACK", "MINOR_ACK", "INVALID_ACK")
CURRENT = {"MAJOR": ("MAJOR", "HIHI_ALARM"), "MINOR": ("MINOR", "HIGH_ALARM"), "INVALID": ("INVALID", "READ_ALARM")}
SYSTEMS = ("HV", "GAS", "COOL", "DAQ", "SLOW", "LV", "TRIG", "VAC", "MAG", "BEAM")
NOW = datetime(2026, 11, 21, 2, 30, tzinfo=UTC)
GUIDANCE = [
    {"title": "What to do", "details": "1. Look at the current of the neighbours.\n2. Lower VSet by 50 V & wait.\n"},
    {"title": "Who to call", "details": "HV on call: 13579"},
]
LONG = "the cooling plant is serviced, and nobody has said for how long " * 6


def iso(seconds: float) -> str:
    return f"{NOW - timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"


def leaf(site: str, system: str, thing: str, attribute: str, **more: Any) -> dict[str, Any]:
    pv = f"{site}:{system}:{thing}:{attribute}"
    return {
        "pv": pv,
        "severity": "OK",
        "message": "",
        "current": "OK",
        "current_message": "",
        "value": "12.3 uA",
        "time": iso(86_400),
        "since": iso(86_400),
        "state": "Normal",
        "priority": "medium",
        "description": f"{attribute} of {thing}",
        "screen": "",
        "response_time": 0.0,
        "acknowledged_by": "",
        "shelved": None,
        "reasons": [],
        "chattering": False,
        "path": f"/{site}/{system}/{thing}/{pv}",
        **more,
    }


def in_alarm(number: int, site: str, severity: str = "") -> dict[str, Any]:
    """The `number`-th alarm of the table."""
    severity = severity or SEVERITIES[number % len(SEVERITIES)]
    base = severity.removesuffix("_ACK")
    current, message = CURRENT.get(base, ("UNDEFINED", "Disconnected"))
    latched = number % 5 == 3
    place = (SYSTEMS[number % len(SYSTEMS)], f"L{1 + number // 50:02d}", f"{ATTRIBUTES[number % 5]}{number % 50}")
    system, thing, attribute = place
    known = severity.endswith("_ACK")
    return leaf(
        site,
        system,
        thing,
        attribute,
        severity=severity,
        message=message,
        current="OK" if latched else current,
        current_message="" if latched else message,
        value=f"{48 + number / 7:.2f} uA",
        time=iso(30 + number * 41),
        since=iso(30 + number * 41),
        state="Acknowledged" if known else "ActiveLatched" if latched else "Active",
        priority=("high", "medium", "low")[number % 3],
        response_time=(120.0, 600.0, 0.0)[number % 3],
        acknowledged_by="anna@daq1" if known else "",
        name=f"{site}:ALM:{system}:{thing}:{attribute}",
        area=f"/{site}/{system}/{thing}",
        guidance=GUIDANCE if number % 2 == 0 else [],
        displays=[{"title": "Wiki", "details": "https://wiki.example.org/hv"}] if number % 4 == 0 else [],
        first_out=number == 0,
    )


def active(count: int, site: str, truncated: bool = False) -> dict[str, Any]:
    return {"time": iso(0), "truncated": truncated, "alarms": [in_alarm(n, site) for n in range(count)]}


def shelved(row: dict[str, Any], why: str = "Known fault, expert is informed") -> dict[str, Any]:
    shelf = {"by": "bert@daq2", "why": why, "since": iso(600), "until": iso(-3000), "one_shot": False}
    return {**row, "state": "NormalContinuousShelved", "shelved": shelf, "reasons": ["shelved"]}


def area(path: str, children: list[dict[str, Any]], prefix: str) -> dict[str, Any]:
    leaves = [one for child in children for one in (child["leaves"] if "leaves" in child else [child])]
    order = ("OK", "MINOR_ACK", "MINOR", "MAJOR_ACK", "MAJOR", "INVALID_ACK", "INVALID", "UNDEFINED_ACK", "UNDEFINED")
    return {
        "name": path.rpartition("/")[2],
        "path": path,
        "pv_prefix": prefix,
        "kind": "area",
        "severity": max((one["severity"] for one in leaves), key=order.index, default="OK"),
        "active": sum(one["severity"] in order[2::2] for one in leaves),
        "unacknowledged": sum(one["severity"] in order[2::2] for one in leaves),
        "acknowledged": sum(one["severity"].endswith("_ACK") for one in leaves),
        "suppressed": sum(bool(one["reasons"]) for one in leaves),
        "total": len(leaves),
        "first_out": "",
        "children": children,
        "leaves": leaves,
    }


def tree(rows: list[dict[str, Any]], site: str, systems: int = 4, things: int = 6, attributes: int = 5) -> dict:
    """A tree of quiet alarms (``systems * things * attributes``), and of those in `rows`."""
    found: dict[str, dict[str, dict[str, dict]]] = {}
    for s in range(systems):
        system = SYSTEMS[s] if s < len(SYSTEMS) else f"S{s:03d}"
        for t in range(things):
            thing = f"L{t + 1:02d}"
            names = [ATTRIBUTES[a] if a < len(ATTRIBUTES) else f"Adc{a:03d}" for a in range(attributes)]
            leaves = [leaf(site, system, thing, name) for name in names]
            found.setdefault(system, {})[thing] = {one["path"]: one for one in leaves}
    for row in rows:
        _, _, system, thing, _ = row["path"].split("/")
        found.setdefault(system, {}).setdefault(thing, {})[row["path"]] = row
    prefix = f"{site}:ALM"
    top = []
    for system, below in found.items():
        areas = []
        for thing, alarms in below.items():
            children = [
                {
                    **{key: value for key, value in one.items() if key not in ("guidance", "displays", "area")},
                    "name": one["pv"],
                    "pv_prefix": f"{prefix}:{one['pv'].removeprefix(f'{site}:')}",
                    "kind": "alarm",
                    "enabled": True,
                }
                for one in alarms.values()
            ]
            areas.append(area(f"/{site}/{system}/{thing}", children, f"{prefix}:{system}:{thing}"))
        top.append(area(f"/{site}/{system}", areas, f"{prefix}:{system}"))
    root = area(f"/{site}", top, prefix)
    _drop_leaves(root)
    return root


def _drop_leaves(node: dict[str, Any]) -> None:
    node.pop("leaves", None)
    for child in node.get("children", ()):
        _drop_leaves(child)


def pv_values(node: dict[str, Any], prefix: str) -> dict[str, dict[str, Any]]:
    """What the PVs of a tree's items say, for the stub IOC; of alarms only those that are in alarm."""
    names = ["OK", "MINOR_ACK", "MAJOR_ACK", "INVALID_ACK", "UNDEFINED_ACK", "MINOR", "MAJOR", "INVALID", "UNDEFINED"]
    what = node["pv_prefix"].removeprefix(prefix.rstrip(":")).lstrip(":")
    severity = names.index(node["severity"])
    if node["kind"] == "alarm":
        if not severity:
            return {}
        texts = {"Msg": "message", "Val": "value", "State": "state", "AckBy": "acknowledged_by"}
        return {what: {"Sevr": severity} | {pv: node[key] for pv, key in texts.items()}}
    counts = {"NUnack": "unacknowledged", "NAck": "acknowledged", "NSupp": "suppressed", "NTotal": "total"}
    found = {
        what: {"Sevr": severity, "First": node["first_out"], "Path": node["path"]}
        | {pv: node[key] for pv, key in counts.items()}
    }
    for child in node["children"]:
        found |= pv_values(child, prefix)
    return found


def log(count: int, site: str) -> dict[str, Any]:
    kinds = ("transition", "transition", "announce", "ack", "transition", "shelve", "config")
    events = []
    for n in range(count):
        row, kind = in_alarm(n % 40, site), kinds[n % len(kinds)]
        person = kind in ("ack", "shelve", "config")
        events.append(
            {
                "time": iso(n * 77),
                "kind": kind,
                "path": row["path"],
                "pv": row["pv"],
                "severity": row["severity"],
                "before": "OK",
                "current": row["current"],
                "message": row["message"],
                "value": row["value"],
                "state": row["state"],
                "user": "anna" if person else "",
                "host": "daq1" if person else "",
                "detail": f"10m {LONG}" if kind == "shelve" and n < 14 else "",
            }
        )
    return {"events": events, "next": f"after-{count}" if count else None}


def figures(site: str) -> dict[str, Any]:
    """As `db.alarms.figures.Figures.as_dict` gives them, of a day with a flood."""
    counts = [(n * 7) % 4 for n in range(144)]
    counts[60:64] = [14, 22, 17, 8]
    total = sum(counts)

    def most(value: float, target: float, limit: float | None = None) -> dict[str, Any]:
        found: dict[str, Any] = {"value": value, "target": target, "ok": value <= target}
        return found if limit is None else found | {"limit": limit, "manageable": value <= limit}

    def counted(number: int, count: int) -> dict[str, Any]:
        row = in_alarm(number, site)
        return {"path": row["path"], "pv": row["pv"], "count": count}

    top = [counted(n, 40 - 3 * n) for n in range(10)]
    stale = [
        {"path": in_alarm(n, site)["path"], "pv": in_alarm(n, site)["pv"], "begin": iso(200_000 + n), "end": None,
         "hours": 55.5}
        for n in range(7)
    ]  # fmt: skip
    return {
        "since": iso(86_400),
        "until": iso(0),
        "hours": 24.0,
        "area": "",
        "operators": 1,
        "alarms": total,
        "per_hour": most(total / 24, 6, 12),
        "per_day": most(total, 144, 288),
        "per_10_min": most(total / 144, 1, 2),
        "max_10_min": most(22.0, 10),
        "share_above_1": {"value": 0.4},
        "share_above_2": {"value": 0.2},
        "share_above_10": most(0.02, 0.01),
        "top_share": most(0.61, 0.01, 0.05),
        "top": [one | {"share": one["count"] / total} for one in top],
        "chattering": most(2, 0) | {"alarms": [counted(n, 12) for n in range(2)]},
        "fleeting": most(0, 0) | {"alarms": []},
        "stale": {"value": 7, "target": 5, "ok": False, "alarms": stale},
        "flood": {
            "count": 1, "seconds": 1800.0, "share": most(1800 / 86_400, 0.01), "alarms": 53, "peak": 22,
            "floods": [{"begin": iso(50_000), "end": iso(48_200), "seconds": 1800.0, "alarms": 53, "peak": 22}],
        },
        "priorities": {
            "low": {"value": 0.55, "target": 0.8, "ok": False, "count": 120},
            "medium": {"value": 0.35, "target": 0.15, "ok": False, "count": 80},
            "high": {"value": 0.1, "target": 0.05, "ok": True, "count": 20},
        },
        "acknowledged": {"count": 90, "mean": 300.0, "median": 134.0, "p90": 900.0, "longest": 4000.0},
        "areas": [
            {"area": f"/{site}/{system}/L01", "count": 60 - 6 * n, "share": (60 - 6 * n) / total}
            for n, system in enumerate(SYSTEMS)
        ],
        "acts": {"ack": 90, "shelve": 3},
        "people": [{"person": "anna@daq1", "ack": 60, "shelve": 1}, {"person": "bert@daq2", "ack": 30, "shelve": 2}],
        "series": {"begin": iso(86_400), "seconds": 600, "counts": counts},
    }  # fmt: skip
