"""What may be opened: one regular file, or a URL where the caller opts in."""

import os
import re
import stat
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from ...errors import JobFailed

# Containers only: no playlist (hls, concat, dash, sdp), which could name other files or hosts, no
# picture, no text. Names of demuxers; ffmpeg refuses all that is not listed, whatever its name.
FORMATS: Final = ",".join(
    [
        "mov",
        "matroska",
        "webm",
        "mpegts",
        "mpeg",
        "avi",
        "flv",
        "asf",
        "ogg",
        "mxf",
        "nut",
        "ivf",
        "gif",
        "rm",
        "dv",
        "h264",
        "hevc",
        "obu",
        "m4v",
        "mpegvideo",
        "yuv4mpegpipe",
        "wav",
        "mp3",
        "flac",
        "aac",
    ]
)

MAX_PIXELS: Final = 16384 * 8192
"""The most that one frame may have; a bomb of 4 GB in a few bytes is refused by ffmpeg itself."""

_URL: Final = re.compile(r"(https?)://", re.IGNORECASE)
_PROTOCOLS: Final = {"https": "https,tls,tcp", "http": "http,https,tls,tcp"}


@dataclass(frozen=True, slots=True)
class Source:
    """A checked input: ``name`` is what ffmpeg is given, ``protocols`` what it may use for it."""

    name: str
    protocols: str
    path: str | None = None

    @property
    def options(self) -> dict[str, str | int]:
        """Give the input options that keep ffmpeg to this one input."""
        return {
            "protocol_whitelist": self.protocols,
            "format_whitelist": FORMATS,
            "max_pixels": MAX_PIXELS,
        }

    @property
    def shown(self) -> str:
        """Name it for the log; of a URL, which may hold a secret, no more than the host."""
        if self.path is not None:
            return self.path
        parts = urlsplit(self.name)
        return f"{parts.scheme}://{parts.hostname}/..."

    def check(self) -> None:
        """Raise `JobFailed` if it is plain before any ffmpeg that there is nothing to read."""
        if self.path is None:
            return
        try:
            with open(self.path, "rb", opener=_without_waiting) as file:
                found = os.fstat(file.fileno())
        except IsADirectoryError as error:
            raise JobFailed("The source is a folder, not a video.", code="input_invalid") from error
        except OSError as error:
            raise JobFailed(
                "The video is not there, or can't be read.", code="input_missing"
            ) from error
        if not stat.S_ISREG(found.st_mode):
            raise JobFailed("The source is not a regular file.", code="input_invalid")
        if not found.st_size:
            raise JobFailed("The file is empty.", code="input_invalid")


def make_source(source: str | os.PathLike[str], *, allow_urls: bool) -> Source:
    """Return a `Source`, or raise `TypeError` or `ValueError`.

    A path is only ever a path: ``concat:a|b``, ``-y`` or ``tcp://`` are names of files.
    """
    text = os.fspath(source)
    if not isinstance(text, str):
        raise TypeError(f"source is a str or a path of str, not {type(text).__name__}: {text!r}")
    if not text or "\0" in text:
        raise ValueError(f"source {text!r} is not a path: it is empty or holds a NUL")
    if url := _URL.match(text):
        if not allow_urls:
            raise ValueError(f"source {text!r} is a URL; these need allow_urls=True")
        return Source(text, _PROTOCOLS[url[1].lower()])
    path = os.path.join(os.getcwd(), text)  # not abspath(): "link/.." is where the link leads
    return Source(f"file:{path}", "file", path)


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # opening a FIFO would wait for a writer
