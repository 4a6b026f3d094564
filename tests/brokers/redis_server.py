"""Real Redis servers for tests: alone, over TLS or a Unix socket, in a Cluster, under Sentinels."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import redis

from sseprog.testing._server import free_port

QUIET = ("--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--daemonize", "no")


BUS = 10_000  # above its port is where a node of a Cluster talks to the others


def wait_until(condition: Callable[[], object], what: str, seconds: float = 20) -> None:
    """Wait until something holds that nobody announces; an error means that it doesn't yet."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except (redis.RedisError, OSError):
            pass
        assert time.monotonic() < deadline, f"{what}: it never came true"
        time.sleep(0.01)


class RedisServer:
    """A process of redis-server, in a folder of its own."""

    def __init__(
        self, folder: Path, *options: str, port: int | None = None, program: str = ""
    ) -> None:
        self.folder = folder
        self.port = free_port() if port is None else port
        self.process: subprocess.Popen[bytes] | None = None
        self._options = options
        self._program = program or "redis-server"
        self._clients: list[redis.Redis] = []
        self.connecting: dict[str, Any] = {}
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self) -> "RedisServer":
        port = () if "--tls-port" in self._options else ("--port", str(self.port))
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self._program, *self._config(), *port, *self._options],
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )
        wait_until(self._answers, f"redis-server on port {self.port} starts")
        return self

    def _config(self) -> tuple[str, ...]:
        return (*QUIET, "--dir", str(self.folder))

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "log").read_text()
        with self.client() as client:
            return bool(client.ping())

    def client(self) -> redis.Redis:
        """Return a client for the test's own questions."""
        options = {"host": "127.0.0.1", "port": self.port, **self.connecting}
        return redis.Redis(**options, client_name="test", socket_timeout=5)

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End it at once, as a power cut does; a frozen one too."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None


@contextmanager
def server(folder: Path, *options: str, **connecting: Any) -> Iterator[RedisServer]:
    """A server; ``connecting`` is what a client needs to reach it."""
    running = RedisServer(folder, *options)
    running.connecting = connecting
    try:
        yield running.start()
    finally:
        running.kill()


@contextmanager
def tls_server(folder: Path) -> Iterator[tuple[RedisServer, Path]]:
    """A server that speaks TLS only, and the certificate to trust."""
    folder.mkdir(parents=True, exist_ok=True)
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        f"-keyout {key} -out {certificate} -subj /CN=localhost "
        "-addext subjectAltName=DNS:localhost,IP:127.0.0.1".split(),
        check=True,
        capture_output=True,
        timeout=30,
    )
    port = free_port()
    running = RedisServer(
        folder, "--port", "0", "--tls-port", str(port), "--tls-cert-file", str(certificate),
        "--tls-key-file", str(key), "--tls-ca-cert-file", str(certificate),
        "--tls-auth-clients", "no", port=port,
    )  # fmt: skip
    running.connecting = {"ssl": True, "ssl_ca_certs": str(certificate)}
    try:
        yield running.start(), certificate
    finally:
        running.kill()


@contextmanager
def cluster(folder: Path, *options: str, count: int = 3) -> Iterator[list[RedisServer]]:
    """A Cluster whose slots are all served."""
    with ExitStack() as stack:
        nodes = []
        for number in range(count):
            port = free_port(BUS)
            node = RedisServer(
                folder / str(number), "--cluster-enabled", "yes",
                "--cluster-node-timeout", "2000", *options, port=port,
            )  # fmt: skip
            stack.callback(node.kill)
            nodes.append(node.start())
        subprocess.run(
            ["redis-cli", "--cluster", "create", *(f"127.0.0.1:{node.port}" for node in nodes),
             "--cluster-yes"],
            check=True, capture_output=True, timeout=60,
        )  # fmt: skip
        for node in nodes:
            wait_until(lambda node=node: _is_whole(node, count), "the Cluster is whole")
        yield nodes


def _is_whole(node: RedisServer, count: int) -> bool:
    with node.client() as client:
        is_up = b"cluster_state:ok" in client.execute_command("CLUSTER", "INFO")
        return is_up and len(client.execute_command("CLUSTER", "SLOTS")) >= count


class Sentinels:
    """A master, its replica, and three Sentinels that watch over both."""

    service = "mymaster"

    def __init__(self, master: RedisServer, replica: RedisServer, sentinels: list[RedisServer]):
        self.master = master
        self.replica = replica
        self.sentinels = sentinels

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{self.service}"

    def master_port(self) -> int:
        with self.sentinels[0].client() as client:
            found = client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.service)
            return int(found[1])

    def fail_over(self) -> None:
        """Kill the master, and wait until the Sentinels have made the replica one."""
        self.master.kill()
        wait_until(lambda: self.master_port() == self.replica.port, "the failover", 30)
        with self.replica.client() as client:
            wait_until(lambda: client.execute_command("ROLE")[0] == b"master", "the promotion")


class _Sentinel(RedisServer):
    def __init__(self, folder: Path, master: RedisServer) -> None:
        super().__init__(folder)
        config = folder / "sentinel.conf"
        config.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {folder}\n"
            f"sentinel monitor {Sentinels.service} 127.0.0.1 {master.port} 2\n"
            f"sentinel down-after-milliseconds {Sentinels.service} 700\n"
            f"sentinel failover-timeout {Sentinels.service} 5000\n"
        )
        self._file = config

    def _config(self) -> tuple[str, ...]:
        return (str(self._file), "--sentinel")


@contextmanager
def sentinels(folder: Path) -> Iterator[Sentinels]:
    """Servers with Sentinels that know of all of them."""
    with ExitStack() as stack:
        master = RedisServer(folder / "master", "--repl-diskless-sync-delay", "0")
        stack.callback(master.kill)
        master.start()
        replica = RedisServer(folder / "replica", "--replicaof", "127.0.0.1", str(master.port))
        stack.callback(replica.kill)
        replica.start()
        with replica.client() as client:
            wait_until(lambda: client.execute_command("ROLE")[3] == b"connected", "replication")
        watching = []
        for number in range(3):
            sentinel = _Sentinel(folder / f"sentinel-{number}", master)
            stack.callback(sentinel.kill)
            watching.append(sentinel.start())
        for sentinel in watching:
            with sentinel.client() as client:

                def knows(client: redis.Redis = client) -> bool:
                    flat = client.execute_command("SENTINEL", "MASTER", Sentinels.service)
                    found = (
                        flat
                        if isinstance(flat, dict)
                        else dict(zip(flat[::2], flat[1::2], strict=True))
                    )
                    text = {str(_plain(k)): str(_plain(v)) for k, v in found.items()}
                    return (text["num-other-sentinels"], text["num-slaves"]) == ("2", "1")

                wait_until(knows, "the Sentinels know each other", 30)
        yield Sentinels(master, replica, watching)


def _plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value
