"""Tree, areas, log, shelves and figures of alarms: what is seen, with little and with much."""

from __future__ import annotations

from collections.abc import Iterator

import alarm_documents as documents
import pytest
from alarm_screens import AlarmStub
from runkey_screens import picture
from support import unique_prefix

SIZES = ((1280, 800), (1024, 640))


@pytest.fixture(scope="module")
def stub(qt: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AlarmStub]:
    ioc = AlarmStub(unique_prefix().rstrip(":"), tmp_path_factory.mktemp("alarms"))
    yield ioc
    if ioc.process.returncode is None:
        ioc.process.stop()


def test_the_tree(stub: AlarmStub) -> None:
    rows = [documents.in_alarm(n, stub.site) for n in range(12)]
    tree = documents.tree(rows, stub.site)
    stub.keep("tree", tree)
    screen = stub.open("alarm_tree")
    try:
        stub.post(screen, documents.pv_values(tree, stub.prefix))
        screen.wait("display.loaded")
        picture(screen, "alarm_tree", *SIZES)
    finally:
        screen.close()


def test_the_areas(stub: AlarmStub) -> None:
    rows = [documents.in_alarm(n, stub.site) for n in range(12)]
    tree = documents.tree(rows, stub.site)
    stub.keep("tree", tree)
    screen = stub.open("alarm_area")
    try:
        stub.post(screen, documents.pv_values(tree, stub.prefix))
        screen.wait("display.loaded")
        picture(screen, "alarm_area", *SIZES)
        screen.get(f"display.show_area('/{stub.site}/HV/L01')")
        picture(screen, "alarm_area_leaves", *SIZES)
    finally:
        screen.close()


def test_the_log(stub: AlarmStub) -> None:
    stub.keep("log", documents.log(300, stub.site))
    screen = stub.open("alarm_log")
    try:
        screen.wait("display.loaded")
        picture(screen, "alarm_log", *SIZES)
    finally:
        screen.close()


def test_shelves(stub: AlarmStub) -> None:
    shelves = [
        {
            "path": documents.in_alarm(n, stub.site)["path"],
            "by": "bert@daq2",
            "why": documents.LONG if n == 2 else "Test",
            "since": documents.iso(600),
            "until": documents.iso(-3600 * n * n) if n != 1 else "",
            "one_shot": n == 1,
        }
        for n in range(6)
    ]
    screen = stub.open("alarm_shelves")
    try:
        stub.post(screen, {"": {"Shelves": stub.keep("shelves", {"shelves": shelves})}})
        screen.wait("len(display.shelves) == 6")
        picture(screen, "alarm_shelves", *SIZES)
    finally:
        screen.close()


def test_figures(stub: AlarmStub) -> None:
    stub.keep("stats", documents.figures(stub.site))
    screen = stub.open("alarm_figures")
    try:
        screen.wait("display.figures is not None")
        picture(screen, "alarm_figures", *SIZES)
        screen.get("display.lists.setCurrentIndex(3)")
        picture(screen, "alarm_figures_stale", *SIZES)
    finally:
        screen.close()
