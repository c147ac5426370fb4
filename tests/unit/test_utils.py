"""getProcessOutput and its like, beside Twisted's."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import twisted.internet.defer
import twisted.internet.utils

import reactor.utils
from reactor import Deferred
from tests.support.children import SHELL, Children, children
from tests.support.worlds import OURS, TWISTED

MODULES = {"ours": reactor.utils, "twisted": twisted.internet.utils}


@pytest.fixture(params=[OURS, TWISTED], ids=lambda side: side.name)
def side(request: pytest.FixtureRequest) -> Iterator[SimpleNamespace]:
    with children(request.param) as world:
        yield SimpleNamespace(world=world, utils=MODULES[request.param.name], reactor=world.reactor)


def resultOf(world: Children, deferred: Any) -> Any:
    """Return the result of the Deferred, or the value of its failure."""
    found: list[Any] = []
    deferred.addCallbacks(found.append, lambda failure: found.append(failure.value))
    world.until(lambda: found)
    return found[0]


def test_output(side: SimpleNamespace) -> None:
    deferred = side.utils.getProcessOutput(SHELL, ("-c", "echo $X; pwd; exit 3"), {"X": "x"}, "/usr", side.reactor)
    assert resultOf(side.world, deferred) == b"x\n/usr\n"


def test_outputAndErrors(side: SimpleNamespace) -> None:
    script = "echo out; echo err >&2"
    deferred = side.utils.getProcessOutput(SHELL, ("-c", script), reactor=side.reactor, errortoo=True)
    assert sorted(resultOf(side.world, deferred).split()) == [b"err", b"out"]


def test_unexpectedErrors(side: SimpleNamespace) -> None:
    """It fails at the first of them; the end of the child comes separately."""
    script = "echo err >&2; read x; echo more >&2; exit 4"
    deferred = side.utils.getProcessOutput(SHELL, ("-c", script), reactor=side.reactor)
    error = resultOf(side.world, deferred)
    assert issubclass(type(error), OSError)
    assert str(error) == "got stderr: b'err\\n'"
    ended = resultOf(side.world, error.processEnded)
    assert type(ended).__name__ == "ProcessTerminated"


def test_moreErrorsAtOnce(side: SimpleNamespace) -> None:
    """Further output, after the failure, changes nothing."""
    protocols: list[Any] = []
    spawn = side.reactor.spawnProcess

    class Seen:
        def spawnProcess(self, protocol: Any, *args: Any) -> Any:
            protocols.append(protocol)
            return spawn(protocol, *args)

    deferred = side.utils.getProcessOutput(SHELL, ("-c", "echo err >&2; read x"), reactor=Seen())
    error = resultOf(side.world, deferred)
    protocols[0].errReceived(b"more")
    resultOf(side.world, error.processEnded)


@pytest.mark.parametrize(("script", "value"), [("exit 0", 0), ("exit 200", 200), ("kill -9 $$", None)])
def test_value(side: SimpleNamespace, script: str, value: int | None) -> None:
    assert resultOf(side.world, side.utils.getProcessValue(SHELL, ("-c", script), reactor=side.reactor)) == value


def test_outputAndValue(side: SimpleNamespace) -> None:
    script = "cat; echo err >&2; exit 7"
    deferred = side.utils.getProcessOutputAndValue(SHELL, ("-c", script), {}, None, side.reactor, b"input")
    assert resultOf(side.world, deferred) == (b"input", b"err\n", 7)


def test_outputAndSignal(side: SimpleNamespace) -> None:
    script = "echo out; kill -15 $$"
    deferred = side.utils.getProcessOutputAndValue(SHELL, ("-c", script), reactor=side.reactor)
    assert resultOf(side.world, deferred) == (b"out\n", b"", 15)


def test_currentReactor() -> None:
    """Without a reactor it is the current one."""
    with children() as world:
        found: list[bytes] = []

        async def main() -> None:
            found.append(await reactor.utils.getProcessOutput("/bin/echo", ("hello",)))
            world.reactor.stop()

        world.reactor.callWhenRunning(lambda: reactor.ensureDeferred(main()))
        world.reactor.run()
        assert found == [b"hello\n"]


def test_cannotBeStarted(side: SimpleNamespace) -> None:
    with pytest.raises(FileNotFoundError):
        side.utils.getProcessOutput("/nowhere/program", reactor=side.reactor)


def test_warningsAreSuppressedUntilADeferredFires() -> None:
    """As in Twisted: see twisted.internet.utils."""
    ignored = (["ignore"], {"message": "quiet"})

    def warn(text: str) -> list[str]:
        with warnings.catch_warnings(record=True) as found:
            warnings.warn(text, UserWarning, stacklevel=1)
        return [str(each.message) for each in found]

    for utils, kind in ((twisted.internet.utils, twisted.internet.defer.Deferred), (reactor.utils, Deferred)):
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            quiet = utils.suppressWarnings(warn, ignored)
            assert [quiet("quiet"), quiet("loud"), warn("quiet")] == [[], ["loud"], ["quiet"]]
            waiting: Any = kind()
            assert utils.runWithWarningsSuppressed([ignored], lambda waiting: waiting, waiting) is waiting
            assert warn("quiet") == []
            waiting.callback(None)
            assert warn("quiet") == ["quiet"]
            with pytest.raises(KeyError):
                utils.runWithWarningsSuppressed([ignored], {}.__getitem__, 1)
            assert warn("quiet") == ["quiet"]
