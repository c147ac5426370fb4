"""Our ends of a child's descriptors, with a socket in place of the child."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from reactor.error import ConnectionLost
from reactor.failure import Failure
from reactor.transports.children.pipes import ChildReader, ChildTerminal, ChildWriter
from tests.support.worlds import OURS, Producer, turnUntil


@pytest.fixture
def made() -> Iterator[SimpleNamespace]:
    """A reactor, the end of a fresh socket as a descriptor to give away, its peer, and what was told."""
    loop = OURS.makeReactor()
    ours, peer = socket.socketpair()
    told: list[Any] = []
    yield SimpleNamespace(
        loop=loop, fd=ours.detach(), peer=peer, told=told, received=told.append, ended=lambda: told.append("ended")
    )
    OURS.close(loop)
    peer.close()


def test_readerEndsOnce(made: SimpleNamespace) -> None:
    """Closing, while the reactor stops, and the call that was to close it."""
    reader = ChildReader(made.loop, made.fd, made.received, made.ended)
    reader.start()
    reader.loseConnection()
    reader.loseConnection()
    made.loop.disconnectAll()
    made.loop.iterate(0)
    assert made.told == ["ended"]
    assert reader.fileno() == -1


def test_writerEndsOnce(made: SimpleNamespace) -> None:
    writer = ChildWriter(made.loop, made.fd, made.ended)
    writer.start()
    writer.connectionLost(Failure(ConnectionLost()))
    writer.connectionLost(Failure(ConnectionLost()))
    writer.loseConnection()
    writer.write(b"dropped")
    made.loop.iterate(0)
    assert made.told == ["ended"]
    assert writer.fileno() == -1
    assert made.peer.recv(10) == b""


def test_terminalSaysEnd(made: SimpleNamespace) -> None:
    """Where it is not an error, as on Linux, but the end of input."""
    terminal = ChildTerminal(made.loop, made.fd, made.received, made.ended)
    terminal.start()
    terminal.doRead()
    made.peer.sendall(b"text")
    turnUntil(made.loop, lambda: made.told)
    terminal.write(b"answer")
    turnUntil(made.loop, lambda: not terminal.unsent)
    assert made.peer.recv(10) == b"answer"
    made.peer.shutdown(socket.SHUT_WR)
    turnUntil(made.loop, lambda: len(made.told) > 1)
    assert made.told == [b"text", "ended"]


def test_outputBeyondTheLimit(made: SimpleNamespace) -> None:
    """Data that waits for the peer is dropped; the close comes on the next turn, once."""
    writer = ChildWriter(made.loop, made.fd, made.ended, "wb")
    writer.setOutputLimits(10, 20)
    writer.write(bytes(21))
    assert made.told == []
    writer.write(b"x")
    writer.write(b"x")
    assert writer.unsent == 0
    assert writer.disconnecting
    made.loop.iterate(0)
    assert made.told == ["ended"]


def test_aPullProducerThatWritesNothingIsAskedAgain(made: SimpleNamespace) -> None:
    writer = ChildWriter(made.loop, made.fd, made.ended)
    writer.start()
    asked: list[float] = []

    def produce() -> None:
        asked.append(made.loop.seconds())
        if len(asked) == 4:
            writer.write(b"x")
            writer.unregisterProducer()

    writer.registerProducer(Producer(resume=produce), False)
    turnUntil(made.loop, lambda: len(asked) == 4 and not writer.unsent)
    assert all(after - before >= 0.009 for before, after in itertools.pairwise(asked))
    assert made.peer.recv(9) == b"x"
    last = Producer()
    writer.registerProducer(last, False)
    assert len(made.loop.getDelayedCalls()) == 1
    writer.connectionLost(Failure(ConnectionLost()))
    assert made.loop.getDelayedCalls() == []
    assert last.trace == ["resume", "stop"]


def test_nothingToDoAfterAFlush(made: SimpleNamespace) -> None:
    """A producer that leaves changes nothing."""
    writer = ChildWriter(made.loop, made.fd, made.ended)
    writer.start()
    writer.registerProducer(SimpleNamespace(pauseProducing=None), True)
    writer.write(b"text")
    made.loop.iterate(0)
    assert made.told == []
    assert made.peer.recv(10) == b"text"
    writer.unregisterProducer()


@pytest.mark.parametrize("unsent", [0, 1_000_000])
@pytest.mark.parametrize("how", ["loses", "unregisters", "nothing", "raises"])
@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("kind", [ChildWriter, ChildTerminal])
def test_aProducerThatClosesWhenTheReaderHasGone(
    made: SimpleNamespace, kind: Any, streaming: bool, how: str, unsent: int
) -> None:
    """The end comes once, whatever the producer does when it is stopped."""
    arguments = [made.ended] if kind is ChildWriter else [made.received, made.ended]
    writer = kind(made.loop, made.fd, *arguments)
    writer.start()
    stopped: list[str] = []

    def stop() -> None:
        stopped.append("stop")
        if how == "loses":
            writer.loseConnection()
        elif how == "unregisters":
            writer.unregisterProducer()
            writer.loseConnection()
        elif how == "raises":
            raise LookupError("boom")

    writer.registerProducer(
        SimpleNamespace(pauseProducing=lambda: None, resumeProducing=lambda: None, stopProducing=stop), streaming
    )
    writer.write(bytes(unsent))
    made.loop.iterate(0)
    made.peer.close()
    turnUntil(made.loop, lambda: made.told)
    made.loop.iterate(0)
    assert made.told == ["ended"]
    assert stopped == ["stop"]
    assert made.loop.getReaders() == made.loop.getWriters() == []
