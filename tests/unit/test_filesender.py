"""FileSender: beside Twisted's with the same script where the two agree, alone where they differ on purpose."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from twisted.protocols.basic import FileSender as TwistedFileSender

from reactor.filesender import FileSender, TransferStopped
from reactor.interfaces.streams import BytesLike
from reactor.loops.epoll import EpollReactor
from reactor.protocol import ClientFactory, Protocol, ServerFactory


class Consumer:
    """A transport that asks a pull producer once at registration, then whenever the test says so."""

    def __init__(self, *, isLost: bool = False) -> None:
        self.said: list[Any] = []
        self.producer: Any = None
        self.isLost = isLost

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.said.append(("register", streaming))
        if self.producer is not None:
            raise RuntimeError("it has a producer")
        if self.isLost:
            producer.stopProducing()
            return
        self.producer = producer
        producer.resumeProducing()

    def unregisterProducer(self) -> None:
        self.said.append("unregister")
        self.producer = None

    def write(self, data: BytesLike) -> None:
        self.said.append(data)

    def askForAll(self) -> None:
        while self.producer is not None:
            self.producer.resumeProducing()


class Unreadable:
    def __init__(self, *pieces: Any) -> None:
        self.pieces = list(pieces)

    def read(self, size: int) -> Any:
        piece = self.pieces.pop(0)
        if isinstance(piece, BaseException):
            raise piece
        return piece


@pytest.fixture(params=[FileSender, TwistedFileSender])
def sender(request: pytest.FixtureRequest) -> Any:
    return request.param()


def outcome(deferred: Any) -> list[Any]:
    got: list[Any] = []
    deferred.addCallbacks(got.append, lambda failure: got.append(failure.value))
    return got


SIZE = FileSender.CHUNK_SIZE


@pytest.mark.parametrize("length", [1, SIZE - 1, SIZE, SIZE + 1, 3 * SIZE + 7])
def test_sendsTheFileInPiecesAsTheyAreAskedFor(sender: Any, length: int) -> None:
    assert sender.CHUNK_SIZE == 16384
    data = (bytes(range(1, 251)) * 300)[:length]
    consumer = Consumer()
    got = outcome(sender.beginFileTransfer(io.BytesIO(data), consumer))
    assert consumer.said == [("register", False), data[:SIZE]]
    assert got == []
    consumer.askForAll()
    pieces = consumer.said[1:-1]
    assert [len(piece) for piece in pieces[:-1]] == [SIZE] * (len(pieces) - 1)
    assert b"".join(pieces) == data
    assert consumer.said[-1] == "unregister"
    assert got == [data[-1:]]


def test_transform(sender: Any) -> None:
    consumer = Consumer()
    got = outcome(sender.beginFileTransfer(io.BytesIO(b"hello"), consumer, bytes.upper))
    consumer.askForAll()
    assert consumer.said == [("register", False), b"HELLO", "unregister"]
    assert got == [b"O"]


def test_startsWhereTheFileIsAndLeavesItOpen(sender: Any) -> None:
    file = io.BytesIO(b"0123456789")
    file.seek(6)
    consumer = Consumer()
    sender.beginFileTransfer(file, consumer)
    consumer.askForAll()
    assert consumer.said[1] == b"6789"
    assert not file.closed


def test_pausingIsNothing(sender: Any) -> None:
    consumer = Consumer()
    got = outcome(sender.beginFileTransfer(io.BytesIO(b"x"), consumer))
    sender.pauseProducing()
    consumer.askForAll()
    assert got == [b"x"]


def test_anEmptyFile() -> None:
    # Twisted fires with an empty str.
    consumer = Consumer()
    got = outcome(FileSender().beginFileTransfer(io.BytesIO(), consumer))
    assert consumer.said == [("register", False), "unregister"]
    assert got == [b""]


def test_stopped(sender: Any) -> None:
    consumer = Consumer()
    got = outcome(sender.beginFileTransfer(io.BytesIO(b"hello"), consumer))
    sender.stopProducing()
    sender.stopProducing()
    assert [isinstance(value, Exception) for value in got] == [True]
    assert isinstance(sender, TwistedFileSender) or isinstance(got[0], TransferStopped)


def test_stoppedAtOnceByAConsumerThatIsLost(sender: Any) -> None:
    got = outcome(sender.beginFileTransfer(io.BytesIO(b"hello"), Consumer(isLost=True)))
    assert [isinstance(value, Exception) for value in got] == [True]


def test_nothingHappensAfterTheEnd() -> None:
    sender, consumer = FileSender(), Consumer()
    got = outcome(sender.beginFileTransfer(io.BytesIO(b"hello"), consumer))
    consumer.askForAll()
    said = len(consumer.said)
    sender.resumeProducing()
    sender.stopProducing()
    assert (len(consumer.said), got) == (said, [b"o"])


def fail(_: bytes) -> bytes:
    raise KeyError("x")


@pytest.mark.parametrize(
    ("file", "transform", "kind"),
    [
        (Unreadable(OSError("bad sector")), None, OSError),
        (Unreadable(None), None, BlockingIOError),
        (io.BytesIO(b"hello"), fail, KeyError),
        (Unreadable("text"), bytes.upper, TypeError),
    ],
)
def test_anErrorFailsTheDeferredAndFreesTheConsumer(
    file: Any, transform: Callable[[bytes], bytes] | None, kind: type[Exception]
) -> None:
    # Twisted lets it out into the consumer; a file that cannot be read now counts as ended.
    sender, consumer = FileSender(), Consumer()
    got = outcome(sender.beginFileTransfer(file, consumer, transform))
    assert [type(value) for value in got] == [kind]
    assert consumer.said == [("register", False), "unregister"]
    assert consumer.producer is sender.deferred is None


def test_aTransformThatKeepsBytesBack() -> None:
    """Reading goes on until it gives some, for a bounded number of pieces; empty writes are not made."""
    given = [b"", b"", b"ab", *[b""] * (FileSender.MAX_READS + 2), b"cd", b""]
    results = iter(given)
    sender, consumer = FileSender(), Consumer()
    file = io.BytesIO(bytes(SIZE * len(given)))
    got = outcome(sender.beginFileTransfer(file, consumer, lambda piece: next(results)))
    assert consumer.said == [("register", False), b"ab"]
    assert file.tell() == 3 * SIZE
    sender.resumeProducing()
    assert consumer.said == [("register", False), b"ab"]
    assert file.tell() == (3 + FileSender.MAX_READS) * SIZE
    consumer.askForAll()
    assert consumer.said == [("register", False), b"ab", b"cd", "unregister"]
    assert got == [b"d"]


def test_anErrorInTheMiddle() -> None:
    sender, consumer = FileSender(), Consumer()
    error = OSError("bad sector")
    got = outcome(sender.beginFileTransfer(Unreadable(b"ab", error), consumer))
    consumer.askForAll()
    assert consumer.said == [("register", False), b"ab", "unregister"]
    assert got == [error]


def test_anErrorOfTheConsumer() -> None:
    class Picky(Consumer):
        def write(self, data: BytesLike) -> None:
            raise TypeError("not that")

    consumer = Picky()
    got = outcome(FileSender().beginFileTransfer(io.BytesIO(b"hello"), consumer))
    assert [type(value) for value in got] == [TypeError]
    assert consumer.said == [("register", False), "unregister"]


def test_aConsumerThatHasAProducer() -> None:
    sender, consumer = FileSender(), Consumer()
    consumer.producer = object()
    with pytest.raises(RuntimeError, match="it has a producer"):
        sender.beginFileTransfer(io.BytesIO(b"hello"), consumer)
    consumer.producer = None
    got = outcome(sender.beginFileTransfer(io.BytesIO(b"hello"), consumer))
    consumer.askForAll()
    assert got == [b"o"]


def test_oneTransferAtATime() -> None:
    sender, first, second = FileSender(), Consumer(), Consumer()
    got = outcome(sender.beginFileTransfer(io.BytesIO(b"hello"), first))
    with pytest.raises(RuntimeError, match="has not finished"):
        sender.beginFileTransfer(io.BytesIO(b"other"), second)
    assert second.said == []
    first.askForAll()
    assert got == [b"o"]


def test_theNextTransferMayBeginInACallback() -> None:
    # In Twisted the second Deferred is lost here, and never fires.
    sender, consumer = FileSender(), Consumer()
    first = sender.beginFileTransfer(io.BytesIO(b"one"), consumer)
    got: list[Any] = []

    def again(last: bytes) -> None:
        got.append(last)
        sender.beginFileTransfer(io.BytesIO(b""), consumer).addCallback(got.append)

    first.addCallback(again)
    consumer.askForAll()
    assert got == [b"e", b""]


def test_aLargeFileTakesLittleMemory() -> None:
    class Endless:
        def __init__(self) -> None:
            self.left = 64 * 2**20

        def read(self, size: int) -> bytes:
            size = min(size, self.left)
            self.left -= size
            return b"x" * size

    class Counting(Consumer):
        count = 0

        def write(self, data: BytesLike) -> None:
            self.count += len(data)

    consumer = Counting()
    tracemalloc.start()
    got = outcome(FileSender().beginFileTransfer(Endless(), consumer))
    consumer.askForAll()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert got == [b"x"]
    assert consumer.count == 64 * 2**20
    assert peak < 10 * SIZE


@pytest.mark.parametrize("isCut", [False, True])
def test_overTCP(isCut: bool) -> None:
    data = bytes(range(251)) * 20_000
    loop = EpollReactor()
    received = bytearray()
    ends: list[Any] = []

    class Server(Protocol):
        def connectionMade(self) -> None:
            deferred = FileSender().beginFileTransfer(io.BytesIO(data), self.transport)
            deferred.addBoth(self.sent)

        def sent(self, result: Any) -> None:
            ends.append(result)
            self.transport.loseConnection()

    class Client(Protocol):
        def dataReceived(self, data: bytes) -> None:
            received.extend(data)
            if isCut and len(received) > 100_000:
                self.transport.abortConnection()

    class Clients(ClientFactory[Client]):
        def clientConnectionLost(self, connector: Any, reason: Any) -> None:
            stopWhenOver()

    def stopWhenOver() -> None:
        if ends:
            loop.stop()
        else:
            loop.callLater(0.001, stopWhenOver)

    port = loop.listenTCP(0, ServerFactory.forProtocol(Server), interface="127.0.0.1")
    loop.connectTCP("127.0.0.1", port.getHost().port, Clients.forProtocol(Client))
    deadline = loop.callLater(10, loop.stop)
    loop.run(installSignalHandlers=False)
    assert deadline.active()
    deadline.cancel()
    if isCut:
        assert ends[0].type is TransferStopped
        assert data.startswith(received)
    else:
        assert received == data
        assert ends == [data[-1:]]
