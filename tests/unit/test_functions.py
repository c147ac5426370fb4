"""The functions of the package: each speaks to the current reactor, so the package can stand for a reactor."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle
import pydoc
import re
import signal
import socket
import threading
from collections.abc import Iterator
from types import FunctionType
from typing import Any

import pytest

import reactor
from reactor import _current
from reactor._functions import CurrentReactor
from reactor.error import IdleTimeout
from reactor.failure import Failure
from reactor.loops.base import ReactorBase
from reactor.loops.epoll import EpollReactor
from tests.support.worlds import DEADLINE, LOOPBACK, OURS, dial, runProgram

NAMES = sorted(
    name
    for name, value in vars(reactor).items()
    if inspect.ismethod(value) and not name.startswith("_") and hasattr(ReactorBase, name)
)


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[EpollReactor]:
    """A reactor of the test's own as the default; the default before comes back."""
    made = EpollReactor()
    monkeypatch.setattr(_current, "_default", made)
    yield made
    OURS.close(made)


def test_everyMethodOfReactorsHasAFunction() -> None:
    methods = {name for name, value in inspect.getmembers(ReactorBase, inspect.isfunction) if not name.startswith("_")}
    # Methods that transports and backends need, and programs do not.
    forTransports = {
        "closeSoon",
        "closed",
        "flushBehindRead",
        "flushSoon",
        "isReading",
        "keepNote",
        "noteOf",
        "openTransports",
        "opened",
        "placeholder",
        "replaced",
        "reportFailure",
    }
    inner = {"close", "disconnectAll", *forTransports}
    assert methods - inner == set(NAMES)
    for name in NAMES:
        ours = list(inspect.signature(getattr(reactor, name)).parameters.values())
        theirs = list(inspect.signature(getattr(ReactorBase, name)).parameters.values())[1:]
        assert [(p.name, p.kind, p.default) for p in ours] == [(p.name, p.kind, p.default) for p in theirs], name
        assert getattr(reactor, name).__doc__


class Noting:
    """A reactor that notes its calls."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.running = "whether it runs"

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: self.calls.append((name, args, kwargs)) or name  # type: ignore[func-returns-value]


@pytest.mark.parametrize("name", NAMES)
def test_eachSpeaksToTheCurrentReactor(name: str) -> None:
    noting: Any = Noting()
    parameters = list(inspect.signature(getattr(reactor, name)).parameters.values())
    args = [object() for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    rest = [object()] if any(p.kind is p.VAR_POSITIONAL for p in parameters) else []
    kwargs = {"key": object()} if any(p.kind is p.VAR_KEYWORD for p in parameters) else {}
    with _current.running(noting):
        result = getattr(reactor, name)(*args, *rest, **kwargs)
        assert reactor.running == noting.running
    assert noting.calls == [(name, (*args, *rest), kwargs)]
    annotation = inspect.signature(getattr(reactor, name)).return_annotation
    assert result == (None if annotation == "None" else name)


def test_keptInAClassTheyAreNoMethodsOfIt(own: EpollReactor) -> None:
    """As in Twisted, whose functions are methods of its reactor: `callLater = reactor.callLater` in a class body."""
    order: list[object] = []

    class Patient:
        pass

    for name in NAMES:
        setattr(Patient, name, getattr(reactor, name))
    patient: Any = Patient()
    patient.callLater(0, order.append, "called")
    patient.callFromThread(order.append, "from a thread")
    patient.iterate()
    assert sorted(order, key=str) == ["called", "from a thread"]
    for name in NAMES:
        assert getattr(patient, name) is getattr(Patient, name) is getattr(reactor, name)


@pytest.mark.parametrize("name", NAMES)
def test_theyAreKnownByTheirOwnNames(name: str) -> None:
    function = getattr(reactor, name)
    assert (function.__module__, function.__name__, function.__qualname__) == ("reactor", name, name)
    assert copy.copy(function) == copy.deepcopy(function) == function
    assert "self" not in inspect.signature(function).parameters
    page = pydoc.plain(pydoc.render_doc(reactor))
    assert f"    {name}(" in page.partition("\nFUNCTIONS\n")[2].partition("\nDATA\n")[0]


def test_picklesNameThePackageAlone() -> None:
    """In a process of its own, as Twisted has a way of its own to pickle methods, which counts once it is imported."""
    program = f"""
import pickle, reactor
for name in {NAMES!r}:
    function = getattr(reactor, name)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        pickled = pickle.dumps(function, protocol)
        assert pickle.loads(pickled) is function
        assert b"_functions" not in pickled
"""
    assert runProgram(program).returncode == 0


def test_theModulesThatAreLoadedAreAttributes() -> None:
    """As docs/reference.md says, `reactor.defer`, `reactor.error` and the other modules offer more."""
    program = """
import reactor
names = "address defer error failure filesender interfaces linecore linereceiver policies protocol"
names += " stringreceivers task threads tlsoptions"
for name in names.split():
    assert getattr(reactor, name).__name__ == f"reactor.{name}"
"""
    assert runProgram(program).returncode == 0


def test_unknownNames() -> None:
    with pytest.raises(AttributeError, match="noSuchName"):
        reactor.noSuchName  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(ImportError):
        from reactor import noSuchName  # type: ignore[attr-defined] # noqa: F401


def test_thePackageAsAReactor(own: EpollReactor) -> None:
    """The README's kind of program, with the package where a reactor is asked for."""
    order: list[Any] = []

    class Echo(reactor.LineReceiver):
        def lineReceived(self, line: bytes) -> None:
            self.sendLine(line)

    class Ask(reactor.LineReceiver):
        def connectionMade(self) -> None:
            self.sendLine(b"hello")

        def lineReceived(self, line: bytes) -> None:
            order.append((line, reactor.running, reactor.current() is own))
            reactor.stop()

    assert reactor.running is False
    port = reactor.listenTCP(0, reactor.ServerFactory.forProtocol(Echo), interface=LOOPBACK)
    package: Any = reactor
    creator: Any = reactor.ClientCreator(package, Ask)
    creator.connectTCP(LOOPBACK, port.getHost().port).addCallback(lambda protocol: order.append(type(protocol)))
    reactor.run(installSignalHandlers=False)
    assert order == [Ask, (b"hello", True, True)]
    assert reactor.running is False


def test_signalsAndThreads(own: EpollReactor) -> None:
    order: list[Any] = []
    reactor.addSignalHandler(signal.SIGUSR1, order.append, "signal")
    reactor.callWhenRunning(signal.raise_signal, signal.SIGUSR1)

    def work() -> None:
        # A worker thread inherits the reactor that started it.
        reactor.callFromThread(order.append, reactor.current() is own)
        reactor.callFromThread(reactor.stop)

    reactor.callLater(0.001, reactor.callInThread, work)
    reactor.run()
    assert reactor.removeSignalHandler(signal.SIGUSR1)
    assert order == ["signal", True]


def test_aThreadOfNobodysReachesTheDefault(own: EpollReactor) -> None:
    thread = threading.Thread(target=lambda: reactor.callFromThread(reactor.stop))
    reactor.callWhenRunning(thread.start)
    reactor.run(installSignalHandlers=False)
    thread.join(DEADLINE)


def test_theOneThatRunsGoesFirst(own: EpollReactor) -> None:
    other, order = EpollReactor(), list[Any]()
    other.callLater(0, lambda: order.append(reactor.current() is other))
    other.callLater(0, lambda: reactor.stop())
    other.run(installSignalHandlers=False)
    assert order == [True]
    OURS.close(other)


def test_iterateAndTimers(own: EpollReactor) -> None:
    order: list[int] = []
    call = reactor.callLater(0, order.append, 1)
    assert reactor.getDelayedCalls() == [call]
    reactor.iterate()
    assert order == [1]
    assert reactor.seconds() > reactor.monotonic() > 0


def test_connectAndDescriptors(own: EpollReactor) -> None:
    port = reactor.listenTCP(0, reactor.ServerFactory.forProtocol(reactor.Protocol), interface=LOOPBACK)
    factory = reactor.ClientFactory.forProtocol(reactor.Protocol)
    connector = reactor.connectTCP(LOOPBACK, port.getHost().port, factory, timeout=5)
    assert connector.timeout == 5
    assert reactor.getReaders() == [port]
    with dial(port):
        while connector.state != "connected":
            reactor.iterate(0.01)
    connector.disconnect()
    ours, theirs = socket.socketpair()

    class Ear:
        def fileno(self) -> int:
            return ours.fileno()

    ear = Ear()
    reactor.addReader(ear)
    reactor.addWriter(ear)
    assert ear in reactor.getReaders()
    assert ear in reactor.getWriters()
    assert ear in reactor.removeAll()
    ours.close()
    theirs.close()
    own.addReader(port)


def test_whatItHasCounted(own: EpollReactor) -> None:
    """It is the current reactor's, and so another's where that one runs."""
    own.overflowCount, own.skippedLineCount = 2, 3
    own.closeCounts[IdleTimeout] += 1
    with _current.running(own):
        assert (reactor.overflowCount, reactor.skippedLineCount) == (2, 3)
        assert reactor.closeCounts is own.closeCounts
    other = EpollReactor()
    with _current.running(other):
        assert (reactor.overflowCount, reactor.skippedLineCount, reactor.closeCounts) == (0, 0, {})
    other.close()


def test_nothingIsMadeAtImport() -> None:
    """No reactor, no thread, no descriptor; the default comes with the first use."""
    done = runProgram(
        """
import os, threading
before = set(os.listdir("/proc/self/fd"))
import reactor
from reactor import _current
from reactor.error import IdleTimeout
assert _current._default is None
assert threading.active_count() == 1
assert set(os.listdir("/proc/self/fd")) == before
assert reactor.running is False
assert type(_current._default) is reactor.EpollReactor
assert reactor.current() is _current._default
try:
    reactor.install(reactor.EpollReactor())
except AssertionError:
    print("fine")
"""
    )
    assert done.stdout == "fine\n", done.stderr


def test_aStarImportMakesNoReactor() -> None:
    """Of the package and of each of its packages. The current reactor's attributes are still there afterwards."""
    done = runProgram(
        """
import pkgutil
import reactor
from reactor import _current
packages = [info.name for info in pkgutil.walk_packages(reactor.__path__, "reactor.") if info.ispkg]
assert "reactor.aio" in packages
for name in ["reactor", *packages]:
    namespace = {}
    exec(f"from {name} import *", namespace)
    assert _current._default is None, name
    assert "running" not in namespace, name
assert (reactor.running, reactor.overflowCount, reactor.skippedLineCount, reactor.closeCounts) == (False, 0, 0, {})
assert reactor.nameResolver is _current._default.nameResolver
print("fine")
"""
    )
    assert done.stdout == "fine\n", done.stderr


def test_install() -> None:
    done = runProgram(
        """
import reactor
own = reactor.EpollReactor()
reactor.install(own)
assert reactor.current() is own
reactor.callWhenRunning(reactor.stop)
reactor.run()
reactor.callWhenRunning(print, "again")
reactor.callWhenRunning(reactor.crash)
reactor.run()
"""
    )
    assert done.stdout == "again\n", done.stderr


@pytest.mark.parametrize("name", ["aio", "defer", "endpoints", "interfaces", "policies", "protocol", "task", "testing"])
def test_publicNamesNameTheirPackage(name: str) -> None:
    """In pickles, tracebacks and Failure.check: as text, a class is the one that programs import."""
    face = importlib.import_module(f"reactor.{name}")
    shown = [getattr(face, each) for each in face.__all__]
    homes = {thing.__module__ for thing in shown if isinstance(thing, type | FunctionType)}
    # reactor.testing shows a Clock, and reactor.endpoints the classes of reactor.processendpoint.
    assert homes <= {face.__name__, "reactor.task", "reactor.processendpoint"}
    assert face.__name__ in homes


def test_failuresKnowClassesByTheirPublicName() -> None:
    assert Failure(reactor.task.TaskStopped()).check("reactor.task.TaskStopped") == "reactor.task.TaskStopped"
    assert pickle.loads(pickle.dumps(reactor.policies.TimeoutFactory)) is reactor.policies.TimeoutFactory


FUNCTIONS = sorted(name for name, function in vars(CurrentReactor).items() if not name.startswith("_"))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_helpHasTheWholeContract(name: str) -> None:
    """The docstring is that of the reactor's method, and refers nobody to another place for the same function."""
    shown = inspect.getdoc(getattr(reactor, name))
    assert shown is not None
    assert shown == inspect.getdoc(getattr(reactor.ReactorBase, name))
    assert "See ReactorBase" not in shown
    assert shown.split("\n")[-1].strip() in pydoc.plain(pydoc.render_doc(getattr(reactor, name)))


def test_helpBeginsWithAServer() -> None:
    """help(reactor) opens with a program that runs, and then names only what is there."""
    text = pydoc.plain(pydoc.render_doc(reactor))
    opening = inspect.cleandoc(reactor.__doc__ or "")
    assert text.index("A server of lines") < text.index("PACKAGE CONTENTS")
    program = opening.partition("whole:")[2].partition("Where to look:")[0]
    compile(inspect.cleandoc(program), "help", "exec")
    assert program.strip().endswith("reactor.stop()")
    where = opening.partition("Where to look:")[2]
    for word in re.findall(r"\b(?:[a-z]+[A-Z]\w*|[A-Z][a-z]+[A-Z]\w*|Deferred|Clock|Factory|Protocol)\b", where):
        assert hasattr(reactor, word), word
    for module in re.findall(r"`reactor\.(\w+)`", where):
        importlib.import_module(f"reactor.{module}")
