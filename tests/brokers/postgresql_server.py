"""A PostgreSQL server in a folder of its own, and a PgBouncer before it, on free ports."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from sseprog.testing._server import free_port

__all__ = ["PgBouncer", "PostgreSQL"]


def program(name: str) -> str:
    """Find a program on the PATH, or where Debian has it. Fail if there is none."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if found is None:
        installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
        assert installed, f"there is no {name}: apt-get install postgresql pgbouncer"
        found = str(installed[-1])
    return found


class _Folder:
    """Where a program keeps its things, and as whom it runs: both refuse to be root."""

    def __init__(self) -> None:
        # Not below pytest's folders, which are root's alone where the tests run as root.
        self.path = Path(tempfile.mkdtemp(prefix="sseprog-postgresql-"))
        self.runs_as: dict[str, Any] = {"cwd": self.path, "stdin": subprocess.DEVNULL}
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            self.runs_as |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            os.chown(self.path, user.pw_uid, user.pw_gid)

    def remove(self) -> None:
        shutil.rmtree(self.path)


class PostgreSQL:
    """One server, whose user ``postgres`` everybody may be."""

    def __init__(self) -> None:
        self.port = free_port()
        self._folder = _Folder()
        self._run("initdb", "--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8")
        self.start()

    @property
    def url(self) -> str:
        return f"postgresql://postgres:secret@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories="
        self._run("pg_ctl", "--wait", f"--options={options} -F", "start")

    def stop(self) -> None:
        """End the server, whoever is connected."""
        self._run("pg_ctl", "--wait", "--mode=immediate", "stop")

    def remove(self) -> None:
        self.stop()
        self._folder.remove()

    def execute(self, statement: LiteralString, table: str = "") -> list[tuple[Any, ...]]:
        """Look at what stores do, or disturb them; ``{jobs}`` and ``{events}`` are their tables."""
        names = {name: sql.Identifier(f"{table}_{name}") for name in ("jobs", "events")}
        with psycopg.connect(self.url, autocommit=True, application_name="a test") as connection:
            cursor = connection.execute(sql.SQL(statement).format(**names))
            return cursor.fetchall() if cursor.description else []

    def connections(self, database: str) -> int:
        """Count the connections of stores to a database."""
        counting: LiteralString = (
            "SELECT datname FROM pg_stat_activity WHERE application_name = 'sseprog'"
        )
        return self.execute(counting).count((database,))

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Let it be mute: its processes stand still, its sockets stay open."""
        pid_file = self._folder.path / "data" / "postmaster.pid"
        parent = int(pid_file.read_text().split()[0])
        told = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(parent)], capture_output=True, text=True, check=True
        )
        pids = [parent, *map(int, told.stdout.split())]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def _run(self, name: str, *arguments: str) -> None:
        with tempfile.TemporaryFile("w+") as told:  # pg_ctl's server would keep a pipe open
            ran = subprocess.run(
                [program(name), "--pgdata", str(self._folder.path / "data"), *arguments],
                stdout=told,
                stderr=told,
                timeout=60,
                check=False,
                **self._folder.runs_as,
            )
            told.seek(0)
            assert ran.returncode == 0, told.read()


class PgBouncer:
    """A PgBouncer that hands out the server's sessions for a transaction at a time."""

    def __init__(self, server: PostgreSQL) -> None:
        self.port = free_port()
        self._folder = _Folder()
        settings = self._folder.path / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\npostgres = host=127.0.0.1 port={server.port} user=postgres\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.port}\n"
            "unix_socket_dir =\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 3\n"
        )
        self._log = (self._folder.path / "log").open("w+")
        self._process = subprocess.Popen(
            [program("pgbouncer"), str(settings)],
            stdout=self._log,
            stderr=self._log,
            **self._folder.runs_as,
        )
        deadline = time.monotonic() + 10
        while not self._answers():
            assert self._process.poll() is None, self._said()
            assert time.monotonic() < deadline, self._said()
            time.sleep(0.02)

    @property
    def url(self) -> str:
        return f"postgresql://postgres:secret@127.0.0.1:{self.port}/postgres"

    def remove(self) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()
        self._folder.remove()

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url).close()
        except psycopg.OperationalError:
            return False
        return True

    def _said(self) -> str:
        self._log.seek(0)
        return self._log.read()
