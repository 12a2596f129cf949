"""The generated reference pages are what the code says now."""

import subprocess
import sys

from support import ROOT


def test_reference_pages_are_current() -> None:
    argv = [sys.executable, "docs/make_reference.py", "--check"]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\nrun: python docs/make_reference.py"
