"""The page's files over HTTP: whole, guarded, kept by browsers, and shipped."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from page_browser import Archive
from starlette.applications import Starlette
from support import ROOT

from archiver.page import page_routes
from archiver.page.files import STATIC


@pytest.fixture(scope="module")
def client(archive: Archive) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=archive.url, timeout=60) as made:
        yield made


def linked(html: str) -> list[str]:
    return re.findall(r'(?:href|src)="(page/[^"]+)"', html)


def test_the_page_names_files_that_are_there_and_may_be_kept(client: httpx.Client):
    page = client.get("/")
    assert page.status_code == 200 and page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-cache"
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    links = linked(page.text)
    assert "@" not in page.text
    modules = {p.name for p in (STATIC / "js").glob("*.js")}
    assert modules <= {link.rsplit("/", 1)[1] for link in links}
    for link in links:
        found = client.get("/" + link)
        assert found.status_code == 200, link
        assert "immutable" in found.headers["cache-control"]
        assert found.headers["content-security-policy"] == page.headers["content-security-policy"]
    types = {link.rsplit(".", 1)[1]: client.get("/" + link).headers["content-type"] for link in links}
    assert types == {
        "js": "text/javascript; charset=utf-8",
        "css": "text/css; charset=utf-8",
        "svg": "image/svg+xml",
    }


def test_a_page_that_is_known_is_not_sent_again(client: httpx.Client):
    tag = client.get("/").headers["etag"]
    for header in (tag, f'"x", W/{tag}', "*"):
        again = client.get("/", headers={"If-None-Match": header})
        assert again.status_code == 304 and not again.content
    assert client.get("/", headers={"If-None-Match": '"x"'}).status_code == 200
    head = client.head("/")
    assert head.status_code == 200 and head.headers["etag"] == tag and not head.content


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [("gzip", True), ("br, gzip;q=0.5", True), ("identity", False), ("gzip;q=0", False), ("", False)],
)
def test_gzip_for_those_who_take_it(client: httpx.Client, accepted: str, packed: bool):
    link = next(link for link in linked(client.get("/").text) if link.endswith("plot.js"))
    with client.stream("GET", "/" + link, headers={"Accept-Encoding": accepted}) as reply:
        raw = b"".join(reply.iter_raw())
        assert (reply.headers.get("content-encoding") == "gzip") == packed
    body = (STATIC / "js" / "plot.js").read_bytes()
    assert (gzip.decompress(raw) if packed else raw) == body


def test_a_file_of_an_older_page_is_given_but_not_kept(client: httpx.Client):
    found = client.get("/page/0123456789ab/js/main.js")
    assert found.status_code == 200 and found.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("name", ["nothing.js", "../files.py", "%2e%2e/files.py", "js", "", "index.html"])
def test_what_is_not_there(client: httpx.Client, name: str):
    assert client.get(f"/page/x/{name}").status_code == 404


async def test_a_changed_file_has_another_address(tmp_path: Path):
    (tmp_path / "js").mkdir()
    (tmp_path / "index.html").write_text('<link href="page/@version@/js/a.js">')
    pages = []
    for text in ("1", "2"):
        (tmp_path / "js" / "a.js").write_text(text)
        transport = httpx.ASGITransport(Starlette(routes=page_routes(tmp_path)))
        async with httpx.AsyncClient(transport=transport, base_url="http://page") as client:
            pages.append((await client.get("/")).text)
    assert pages[0] != pages[1]


def test_nothing_in_the_files_comes_from_elsewhere():
    for path in STATIC.rglob("*"):
        if path.suffix in (".js", ".css", ".html", ".svg") and "vendor" not in path.parts:
            text = path.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
            assert not re.search(r"https?://|//cdn", text), path
            assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|new Function", text), path
            assert not re.search(r"<[a-z][^>]* (on[a-z]+|style)=", text) or path.suffix == ".js", path


def test_the_vendored_plot_library_has_its_licence():
    (folder,) = (STATIC / "vendor").iterdir()
    assert folder.name.startswith("uplot-") and "MIT" in (folder / "LICENSE").read_text()


@pytest.mark.timeout(300)
def test_the_wheel_has_all_files(tmp_path: Path):
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, timeout=240)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        shipped = set(file.namelist())
    there = {f"archiver/page/static/{p.relative_to(STATIC).as_posix()}" for p in STATIC.rglob("*") if p.is_file()}
    assert there <= shipped, there - shipped
