"""Protocols, factories and the file transport, beside Twisted's. More of clients is in test_clients.py."""

from __future__ import annotations

import io
import logging
import pathlib
import pickle
from collections.abc import Callable
from typing import Any, BinaryIO, cast

import pytest
from twisted.internet import protocol as theirs
from twisted.protocols import basic

from reactor import protocol as ours
from reactor.error import ConnectionDone
from reactor.linereceiver import LineReceiver
from tests.support.worlds import Producer

SIDES = (ours, theirs)


def compare(script: Callable[[Any, list[Any]], object]) -> list[Any]:
    """Run `script` on both modules; return the trace they agree on."""
    traces: list[list[Any]] = [[], []]
    for side, trace in zip(SIDES, traces, strict=True):
        script(side, trace)
    assert traces[0] == traces[1]
    return traces[0]


def attempt(trace: list[Any], call: Callable[..., object], *args: Any) -> None:
    try:
        trace.append(call(*args))
    except Exception as error:
        trace.append(type(error).__name__)


class TestProtocols:
    def test_life(self) -> None:
        def script(side: Any, trace: list[Any]) -> None:
            class P(side.Protocol):  # type: ignore[misc]
                def connectionMade(self) -> None:
                    trace.append((self.connected, self.transport))

            p = P()
            trace += [p.connected, p.transport, p.factory, p.logPrefix(), side.Protocol.connected]
            p.makeConnection("transport")
            p.dataReceived(b"x")
            p.connectionLost(side.connectionDone)
            p.connectionLost()
            trace += [p.connected, p.transport]

        compare(script)

    def test_connectionDone(self) -> None:
        assert ours.connectionDone.check(ConnectionDone)
        assert ours.connectionDone.getTracebackObject() is None

    def test_childProcesses(self) -> None:
        def script(side: Any, trace: list[Any]) -> None:
            class P(side.ProcessProtocol):  # type: ignore[misc]
                def __getattribute__(self, name: str) -> Any:
                    if name.startswith(("out", "err", "in")):
                        trace.append(name)
                    return super().__getattribute__(name)

            p = P()
            for fd in range(5):
                p.childDataReceived(fd, b"x")
                p.childConnectionLost(fd)
            p.processExited(None)
            p.processEnded(None)
            trace.append(p.transport)

        assert compare(script) == [
            *["inConnectionLost", "outReceived", "outConnectionLost", "errReceived", "errConnectionLost"],
            None,
        ]

    def test_datagrams(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)

        def script(side: Any, trace: list[Any]) -> None:
            class P(side.DatagramProtocol):  # type: ignore[misc]
                noisy = False

                def startProtocol(self) -> None:
                    trace.append("start")

                def stopProtocol(self) -> None:
                    trace.append(("stop", self.transport))

            p = P()
            p.makeConnection("one")
            attempt(trace, p.makeConnection, "two")
            p.doStart()
            trace.append(p.numPorts)
            p.doStop()
            trace.append((p.numPorts, p.transport))
            p.makeConnection("three")
            trace.append(vars(p)["transport"])
            p.doStop()
            p.doStop()
            attempt(trace, p.doStop)
            p.datagramReceived(b"x", ("127.0.0.1", 1))
            p.connectionRefused()
            trace.append(p.logPrefix())

        compare(script)
        p = ours.DatagramProtocol()
        p.makeConnection("one")
        p.doStop()
        assert [record.getMessage().split()[0] for record in caplog.records] == ["Starting", "Stopping"]


class TestFactories:
    def test_counting(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)

        def script(side: Any, trace: list[Any]) -> None:
            class F(side.Factory):  # type: ignore[misc]
                noisy = False

                def startFactory(self) -> None:
                    trace.append("start")

                def stopFactory(self) -> None:
                    trace.append("stop")

            f = F()
            for step in ["doStop", "doStart", "doStart", "doStop", "doStop", "doStop", "doStart"]:
                getattr(f, step)()
                trace.append((step, f.numPorts))
            trace.append(f.logPrefix())

        compare(script)
        noisy: Any = ours.Factory()
        noisy.doStart()
        noisy.doStop()
        assert [record.getMessage().split()[0] for record in caplog.records] == ["Starting", "Stopping"]

    def test_building(self) -> None:
        def script(side: Any, trace: list[Any]) -> None:
            class F(side.ServerFactory):  # type: ignore[misc]
                def __init__(self, *args: Any, **kwargs: Any) -> None:
                    trace.append((args, kwargs))

            f = F.forProtocol(side.Protocol, 1, key=2)
            p = f.buildProtocol(None)
            trace += [type(p) is side.Protocol, p.factory is f, type(f) is F]
            attempt(trace, side.Factory().buildProtocol, None)
            trace.append(side.Factory().protocol)

        assert compare(script)[-2] == "AssertionError"

    def test_clientFactory(self) -> None:
        for side in SIDES:
            f: Any = side.ClientFactory()
            assert [
                f.startedConnecting(None),
                f.clientConnectionFailed(None, None),
                f.clientConnectionLost(None, None),
            ] == [None] * 3

    def test_defaultsOfReconnecting(self) -> None:
        names = {name for name in vars(theirs.ReconnectingClientFactory) if not name.startswith("_")}
        values = {name for name in names if not callable(getattr(theirs.ReconnectingClientFactory, name))}
        assert {"maxDelay", "initialDelay", "delay", "factor", "jitter", "maxRetries", "clock"} <= values
        for name in values:
            mine, other = (getattr(side.ReconnectingClientFactory, name) for side in SIDES)
            assert mine == other, name

    def test_reconnectingCanBePickled(self) -> None:
        factory: Any = ours.ReconnectingClientFactory()
        factory.connector = factory.clock = object()
        assert vars(pickle.loads(pickle.dumps(factory))) == {}


class Lines(LineReceiver):
    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.lost: Any = None

    def lineReceived(self, line: bytes) -> None:
        self.lines.append(line)
        self.sendLine(line.upper())
        if line == b"quit":
            self.transport.loseConnection()


class TestFileWrapper:
    def test_aLineReceiverOverFiles(self, tmp_path: pathlib.Path) -> None:
        """The owner of the input feeds it; the protocol's answers go to the file; `quit` ends it."""
        text = b"one\r\ntwo\r\n\r\nquit\r\nlost\r\n"
        for size in range(1, len(text) + 1):
            with open(tmp_path / "out", "wb") as out:
                wrapper, lines = ours.FileWrapper(out), Lines()
                lines.makeConnection(wrapper)
                for start in range(0, len(text), size):
                    if wrapper.disconnecting:
                        break
                    lines.dataReceived(text[start : start + size])
                assert out.closed
            assert lines.lines == [b"one", b"two", b"", b"quit"]
            assert (tmp_path / "out").read_bytes() == b"ONE\r\nTWO\r\n\r\nQUIT\r\n"

    def test_writing(self) -> None:
        def script(side: Any, trace: list[Any]) -> None:
            file = io.BytesIO()
            wrapper = side.FileWrapper(file)
            trace += [wrapper.closed, wrapper.disconnecting, wrapper.producer, wrapper.streamingProducer]
            wrapper.write(b"a")
            wrapper.writeSequence([b"b", b"c"])
            trace += [file.getvalue(), wrapper.getPeer(), wrapper.getHost()]
            wrapper.pauseProducing()
            wrapper.resumeProducing()
            wrapper.loseConnection()
            wrapper.loseConnection()
            trace += [wrapper.closed, file.closed]

        compare(script)

    def test_afterTheEnd(self) -> None:
        wrapper = ours.FileWrapper(io.BytesIO())
        assert (wrapper.connected, wrapper.disconnected) == (1, 0)
        wrapper.abortConnection()
        wrapper.write(b"dropped")
        wrapper.writeSequence([b"dropped"])
        assert (wrapper.connected, wrapper.disconnected, wrapper.disconnecting) == (0, 1, 1)
        producer = Producer()
        wrapper.registerProducer(producer, True)
        assert producer.trace == ["stop"]
        for way in ("stopProducing", "stopConsuming"):
            wrapper = ours.FileWrapper(io.BytesIO())
            getattr(wrapper, way)()
            assert wrapper.file.closed

    def test_errors(self, caplog: pytest.LogCaptureFixture) -> None:
        """A failing file is reported, and closes nothing by itself; an override can do more."""

        class Full:
            def write(self, data: Any) -> int:
                raise OSError(28, "No space left on device")

            def close(self) -> None:
                raise OSError(5, "Input/output error")

        wrapper = ours.FileWrapper(cast(BinaryIO, Full()))
        wrapper.write(b"x")
        assert not wrapper.closed
        wrapper.loseConnection()
        assert [record.exc_info[1].errno for record in caplog.records if record.exc_info] == [28, 5]  # type: ignore[union-attr]
        closed = io.BytesIO()
        closed.close()
        ours.FileWrapper(closed).write(b"x")
        assert len(caplog.records) == 3

        class Closing(ours.FileWrapper):
            def handleException(self) -> None:
                self.loseConnection()

        other = Closing(closed)
        other.write(b"x")
        assert other.closed

    def test_wrongTypesAreTheCallersError(self) -> None:
        wrapper = ours.FileWrapper(io.BytesIO())
        text: Any = "text"
        with pytest.raises(TypeError):
            wrapper.write(text)

    def test_producers(self) -> None:
        wrapper = ours.FileWrapper(io.BytesIO())
        pull, push = Producer(), Producer()
        wrapper.registerProducer(pull, False)
        assert pull.trace == ["resume"]
        with pytest.raises(RuntimeError):
            wrapper.registerProducer(push, True)
        wrapper.resumeProducing()
        assert pull.trace == ["resume", "resume"]
        wrapper.unregisterProducer()
        wrapper.registerProducer(push, True)
        wrapper.resumeProducing()
        wrapper.pauseProducing()
        wrapper.loseConnection()
        assert (pull.trace, push.trace) == (["resume", "resume"], ["stop"])
        assert wrapper.producer is None

    @pytest.mark.parametrize("side", [ours, theirs], ids=["ours", "Twisted"])
    def test_aProtocolAsItsOwnTransportsPullProducer(self, side: Any) -> None:
        """Asked to produce, it resumes its transport, which is to ask for nothing then."""
        receiver = LineReceiver if side is ours else basic.LineReceiver
        got: list[bytes] = []

        class Producing(receiver):  # type: ignore[misc, valid-type]
            def lineReceived(self, line: bytes) -> None:
                got.append(line)
                if line == b"produce":
                    self.transport.registerProducer(self, False)
                elif line == b"unproduce":
                    self.transport.unregisterProducer()

        producing = Producing()
        wrapper = side.FileWrapper(io.BytesIO())
        producing.makeConnection(wrapper)
        producing.dataReceived(b"produce\r\nhello\r\n")
        wrapper.resumeProducing()
        producing.dataReceived(b"unproduce\r\ngoodbye\r\n")
        assert got == [b"produce", b"hello", b"unproduce", b"goodbye"]

    def test_aPullProducerThatRaisesIsAskedAgain(self) -> None:
        wrapper = ours.FileWrapper(io.BytesIO())

        def fail() -> None:
            raise KeyError("x")

        pull = Producer(resume=fail)
        ask: Callable[[], object]
        for ask in (lambda: wrapper.registerProducer(pull, False), wrapper.resumeProducing):
            with pytest.raises(KeyError):
                ask()
        assert pull.trace == ["resume", "resume"]

    def test_stopConsuming(self) -> None:
        wrapper = ours.FileWrapper(io.BytesIO())
        producer = Producer()
        wrapper.registerProducer(producer, True)
        wrapper.stopConsuming()
        assert producer.trace == []
        assert wrapper.closed
