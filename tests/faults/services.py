"""Real brokers, each in a folder of its own on free ports, and what breaks them."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import psycopg
import redis
from psycopg import sql

from sseprog.testing._server import free_port

from .scene import wait_until

__all__ = [
    "PERSISTENCE",
    "PostgreSQL",
    "Redis",
    "Sentinels",
    "cluster",
    "postgresql",
    "redis_server",
    "repeat",
    "sentinels",
]

PERSISTENCE: Final = {
    "none": ("--save", "", "--appendonly", "no"),
    "rdb": ("--save", "1 1", "--appendonly", "no"),
    "aof-everysec": ("--save", "", "--appendonly", "yes", "--appendfsync", "everysec"),
    "aof-always": ("--save", "", "--appendonly", "yes", "--appendfsync", "always"),
}


class Redis:
    """A redis-server."""

    def __init__(self, folder: Path, *options: str, port: int | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port() if port is None else port
        self._options = options
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> "Redis":
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                ["redis-server", *self._program_options()],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_until(self._answers, f"redis-server on port {self.port} answers")
        return self

    def _program_options(self) -> Sequence[str]:
        return (
            "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder),
            "--repl-diskless-sync-delay", "0", *(self._options or PERSISTENCE["none"]),
        )  # fmt: skip

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "log").read_text()
        with suppress(redis.RedisError):
            return bool(self.ask("PING"))
        return False

    def ask(self, *command: Any) -> Any:
        with redis.Redis(port=self.port, socket_timeout=20, client_name="test") as client:
            return client.execute_command(*command)

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextmanager
def redis_server(folder: Path, *options: str) -> Iterator[Redis]:
    server = Redis(folder, *options)
    try:
        yield server.start()
    finally:
        server.kill()


class _Sentinel(Redis):
    def __init__(self, folder: Path, master: Redis) -> None:
        super().__init__(folder)
        (folder / "sentinel.conf").write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {folder}\n"
            f"sentinel monitor main 127.0.0.1 {master.port} 2\n"
            "sentinel down-after-milliseconds main 700\n"
            "sentinel failover-timeout main 4000\n"
        )

    def _program_options(self) -> Sequence[str]:
        return (str(self.folder / "sentinel.conf"), "--sentinel")


class Sentinels:
    """A master, a replica, and three who watch them."""

    def __init__(self, master: Redis, replica: Redis, watching: Sequence[Redis]) -> None:
        self.master = master
        self.replica = replica
        self.watching = watching

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.watching)
        return f"redis+sentinel://{hosts}/main"


@contextmanager
def sentinels(folder: Path) -> Iterator[Sentinels]:
    with ExitStack() as stack:

        def run(server: Redis) -> Redis:
            stack.callback(server.kill)
            return server.start()

        master = run(Redis(folder / "master"))
        replica = run(Redis(folder / "replica", *PERSISTENCE["none"], "--replicaof", "127.0.0.1",
                            str(master.port)))  # fmt: skip
        wait_until(lambda: replica.ask("ROLE")[3] == b"connected", "the replica follows")
        watching = [run(_Sentinel(folder / f"sentinel-{n}", master)) for n in range(3)]

        def complete() -> bool:
            # Each knows of the others, and of the replica, from the master's own words.
            return all(
                len(sentinel.ask("SENTINEL", "SENTINELS", "main")) == 2
                and len(sentinel.ask("SENTINEL", "REPLICAS", "main")) == 1
                for sentinel in watching
            )

        wait_until(complete, "the Sentinels know each other")
        yield Sentinels(master, replica, watching)


@contextmanager
def cluster(folder: Path) -> Iterator[list[Redis]]:
    """Three masters, each with a replica."""
    with ExitStack() as stack:
        nodes = []
        for n in range(6):
            node = Redis(
                folder / str(n), *PERSISTENCE["none"], "--cluster-enabled", "yes",
                "--cluster-node-timeout", "1000", port=free_port(10_000),
            )  # fmt: skip
            stack.callback(node.kill)
            nodes.append(node.start())
        hosts = [f"127.0.0.1:{node.port}" for node in nodes]
        command = ["redis-cli", "--cluster", "create", *hosts, "--cluster-replicas", "1"]
        subprocess.run([*command, "--cluster-yes"], check=True, capture_output=True, timeout=60)
        for node in nodes:
            wait_until(lambda node=node: _is_whole(node, len(nodes)), "the Cluster is whole")
        yield nodes


def _is_whole(node: Redis, count: int) -> bool:
    told = node.ask("CLUSTER INFO")
    state = told["cluster_state"] if isinstance(told, dict) else told.decode()
    slots = node.ask("CLUSTER SLOTS")
    served = sum(len(rest) for _first, _last, *rest in slots) if isinstance(slots, list) else count
    return "ok" in state and served == count and _has_master(node)


def _has_master(node: Redis) -> bool:
    role, *rest = node.ask("ROLE")
    return bool(role == b"master" or rest[2] == b"connected")


class PostgreSQL:
    """A server whose user ``postgres`` everybody may be."""

    def __init__(self) -> None:
        # Not below pytest's folders, which are root's alone where the tests run as root.
        self._folder = Path(tempfile.mkdtemp(prefix="sseprog-faults-"))
        self._as: dict[str, Any] = {"cwd": self._folder}
        if os.geteuid() == 0:  # it refuses to be root
            user = pwd.getpwnam("postgres")
            self._as |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            os.chown(self._folder, user.pw_uid, user.pw_gid)
        self.port = free_port()
        self._run("initdb", "--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8")
        self.start()

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    @property
    def pids(self) -> list[int]:
        """Its processes, the parent first."""
        file = self._folder / "data" / "postmaster.pid"
        parent = int(file.read_text().splitlines()[0])
        told = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(parent)], capture_output=True, text=True, check=True
        )
        return [parent, *map(int, told.stdout.split())]

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories="
        self._run("pg_ctl", "--wait", f"--options={options}", "start")

    def stop(self, mode: str) -> None:
        self._run("pg_ctl", "--wait", f"--mode={mode}", "stop")

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let it be mute: its processes stand still, its sockets stay open."""
        pids = self.pids
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def cut_all(self) -> int:
        """End every session but the one that says so; return how many."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            found = connection.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            ).fetchone()
        assert found is not None
        return int(found[0])

    def set(self, name: str, value: str) -> None:
        """Change a setting, for every session."""
        statement = sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), value)
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)
            connection.execute("SELECT pg_reload_conf()")

    def remove(self) -> None:
        with suppress(AssertionError):  # it is not running
            self.stop("immediate")
        shutil.rmtree(self._folder)

    def _run(self, name: str, *arguments: str) -> None:
        with tempfile.TemporaryFile("w+") as told:  # the server would keep a pipe open
            ran = subprocess.run(
                [_program(name), "--pgdata", str(self._folder / "data"), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=told,
                timeout=60,
                check=False,
                **self._as,
            )
            told.seek(0)
            assert ran.returncode == 0, told.read()


def _program(name: str) -> str:
    """Find a program of PostgreSQL's on the PATH, or where Debian has it."""
    found = shutil.which(name)
    if found is None:
        installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
        assert installed, f"there is no {name}: install postgresql"
        found = str(installed[-1])
    return found


@contextmanager
def postgresql() -> Iterator[PostgreSQL]:
    server = PostgreSQL()
    try:
        yield server
    finally:
        server.remove()


def repeat(what: Callable[[], object], times: int, every: float) -> None:
    """Break the same thing again and again."""
    for _ in range(times):
        what()
        time.sleep(every)
