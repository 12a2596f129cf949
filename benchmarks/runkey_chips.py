"""From chip files to payloads and back, beside what a JSON parser alone takes. One process, one core.

    python benchmarks/runkey_chips.py [--files 40] [--chip RD53B]

Every file is another chip: tuned, TDACs normal(-2, 4), 0.2 % masked. The parsers take turns with our path on the same
file, so that whatever else runs on the machine slows all of them alike.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Callable

import orjson

from db.chips.chipfile import chip_file, chip_payloads, parse_chip, render_chip
from db.chips.differences import pixel_diff
from db.chips.make import make_chip
from db.chips.picture import picture

WANTED = 20.0
"""Files per second, from bytes to payloads."""


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(chip: str, layout: str, files: int) -> None:
    """Print the times of one layout of one chip type."""
    totals = dict.fromkeys(("json.loads", "orjson.loads", "to payloads", "payloads to file", "irregular"), 0.0)
    size = stored = kept = 0
    for number in range(files):
        data = render_chip(make_chip(chip, f"0x{number:05x}", number), layout)
        size = len(data)
        totals["json.loads"] += seconds(lambda data=data: json.loads(data))
        totals["orjson.loads"] += seconds(lambda data=data: orjson.loads(data))
        totals["to payloads"] += seconds(lambda data=data: chip_payloads(data, "f"))
        made = chip_payloads(data, "f")
        stored += sum(len(one.content) for one in made)
        kept += len(made) > 2
        contents = {one.role: (one.content, one.meta) for one in made}
        totals["payloads to file"] += seconds(lambda contents=contents: chip_file(contents))
        assert chip_file(contents) == data
        odd = re.sub(rb'("(?:Col|Row)": ?)7,', rb"\1 7,", data)
        totals["irregular"] += seconds(lambda odd=odd: chip_payloads(odd, "f"))
    print(f"{chip}, {layout}: {size:,} bytes a file, {stored // files:,} stored; {kept} of {files} kept as they are")
    alone = totals["json.loads"]
    for name, total in totals.items():
        rate = files / total
        verdict = ""
        if name == "to payloads":
            verdict = f"  wanted {WANTED:.0f}: {'reached' if rate >= WANTED else 'MISSED'}"
        print(
            f"  {name:18} {1e3 * total / files:7.2f} ms {rate:7.1f} files/s {alone / total:6.2f} x json.loads{verdict}"
        )


def others(chip: str) -> None:
    """Print the times of what is done with one map."""
    one, two = make_chip(chip, "a", 1), make_chip(chip, "b", 2)
    data = render_chip(one)
    works: dict[str, Callable[[], object]] = {
        "make_chip": lambda: make_chip(chip, "a", 1),
        "parse_chip": lambda: parse_chip(data, "f"),
        "render_chip": lambda: render_chip(one),
        "pixel_diff": lambda: pixel_diff(one.pixels, two.pixels),
        "picture": lambda: picture(one.pixels),
    }
    for name, work in works.items():
        print(f"  {name:18} {1e3 * min(seconds(work) for _ in range(5)):7.2f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=40)
    parser.add_argument("--chip", action="append", help="chip types (default: RD53B and RD53A)")
    arguments = parser.parse_args()
    for chip in arguments.chip or ["RD53B", "RD53A"]:
        for layout in ("yarr", "tight"):
            measure(chip, layout, arguments.files)
    print("one RD53B map")
    others("RD53B")


if __name__ == "__main__":
    main()
