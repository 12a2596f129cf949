"""The plot's view in real Chromium, over a real retrieval process."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from page_archive import HOSTILE, HOSTILE_LABEL
from page_browser import Archive, View

pytest.importorskip("playwright", reason="playwright is not installed")
from playwright.sync_api import expect

pytestmark = pytest.mark.timeout(300)


def iso(second: float) -> str:
    stamp = np.datetime64(round(second * 1000), "ms")
    return f"{stamp}Z"


def drag(view: View, start: float, end: float, *, shift: bool = False) -> None:
    """Drag over the plot, from and to fractions of its width."""
    box, mouse = view.box(), view.page.mouse
    y = box["y"] + box["height"] / 2
    if shift:
        view.page.keyboard.down("Shift")
    mouse.move(box["x"] + start * box["width"], y)
    mouse.down()
    mouse.move(box["x"] + (start + end) / 2 * box["width"], y, steps=3)
    mouse.move(box["x"] + end * box["width"], y, steps=3)
    mouse.up()
    if shift:
        view.page.keyboard.up("Shift")


def point(view: View, fraction: float) -> None:
    box = view.box()
    view.page.mouse.move(box["x"] + fraction * box["width"], box["y"] + box["height"] / 2)


def test_search_by_keyboard_adds_a_pv_to_the_plot(view: View):
    view.go("")
    expect(view.page.get_by_text("Which PVs?")).to_be_visible()
    box = view.page.locator("#search")
    box.press_sequentially("p curr")  # words in their order, in any case
    option = view.page.get_by_role("option")
    expect(option).to_have_text(["P:Current"])
    expect(box).to_have_attribute("aria-expanded", "true")
    box.press("Escape")
    expect(view.page.locator("#matches")).to_be_hidden()
    box.press("Escape")
    expect(box).to_have_value("")
    box.press_sequentially("P:V*")
    expect(option).to_have_text(["P:Vacuum", "P:Voltage", "All 2 of these"])
    box.press("ArrowDown")
    expect(option.nth(1)).to_have_attribute("aria-selected", "true")
    box.press("Enter")
    expect(view.row("P:Voltage")).to_be_visible()
    view.loaded()
    assert [pv["name"] for pv in view.state()["pvs"]] == ["P:Voltage"]
    box.press_sequentially("P:V*")
    expect(option).to_have_count(3)
    box.press("ArrowUp")  # from the first to the last: all of them
    box.press("Enter")
    expect(view.page.locator("table.legend tbody tr")).to_have_count(2)
    box.fill("no such thing")
    expect(view.page.locator("#search-note")).to_have_text("No archived PV has such a name.")


def test_statistics_of_the_window(view: View, archive: Archive):
    start, end = archive.now - 3000, archive.now - 1000
    view.open(["P:Current", "P:State"], iso(start), iso(end))
    times = np.arange(archive.now - 3600, archive.now, 10)
    values = (20 + 18 * np.sin((times - archive.now) / 500))[(times >= start) & (times <= end)]
    cells = view.cells("P:Current")
    assert int(cells["count"]) == len(values)
    expected = {
        "min": values.min(),
        "max": values.max(),
        "mean": values.mean(),
        "std": values.std(ddof=1),
        "first": values[0],
        "last": values[-1],
    }
    for key, value in expected.items():
        assert float(cells[key]) == pytest.approx(value, abs=6e-4), key
    state = view.cells("P:State")
    assert (state["min"], state["max"], state["mean"]) == ("Off", "Tripped", "")
    assert {state["first"], state["last"]} <= {"Off", "Ramping", "On", "Tripped"}


def test_statistics_of_many_samples_are_those_of_all(view: View, archive: Archive):
    start, end = archive.now - 80_000, archive.now - 40_000
    view.open(["P:Day"], iso(start), iso(end))
    assert view.item("P:Day", "i.series.binned") is True
    cells = view.cells("P:Day")
    assert int(cells["count"]) == 40_001
    assert float(cells["max"]) == 95.0 and float(cells["min"]) < 15
    assert 19 < float(cells["mean"]) < 21 and cells["first"] and cells["last"]


def test_zoom_asks_again_with_the_operator_that_fits(view: View, archive: Archive):
    view.open(["P:Day"], iso(archive.now - 86_400), iso(archive.now))
    first = view.asked("getData.json")
    assert {re.sub(r"\d+", "N", q["pv"]) for q in first} >= {"optimizedSample_N(P:Day)", "minmax_N(P:Day)"}
    points = [int(re.sub(r"\D", "", q["pv"])) for q in first if q["pv"].startswith("optimized")]
    assert all(400 <= n <= 4000 for n in points)
    # bins, and in them the one spike of the day
    assert view.item("P:Day", "Math.max(...i.series.high)") == 95
    assert view.item("P:Day", "Math.max(...i.series.y)") < 95
    assert view.item("P:Day", "i.series.length") < 4000
    assert view.js("() => archivePage.plot.chart.ranges.get('unit:degC')[1]") > 95
    before, entries = view.state(), view.js("() => history.length")
    drag(view, 0.9, 0.91)
    view.until("(f) => archivePage.state().from > f", before["from"])
    view.until("() => archivePage.plot.items[0].series && !archivePage.plot.items[0].series.binned")
    view.loaded()
    last = view.asked("getData.json")[-1]
    span = (np.datetime64(last["to"][:-1]) - np.datetime64(last["from"][:-1])) / np.timedelta64(1, "s")
    assert 500 < span < 1300
    # every sample of the window now
    assert view.item("P:Day", "i.series.length") == pytest.approx(span, abs=4)
    # and the browser's back button goes back
    view.until("(n) => history.length > n", entries)
    view.page.go_back()
    view.until("(f) => archivePage.state().from === f", before["from"])
    view.until("() => archivePage.plot.items[0].series.binned")


def test_a_short_window_of_a_fast_pv_shows_the_samples_extremes(view: View, archive: Archive):
    view.open(["P:Fast"], iso(archive.now - 590), iso(archive.now - 5))
    assert not view.item("P:Fast", "i.series.binned") and view.item("P:Fast", "i.series.thinned")
    assert 1000 < view.item("P:Fast", "i.series.length") < 8000
    assert int(view.cells("P:Fast")["count"]) == 585 * 200 + 1
    expect(view.row("P:Fast")).to_contain_text("lowest and highest")
    # zoomed in by the wheel, all samples come
    point(view, 0.5)
    for _ in range(40):
        view.page.mouse.wheel(0, -300)
    view.until("() => !archivePage.plot.items[0].series.thinned")


def test_live_tail_until_the_user_pans(view: View):
    view.open(["P:Live", "P:Current"], "-2min", "now")
    expect(view.page.locator("#live")).to_have_attribute("aria-pressed", "true")
    length = view.item("P:Live", "i.series.length")
    view.until("(n) => archivePage.plot.items[0].series.length > n + 15", length)
    assert any(q["from"] for q in view.asked("getDataForPVs.json"))
    assert view.item("P:Live", "i.series.t.every((t, k, all) => !k || t > all[k - 1])")
    to = view.js("() => archivePage.plot.window.to")
    view.until("(t) => archivePage.plot.window.to > t + 1000", to)
    drag(view, 0.3, 0.6, shift=True)
    view.until("() => archivePage.state().to !== 'now'")
    expect(view.page.locator("#live")).to_have_attribute("aria-pressed", "false")
    view.loaded()
    stopped = view.js("() => archivePage.plot.window.to")
    asked = len(view.asked("getDataForPVs.json"))
    view.page.locator("#steps").click()
    view.page.locator("#steps").click()
    assert view.js("() => archivePage.plot.window.to") == stopped
    view.page.locator("#live").click()
    view.until("() => archivePage.state().to === 'now'")
    view.until("() => performance.getEntriesByType('resource').some((e) => e.name.includes('getDataForPVs'))")
    assert len(view.asked("getDataForPVs.json")) >= asked


def test_gaps_are_gaps(view: View, archive: Archive):
    view.open(["P:Lost", "P:Gone", "P:Broken"], iso(archive.now - 3600), iso(archive.now))
    ((lost, found),) = view.item("P:Lost", "i.series.gaps")
    assert (lost, found) == (archive.now - 2000, archive.now - 1001)
    assert view.item("P:Gone", "i.series.gaps[0][0]") == archive.now - 600
    expect(view.row("P:Gone")).to_contain_text("not connected")
    point(view, (3600 - 1500) / 3600)
    expect(view.row("P:Lost")).to_contain_text("not connected")
    expect(view.row("P:Broken")).not_to_contain_text("not connected")
    point(view, 0.1)
    expect(view.row("P:Lost")).not_to_contain_text("not connected")
    # and in the picture: in the column of the gap there is nothing in the trace's colour
    for name, seen, gap in (("P:Lost", 900, 1500 + 600), ("P:Broken", 100, 1200)):
        view.open([name], iso(archive.now - 3600), iso(archive.now))
        view.js("() => archivePage.plot.chart.setCursor(null)")
        there, away = columns(view, [seen / 3600, gap / 3600])
        assert there > 0 and away == 0, name


def columns(view: View, fractions: list[float]) -> list[int]:
    """How many pixels of the first trace's colour are in columns of the plot."""
    view.expected.append("Canvas2D: Multiple readback")
    return view.js(
        """(fractions) => {
          const { chart } = archivePage.plot;
          const { ctx, bbox } = chart.u;
          const [r, g, b] = chart.traces[0].color.match(/[0-9a-f]{2}/g).map((x) => parseInt(x, 16));
          return fractions.map((f) => {
            const { data } = ctx.getImageData(Math.round(bbox.left + f * bbox.width) - 2, bbox.top, 5, bbox.height);
            let n = 0;
            for (let i = 0; i < data.length; i += 4)
              n += Math.abs(data[i] - r) + Math.abs(data[i + 1] - g) + Math.abs(data[i + 2] - b) < 60;
            return n;
          });
        }""",
        fractions,
    )


def test_a_day_with_a_gap_and_a_spike_in_the_picture(view: View, archive: Archive):
    view.open(["P:Day"], iso(archive.now - 86_400), iso(archive.now))
    spike = (86_400 - 10_000) // 3 / 86_400
    heights = columns(view, [0.1, spike])
    assert heights[1] > 5 * heights[0] > 0


def test_alarms_in_words_and_signs(view: View, archive: Archive):
    view.open(["P:Current"], iso(archive.now - 3600), iso(archive.now))
    worst = view.item("P:Current", "i.series.t[i.series.severity.indexOf(2)]")
    point(view, (worst + 15 - archive.now + 3600) / 3600)
    expect(view.row("P:Current").locator(".alarm")).to_have_text("MAJOR HIHI")
    expect(view.page.locator("#readout .alarm")).to_have_text("MAJOR HIHI")
    view.open(["P:Broken"], iso(archive.now - 3600), iso(archive.now - 2300))
    expect(view.row("P:Broken").locator(".alarm")).to_have_text("INVALID COMM")
    expect(view.row("P:Broken").locator(".now")).to_contain_text("NaN")


def test_states_have_their_labels_on_an_axis(view: View, archive: Archive):
    view.open(["P:State", "P:Current"], iso(archive.now - 3600), iso(archive.now))
    labels = view.js("() => archivePage.plot.chart.u.axes[1]._values")
    assert labels == ["Off", "Ramping", "On", "Tripped"]
    expect(view.row("P:State").locator(".now")).to_have_text(re.compile("Off|Ramping|On|Tripped"))


def test_one_axis_for_each_unit_and_a_logarithmic_one(view: View, archive: Archive):
    view.open(["P:Current", "P:Voltage", "P:Lost", "P:Vacuum"], iso(archive.now - 3600), iso(archive.now))
    scales = view.js("() => archivePage.plot.chart.u.axes.slice(1).map((a) => a.scale)")
    assert scales == ["unit:uA", "unit:V", "unit:mbar"]
    view.page.get_by_role("button", name="log mbar").click()
    view.until("() => archivePage.plot.chart.u.scales['unit:mbar'].distr === 3")
    low, high = view.js("() => archivePage.plot.chart.ranges.get('unit:mbar')")
    assert low < 1e-9 and 0.1 < high < 1
    assert "log=mbar" in view.page.url


def test_hostile_names_and_labels_stay_text(view: View, archive: Archive):
    view.go("")
    view.page.locator("#search").press_sequentially("img")
    expect(view.page.get_by_role("option")).to_have_text([HOSTILE])
    view.page.locator("#search").press("Enter")
    view.loaded()
    view.page.get_by_role("button", name="1 h", exact=True).click()
    view.loaded()
    row = view.row(HOSTILE)
    expect(row).to_contain_text(HOSTILE)
    expect(row).to_contain_text("<u>description</u>")
    expect(row).to_contain_text(HOSTILE_LABEL)
    assert view.js("() => archivePage.plot.chart.u.axes[1]._values")[1].startswith("<b>On</b>")
    assert view.page.locator("main img, main script, main b:has-text('On'), main u, main i").count() == 0
    view.page.locator("#save").click()
    expect(view.page.get_by_role("dialog")).to_contain_text(HOSTILE)
    view.page.get_by_role("button", name="Close").click()
    view.open(['"><script>alert(1)</script>', "P:Message"])
    expect(view.page.locator("table.legend")).to_contain_text("<script>alert(1)</script>")
    view.expected.append("Failed to load resource")


def test_texts_as_a_table_and_the_newest_array(view: View, archive: Archive):
    view.open(["P:Message", "P:Wave"], iso(archive.now - 3600), iso(archive.now))
    texts = view.page.locator(".texts tbody tr")
    expect(texts).to_have_count(12)
    expect(texts.first).to_contain_text("step 11 <i>&amp;</i>")
    card = view.page.locator("section.card", has_text="P:Wave")
    expect(card).to_contain_text("The newest of 12 arrays in the window: 500 elements")
    expect(card.locator("canvas")).to_be_visible()
    assert "count(P:Wave)" in " ".join(q["pv"] for q in view.asked("getData.json"))


def test_a_link_shows_the_same_to_others(view: View, archive: Archive, chromium: Any):
    view.open(["P:Current", "P:Vacuum"], iso(archive.now - 3000), iso(archive.now))
    view.page.get_by_role("button", name="log mbar").click()
    view.page.locator("#steps").click()
    view.page.get_by_role("button", name="Hide P:Current").click()
    view.page.locator("#zone").click()
    view.context.grant_permissions(["clipboard-read", "clipboard-write"])
    view.page.locator("#share").click()
    expect(view.page.locator("#toast")).to_contain_text("The link is copied")
    link = view.js("() => navigator.clipboard.readText()")
    other = View(chromium, view.url)
    other.page.goto(link)
    other.loaded()
    assert other.state() == view.state()
    assert other.state()["straight"] and other.state()["utc"] and other.state()["pvs"][0]["hidden"]
    expect(other.row("P:Vacuum")).to_be_visible()
    other.page.reload()
    other.loaded()
    assert other.state() == view.state()
    other.finish()


def test_windows_up_to_now(view: View):
    view.open(["P:Old", "P:Day"])
    for label in ("10 min", "1 h", "8 h", "1 d", "1 w", "1 y"):
        view.page.get_by_role("button", name=label, exact=True).click()
        view.loaded()
        expect(view.page.locator("#from")).to_have_value("-" + label.replace(" ", ""))
        expect(view.page.locator("#to")).to_have_value("now")
    assert not [i for i in view.js("() => archivePage.plot.items.map((i) => i.error)") if i]
    assert int(view.cells("P:Old")["count"]) == 1


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        ("yesterday", "now", "Cannot read “yesterday” as a time. Write 2026-11-20 08:00, -8h or now."),
        ("2026-11-20 09:00", "2026-11-20 08:00", "The start must be before the end."),
        ("2026-02-30", "now", "There is no such time as “2026-02-30”."),
        ("", "now", "Say when the window starts, for example -1h."),
        ("-3 parsecs", "now", "“parsecs” is no unit of time: use s, min, h, d, w or y."),
    ],
)
def test_times_that_cannot_be_read(view: View, start: str, end: str, words: str):
    view.open(["P:Current"])
    before = view.state()
    view.page.locator("#from").fill(start)
    view.page.locator("#to").fill(end)
    view.page.locator("#from").press("Enter")
    expect(view.page.locator("#window-error")).to_have_text(words)
    expect(view.page.locator("#from")).to_have_attribute("aria-invalid", "true")
    assert view.state() == before


def test_times_by_hand_in_the_zone_that_is_shown(chromium: Any, archive: Archive):
    view = View(chromium, archive.url, timezone_id="Europe/Athens")
    view.open(["P:Current"])
    page = view.page
    page.locator("#from").fill("2026-11-20 10:00")
    page.locator("#to").fill("2026-11-20 11:00:00.5")
    page.locator("#to").press("Enter")
    assert view.state()["from"] == "2026-11-20T08:00:00.000Z"
    assert view.state()["to"] == "2026-11-20T09:00:00.500Z"
    expect(page.locator("#span")).to_contain_text("UTC+02:00")
    page.locator("#zone").click()
    expect(page.locator("#from")).to_have_value("2026-11-20 08:00:00")
    expect(page.locator("#span")).to_contain_text("UTC")
    page.locator("#from").fill("2026-11-20T12:00:00+05:30")
    page.locator("#from").press("Enter")
    assert view.state()["from"] == "2026-11-20T06:30:00.000Z"
    view.finish()


def test_downloads(view: View, archive: Archive, tmp_path: Any):
    view.open(["P:Current", "P:State"], iso(archive.now - 1000), iso(archive.now))
    view.page.locator("#save").click()
    dialog = view.page.get_by_role("dialog")
    expect(dialog).to_contain_text("P:Current")
    for label, check in (
        ("P:Current as CSV", lambda b: len(b.splitlines()) in (101, 102) and b.count(b",") == 4 * len(b.split())),
        ("P:Current as JSON", lambda b: b'"EGU": "uA"' in b),
        ("P:Current as MATLAB", lambda b: b.startswith(b"MATLAB 5.0")),
        ("All in one JSON", lambda b: b.count(b'"meta"') == 2),
    ):
        with view.page.expect_download() as download:
            dialog.get_by_role("link", name=label).click()
        file = tmp_path / download.value.suggested_filename
        download.value.save_as(file)
        assert check(file.read_bytes()), label
    with view.page.expect_download() as download:
        dialog.get_by_role("button", name="Plot as PNG").click()
    picture = tmp_path / "plot.png"
    download.value.save_as(picture)
    assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 5000
    assert re.fullmatch(r"P_Current_.*\.png", download.value.suggested_filename)


def test_what_the_server_says_in_words(view: View):
    view.expected.append("Failed to load resource")
    view.open(["P:NoSuch", "P:Nothing", "P:Old"], "2026-11-01", "2026-11-02")
    expect(view.row("P:NoSuch")).to_contain_text("is not archived")
    expect(view.row("P:Nothing")).to_contain_text("no samples up to here")
    expect(view.row("P:Old").locator(".now")).to_have_text("42 V")


def test_an_archive_that_goes_away_and_comes_back(view: View):
    view.expected.append("Failed to load resource")
    view.open(["P:Live", "P:NoSuch"], "-1min", "now")
    view.context.route("**/retrieval/**", lambda route: route.abort())
    expect(view.page.locator("#banner")).to_contain_text("The archive does not answer")
    for _ in range(8):
        with view.page.expect_request("**/retrieval/**"):
            expect(view.page.locator("#banner")).to_be_visible()
    view.context.unroute("**/retrieval/**")
    expect(view.page.locator("#banner")).to_be_hidden()
    length = view.item("P:Live", "i.series.length")
    view.until("(n) => archivePage.plot.items[0].series.length > n", length)


def test_behind_a_proxy_at_another_path(chromium: Any, archive: Archive):
    view = View(chromium, "http://lab.test/archive")
    real = archive.url

    def forward(route: Any) -> None:
        route.fulfill(response=route.fetch(url=route.request.url.replace("http://lab.test/archive", real)))

    view.context.route("http://lab.test/archive/**", forward)
    view.open(["P:Current"])
    expect(view.row("P:Current").locator(".now")).to_contain_text("uA")
    view.page.locator("#share").click()  # no clipboard for a page without TLS
    expect(view.page.get_by_role("dialog").locator("input")).to_have_value(view.page.url)
    view.page.keyboard.press("Escape")
    view.page.locator('nav a[data-view="engine"]').click()
    expect(view.page.locator("#view-engine .card").first).to_be_visible()
    view.expected.append("Failed to load resource")
    view.context.unroute_all(behavior="wait")
    view.finish()


def test_keyboard_alone(view: View, archive: Archive):
    view.open([], iso(archive.now - 3600), iso(archive.now))
    page = view.page
    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()
    page.keyboard.type("p:current")
    expect(page.get_by_role("option").first).to_have_text("P:Current")
    page.keyboard.press("Enter")
    view.loaded()
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "plot":
            break
    expect(page.locator("#plot")).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Control+ArrowRight")
    expect(page.locator("#readout")).to_be_visible()
    expect(page.locator("table.legend thead")).to_contain_text("at ")
    span = "() => archivePage.plot.window.to - archivePage.plot.window.from"
    page.keyboard.press("+")
    assert view.js(span) == pytest.approx(1800e3, rel=0.01)
    before = view.js("() => archivePage.plot.window.from")
    page.keyboard.press("Shift+ArrowLeft")
    assert view.js("() => archivePage.plot.window.from") == pytest.approx(before - 450e3, rel=1e-9)
    page.keyboard.press("-")
    assert view.js(span) == pytest.approx(3600e3, rel=0.01)
    page.keyboard.press("Escape")
    expect(page.locator("#readout")).to_be_hidden()
    page.keyboard.press("0")
    assert view.state()["to"] == "now"
    view.loaded()


def test_a_phone(chromium: Any, archive: Archive):
    view = View(chromium, archive.url, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    view.open(["P:Current", "P:Voltage", "P:State", HOSTILE, "P:Message", "P:Wave"], "-1h", "now")
    wide = "() => document.documentElement.scrollWidth <= 360"
    assert view.js(wide)
    assert view.box()["width"] > 150
    # a tap reads out, a finger pans, two fingers zoom
    box = view.box()
    at = {"x": box["width"] / 2, "y": box["height"] / 2}
    view.page.locator("#plot .u-over").tap(position=at)
    expect(view.page.locator("#readout")).to_be_visible()
    before = view.js("() => ({ ...archivePage.plot.window })")
    touch(view, [[0.3], [0.5], [0.6]])
    view.until("() => archivePage.state().to !== 'now'")
    after = view.js("() => ({ ...archivePage.plot.window })")
    assert after["to"] < before["to"] - 600e3
    touch(view, [[0.4, 0.6], [0.3, 0.7], [0.2, 0.8]])
    view.until("(s) => archivePage.plot.window.to - archivePage.plot.window.from < s / 2", after["to"] - after["from"])
    for name in ("engine", "pvs"):
        view.page.locator(f'nav a[data-view="{name}"]').tap()
        expect(view.page.locator(f"#view-{name}")).to_be_visible()
        expect(view.page.locator(f"#view-{name} .card").first).to_be_visible()
        assert view.js(wide), name
    view.finish()


def touch(view: View, steps: list[list[float]]) -> None:
    """Fingers put down at the first fractions of the plot's width, moved along the others, and taken away."""
    box = view.box()
    session = view.context.new_cdp_session(view.page)
    y = box["y"] + box["height"] / 2
    for number, fractions in enumerate(steps):
        places = [{"x": box["x"] + f * box["width"], "y": y, "id": i} for i, f in enumerate(fractions)]
        kind = "touchMove" if number else "touchStart"
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_dark_and_light(chromium: Any, archive: Archive):
    view = View(chromium, archive.url, color_scheme="dark")
    view.open(["P:Current"])
    page = "() => getComputedStyle(document.documentElement).backgroundColor"
    dark, color = view.js(page), view.js("() => archivePage.plot.chart.traces[0].color")
    view.page.emulate_media(color_scheme="light")
    view.until("(c) => archivePage.plot.chart.traces[0].color !== c", color)
    assert view.js(page) != dark
    view.finish()


def test_all_times_and_numbers_by_their_rules(view: View):
    view.go("")
    cases = view.js(
        """async () => {
          const base = document.querySelector('script[type=module]').src.replace('main.js', '');
          const t = await import(base + 'times.js');
          const n = await import(base + 'numbers.js');
          const a = await import(base + 'api.js');
          return {
            span: [500, 9400, 59e3, 61e3, 36e5, 5400e3, 86400e3, 86399.9e3, 366 * 864e5].map(t.showSpan),
            relative: [6e5, 36e5, 9e7, 1500].map(t.relativeText),
            moment: t.showMoment(Date.UTC(2026, 10, 20, 8, 0, 0, 123), true, 6, 123456789),
            numbers: [0, -1.5, 1e-9, 123456789, 0.30000000000000004, NaN, -Infinity].map((v) => n.showNumber(v)),
            precise: [n.showNumber(1.005, 1), n.showNumber(0.0004, 2), n.showNumber(3, 0)],
            axis: n.axisNumbers([0, 0.25, 0.5]),
            counts: [n.showCount(1234567), n.showCount(12)],
            bytes: [999, 1000, 1.5e9].map(n.showBytes),
            parsed: a.parse('[{"val": NaN, "b": "NaN, -Infinity \\\\" NaN", "c": [-Infinity, Infinity]}]'),
          };
        }"""
    )
    assert cases["span"] == ["500 ms", "9.4 s", "59 s", "1 min 1 s", "1 h", "1 h 30 min", "1 d", "1 d", "1 y 1 d"]
    assert cases["relative"] == ["-10min", "-1h", "-25h", "-1.5s"]
    assert cases["moment"] == "2026-11-20 08:00:00.123456"
    assert cases["numbers"] == ["0", "−1.5", "1e−9", "1.23457e8", "0.3", "NaN", "−∞"]
    assert cases["precise"] == ["1.0", "0.0004", "3"]
    assert cases["axis"] == ["0.00", "0.25", "0.50"]
    assert cases["counts"] == ["1\u202f234\u202f567", "12"]
    assert cases["bytes"] == ["999 B", "1.0 kB", "1.5 GB"]
    assert cases["parsed"] == [{"val": "NaN", "b": 'NaN, -Infinity " NaN', "c": ["-Infinity", "Infinity"]}]
