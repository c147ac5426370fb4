"""Which reactor is meant when none is named."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from reactor import _current
from reactor.error import ReactorAlreadyInstalledError


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No default reactor, and nobody to make one; the one before comes back."""
    monkeypatch.setattr(_current, "_default", None)
    monkeypatch.setattr(_current, "_maker", None)
    before = _current._current.reactor
    _current.adopt(None)
    yield
    _current.adopt(before)


def make() -> Any:
    return object()


def inThread(function: Any) -> Any:
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


def test_nobodyToMakeOne() -> None:
    with pytest.raises(RuntimeError, match="no default reactor"):
        _current.current()


def test_theDefaultIsMadeOnceAndForEveryThread() -> None:
    made: list[Any] = []

    def maker() -> Any:
        made.append(make())
        return made[-1]

    _current.registerMaker(maker)
    gate = threading.Barrier(8)

    def ask() -> Any:
        gate.wait()
        return _current.current()

    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(ask())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert set(found) == {made[0]}
    assert _current.current() is made[0]


def test_install() -> None:
    _current.registerMaker(make)
    own = make()
    _current.install(own)
    _current.install(own)
    assert _current.current() is own
    with pytest.raises(ReactorAlreadyInstalledError):
        _current.install(make())
    assert _current.current() is own
    assert issubclass(ReactorAlreadyInstalledError, AssertionError)


def test_installAfterUse() -> None:
    _current.registerMaker(make)
    default = _current.current()
    with pytest.raises(ReactorAlreadyInstalledError):
        _current.install(make())
    assert _current.current() is default


def test_theOneThatRunsGoesFirst() -> None:
    default, outer, inner = make(), make(), make()
    _current.install(default)
    with _current.running(outer):
        assert _current.current() is outer
        assert inThread(_current.current) is default
        with contextlib.suppress(KeyError), _current.running(inner):
            assert _current.current() is inner
            raise KeyError
        assert _current.current() is outer
    assert _current.current() is default


def test_workersAdoptTheirs() -> None:
    own = make()

    def worker() -> Any:
        _current.adopt(own)
        return _current.current()

    _current.install(make())
    assert inThread(worker) is own
    assert _current.current() is not own
