"""The command ``sseprog``."""

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from . import __version__
from ._watch import watch
from .errors import MissingExtra

__all__ = ["main"]

_PORT: Final = 8765


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 2 for what the caller can put right."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be UTF-8
    options = _parser().parse_args(arguments)
    if options.command == "watch":
        return watch(options.url)
    try:
        return _demo(options)
    except MissingExtra as error:
        print(f"sseprog: {error}", file=sys.stderr)
        return 2


def _demo(options: argparse.Namespace) -> int:
    try:
        from .demo.serve import CannotServe, serve
    except ModuleNotFoundError as error:
        raise MissingExtra('The demo needs its extra: pip install "sseprog[demo]"') from error
    try:
        serve(
            options.host,
            options.port,
            video=options.video,
            output=options.output,
            workers=options.workers,
            open_browser=options.browser,
        )
    except CannotServe as error:
        print(f"sseprog: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sseprog", description="Show the progress of long jobs, live."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    watching = commands.add_parser(
        "watch",
        help="follow a job in the terminal",
        description="Follow a job until it ends. The exit code is 0 if it "
        "completed, 1 if it ended otherwise, 2 if there is nothing to watch.",
    )
    watching.add_argument("url", metavar="URL", help="of its stream: http://.../jobs/JOB_ID/stream")
    demo = commands.add_parser(
        "demo",
        help="transcode videos while a page in the browser shows every step",
        description="Serve a page on which a video is transcoded while you watch every step.",
    )
    demo.add_argument("video", nargs="?", type=Path, metavar="VIDEO", help="start with this one")
    demo.add_argument(
        "--host", default="127.0.0.1", help="where to listen; this machine only (%(default)s)"
    )
    demo.add_argument("--port", type=_port, default=_PORT, help="0 takes a free one (%(default)s)")
    demo.add_argument("--output", type=Path, metavar="DIR", help="keep the finished files there")
    demo.add_argument(
        "--workers", type=_count, metavar="N", help="videos at a time (half of the cores)"
    )
    demo.add_argument(
        "--no-browser", dest="browser", action="store_false", help="don't open the page"
    )
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
