"""The JSON that `owl runkey … --json` prints: one document on standard output, and nothing else there.

Screens and scripts stand on these forms: keys may be added, none is renamed. Times are ISO 8601 in UTC. Ids are 32
hexadecimal digits, digests and sha256s 64. What fails is said in one line on standard error, with exit code 1 (2: it
was asked for wrongly), and standard output stays empty.

RUNKEY, a name and what it means now::

    {"name": "cosmics 12", "where": "staging" | "backend", "committed": false,
     "revision": ID, "number": 3, "root": ID, "digest": HEX, "action": "edit",
     "author": "anna", "created": TIME, "comment": "…", "tags": ["LABEL:physics"]}

`list [GLOB] --json`: one entry for each database that has the name::

    {"runkeys": [RUNKEY, …], "databases": [DATABASE, …]}
    DATABASE = {"where": "staging", "url": "sqlite:///…", "ok": true, "seconds": 0.001, "reason": ""}

`show NAME --json`::

    {"runkey": RUNKEY, "objects": 1234, "payloads": 2345, "bytes": 99999999, "types": {"felix": 1, "frontend": 4},
     "roles": {"config": 4, "pixels": 4, "setpoints": 1}, "setpoints": {"HV": 96}, "conditions": {"HV": 300},
     "tags": [TAG, …], "validity": [{"tag": "HV 2026", "path": "/HV", "role": "", "from": TIME, "to": TIME | null,
     "author": "…"}], "revisions": 3}

`tree NAME --json [--path PATH] [--depth N] [--view VIEW]`::

    {"runkey": RUNKEY, "view": "daq", "objects": 1234, "root": NODE}
    NODE = {"path": "/FELIX1/OB1/FE3", "name": "FE3", "type": "frontend", "serial": "", "id": ID, "lineage": ID,
            "digest": HEX, "view": "daq", "pos": 3, "meta": {…}, "edge": {"rx": 12, "tx": 2, "enable": 1, "locked": 0},
            "payloads": {ROLE: PAYLOAD, …}, "children": [NODE, …], "more": 0}
    PAYLOAD = {"id": ID, "role": "pixels", "type": "config", "name": "", "format": "json" | "pixels" | "text" | "raw",
               "sha256": HEX, "size": 153600, "meta": {…}}

`more` counts the children that --depth left out.

`get NAME PATH ROLE`: the very bytes of the payload; with --json::

    {"runkey": RUNKEY, "path": "/FELIX1/OB1/FE3", "payload": PAYLOAD, "content": what the JSON says | "text" | null,
     "base64": "…" | null}

`payload` is null for the role `chip`, which stands for a front-end's whole file and is no payload of its own.
`content` for the formats json and text, `base64` for pixels and raw. Pixel maps: meta has `cols` and `rows`; a byte a
pixel, column after column (`index = col * rows + row`): bit 0 Enable, 1 InjEn, 2 Hitbus, 3 to 6 size of TDAC, 7 its
sign.

`diff A B --json [--path PATH] [--full]`: exit code 1 when they differ::

    {"a": RUNKEY, "b": RUNKEY, "same": false, "counts": {"objects": 3, "registers": 2, "pixels": 17, "setpoints": 0, …},
     "added": […], "removed": […], "parents": […], "groups": […], "changes": […], "more": 0}
    (`db.compare` says it in full)

`snapshot`, `compare`, `apply`, `abort --json`: what came of it; exit code 1 when it failed, or something differs::

    {"command": "apply", "ok": true, "reason": "", "runkey": "before shift", "digest": HEX, "state": "Idle",
     "message": "…", "differences": 0, "report": "…", "plan": "…"}

`log NAME --json`: newest first, across clones::

    {"runkey": RUNKEY, "revisions": [REVISION, …]}
    REVISION = {"id": ID, "runkey": "cosmics 12", "number": 3, "root": ID, "digest": HEX, "parent": ID | null,
                "action": "edit", "author": "anna", "created": TIME, "comment": "…", "where": "staging"}

`tags [GLOB] --json`::

    {"tags": [TAG, …]}
    TAG = {"type": "LABEL", "name": "physics", "comment": "…", "author": "…", "created": TIME, "where": "staging",
           "targets": 3}
"""

from __future__ import annotations
