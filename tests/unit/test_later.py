"""Modules that are loaded when they are first used, and those that `import reactor` does not load."""

from __future__ import annotations

import importlib.util
import json
import pathlib
import subprocess
import sys
from typing import Any

import pytest

from reactor import _later
from reactor._later import TRIES, later, loadForReactor

# Each takes a millisecond or more, and a program without TLS and threads needs none of them.
LATER = ("asyncio", "concurrent.futures", "dataclasses", "inspect", "random", "ssl")
# These are loaded when the first reactor is made: a running loop may need them at any time.
WITH_REACTOR = (
    "encodings.idna",
    "reactor.transports.adopting",
    "reactor.transports.children.process",
    "reactor.transports.tcp",
    "reactor.transports.tlsports",
    "reactor.transports.udp",
    "reactor.transports.unix.datagram",
    "reactor.transports.unix.stream",
    "subprocess",
)


def printed(program: str) -> str:
    done = subprocess.run((sys.executable, "-c", program), capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_importLoadsNoModuleThatMayNotBeNeeded() -> None:
    # On CPython 3.14 logging needs dataclasses, for colours.
    found = "import logging, sys; before = set(sys.modules); import reactor; print(*set(sys.modules) - before)"
    loaded = printed(found).split()
    assert "reactor.linereceiver" in loaded
    assert [name for name in (*LATER, *WITH_REACTOR) if name in loaded] == []


@pytest.mark.parametrize(
    ("use", "name"),
    [
        ("reactor.AsyncioReactor().close()", "asyncio"),
        ("reactor.optionsForClientTLS('example.com')", "ssl"),
        ("reactor.getThreadPool()", "concurrent.futures"),
    ],
)
def test_aUseLoadsWhatItNeeds(use: str, name: str) -> None:
    """The default reactor is made by the functions, and needs none of them."""
    assert printed(f"import reactor, sys; {use}; print({name!r} in sys.modules)") == "True"


@pytest.mark.parametrize("use", ["reactor.seconds()", "reactor.EpollReactor()", "reactor.AsyncioReactor()"])
def test_theFirstReactorLoadsWhatALoopMayNeed(use: str) -> None:
    """So a loop waits for no import, and none fails for want of a descriptor."""
    loaded = printed(f"import reactor, sys; kept = {use}; print(*sys.modules)").split()
    assert [name for name in WITH_REACTOR if name not in loaded] == []


def test_nothingIsLeftBehindTheFirstReactor() -> None:
    """No module that a reactor loads has others of its kind to load."""
    assert printed("import reactor; from reactor import _later; reactor.seconds(); print(_later._withReactor)") == "[]"


def test_aModuleThatAReactorCannotLoadIsTriedAgain(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting: list[Any] = []
    monkeypatch.setattr(_later, "_withReactor", waiting)
    namespace: dict[str, Any] = {}
    later("json", namespace, withReactor=True)
    missing = later("reactor.nothing", namespace, withReactor=True)
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError):
            loadForReactor()
        assert missing in waiting
    assert waiting == [missing]
    assert namespace["json"] is json


EXTENSIONS = [
    (name, str(spec.origin))
    for name in ("_ctypes", "_json", "_decimal", "_elementtree")
    if (spec := importlib.util.find_spec(name)) is not None and str(spec.origin).endswith(".so")
]


@pytest.mark.needs("strace")
@pytest.mark.parametrize("times", [1, 3, TRIES])
def test_anExtensionIsLoadedWhileCallsAreInterrupted(times: int, tmp_path: pathlib.Path) -> None:
    """The C library opens its file, and does not go on at EINTR. Python does, for the files that it opens itself."""
    assert EXTENSIONS, "this Python has every extension built in"
    name, path = EXTENSIONS[0]
    program = f"from reactor._later import later; print(later({name!r}, globals()).__name__)"
    log = tmp_path / "calls"
    tracer = ["strace", "-f", "-qq", "-o", str(log), "-P", path, "-e", "trace=openat"]
    tracer += ["-e", f"inject=openat:error=EINTR:when=1..{times}"]
    done = subprocess.run((*tracer, sys.executable, "-c", program), capture_output=True, text=True, check=False)
    assert log.read_text().count("INJECTED") == times
    if times < TRIES:
        assert (done.stdout, done.stderr) == (f"{name}\n", "")
    else:
        assert "ImportError" in done.stderr


def test_theModuleTakesTheStandInsPlace() -> None:
    namespace: dict[str, Any] = {}
    namespace["handlers"] = later("logging.handlers", namespace)
    standIn = namespace["handlers"]
    import logging.handlers

    assert standIn.QueueHandler is logging.handlers.QueueHandler
    assert namespace["handlers"] is logging.handlers
    assert standIn.QueueListener is logging.handlers.QueueListener  # also for a caller that has kept the stand-in


def test_whatTheModuleLacksIsAnAttributeError() -> None:
    namespace: dict[str, Any] = {}
    namespace["json"] = later("json", namespace)
    with pytest.raises(AttributeError, match="nothing"):
        _ = namespace["json"].nothing
    missing = later("reactor.nothing", {})
    with pytest.raises(ModuleNotFoundError):
        _ = missing.attribute
