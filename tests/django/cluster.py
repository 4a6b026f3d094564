"""A PostgreSQL cluster in a folder of its own, on a free port of 127.0.0.1."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import psycopg

__all__ = ["Cluster"]


def program(name: str) -> str:
    """Find a program of PostgreSQL on the PATH, or where Debian has it. Fail if there is none."""
    found = shutil.which(name)
    if found is None:
        installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
        assert installed, f"there is no {name}: apt-get install postgresql"
        found = str(installed[-1])
    return found


class Cluster:
    """One server process, whose user ``postgres`` everybody may be."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        # Not below pytest's folders, which are root's alone where the tests run as root.
        self._folder = Path(tempfile.mkdtemp(prefix="sseprog-postgresql-"))
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:  # which PostgreSQL refuses to be
            user = pwd.getpwnam("postgres")
            self._user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            os.chown(self._folder, user.pw_uid, user.pw_gid)
        self._run("initdb", "--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8")
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories="
        self._run("pg_ctl", "--wait", f"--options={options} -F", "start")

    def connect(self) -> psycopg.Connection[tuple[int]]:
        """Connect as the tests do, to look at the others."""
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user="postgres", dbname="postgres", autocommit=True
        )

    def connections(self, application: str) -> int:
        """Count the connections of an application."""
        counting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
        with self.connect() as connection:
            row = connection.execute(counting, [application]).fetchone()
        assert row is not None
        return row[0]

    def stop(self) -> None:
        """End the server, whoever is connected."""
        self._run("pg_ctl", "--wait", "--mode=immediate", "stop")
        shutil.rmtree(self._folder)

    def _run(self, name: str, *arguments: str) -> None:
        with tempfile.TemporaryFile("w+") as told:  # pg_ctl's server would keep a pipe open
            ran = subprocess.run(
                [program(name), "--pgdata", str(self._folder / "data"), *arguments],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=told,
                timeout=60,
                check=False,
                **self._user,
            )
            told.seek(0)
            assert ran.returncode == 0, told.read()
