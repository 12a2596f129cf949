"""A page in a browser window, and what tests ask of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

TIMEOUT = 60_000
"""ms that anything may take on a machine that is busy."""

REFUSED = "Failed to load resource"
"""What the browser's console says of an answer that is no 200."""


@dataclass(frozen=True)
class Archive:
    """An archive that is served: its address, its folder, and the unix second up to which it was filled."""

    url: str
    folder: Path
    now: int


class View:
    """One window with one page."""

    def __init__(self, browser: Any, url: str, **options: Any) -> None:
        self.url = url
        options = {"viewport": {"width": 1280, "height": 900}, "timezone_id": "UTC", **options}
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(TIMEOUT)
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.problems: list[str] = []
        self.expected: list[str] = []
        """Beginnings of console messages that the test causes on purpose."""
        self.watch(self.page)

    def watch(self, page: Any) -> None:
        page.on("request", lambda r: self.requests.append(r.url))
        page.on("pageerror", lambda e: self.problems.append(str(e)))
        page.on("console", lambda m: m.type in ("error", "warning") and self.problems.append(m.text))
        page.on("dialog", lambda d: (self.problems.append(f"dialog: {d.message}"), d.dismiss()))

    def finish(self) -> None:
        foreign = [url for url in self.requests if not url.startswith((self.url, "blob:", "data:"))]
        self.context.close()
        problems = [p for p in self.problems if not p.startswith(tuple(self.expected))]
        assert not problems, problems
        assert not foreign, foreign

    # Going somewhere

    def open(self, pvs: Iterable[str] = (), start: str = "-1h", end: str = "now", **more: str) -> None:
        """The plot with these PVs, once their samples are there."""
        query = "".join(f"pv={quote(name)}&" for name in pvs)
        query += f"from={start}&to={end}" + "".join(f"&{key}={quote(value)}" for key, value in more.items())
        self.page.goto(f"{self.url}/#plot?{query}")
        self.loaded()

    def go(self, hash_: str) -> None:
        self.page.goto(f"{self.url}/{hash_}")

    def loaded(self) -> None:
        """Wait until nothing is asked for."""
        self.until(
            "() => { const p = archivePage.plot; return p.pending === 0 && p.items.every((i) => i.pv || i.error); }"
        )

    def until(self, condition: str, argument: Any = None) -> None:
        """Wait for a JavaScript condition."""
        self.page.wait_for_function(condition, arg=argument, timeout=TIMEOUT)

    # Looking

    def js(self, code: str, argument: Any = None) -> Any:
        return self.page.evaluate(code, argument)

    def item(self, name: str, code: str) -> Any:
        """An expression of the plot's item `i` with this name."""
        return self.js(f"(n) => {{ const i = archivePage.plot.items.find((i) => i.name === n); return {code}; }}", name)

    def row(self, name: str) -> Any:
        """The PV's row below the plot."""
        return self.page.locator("table.legend tbody tr").filter(has=self.page.get_by_text(name, exact=True))

    def cells(self, name: str) -> dict[str, str]:
        """The statistics of a PV, by column."""
        cells = self.row(name).locator("td.number")
        return {
            cell.get_attribute("data-label"): cell.inner_text().replace("\u202f", "").replace("−", "-")
            for cell in cells.all()
        }

    def state(self) -> dict[str, Any]:
        return self.js("() => archivePage.state()")

    def asked(self, call: str) -> list[dict[str, str]]:
        """The queries of all requests so far to a call, in order."""
        found = []
        for url in self.requests:
            parts = urlsplit(url)
            if parts.path.endswith(call):
                found.append({key: values[0] for key, values in parse_qs(parts.query).items()})
        return found

    def box(self) -> dict[str, float]:
        """Where the plotting area is."""
        return self.page.locator("#plot .u-over").bounding_box()
