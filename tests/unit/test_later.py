"""Modules that are loaded when they are first used, and those that `import reactor` does not load."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from reactor._later import later

# Each takes a millisecond or more, and a program without TLS and threads needs none of them.
LATER = ("asyncio", "concurrent.futures", "dataclasses", "inspect", "random", "ssl")


def printed(program: str) -> str:
    done = subprocess.run((sys.executable, "-c", program), capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_importLoadsNoModuleThatMayNotBeNeeded() -> None:
    found = "import sys; before = set(sys.modules); import reactor; print(*set(sys.modules) - before)"
    loaded = printed(found).split()
    assert "reactor.linereceiver" in loaded
    assert [name for name in LATER if name in loaded] == []


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
