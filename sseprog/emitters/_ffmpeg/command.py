"""The command lines, as graphs that ffmpeg-python compiles; nothing else of it is used.

Its traps, so that nobody steps in them again: a list as an option becomes its ``repr``, ``True``
becomes a word of its own, ``run`` hangs on a full pipe, ``probe`` takes a name for an option.
"""

from types import ModuleType
from typing import Any, Final

from .ladder import Rung
from .probe import Media
from .source import Source
from .thumbnails import Sprite

SEGMENT: Final = 4
"""Seconds of a segment: two key frames."""

KEY_FRAME: Final = 2
"""Seconds between key frames, at the same times in each rung, so that a player can change over."""

PLAYLIST: Final = "index.m3u8"
MP4: Final = "video.mp4"
POSTER: Final = "poster.jpg"
SPRITE: Final = "thumbnails.jpg"

_TOP_RATE: Final = 60.0  # frames per second; screen recordings claim up to 90,000
_LEAST_RATE: Final = 10.0  # slide shows: key frames and thumbnails need frames to be made of
# Stands for the source until the words are compiled: ffmpeg-python encodes a name as UTF-8, which
# a file's need not be.
_SOURCE: Final = "file:SOURCE"
_SOUND: Final = {"c:a": "aac", "b:a": "128k", "ac": 2}
_ANONYMOUS: Final = {"map_metadata": -1, "map_chapters": -1}  # phones write where they were

_OWN_PROTOCOLS: Final = {"protocol_whitelist": "file", "format_whitelist": "hls,mpegts"}


class Commands:
    """Build the command of each stage; all are to be run in the folder that they write to."""

    def __init__(self, ffmpeg: str, builder: ModuleType) -> None:
        self._ffmpeg = ffmpeg
        self._build = builder

    def transcode(self, source: Source, media: Media, rung: Rung) -> list[str]:
        """Make one rung's HLS: ``index.m3u8`` and its segments.

        MPEG-TS segments, since every HLS player ever made takes them, there is no other file that
        each segment depends on, and no edit list that players disagree about.
        """
        opened = self._open_source(source)
        picture = opened[str(media.video)]
        if media.interlaced:
            picture = picture.filter("yadif", deint="interlaced")
        if media.rate > _TOP_RATE:
            # Halve 120; but an average phone or screen recording ("1k") holds 30 at the most.
            picture = picture.filter("fps", _TOP_RATE if media.rate <= 4 * _TOP_RATE else 30)
        elif media.rate < _LEAST_RATE:
            picture = picture.filter("fps", _LEAST_RATE)
        picture = (
            picture.filter("scale", rung.width, rung.height, out_range="tv")
            .filter("setsar", 1)
            .filter("format", "yuv420p")  # also from 10 bits or 4:4:4, which few players take
        )
        streams = [picture]
        if media.audio is not None:
            # Fills the gaps of bad recordings, and silence if the sound starts late.
            streams.append(
                opened[str(media.audio)].filter("aresample", 48000, **{"async": 1, "first_pts": 0})
            )
        options = {
            "c:v": "libx264",
            "preset": "veryfast",
            "crf": 22,
            "profile:v": "high",
            "maxrate": rung.max_bit_rate,
            "bufsize": 2 * rung.max_bit_rate,
            "force_key_frames": f"expr:gte(t,n_forced*{KEY_FRAME})",
            "sc_threshold": 0,
            "g": int(_TOP_RATE * KEY_FRAME * 2),  # none but the forced ones
            **(_SOUND if media.audio is not None else {}),
            **_ANONYMOUS,
            "f": "hls",
            "hls_time": SEGMENT,
            "hls_playlist_type": "vod",
            "hls_flags": "independent_segments",
            "hls_segment_filename": "%05d.ts",
        }
        return self._compile(self._build.output(*streams, PLAYLIST, **options), source)

    def remux(self, rung: Rung) -> list[str]:
        """Make ``video.mp4`` of a rung, with its index first so that it plays while it loads."""
        opened = self._open(rung)
        return self._compile(
            opened.output(MP4, c="copy", movflags="+faststart", f="mp4", **_ANONYMOUS)
        )

    def poster(self, rung: Rung, at: float) -> list[str]:
        """Make ``poster.jpg`` of the frame at ``at`` seconds; 0 is the first."""
        options = {"ss": f"{at:.3f}"} if at else {}
        picture = self._jpeg(self._open(rung, **options)["v:0"], rung.width, rung.height)
        return self._compile(self._picture(picture, POSTER))

    def sprite(self, rung: Rung, sprite: Sprite) -> list[str]:
        """Make ``thumbnails.jpg``: key frames only, which are `KEY_FRAME` seconds apart."""
        opened = self._open(rung, skip_frame="nokey")
        picture = opened["v:0"]
        if sprite.every > 1:
            picture = picture.filter("select", f"not(mod(n,{sprite.every}))")
        picture = self._jpeg(picture, sprite.width, sprite.height)
        picture = picture.filter("tile", f"{sprite.columns}x{sprite.rows}")
        return self._compile(self._picture(picture, SPRITE))

    def read_all(self, rung: Rung) -> list[str]:
        """Read a finished rung's picture from its first packet to its last, and write nothing."""
        return self._compile(self._open(rung)["v:0"].output("-", c="copy", f="null"))

    def read_stream(self, source: Source, index: int) -> list[str]:
        """Read one stream of the source to its end, and write nothing."""
        stream = self._open_source(source)[str(index)]
        return self._compile(stream.output("-", c="copy", f="null"), source)

    def describe(self, name: str) -> list[str]:
        """Give the words to open a finished MP4 with."""
        return ["-protocol_whitelist", "file", "-format_whitelist", "mov", "-i", f"file:{name}"]

    def _open_source(self, source: Source) -> Any:
        return self._build.input(_SOURCE, **source.options)

    def _open(self, rung: Rung, **options: Any) -> Any:
        return self._build.input(f"file:{rung.name}/{PLAYLIST}", **_OWN_PROTOCOLS, **options)

    def _jpeg(self, picture: Any, width: int, height: int) -> Any:
        # Full range is what JPEG means; newer builds refuse the other.
        return picture.filter("scale", width, height, out_range="pc").filter("format", "yuvj420p")

    def _picture(self, picture: Any, name: str) -> Any:
        return picture.output(
            name, **{"frames:v": 1, "c:v": "mjpeg", "q:v": 4, "f": "image2", "update": 1}
        )

    def _compile(self, graph: Any, source: Source | None = None) -> list[str]:
        before = [self._ffmpeg, "-hide_banner", "-nostdin", "-y", "-v", "error"]
        words: list[str] = self._build.compile(
            graph, cmd=[*before, "-nostats", "-progress", "pipe:1"]
        )
        if source is None:
            return words
        return [source.name if word == _SOURCE else word for word in words]
