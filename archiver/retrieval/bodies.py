"""The body of a POST: a list of PVs, in all the ways that clients write one."""

from __future__ import annotations

import json

from starlette.requests import Request

from archiver.retrieval.query import Refused, first_values, parameters

MAX_BODY = 8 << 20
MAX_NAMES = 20_000
MAX_PAIRS = 1000
"""Parameters of a form."""


async def names_of_body(request: Request) -> list[str]:
    """The PVs of a POST: a JSON list, a form with `pv=A,B`, or one a line or between commas."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY:
            raise Refused(413, f"The body is longer than {MAX_BODY} bytes.")
    try:
        content = body.decode()
    except UnicodeDecodeError:
        raise Refused(400, "The body is not UTF-8 text.") from None
    stripped = content.strip()
    if stripped.startswith("["):
        try:
            names = json.loads(stripped)
        except (ValueError, RecursionError):
            names = None
        if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
            raise Refused(400, 'The body is no JSON list of names, such as ["A", "B"].')
    elif stripped.startswith("pv=") or request.headers.get("content-type", "").startswith("application/x-www-form"):
        names = split_names(first_values(form_parameters(bytes(body))).get("pv", ""))
    else:
        names = split_names(content)
    if len(names) > MAX_NAMES:
        raise Refused(413, f"There are {len(names)} names; at most {MAX_NAMES} are accepted.")
    return names


def form_parameters(body: bytes) -> list[tuple[str, str]]:
    """The pairs of a form, which may be longer than a query string; 413 when it is far too long."""
    if len(body) > MAX_BODY // 4 or body.count(b"&") >= MAX_PAIRS:
        raise Refused(413, "The form is too long; send a JSON list.")
    return parameters(body.strip(), limit=MAX_BODY)


def split_names(names: str) -> list[str]:
    """Names on lines or between commas."""
    return [n.strip() for line in names.splitlines() for n in line.split(",") if n.strip()]
