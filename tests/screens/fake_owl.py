"""An `owl runkey` that answers from memory, in the forms that `db.cli.forms` documents.

    python fake_owl.py runkey list --json

The file named by FAKE_OWL says how it behaves: `some` (the default), `many` (1,000 runkeys), `none`, `error`, `hang`,
`garbage`, `away` (a database does not answer). The file beside it, with `.calls`, gets a line for each call.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from functools import cache
from pathlib import Path

import numpy as np

COLS, ROWS = 400, 384


def digest(*words: object) -> str:
    return hashlib.sha256(repr(words).encode()).hexdigest()


def runkey(name: str, number: int, where: str = "staging", tags: tuple[str, ...] = (), comment: str = "") -> dict:
    return {
        "name": name,
        "where": where,
        "committed": where == "backend",
        "revision": digest("revision", name, number)[:32],
        "number": number,
        "root": digest("root", name, number)[:32],
        "digest": digest("digest", name, number),
        "action": "edit" if number > 1 else "create",
        "author": "anna@daq1",
        "created": f"2026-11-{1 + number % 20:02d}T{number % 24:02d}:15:{number % 60:02d}.250000+00:00",
        "comment": comment or f"after the tuning of run {1000 + number}",
        "tags": [f"LABEL:{tag}" for tag in tags],
    }


SOME = [
    runkey("cosmics 12", 19, tags=("physics", "good")),
    runkey("cosmics 11", 17, where="backend", tags=("physics",)),
    runkey("sr1 mmsetup 04 sr1", 15, comment="four front-ends of a quad, no merging"),
    runkey("HV 2026-11-20 night shift, before water", 12, comment="Why: " + "the cooling plant is serviced " * 8),
    runkey("snapshot 2026-11-19 03:12:44", 9, tags=("a tag that is rather long for its place", "night", "third")),
    runkey("cosmics 11", 8, tags=("draft",)),
]


def many() -> list[dict]:
    return [
        runkey(f"scan {n:04d} threshold tuned", n % 400, tags=(("even", "odd")[n % 2], f"week {n % 52}"))
        for n in range(1000)
    ]


def payload(role: str, content: bytes, kind: str = "config", form: str = "json", **meta: object) -> dict:
    sha = hashlib.sha256(content).hexdigest()
    return {
        "id": sha[:32],
        "role": role,
        "type": kind,
        "name": "",
        "format": form,
        "sha256": sha,
        "size": len(content),
        "meta": meta,
    }


def config(fe: int) -> bytes:
    registers = {"DiffPreComp": 350, "DiffTh1L": 250 + fe, "DiffTh1M": 250, "EnCoreCol0": 65535, "SldoTrimA": 12}
    parameter = {"Name": f"0x1542{fe}", "ChipId": 12 + fe, "ADCcalPar": [14.465, 0.188, 4990], "InjCap": 7.955}
    return json.dumps({"RD53B": {"GlobalConfig": registers, "Parameter": parameter}}).encode()


@cache
def pixels(fe: int, changed: bool = False) -> bytes:
    """A wave of TDAC, a masked column, an injection pattern, and a masked corner; `changed` differs in a few pixels."""
    col, row = np.ogrid[:COLS, :ROWS]
    tdac = (col * (fe + 1) // 9 + row // 7) % 31 - 15
    masked = (col == 100 + fe) | ((col < 20) & (row < 20))
    out = (np.abs(tdac) << 3) | np.where(tdac < 0, 0x80, 0) | ~masked
    out |= np.where((col + row) % 8 == 0, 2, 0) | np.where((col // 8 + row // 8) % 2 == 0, 4, 0)
    if changed:
        for at in ((10, 300), (200, 100), (201, 100), (390, 380)):
            out[at] ^= 1
        out[150:250, 150:200] ^= 0x18
    return out.astype(np.uint8).tobytes()


def setpoints(shift: float = 0.0) -> bytes:
    items = [
        {
            "pv": f"DEMO:HV:L{n:02d}:{name}",
            "type": "double",
            "value": value + shift,
            "units": unit,
            "precision": 1,
        }
        for n in range(1, 22)
        for name, value, unit in (("ISet", 50.0, "uA"), ("VDef", 2000.0, "V"), ("VSet", 1800.0, "V"))
    ]
    items.append({"pv": "DEMO:HV:L01:Pw", "type": "enum", "value": "Off", "units": "", "states": ["Off", "On"]})
    items.append({"pv": "DEMO:HV:L01:Odd", "type": "double", "value": "NaN", "units": "V"})
    return json.dumps({"version": 1, "items": sorted(items, key=lambda item: item["pv"])}).encode()


def conditions() -> bytes:
    items = {f"DEMO:HV:L{n:02d}:VSet": [n % 4, "HIHI" if n % 4 else "NO_ALARM", 0] for n in range(1, 22)}
    missing = {"DEMO:HV:F:VSet": "no answer"}
    return json.dumps({"version": 1, "taken": "2026-11-20T01:02:03Z", "items": items, "missing": missing}).encode()


SCAN = json.dumps({"scan": {"name": "std_thresholdscan", "loops": [{"loopAction": "Rd53bMaskLoop"}]}}).encode()
CONTENTS = {"/HV setpoints": setpoints(), "/HV conditions": conditions(), "/scan config": SCAN}
BLOB = bytes(range(256)) * 3


def content(path: str, role: str, changed: bool = False) -> bytes | None:
    if found := CONTENTS.get(f"{path} {role}"):
        return found
    fe = int(path.rpartition("FE")[2] or 0) if "FE" in path.rpartition("/")[2] else 0
    return {
        "config": config(fe),
        "pixels": pixels(fe, changed),
        "log": b"first line\nsecond line\n",
        "blob": BLOB,
    }.get(role)


def node(path: str, kind: str, children: list[dict] | None = None, roles: dict | None = None, **edge: object) -> dict:
    return {
        "path": path,
        "name": path.rpartition("/")[2],
        "type": kind,
        "serial": f"20UPG{abs(hash(kind)) % 10}{len(path):03d}" if kind == "frontend" else "",
        "id": digest("id", path)[:32],
        "lineage": digest("lineage", path)[:32],
        "digest": digest("node", path),
        "view": "daq",
        "pos": 0,
        "meta": {"chip": "RD53B"} if kind == "frontend" else {},
        "edge": edge,
        "payloads": roles or {},
        "children": children or [],
        "more": 0,
    }


def front_end(path: str, number: int, small: bool, changed: bool) -> dict:
    roles = {}
    if not small:
        roles = {
            "config": payload("config", config(number)),
            "pixels": payload("pixels", pixels(number, changed), form="pixels", chip="RD53B", cols=COLS, rows=ROWS),
        }
        if number == 0:
            roles["log"] = payload("log", b"first line\nsecond line\n", "log", "text")
            roles["blob"] = payload("blob", BLOB, "result", "raw")
    edge = {"rx": (0, 4, 8, 12)[number % 4], "tx": 2, "enable": int(number != 2), "locked": int(number == 1)}
    return node(path, "frontend", None, roles, **edge, host="127.0.0.1")


def tree(name: str, boards: int = 2, fes: int = 4) -> dict:
    if "many" in mode():
        boards, fes = 30, 28
    changed = name.startswith("cosmics 12")
    felix = [
        node(
            f"/FELIX{f}",
            "felix",
            [
                node(
                    f"/FELIX{f}/OB{b}",
                    "optoboard",
                    [front_end(f"/FELIX{f}/OB{b}/FE{n}", n, b > 1 or f > 1, changed) for n in range(fes)],
                )
                for b in range(1, boards + 1)
            ],
        )
        for f in (1, 2)
    ]
    hv = node(
        "/HV",
        "subsystem",
        None,
        {
            "setpoints": payload("setpoints", setpoints(), "setpoints"),
            "conditions": payload("conditions", conditions(), "conditions"),
        },
    )
    scan = node("/scan", "scan", None, {"config": payload("config", SCAN, "scan_config")})
    return node("/", "runkey", [*felix, hv, scan])


def cut(entry: dict, depth: int) -> dict:
    if depth == 0:
        return {**entry, "children": [], "more": len(entry["children"]) + entry["more"]}
    return {**entry, "children": [cut(child, depth - 1) for child in entry["children"]]}


def count(entry: dict) -> int:
    return 1 + sum(count(child) for child in entry["children"])


def find(entry: dict, path: str) -> dict | None:
    if entry["path"] == path:
        return entry
    return next((found for child in entry["children"] if (found := find(child, path))), None)


def log(entry: dict) -> dict:
    revisions = []
    for number in range(4, 0, -1):
        one = runkey(entry["name"], number)
        revisions.append(
            {
                **{
                    key: one[key]
                    for key in ("number", "root", "digest", "action", "author", "created", "comment", "where")
                },
                "id": one["revision"],
                "runkey": entry["name"] if number > 1 else "the one it was cloned from",
                "parent": None,
            }
        )
    return {"runkey": entry, "revisions": revisions}


def show(entry: dict) -> dict:
    tags = [
        {
            "type": "LABEL",
            "name": tag.removeprefix("LABEL:"),
            "comment": "approved",
            "author": "anna",
            "created": entry["created"],
            "targets": 3,
        }
        for tag in entry["tags"]
    ]
    validity = [
        {
            "tag": "HV 2026",
            "path": "/HV",
            "role": "setpoints",
            "from": "2026-11-01T00:00:00Z",
            "to": None,
            "author": "anna@daq1",
        }
    ]
    return {
        "runkey": entry,
        "objects": count(tree("")),
        "payloads": 18,
        "bytes": 1_234_567,
        "types": {"felix": 2, "optoboard": 4, "frontend": 16, "subsystem": 1, "scan": 1},
        "roles": {"config": 5, "pixels": 4, "setpoints": 1},
        "setpoints": {"HV": 65},
        "conditions": {"HV": 22},
        "tags": tags,
        "validity": validity,
        "revisions": 4,
    }


def mode() -> str:
    file = os.environ.get("FAKE_OWL", "")
    return Path(file).read_text().strip() if file and Path(file).exists() else "some"


def fail(text: str, code: int = 1) -> int:
    print(f"owl: {text}", file=sys.stderr)
    return code


def lookup(word: str) -> dict | None:
    entries = many() if mode() == "many" else SOME
    where, colon, rest = word.partition(":")
    if colon and where in ("staging", "backend"):
        entries, word = [entry for entry in entries if entry["where"] == where], rest
    name, at, number = word.rpartition("@")
    if at:
        found = next((entry for entry in entries if entry["name"] == name), None)
        return {**found, "number": int(number), "digest": digest(name, number)} if found else None
    return next((entry for entry in entries if entry["name"] == word), None)


def print_json(document: object) -> int:
    print(json.dumps(document))
    return 0


def main() -> int:
    what, *args = [arg for arg in sys.argv[2:] if arg not in ("--json", "--")]
    if file := os.environ.get("FAKE_OWL"):
        with Path(f"{file}.calls").open("a") as calls:
            calls.write(" ".join(sys.argv[2:]) + "\n")
    how = mode()
    if how == "hang":
        time.sleep(600)
    if how == "garbage":
        print('{"runkeys": 7')
        return 0
    if how == "error":
        return fail("the staging area does not answer: sqlite:///state/db/staging.sqlite: unable to open database file")
    options = {}
    while any(arg.startswith("--") for arg in args):
        at = next(i for i, arg in enumerate(args) if arg.startswith("--"))
        options[args[at]] = args[at + 1]
        del args[at : at + 2]
    if what == "list":
        entries = {"many": many(), "none": []}.get(how, SOME)
        away = {"where": "backend", "url": "…", "ok": how != "away", "seconds": 0.1, "reason": "connection refused"}
        return print_json({"runkeys": entries, "databases": [{"where": "staging", "ok": True}, away]})
    entry = lookup(args[0])
    if entry is None:
        return fail(f"there is no runkey {args[0]!r}; alike: cosmics 12")
    if what == "tree":
        whole = tree(entry["name"])
        found = find(whole, options.get("--path", "/"))
        if found is None:
            return fail("no such object")
        depth = int(options.get("--depth", 0))
        root = cut(found, depth) if depth else found
        return print_json({"runkey": entry, "view": "daq", "objects": count(whole), "root": root})
    if what == "get":
        data = content(args[1], args[2], changed=args[0].startswith("cosmics 12"))
        if data is None:
            return fail(f"{args[1]} has no payload {args[2]!r}")
        sys.stdout.buffer.write(data)
        return 0
    if what == "log":
        return print_json(log(entry))
    if what == "show":
        return print_json(show(entry))
    if what == "diff":
        return diff(entry, lookup(args[1]), args[1])
    return fail(f"no such command {what!r}", 2)


def diff(a: dict, b: dict | None, name: str) -> int:
    if b is None:
        return fail(f"there is no runkey {name!r}; alike: cosmics 12")
    if a["digest"] == b["digest"]:
        return print_json({"a": a, "b": b, "same": True, "counts": {}})
    fe = "/FELIX1/OB1/FE0"
    values = [
        {"path": fe, "role": "config", "key": f"GlobalConfig.DiffTh1{x}", "before": 250, "after": 260, "register": True}
        for x in "LMR"
    ]
    points = [
        {"path": "/HV", "role": "setpoints", "pv": f"DEMO:HV:L{n:02d}:VSet", "before": 1800.0, "after": 1750.5}
        | {"units": "V", "about": ""}
        for n in range(1, 6)
    ]
    maps = [
        {"path": fe, "role": "pixels", "chip": "RD53B", "cols": COLS, "rows": ROWS, "enable": 4, "injen": 0}
        | {"hitbus": 0, "tdac": 5000, "changed": 5004, "tdac_mean": 0.1, "tdac_rms": 2.0}
        | {"before": hashlib.sha256(pixels(0)).hexdigest(), "after": hashlib.sha256(pixels(0, True)).hexdigest()}
    ]
    edges = [{"path": "/FELIX1/OB1/FE2", "key": "enable", "before": 1, "after": 0}]
    others = [{"path": "/scan", "what": "meta vendor", "role": "", "before": "", "after": "a very long text " * 20}]
    print_json(
        {
            "a": a,
            "b": b,
            "same": False,
            "counts": {"objects": 10, "added": 5, "removed": 1, "changed": 4, "registers": 3, "values": 0, "maps": 1}
            | {"pixels": 5004, "setpoints": 5, "edges": 1, "others": 1},
            "added": [{"path": "/FELIX2/OB9", "type": "optoboard", "objects": 5}],
            "removed": [{"path": "/module 7", "type": "module", "objects": 1}],
            "parents": [],
            "groups": [
                {"role": "config", "key": "GlobalConfig.DiffTh1L", "before": 250, "after": 260}
                | {"objects": 12, "paths": [f"/FELIX1/OB1/FE{n}" for n in range(10)]}
            ],
            "changes": [*values, *points, *maps, *edges, *others],
            "more": 7,
        }
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
