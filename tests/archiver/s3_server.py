"""A real S3 server (s3s-fs) on a free loopback port, with its data in a temporary folder."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import free_port

KEY, SECRET = "owlshift-test", "owlshift-test-secret"

BUCKET = "archive"


def server_path() -> str | None:
    """Where the server is that `.ci/s3-server` installs, None when it isn't there."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "owlshift/bin/s3s-fs"
    for path in (cache, shutil.which("s3s-fs")):
        if path and os.access(path, os.X_OK):
            return str(path)
    return None


class S3Server:
    """The server; it may be killed and come back on its port with what it had."""

    def __init__(self, folder: Path, program: str) -> None:
        self.folder = folder
        self.port = free_port()
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        (folder / BUCKET).mkdir(parents=True)
        self.log = folder.parent / f"{folder.name}.log"

    def url(self, prefix: str = "demo") -> str:
        """A place in the server's bucket, as a site file names it."""
        return f"s3://{BUCKET}/{prefix}?endpoint_override=127.0.0.1:{self.port}&scheme=http"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [self._program, "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--access-key", KEY, "--secret-key", SECRET, str(self.folder)]
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        for _ in range(1200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(f"the S3 server doesn't start: {self.log.read_text()[-2000:]}")

    def kill(self) -> None:
        """As a power cut would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def files(self, prefix: str = "demo") -> list[str]:
        """Names of the objects below a prefix."""
        root = self.folder / BUCKET / prefix
        return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file() and p.name[0] != ".")


@pytest.fixture
def s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """A running S3 server; its credentials are in the environment."""
    program = server_path()
    if program is None:
        pytest.skip("there is no S3 server here: .ci/s3-server installs one")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    server = S3Server(tmp_path / "s3", program)
    server.start()
    try:
        yield server
    finally:
        server.kill()
