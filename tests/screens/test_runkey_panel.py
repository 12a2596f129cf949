"""Snapshot, compare and apply: what is shown in every state, what is asked, and what is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import fake_owl
import pytest
from runkey_screens import Stub, connect, picture, post
from screen_stand import Screen

Open = Callable[..., Screen]
HASH = "ab" * 32
REPORT = (
    "Comparison of 'cosmics 12' by anna@daq1 at 2026-11-21T02:05:00Z\n"
    f"Runkey: revision 3 of 2026-11-20T19:15:19Z by anna@daq1, in staging, hash {HASH}\n"
    "Result: 6 of 96 settings differ\n"
    + "".join(f"  DEMO:HV:L{n:02d}:VSet: is 1750.0 V, shall be 1800.0 V\n" for n in range(1, 5))
    + "  DEMO:HV:L09:ISet: shall be 50 uA, and cannot be read: no answer\n"
    "  DEMO:HV:F:Serial: is 3, shall be 4; it cannot be written"
)
PLAN = (
    "Dry run of 'cosmics 12' by anna@daq1 at 2026-11-21T02:05:00Z\nResult: Apply would write 2 settings in 2 steps\n"
    "level 1 of 2:\n  DEMO:HV:L01:MaxV: 2000 V -> 2500 V\nlevel 2 of 2:\n  DEMO:HV:L01:VSet: 1750.0 V -> 1800.0 V"
)
BUTTONS = ", ".join(f"display.{name}" for name in ("compare", "dry_run", "apply", "snapshot", "abort"))
ENABLED = f"[button.isEnabled() for button in ({BUTTONS})]"
IDLE = {
    "State": 0,
    "Progress": 0.0,
    "ItemsDone": 0,
    "ItemsTotal": 0,
    "List": json.dumps({"runkeys": fake_owl.SOME, "more": 0}),
    "Selected": "cosmics 12",
    "SelectedHash": HASH,
    "DbConn": True,
    "DbLatency": 1.23,
    "StageDirty": 3,
    "Msg": "6 of 96 settings differ",
    "DiffCount": 6,
    "Missing": 0,
    "Applied": "cosmics 11",
    "AppliedBy": "anna@daq1",
    "AppliedAt": "2026-11-21T02:03:04Z",
    "AppliedHash": "cd" * 32,
    "AppliedResult": "96 settings, 12 written, all verified",
    "Report": REPORT,
    "Plan": PLAN,
}


@pytest.fixture(scope="module")
def stub() -> Iterator[Stub]:
    from support import unique_prefix

    ioc = Stub(unique_prefix())
    yield ioc
    if ioc.process.returncode is None:
        ioc.process.stop()


@pytest.fixture(scope="module")
def kept(qt: None, stub: Stub) -> Iterator[Screen]:
    screen = Screen("runkey_panel", {"P": stub.prefix, "SUBSYSTEMS": "[]"}, "1280x800", {"TZ": "UTC"})
    connect(screen, stub.prefix)
    yield screen
    screen.close()


@pytest.fixture
def panel(kept: Screen) -> Screen:
    """The panel of an idle IOC, after a comparison."""
    if not kept.get("display.test.connected"):
        kept.wait("display.test.write_access")
    post(kept, **IDLE)
    kept.wait("display.state.text() == '○ IDLE' and display.choice.currentText() == 'cosmics 12'")
    kept.wait("display.report.report.rows and display.plan.report.rows and display.differences.text() == '6'")
    kept.get("display.tabs.setCurrentWidget(display.report)")
    return kept


def asked(screen: Screen) -> list[str]:
    return screen.get("display.asked.text").splitlines()


def test_an_idle_ioc_after_a_comparison(panel: Screen) -> None:
    assert panel.get("len(display.report.report.rows)") == 6
    assert panel.get("display.report.table.model.rows[0]") == ["DEMO:HV:L01:VSet", "1750.0 V", "1800.0 V", ""]
    assert "Result: 6 of 96 settings differ" in panel.get("display.report.head.text()")
    assert panel.get("display.applied.whole") == "cosmics 11"
    assert panel.get("display.applied_at.whole") == "2026-11-21 02:03:04"
    panel.wait("display.connected.text() == 'Connected' and display.latency.text() == '1.2 ms'")
    assert panel.get("display.choice.count()") == 5, "a name that both databases have is there once"
    buttons = (
        "[b.isEnabled() for b in (display.compare, display.dry_run, display.apply, display.snapshot, display.abort)]"
    )
    panel.wait(f"{buttons} == [True, True, True, True, False]")
    picture(panel, "runkey_panel_idle")
    panel.get("display.report.table.filter.setText('cannot be')")
    assert panel.get("display.report.table.count.text()") == "2 of 6 lines"
    panel.get("display.report.table.filter.clear()")
    panel.get("click(display.raw)")
    assert panel.get("display.report.text.toPlainText()") == REPORT
    panel.get("click(display.raw)")


def test_a_dry_run_shows_the_plan(panel: Screen) -> None:
    before = len(asked(panel))
    panel.get("click(display.dry_run)")
    panel.wait(f"display.asked.text.count('\\n') > {before}")
    assert asked(panel)[-1].startswith("dry_run")
    assert panel.get("display.tabs.currentWidget() is display.plan")
    assert panel.get("display.plan.table.model.rows[1][3]") == "step 2 of 2"
    picture(panel, "runkey_panel_plan")


def test_apply_asks_first_and_takes_the_comment_along(panel: Screen) -> None:
    before = len(asked(panel))
    panel.get("(display.comment.setText('because of cööling'), display.comment.setModified(True))")
    panel.get("click(display.apply)")
    text = panel.get("question().text()")
    assert "'cosmics 12'" in text and "At the last Compare 6 settings were different." in text
    assert panel.get("question().defaultButton().objectName()") == "cancel"
    assert panel.get("[b.text() for b in question().buttons() if b.objectName() == 'do']") == ["Apply"]
    panel.get("answer('cancel')")
    panel.wait("question() is None")
    panel.get("process(0.3)")
    assert len(asked(panel)) == before
    panel.get("click(display.apply)")
    panel.get("answer('do')")
    panel.wait(f"display.asked.text.count('\\n') > {before}")
    assert asked(panel)[-1] == "apply because of cööling"


def test_while_it_applies_only_abort_can_be_given(panel: Screen) -> None:
    post(panel, State=3, Progress=42.0, ItemsDone=5, ItemsTotal=12, Msg="Applying 'cosmics 12': step 2 of 5 " * 6)
    panel.wait("display.state.text() == '▶ APPLYING'")
    panel.wait("display.progress.value() == 420 and display.progress.format() == '42 %   5 of 12'")
    buttons = (
        "[b.isEnabled() for b in (display.compare, display.dry_run, display.apply, display.snapshot, display.abort)]"
    )
    panel.wait(f"{buttons} == [False, False, False, False, True]")
    assert panel.get("display.apply.toolTip()").startswith("A command is under way")
    picture(panel, "runkey_panel_applying")
    before = len(asked(panel))
    panel.get("click(display.abort)")
    panel.wait(f"display.asked.text.count('\\n') > {before}")
    assert asked(panel)[-1].startswith("abort")
    post(panel, State=4, Msg="rolling back what was written")
    panel.wait("display.state.text() == '◀ ROLLING BACK'")
    picture(panel, "runkey_panel_rolling_back")


def test_a_failure_is_red_and_says_why(panel: Screen) -> None:
    why = "cosmics 12: failed, and everything is as it was before: DEMO:HV:L02:VSet: put failed"
    post(panel, State=7, Msg=why, Report=f"{REPORT}\n  DEMO:HV:L02:VSet: 0 V -> 1800 V: failed", bad=["DiffCount"])
    panel.wait("display.state.text() == '✖ FAILED' and display.state.property('state') == 'fault'")
    panel.wait(f"display.message.text() == {why!r}")
    panel.wait("display.differences.alarmSeverity == 3")
    assert panel.get("display.apply.isEnabled()"), "it may be tried again"
    picture(panel, "runkey_panel_failed")


def test_without_a_database_nothing_can_be_given(panel: Screen) -> None:
    post(panel, State=8, DbConn=False, Msg="the staging area is away", bad=["DbLatency", "StageDirty"])
    panel.wait("display.state.text() == '? NO DATABASE' and not display.snapshot.isEnabled()")
    panel.wait("display.connected.text() == 'Away' and display.connected.property('severity') == 2")
    assert not panel.get("display.apply.isEnabled()")
    assert panel.get("display.apply.toolTip()").startswith("No database")
    picture(panel, "runkey_panel_away")


def test_in_operation_nothing_is_applied_or_committed(panel: Screen) -> None:
    post(panel, Mode=1)
    panel.wait("display.mode.text() == 'Operation' and not display.apply.isEnabled()")
    assert panel.get(
        "[b.isEnabled() for b in (display.commit, display.compare, display.dry_run, display.snapshot)]"
    ) == [
        False,
        True,
        True,
        True,
    ]
    assert "Mode is Operation" in panel.get("display.apply.toolTip()")
    post(panel, Mode=0)
    panel.wait("display.apply.isEnabled() and display.commit.isEnabled()")


def test_a_runkey_is_chosen_by_its_name(panel: Screen) -> None:
    before = len(asked(panel))
    panel.get("display.choice.choose('sr1 mmsetup 04 sr1')")
    panel.wait("display.choice.currentText() == 'sr1 mmsetup 04 sr1'")
    assert asked(panel)[before:] == ["select sr1 mmsetup 04 sr1"]
    panel.get("display.choice.choose('unknown')")
    panel.wait("'unknown' in display.header.message.whole or 'unknown' in display.message.text()")
    assert panel.get("display.choice.pv.text") == "sr1 mmsetup 04 sr1"
    post(panel, Selected="", SelectedHash="", Plan="")
    panel.wait("not display.apply.isEnabled() and display.snapshot.isEnabled()")
    panel.wait("display.hash.whole == 'no runkey is selected'")
    panel.wait("display.plan.note.text().startswith('No plan yet')")


def test_a_snapshot_takes_name_and_comment_along(panel: Screen) -> None:
    before = len(asked(panel))
    panel.get("(display.name.setText('before the water'), display.name.setModified(True))")
    panel.get("(display.comment.setText('as it was'), display.comment.setModified(True))")
    panel.get("click(display.snapshot)")
    panel.wait(f"display.asked.text.count('\\n') > {before}")
    assert asked(panel)[-1] == "snapshot as it was"
    panel.wait("display.name.pv.text == 'before the water'")


def test_commit_asks_first(panel: Screen) -> None:
    panel.get("click(display.commit)")
    assert "never changes" in panel.get("question().text()")
    panel.get("answer('do')")
    panel.wait("'commit' in display.asked.text")


def test_a_thousand_runkeys_with_long_names(panel: Screen) -> None:
    entries = [fake_owl.runkey(f"{n:04d} a name of thirty-nine bytes in all.", n) for n in range(1000)]
    text = json.dumps({"runkeys": entries[:400], "more": 600})
    post(panel, List=text, Selected=entries[3]["name"], Applied=entries[4]["name"], AppliedBy="a" * 60 + "@host")
    panel.wait("display.choice.count() == 400")
    panel.wait("display.choice.currentText().startswith('0003')")
    picture(panel, "runkey_panel_long", (1280, 800), (800, 520))


def test_an_ioc_that_is_gone_is_grey_and_comes_back(panel: Screen, stub: Stub) -> None:
    stub.process.kill()
    panel.wait("display.state.text() == '┅ DISCONNECTED' and display.progress.format() == '– – –'")
    panel.wait("not any(b.isEnabled() for b in (display.compare, display.apply, display.abort, display.snapshot))")
    panel.wait("display.report.note.isVisible() and display.report.note.text().startswith('Disconnected')")
    assert panel.get("display.applied.whole") == "– – –"
    picture(panel, "runkey_panel_gone")
    stub.restart()
    panel.wait("display.state.pv.connected and display.test.write_access")
    post(panel, **IDLE)
    panel.wait("display.state.text() == '○ IDLE' and display.apply.isEnabled()")


def test_the_top_screen_shows_the_state_and_opens_the_panel(open_screen: Open, stub: Stub) -> None:
    subsystems = f'[["{stub.prefix}", "runkey", "Runkeys"]]'
    screen = open_screen("top", {"SUBSYSTEMS": subsystems, "TITLE": "The stand"})
    screen.whole()
    screen.wait("display.cards[0].beat.state == 'alive' and display.cards[0].state.text() == 'Running'")
    assert not screen.get("display.cards[0].badge.isVisible()"), "no device, no badge"
    picture(screen, "runkey_top", (1280, 800))
    screen.get("click(find('Open'))")
    screen.wait("type(display).__name__ == 'RunkeyPanel'")
    screen.get("click(find('◀ Top'))")
    assert screen.get("type(display).__name__") == "Top"
