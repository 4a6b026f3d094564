"""Clips, the two ffmpeg builds that all real cases run on, and one way to run a job."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sseprog.emitters.ffmpeg import transcode
from sseprog.errors import JobFailed
from sseprog.progress import Progress

BUILDS = ("PATH", "imageio-ffmpeg")


def path_ffmpeg() -> str:
    """Find the distribution's ffmpeg and ffprobe; both must be there, a laptop's too."""
    for program in ("ffmpeg", "ffprobe"):
        if shutil.which(program) is None:
            pytest.fail(f"{program} is not on PATH: apt install ffmpeg")
    return str(shutil.which("ffmpeg"))


def wheel_ffmpeg() -> str:
    try:
        import imageio_ffmpeg
    except ImportError:
        pytest.fail('imageio-ffmpeg is not installed: pip install ".[ffmpeg]"')
    [found] = Path(imageio_ffmpeg.__file__).parent.glob("binaries/ffmpeg-*")
    return str(found)


@pytest.fixture(params=BUILDS)
def ffmpeg(request: pytest.FixtureRequest) -> str:
    """Give the path of each build in turn; one that is missing fails the test."""
    return path_ffmpeg() if request.param == "PATH" else wheel_ffmpeg()


@pytest.fixture
def any_ffmpeg() -> str:
    """Give one build, where it is not ffmpeg that is tested."""
    return path_ffmpeg()


@pytest.fixture(scope="session")
def make_clip(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make a clip by ffmpeg's arguments, once per session: ``make_clip("a.mp4", "-f", ...)``."""
    folder = tmp_path_factory.mktemp("clips")

    def make(name: str, *words: str) -> Path:
        path = folder / name
        if not path.exists():
            program = wheel_ffmpeg() if "-display_rotation" in words else path_ffmpeg()
            subprocess.run([program, "-v", "error", "-y", *words, path], check=True)
        return path

    return make


def pattern(size: str = "640x360", seconds: float = 5, rate: int = 25) -> list[str]:
    return ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}:duration={seconds}"]


def sound(seconds: float = 5) -> list[str]:
    return ["-f", "lavfi", "-i", f"sine=duration={seconds}", "-c:a", "aac"]


QUICK = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")


@pytest.fixture(scope="session")
def clip(make_clip: Callable[..., Path]) -> Path:
    """Give the usual film: 5 s of 640 x 360 with sound, its index in front."""
    return make_clip("usual.mp4", *pattern(), *sound(), *QUICK, "-movflags", "+faststart")


@pytest.fixture(scope="session")
def long_clip(make_clip: Callable[..., Path]) -> Path:
    """Give a film that takes long enough to be interrupted: noise is hard to encode."""
    hard = ("-vf", "noise=alls=40:allf=t", "-b:v", "6M")
    return make_clip("long.mp4", *pattern("960x540", 12), *hard, *QUICK)


@dataclass
class Outcome:
    """What came out of a job: all its reports, and its details or its failure."""

    target: Path
    reports: list[Progress] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    failure: JobFailed | None = None

    @property
    def code(self) -> str | None:
        return self.failure.code if self.failure else None

    @property
    def leftovers(self) -> list[str]:
        """Name what lies where the target belongs, hidden work folders too."""
        return sorted(os.listdir(self.target.parent))


@pytest.fixture
def run_job(tmp_path: Path) -> Callable[..., Outcome]:
    """Run a job to its end into ``tmp_path/results/film``, checking what holds for every job."""

    def run(source: object, *, each: Callable[[Progress], None] | None = None, **options: Any):
        outcome = Outcome(tmp_path / "results" / "film")
        outcome.target.parent.mkdir(exist_ok=True)
        job = transcode(source, options.pop("target", outcome.target), **options)
        try:
            while True:
                report = next(job)
                outcome.reports.append(report)
                if each:
                    each(report)
        except StopIteration as stop:
            outcome.details = stop.value
            json.dumps(outcome.details)
            Progress(100, details=outcome.details)  # it fits into an event
        except JobFailed as failure:
            outcome.failure = failure
        check_failure(outcome.failure, tmp_path)
        check_reports(outcome.reports)
        return outcome

    return run


def check_failure(failure: JobFailed | None, folder: Path) -> None:
    text = f"{failure} {failure.details}" if failure else ""
    assert str(folder) not in text, "a path is shown"
    assert " -" not in text, "a command is shown"


def check_reports(reports: list[Progress]) -> None:
    percents = [report.progress for report in reports if report.progress is not None]
    assert percents == sorted(percents), "the whole went backwards"
    assert all(percent < 100 for percent in percents), "100 is for complete"
    names: list[str] = []
    for report in reports:
        stages = report.details["stages"]
        position = [stage["name"] for stage in stages].index(report.stage)
        assert all(stage["progress"] == 100 for stage in stages[:position])
        assert all(stage["progress"] == 0 for stage in stages[position + 1 :])
        assert {"speed", "fps", "size", "rung"} <= report.details.keys()
        if report.stage not in names:
            names.append(report.stage)
    if reports:
        planned = [stage["name"] for stage in reports[-1].details["stages"]]
        assert names == planned[: len(names)], "a stage out of its order"


@pytest.fixture
def ffprobe() -> Callable[..., dict[str, Any]]:
    """Ask ffprobe, which the emitter doesn't use, what a file really is."""
    path_ffmpeg()

    def ask(path: Path, *words: str) -> dict[str, Any]:
        command = ["ffprobe", "-v", "error", "-show_format", "-show_streams", "-of", "json"]
        found: dict[str, Any] = json.loads(subprocess.check_output([*command, *words, path]))
        return found

    return ask


@pytest.fixture
def ffmpegs_of_ours() -> Iterator[Callable[[], list[int]]]:
    """List the processes that this test started and that still run; none may at its end."""

    def running() -> list[int]:
        found = subprocess.run(
            ["ps", "-o", "pid=,stat=,comm=", "--ppid", str(os.getpid())],
            capture_output=True,
            text=True,
            check=False,
        ).stdout.splitlines()
        return [int(line.split()[0]) for line in found if "ffmpeg" in line and " Z" not in line]

    yield running
    assert running() == []
