"""`webhook:` actions: JSON posted to an address that the site file allows. No redirect is followed, no proxy used."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from iocs.alarm.actions.deadline import cut_off

_PORTS = {"http": 80, "https": 443}


def allowed(address: str, prefixes: Iterable[str]) -> bool:
    """Does the address begin with one of `prefixes`: the same scheme, host and port, and a path below theirs?"""
    parts = urlsplit(address)
    steps = unquote(parts.path).replace("\\", "/").split("/")
    if ".." in steps or "." in steps:
        return False
    for prefix in prefixes:
        base = urlsplit(prefix)
        below = base.path if base.path.endswith("/") else f"{base.path}/"
        if _server(parts) == _server(base) and (parts.path == base.path or parts.path.startswith(below)):
            return True
    return False


def _server(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


def post(address: str, form: dict[str, Any], timeout: float) -> str:
    """Post it and return the server's answer (`204 No Content`); blocks for `timeout` seconds at the most.

    OSError or http.client.HTTPException when there is no answer, or one that is not of success.
    """
    parts = urlsplit(address)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=timeout)
    try:
        with cut_off(lambda: connection.sock, timeout):
            target = parts.path or "/"
            body = json.dumps(form, allow_nan=False).encode()
            headers = {"Content-Type": "application/json", "User-Agent": "owlshift"}
            connection.request("POST", f"{target}?{parts.query}" if parts.query else target, body, headers)
            with connection.getresponse() as answer:
                status, said = answer.status, f"{answer.status} {answer.reason}".strip()
    finally:
        connection.close()
    if not 200 <= status < 300:
        raise OSError(f"the server answered {said}")
    return said


def failure(error: Exception) -> str:
    """Why it was not posted."""
    if isinstance(error, TimeoutError | http.client.RemoteDisconnected):
        return "no answer in time" if isinstance(error, TimeoutError) else "the connection ended without an answer"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
