"""Take the pictures of the archive's page: `python docs/make_page_images.py [--url http://127.0.0.1:17665]`.

A demo must run there, and for the plots to show something its voltage must have been ramped in the last ten minutes:

    owl put -c DEMO:HV:Mult 0.9
    owl sim hv ctl load L07 40
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import Literal

IMAGES = Path(__file__).parent / "images"
CHANNEL = "DEMO:HV:L07"
PLOT = f"#plot?pv={CHANNEL}:VMon&pv=DEMO:HV:L21:VMon&pv={CHANNEL}:IMon&pv={CHANNEL}:State&from=-10min&to=now&zone=utc"
PHONE = f"#plot?pv={CHANNEL}:VMon&pv={CHANNEL}:IMon&from=-10min&to=now&zone=utc"
PICTURES: list[tuple[str, str, int, int, Literal["light", "dark"]]] = [
    # name, what is shown, width, height, scheme
    ("archiver-page", PLOT, 1280, 820, "light"),
    ("archiver-page-dark", PLOT, 1280, 820, "dark"),
    (
        "archiver-page-phone",
        f"#plot?pv={CHANNEL}:VMon&pv={CHANNEL}:IMon&from=-10min&to=now&zone=utc",
        360,
        780,
        "light",
    ),
    ("archiver-page-engine", "#engine?zone=utc", 1280, 720, "light"),
    ("archiver-page-pvs", "#pvs?filter=l07&zone=utc", 1280, 720, "light"),
]
READY = {
    "plot": "() => archivePage.plot.pending === 0 && archivePage.plot.items.every((i) => i.pv && i.series)",
    "engine": "() => document.querySelector('.engine') && !document.querySelector('#report').textContent.includes('…')",
    "pvs": "() => document.querySelectorAll('table.pvs tbody tr').length > 3",
}


def main() -> int:
    """Take all pictures; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:17665")
    parser.add_argument("--folder", type=Path, default=IMAGES)
    arguments = parser.parse_args()
    chromium = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
    if chromium is None:
        print("there is no Chromium (Debian, Ubuntu: apt-get install chromium)", file=sys.stderr)
        return 1
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, place, width, height, scheme in PICTURES:
            context = browser.new_context(
                viewport={"width": width, "height": height}, color_scheme=scheme, timezone_id="UTC"
            )
            page = context.new_page()
            page.goto(f"{arguments.url}/{place}")
            page.wait_for_function(READY[place[1:].partition("?")[0]])
            if "plot" in place and width > 1000:
                box = page.locator("#plot .u-over").bounding_box()
                if box is not None:
                    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.5 * box["height"])
                    page.wait_for_selector("#readout:not([hidden])")
            if place.startswith("#engine"):
                page.get_by_role("tab", name="Most events").click()
                page.wait_for_selector("#report tbody tr")
            page.screenshot(path=arguments.folder / f"{name}.png")
            context.close()
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
