"""Management's calls from a command: over HTTP, so that the server's access rules hold."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPException
from typing import Any

TIMEOUT_S = 120
BATCH = 10_000
"""PVs in one request."""


class ManageError(Exception):
    """The archiver does not do what was asked for; str() is one clear line."""


class Remote:
    """The management of an archiver at `url`."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self.place = url.rstrip("/").removesuffix("/mgmt").removesuffix("/retrieval")
        self._headers = {"Accept": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        # no proxy: an archiver is on the stand's own network
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(self, path: str, body: Any = None, **parameters: object) -> Any:
        """The JSON that a path answers; parameters that are None are left out. ManageError for everything else."""
        given = {key: str(value) for key, value in parameters.items() if value is not None}
        url = f"{self.place}{path}{'?' if given else ''}{urllib.parse.urlencode(given)}"
        headers = dict(self._headers)
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        try:
            request = urllib.request.Request(url, data, headers)
            with self._opener.open(request, timeout=TIMEOUT_S) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as error:
            with error:
                sentence = error.read(2000).decode("utf-8", "replace").strip().split("\n")[0]
            hint = " (a token is given by $OWLSHIFT_ARCHIVE_TOKEN)" if error.code == 401 else ""
            raise ManageError(f"{sentence or f'{self.place} answers {error.code}'}{hint}") from None
        except urllib.error.URLError as error:
            why = getattr(error.reason, "strerror", None) or error.reason
            raise ManageError(f"no archiver answers at {self.place}: {str(why).lower()} (is the site up?)") from None
        except (OSError, HTTPException, ValueError) as error:
            raise ManageError(f"{self.place} does not answer as an archiver: {error}") from None

    def call(self, name: str, body: Any = None, **parameters: object) -> Any:
        """A call under `/mgmt/bpl`."""
        return self.ask(f"/mgmt/bpl/{name}", body, **parameters)

    def bulk(self, name: str, items: list[Any], **parameters: object) -> list[dict[str, str]]:
        """A call for many PVs, in as many requests as it takes; one answer for each PV."""
        answers: list[dict[str, str]] = []
        for start in range(0, len(items), BATCH):
            found = self.call(name, items[start : start + BATCH], **parameters)
            if not isinstance(found, list):
                raise ManageError(f"{self.place} does not answer as an archiver")
            answers += found
        return answers
