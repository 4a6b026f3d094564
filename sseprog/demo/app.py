"""The demo's web application: the page, its uploads, the finished files, and sseprog's routes."""

import errno
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Final

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from sseprog_starlette import ProgressApp

from ..errors import TooManyJobs
from .guard import Guard
from .studio import LADDER, Studio

__all__ = ["MAX_UPLOAD", "create_app"]

MAX_UPLOAD: Final = 2 * 1024**3
"""The most bytes of one upload."""

_CHUNK: Final = 1024 * 1024  # bytes per write: a hop into a thread costs more than a small write

# What a job makes; nothing else is given away.
_TYPES: Final = {
    ".m3u8": "application/vnd.apple.mpegurl",
    ".ts": "video/mp2t",
    ".m4s": "video/iso.segment",
    ".mp4": "video/mp4",
    ".jpg": "image/jpeg",
    ".vtt": "text/vtt",
}


def create_app(studio: Studio, *, local: bool = True, max_upload: int = MAX_UPLOAD) -> Starlette:
    """Return the application; ``local`` says that it listens on the loopback only."""

    async def list_videos(request: Request) -> Response:
        videos = studio.videos()
        body = msgspec.json.encode(
            {"max_upload": max_upload, "ladder": LADDER, "videos": videos}, enc_hook=str
        )
        return Response(body, media_type="application/json", headers=_NO_STORE)

    async def upload(request: Request) -> Response:
        """Take a video as the raw body: a page can send a File so, and nothing has to be parsed."""
        ladder = _ladder_of(request)
        if ladder is None:
            return _refusal(400, _BAD_LADDER)
        too_large = f"The file is larger than {max_upload / 1024**3:.3g} GB."
        if int(request.headers.get("content-length", 0)) > max_upload:
            return _refusal(413, too_large)
        job_id, place = studio.new_upload()
        try:
            if not await _write(request, place, max_upload):
                return _refusal(413, too_large)
            name = request.query_params.get("name", "")
            await run_in_threadpool(studio.start_upload, job_id, name, place, ladder)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        except OSError as error:
            if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                raise
            return _refusal(507, "There is no room left on the disk for this file.")
        except TooManyJobs:
            return _refusal(503, "There are too many jobs. Wait until some have ended.")
        finally:
            if not studio.has(job_id):
                place.unlink(missing_ok=True)
        return _created(job_id)

    async def test_clip(request: Request) -> Response:
        ladder = _ladder_of(request)
        if ladder is None:
            return _refusal(400, _BAD_LADDER)
        try:
            video = await run_in_threadpool(studio.start_test_clip, ladder)
        except TooManyJobs:
            return _refusal(503, "There are too many jobs. Wait until some have ended.")
        return _created(video.job_id)

    async def finished_file(request: Request) -> Response:
        job_id, name = request.path_params["job_id"], request.path_params["name"]
        path = await run_in_threadpool(studio.finished_file, job_id, name)
        kind = _TYPES.get(path.suffix) if path else None
        if path is None or kind is None:
            return _refusal(404, "There is no such file.")
        # A finished file never changes: its folder is a job's, and a job is run once.
        headers = {"Cache-Control": "private, max-age=31536000, immutable"}
        return FileResponse(path, media_type=kind, headers=headers)

    page = Path(str(files("sseprog").joinpath("demo", "page")))
    return Starlette(
        routes=[
            Route("/api/videos", list_videos, methods=["GET"]),
            Route("/api/videos", upload, methods=["POST"]),
            Route("/api/test-clips", test_clip, methods=["POST"]),
            Route("/media/{job_id}/{name:path}", finished_file),
            Mount("/jobs", ProgressApp(studio.hub)),
            Mount("/", StaticFiles(directory=page, html=True)),
        ],
        middleware=[Middleware(Guard, local=local)],
    )


_NO_STORE: Final = {"Cache-Control": "no-store"}
_BAD_LADDER: Final = f"ladder= takes {', '.join(map(str, LADDER))}; at least one of them."


async def _write(request: Request, place: Path, limit: int) -> bool:
    """Write the body to ``place`` as it comes; return ``False`` if it has over ``limit`` bytes."""
    size = 0
    waiting = bytearray()
    with place.open("xb") as file:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                return False
            waiting += chunk
            if len(waiting) >= _CHUNK:
                await run_in_threadpool(file.write, bytes(waiting))
                waiting.clear()
        await run_in_threadpool(file.write, bytes(waiting))
    return True


def _ladder_of(request: Request) -> Sequence[int] | None:
    asked = request.query_params.getlist("ladder")
    ladder = tuple(rung for rung in LADDER if str(rung) in asked)
    return ladder if len(ladder) == len(asked) > 0 else None


def _created(job_id: str) -> Response:
    headers = _NO_STORE | {"Location": f"/jobs/{job_id}"}
    return JSONResponse({"job_id": job_id}, 201, headers)


def _refusal(status: int, reason: str) -> Response:
    return JSONResponse({"error": reason}, status, _NO_STORE)
