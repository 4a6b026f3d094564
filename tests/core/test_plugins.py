"""Plugins: what they bring, how they are found, and that a bad one harms no other."""

import asyncio
import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sseprog import Hub, JobCancelled, JobFailed, PluginError, Progress, hookimpl, hookspecs
from sseprog._access import Access
from sseprog._event import Event
from sseprog.broker import Broker
from sseprog.brokers.memory import MemoryBroker
from sseprog.plugins import Plugins

from .event_stream import events

MakeHub = Callable[..., Hub]
Answer = bool | None
Allows = Callable[..., Awaitable[bool]]


def count_to_two() -> Iterator[Progress]:
    yield Progress(50, stage="counting")
    yield Progress(100, stage="counting")


async def count_to_one() -> Any:
    yield Progress(100, stage="counting")


class Bringing:
    """A plugin that registers emitters, or brokers by the second argument."""

    def __init__(self, emitters: Any = (), brokers: Any = ()) -> None:
        self.emitters = emitters
        self.brokers = brokers

    @hookimpl
    def sseprog_register_emitters(self, register: hookspecs.RegisterEmitter) -> None:
        for name, emitter in self.emitters:
            register(name, emitter)

    @hookimpl
    def sseprog_register_brokers(self, register: hookspecs.RegisterBroker) -> None:
        for scheme, broker in self.brokers:
            register(scheme, broker)


class Watching:
    """A plugin that remembers the events that it was shown."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Event]] = []

    @hookimpl
    def sseprog_event(self, job_id: str, event: Event) -> None:
        self.seen.append((job_id, event))

    @property
    def names(self) -> list[str]:
        return [event.name for _, event in self.seen]


class Deciding:
    """A plugin that lets see, refuses, or leaves it to the next."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[tuple[object, str, str | None]] = []

    @hookimpl
    def sseprog_authorize(self, request: object, job_id: str, owner: str | None) -> Answer:
        self.asked.append((request, job_id, owner))
        return self.answer


class DecidingLater(Deciding):
    @hookimpl
    async def sseprog_authorize(  # type: ignore[override]
        self, request: object, job_id: str, owner: str | None
    ) -> Answer:
        await asyncio.sleep(0)
        return super().sseprog_authorize(request, job_id, owner)


class DecidingByAFuture(Deciding):
    @hookimpl
    def sseprog_authorize(  # type: ignore[override]
        self, request: object, job_id: str, owner: str | None
    ) -> Awaitable[Answer]:
        async def answer() -> Answer:
            self.asked.append((request, job_id, owner))
            return self.answer

        return answer()


def module_of(name: str, **functions: Any) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(functions)
    return module


# A plugin that is given


@hookimpl
def register_counting(register: hookspecs.RegisterEmitter) -> None:
    register("count", count_to_two)


@pytest.mark.parametrize(
    "plugin",
    [
        Bringing([("count", count_to_two)]),
        module_of("counting", sseprog_register_emitters=register_counting),
    ],
    ids=["object", "module"],
)
def test_an_emitter_is_started_by_its_name(hub: Hub, plugin: object) -> None:
    hub.plugins.register(plugin)
    assert hub.run("count").status == "completed"
    job_id = hub.start("count")
    *_, last = events(*hub.stream(job_id))
    assert (last.name, last.state["stage"]) == ("complete", "counting")


def test_a_plugin_brings_as_many_emitters_as_it_likes_of_either_kind(hub: Hub) -> None:
    hub.plugins.register(Bringing([("two", count_to_two), ("one", count_to_one)]))
    assert hub.plugins.emitter("two") is count_to_two
    assert hub.run("one").progress == 100


def test_each_hub_has_plugins_of_its_own(make_hub: MakeHub) -> None:
    hub, other = make_hub(), make_hub()
    plugin = Bringing([("count", count_to_two)])
    hub.plugins.register(plugin)
    with pytest.raises(ValueError, match="unknown emitter 'count'"):
        other.plugins.emitter("count")
    other.plugins.register(plugin)
    assert other.plugins.emitter("count") is count_to_two


def test_a_plugin_may_come_after_others_were_used(hub: Hub) -> None:
    assert callable(hub.plugins.emitter("ffmpeg"))
    hub.plugins.register(Bringing([("count", count_to_two)]))
    assert hub.plugins.emitter("count") is count_to_two


@pytest.mark.parametrize(
    "broker", [MemoryBroker, "sseprog.brokers.memory:MemoryBroker"], ids=["class", "place"]
)
def test_a_broker_is_found_by_the_scheme_of_its_url(broker: type[Broker] | str) -> None:
    plugins = Plugins()
    plugins.register(Bringing(brokers=[("shelf", broker)]))
    assert plugins.broker("shelf") is MemoryBroker
    assert plugins.broker("memory") is MemoryBroker


def test_a_broker_that_is_named_by_its_place_is_imported_when_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{tmp_path.name}_broker".replace("-", "_")
    code = "from sseprog.brokers.memory import MemoryBroker as Shelf\n"
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    plugins = Plugins()
    plugins.register(Bringing(brokers=[("shelf", f"{name}:Shelf")]))
    assert plugins.broker("memory") is MemoryBroker
    assert name not in sys.modules
    assert plugins.broker("shelf") is MemoryBroker
    del sys.modules[name]


def test_an_unknown_emitter_is_refused_with_the_known_ones(hub: Hub) -> None:
    hub.plugins.register(Bringing([("zebra", count_to_two), ("ant", count_to_two)]))
    with pytest.raises(ValueError, match="unknown emitter 'nope'") as refused:
        hub.start("nope")
    assert str(refused.value) == "unknown emitter 'nope'; known are ant, ffmpeg, zebra"


def test_an_unknown_broker_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown broker scheme 'nope'") as refused:
        Hub("nope://localhost")
    assert str(refused.value).startswith(
        "unknown broker scheme 'nope'; known are memory, postgres, postgresql, redis, "
    )


def test_a_job_is_not_created_for_an_emitter_that_is_not_known(hub: Hub) -> None:
    with pytest.raises(ValueError, match="unknown emitter"):
        hub.start("nope", job_id="j")
    assert hub.create("j") == "j"


def test_the_first_to_ask_finds_all_and_so_do_those_who_ask_meanwhile() -> None:
    plugins = Plugins()
    together = threading.Barrier(8)
    found: list[object] = []

    def ask() -> None:
        together.wait()
        found.append(plugins.emitter("ffmpeg"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert found == [plugins.emitter("ffmpeg")] * 8


# A plugin that fails


class FailsOnce(Watching):
    """It fails after it has registered something, but only the first time."""

    def __init__(self) -> None:
        super().__init__()
        self.fails = True

    @hookimpl
    def sseprog_register_emitters(self, register: hookspecs.RegisterEmitter) -> None:
        register("early", count_to_two)

    @hookimpl
    def sseprog_register_brokers(self, register: hookspecs.RegisterBroker) -> None:
        register("shelf", MemoryBroker)
        if self.fails:
            self.fails = False
            raise OSError("no licence")

    @hookimpl
    def sseprog_authorize(self) -> bool:
        return True


def test_a_plugin_that_fails_is_named_and_nothing_of_it_is_taken(hub: Hub) -> None:
    plugin = FailsOnce()
    with pytest.raises(PluginError, match="FailsOnce") as refused:
        hub.plugins.register(plugin)
    assert "no licence" in str(refused.value)
    assert isinstance(refused.value.__cause__, OSError)
    for find, name in ((hub.plugins.emitter, "early"), (hub.plugins.broker, "shelf")):
        with pytest.raises(ValueError, match=f"unknown .* '{name}'"):
            find(name)
    assert hub.plugins.authorizers() == []
    hub.run(count_to_two)
    assert plugin.seen == []


def test_a_plugin_that_failed_may_be_registered_when_it_has_been_put_right(hub: Hub) -> None:
    plugin = FailsOnce()
    with pytest.raises(PluginError):
        hub.plugins.register(plugin)
    hub.plugins.register(plugin)
    assert hub.plugins.emitter("early") is count_to_two
    assert hub.plugins.broker("shelf") is MemoryBroker
    assert len(hub.plugins.authorizers()) == 1


@pytest.mark.parametrize(
    ("plugin", "name", "label"),
    [
        (Bringing([("a", 5)]), None, "Bringing"),
        (Bringing([("a", 5)]), "mine", "mine"),
        (module_of("counting", sseprog_evnt=register_counting), None, "counting"),
        (module_of("counting", sseprog_evnt=register_counting), "mine", "mine"),
    ],
    ids=["class", "named object", "module", "named module"],
)
def test_a_plugin_is_called_by_the_name_it_was_given_or_has(
    hub: Hub, plugin: object, name: str | None, label: str
) -> None:
    with pytest.raises(PluginError, match=f"plugin '{label}' can't be registered"):
        hub.plugins.register(plugin, name)


@pytest.mark.parametrize(
    "misspelt", ["sseprog_evnt", "sseprog_register_emitter", "sseprog_authorise", "event"]
)
def test_a_hook_whose_name_is_misspelt_is_refused(hub: Hub, misspelt: str) -> None:
    @hookimpl
    def hook() -> None: ...

    with pytest.raises(PluginError, match=f"'{misspelt}'"):
        hub.plugins.register(module_of("careless", **{misspelt: hook}))
    hub.run(count_to_two)


def test_a_hook_that_wants_what_there_is_not_is_refused(hub: Hub) -> None:
    class Demanding:
        @hookimpl
        def sseprog_event(self, job_id: str, colour: str) -> None: ...

    with pytest.raises(PluginError, match="colour"):
        hub.plugins.register(Demanding())
    hub.run(count_to_two)


class WrapsInTheNewWay:
    @hookimpl(wrapper=True)
    def sseprog_authorize(self, request: object) -> Any:
        yield
        return False


class WrapsInTheOldWay:
    @hookimpl(hookwrapper=True)
    def sseprog_authorize(self, request: object) -> Any:
        yield


@pytest.mark.parametrize("wrapper", [WrapsInTheNewWay, WrapsInTheOldWay])
async def test_a_hook_wrapper_is_refused_or_opens_no_job(
    hub: Hub, allows: Allows, wrapper: Callable[[], object]
) -> None:
    """A wrapper is a generator function; what it returns when it is called is true, always."""
    hub.create("j", owner="7")
    with contextlib.suppress(PluginError):
        hub.plugins.register(wrapper())
    assert await allows(hub, "8") is False


@pytest.mark.parametrize(
    ("emitters", "brokers"),
    [
        pytest.param([("a", None)], [], id="an emitter that is None"),
        pytest.param([("a", 5)], [], id="an emitter that is a number"),
        pytest.param([("a", "package.module:a")], [], id="an emitter that is a str"),
        pytest.param([(5, count_to_two)], [], id="an emitter named 5"),
        pytest.param([(None, count_to_two)], [], id="an emitter named None"),
        pytest.param([([], count_to_two)], [], id="an emitter named []"),
        pytest.param([], [("a", None)], id="a broker that is None"),
        pytest.param([], [("a", 5)], id="a broker that is a number"),
        pytest.param([], [(5, MemoryBroker)], id="a broker named 5"),
    ],
)
def test_what_is_no_emitter_no_broker_or_no_name_is_refused(
    hub: Hub, emitters: Any, brokers: Any
) -> None:
    with pytest.raises(PluginError, match="Bringing"):
        hub.plugins.register(Bringing(emitters, brokers))
    with pytest.raises(ValueError, match=r"known are ffmpeg$"):
        hub.plugins.emitter("nope")


# Two plugins, one name


def test_a_name_that_is_taken_is_refused_with_who_took_it(hub: Hub) -> None:
    first = Bringing([("count", count_to_two)], [("shelf", MemoryBroker)])
    hub.plugins.register(first, "first")
    for second in (Bringing([("count", count_to_one)]), Bringing((), [("shelf", MemoryBroker)])):
        with pytest.raises(PluginError, match="is registered by plugin 'first' already"):
            hub.plugins.register(second, "second")
    assert hub.plugins.emitter("count") is count_to_two


@pytest.mark.parametrize(("kind", "name"), [("emitters", "ffmpeg"), ("brokers", "memory")])
def test_a_built_in_name_that_is_in_use_is_refused_too(hub: Hub, kind: str, name: str) -> None:
    before = (hub.plugins.emitter("ffmpeg"), hub.plugins.broker("memory"))
    with pytest.raises(PluginError, match=f"'{name}' is registered by plugin 'sseprog"):
        hub.plugins.register(Bringing(**{kind: [(name, MemoryBroker)]}))
    assert (hub.plugins.emitter("ffmpeg"), hub.plugins.broker("memory")) == before


def test_a_name_that_a_plugin_registers_twice_is_refused(hub: Hub) -> None:
    with pytest.raises(PluginError, match="'count' is registered"):
        hub.plugins.register(Bringing([("count", count_to_two), ("count", count_to_two)]))
    with pytest.raises(ValueError, match="unknown emitter 'count'"):
        hub.plugins.emitter("count")


async def test_a_plugin_that_is_registered_twice_is_refused_and_stays(
    hub: Hub, allows: Allows
) -> None:
    """It may be one that keeps people out."""
    plugin = Deciding(False)
    watching = Watching()
    hub.create("j")
    hub.plugins.register(plugin)
    hub.plugins.register(watching, "watching")
    with pytest.raises(PluginError, match="Deciding"):
        hub.plugins.register(plugin)
    with pytest.raises(PluginError, match="watching"):
        hub.plugins.register(watching, "watching")
    assert await allows(hub) is False
    hub.run(count_to_two)
    assert watching.names == ["progress"] * 4 + ["complete"]


def test_two_plugins_of_one_kind_may_be_there(hub: Hub) -> None:
    plugins = [Watching(), Watching()]
    for plugin in plugins:
        hub.plugins.register(plugin)
    hub.run(count_to_two)
    assert plugins[0].seen == plugins[1].seen != []


def test_the_name_of_another_plugin_is_refused_and_that_one_stays(hub: Hub) -> None:
    first, second = Watching(), Watching()
    hub.plugins.register(first, "watching")
    with pytest.raises(PluginError, match="watching"):
        hub.plugins.register(second, "watching")
    hub.run(count_to_two)
    assert len(first.seen) == 5
    assert second.seen == []


# Entry points


def install(folder: Path, entry_points: dict[str, str], **modules: str) -> None:
    """Write an installed distribution into a folder: its modules, and its entry points."""
    for name, code in modules.items():
        (folder / f"{name}.py").write_text(code)
    info = folder / "tiny-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
    lines = [f"{name} = {value}\n" for name, value in entry_points.items()]
    (info / "entry_points.txt").write_text("[sseprog]\n" + "".join(lines))


def run(folder: Path, program: str) -> tuple[Any, str]:
    """Run a program that sees what is installed there; return the JSON it prints, and stderr."""
    ran = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", program],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout), ran.stderr


TINY = """
from sseprog import Progress, hookimpl
from sseprog.brokers.memory import MemoryBroker

seen = []

def hello(name):
    yield Progress(50, message="Hello " + name)
    return {"name": name}

class Shelf(MemoryBroker):
    def __init__(self, url, settings):
        self.url = url
        super().__init__("memory://", settings)

@hookimpl
def sseprog_register_emitters(register):
    register("hello", hello)

@hookimpl
def sseprog_register_brokers(register):
    register("shelf", "tiny:Shelf")

@hookimpl
def sseprog_event(job_id, event):
    seen.append([job_id, event.name])

@hookimpl
def sseprog_authorize(owner):
    return owner == "7"
"""

AS_OBJECT = """
from sseprog import hookimpl

class Plugin:
    @hookimpl
    def sseprog_register_emitters(self, register):
        register("other", list)

plugin = Plugin()
"""


def test_an_installed_plugin_is_found_by_its_entry_point(tmp_path: Path) -> None:
    install(tmp_path, {"tiny": "tiny", "object": "other:plugin"}, tiny=TINY, other=AS_OBJECT)
    found, stderr = run(
        tmp_path,
        """
import json, sys
from sseprog import Hub
hub = Hub("shelf://top")
before = "other" in sys.modules
job_id = hub.start("hello", job_id="j", name="Ada")
body = b"".join(hub.stream(job_id)).decode()
hub.close()
import tiny
print(json.dumps({
    "broker": type(hub.broker).__name__,
    "url": hub.broker.url,
    "details": hub.snapshot(job_id).details,
    "ended": "event: complete" in body,
    "seen": tiny.seen[-1],
    "authorizers": len(hub.plugins.authorizers()),
    "other": hub.plugins.emitter("other") is list,
}))
""",
    )
    assert found == {
        "broker": "Shelf",
        "url": "shelf://top",
        "details": {"name": "Ada"},
        "ended": True,
        "seen": ["j", "complete"],
        "authorizers": 1,
        "other": True,
    }
    assert stderr == ""


def test_plugins_are_not_imported_before_they_are_needed(tmp_path: Path) -> None:
    install(tmp_path, {"tiny": "tiny"}, tiny=TINY)
    found, _ = run(
        tmp_path,
        """
import json, sys
import sseprog
imported = ["tiny" in sys.modules]
hub = sseprog.Hub()
imported.append("tiny" in sys.modules)
hub.plugins.emitter("hello")
imported.append("tiny" in sys.modules)
print(json.dumps(imported))
""",
    )
    assert found == [False, False, True]


RAISES_AS_IT_REGISTERS = """
from sseprog import hookimpl

@hookimpl
def sseprog_register_emitters(register):
    register("half", list)
    raise OSError("no licence")
"""
TAKES_A_BUILT_IN_NAME = """
from sseprog import hookimpl

@hookimpl
def sseprog_register_emitters(register):
    register("half", list)
    register("ffmpeg", list)
"""
MISSPELT = """
from sseprog import hookimpl

@hookimpl
def sseprog_evnt(job_id): ...
"""


@pytest.mark.parametrize(
    ("value", "code", "reason"),
    [
        ("bad", "import no_such_module", "No module named 'no_such_module'"),
        ("bad", "raise RuntimeError('no licence')", "no licence"),
        ("bad", "def broken(:", "SyntaxError"),
        ("bad", RAISES_AS_IT_REGISTERS, "no licence"),
        ("bad", TAKES_A_BUILT_IN_NAME, "'ffmpeg' is registered"),
        ("bad", MISSPELT, "sseprog_evnt"),
        ("not_there", "", "No module named 'not_there'"),
        ("bad:plugin", "", "has no attribute 'plugin'"),
    ],
    ids=[
        "import",
        "raises",
        "syntax",
        "registers",
        "built-in name",
        "misspelt",
        "no module",
        "no attribute",
    ],
)
def test_an_installed_plugin_that_fails_is_left_out_and_named_and_all_others_work(
    tmp_path: Path, value: str, code: str, reason: str
) -> None:
    install(tmp_path, {"broken": value, "tiny": "tiny"}, tiny=TINY, bad=code)
    found, stderr = run(
        tmp_path,
        """
import json
from sseprog import Hub
hub = Hub("shelf://top")
state = hub.run("hello", name="Ada")
errors = []
for ask in (lambda: hub.start("half"), lambda: Hub("nope://")):
    try:
        ask()
    except ValueError as error:
        errors.append(str(error))
print(json.dumps([state.status, hub.plugins.emitter("ffmpeg").__name__, errors]))
hub.close()
""",
    )
    label = f"broken ({value})"
    assert found[:2] == ["completed", "transcode"]
    [unknown_emitter, unknown_broker] = found[2]
    left_out = f"plugins left out because they failed: {label}"
    assert unknown_emitter == f"unknown emitter 'half'; known are ffmpeg, hello; {left_out}"
    assert unknown_broker.startswith("unknown broker scheme 'nope'; known are memory, ")
    assert ", shelf, " in unknown_broker
    assert left_out in unknown_broker
    logged = [line for line in stderr.splitlines() if "was left out" in line]
    assert len(logged) == 2  # once for each hub, since each has its plugins
    assert all(repr(label) in line and reason in line for line in logged)


# Who may watch


@pytest.fixture(params=["coroutine", "thread"])
def allows(request: pytest.FixtureRequest) -> Allows:
    """Decide as under ASGI, in a coroutine, or as under WSGI, in a thread."""

    async def decide(
        hub: Hub,
        user: str | None = None,
        *,
        job_id: str = "j",
        authorize: Any = None,
        passing: tuple[type[Exception], ...] = (),
    ) -> bool:
        access = Access(hub, authorize, user_of=lambda request: request, passing=passing)
        if request.param == "coroutine":
            return await access.allows_async(user, job_id)
        return await asyncio.to_thread(access.allows, user, job_id)

    return decide


@pytest.mark.parametrize(
    ("owner", "user", "allowed"),
    [
        (None, None, True),
        (None, "8", True),
        ("7", "7", True),
        (7, "7", True),
        ("7", "8", False),
        ("7", None, False),
        ("", "", True),
        ("", None, False),
        ("None", None, False),
    ],
)
@pytest.mark.parametrize("hooks", [[], [None], [None, None]], ids=["no hook", "one", "two"])
async def test_where_no_plugin_decides_a_job_is_for_its_owner(
    hub: Hub,
    allows: Allows,
    owner: str | int | None,
    user: str | None,
    allowed: bool,
    hooks: list[Answer],
) -> None:
    for answer in hooks:
        hub.plugins.register(Deciding(answer))
    hub.create("j", owner=owner)
    assert await allows(hub, user) is allowed


@pytest.mark.parametrize("kind", [Deciding, DecidingLater, DecidingByAFuture])
@pytest.mark.parametrize(
    ("owner", "user", "answer", "allowed"),
    [
        (None, None, False, False),
        ("7", "7", False, False),
        ("7", "8", True, True),
        ("7", None, True, True),
        ("7", "7", None, True),
        ("7", "8", None, False),
        (None, None, None, True),
    ],
)
async def test_what_a_plugin_decides_goes_before_the_owner(
    hub: Hub,
    allows: Allows,
    kind: type[Deciding],
    owner: str | None,
    user: str | None,
    answer: Answer,
    allowed: bool,
) -> None:
    plugin = kind(answer)
    hub.plugins.register(plugin)
    hub.create("j", owner=owner)
    assert await allows(hub, user) is allowed
    assert plugin.asked == [(user, "j", owner)]


@pytest.mark.parametrize(
    ("answers", "allowed", "asked"),
    [
        ([False, True], True, [0, 1]),
        ([True, False], False, [0, 1]),
        ([True, None], True, [1, 1]),
        ([False, None, None], False, [1, 1, 1]),
        ([None, True, None], True, [0, 1, 1]),
        ([None, None, False], False, [0, 0, 1]),
    ],
)
@pytest.mark.parametrize("kinds", [[Deciding], [DecidingLater], [Deciding, DecidingLater]])
async def test_the_latest_plugin_is_asked_first_and_the_first_answer_wins(
    hub: Hub,
    allows: Allows,
    kinds: list[type[Deciding]],
    answers: list[Answer],
    allowed: bool,
    asked: list[int],
) -> None:
    plugins = [kinds[n % len(kinds)](answer) for n, answer in enumerate(answers)]
    for plugin in plugins:
        hub.plugins.register(plugin)
    hub.create("j")
    assert await allows(hub) is allowed
    assert [len(plugin.asked) for plugin in plugins] == asked


async def test_a_plugin_may_ask_to_be_first_or_last(hub: Hub, allows: Allows) -> None:
    asked = []

    def plugin(name: str, **options: bool) -> ModuleType:
        @hookimpl(**options)  # type: ignore[call-overload]
        def sseprog_authorize() -> None:
            asked.append(name)

        return module_of(name, sseprog_authorize=sseprog_authorize)

    hub.plugins.register(plugin("first", tryfirst=True))
    hub.plugins.register(plugin("one"))
    hub.plugins.register(plugin("two"))
    hub.plugins.register(plugin("last", trylast=True))
    hub.create("j")
    await allows(hub)
    assert asked == ["first", "two", "one", "last"]


@pytest.mark.parametrize("answer", [True, False])
@pytest.mark.parametrize("later", [False, True], ids=["sync", "async"])
async def test_the_applications_own_authorize_decides_alone(
    hub: Hub, allows: Allows, answer: bool, later: bool
) -> None:
    plugin = Deciding(not answer)
    hub.plugins.register(plugin)
    hub.create("j", owner="7")

    def authorize(request: object, job_id: str, owner: str | None) -> bool:
        assert (request, job_id, owner) == ("8", "j", "7")
        return answer

    async def authorize_later(request: object, job_id: str, owner: str | None) -> bool:
        return authorize(request, job_id, owner)

    chosen = authorize_later if later else authorize
    assert await allows(hub, "8", authorize=chosen) is answer
    assert plugin.asked == []


async def test_nobody_is_asked_about_a_job_that_is_not_there(hub: Hub, allows: Allows) -> None:
    plugin = Deciding(True)
    hub.plugins.register(plugin)
    assert await allows(hub, job_id="unknown") is False
    assert plugin.asked == []


class Refused(Exception):
    pass


@pytest.mark.parametrize("later", [False, True], ids=["sync", "async"])
async def test_a_plugin_that_raises_refuses_and_is_logged(
    hub: Hub, allows: Allows, caplog: pytest.LogCaptureFixture, later: bool
) -> None:
    @hookimpl
    def fail() -> None:
        raise Refused("the database is gone")

    @hookimpl
    async def fail_later() -> None:
        raise Refused("the database is gone")

    asked_after = Deciding(True)
    hub.plugins.register(asked_after)
    hub.plugins.register(module_of("failing", sseprog_authorize=fail_later if later else fail))
    hub.create("j")
    assert await allows(hub) is False
    assert asked_after.asked == []
    [record] = caplog.records
    assert (record.name, record.levelno) == ("sseprog", logging.ERROR)
    assert "job j" in record.getMessage()
    with pytest.raises(Refused):
        await allows(hub, passing=(Refused,))


async def test_a_plugin_that_is_not_async_may_take_its_time(hub: Hub) -> None:
    threads = []

    @hookimpl
    def wait_for_database() -> bool:
        threads.append(threading.current_thread())
        return True

    @hookimpl
    async def stay_in_the_loop() -> None:
        threads.append(threading.current_thread())

    hub.plugins.register(module_of("sync", sseprog_authorize=wait_for_database))
    hub.plugins.register(module_of("async", sseprog_authorize=stay_in_the_loop))
    hub.create("j")
    access = Access(hub, None, user_of=lambda request: None, passing=())
    assert await access.allows_async(None, "j") is True
    assert threads[0] is threading.current_thread()
    assert threads[1] is not threading.current_thread()


@pytest.mark.parametrize(
    "take",
    [
        lambda: True,
        lambda request: request == "8",
        lambda job_id: job_id == "j",
        lambda owner: owner == "7",
        lambda owner, request: (owner, request) == ("7", "8"),
        lambda job_id, owner, request: (job_id, owner, request) == ("j", "7", "8"),
    ],
    ids=["none", "request", "job_id", "owner", "two", "another order"],
)
async def test_a_hook_takes_the_arguments_that_it_wants(
    hub: Hub, allows: Allows, take: Any
) -> None:
    hub.plugins.register(module_of("modest", sseprog_authorize=hookimpl(take)))
    hub.create("j", owner="7")
    assert await allows(hub, "8") is True


async def test_a_hook_may_be_of_any_name_that_says_which_it_is(hub: Hub, allows: Allows) -> None:
    class Plugin:
        @hookimpl(specname="sseprog_authorize")
        def only_in_the_office(self, request: object) -> bool:
            return False

    hub.plugins.register(Plugin())
    hub.create("j")
    assert await allows(hub) is False


# Who looks on


def end_well(hub: Hub) -> None:
    with hub.job("j") as job:
        job.update(50, stage="a")


def fail(hub: Hub) -> None:
    with pytest.raises(JobFailed), hub.job("j") as job:
        job.update(50, stage="a")
        raise JobFailed("no")


def fail_unexpectedly(hub: Hub) -> None:
    with pytest.raises(OSError, match="secret"), hub.job("j"):
        raise OSError("secret")


def cancel_it_running(hub: Hub) -> None:
    def count() -> Iterator[Progress]:
        yield Progress(1)
        hub.cancel("j")
        yield Progress(2)

    with pytest.raises(JobCancelled):
        hub.run(count, job_id="j")


def cancel_it_pending(hub: Hub) -> None:
    hub.cancel("j")


@pytest.mark.parametrize(
    ("happen", "names"),
    [
        (end_well, ["progress", "progress", "complete"]),
        (fail, ["progress", "progress", "error"]),
        (fail_unexpectedly, ["progress", "error"]),
        (cancel_it_running, ["progress", "progress", "error"]),
        (cancel_it_pending, ["error"]),
    ],
)
def test_an_observer_sees_every_event_once_as_the_streams_do(
    hub: Hub, happen: Callable[[Hub], None], names: list[str]
) -> None:
    watching = Watching()
    hub.plugins.register(watching)
    hub.create("j")
    happen(hub)
    assert watching.names == ["progress", *names]
    first, *others = events(*hub.stream("j", from_start=True))
    assert first.name == "status"
    assert [(job_id, event.name, event.data.decode()) for job_id, event in watching.seen] == [
        ("j", "progress", first.data),  # how it was made
        *(("j", seen.name, seen.data) for seen in others),
    ]


def test_an_observer_sees_the_end_of_a_job_in_the_background_once(hub: Hub) -> None:
    watching = Watching()
    hub.plugins.register(watching)
    for _ in hub.stream(hub.start(count_to_two)):
        pass
    hub.close()  # after which no thread of it is at work
    assert [name for name in watching.names if name != "progress"] == ["complete"]


def test_an_observer_sees_the_end_of_a_job_that_was_never_started(make_hub: MakeHub) -> None:
    hub = make_hub(workers=1)
    watching = Watching()
    hub.plugins.register(watching)
    begun, may_end = threading.Event(), threading.Event()
    workers = []

    def block() -> Iterator[Progress]:
        workers.append(threading.current_thread())
        begun.set()
        assert may_end.wait(10)
        yield Progress(1)

    hub.start(block, job_id="first")
    assert begun.wait(10)
    hub.start(count_to_two, job_id="second")
    hub.close(timeout=0)
    may_end.set()
    workers[0].join(10)
    ends = [(job_id, event.name) for job_id, event in watching.seen if event.name != "progress"]
    assert sorted(ends) == [("first", "error"), ("second", "error")]


def test_an_observer_that_looks_at_the_job_finds_the_event_that_it_is_shown(hub: Hub) -> None:
    found = []

    @hookimpl
    def look(job_id: str, event: Event) -> None:
        now = hub.snapshot(job_id)
        found.append((now.to_json(), now) == (event.data, event.progress))

    hub.plugins.register(module_of("looking", sseprog_event=look))
    hub.run(count_to_two)
    assert found == [True] * 5


def test_an_observer_is_shown_no_report_that_was_merged(make_hub: MakeHub) -> None:
    hub = make_hub(throttle=3600)
    watching = Watching()
    hub.plugins.register(watching)
    with hub.job("j") as job:
        for n in range(90):
            job.update(n)
    assert watching.names == ["progress", "progress", "complete"]


class FailsAsItWatches:
    @hookimpl
    def sseprog_event(self, event: Event) -> None:
        raise OSError(f"no metrics server for {event.name}")


@hookimpl
def fail_as_it_watches(job_id: str) -> None:
    raise OSError(f"no metrics server for {job_id}")


@pytest.mark.parametrize(
    ("plugin", "name", "label"),
    [
        (FailsAsItWatches(), "metrics", "metrics"),
        (FailsAsItWatches(), None, "FailsAsItWatches"),
        (module_of("my_metrics", sseprog_event=fail_as_it_watches), None, "my_metrics"),
    ],
    ids=["named object", "object", "module"],
)
def test_an_observer_that_raises_is_named_in_a_warning_and_stops_nothing(
    hub: Hub, caplog: pytest.LogCaptureFixture, plugin: object, name: str | None, label: str
) -> None:
    before, after = Watching(), Watching()
    hub.plugins.register(before)
    hub.plugins.register(plugin, name)
    hub.plugins.register(after)
    assert hub.run(count_to_two, job_id="j").status == "completed"
    assert before.names == after.names == ["progress"] * 4 + ["complete"]
    assert len(caplog.records) == 5
    for record in caplog.records:
        assert (record.name, record.levelno) == ("sseprog", logging.WARNING)
        assert f"plugin '{label}' failed in sseprog_event" in record.getMessage()
        assert record.exc_info is not None
        assert isinstance(record.exc_info[1], OSError)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda tell: lambda: tell("called"), ["called", "called"]),
        (lambda tell: lambda job_id: tell(job_id), ["j", "j"]),
        (lambda tell: lambda event: tell(event.name), ["progress", "error"]),
        (
            lambda tell: lambda event, job_id: tell(f"{job_id} {event.name}"),
            ["j progress", "j error"],
        ),
    ],
    ids=["none", "job_id", "event", "another order"],
)
def test_an_observer_takes_the_arguments_that_it_wants(
    hub: Hub, make: Any, told: list[str]
) -> None:
    heard: list[str] = []
    hub.plugins.register(module_of("modest", sseprog_event=hookimpl(make(heard.append))))
    hub.create("j")
    hub.cancel("j")
    assert heard == told


# All hooks


def hooks() -> list[str]:
    return [name for name, value in vars(hookspecs).items() if hasattr(value, "sseprog_spec")]


def test_there_are_hooks() -> None:
    assert sorted(hooks()) == [
        "sseprog_authorize",
        "sseprog_event",
        "sseprog_register_brokers",
        "sseprog_register_emitters",
    ]


@pytest.mark.parametrize("hook", hooks())
def test_every_hook_is_implemented_by_a_plugin_of_this_module(hook: str) -> None:
    assert f"    @hookimpl\n    def {hook}(" in Path(__file__).read_text("utf-8")


@pytest.mark.parametrize("hook", hooks())
def test_every_hook_says_what_it_is_for(hook: str) -> None:
    assert getattr(hookspecs, hook).__doc__
