"""`webhook:` actions with a real HTTP server: what is posted, what is allowed, and servers that fail."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
from action_bench import LEAF, MAJOR, OK, Hooks, bench, web_server
from support import free_port

from iocs.alarm.actions.webhook import allowed
from iocs.alarm.config import ActionsConfig
from iocs.alarm.tree.items import Action


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[str, Hooks]]:
    with web_server() as found:
        yield found


@pytest.fixture
def server(served: tuple[str, Hooks]) -> tuple[str, Hooks]:
    served[1].posts.clear()
    served[1].answer = 204
    return served


async def result_of(address: str, config: ActionsConfig) -> str:
    async with bench(config, leaf=(Action("hook", f"webhook:{address}"),)) as stand:
        stand.set(MAJOR)
        stand.clock.advance(0)
        (found,) = await stand.result(1)
    prefix = f"webhook:{address}: "
    assert found.startswith(prefix)
    return found.removeprefix(prefix)


async def test_what_is_posted(server, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")  # it is not used
    base, hooks = server
    action = Action("hook", f"webhook:{base}/hooks/a?token=x")
    async with bench(
        ActionsConfig(webhook=(f"{base}/hooks/",)), leaf=(action,), area=(action,), latching=False
    ) as stand:
        stand.set(MAJOR)
        stand.clock.advance(0)
        assert (await stand.result(2))[0] == f"{action.details}: 204 No Content"
        stand.set(OK)
        await stand.result(4)
    of_leaf = [form for _, _, form in hooks.posts if form["path"] == LEAF]
    of_area = [form for _, _, form in hooks.posts if form["path"] == "/S/HV"]
    path, headers, _ = hooks.posts[0]
    assert path == "/hooks/a?token=x" and headers["Content-Type"] == "application/json"
    assert [form["event"] for form in of_leaf] == ["alarm", "clear"] == [form["event"] for form in of_area]
    form = of_leaf[0]
    assert (form["source"], form["severity"], form["text"]) == ("owlshift", "MAJOR", "MAJOR alarm: Current of layer 7")
    (alarm,) = form["alarms"]
    assert alarm.pop("time").startswith("2026-11-2")
    assert alarm == {
        "path": LEAF, "pv": "S:L7:I", "description": "*!Current of layer 7", "severity": "MAJOR",
        "message": "HIHI_ALARM", "value": "2.5 uA", "current_severity": "MAJOR", "current_message": "HIHI_ALARM",
        "priority": "high", "guidance": [{"title": "Do", "details": "ramp down"}],
    }  # fmt: skip
    assert [one["pv"] for one in of_area[0]["alarms"]] == ["S:L7:I"] and of_area[1]["alarms"] == []


async def test_only_what_the_site_file_allows(server):
    base, hooks = server
    for addresses in ((), (f"{base}/hook/",), ("http://127.0.0.1/hooks/",)):
        found = await result_of(f"{base}/hooks/a", ActionsConfig(webhook=addresses))
        assert found == "refused: the address is not among the webhooks of the site file"
    assert not hooks.posts


@pytest.mark.parametrize(
    ("address", "prefix"),
    [
        ("https://chat.lab/hooks/a", "https://chat.lab/hooks/"),
        ("https://CHAT.lab:443/hooks/a/b?c=d", "https://chat.lab/hooks"),
        ("http://chat.lab/hooks", "http://chat.lab:80/hooks"),
        ("http://chat.lab/", "http://chat.lab/"),
    ],
)
def test_allowed(address, prefix):
    assert allowed(address, ["https://other.lab/", prefix])


@pytest.mark.parametrize(
    "address",
    [
        "https://chat.lab.evil.example/hooks/a",
        "https://chat.lab@evil.example/hooks/a",
        "http://chat.lab/hooks/a",
        "https://chat.lab:8443/hooks/a",
        "https://chat.lab/hooksx",
        "https://chat.lab/",
        "https://chat.lab/hooks/../admin",
        "https://chat.lab/hooks/%2e%2e/admin",
        "https://chat.lab/hooks/..%2fadmin",
        "https://chat.lab/hooks/..\\admin",
        "https://chat.lab/hooks/./a",
    ],
)
def test_not_allowed(address):
    assert not allowed(address, ["https://chat.lab/hooks/"])


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (200, "200 OK"),
        (302, "failed: the server answered 302 Found"),
        (404, "failed: the server answered 404 Not Found"),
        (500, "failed: the server answered 500 Internal Server Error"),
    ],
)
async def test_answers(server, answer, result):
    base, hooks = server
    hooks.answer = answer
    assert await result_of(f"{base}/hooks/a", ActionsConfig(webhook=(f"{base}/hooks/",))) == result
    assert len(hooks.posts) == 1, "a redirect is not followed"


async def test_a_server_that_hangs_is_left_after_the_time_out(server):
    base, hooks = server
    hooks.go_on.clear()
    found = await result_of(f"{base}/hooks/a", ActionsConfig(webhook=(f"{base}/hooks/",), timeout=0.3))
    hooks.go_on.set()
    assert found == "failed: no answer in time"


async def test_a_server_that_drips_is_left_after_the_time_out():
    """Each byte comes in time, the answer never does."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                try:
                    connection.sendall(b"HTTP/1.1 200 ")
                    while not stop.wait(0.05):
                        connection.sendall(b"x")
                except OSError:
                    pass

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        found = await result_of(address, ActionsConfig(webhook=(address,), timeout=0.5))
        stop.set()
        thread.join(60)
    assert found == "failed: no answer in time"


async def test_no_server_and_no_http():
    address = f"http://127.0.0.1:{free_port()}/"
    assert await result_of(address, ActionsConfig(webhook=(address,))) == "failed: Connection refused"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: listener.accept()[0].close(), daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        assert (await result_of(address, ActionsConfig(webhook=(address,)))).startswith("failed: ")
        thread.join(60)


@pytest.mark.parametrize(
    "address",
    ["ftp://x/y", "http:///x", "http://a b/", "http://x:99999/", "http://u:p@x/", "http://x/#y", "http://é/", "x"],
)
async def test_addresses_that_are_none(address):
    assert (await result_of(address, ActionsConfig(webhook=("http://x/",)))).startswith("refused: ")
