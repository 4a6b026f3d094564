"""What comes in: videos as raw bodies, and all that only pretends to be one."""

import os
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from .conftest import Eventually, Serve, StartDemo
from .demo_process import DemoProcess

LIMIT = 300_000


def talk(port: int, *parts: bytes) -> bytes:
    """Send parts and return the answer, to the end of the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        for part in parts:
            try:
                connection.sendall(part)
            except OSError:  # it has heard enough
                break
        answer = b""
        try:
            while data := connection.recv(65536):
                answer += data
        except ConnectionResetError:
            pass
        return answer


def head(length: int | str | None, *lines: str, query: str = "ladder=360&name=a.mp4") -> bytes:
    named = [] if length is None else [f"Content-Length: {length}"]
    start = f"POST /api/videos?{query} HTTP/1.1"
    all_lines = [start, "Host: localhost", "Connection: close", *named, *lines, "", ""]
    return "\r\n".join(all_lines).encode()


def end_of(url: str, job_id: str) -> dict[str, Any]:
    """Follow a job's stream to its end, and return its last state."""
    with httpx.stream("GET", f"{url}jobs/{job_id}/stream", timeout=30) as stream:
        stream.read()
    found: dict[str, Any] = httpx.get(f"{url}jobs/{job_id}").json()
    return found


def test_an_upload_becomes_a_job_and_is_removed_with_its_end(
    demo: DemoProcess, clip: Path, http: httpx.Client
) -> None:
    query = {"name": "My Holiday.mp4", "ladder": "360"}
    answer = http.post(f"{demo.url}api/videos", params=query, content=clip.read_bytes())
    job_id = answer.json()["job_id"]

    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/jobs/{job_id}"
    uploads = demo.output / ".uploads"
    assert os.listdir(uploads) in ([job_id], [])
    job = end_of(demo.url, job_id)
    assert job["status"] == "completed"
    assert os.listdir(uploads) == []
    [video] = http.get(f"{demo.url}api/videos").json()["videos"]
    assert video["name"] == "My Holiday.mp4"
    assert video["size"] == clip.stat().st_size
    assert video["ladder"] == [360]
    assert video["job"] == job


def test_a_large_upload_is_written_as_it_comes_and_not_kept_in_memory(
    demo: DemoProcess, http: httpx.Client, eventually: Eventually
) -> None:
    http.get(demo.url)  # it has started
    before = resident(demo.process.pid)
    mebibyte = bytes(1024 * 1024)
    most = 0
    written = []

    def parts() -> Iterator[bytes]:
        nonlocal most
        for number in range(256):
            yield mebibyte
            most = max(most, resident(demo.process.pid))
            if number == 200:
                [path] = (demo.output / ".uploads").iterdir()
                written.append(path.stat().st_size)

    answer = http.post(f"{demo.url}api/videos?ladder=360&name=zeros.mp4", content=parts())

    assert answer.status_code == 201
    assert written[0] > 150 * 1024 * 1024
    assert most - before < 60 * 1024 * 1024
    assert end_of(demo.url, answer.json()["job_id"])["details"]["code"] == "input_invalid"
    assert os.listdir(demo.output / ".uploads") == []


def resident(pid: int) -> int:
    """Return how many bytes of memory a process has."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_length_over_the_limit_is_refused_before_the_body(serve: Serve) -> None:
    server = serve(max_upload=LIMIT)
    answer = talk(server.port, head(LIMIT + 1))

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'{"error":"The file is larger than ' in answer
    assert os.listdir(server.uploads) == []


def test_a_body_over_the_limit_is_cut_off_whatever_it_has_announced(serve: Serve) -> None:
    server = serve(max_upload=LIMIT)
    chunk = b"%x\r\n%s\r\n" % (10_000, bytes(10_000))
    answer = talk(server.port, head(None, "Transfer-Encoding: chunked"), *[chunk] * 31)

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert os.listdir(server.uploads) == []
    assert httpx.get(f"{server.url}api/videos").json()["videos"] == []


def test_a_body_of_exactly_the_limit_is_taken(serve: Serve) -> None:
    server = serve(max_upload=LIMIT)
    answer = httpx.post(f"{server.url}api/videos?ladder=360", content=bytes(LIMIT))

    assert answer.status_code == 201
    assert httpx.get(f"{server.url}api/videos").json()["max_upload"] == LIMIT


def test_a_small_limit_is_told_in_a_number_that_means_something(serve: Serve) -> None:
    answer = httpx.post(
        f"{serve(max_upload=LIMIT).url}api/videos?ladder=360", content=bytes(400000)
    )

    assert answer.status_code == 413
    assert answer.json() == {"error": "The file is larger than 0.000279 GB."}


@pytest.mark.parametrize("length", ["-1", "ten", "1_0", "0x10", "", "99999999999999999999999"])
def test_a_length_that_is_no_number_is_refused(
    serve: Serve, length: str, capfd: pytest.CaptureFixture[str]
) -> None:
    server = serve()
    answer = talk(server.port, head(length), b"1234567890")

    assert answer.split(b" ")[1] in {b"400", b"413"}
    assert os.listdir(server.uploads) == []
    assert "Traceback" not in capfd.readouterr().err


def test_more_than_was_announced_is_not_taken_for_the_body(serve: Serve) -> None:
    server = serve()
    talk(server.port, head(10), bytes(1000))

    [video] = httpx.get(f"{server.url}api/videos").json()["videos"]
    assert video["size"] == 10


def test_a_body_without_any_length_is_empty_and_its_job_says_so(serve: Serve) -> None:
    server = serve()
    answer = talk(server.port, head(None), b"")

    assert answer.startswith(b"HTTP/1.1 201 ")
    [video] = httpx.get(f"{server.url}api/videos").json()["videos"]
    job = end_of(server.url, video["job"]["job_id"])
    assert job["message"] == "The file is empty."


@pytest.mark.parametrize("how", ["end", "reset"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
def test_a_client_that_goes_away_leaves_nothing(
    serve: Serve, eventually: Eventually, how: str, chunked: bool
) -> None:
    server = serve()
    start = head(None, "Transfer-Encoding: chunked") if chunked else head(1_000_000)
    part = b"%x\r\n%s\r\n" % (5000, bytes(5000)) if chunked else bytes(5000)
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(start + part)
        eventually(lambda: os.listdir(server.uploads))
        if how == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    eventually(lambda: not os.listdir(server.uploads))

    assert httpx.get(f"{server.url}api/videos").json()["videos"] == []


def test_a_client_that_says_no_more_halfway_leaves_nothing(
    serve: Serve, eventually: Eventually
) -> None:
    server = serve()
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head(1_000_000) + bytes(5000))
        eventually(lambda: os.listdir(server.uploads))
        connection.shutdown(socket.SHUT_WR)
        eventually(lambda: not os.listdir(server.uploads))


@pytest.mark.parametrize(
    "query",
    [
        "",
        "ladder=",
        "ladder=240",
        "ladder=720&ladder=9999",
        "ladder=360&ladder=360",
        "ladder=360p",
        "ladder=0360",
        "ladder=-360",
        "ladder=%D9%A3%D9%A6%D9%A0",
    ],
)
@pytest.mark.parametrize("path", ["videos", "test-clips"])
def test_a_ladder_that_is_not_offered_is_refused(
    http: httpx.Client, shared: DemoProcess, query: str, path: str
) -> None:
    answer = http.post(f"{shared.url}api/{path}?{query}", content=b"film")

    assert answer.status_code == 400
    assert answer.json()["error"].startswith("ladder= takes 1080, 720, 480, 360")
    assert os.listdir(shared.output / ".uploads") == []


def test_when_there_are_too_many_jobs_an_upload_is_refused_and_removed(
    serve: Serve, long_clip: Path
) -> None:
    server = serve(max_jobs=1)
    upload = f"{server.url}api/videos?ladder=360"
    first = httpx.post(upload, content=long_clip.read_bytes()).json()["job_id"]
    full = httpx.post(upload, content=b"no film")

    assert full.status_code == 503
    assert full.json()["error"].startswith("There are too many jobs.")
    assert os.listdir(server.uploads) == [first]
    clip = httpx.post(f"{server.url}api/test-clips?ladder=360")
    assert clip.status_code == 503
    [video] = httpx.get(f"{server.url}api/videos").json()["videos"]
    assert video["job"]["job_id"] == first


def test_a_job_that_the_hub_has_forgotten_does_not_break_the_list(serve: Serve) -> None:
    """At ``max_jobs`` the oldest that has ended makes room."""
    server = serve(max_jobs=1)
    upload = f"{server.url}api/videos?ladder=360"
    first = httpx.post(upload, content=b"no film").json()["job_id"]
    end_of(server.url, first)
    second = httpx.post(upload, content=b"no film").json()["job_id"]

    answer = httpx.get(f"{server.url}api/videos")
    assert answer.status_code == 200
    assert answer.json()["videos"][0]["job"]["job_id"] == second


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("film.mp4", "film.mp4"),
        ("", "Unnamed video"),
        ("   \n ", "Unnamed video"),
        ("a\nb\x00\x1b[31mc", None),
        ("../../etc/passwd", "../../etc/passwd"),
        ("-y", "-y"),
        ("concat:a|b", "concat:a|b"),
        ("x" * 5000, "x" * 200),
        ("\u202egpj.exe", None),
        ("日本 🎬.mov", "日本 🎬.mov"),
    ],
)
def test_a_name_is_only_shown_and_never_a_place(
    http: httpx.Client, shared: DemoProcess, name: str, shown: str | None
) -> None:
    before = sorted(os.listdir(shared.output.parent))
    params = {"name": name, "ladder": "360"}
    job_id = http.post(f"{shared.url}api/videos", params=params, content=b"no film").json()[
        "job_id"
    ]
    job = end_of(shared.url, job_id)

    listed = http.get(f"{shared.url}api/videos").json()["videos"]
    [kept] = [video["name"] for video in listed if video["job"]["job_id"] == job_id]
    assert kept == shown if shown is not None else kept.isprintable() or "\u202e" in kept
    assert job["message"] == "The file is not a video that can be read, or it is damaged."
    assert sorted(os.listdir(shared.output.parent)) == before


def test_a_name_of_broken_utf_8_does_no_harm(shared: DemoProcess) -> None:
    answer = talk(shared.port, head(4, query="ladder=360&name=%ff%fe%c3.mp4&name=b"), b"film")

    assert answer.startswith(b"HTTP/1.1 201 ")


def test_many_uploads_at_once_are_all_kept_apart(
    demo: DemoProcess, clip: Path, eventually: Eventually
) -> None:
    """And more than there are connections in a browser."""
    body = clip.read_bytes()
    answers: list[httpx.Response] = []

    def send(number: int) -> None:
        url = f"{demo.url}api/videos?ladder=360&name={number}"
        answers.append(httpx.post(url, content=body[: len(body) - number], timeout=30))

    threads = [threading.Thread(target=send, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [answer.status_code for answer in answers] == [201] * 8
    videos = httpx.get(f"{demo.url}api/videos").json()["videos"]
    assert sorted(len(body) - video["size"] for video in videos) == list(range(8))
    assert all(int(video["name"]) == len(body) - video["size"] for video in videos)
    for video in videos:
        job_id = video["job"]["job_id"]
        httpx.post(f"{demo.url}jobs/{job_id}/cancel")
        end_of(demo.url, job_id)
    assert os.listdir(demo.output / ".uploads") == []


def test_a_cancelled_upload_is_removed_whether_it_ran_or_waited(
    demo: DemoProcess, long_clip: Path, http: httpx.Client, eventually: Eventually
) -> None:
    url = f"{demo.url}api/videos?ladder=360"
    running, waiting = (
        http.post(url, content=long_clip.read_bytes()).json()["job_id"] for _ in range(2)
    )
    uploads = demo.output / ".uploads"
    assert sorted(os.listdir(uploads)) == sorted([running, waiting])
    assert http.post(f"{demo.url}jobs/{waiting}/cancel").status_code == 202
    assert os.listdir(uploads) == [running]
    eventually(demo.ffmpegs)
    assert http.post(f"{demo.url}jobs/{running}/cancel").status_code == 202
    assert end_of(demo.url, running)["status"] == "cancelled"
    assert os.listdir(uploads) == []
    assert demo.ffmpegs() == []
    assert os.listdir(demo.output) == [".uploads"]


def test_two_demos_with_one_output_leave_each_other_alone(
    start_demo: StartDemo, long_clip: Path, tmp_path: Path, http: httpx.Client
) -> None:
    first, second = (start_demo("--output", tmp_path / "made") for _ in range(2))
    answer = http.post(f"{second.url}api/videos?ladder=360", content=long_clip.read_bytes())
    job_id = answer.json()["job_id"]
    assert os.listdir(second.output / ".uploads") == [job_id]
    assert first.url
    assert first.end() == 0

    assert os.listdir(second.output / ".uploads") == [job_id]
