"""The table of alarms: what is seen, found, and done."""

from __future__ import annotations

from collections.abc import Iterator

import alarm_documents as documents
import pytest
from alarm_screens import AlarmStub, asked
from runkey_screens import picture
from screen_stand import Screen
from support import unique_prefix


@pytest.fixture(scope="module")
def stub(qt: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AlarmStub]:
    ioc = AlarmStub(unique_prefix().rstrip(":"), tmp_path_factory.mktemp("alarms"))
    yield ioc
    if ioc.process.returncode is None:
        ioc.process.stop()


@pytest.fixture(scope="module")
def kept(stub: AlarmStub) -> Iterator[Screen]:
    screen = stub.open("alarm_table")
    yield screen
    screen.close()


def show(screen: Screen, stub: AlarmStub, count: int, **more) -> dict:
    document = documents.active(count, stub.site) | more
    stub.show_active(screen, document)
    screen.wait(f"len(display.active.alarms) == {count} and display.active.time and not display._late.isActive()")
    return document


def test_no_three_and_two_thousand_alarms(kept: Screen, stub: AlarmStub) -> None:
    show(kept, stub, 0)
    kept.wait("'No alarm' in display.note.text()")
    picture(kept, "alarm_table_0")
    show(kept, stub, 3)
    kept.get("display.view.selectRow(0)")
    picture(kept, "alarm_table_3")
    show(kept, stub, 200)
    picture(kept, "alarm_table_200", (1280, 800), (1024, 640), (800, 520))
    show(kept, stub, 2000, truncated=True)
    picture(kept, "alarm_table_2000", (1280, 800))
    assert asked(kept) == []
