"""ProcessEndpoint: ordinary protocols that talk to a child, beside Twisted's."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import twisted.internet.endpoints

from reactor import Deferred, LineReceiver, Protocol, ServerFactory, processendpoint
from reactor.error import ConnectionDone, IdleTimeout, NoProtocol, ProcessTerminated
from reactor.failure import Failure
from reactor.policies import LimitTotalConnectionsFactory
from reactor.processendpoint import ProcessAddress, ProcessEndpoint, StandardErrorBehavior
from reactor.protocol import closeFor
from tests.support.children import SHELL, Children, children
from tests.support.worlds import OURS, TWISTED, Producer

MODULES = {"ours": processendpoint, "twisted": twisted.internet.endpoints}


@pytest.fixture(params=[OURS, TWISTED], ids=lambda side: side.name)
def side(request: pytest.FixtureRequest) -> Iterator[SimpleNamespace]:
    with children(request.param) as world:
        yield SimpleNamespace(world=world, module=MODULES[request.param.name], protocol=request.param.protocol)


@pytest.fixture
def world() -> Iterator[Children]:
    with children() as made:
        yield made


def talk(side: SimpleNamespace, script: str, sent: bytes | None, **options: Any) -> list[Any]:
    """Run `script`, send it `sent`, lose the connection if that is None; return what the protocol was told."""
    trace: list[Any] = []

    class Talking(side.protocol.Protocol):  # type: ignore[misc, name-defined]
        def connectionMade(self) -> None:
            trace.append("made")
            if sent is None:
                self.transport.loseConnection()
            else:
                self.transport.write(sent[:2])
                self.transport.writeSequence([sent[2:], b"\n"])

        def dataReceived(self, data: bytes) -> None:
            trace.append(data)

        def connectionLost(self, reason: Any) -> None:
            trace.append((type(reason.value).__name__, str(getattr(reason.value, "exitCode", None))))

    arguments = (SHELL, [SHELL, "-c", script], None)
    endpoint = side.module.ProcessEndpoint(side.world.reactor, *arguments, **options)
    connected: list[Any] = []
    factory = side.protocol.Factory.forProtocol(Talking)
    factory.noisy = False
    endpoint.connect(factory).addCallback(connected.append)
    assert type(connected[0]) is Talking
    side.world.until(lambda: isinstance(trace[-1], tuple))
    return trace


def test_conversation(side: SimpleNamespace) -> None:
    assert talk(side, "read x; echo got $x", b"a line") == ["made", b"got a line\n", ("ConnectionDone", "None")]


def test_failure(side: SimpleNamespace) -> None:
    assert talk(side, "exit 3", b"ab") == ["made", ("ProcessTerminated", "3")]


def test_loseConnection(side: SimpleNamespace) -> None:
    assert talk(side, "cat", None) == ["made", ("ConnectionDone", "None")]


def test_aCloseTellsItsReason(world: Children) -> None:
    """The child exits in order, so the reason of the close is that of the connection."""
    lost: list[Any] = []

    class Closing(Protocol):
        def connectionMade(self) -> None:
            closeFor(self.transport, IdleTimeout())

        def connectionLost(self, reason: Failure) -> None:
            lost.append(reason.type)

    ProcessEndpoint(world.reactor, SHELL, [SHELL, "-c", "cat"]).connect(ServerFactory.forProtocol(Closing))
    world.until(lambda: bool(lost))
    assert lost == [IdleTimeout]
    assert world.reactor.closeCounts[IdleTimeout] == 1


def test_linesThatWereSkippedAreCounted(world: Children, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    lost: list[Any] = []

    class Skipping(LineReceiver):
        delimiter, MAX_LENGTH, overlong = b"\n", 3, "skip"

        def lineReceived(self, line: bytes) -> None:
            lost.append(line)

        def connectionLost(self, reason: Failure) -> None:
            lost.append(reason.type)

    program = [SHELL, "-c", "echo 1; echo 1234; echo 2"]
    ProcessEndpoint(world.reactor, SHELL, program).connect(ServerFactory.forProtocol(Skipping))
    world.until(lambda: len(lost) == 3)
    assert lost == [b"1", b"2", ConnectionDone]
    assert world.reactor.skippedLineCount == 1
    assert caplog.messages[-1].endswith("lines that were too long, and skipped: 1")


@pytest.mark.parametrize("name", ["LOG", "DROP"])
def test_standardError(side: SimpleNamespace, name: str, caplog: pytest.LogCaptureFixture) -> None:
    flag = getattr(side.module.StandardErrorBehavior, name)
    caplog.set_level(logging.DEBUG)
    assert talk(side, "echo err >&2; read x", b"ab", errFlag=flag) == ["made", ("ConnectionDone", "None")]
    if side.world.side is OURS:
        assert ("err" in caplog.text) is (name == "LOG")


def test_cannotBeStarted(side: SimpleNamespace) -> None:
    found: list[Any] = []
    endpoint = side.module.ProcessEndpoint(side.world.reactor, "/nowhere/program", ["x"])
    factory = side.protocol.Factory.forProtocol(side.protocol.Protocol)
    endpoint.connect(factory).addErrback(lambda failure: found.append(failure.type))
    assert found == [FileNotFoundError]


def test_whatCannotBeStartedIsNotCounted() -> None:
    class Limited(LimitTotalConnectionsFactory):
        noisy = False
        protocol = LineReceiver

    with children(OURS) as world:
        factory = Limited()
        failed: list[Any] = []
        ProcessEndpoint(world.reactor, "/nonexistent").connect(factory).addErrback(failed.append)
        assert failed[0].check(FileNotFoundError)
        assert factory.connectionCount == 0


class Lines(LineReceiver):
    """Keeps its lines; ends at "end", and aborts at "abort"."""

    delimiter = b"\n"

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.reason: Any = None

    def lineReceived(self, line: bytes) -> None:
        self.lines.append(line)
        if line == b"end":
            self.transport.loseConnection()
        elif line == b"abort":
            self.transport.abortConnection()

    def connectionLost(self, reason: Any) -> None:
        self.reason = reason.value


def connected(world: Children, script: str) -> Lines:
    found: list[Lines] = []
    endpoint = ProcessEndpoint(world.reactor, SHELL, [SHELL, "-c", script], errFlag=StandardErrorBehavior.DROP)
    endpoint.connect(ServerFactory.forProtocol(Lines)).addCallback(found.append)
    return found[0]


@pytest.mark.parametrize("how", ["made", "lateMade", "data", "lateData"])
def test_whatACallbackRaisesCostsTheChild(world: Children, how: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is killed, connectionLost has the error, and so has the Deferred if connectionMade raises it."""
    gate: Deferred[None] = Deferred()
    lost: list[Any] = []
    found: list[Any] = []

    async def fail() -> None:
        if how.startswith("late"):
            await gate
        raise LookupError(how)

    class Failing(Protocol):
        def connectionMade(self) -> Any:
            return fail() if how in ("made", "lateMade") else None

        def dataReceived(self, data: bytes) -> Any:
            found.append(data)
            return fail() if how in ("data", "lateData") else None

        def connectionLost(self, reason: Any = None) -> None:
            lost.append(reason)

    factory: Any = ServerFactory.forProtocol(Failing)
    factory.noisy = False
    endpoint = ProcessEndpoint(world.reactor, SHELL, [SHELL, "-c", "echo x; exec sleep 100"])
    connected: list[Any] = []
    endpoint.connect(factory).addBoth(connected.append)
    if how == "made":
        assert connected[0].check(LookupError)
    else:
        assert type(connected[0]) is Failing
        world.until(lambda: found)
        gate.callback(None)
    world.until(lambda: lost)
    assert str(lost[0].value) == how
    assert (len(lost), len(caplog.records)) == (1, 1)
    assert found == ([] if how == "made" else [b"x\n"])


def test_noProtocolIsNoChild(world: Children) -> None:
    class Nobody(ServerFactory[Any]):
        def buildProtocol(self, addr: Any) -> Any:
            return None

    def spawnProcess(*_: Any) -> None:
        pytest.fail("a child was started")

    failed: list[Any] = []
    fake: Any = SimpleNamespace(spawnProcess=spawnProcess)
    ProcessEndpoint(fake, SHELL, [SHELL]).connect(Nobody()).addErrback(failed.append)
    assert failed[0].check(NoProtocol)


def test_linesStopAtLoseConnection(world: Children) -> None:
    lines = connected(world, "printf 'one\\nend\\nthree\\n'; cat")
    assert lines.transport.getPeer() == lines.transport.getHost() == ProcessAddress()
    world.until(lambda: lines.reason)
    assert lines.lines == [b"one", b"end"]


def test_abortKills(world: Children) -> None:
    """Also a child that does not care."""
    lines = connected(world, "trap '' HUP TERM PIPE; echo abort; while :; do read x <&7 || :; done 7</dev/zero")
    world.until(lambda: lines.reason)
    assert isinstance(lines.reason, ProcessTerminated)
    assert lines.reason.signal == 9
    lines.transport.abortConnection()


def test_pausesAndProducers(world: Children) -> None:
    lines = connected(world, "cat")
    producer = Producer()
    lines.transport.registerProducer(producer, True)
    lines.pauseProducing()
    lines.transport.write(bytes(1 << 17))
    lines.transport.write(b"\n")
    assert producer.trace == ["pause"]
    lines.transport.unregisterProducer()
    lines.resumeProducing()
    lines.setRawMode()
    lines.rawDataReceived = lambda data: lines.transport.stopProducing()  # type: ignore[method-assign]
    world.until(lambda: lines.reason)


@pytest.mark.parametrize("name", processendpoint.__all__)
def test_theirModuleIsThePublicOne(name: str) -> None:
    """So pickles of before the move to reactor.endpoints can be read, and new ones say the same."""
    kind = getattr(processendpoint, name)
    assert kind.__module__ == "reactor.processendpoint"
    assert pickle.loads(pickle.dumps(kind)) is kind
