"""When actions are done: rises, delays, follow-ups, suppression, restarts; and mail with a real SMTP server."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest
from action_bench import INVALID, LEAF, MAJOR, ME, MINOR, OK, Bench, Mailbox, bench, eventually, mail_server
from support import free_port

from iocs.alarm.config import ActionsConfig
from iocs.alarm.tree.events import SERVER
from iocs.alarm.tree.items import Action, Item, LeafConfig

MAIL = Action("mail", "mailto:a@lab.example, b@lab.example")
LATER = Action("mail", "mailto:late@lab.example", 60)


@pytest.fixture(scope="module")
def smtp() -> Iterator[tuple[str, Mailbox]]:
    port = free_port()
    with mail_server(port) as box:
        yield f"127.0.0.1:{port}", box


@pytest.fixture
def box(smtp: tuple[str, Mailbox]) -> Mailbox:
    smtp[1].mails.clear()
    smtp[1].refuse = ""
    return smtp[1]


@pytest.fixture
def config(smtp: tuple[str, Mailbox], box: Mailbox) -> ActionsConfig:
    return ActionsConfig(mail_host=smtp[0], mail_from="alarms@lab.example")


def subjects(box: Mailbox) -> list[str]:
    return [mail["Subject"] for _, mail in box.mails]


async def test_a_mail_and_its_follow_up(config, box):
    async with bench(config, leaf=(MAIL,)) as stand:
        stand.set(MAJOR)
        stand.clock.advance(0)
        assert await stand.result(1) == ["mailto:a@lab.example, b@lab.example: sent"]
        assert (stand.edits[0].action, stand.edits[0].path, stand.edits[0].who) == ("action", LEAF, SERVER)
        assert stand.edits[0].time_ns == stand.clock.now_ns()
        stand.set(MAJOR, "HIHI_ALARM", value="3")  # no change
        stand.set(MINOR, "HIGH_ALARM")  # it latches
        stand.clock.advance(3600)
        stand.tree.acknowledge(LEAF, ME)
        await stand.result(2)
        stand.set(OK)
        stand.clock.advance(3600)
    assert subjects(box) == ["MAJOR alarm: Current of layer 7", "MINOR_ACK alarm: Current of layer 7"]
    to, mail = box.mails[0]
    assert to == ["a@lab.example", "b@lab.example"]
    assert mail["To"] == "a@lab.example, b@lab.example" and mail["From"] == "alarms@lab.example"
    assert mail["Auto-Submitted"] == "auto-generated" and mail["Date"] and mail["Message-ID"]
    text = mail.get_content()
    for line in (
        f"PV: {LEAF}",
        "Description: *!Current of layer 7",
        "Alarm Severity: MAJOR, Status: HIHI_ALARM, Value: 2.5 uA",
        "Current PV Severity: MAJOR, Status: HIHI_ALARM",
        "Priority: high",
        "Guidance: Do: ramp down",
    ):
        assert line in text.splitlines(), text


async def test_cleared_says_ok(config, box):
    async with bench(config, leaf=(MAIL,), latching=False) as stand:
        stand.set(MAJOR)
        stand.clock.advance(0)
        stand.set(OK)
        await stand.result(2)
    assert subjects(box) == ["MAJOR alarm: Current of layer 7", "OK: Current of layer 7"]


async def test_a_delay_that_it_does_not_last(config, box):
    async with bench(config, leaf=(LATER, MAIL), latching=False) as stand:
        stand.set(MAJOR)
        stand.clock.advance(59)
        stand.set(OK)
        stand.clock.advance(3600)
        await stand.result(2)
        assert stand.clock.pending == 0
        stand.set(MAJOR)
        stand.clock.advance(61)
        await stand.result(4)
    late = [mail["Subject"] for to, mail in box.mails if to == ["late@lab.example"]]
    assert late == ["MAJOR alarm: Current of layer 7"]


async def test_acknowledged_before_the_delay_is_over(config, box):
    async with bench(config, leaf=(LATER,)) as stand:
        stand.set(MAJOR)
        stand.clock.advance(30)
        stand.tree.acknowledge(LEAF, ME)
        stand.clock.advance(3600)
    assert not stand.edits and not box.mails


async def test_each_rise_once_and_one_follow_up(config, box):
    async with bench(config, leaf=(MAIL,), latching=False) as stand:
        for number, severity in enumerate((MINOR, MAJOR, MINOR, MAJOR, INVALID), 1):
            stand.set(severity, f"M{number}")
            stand.clock.advance(100)
        await stand.result(3)
        stand.set(OK)
        await stand.result(4)
    assert [line.split(":")[0] for line in subjects(box)] == ["MINOR alarm", "MAJOR alarm", "INVALID alarm", "OK"]


async def test_an_alarm_that_chatters(config, box):
    """It is told of once, and again only when it is worse, until it has stopped chattering."""
    async with bench(config, leaf=(MAIL,), latching=False) as stand:
        leaf = stand.tree.leaf_of("S:L7:I")
        assert leaf is not None
        for _ in range(20):
            stand.set(MINOR)
            stand.clock.advance(5)
            stand.set(OK)
            stand.clock.advance(5)
        assert leaf.chattering
        stand.set(MAJOR)
        stand.clock.advance(5)
        stand.set(OK)
        while leaf.chattering:
            stand.clock.advance(60)
        before = len(await stand.result(6))
        stand.set(MINOR)
        stand.clock.advance(5)
        await stand.result(before + 1)
    told = [line.split()[0] for line in subjects(box)]
    assert told[-3:] == ["MAJOR", "OK:", "MINOR"] and len(told) <= 9, told


async def test_a_rise_while_the_delay_runs_is_told_as_it_is_then(config, box):
    async with bench(config, leaf=(LATER,)) as stand:
        stand.set(MINOR)
        stand.clock.advance(30)
        stand.set(MAJOR)
        stand.clock.advance(31)
        await stand.result(1)
        stand.clock.advance(3600)
    assert subjects(box) == ["MAJOR alarm: Current of layer 7"]


async def test_shelved_nothing_starts_and_what_waits_is_dropped(config, box):
    async with bench(config, leaf=(LATER, MAIL)) as stand:
        stand.tree.shelve(LEAF, ME, "noisy", stand.clock.now_ns() + 600 * 10**9)
        stand.set(MAJOR)
        stand.clock.advance(300)
        assert not stand.edits
        stand.clock.advance(301)  # the shelf ends while it is in alarm
        await stand.result(1)
        stand.tree.shelve(LEAF, ME, "still noisy", stand.clock.now_ns() + 600 * 10**9)
        stand.clock.advance(601)
        stand.clock.advance(61)
        await stand.result(2)
        stand.tree.acknowledge(LEAF, ME)
        stand.set(OK)
        await stand.result(4)
    to = sorted((*recipients, mail["Subject"].split()[0]) for recipients, mail in box.mails)
    both = ("a@lab.example", "b@lab.example")
    assert to == [
        (*both, "MAJOR"),
        (*both, "MAJOR_ACK"),
        ("late@lab.example", "MAJOR"),
        ("late@lab.example", "MAJOR_ACK"),
    ]


async def test_it_ends_behind_a_shelf(config, box):
    """Who got a mail learns of its end, shelved or not."""
    async with bench(config, leaf=(MAIL,), latching=False) as stand:
        stand.set(MAJOR)
        stand.clock.advance(0)
        await stand.result(1)
        stand.tree.shelve(LEAF, ME, "we know", stand.clock.now_ns() + 600 * 10**9)
        stand.clock.advance(1)
        assert len(stand.edits) == 1
        stand.set(OK)
        await stand.result(2)
    assert subjects(box)[1] == "OK: Current of layer 7"


async def test_an_area_tells_of_its_alarms(config, box):
    async with bench(config, area=(MAIL,)) as stand:
        stand.set(MINOR, pv="S:L8:I")
        stand.clock.advance(0)
        stand.set(MAJOR)
        stand.clock.advance(0)
        await stand.result(2)
        stand.tree.acknowledge("/S", ME)
        await stand.result(3)
    assert subjects(box) == ["MINOR alarm: /S/HV", "MAJOR alarm: /S/HV", "MAJOR_ACK alarm: /S/HV"]
    text = box.mails[1][1].get_content()
    assert text.index("PV: /S/HV/L7/S:L7:I") < text.index("PV: /S/HV/L8/S:L8:I"), "the worst first"
    assert box.mails[2][1].get_content().startswith("No active alarms")


async def test_notifications_switched_off(config, box):
    command = Action("true", "cmd:/bin/true")
    config = config.model_copy(update={"cmd": (("/bin/true",),)})
    async with bench(config, leaf=(MAIL, command)) as stand:
        stand.tree.notify(False, ME)
        stand.set(MAJOR)
        stand.clock.advance(0)
        found = await stand.result(2)
    assert sorted(found) == ["cmd:/bin/true: done", f"{MAIL.details}: not done: notifications are switched off"]
    assert not box.mails


async def test_after_a_restart(config, box):
    """What is up was told by the server before; what was not yet due comes at its time; the end is followed up."""
    stand = Bench(config, leaf=(MAIL, LATER))
    stand.set(MAJOR)
    stand.clock.advance(20)
    assert not stand.edits, "it was not started"
    stand.actions.start()
    stand.clock.advance(39)
    assert not stand.edits
    stand.clock.advance(1)
    await stand.result(1)
    stand.set(MAJOR, "again")
    stand.tree.acknowledge(LEAF, ME)
    await stand.result(3)
    await stand.actions.close()
    to = [(recipients[0], mail["Subject"].split()[0]) for recipients, mail in box.mails]
    assert to[0] == ("late@lab.example", "MAJOR")
    assert sorted(to[1:]) == [("a@lab.example", "MAJOR_ACK"), ("late@lab.example", "MAJOR_ACK")]


async def test_other_actions_begin_afresh(config, box):
    leaf = LeafConfig(description="x", actions=(LATER,))
    async with bench(config, leaf=(LATER,)) as stand:
        stand.set(MAJOR)
        stand.clock.advance(1)
        stand.tree.put(Item(LEAF, LeafConfig(description="x", actions=(MAIL,))), ME)
        stand.clock.advance(3600)
        stand.tree.put(Item(LEAF, leaf), ME)
        stand.tree.remove("/S/HV/L7", ME)
        stand.clock.advance(3600)
        assert not stand.edits and stand.clock.pending == 0
        stand.tree.put(Item(LEAF, leaf), ME)
        stand.set(MAJOR)
        stand.clock.advance(60)
        await stand.result(1)


async def test_closed_nothing_is_done(config, box):
    stand = Bench(config, leaf=(LATER, MAIL))
    stand.actions.start()
    stand.set(MAJOR)
    await stand.actions.close()
    stand.clock.advance(3600)
    stand.set(INVALID)
    stand.clock.advance(3600)
    assert not stand.edits and not box.mails and stand.clock.pending == 0


async def test_hundreds_at_once_are_bounded(config, box, monkeypatch):
    monkeypatch.setattr("iocs.alarm.actions.actions.MAX_WAITING", 5)
    many = tuple(Action("mail", f"mailto:n{number}@lab.example") for number in range(9))
    async with bench(config, leaf=many) as stand:
        stand.set(MAJOR)
        stand.clock.advance(0)
        found = await stand.result(9)
    assert sum("refused: 5 actions wait already" in one for one in found) == 4 and len(box.mails) == 5


# Mail --------------------------------------------------------------------------------------------------------------


async def test_some_recipients_are_refused(config, box):
    async with bench(config, leaf=(Action("m", "mailto:nobody@x.example,a@lab.example"),)) as stand:
        stand.set(MAJOR)
        stand.clock.advance(0)
        (found,) = await stand.result(1)
    assert found.endswith("sent, but not to nobody@x.example: 550 no such user here")
    assert [to for to, _ in box.mails] == [["a@lab.example"]]


@pytest.mark.parametrize(
    ("details", "reason"),
    [
        ("mailto:nobody@x.example", "failed: nobody@x.example: 550 no such user here"),
        ("mailto:a b@c.d", "refused: 'a b@c.d' is no mail address"),
        ("mailto:a@b.c\nBcc: d@e.f", "refused: it has control characters"),
        ("mailto:a@b.c>, <d@e.f", "refused: 'a@b.c>' is no mail address"),
        ("mailto:", "refused: nothing follows mailto:"),
        ("shout:loud", "refused: unknown action"),
        ("mail", "refused: unknown action"),
    ],
)
async def test_mails_that_are_not_sent(config, box, details, reason):
    """Actions are checked when they are configured, and once more when they are due."""
    async with bench(config, leaf=(Action("m", details),)) as stand:
        stand.set(MAJOR)
        stand.clock.advance(0)
        (found,) = await stand.result(1)
    assert reason in found and not box.mails


async def test_a_server_that_refuses_everything(config, box):
    box.refuse = "451 try later"
    async with bench(config, leaf=(MAIL,)) as stand:
        stand.set(MAJOR)
        stand.clock.advance(0)
        assert (await stand.result(1))[0].endswith("failed: 451 try later")


async def test_no_server():
    for host, reason in (("", "refused: the site file names no mail_host"), (f"127.0.0.1:{free_port()}", "refused")):
        async with bench(ActionsConfig(mail_host=host), leaf=(MAIL,)) as stand:
            stand.set(MAJOR)
            stand.clock.advance(0)
            assert reason in (await stand.result(1))[0].lower()


@pytest.mark.parametrize("greeting", [b"", b"220 drip\r\n"])
async def test_a_server_that_hangs_is_left_after_the_time_out(greeting):
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(greeting)
                over.wait(60)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        config = ActionsConfig(mail_host=f"127.0.0.1:{listener.getsockname()[1]}", timeout=0.3)
        async with bench(config, leaf=(MAIL,)) as stand:
            stand.set(MAJOR)
            stand.clock.advance(0)
            (found,) = await stand.result(1)
        over.set()
        thread.join(60)
    assert found.endswith("failed: no answer in time")


async def test_a_hostile_description(config, box):
    description = "x\r\nBcc: evil@x.example\r\n\r\nbody \u2028 " + "é" * 3000
    async with bench(config, leaf=(MAIL,), description=description) as stand:
        stand.set(MAJOR, "A\nPV: fake", value="\x00\x1b[31m")
        stand.clock.advance(0)
        assert (await stand.result(1))[0].endswith(": sent")
    (to, mail) = box.mails[0]
    assert to == ["a@lab.example", "b@lab.example"] and mail["Bcc"] is None
    assert mail["Subject"].startswith("MAJOR alarm: x Bcc: evil@x.example") and len(mail["Subject"]) <= 220
    assert "\x1b" not in mail.get_content() and "PV: fake" not in mail.get_content().splitlines()


async def test_failures_never_reach_the_tree(config, box, monkeypatch):
    def explode(*_: object) -> str:
        raise ZeroDivisionError("a fault of the library")

    monkeypatch.setattr("iocs.alarm.actions.mail.send", explode)
    async with bench(config, leaf=(MAIL,), area=(MAIL,)) as stand:
        stand.set(MAJOR)
        stand.clock.advance(0)
        assert all("failed: a fault of the library" in one for one in await stand.result(2))
        await eventually(lambda: asyncio.all_tasks() == {asyncio.current_task()}, lambda: "the end of all tasks")
