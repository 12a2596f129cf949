"""An archive that no engine ran in: PVs, live tables and a ledger made at will, and management's routes over them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from starlette.applications import Starlette

from archiver.config import ArchiverConfig
from archiver.management import Ledger
from archiver.management.context import Context, context_of
from archiver.management.http import management_routes
from archiver.retrieval.mounts import Place
from archiver.retrieval.workers import Workers
from archiver.store import Columns, Dbr, StoreWriter, open_reader
from archiver.store.live import LIVE, PvState, save_live

NOW_NS = time.time_ns()
NS = 1_000_000_000


class Client:
    """A client of the application, seen from the address `peer`."""

    def __init__(self, app: Any, runner: asyncio.Runner, peer: str, headers: Mapping[str, str]) -> None:
        self._app, self._runner, self._peer, self._headers = app, runner, peer, dict(headers)

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        """One request."""

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self._app, client=(self._peer, 50000))
            async with httpx.AsyncClient(
                transport=transport, base_url="http://127.0.0.1:17665", headers=self._headers
            ) as client:
                return await client.request(method, path, **more)

        return self._runner.run(ask())

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.request("GET", path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.request("POST", path, **more)


class Stand:
    """An archive in `folder`, and a client of its management."""

    def __init__(
        self, folder: Path, names: Sequence[str] = (), config: ArchiverConfig | None = None, site: Any = None
    ) -> None:
        self.folder = folder
        self.config = config or ArchiverConfig()
        self.writer = StoreWriter(folder)
        self.writer.open()
        self.ids: dict[str, int] = {}
        self.live = np.zeros(1, LIVE)
        self.add(names)
        self.ledger = Ledger(folder / "manage.db")
        place = Place(folder, self.config, {"": folder}, site)
        self.context: Context = context_of(place, open_reader(folder, self.config), self.ledger, Workers())
        self._runner = asyncio.Runner()
        self.app = Starlette(routes=management_routes(self.context))

    def add(self, names: Sequence[str]) -> None:
        """PVs that an engine archives."""
        self.ids.update(self.writer.add_pvs(list(names)))
        table = np.zeros(max(self.ids.values(), default=0) + 1, LIVE)
        table[: len(self.live)] = self.live
        self.live = table
        for name in names:
            row = self.live[self.ids[name]]
            row["state"], row["dbr"], row["count"], row["period"] = PvState.CONNECTED, Dbr.DOUBLE, 1, 1.0
            row["requested_ns"] = row["first_connected_ns"] = row["connected_ns"] = NOW_NS - 3600 * NS
            row["last_ns"], row["rate"], row["byte_rate"], row["events"] = NOW_NS, 1.0, 8.0, 3600
        self.save()

    def put(self, name: str, **values: Any) -> None:
        """What the engine says of a PV."""
        for key, value in values.items():
            self.live[self.ids[name]][key] = value

    def save(self, **status: Any) -> None:
        """Write the engine's tables."""
        save_live(self.folder, self.live)
        content = {
            "pid": 1,
            "started": time.time() - 100,
            "updated": time.time(),
            "state": "recording",
            "hosts": ["", "127.0.0.1:5064"],
            "policies": ["", "fast"],
            "received": 1000,
            "stored": 900,
            "lag": 0.25,
            "dropped": {"overflow": 5, "scan": 95},
            "segments": 3,
            **status,
        }
        (self.folder / "engine.json").write_text(json.dumps(content))

    def describe(self, name: str, metadata: Mapping[str, str]) -> None:
        """Metadata of a PV."""
        self.writer.describe({self.ids[name]: dict(metadata)})

    def store(self, name: str, times_ns: Sequence[int]) -> None:
        """Samples, in segments."""
        n = len(times_ns)
        columns = Columns(
            Dbr.DOUBLE,
            False,
            np.full(n, self.ids[name], np.uint32),
            np.array(times_ns, np.int64),
            np.zeros(n, np.uint8),
            np.zeros(n, np.uint8),
            np.arange(n, dtype=np.float64),
        )
        self.writer.append(columns)
        self.writer.roll()
        while self.writer.convert_next():
            pass

    def client(self, peer: str = "127.0.0.1", **headers: str) -> Client:
        """A client at an address; `_` in the names of headers is `-`."""
        return Client(self.app, self._runner, peer, {key.replace("_", "-"): value for key, value in headers.items()})

    def close(self) -> None:
        self._runner.close()
        self.context.reader.close()
        self.ledger.close()
        self.writer.close()


def get(client: Client, call: str, **parameters: Any) -> Any:
    """The JSON that a call answers with 200."""
    answer = client.get(f"/mgmt/bpl/{call}", params=parameters)
    assert answer.status_code == 200, (answer.status_code, answer.text)
    assert answer.headers["content-type"] == "application/json"
    return answer.json()
