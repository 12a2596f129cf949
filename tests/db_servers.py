"""Real database servers for tests: PostgreSQL and MariaDB on a free loopback port, data in a temporary folder.

`fresh_url(kind)` gives the URL of an empty database of a server that is started once per pytest process; tests that
stop or kill a server make one of their own (`PostgreSQL()`, `MariaDB()`; a context manager). What is not installed
(`.ci/db-servers` does it) is skipped, with the reason. `ready_url(kind)`: one with our tables, in a tenth of the time.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import glob
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from support import free_port

if TYPE_CHECKING:
    from db.schema import Schema

KINDS = ("sqlite", "postgresql", "mariadb")
PATIENCE = 120.0
"""Seconds for a server to start; a loaded machine is slow."""


class Server(ABC):
    """One server. `durable`: it waits for the disk, as in operation; tests that measure need that. What was committed
    survives a kill of the server in both cases."""

    kind = ""
    users: Sequence[str] = ()
    """Whom it may run as instead of root."""

    def __init__(self, durable: bool = False) -> None:
        self.durable = durable
        self.user = self._user()
        self.folder = Path(tempfile.mkdtemp(prefix=f"owl-{self.kind}-"))
        self.folder.chmod(0o700)
        if self.user:
            shutil.chown(self.folder, self.user.pw_uid, self.user.pw_gid)
        self.data = self.folder / "data"
        self.port = free_port()
        self.password = secrets.token_hex(12)
        self.log = self.folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self.initialise()
            self.start()
        except BaseException:
            self.close()
            raise

    @classmethod
    @abstractmethod
    def missing(cls) -> str:
        """Why it can't be used here, or nothing."""

    @abstractmethod
    def initialise(self) -> None:
        """Make its data folder."""

    @abstractmethod
    def command(self) -> list[str]:
        """What runs it in the foreground."""

    @abstractmethod
    def try_connect(self) -> None:
        """An exception while it does not answer."""

    @abstractmethod
    def fresh_url(self) -> str:
        """The URL of a new, empty database."""

    @abstractmethod
    def copy_url(self, template: str) -> str:
        """The URL of a new database with the tables of another one that nobody uses, by that one's URL."""

    def _user(self) -> pwd.struct_passwd | None:
        if os.getuid() != 0:
            return None
        for name in (*self.users, "nobody"):
            with contextlib.suppress(KeyError):
                return pwd.getpwnam(name)
        raise RuntimeError("there is no user to run a server as")

    def run(self, argv: Sequence[str], *more: str) -> None:
        """Run a tool of the server as its user; AssertionError with what it said when it fails."""
        done = subprocess.run(
            [*argv, *more],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            user=self.user.pw_uid if self.user else None,
            group=self.user.pw_gid if self.user else None,
            extra_groups=[] if self.user else None,
            env={**os.environ, "HOME": str(self.folder), "LC_ALL": "C.UTF-8"},
            timeout=PATIENCE,
        )
        assert done.returncode == 0, f"{argv[0]} failed:\n{done.stdout.decode(errors='replace')}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self.user.pw_uid if self.user else None,
                group=self.user.pw_gid if self.user else None,
                extra_groups=[] if self.user else None,
                env={**os.environ, "HOME": str(self.folder), "LC_ALL": "C.UTF-8"},
                preexec_fn=die_with_parent,
            )
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return self.try_connect()
            except Exception as error:
                code = self._process.poll()
                if code is not None or time.monotonic() > deadline:
                    said = self.log.read_text(errors="replace")[-3000:]
                    raise AssertionError(f"{self.kind} does not start (exit code {code}): {error}\n{said}") from None
                time.sleep(0.05)

    @property
    def pid(self) -> int:
        """Of the main process."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """kill -9 of all its processes at once."""
        if self._process is None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            main = psutil.Process(self._process.pid)
            for process in [main, *main.children(recursive=True)]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        self._process.wait(PATIENCE)

    def stop(self) -> None:
        """End it in good order, though clients are connected."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT if self.kind == "postgresql" else signal.SIGTERM)
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.kill()

    def close(self) -> None:
        """End it and remove its data."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class PostgreSQL(Server):
    """postgres of PATH, or of /usr/lib/postgresql, the newest."""

    kind = "postgresql"
    users = ("postgres",)

    @classmethod
    def _tool(cls, name: str) -> str | None:
        found = shutil.which(name)
        if found:
            return os.path.realpath(found)
        versions = glob.glob(f"/usr/lib/postgresql/*/bin/{name}")
        return max(versions, key=lambda p: float(Path(p).parts[-3]), default=None)

    @classmethod
    def missing(cls) -> str:
        if cls._tool("postgres") and cls._tool("initdb"):
            return ""
        return "PostgreSQL is not installed (.ci/db-servers installs it)"

    def initialise(self) -> None:
        word = self.folder / "password"
        word.write_text(self.password)
        if self.user:
            shutil.chown(word, self.user.pw_uid, self.user.pw_gid)
        initdb = self._tool("initdb")
        assert initdb is not None
        self.run(
            [initdb, "-D", str(self.data), "-U", "owlshift", "--auth=scram-sha-256", f"--pwfile={word}"],
            *("--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"),
        )

    def command(self) -> list[str]:
        postgres = self._tool("postgres")
        assert postgres is not None
        options = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": ""}
        if not self.durable:
            options |= {"fsync": "off", "full_page_writes": "off"}
        return [postgres, "-D", str(self.data)] + [a for k, v in options.items() for a in ("-c", f"{k}={v}")]

    def _execute(self, sql: str) -> None:
        import psycopg

        with psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user="owlshift",
            password=self.password,
            dbname="postgres",
            autocommit=True,
        ) as connection:
            connection.execute(sql)  # type: ignore[arg-type]

    def try_connect(self) -> None:
        self._execute("SELECT 1")

    def fresh_url(self) -> str:
        name = f"t{secrets.token_hex(6)}"
        self._execute(f"CREATE DATABASE {name}")
        return f"postgresql+psycopg://owlshift:{self.password}@127.0.0.1:{self.port}/{name}"

    def copy_url(self, template: str) -> str:
        base, _, name = template.rpartition("/")
        copy = f"t{secrets.token_hex(6)}"
        self._execute(f"CREATE DATABASE {copy} TEMPLATE {name}")
        return f"{base}/{copy}"


class MariaDB(Server):
    """mariadbd of PATH or /usr/sbin."""

    kind = "mariadb"
    users = ("mysql",)

    def __init__(self, durable: bool = False) -> None:
        self._dumps: dict[str, str] = {}
        super().__init__(durable)

    @classmethod
    def _tool(cls, *names: str) -> str | None:
        path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/usr/bin"])
        return next((found for name in names if (found := shutil.which(name, path=path))), None)

    @classmethod
    def missing(cls) -> str:
        if cls._tool("mariadbd") and cls._tool("mariadb-install-db"):
            return ""
        return "MariaDB is not installed (.ci/db-servers installs it)"

    def initialise(self) -> None:
        install = self._tool("mariadb-install-db")
        assert install is not None
        self.run(
            [install, "--no-defaults", f"--datadir={self.data}", "--auth-root-authentication-method=normal"],
            *("--skip-test-db", "--innodb-log-file-size=96M"),
        )
        first = self.folder / "first.sql"
        first.write_text(
            f"CREATE USER IF NOT EXISTS owlshift@'127.0.0.1' IDENTIFIED BY '{self.password}';\n"
            "GRANT ALL ON *.* TO owlshift@'127.0.0.1';\n"
        )
        first.chmod(0o644)

    def command(self) -> list[str]:
        mariadbd = self._tool("mariadbd")
        assert mariadbd is not None
        options = {
            "datadir": self.data,
            "port": self.port,
            "bind-address": "127.0.0.1",
            "socket": self.folder / "socket",
            "pid-file": self.folder / "pid",
            "init-file": self.folder / "first.sql",
            "skip-name-resolve": 1,
            "innodb-log-file-size": "96M",
            "innodb-flush-log-at-trx-commit": 1 if self.durable else 2,
        }
        if not self.durable:
            options |= {"innodb-flush-method": "nosync", "innodb-doublewrite": 0, "sync-frm": 0, "debug-no-sync": 1}
        return [mariadbd, "--no-defaults", *(f"--{k}={v}" for k, v in options.items())]

    def _connect(self, **options: Any) -> Any:
        import pymysql

        return pymysql.connect(
            host="127.0.0.1", port=self.port, user="owlshift", password=self.password, connect_timeout=5, **options
        )

    def _execute(self, sql: str) -> None:
        with contextlib.closing(self._connect()) as connection, connection.cursor() as cursor:
            cursor.execute(sql)

    def try_connect(self) -> None:
        self._execute("SELECT 1")

    def fresh_url(self) -> str:
        name = f"t{secrets.token_hex(6)}"
        self._execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        return f"mariadb+pymysql://owlshift:{self.password}@127.0.0.1:{self.port}/{name}"

    def copy_url(self, template: str) -> str:
        from pymysql.constants import CLIENT

        base, _, name = template.rpartition("/")
        if name not in self._dumps:
            self._dumps[name] = self._dump(name)
        copy = f"t{secrets.token_hex(6)}"
        script = f"CREATE DATABASE {copy} CHARACTER SET utf8mb4; USE {copy}; {self._dumps[name]}"
        connection = self._connect(client_flag=CLIENT.MULTI_STATEMENTS, autocommit=True)
        with contextlib.closing(connection), connection.cursor() as cursor:
            cursor.execute(script)
            while cursor.nextset():  # raises what a later statement did
                pass
        return f"{base}/{copy}"

    def _dump(self, name: str) -> str:
        """Statements that make the tables and triggers again, and the row that says of which version they are."""
        made = ["SET foreign_key_checks = 0"]
        with contextlib.closing(self._connect(database=name)) as connection, connection.cursor() as cursor:
            cursor.execute("SHOW TABLES")
            for (table,) in cursor.fetchall():
                cursor.execute(f"SHOW CREATE TABLE `{table}`")
                made.append(cursor.fetchone()[1])
            cursor.execute("SHOW TRIGGERS")
            for trigger, *_ in cursor.fetchall():
                cursor.execute(f"SHOW CREATE TRIGGER `{trigger}`")
                sql_mode, text = cursor.fetchone()[1:3]
                made += [f"SET sql_mode = '{sql_mode}'", text]
            cursor.execute("SHOW TABLES LIKE '%\\_version'")
            for (table,) in cursor.fetchall():
                cursor.execute(f"SELECT version_num FROM {table}")
                made.append(f"INSERT INTO {table} VALUES ('{cursor.fetchone()[0]}')")
        return "; ".join(made)


SERVERS: dict[str, type[Server]] = {"postgresql": PostgreSQL, "mariadb": MariaDB}
_running: dict[str, Server] = {}
_templates: dict[tuple[str, str], str] = {}
_folder: Path | None = None


def missing(kind: str) -> str:
    """Why databases of this kind can't be tested here, or nothing."""
    return "" if kind == "sqlite" else SERVERS[kind].missing()


def server(kind: str) -> Server:
    """The server of this pytest process; started at the first call, ended at the end. Skips where there is none."""
    if kind not in _running:
        reason = missing(kind)
        if reason:
            pytest.skip(reason)
        _running[kind] = SERVERS[kind]()
        atexit.register(_running[kind].close)
    return _running[kind]


def fresh_url(kind: str) -> str:
    """The URL of a new, empty database of this kind. Skips, with the reason, where it is not installed."""
    global _folder
    if kind == "sqlite":
        if _folder is None:
            _folder = Path(tempfile.mkdtemp(prefix="owl-sqlite-"))
            atexit.register(shutil.rmtree, _folder, ignore_errors=True)
        return f"sqlite:///{_folder}/{secrets.token_hex(6)}/db.sqlite"
    return server(kind).fresh_url()


def ready_url(kind: str, schema: Schema | None = None) -> str:
    """The URL of a new database with all tables: a copy of one that was migrated once. Skips as `fresh_url`.

    `schema`: of other tables than those of runkeys.
    """
    from db.database import Database
    from db.schema import RUNKEYS

    schema = schema or RUNKEYS
    key = (kind, schema.versions)
    if key not in _templates:
        url = fresh_url(kind)
        Database.open(url, schema=schema).close()
        _templates[key] = url
    template = _templates[key]
    if kind != "sqlite":
        return server(kind).copy_url(template)
    url = fresh_url(kind)
    path = Path(url.removeprefix("sqlite:///"))
    path.parent.mkdir()
    shutil.copy(template.removeprefix("sqlite:///"), path)
    return url


_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """In the child: SIGKILL when the test process ends in whatever way, so that no server is left over."""
    _libc.prctl(1, signal.SIGKILL)
