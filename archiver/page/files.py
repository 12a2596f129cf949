"""The page's files over HTTP.

All are read once, at start. `/` is the page itself and is asked for anew each time (a 304 when it is still the same);
everything else lies under `/page/<version>/`, where the version is a hash of all files, so that browsers may keep it
for ever and a new version is seen at once. There is no build step: modules import each other by relative path.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

STATIC = Path(__file__).parent / "static"

POLICY = (
    "default-src 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'self'; form-action 'none'; "
    "require-trusted-types-for 'script'"
)
"""Nothing from elsewhere, no inline script or style, and no text that becomes markup."""

_GUARD = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}
_VERSION = b"@version@"
_PRELOAD = b"<!-- @modules@ -->"


@dataclass(frozen=True)
class _File:
    """One file as it is sent, and gzipped when that is worth it."""

    content_type: str
    body: bytes
    packed: bytes | None
    etag: str

    @classmethod
    def of(cls, name: str, body: bytes) -> _File:
        kind = _TYPES.get(Path(name).suffix) or mimetypes.guess_type(name)[0] or "text/plain"
        if kind.startswith("text/"):
            kind += "; charset=utf-8"
        packed = gzip.compress(body, 9, mtime=0)
        small = packed if len(packed) < 0.9 * len(body) else None
        return cls(kind, body, small, f'"{hashlib.sha256(body).hexdigest()[:20]}"')

    def answer(self, request: Request, cache: str) -> Response:
        headers = {**_GUARD, "Cache-Control": cache, "ETag": self.etag, "Vary": "Accept-Encoding"}
        if _names(request.headers.get("if-none-match", ""), self.etag):
            return Response(status_code=304, headers=headers)
        headers["Content-Type"] = self.content_type
        if self.packed is not None and _takes_gzip(request.headers.get("accept-encoding", "")):
            return Response(self.packed, headers={**headers, "Content-Encoding": "gzip"})
        return Response(self.body, headers=headers)


def _names(header: str, etag: str) -> bool:
    return any(tag.strip().removeprefix("W/") in (etag, "*") for tag in header.split(","))


def _takes_gzip(header: str) -> bool:
    for part in header.lower().split(","):
        coding, _, quality = part.partition(";")
        if coding.strip() == "gzip":
            return quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


class _Page:
    def __init__(self, folder: Path) -> None:
        bodies = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        digest = hashlib.sha256()
        for name, body in sorted(bodies.items()):
            digest.update(f"{name}\0{len(body)}\0".encode() + body)
        self.version = digest.hexdigest()[:12]
        index = bodies.pop("index.html")
        self.index = _File.of("index.html", self._filled(index, sorted(bodies)))
        self.files = {name: _File.of(name, body) for name, body in bodies.items()}

    def _filled(self, index: bytes, names: Sequence[str]) -> bytes:
        """The page with the version in its links, and all modules named so that they are fetched side by side."""
        modules = [n for n in names if n.startswith("js/")]
        links = "\n".join(f'<link rel="modulepreload" href="page/@version@/{name}">' for name in modules)
        return index.replace(_PRELOAD, links.encode()).replace(_VERSION, self.version.encode())

    async def front(self, request: Request) -> Response:
        return self.index.answer(request, "no-cache")

    async def file(self, request: Request) -> Response:
        found = self.files.get(request.path_params["name"])
        if found is None:
            headers = {**_GUARD, "Content-Type": "text/plain; charset=utf-8"}
            return Response("The page has no such file; load it anew.\n", 404, headers=headers)
        same = request.path_params["version"] == self.version
        return found.answer(request, "public, max-age=31536000, immutable" if same else "no-cache")


def page_routes(folder: Path = STATIC) -> list[BaseRoute]:
    """Routes of the page: `/` and `/page/…`, GET and HEAD."""
    page = _Page(folder)
    return [
        Route("/", page.front, methods=["GET"]),
        Route("/page/{version}/{name:path}", page.file, methods=["GET"]),
    ]
