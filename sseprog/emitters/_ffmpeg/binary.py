"""Find the ffmpeg program and the ffmpeg-python package, or say in one sentence what is missing."""

import importlib
import importlib.metadata
import os
import shutil
from types import ModuleType
from typing import Final

from ...errors import MissingExtra

VARIABLE: Final = "SSEPROG_FFMPEG"

_CURE: Final = 'pip install "sseprog[ffmpeg]"'


def find_ffmpeg(chosen: str | os.PathLike[str] | None) -> str:
    """Return the path of the ffmpeg to run.

    Looked for in this order: ``chosen``, the environment variable ``SSEPROG_FFMPEG``, PATH, and
    the one in the imageio-ffmpeg package. The first two are orders: if they lead nowhere, nothing
    else is tried. Raises `ValueError` for a bad ``chosen`` and `MissingExtra` for all else.
    """
    if chosen is not None:
        return _program(chosen) or _no_program("ffmpeg", os.fspath(chosen), ValueError)
    if named := os.environ.get(VARIABLE):
        return _program(named) or _no_program(VARIABLE, named, MissingExtra)
    return _program("ffmpeg") or _from_wheel()


def graph_builder() -> ModuleType:
    """Import and return ffmpeg-python, after a check that it is the package that we mean.

    Several packages install a module named ``ffmpeg``, and the last one installed wins; a file of
    that name in the working folder may come before them all.
    """
    owners = _owners()
    try:
        module = importlib.import_module("ffmpeg")
    except ImportError as error:
        raise (_hidden(owners, None) if owners else _missing()) from error
    if hasattr(module, "input") and hasattr(module, "compile"):
        return module
    if not owners and getattr(module, "__file__", None) is None:  # a mere folder
        raise _missing()
    raise _hidden(owners, module)


def _program(name: str | os.PathLike[str]) -> str | None:
    found = shutil.which(name)
    # A relative path would change its meaning: ffmpeg is started in the work folder.
    return os.path.abspath(found) if found else None


def _no_program(what: str, value: str, error: type[Exception]) -> str:
    raise error(f"{what}={value!r} is not a program that can be run")


def _from_wheel() -> str:
    try:
        path: str = importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        raise MissingExtra(
            f"No ffmpeg was found: install it (apt install ffmpeg), or its Python wheel ({_CURE}), "
            f"or name one in {VARIABLE}."
        ) from error
    return path


def _owners() -> list[str]:
    return sorted(set(importlib.metadata.packages_distributions().get("ffmpeg", ())))


def _missing() -> MissingExtra:
    return MissingExtra(f"The ffmpeg emitter needs ffmpeg-python: {_CURE}")


def _hidden(owners: list[str], module: ModuleType | None) -> MissingExtra:
    others = [name for name in owners if name != "ffmpeg-python"]
    if others:
        return MissingExtra(
            f'The module "ffmpeg" of ffmpeg-python is hidden by {" and ".join(others)}: pip '
            f"uninstall {' '.join(others)}, then pip install --force-reinstall ffmpeg-python"
        )
    place = getattr(module, "__file__", None) or "another package"
    return MissingExtra(
        f'The module "ffmpeg" of ffmpeg-python is hidden by {place}: rename or remove that'
    )
