"""Runkey screens at the real stand: simulated high voltage, the runkey IOC, SQLite, and the real `owl runkey`."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest
from runkey_screens import picture, wait_answered
from screen_stand import SLOW, Screen, Stand
from support import owl

CHANGED = ("L01", "L02", "L04", "L05", "L06")


def run(stand: Stand, *args: str) -> str:
    done = subprocess.run(
        owl("runkey", *args),
        env=os.environ | stand.env,
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * SLOW,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def demo(running_stand: Stand) -> Stand:
    """The stand, with the demo's runkey and a tuned clone of it."""
    run(running_stand, "init", "--demo")
    run(running_stand, "clone", "mmsetup sr1", "tuned", "-m", "after the tuning")
    run(running_stand, "set", "tuned", "/FELIX1/OB1/FE1", "DiffTh1L", "333", "-m", "less noise")
    run(running_stand, "set", "tuned", "/FELIX1/OB1/FE2", "pixels:12,300.Enable", "0", "-m", "noisy")
    run(running_stand, "tag", "physics", "tuned", "-m", "good for physics")
    return running_stand


@pytest.fixture(scope="module")
def browser(qt: None, demo: Stand) -> Iterator[Screen]:
    screen = Screen("runkey", {"P": f"{demo.name}:RK:", "SUBSYSTEMS": "[]"}, "1280x800", demo.env)
    wait_answered(screen)
    yield screen
    screen.close()


def test_the_browser_shows_what_owl_has(browser: Screen) -> None:
    browser.get("click(display.list.again)")
    wait_answered(browser)
    browser.get("display.list.tag.setCurrentText('physics')")
    assert browser.get("[entry.name for entry in display.list.model.shown]") == ["tuned"]
    browser.get("display.list.select('tuned')")
    wait_answered(browser)
    assert browser.get("display.tree.select('/FELIX1/OB1/FE1')")
    browser.get("display.viewer.show_role('config')")
    wait_answered(browser)
    browser.get("display.viewer.json.filter.setText('DiffTh1L 333')")
    assert browser.get("display.viewer.json.count.text()") == "1 value"
    picture(browser, "runkey_real_config", (1280, 800))
    browser.get("display.viewer.show_role('pixels')")
    wait_answered(browser)
    assert browser.get("display.viewer.stack.currentWidget() is display.viewer.pixels")
    picture(browser, "runkey_real_pixels", (1280, 800))
    browser.get("display.tabs.setCurrentWidget(display.log)")
    wait_answered(browser)
    assert browser.get("[row[4] for row in display.log.table.model.rows]")[:3] == [
        "noisy",
        "less noise",
        "after the tuning",
    ]
    browser.get("display.tabs.setCurrentWidget(display.tags)")
    wait_answered(browser)
    assert browser.get("[row[0] for row in display.tags.tags.model.rows]") == ["physics"]
    picture(browser, "runkey_real_tags", (1280, 800))
    browser.get("display.list.tag.setCurrentIndex(0)")


def test_the_difference_down_to_register_and_pixel(browser: Screen) -> None:
    browser.get("display.tabs.setCurrentWidget(display.diff)")
    browser.get("display.diff.compare('mmsetup sr1', 'tuned')")
    wait_answered(browser)
    groups = browser.get("[(g.path, g.what, g.summary) for g in display.diff.difference.groups]")
    assert [group[:2] for group in groups] == [["/FELIX1/OB1/FE1", "config"], ["/FELIX1/OB1/FE2", "pixels"]]
    assert groups[0][2].endswith("→ 333") and groups[1][2].startswith("1 pixel (enable 1)")
    browser.get("display.diff.changes.choose(1)")
    wait_answered(browser)
    browser.get("display.diff.maps.point(12, 300)")
    assert "Enable 1 → 0" in browser.get("display.diff.maps.readout.text()")
    picture(browser, "runkey_real_diff", (1280, 800))


def test_felix_of_the_demo(open_screen, demo: Stand) -> None:
    screen = open_screen("felix", {"P": f"{demo.name}:RK:", "RUNKEY": "mmsetup sr1"}, env=demo.env)
    screen.wait("[node.path for node in display.frontends.objects.root.children] == ['/FELIX1']")
    assert screen.get("display.summary.whole") == "1 optoboard · 4 front-ends, 4 enabled"
    root = "display.frontends.objects.root.children[0]"
    screen.get(f"click(display.frontends.buttons({root}.find('/FELIX1/OB1/FE3'))[0])")
    wait_answered(screen)
    assert screen.get("display.viewer.title.whole") == "/FELIX1/OB1/FE3"
    screen.get(f"click(display.frontends.buttons({root}.find('/FELIX1/OB1/FE3'))[1])")
    rows = dict(screen.get("display.connectivity.table.model.rows"))
    assert (rows["Rx"], rows["Tx"]) == ("12", "2")
    picture(screen, "felix_real", (1280, 800))


def test_snapshot_change_compare_apply(open_screen, browser: Screen, demo: Stand) -> None:
    stand = demo
    stand.quiet()
    panel = open_screen("runkey_panel", {"P": f"{stand.name}:RK:"}, env=stand.env)
    panel.wait("display.state.text() == '○ IDLE' and display.snapshot.isEnabled()")
    panel.get("(display.name.setText('before the change'), display.name.setModified(True))")
    panel.get("(display.comment.setText('screens'), display.comment.setModified(True))")
    panel.get("click(display.snapshot)")
    panel.wait("display.choice.currentText() == 'before the change' and display.state.text() == '○ IDLE'")
    picture(panel, "runkey_real_snapshot", (1280, 800))
    for channel in CHANGED:
        stand.put(f"{channel}:VSet", 123.0)
    stand.put("L07:VDef", 1500.0)
    panel.get("click(display.compare)")
    panel.wait("display.differences.text() == '6'")
    wanted = sorted([f"{stand.prefix}{c}:VSet" for c in CHANGED] + [f"{stand.prefix}L07:VDef"])
    panel.wait(f"[row[0] for row in display.report.report.rows] == {wanted!r}")
    assert panel.get("display.report.report.rows[0][1]").startswith("123")
    picture(panel, "runkey_real_compare", (1280, 800))
    panel.get("click(display.dry_run)")
    panel.wait(f"sorted(row[0] for row in display.plan.report.rows) == {wanted!r}")
    picture(panel, "runkey_real_plan", (1280, 800))
    panel.get("click(display.apply)")
    panel.get("answer('do')")
    panel.wait("display.applied.whole == 'before the change' and display.state.text() == '○ IDLE'")
    panel.wait("display.report.report.head[0].startswith('Apply')")
    picture(panel, "runkey_real_applied", (1280, 800))
    panel.get("click(display.compare)")
    panel.wait("display.differences.text() == '0'")
    browser.get("click(display.list.again)")
    wait_answered(browser)
    browser.get("display.tabs.setCurrentIndex(0)")
    assert browser.get("display.list.select('before the change')")
    wait_answered(browser)
    browser.get("display.tree.select('/HV')")
    browser.get("display.viewer.show_role('setpoints')")
    wait_answered(browser)
    browser.get("display.viewer.table.filter.setText('L01:VSet')")
    assert browser.get("display.viewer.table.count.text()").startswith("1 of ")
    browser.wait("display.select.text() == '✔ Selected'")
    picture(browser, "runkey_real_setpoints", (1280, 800))
