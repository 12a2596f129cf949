"""The engine's and the PVs' views, over a running engine with a C IOC; with and without the right to change things."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from page_browser import View
from support import Process, free_port, start, unique_prefix, wait_until

pytest.importorskip("playwright", reason="playwright is not installed")
from playwright.sync_api import expect

from archiver.store import StoreWriter
from benchmarks.c_ioc import CIoc

pytestmark = pytest.mark.timeout(300)
TOKEN = "an-old-owl"


@dataclass(frozen=True)
class Site:
    """A site whose archive only anna may change."""

    url: str
    prefix: str
    archive: Path
    engine: Process


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("page-site")
    prefix = unique_prefix()
    records = [
        f'record(ai, "{prefix}{name}") {{ field(INP, "{prefix}Clock NPP NMS") field(SCAN, "{scan} second") '
        'field(EGU, "V") field(PREC, "3") field(HIGH, "1e30") }'
        for name, scan in (("A", ".1"), ("B", ".5"), ("C", "1"), ("D", "1"))
    ]
    clock = f'record(calc, "{prefix}Clock") {{ field(SCAN, ".1 second") field(CALC, "VAL+1") }}'
    port, http = free_port(), free_port()
    beacons = free_port()
    names = "".join(f'[[archiver.pv]]\nname = "{prefix}{name}"\n' for name in ("A", "B", "Missing"))
    (folder / "tokens").write_text(f"anna:{hashlib.sha256(TOKEN.encode()).hexdigest()}\n")
    (folder / "site.acf").write_text(
        'UAG(archivers) { "anna" }\nASG(DEFAULT) { RULE(1, READ) RULE(1, WRITE) }\n'
        "ASG(ARCHIVER) { RULE(1, READ) RULE(1, WRITE) { UAG(archivers) } }\n"
    )
    (folder / "site.toml").write_text(
        f'[site]\nname = "T"\n[ca]\nport = {port}\n[access]\nfile = "site.acf"\n'
        f'[archiver]\nhttp = "127.0.0.1:{http}"\nsearch = ["127.0.0.1"]\nsync = 0.5\n'
        f'access = {{ tokens = "tokens" }}\n{names}'
    )
    where = ["--site", str(folder / "site.toml"), "--state", str(folder / "state")]
    archive = folder / "state" / "archive"
    with CIoc("\n".join([clock, *records]), port, beacons):
        environment = {"EPICS_CA_REPEATER_PORT": str(beacons)}
        engine = start([sys.executable, "-m", "archiver.engine", *where], timeout=90, env=environment)
        retrieval = start([sys.executable, "-m", "archiver.retrieval", *where], timeout=90)
        wait_until(lambda: status(archive).get("connected") == 2, 90, "two PVs connected", interval=0.2)
        yield Site(f"http://127.0.0.1:{http}", prefix, archive, engine)
        for process in (retrieval, engine):
            assert process.stop(60) == 0, process.text()


def status(archive: Path) -> dict[str, Any]:
    try:
        return json.loads((archive / "engine.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}


@pytest.fixture
def seen(chromium: Any, site: Site) -> Iterator[View]:
    made = View(chromium, site.url)
    yield made
    made.finish()


def sign_in(view: View, token: str = TOKEN) -> None:
    view.page.locator("#who").click()
    view.page.get_by_label("Token").fill(token)
    view.page.get_by_label("Token").press("Enter")


def pv_row(view: View, name: str) -> Any:
    return view.page.locator(f'table.pvs tr[data-pv="{name}"]')


def choose(view: View, *names: str) -> None:
    for name in names:
        pv_row(view, name).get_by_role("checkbox").check()


def test_the_engine_in_figures_and_lists(seen: View, site: Site):
    seen.go("#engine")
    card = seen.page.locator(".engine")
    expect(card).to_contain_text("recording")
    for words in ("PVs", "2 connected, 1 never yet", "Received", "Written", "Lag", "Disk left", "Lost", "log"):
        expect(card).to_contain_text(words)
    before = card.inner_text()
    expect(card).not_to_have_text(before)  # it goes on
    missing = f"{site.prefix}Missing"
    panel = seen.page.get_by_role("tabpanel")
    seen.page.get_by_role("tab", name="Never connected").click()
    expect(panel).to_contain_text(missing)
    seen.page.get_by_role("tab", name="Never connected").press("ArrowRight")
    expect(seen.page.get_by_role("tab", name="Paused")).to_be_focused()
    expect(panel).to_contain_text("No PV is paused.")
    for tab in ("Disconnected", "Silent", "Most bytes", "Lost connections", "Dropped", "Recently added", "Audit log"):
        seen.page.get_by_role("tab", name=tab).click()
        expect(panel).not_to_have_text("…")
        expect(panel.locator(".error")).to_have_count(0)
    seen.page.get_by_role("tab", name="Most events").click()
    expect(panel.locator("tbody tr").first).to_contain_text(f"{site.prefix}A")
    panel.get_by_role("link", name=f"{site.prefix}A").click()
    expect(seen.row(f"{site.prefix}A")).to_be_visible()


def test_who_may_not_change_anything_sees_no_buttons_for_it(seen: View, site: Site):
    seen.go("#pvs")
    expect(pv_row(seen, f"{site.prefix}A")).to_contain_text("archived")
    for name in ("#add", "#pause", "#resume", "#alter", "#remove"):
        expect(seen.page.locator(name)).to_be_hidden()
    expect(seen.page.locator("#view-pvs")).to_contain_text("You may look, but not change anything.")
    refused = httpx.get(f"{site.url}/mgmt/bpl/pauseArchivingPV?pv={site.prefix}A", timeout=60)
    assert refused.status_code in (401, 403)


def test_a_wrong_token_is_told(seen: View, site: Site):
    seen.expected.append("Failed to load resource")
    seen.go("#pvs")
    sign_in(seen, "not-it")
    dialog = seen.page.get_by_role("dialog")
    expect(dialog).to_contain_text("With this token nothing may be changed.")
    seen.page.get_by_role("button", name="Close").click()
    expect(seen.page.locator("#add")).to_be_hidden()


def test_add_pause_change_resume_and_remove(seen: View, site: Site):
    a, b, c, d = (f"{site.prefix}{name}" for name in "ABCD")
    seen.go(f"#pvs?filter={site.prefix}")
    sign_in(seen)
    expect(seen.page.locator("#who")).to_have_text("anna")
    assert seen.js("() => sessionStorage.getItem('owlshift-token')") == TOKEN
    assert TOKEN not in seen.page.url
    # several are added at once, and archived at once
    seen.page.locator("#add").click()
    dialog = seen.page.get_by_role("dialog")
    dialog.get_by_role("button", name="Archive", exact=True).click()
    expect(dialog).to_contain_text("Write at least one name.")
    dialog.get_by_label("Names").fill(f"{c}\n{d}, {a}\nno(such")
    dialog.get_by_label("Method").select_option("SCAN")
    dialog.get_by_label("Period").fill("nothing")
    dialog.get_by_role("button", name="Archive", exact=True).click()
    expect(dialog).to_contain_text("The period must be a number of seconds")
    dialog.get_by_label("Period").fill("2")
    dialog.get_by_role("button", name="Archive", exact=True).click()
    results = seen.page.locator("#view-pvs [role=alert]").first
    expect(results).to_contain_text("2 of 4 could not be done")
    expect(results).to_contain_text("Already submitted")
    for name in (c, d):
        expect(pv_row(seen, name)).to_contain_text("archived")
        expect(pv_row(seen, name)).to_contain_text("2.0 s")
    # paused, and no sample comes; resumed, and they come again
    choose(seen, a, c)
    expect(seen.page.locator("#plot-chosen")).to_have_text("Plot 2")
    seen.page.locator("#pause").click()
    for name in (a, c):
        expect(pv_row(seen, name)).to_contain_text("paused")
    wait_until(lambda: status(site.archive).get("paused_pvs") == 2, 60, "the engine has paused two")
    choose(seen, a, b)
    seen.page.locator("#pause").click()
    expect(results).to_contain_text(f"PV {a} is already paused")
    expect(pv_row(seen, b)).to_contain_text("paused")
    choose(seen, a, b, c)
    seen.page.locator("#resume").click()
    for name in (a, b, c):
        expect(pv_row(seen, name)).to_contain_text("archived")
    choose(seen, b)
    seen.page.locator("#alter").click()
    dialog.get_by_label("Period").fill("0,5")
    dialog.get_by_role("button", name="Change", exact=True).click()
    expect(pv_row(seen, b)).to_contain_text("0.5 s")
    choose(seen, d)
    seen.page.locator("#remove").click()
    dialog.get_by_role("button", name="Remove", exact=True).click()
    expect(results).to_contain_text("We will not stop archiving")
    choose(seen, d)
    seen.page.locator("#pause").click()
    expect(pv_row(seen, d)).to_contain_text("paused")
    choose(seen, d)
    seen.page.locator("#remove").click()
    dialog.get_by_role("button", name="Remove", exact=True).click()
    expect(seen.page.locator("#toast")).to_contain_text("removed")
    # who did all this is in the audit log
    seen.page.locator('nav a[data-view="engine"]').click()
    seen.page.get_by_role("tab", name="Audit log").click()
    panel = seen.page.get_by_role("tabpanel")
    expect(panel).to_contain_text("anna")
    expect(panel.locator("tbody tr").first).to_contain_text(d)
    # signing out takes the buttons away
    seen.page.locator('nav a[data-view="pvs"]').click()
    sign_in(seen, "")
    expect(seen.page.locator("#add")).to_be_hidden()
    expect(seen.page.locator("#who")).to_have_text("anonymous")


def test_what_the_engine_writes_is_in_the_plot_at_once(seen: View, site: Site):
    name = f"{site.prefix}B"
    seen.open([name], "-1min", "now")
    length = seen.item(name, "i.series.length")
    seen.until("(n) => archivePage.plot.items[0].series.length > n + 2", length)
    expect(seen.row(name).locator(".now")).to_contain_text(" V")


def test_a_search_in_100_000_names(chromium: Any, tmp_path: Path):
    writer = StoreWriter(tmp_path / "store")
    writer.open()
    writer.add_pvs([f"BIG:{n // 1000:03d}:Channel{n % 1000:03d}:VMon" for n in np.arange(100_000).tolist()])
    writer.close()
    http = free_port()
    argv = [sys.executable, "-m", "archiver.retrieval", "--folder", str(tmp_path / "store")]
    process = start([*argv, "--http", f"127.0.0.1:{http}"], timeout=90)
    view = View(chromium, f"http://127.0.0.1:{http}")
    view.go("")
    box = view.page.locator("#search")
    box.press_sequentially("big vmon")
    expect(view.page.get_by_role("option")).to_have_count(50)
    expect(view.page.locator("#search-note")).to_contain_text("The first 50")
    box.fill("077 channel123")
    expect(view.page.get_by_role("option")).to_have_text(["BIG:077:Channel123:VMon"])
    view.go("#pvs")
    expect(view.page.locator("#view-pvs")).to_contain_text("The first 200")
    view.go("#engine")
    expect(view.page.locator("#view-engine")).to_contain_text("not running")
    view.finish()
    assert process.stop(60) == 0
