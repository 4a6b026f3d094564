"""What other sites, other names and forged paths get: nothing."""

import os
from pathlib import Path

import httpx
import pytest

from .demo_process import DemoProcess, tracebacks


@pytest.mark.parametrize(
    "host",
    [
        "attacker.example",
        "attacker.example:{port}",
        "127.0.0.1.attacker.example:{port}",
        "localhost.attacker.example",
        "127.0.0.1@attacker.example",
        "192.168.1.5:{port}",
        "0.0.0.0:{port}",
        "[::ffff:192.0.2.1]:{port}",
        "",
    ],
)
@pytest.mark.parametrize("path", ["", "api/videos", "jobs/static/sseprog.js", "jobs/x/stream"])
def test_a_foreign_host_is_refused_on_every_path(
    shared: DemoProcess, http: httpx.Client, host: str, path: str
) -> None:
    """A name of the attacker's that points to 127.0.0.1: DNS rebinding."""
    header = {"Host": host.format(port=shared.port)}
    answer = http.get(f"{shared.url}{path}", headers=header)

    assert answer.status_code == 421
    assert answer.json() == {"error": "this server is for its own machine"}


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.9.9.9", "[::1]:80"])
def test_each_name_of_this_machine_is_let_in(
    shared: DemoProcess, http: httpx.Client, host: str
) -> None:
    assert http.get(f"{shared.url}api/videos", headers={"Host": host}).status_code == 200


FOREIGN: list[dict[str, str]] = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:1"},
    {"Origin": "https://attacker.example"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://127.0.0.1:1"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_another_site_can_start_and_cancel_nothing(
    shared: DemoProcess, http: httpx.Client, headers: dict[str, str]
) -> None:
    kind = {"Content-Type": "text/plain"}  # what a form can send, without being asked
    before = http.get(f"{shared.url}api/videos").json()["videos"]
    for path in "api/videos?ladder=360", "api/test-clips?ladder=360", "jobs/some-job/cancel":
        answer = http.post(f"{shared.url}{path}", headers=headers | kind, content=b"film")
        assert answer.status_code == 403, path
        assert answer.json() == {"error": "only this page may do that"}
    assert len(http.get(f"{shared.url}api/videos").json()["videos"]) == len(before)


@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "none"}, {"Origin": "{self}"}], ids=str)
def test_curl_and_the_page_itself_may(
    shared: DemoProcess, http: httpx.Client, headers: dict[str, str]
) -> None:
    ours = {name: value.format(self=shared.url.rstrip("/")) for name, value in headers.items()}

    assert http.post(f"{shared.url}jobs/some-job/cancel", headers=ours).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "", {}, 200),
        ("GET", "demo.js", {}, 200),
        ("GET", "api/videos", {}, 200),
        ("GET", "jobs/static/sseprog.js", {}, 200),
        ("GET", "nothing", {}, 404),
        ("GET", "jobs/nothing", {}, 404),
        ("DELETE", "api/videos", {}, 405),
        ("GET", "", {"Host": "attacker.example"}, 421),
        ("POST", "api/videos", {"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_every_answer_tells_the_browser_to_be_strict(
    shared: DemoProcess,
    http: httpx.Client,
    method: str,
    path: str,
    headers: dict[str, str],
    status: int,
) -> None:
    answer = http.request(method, f"{shared.url}{path}", headers=headers)

    assert answer.status_code == status
    policy = answer.headers["Content-Security-Policy"].split("; ")
    assert {"default-src 'self'", "object-src 'none'", "base-uri 'none'"} <= set(policy)
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    if path.startswith("jobs/"):  # whoever knows a job's id may watch it from a page of their own
        assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
    else:
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Access-Control-Allow-Origin" not in answer.headers
    assert "Server" not in answer.headers


@pytest.fixture(scope="module")
def film(shared: DemoProcess, clip: Path) -> str:
    """Give the id of a job that is done, and put what must not be had around its folder."""
    upload = f"{shared.url}api/videos?ladder=360&name=film.mp4"
    job_id: str = httpx.post(upload, content=clip.read_bytes()).json()["job_id"]
    with httpx.stream("GET", f"{shared.url}jobs/{job_id}/stream", timeout=30) as stream:
        stream.read()
    folder = shared.output / job_id
    (shared.output / "secret.mp4").write_bytes(b"secret")
    (shared.output / f"{job_id}-secret").mkdir()
    (shared.output / f"{job_id}-secret" / "a.mp4").write_bytes(b"secret")
    (folder / "notes.txt").write_text("secret")
    (folder / "link.mp4").symlink_to(shared.output / "secret.mp4")
    (folder / "folder.mp4").mkdir()
    return job_id


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("master.m3u8", "application/vnd.apple.mpegurl"),
        ("180p/index.m3u8", "application/vnd.apple.mpegurl"),
        ("180p/00000.ts", "video/mp2t"),
        ("video.mp4", "video/mp4"),
        ("poster.jpg", "image/jpeg"),
        ("thumbnails.jpg", "image/jpeg"),
        ("thumbnails.vtt", "text/vtt; charset=utf-8"),
    ],
)
def test_a_finished_file_has_its_type_and_is_kept(
    shared: DemoProcess, http: httpx.Client, film: str, name: str, kind: str
) -> None:
    answer = http.get(f"{shared.url}media/{film}/{name}")

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == kind
    assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert answer.content == (shared.output / film / name).read_bytes()


def test_a_player_can_ask_for_parts(shared: DemoProcess, http: httpx.Client, film: str) -> None:
    url = f"{shared.url}media/{film}/video.mp4"
    answer = http.get(url, headers={"Range": "bytes=100-199"})

    assert answer.status_code == 206
    assert answer.content == (shared.output / film / "video.mp4").read_bytes()[100:200]
    beyond = http.get(url, headers={"Range": "bytes=99999999-"})
    assert beyond.status_code == 416


@pytest.mark.parametrize(
    "path",
    [
        "{job}/../secret.mp4",
        "{job}/..%2fsecret.mp4",
        "{job}/%2e%2e/secret.mp4",
        "{job}/%2e%2e%2fsecret.mp4",
        "{job}/180p/../../secret.mp4",
        "{job}/180p/%2e%2e/%2e%2e/secret.mp4",
        "{job}/..%5csecret.mp4",
        "{job}/..%2f{job}-secret/a.mp4",
        "{job}/%2fetc%2fpasswd",
        "{job}//etc/passwd",
        "{job}/{output}/secret.mp4",
        "{job}/%00",
        "{job}/video.mp4%00.jpg",
        "{job}/video.mp4/x.mp4",
        "{job}/%ff.mp4",
        "{job}/link.mp4",
        "{job}/folder.mp4",
        "{job}/notes.txt",
        "{job}/180p",
        "{job}/.",
        "{job}/",
        "{job}-secret/a.mp4",
        ".uploads/{job}",
        "..%2f..%2fetc/passwd",
        "%2e%2e/secret.mp4",
        "nobody/video.mp4",
    ],
)
def test_no_path_in_disguise_leads_out_of_a_jobs_folder(
    shared: DemoProcess, http: httpx.Client, film: str, path: str
) -> None:
    # Raw: a client that follows the rules would clean the path up.
    target = f"/media/{path.format(job=film, output=str(shared.output).replace('/', '%2f'))}"
    url = httpx.URL(shared.url).copy_with(raw_path=target.encode())
    answer = http.get(url)

    assert answer.status_code == 404
    assert b"secret" not in answer.content
    assert b"root:" not in answer.content


@pytest.mark.parametrize(
    "path",
    [
        "../demo/app.py",
        "%2e%2e/app.py",
        "..%2fapp.py",
        "%2e%2e%2f%2e%2e%2fcli.py",
        "%2fetc%2fpasswd",
    ],
)
def test_no_path_in_disguise_leads_out_of_the_pages_folder(
    shared: DemoProcess, http: httpx.Client, path: str
) -> None:
    url = httpx.URL(shared.url).copy_with(raw_path=f"/{path}".encode())

    assert http.get(url).status_code == 404


@pytest.mark.parametrize("length", [300, 5000])
def test_a_name_that_no_file_can_have_is_not_found(
    demo: DemoProcess, http: httpx.Client, length: int
) -> None:
    job_id = http.post(f"{demo.url}api/videos?ladder=360", content=b"film").json()["job_id"]
    (demo.output / job_id).mkdir()
    answer = http.get(f"{demo.url}media/{job_id}/{'x' * length}.mp4")
    demo.end()
    tracebacks(demo)

    assert answer.status_code == 404


def test_no_path_of_this_machine_is_in_what_the_page_gets(
    shared: DemoProcess, http: httpx.Client, film: str
) -> None:
    stream = http.get(f"{shared.url}jobs/{film}/stream", headers={"Last-Event-ID": ""}).text
    for text in http.get(f"{shared.url}api/videos").text, stream:
        assert str(shared.output) not in text
        assert os.sep + "tmp" + os.sep not in text
