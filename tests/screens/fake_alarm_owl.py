"""An `owl alarm` that answers from files.

    python fake_alarm_owl.py alarm tree --json

The folder named by FAKE_ALARMS has `tree.json`, `log.json`, `stats.json`; its file `mode` says how it behaves: `some`
(the default), `error`, `hang`, `garbage`. Its file `calls` gets a line for each call.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path


def main() -> int:
    folder = Path(os.environ["FAKE_ALARMS"])
    what = sys.argv[2]
    with (folder / "calls").open("a") as calls:
        calls.write(" ".join(sys.argv[2:]) + "\n")
    mode = (folder / "mode").read_text().strip() if (folder / "mode").exists() else "some"
    if mode == "hang":
        time.sleep(600)
    if mode == "garbage":
        print('{"alarms": 7')
        return 0
    file = folder / f"{what}.json"
    if mode == "error" or not file.exists():
        print("owl: the alarm server does not answer: DEMO:ALM:Tree", file=sys.stderr)
        return 1
    sys.stdout.write(file.read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
