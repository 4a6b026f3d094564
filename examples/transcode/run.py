"""Start two workers and two web servers; end all of them on Ctrl-C.

python run.py VIDEO [REDIS_URL] [PORT]
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

HERE = Path(__file__).parent
WAIT = 5.0  # seconds that a process has to end by itself


def main(video: str, redis: str = "redis://localhost:6379/0", port: str = "8001") -> None:
    """Run until somebody has had enough of it, or one of the processes ends."""
    if not Path(video).is_file():
        sys.exit(f"there is no file {video}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    ports = [int(port), int(port) + 1]
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "REDIS_URL": redis,
            "VIDEO": str(Path(video).resolve()),
            "FOLDER": folder,
        }
        worker = ["celery", "-A", "tasks", "worker", "--concurrency", "1", "--loglevel", "WARNING"]
        commands = [[*worker, "--hostname", f"{name}@%h"] for name in ("one", "two")]
        commands += [["uvicorn", "web:app", "--port", str(number)] for number in ports]
        # In sessions of their own, so that Ctrl-C is this program's to pass on.
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=HERE,
                env=environment,
                start_new_session=True,
            )
            for command in commands
        ]
        print(
            "http://127.0.0.1:{} and http://127.0.0.1:{}; Ctrl-C ends it".format(*ports), flush=True
        )
        try:
            while all(process.poll() is None for process in processes):
                time.sleep(0.2)
        except KeyboardInterrupt:
            pass
        finally:
            end(processes)


def end(processes: list["subprocess.Popen[bytes]"]) -> None:
    """Ask all processes to end, then tell the workers not to finish their tasks, then kill."""
    for asked in (signal.SIGTERM, signal.SIGQUIT, signal.SIGKILL):
        for process in processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, asked) if asked == signal.SIGKILL else process.send_signal(
                    asked
                )
        deadline = time.monotonic() + WAIT
        while any(process.poll() is None for process in processes):
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        else:
            return


if __name__ == "__main__":
    if len(sys.argv) not in {2, 3, 4}:
        sys.exit(__doc__)
    main(*sys.argv[1:])
