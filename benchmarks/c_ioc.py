"""A real EPICS C IOC (epicscorelibs) in a child process on loopback, with ports and records of the caller's choice."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType

sys.path.insert(0, str(Path(__file__).resolve().parent))

from ports import free_port


def counter_names(prefix: str, count: int) -> list[str]:
    """The names of the records that `counter_database` makes."""
    return [f"{prefix}C{i:05d}" for i in range(count)]


def counter_database(prefix: str, count: int, scan: str = ".1 second") -> str:
    """`count` calc records that count up by one at each scan, so that a lost event is a gap in the values."""
    return "\n".join(
        f'record(calc, "{name}") {{ field(SCAN, "{scan}") field(CALC, "VAL+1") field(EGU, "n") field(PREC, "0") }}'
        for name in counter_names(prefix, count)
    )


class CIoc:
    """One C IOC that serves `database` on 127.0.0.1:`port` until `stop` or the end of the `with` block.

    `environment` is what a client needs to reach it. Its stdin stays open for as long as it runs: the IOC ends by
    itself when this process does.
    """

    def __init__(self, database: str, port: int | None = None, beacon_port: int | None = None) -> None:
        self.port = port or free_port()
        self.beacon_port = beacon_port or free_port()
        self.database = database
        self.log: list[str] = []
        self._folder = tempfile.TemporaryDirectory(prefix="owl-ioc-")
        self._process: subprocess.Popen[bytes] | None = None
        self._readers: list[threading.Thread] = []

    @property
    def environment(self) -> dict[str, str]:
        """The Channel Access variables of a client."""
        return {
            "EPICS_CA_ADDR_LIST": "127.0.0.1",
            "EPICS_CA_AUTO_ADDR_LIST": "NO",
            "EPICS_CA_SERVER_PORT": str(self.port),
            "EPICS_CA_REPEATER_PORT": str(self.beacon_port),
        }

    @property
    def pid(self) -> int:
        """The process id; RuntimeError when it is not running."""
        if self._process is None:
            raise RuntimeError("the IOC is not running")
        return self._process.pid

    def start(self, timeout: float = 60.0) -> CIoc:
        """Start it and wait until it serves; RuntimeError with its output when it does not."""
        self.log.clear()
        path = Path(self._folder.name) / "records.db"
        path.write_text(self.database + "\n")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("EPICS_CA", "EPICS_PVA"))}
        process = subprocess.Popen(
            [sys.executable, "-m", "epicscorelibs.ioc", "-d", str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={
                **inherited,
                "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1",
                "EPICS_CAS_SERVER_PORT": str(self.port),
                "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
                "EPICS_CAS_BEACON_ADDR_LIST": "127.255.255.255",
                "EPICS_CAS_BEACON_PORT": str(self.beacon_port),
                "EPICS_PVAS_INTF_ADDR_LIST": "127.0.0.1",
                "EPICS_PVAS_SERVER_PORT": str(free_port()),
                "EPICS_PVAS_BROADCAST_PORT": str(free_port()),
                "EPICS_PVAS_AUTO_BEACON_ADDR_LIST": "NO",
            },
        )
        self._process = process
        reader = threading.Thread(target=self._read, args=(process,), daemon=True)
        reader.start()
        self._readers.append(reader)
        deadline = time.monotonic() + timeout
        while "IOC Running" not in self.log:
            if process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"the C IOC did not start:\n{self.text()}")
            time.sleep(0.02)
        return self

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        if process.stdout is not None:
            for line in process.stdout:
                self.log.append(line.decode(errors="replace").rstrip())

    def text(self) -> str:
        """All that it printed."""
        return "\n".join(self.log)

    def signal(self, number: int) -> None:
        """Send it a signal, for example SIGSTOP."""
        if self._process is not None:
            self._process.send_signal(number)

    def command(self, line: str) -> None:
        """Type one line into its shell, for example ``dbpf NAME VALUE``."""
        if self._process is None or self._process.stdin is None:
            raise RuntimeError("the IOC is not running")
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        """SIGKILL and reap; `start` may follow."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait(30)
        for reader in self._readers:
            reader.join(10)
        self._readers.clear()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    pass

    def close(self) -> None:
        """Stop it and remove its folder."""
        self.kill()
        self._folder.cleanup()

    def __enter__(self) -> CIoc:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def main() -> None:
    """Run the counters in the foreground: `python benchmarks/c_ioc.py [COUNT] [PREFIX]`.

    Ctrl-C or the end of stdin stops it.
    """
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    prefix = sys.argv[2] if len(sys.argv) > 2 else "BENCH:"
    with CIoc(counter_database(prefix, count)) as ioc:
        print(
            f"ready {counter_names(prefix, count)[0]} … on 127.0.0.1:{ioc.port}, {count} records at 10 Hz", flush=True
        )
        for name, value in ioc.environment.items():
            print(f"export {name}={value}", flush=True)
        try:
            sys.stdin.read()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
