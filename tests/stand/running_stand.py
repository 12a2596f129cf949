"""A running site, as a user sees it: what `owl up` printed, and an environment with just that."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from support import Process, owl

from owlshift.supervisor import read_status


@dataclass
class Stand:
    """A running site. `printed` is what `owl up` said when all was ready."""

    process: Process
    site_file: Path
    state: Path
    prefix: str
    archiver: str
    ca_port: int

    @property
    def printed(self) -> str:
        return self.process.text()

    @property
    def env(self) -> dict[str, str]:
        """The printed exports, and nothing else of EPICS."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("EPICS_")}
        exports = dict(re.findall(r"^  export (\w+)=(\S+)$", self.printed, re.MULTILINE))
        return {**clean, **exports, "COLUMNS": "200"}

    def pv(self, name: str) -> str:
        return f"{self.prefix}{name}"

    def owl(self, *args: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        return subprocess.run(owl(*args), env=self.env, capture_output=True, text=True, timeout=timeout)

    def python(self, code: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run `code` in an interpreter that has just the printed exports."""
        return subprocess.run(
            [sys.executable, "-c", code], env=self.env, capture_output=True, text=True, timeout=timeout
        )

    def pid(self, name: str) -> int | None:
        found = read_status(self.state)
        assert found is not None
        status = {s.name: s for s in found[1]}[name]
        return status.pid if status.state == "running" else None
