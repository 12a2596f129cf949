"""`owl runkey …` in this process, with databases of its own, and runkeys to look at."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from db.chips.chipfile import chip_payloads, render_chip
from db.chips.make import make_chip
from db.cli import app
from db.nodes import NewChild, NewObject, NewPayload
from db.store import Store
from db.who import Who

STAND = "mmsetup sr1"
SETPOINTS = {
    "version": 1,
    "items": [
        {"pv": "DEMO:HV:B0:Mode", "type": "enum", "value": "KILL", "units": "", "states": ["KILL", "RAMP"]},
        {"pv": "DEMO:HV:L07:Name", "type": "string", "value": "layer 7", "units": ""},
        {"pv": "DEMO:HV:L07:VSet", "type": "double", "value": 1880.0, "units": "V", "precision": 1},
        {"pv": "DEMO:HV:L08:Count", "type": "long", "value": 3, "units": ""},
    ],
}


@dataclass
class Run:
    """What a command did."""

    code: int
    out: str
    err: str
    raw: bytes

    @property
    def json(self) -> Any:
        """The one document on standard output."""
        return json.loads(self.out)


@dataclass
class Shell:
    """A shell whose site keeps its databases in `folder`."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return {"OWLSHIFT_STATE": str(self.folder / "state")}

    def __call__(self, *args: object, input: str | None = None, **env: str) -> Run:
        words = [str(arg) for arg in args]
        result = CliRunner().invoke(app, words, env={**self.environment, **env}, prog_name="owl runkey", input=input)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Run(result.exit_code, result.stdout_bytes.decode(errors="replace"), result.stderr, result.stdout_bytes)

    def ok(self, *args: object, input: str | None = None, **env: str) -> Run:
        """The same, of which nothing but success is expected."""
        run = self(*args, input=input, **env)
        assert run.code == 0, f"owl runkey {args} ended with {run.code}: {run.out}{run.err}"
        return run

    def no(self, code: int, *args: object, **env: str) -> str:
        """What is said of a refusal; standard output is empty."""
        run = self(*args, **env)
        assert run.code == code, f"owl runkey {args} ended with {run.code}: {run.out}{run.err}"
        assert run.out == ""
        return run.err

    def store(self, user: str = "anna") -> Store:
        """Both databases, for what a test prepares."""
        db = self.folder / "state" / "db"
        return Store.open(f"sqlite:///{db}/staging.sqlite", f"sqlite:///{db}/backend.sqlite", Who(user, "daq1"))


def front_end(number: int) -> NewObject:
    """An RD53B with its chip file."""
    file = render_chip(make_chip("RD53B", f"chip {number}", number))
    return NewObject(
        "frontend", f"FE{number}", f"20UPGFC{number:07}", {"chip": "RD53B"}, chip_payloads(file, "made up")
    )


def stand(front_ends: int = 4) -> NewObject:
    """A FELIX with an optoboard and some front-ends, and a subsystem with setpoints."""
    chips = [
        NewChild(front_end(n + 1), "daq", n, {"rx": 4 * n, "tx": 2, "enable": int(n != 1), "locked": int(n == 2)})
        for n in range(front_ends)
    ]
    felix = NewObject("felix", "FELIX 1", children=[NewChild(NewObject("optoboard", "OB1", children=chips))])
    conditions = {
        "version": 1,
        "taken": "2026-11-20T08:00:00Z",
        "items": {"DEMO:HV:L07:VSet": [0, 0, 0]},
        "missing": {},
    }
    settings = [
        NewPayload("setpoints", json.dumps(SETPOINTS, separators=(",", ":")).encode(), "setpoints"),
        NewPayload("conditions", json.dumps(conditions).encode(), "conditions"),
    ]
    hv = NewObject("subsystem", "HV", payloads=settings)
    notes = NewPayload("notes", b"cold, 60 % humidity\n", "log", "text")
    return NewObject("runkey", "", payloads=[notes], children=[NewChild(felix), NewChild(hv, "daq", 1)])
