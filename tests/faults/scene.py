"""A whole installation, small: an emitter, two web processes, a fleet of clients, one broker."""

import http.client
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self

from sseprog.testing._server import free_port

from .client import HANG, Client, Fleet
from .invariants import differences

__all__ = ["HEARTBEAT", "LEASE", "Emitter", "Process", "Scene", "Web", "wait_until"]

HERE: Final = Path(__file__).parent
LEASE: Final = 3.0
HEARTBEAT: Final = 2.0
KEEP_ALIVE: Final = 5.0
"""Seconds after which uvicorn gives up a connection whose other end it never hears of."""
PATIENCE: Final = 30.0
"""Seconds until something that has to come counts as never coming."""

_COMPLAINTS: Final = re.compile(
    r"Traceback|Exception ignored|never retrieved|was destroyed but|never awaited|ResourceWarning"
)


def wait_until(holds: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Wait for what nobody announces."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


class Process:
    """A Python program of this folder, and its log."""

    def __init__(self, folder: Path, name: str, program: str, options: dict[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log_file = folder / f"{name}.log"
        self.program = program
        self.options = options
        self.cwd = folder
        self.start()

    def start(self) -> None:
        """Start it, again."""
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(HERE / self.program), json.dumps(self.options)],
                cwd=self.cwd,
                env={**os.environ, "PYTHONWARNINGS": "default::ResourceWarning"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    @property
    def complaints(self) -> list[str]:
        return [
            f"{self.log_file.name}: {line}"
            for line in self.log.splitlines()
            if _COMPLAINTS.search(line)
        ]

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it at once; a frozen one too."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


class Emitter(Process):
    """`emitter.py`, and what it has said."""

    def __init__(self, folder: Path, name: str, options: dict[str, Any]) -> None:
        self.began: set[str] = set()
        self.ended: dict[str, dict[str, Any]] = {}
        self._counts: queue.Queue[dict[str, Any]] = queue.Queue()
        super().__init__(folder, name, "emitter.py", options)
        self._reading = threading.Thread(target=self._read, name=f"reads {name}")
        self._reading.start()
        self.counts_before: dict[str, Any] = self._counts.get(timeout=PATIENCE)["counts"]

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            said = json.loads(line)
            if "began" in said:
                self.began.add(said["began"])
            elif "ended" in said:
                self.ended[said["ended"]] = said
            else:
                self._counts.put(said)

    def ask(self, what: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()

    def ask_counts(self, what: str) -> dict[str, Any]:
        """Ask for what it holds, at once or after it has closed its hubs."""
        self.ask(what)
        counts: dict[str, Any] = self._counts.get(timeout=PATIENCE)["counts"]
        return counts

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reading.join(PATIENCE)
        super().kill()


class Web(Process):
    """`web.py`."""

    def __init__(self, folder: Path, name: str, options: dict[str, Any]) -> None:
        self.port = options["port"]
        super().__init__(folder, name, "web.py", options)

    def get(self, path: str) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            body = connection.getresponse().read()
        finally:
            connection.close()
        return json.loads(body) if path != "/ping" else body

    def answers(self) -> bool:
        assert self.process.poll() is None, self.log
        try:
            return bool(self.get("/ping") == b"pong")
        except OSError:
            return False

    def wait(self) -> None:
        wait_until(self.answers, f"{self.log_file.name} answers")
        self.counts_before = self.get("/counts")


class Scene:
    """All of it, running: ``with Scene(url, folder) as scene: ...; scene.check()``.

    ``emitter_url`` and ``web_urls`` are other ways to the same broker. ``via``: what leads from
    clients to a web process's port.
    """

    def __init__(
        self,
        url: str,
        folder: Path,
        *,
        jobs: int = 6,
        streams: int = 72,
        rate: float = 25.0,
        seed: int = 1,
        emitter_url: str | None = None,
        web_urls: Sequence[str] = (),
        via: Callable[[int], int] = lambda port: port,
        lease: float = LEASE,
        settings: dict[str, Any] | None = None,
    ) -> None:
        self.folder = folder
        self.job_ids = [f"job-{seed}-{n}" for n in range(jobs)]
        self._settings = {"lease": lease, "heartbeat": HEARTBEAT, "retry": 0.3, **(settings or {})}
        self._options = {
            "url": emitter_url or url, "jobs": self.job_ids, "seed": seed, "rate": rate,
            "settings": self._settings,
        }  # fmt: skip
        self._web_urls = web_urls or (url, url)
        self._streams = streams
        self._via = via
        self.emitters: list[Emitter] = []
        self.webs: list[Web] = []
        self.fleet: Fleet
        self.lost_allowed = False
        self._slowest = 1.0

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self) -> None:
        for n, url in enumerate(self._web_urls):
            options = {"url": url, "port": free_port(), "settings": self._settings}
            self.webs.append(Web(self.folder, f"web-{n}", options))
        self.start_emitter()
        for web in self.webs:
            web.wait()
        self.wait_begun()
        ports = [self._via(web.port) for web in self.webs]
        self.fleet = Fleet(ports, self.job_ids, self._streams, heartbeat=HEARTBEAT)
        self.fleet.start()
        self.wait_news()
        self.fleet.fault_ends()

    def start_emitter(self, **changed: Any) -> Emitter:
        """Start an emitter, of the same jobs if nothing else is said."""
        options = {**self._options, **changed}
        emitter = Emitter(self.folder, f"emitter-{len(self.emitters)}", options)
        self.emitters.append(emitter)
        return emitter

    @property
    def emitter(self) -> Emitter:
        """The one that was started last."""
        return self.emitters[-1]

    def wait_begun(self) -> None:
        """Wait until the emitter works on all its jobs."""
        wait_until(
            lambda: len(self.emitter.began) == len(self.emitter.options["jobs"]), "all jobs begin"
        )

    def wait_news(self, seconds: float = PATIENCE) -> None:
        """Wait until each client has had three more events."""
        waiting = {client: client.witness.events for client in self.fleet.clients}

        def all_have() -> bool:
            for client, events in list(waiting.items()):
                if client.witness.events >= events + 3 or client.witness.ended:
                    del waiting[client]
            return not waiting

        self._wait_for_clients(all_have, "every client has news", seconds, waiting)

    @contextmanager
    def emitter_frozen(self) -> Iterator[None]:
        """Let the emitter stand still, be it in the middle of an update()."""
        began = time.monotonic()
        self.emitter.send(signal.SIGSTOP)
        try:
            yield
        finally:
            self.emitter.send(signal.SIGCONT)
            self._slowest += time.monotonic() - began

    def fault_begins(self) -> None:
        self.fleet.fault_begins()

    def fault_ends(self) -> None:
        """Note that nothing is broken any more; wait until all clients have seen that."""
        self.fleet.fault_ends()
        self.wait_news(HANG + 5)

    def go_on(self) -> None:
        """See that all is as it was before the fault, come to the end, and look at everything."""
        self.fault_ends()
        self.finish()
        self.check()
        self.check_leftovers()

    def finish(self) -> None:
        """Have the jobs end, and wait until every client has seen that."""
        self.emitter.ask("finish")
        wait_until(
            lambda: self.emitter.ended.keys() >= set(self.emitter.options["jobs"]),
            f"all jobs end; {self.fleet.met}",
        )
        self.wait_clients()

    def wait_clients(self, seconds: float = PATIENCE) -> None:
        """Wait until each client has seen the end, and come back to be told that it was that."""
        self._wait_for_clients(
            lambda: not self.fleet.left, "every client has seen the end", seconds, None
        )

    def _wait_for_clients(
        self,
        holds: Callable[[], bool],
        what: str,
        seconds: float,
        waiting: dict[Client, int] | None,
    ) -> None:
        try:
            wait_until(holds, what, seconds)
        except AssertionError as error:
            left = self.fleet.left if waiting is None else list(waiting)
            shown = "\n".join(client.story for client in left[:5])
            for process in (self.emitter, *self.webs):
                with suppress(ProcessLookupError):
                    process.send(signal.SIGUSR1)
            time.sleep(0.5)  # for their logs
            raise AssertionError(f"{error}: {len(left)} have not\n{shown}\n{self.story}") from None

    def truths(self) -> dict[str, dict[str, Any]]:
        """How each job has ended, by its emitter's own word."""
        truths = {}
        for emitter in self.emitters:
            for job_id, said in emitter.ended.items():
                if not said["raised"]:
                    truths[job_id] = said["state"]
        return truths

    def check(self) -> None:
        """Hold everything against the invariants, after the end."""
        wrong = [*self.fleet.complaints]
        truths = self.truths()
        for client in self.fleet.clients:
            witness = client.witness
            if witness.job_id in truths and witness.final:
                false = differences(json.loads(witness.final), truths[witness.job_id])
                if false:
                    wrong.append(f"{witness.job_id} did not end like that: {'; '.join(false)}")
        for emitter in self.emitters:
            for job_id, said in emitter.ended.items():
                if said["slowest"] > self._slowest:
                    wrong.append(f"{job_id}: update() took {said['slowest']:.1f} s")
                if said["raised"] and not self.lost_allowed:
                    wrong.append(f"{job_id}: raised {said['raised']}")
        for process in (*self.emitters, *self.webs):
            wrong += process.complaints
        shown = "\n".join(dict.fromkeys(wrong[:12]))
        assert not wrong, f"{len(wrong)} complaints:\n{shown}\n{self.story}"

    def check_leftovers(self) -> None:
        """Close all hubs, and look at what they leave behind."""
        wrong = []
        for web in self.webs:
            wait_until(lambda web=web: web.get("/counts")["streams"] == 0, "no stream is left", 5)
            web.get("/close")
            wrong += _left(web.log_file.name, web.counts_before, lambda web=web: web.get("/counts"))
        for emitter in self.emitters:
            if emitter.process.poll() is None:
                emitter.ask_counts("close")
                wrong += _left(
                    emitter.log_file.name,
                    emitter.counts_before,
                    lambda emitter=emitter: emitter.ask_counts("counts"),
                )
        assert wrong == [], "\n".join([*wrong, self.story])

    @property
    def story(self) -> str:
        """What is to be known of a failure."""
        clients = self.fleet.clients
        logs = "\n".join(
            f"--- {process.log_file.name}\n{process.log[-8000:]}"
            for process in (*self.emitters, *self.webs)
        )
        return (
            f"jobs ended: { {j: s['raised'] for e in self.emitters for j, s in e.ended.items()} }; "
            f"clients met {dict(self.fleet.met)}; {self.fleet.events} events, "
            f"{sum(client.connections for client in clients)} connections, "
            f"{sum(client.witness.epochs for client in clients)} epochs, "
            f"{sum(client.witness.retold for client in clients)} retold\n{logs}"
        )

    def __exit__(self, *_: object) -> None:
        if hasattr(self, "fleet"):
            self.fleet.stop()
        for process in (*self.emitters, *self.webs):
            process.kill()


def _left(name: str, before: dict[str, Any], count: Callable[[], dict[str, Any]]) -> list[str]:
    """Say what a process still holds, some seconds after it was to let go of it."""
    wrong: list[str] = []

    def clean() -> bool:
        after = count()
        wrong[:] = [f"{name}: {n} is left" for n in after["threads"] if n.startswith("sseprog")]
        for what in ("files", "tasks"):
            if after.get(what, 0) > before.get(what, 0):
                wrong.extend([f"{name}: {after[what]} {what} are left of {before[what]}"])
        return not wrong

    with suppress(AssertionError):
        wait_until(clean, "nothing is left", KEEP_ALIVE + 3)
    return wrong
