"""Find plugins, ask them what they bring, and keep a bad one from stopping the others."""

import importlib
import itertools
import logging
import threading
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final

import pluggy

from . import hookspecs
from ._event import Event
from .errors import MissingExtra, PluginError

if TYPE_CHECKING:
    from .broker import Broker

__all__ = ["Plugins"]

logger = logging.getLogger("sseprog")

BUILT_IN: Final = ("sseprog.brokers", "sseprog.emitters.ffmpeg")
GROUP: Final = "sseprog"

Emitter = Callable[..., Any]


class Plugins:
    """The plugins of one hub: the built-in ones, those of entry points, and registered ones."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager("sseprog")
        self._manager.add_hookspecs(hookspecs)
        self._emitters: dict[str, tuple[Emitter, str]] = {}
        self._brokers: dict[str, tuple[type[Broker] | str, str]] = {}
        self._broken: list[str] = []
        self._finding = threading.RLock()
        self._looked = False
        self._found = False

    def register(self, plugin: object, name: str | None = None) -> None:
        """Add a plugin: a module, or any object with functions marked by `hookimpl`.

        Raises `PluginError`, and takes nothing of it, if it fails while it registers.
        """
        label = name or self._unused(getattr(plugin, "__name__", None) or type(plugin).__name__)
        if self._manager.is_registered(plugin):
            raise PluginError(f"plugin {label!r} is registered already")
        emitters, brokers = dict(self._emitters), dict(self._brokers)
        try:
            self._manager.register(plugin, label)
            self._manager.check_pending()
            self._check_hooks(plugin)
            for call in self._calls("sseprog_register_emitters", plugin):
                call(register=_into(emitters, label))
            for call in self._calls("sseprog_register_brokers", plugin):
                call(register=_into(brokers, label, by_place=True))
        except Exception as error:
            if self._manager.is_registered(plugin):
                self._manager.unregister(plugin)
            raise PluginError(f"plugin {label!r} can't be registered: {error}") from error
        self._emitters, self._brokers = emitters, brokers

    def emitter(self, name: str) -> Emitter:
        """Return the emitter of that name. Raises `ValueError` that lists what is known."""
        self._find()
        try:
            return self._emitters[name][0]
        except KeyError:
            raise ValueError(self._unknown("emitter", name, self._emitters)) from None

    def broker(self, scheme: str) -> "type[Broker]":
        """Return the broker for a URL's scheme. Raises `ValueError` that lists what is known."""
        if not self._manager.has_plugin(BUILT_IN[0]):
            self.register(importlib.import_module(BUILT_IN[0]), BUILT_IN[0])
        if scheme not in self._brokers:
            self._find()
        try:
            found, plugin = self._brokers[scheme]
        except KeyError:
            raise ValueError(self._unknown("broker scheme", scheme, self._brokers)) from None
        if not isinstance(found, str):
            return found
        module, _, name = found.partition(":")
        try:
            loaded: type[Broker] = getattr(importlib.import_module(module), name)
        except MissingExtra:
            raise
        except (ImportError, AttributeError) as error:
            raise PluginError(
                f"plugin {plugin!r}: broker {scheme!r} is not at {found!r}: {error}"
            ) from error
        return loaded

    def authorizers(self) -> list[Callable[[object, str, str | None], object]]:
        """Return the ``sseprog_authorize`` hooks, in pluggy's order: the latest plugin first.

        They are for the caller to ask one by one, since the answer of one may have to be awaited
        before it is known whether it is ``None``.
        """
        self._find()
        hooks = self._manager.hook.sseprog_authorize.get_hookimpls()
        return [_asking(_bound(hook)) for hook in reversed(hooks)]

    def observe(self, job_id: str, event: Event) -> None:
        """Show an event to the ``sseprog_event`` hooks. One that raises is logged, and no more."""
        self._find()
        for implementation in reversed(self._manager.hook.sseprog_event.get_hookimpls()):
            try:
                _bound(implementation)(job_id=job_id, event=event)
            except Exception:
                name = implementation.plugin_name
                logger.warning("plugin %r failed in sseprog_event", name, exc_info=True)

    def _find(self) -> None:
        """Load the built-in plugins and those of entry points, once."""
        if self._found:
            return
        with self._finding:  # another thread waits, lest it miss what is being loaded
            if self._looked:
                return
            self._looked = True
            for name in BUILT_IN:
                if not self._manager.has_plugin(name):
                    self._load(name, partial(importlib.import_module, name))
            for entry in entry_points(group=GROUP):
                self._load(f"{entry.name} ({entry.value})", entry.load)
            self._found = True

    def _load(self, name: str, load: Callable[[], object]) -> None:
        try:
            self.register(load(), name)
        except Exception as error:
            self._broken.append(name)
            logger.error("plugin %r was left out: %s: %s", name, type(error).__name__, error)

    def _unused(self, label: str) -> str:
        names = itertools.chain([label], (f"{label} {number}" for number in itertools.count(2)))
        return next(name for name in names if not self._manager.has_plugin(name))

    def _check_hooks(self, plugin: object) -> None:
        callers = self._manager.get_hookcallers(plugin)
        if not callers:
            raise TypeError("nothing in it is marked by hookimpl")
        for caller in callers:
            for hook in caller.get_hookimpls():
                # They are called one by one, and a wrapper has nothing to wrap.
                if hook.plugin is plugin and (hook.wrapper or hook.hookwrapper):
                    raise TypeError(f"{caller.name} can't be a wrapper")

    def _calls(self, hook: str, plugin: object) -> Iterator[Callable[..., Any]]:
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            if implementation.plugin is plugin:
                yield _bound(implementation)

    def _unknown(self, what: str, name: str, known: dict[str, Any]) -> str:
        text = f"unknown {what} {name!r}; known are {', '.join(sorted(known)) or 'none'}"
        if self._broken:
            text += f"; plugins left out because they failed: {', '.join(self._broken)}"
        return text


def _bound(implementation: pluggy.HookImpl) -> Callable[..., Any]:
    """Call a hook implementation by keywords; like all of pluggy's, it may want only some."""

    def call(**arguments: object) -> Any:
        return implementation.function(*(arguments[name] for name in implementation.argnames))

    return call


def _asking(call: Callable[..., object]) -> Callable[[object, str, str | None], object]:
    def ask(request: object, job_id: str, owner: str | None) -> object:
        return call(request=request, job_id=job_id, owner=owner)

    return ask


def _into(
    table: dict[str, Any], plugin: str, *, by_place: bool = False
) -> Callable[[str, Any], None]:
    def register(name: str, value: Any, /) -> None:
        if not isinstance(name, str):
            raise TypeError(f"a name is a str, not {name!r}")
        if name in table:
            raise ValueError(f"{name!r} is registered by plugin {table[name][1]!r} already")
        if not callable(value) and not (by_place and isinstance(value, str)):
            raise TypeError(f"{name!r}: {value!r} can't be called")
        table[name] = (value, plugin)

    return register
