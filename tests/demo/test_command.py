"""What ``sseprog demo`` prints, what it leaves, and how it ends."""

import contextlib
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from .conftest import Eventually, StartDemo
from .demo_process import COMMAND, DemoProcess, Witness, environment, tracebacks

JOB = r"^job ([\w-]{22}) (http://127\.0\.0\.1:\d+/jobs/\1/stream)$"


def ffprobe(path: Path) -> dict[str, Any]:
    command = ["ffprobe", "-v", "error", "-show_format", "-show_streams", "-of", "json", path]
    found: dict[str, Any] = json.loads(subprocess.check_output(command))
    return found


def is_encoding(demo: DemoProcess, http: httpx.Client, job_id: str) -> bool:
    job = http.get(f"{demo.url}jobs/{job_id}").json()
    return job["stage"].startswith("transcoding") and bool(job["details"]["size"])


def test_a_video_becomes_a_stream_with_everything_beside_it(
    start_demo: StartDemo, clip: Path, tmp_path: Path, http: httpx.Client
) -> None:
    demo = start_demo(clip, "--output", tmp_path / "made" / "here")
    job = demo.line(JOB)
    demo.line("^holiday.mp4: completed$")

    assert demo.lines[0] == job[0]
    stages = [line.removeprefix("holiday.mp4: ") for line in demo.lines if "holiday.mp4: " in line]
    every = ["probing", "transcoding 180p", "packaging", "thumbnails", "verifying", "completed"]
    assert stages == every[-len(stages) :], "the first may be over before there is a stream"
    assert len(stages) > 2
    made = tmp_path / "made" / "here" / job[1]
    assert demo.output == made.parent
    files = sorted(str(path.relative_to(made)) for path in made.rglob("*") if path.is_file())
    assert files == [
        *("180p/00000.ts", "180p/00001.ts", "180p/index.m3u8"),
        *("master.m3u8", "poster.jpg", "thumbnails.jpg", "thumbnails.vtt", "video.mp4"),
    ]
    for name in "master.m3u8", "video.mp4":
        found = ffprobe(made / name)
        assert abs(float(found["format"]["duration"]) - 6) < 0.2
        assert {stream["codec_name"] for stream in found["streams"]} == {"h264", "aac"}
    snapshot = http.get(job[2].removesuffix("/stream")).json()
    assert snapshot["status"] == "completed"
    assert snapshot["progress"] == 100
    assert set(snapshot["details"]["files"]) <= set(files)

    assert demo.end() == 0
    assert sorted(os.listdir(made.parent)) == [job[1]], "uploads or work were left"
    assert clip.exists()
    assert os.listdir(demo.temporary) == []
    assert demo.errors == []


def test_every_line_before_the_first_stage_says_something_useful(
    start_demo: StartDemo, clip: Path
) -> None:
    demo = start_demo(clip)
    demo.line("^holiday.mp4: ")

    assert re.match(JOB, demo.lines[0])
    assert demo.lines[1] == f"The demo is at http://127.0.0.1:{demo.port}/"
    assert demo.lines[2] == (
        f"Finished files are removed at the end; until then they are in {demo.output}"
    )
    assert demo.lines[3] == "Ctrl-C ends it."
    assert demo.output.parent == demo.temporary


def test_a_video_that_is_none_is_told_in_one_line_and_the_demo_goes_on(
    start_demo: StartDemo, tmp_path: Path, http: httpx.Client
) -> None:
    notes = tmp_path / "notes.mp4"
    notes.write_text("Milk, eggs.\n" * 100)
    demo = start_demo(notes)
    demo.line(r"^notes.mp4: failed The file is not a video that can be read, or it is damaged\.$")

    assert http.get(demo.url).status_code == 200
    assert demo.process.poll() is None


# Make the terminal on stdin the controlling one, from which Ctrl-C comes; a session has none yet.
IN_ITS_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Terminal:
    """A terminal of 100 x 30 in which a demo runs; what it draws is collected."""

    def __init__(self, *arguments: str | Path, temporary: Path) -> None:
        self._ours, theirs = pty.openpty()
        surroundings = environment(temporary) | {
            "TERM": "xterm-256color",
            "COLUMNS": "100",
            "LINES": "30",
        }
        demo = (COMMAND, "demo", *arguments, "--no-browser", "--port", "0")
        self.process = subprocess.Popen(
            [sys.executable, "-c", IN_ITS_TERMINAL, *demo],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=surroundings,
            start_new_session=True,
        )
        os.close(theirs)
        self.drawn = ""

    def read_until(self, words: str, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while words not in self.drawn:
            left = deadline - time.monotonic()
            assert left > 0, f"{words!r} was not drawn: {self.drawn[-2000:]!r}"
            assert self._read(left), f"it ended without {words!r}: {self.drawn[-2000:]!r}"

    def read_to_the_end(self) -> int:
        deadline = time.monotonic() + 10
        while self._read(deadline - time.monotonic()):
            assert time.monotonic() < deadline, "it did not end"
        return self.process.wait(5)

    def type(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def _read(self, seconds: float) -> bool:
        if not select.select([self._ours], [], [], max(0.0, seconds))[0]:
            return True
        try:
            data = os.read(self._ours, 65536)
        except OSError:  # how Linux says that nobody has the other side any more
            return False
        self.drawn += data.decode()
        return bool(data)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)


@pytest.fixture
def terminals(temporary: Path) -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()


def test_in_a_terminal_every_stage_is_drawn_and_ticked_off(
    terminals: list[Terminal], clip: Path, temporary: Path
) -> None:
    terminal = Terminal(clip, temporary=temporary)
    terminals.append(terminal)
    terminal.read_until("✓ completed")
    terminal.type(b"\x03")

    assert terminal.read_to_the_end() == 0
    assert re.match(JOB.removesuffix("$"), terminal.drawn), "the job's line comes first"
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.drawn)
    last = text[text.rindex("holiday.mp4") :]
    for stage in "probing", "transcoding 180p", "packaging", "thumbnails", "verifying":
        assert re.search(rf"✓ *{stage}", last)
    assert "%" in text
    assert "Traceback" not in text
    assert terminal.drawn.count("\x1b[?25l") == terminal.drawn.count("\x1b[?25h") == 1


def test_ctrl_c_in_the_middle_gives_the_terminal_back(
    terminals: list[Terminal], long_clip: Path, temporary: Path
) -> None:
    terminal = Terminal(long_clip, temporary=temporary)
    terminals.append(terminal)
    terminal.read_until("times real time")
    terminal.type(b"\x03")

    assert terminal.read_to_the_end() == 0
    assert terminal.drawn.rindex("\x1b[?25h") > terminal.drawn.rindex("\x1b[?25l")
    assert "Traceback" not in terminal.drawn
    assert os.listdir(temporary) == []


@pytest.mark.parametrize(
    "number",
    [signal.SIGTERM, signal.SIGINT, signal.SIGHUP],
    ids=lambda number: number.name,
)
def test_a_signal_ends_it_with_open_streams_and_a_running_ffmpeg(
    start_demo: StartDemo,
    long_clip: Path,
    http: httpx.Client,
    eventually: Eventually,
    number: signal.Signals,
) -> None:
    demo = start_demo(long_clip)
    job = demo.line(JOB)
    eventually(lambda: is_encoding(demo, http, job[1]))
    ask = f"GET /jobs/{job[1]}/stream HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        witness = stack.enter_context(Witness(demo.ffmpegs()))
        for _ in range(5):
            stream = stack.enter_context(socket.create_connection(("127.0.0.1", demo.port)))
            stream.sendall(ask)
            assert stream.recv(4096).startswith(b"HTTP/1.1 200")

        assert demo.end(number, seconds=5) == 0
        assert witness.all_gone(0)
    assert os.listdir(demo.temporary) == []
    assert demo.errors == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_ends_it_in_the_middle_of_an_upload_and_of_a_download(
    start_demo: StartDemo,
    clip: Path,
    tmp_path: Path,
    eventually: Eventually,
    number: signal.Signals,
) -> None:
    demo = start_demo(clip, "--output", tmp_path / "made")
    job = demo.line(JOB)
    demo.line("completed")
    # A file with more in it than all buffers take.
    big = demo.output / job[1] / "video.mp4"
    os.truncate(big, 64_000_000)
    with (
        socket.create_connection(("127.0.0.1", demo.port)) as sending,
        socket.create_connection(("127.0.0.1", demo.port)) as receiving,
    ):
        sending.sendall(
            b"POST /api/videos?ladder=360 HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Length: 1000000\r\n\r\n" + bytes(5000)
        )
        receiving.sendall(
            f"GET /media/{job[1]}/video.mp4 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        )
        assert receiving.recv(100).startswith(b"HTTP/1.1 200")
        eventually(lambda: os.listdir(demo.output / ".uploads"))

        assert demo.end(number, seconds=5) == 0
    assert os.listdir(demo.output) == [job[1]]
    assert not tracebacks(demo)


def test_jobs_that_wait_do_not_keep_it_from_ending(
    start_demo: StartDemo, long_clip: Path, http: httpx.Client
) -> None:
    demo = start_demo(long_clip, "--workers", 1)
    demo.line("transcoding")
    for _ in range(3):
        http.post(f"{demo.url}api/test-clips?ladder=360").raise_for_status()

    assert demo.end(seconds=5) == 0
    assert os.listdir(demo.temporary) == []


def test_a_demo_that_is_killed_takes_its_ffmpeg_with_it(
    start_demo: StartDemo, long_clip: Path, http: httpx.Client, eventually: Eventually
) -> None:
    demo = start_demo(long_clip)
    job = demo.line(JOB)
    eventually(lambda: is_encoding(demo, http, job[1]))
    ffmpegs = demo.ffmpegs()
    assert len(ffmpegs) == 1
    with Witness(ffmpegs) as witness:
        assert demo.end(signal.SIGKILL) == -signal.SIGKILL
        assert witness.all_gone(5), "ffmpeg ran on"


def refused(*arguments: object, temporary: Path) -> str:
    """Run a demo that can't start; return the sentence that it says."""
    done = subprocess.run(
        [COMMAND, "demo", "--no-browser", *map(str, arguments)],
        env=environment(temporary),
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert os.listdir(temporary) == []
    return done.stderr


def test_a_port_that_is_taken_is_said_in_one_sentence(temporary: Path, clip: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = refused(clip, "--port", port, temporary=temporary)

    assert said == (
        f"sseprog: can't listen on 127.0.0.1, port {port} (Address already in use); "
        "--port takes another\n"
    )


@pytest.mark.parametrize("host", ["nowhere.invalid", "192.0.2.1"])
def test_a_host_that_is_not_here_is_said_in_one_sentence(temporary: Path, host: str) -> None:
    said = refused("--host", host, "--port", 0, temporary=temporary)

    assert re.fullmatch(rf"sseprog: can't listen on {host}, port 0 \([^()\n]+\); .*\n", said)


@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_a_video_that_is_not_there_is_said_in_one_sentence(
    temporary: Path, tmp_path: Path, kind: str
) -> None:
    video = tmp_path / "film.mp4"
    if kind == "folder":
        video.mkdir()

    assert refused(video, "--port", 0, temporary=temporary) == (f"sseprog: {video} is not a file\n")


@pytest.mark.parametrize("kind", ["file", "below a file", "not for files"])
def test_an_output_that_cannot_be_written_is_said_in_one_sentence(
    temporary: Path, clip: Path, kind: str
) -> None:
    # /proc takes no file from anybody; permissions would mean nothing to root.
    output = {"file": clip, "below a file": clip / "made", "not for files": Path("/proc/self")}
    said = refused("--output", output[kind], "--port", 0, temporary=temporary)

    assert re.fullmatch(rf"sseprog: can't write to {re.escape(str(output[kind]))}: .+\n", said)


@pytest.mark.parametrize(
    "words", [["--port", "65536"], ["--port", "-1"], ["--port", "http"], ["--workers", "0"]]
)
def test_a_number_that_cannot_be_is_refused_by_its_option(
    temporary: Path, words: list[str]
) -> None:
    *usage, sentence = refused(*words, temporary=temporary).splitlines()

    assert usage[0].startswith("usage: sseprog demo")
    assert words[0] in sentence
    assert words[1] in sentence


def test_it_listens_where_it_is_told_to_and_nowhere_else(
    start_demo: StartDemo, http: httpx.Client
) -> None:
    demo = start_demo("--host", "::1")

    assert demo.url == f"http://[::1]:{demo.port}/"
    assert http.get(demo.url).status_code == 200
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", demo.port))


def test_who_opens_it_to_others_is_told_so(start_demo: StartDemo, http: httpx.Client) -> None:
    demo = start_demo("--host", "0.0.0.0")  # noqa: S104

    assert demo.url == f"http://localhost:{demo.port}/"
    demo.line("^Whoever can reach 0.0.0.0 can watch, and send videos.$")
    other_name = {"Host": "studio.example"}
    assert http.get(f"{demo.url}api/videos", headers=other_name).status_code == 200


def test_a_demo_comes_back_on_its_port_at_once(start_demo: StartDemo, http: httpx.Client) -> None:
    first = start_demo()
    assert http.get(first.url).status_code == 200
    port = first.port
    assert first.end() == 0
    second = start_demo(port=port)

    assert second.url == first.url
    assert http.get(second.url).status_code == 200
