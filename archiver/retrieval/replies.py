"""Answers that are not streams: JSON, text, and the one sentence of a refusal."""

from __future__ import annotations

import logging
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from archiver.management import LedgerError
from archiver.retrieval.query import Refused, printable
from archiver.store import StoreError

log = logging.getLogger(__name__)

FAULTS = (Refused, StoreError, LedgerError, OSError, HTTPException, ClientDisconnect, Exception)
"""What `refused` answers."""


def reply(status: int, content_type: str, body: str | bytes) -> Response:
    """An answer with exactly this Content-Type: Starlette would add a charset, and some clients compare the whole."""
    content = body.encode("utf-8", "replace") if isinstance(body, str) else body
    return Response(content, status, headers={"Content-Type": content_type})


def json_reply(content: Any) -> Response:
    """JSON of plain objects."""
    return reply(200, "application/json", orjson.dumps(content))


def sentence(status: int, text: str) -> Response:
    """A refusal."""
    response = reply(status, "text/plain; charset=utf-8", text + "\n")
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def header_text(text: str) -> str:
    """A sentence as it may stand in quotes in a header."""
    return "".join(c if " " <= c <= "~" and c not in '"\\' else "?" for c in printable(text))


def unreadable(error: Exception) -> str:
    """What to say when the archive's files cannot be read."""
    why = (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)
    return f"The archive cannot be read: {printable(' '.join(why.split()), 300).rstrip('.')}."


async def refused(request: Request, error: Exception) -> Response:
    """The answer to a request that failed."""
    if isinstance(error, Refused):
        return sentence(error.status, error.sentence)
    if isinstance(error, (StoreError, OSError)):
        log.error("the archive cannot be read: %s", error)
        return sentence(503, unreadable(error))
    if isinstance(error, LedgerError):
        log.error("the ledger cannot be read: %s", error)
        return sentence(503, f"The list of what is archived cannot be read: {printable(str(error))}.")
    if isinstance(error, ClientDisconnect):
        return sentence(400, "The request broke off.")
    if isinstance(error, HTTPException):
        path = printable(request.url.path)
        if error.status_code == 404:
            return sentence(404, f"There is nothing at {path}.")
        if error.status_code == 405:
            response = sentence(405, f"{request.method} is not possible at {path}.")
            response.headers["Allow"] = (error.headers or {}).get("Allow", "GET")
            return response
        return sentence(error.status_code, error.detail)
    return sentence(500, "The archiver failed on this request; its log says how.")
