"""A client of collect whose messages may be octet-counted, from its bytes to the file."""

from __future__ import annotations

import pathlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from reactor.endpoints.streams import TCP4ServerEndpoint
from reactor.error import ConnectionDone, ConnectionLost
from reactor.failure import Failure
from reactor.service import Server
from reactor.serving.collect import Collection
from reactor.serving.errors import CommandError
from reactor.serving.framing import Framing
from reactor.serving.linefile import LineFile
from tests.support.worlds import OURS, dial, readAll, turnUntil


def unexpected(error: CommandError) -> None:
    pytest.fail(repr(error))


class Framed:
    """A collection that listens for frames, and its file."""

    def __init__(self, path: pathlib.Path, mode: str, framing: Framing | None = None, **settings: Any) -> None:
        self.path = path
        self.loop = OURS.makeReactor()
        self.output = LineFile(str(path), framing, reactor=self.loop)
        self.collection = Collection(self.output, unexpected, frames=mode)
        kind: Any = type("Tuned", (self.collection.protocol,), settings)
        self.collection.protocol = kind
        self.built = list[Any]()
        build = self.collection.buildProtocol
        self.collection.buildProtocol = lambda addr: self.built.append(build(addr)) or self.built[-1]  # type: ignore
        self.port = self.loop.listenTCP(0, self.collection, interface="127.0.0.1")

    def send(self, *pieces: bytes) -> bytes:
        """Send the pieces, each when the one before has been read, end in order, and return what the server says."""
        with dial(self.port) as peer:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in pieces:
                peer.sendall(piece)
                for _ in range(3):
                    self.loop.iterate(0.005)
            peer.shutdown(socket.SHUT_WR)
            turnUntil(self.loop, lambda: self.built and self.built[-1].transport.disconnected)
            return readAll(peer)

    def close(self) -> bytes:
        self.output.close()
        OURS.close(self.loop)
        return self.path.read_bytes()


@pytest.fixture
def make(tmp_path: pathlib.Path) -> Iterator[Any]:
    made = list[Framed]()

    def framed(mode: str, *framing: Framing, **settings: Any) -> Framed:
        made.append(Framed(tmp_path / "lines", mode, *framing, **settings))
        return made[-1]

    yield framed
    for each in made:
        each.output.close()
        OURS.close(each.loop)


@pytest.mark.parametrize("mode", ["auto", "counted", "lines"])
def test_messagesAreTheLinesOfAListener(make: Any, mode: str) -> None:
    framed = make(mode, overlong="skip", MAX_LENGTH=8)
    server = Server(framed.loop)
    opened = list[Any]()
    place = TCP4ServerEndpoint(framed.loop, 0, interface="127.0.0.1")
    server.addListener(place, framed.collection, name="it").addCallback(opened.append)
    framed.port = opened[0].ports[0]
    end = b"" if mode == "counted" else b"\n"
    body = b"5 <1> a%b6 <1> aa%b" % (end, end)
    with dial(framed.port) as peer:
        peer.sendall(body + b"9 <1> bbbbb" + end + b"7 <1>")
        turnUntil(framed.loop, lambda: server.stats()["listeners"]["it"]["pendingBytes"])
        counted = server.stats()["listeners"]["it"]
    # A message of 7 bytes lacks 4, or a line its end.
    assert counted["linesIn"] == 3
    assert counted["overlong"] == 1
    assert counted["pendingBytes"] == (3 if mode != "lines" else 5)


def test_bothFramings(make: Any) -> None:
    """On one connection; counted messages with LFs inside are one line of the file; the last line needs no end."""
    framed = make("auto")
    assert framed.send(b"one\n9 <34>1 a\nb", b"two\n1", b"1", b" <34>1 hello", b"world\n", b"last") == b""
    (client,) = framed.built
    assert client.lineCount == 5
    assert client.heldSize == 0
    assert framed.close() == b"one\n<34>1 a#012b\ntwo\n<34>1 hello\nworld\nlast\n"
    assert framed.collection.counters()["droppedUnfinished"] == 0


def test_linesOnly(make: Any) -> None:
    framed = make("lines")
    framed.send(b"9 <34>1 a\nb\n")
    assert framed.close() == b"9 <34>1 a\nb\n"


def test_anUnfinishedFrame(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    """It is not whole, so it is lost, counted and logged, also if the client ends in order."""
    framed = make("auto")
    framed.send(b"one\n100 <34>1 a")
    assert framed.close() == b"one\n"
    (record,) = caplog.records
    assert record.getMessage().endswith(": an unfinished message of 7 bytes is lost: the client has ended")
    assert framed.collection.counters()["droppedUnfinished"] == 1


@pytest.mark.parametrize("data", [b"100 <34>1 a", b"unfinished"])
def test_aResetInTheMiddle(make: Any, data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    framed = make("auto")
    client = framed.collection.buildProtocol(None)

    class Peer:
        disconnecting = disconnected = False

        def getPeer(self) -> str:
            return "peer"

    client.makeConnection(Peer())
    client.dataReceived(b"one\n" + data)
    assert client.heldSize == len(data.removeprefix(b"100 "))
    client.connectionLost(Failure(ConnectionLost("reset")))
    assert framed.close() == b"one\n"
    assert "is lost" in caplog.records[-1].getMessage()
    client.connectionLost(Failure(ConnectionDone()))
    assert framed.collection.counters()["droppedUnfinished"] == 1


def test_bytesThatAreNoFrame(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    """With counts only: the connection is closed, the record has no control character, and others are served."""
    framed = make("counted")
    framed.send(b"3 one\x1b[2Jtwo")
    framed.send(b"3 two")
    assert framed.close() == b"one\ntwo\n"
    (record,) = caplog.records
    assert r"no octet count before a message: b'\x1b[2Jtwo', connection closed" in record.getMessage()
    assert framed.collection.counters()["droppedBadFrames"] == 1


@pytest.mark.parametrize("overlong", ["skip", "close"])
def test_tooLong(make: Any, overlong: str) -> None:
    """The same for both framings as for lines alone: skipped and counted, or the connection is closed."""
    framed = make("auto", MAX_LENGTH=10, overlong=overlong)
    framed.send(b"one\n20 <" + b"x" * 19 + b"two\n" + b"y" * 30 + b"\nthree\n")
    assert framed.close() == (b"one\ntwo\nthree\n" if overlong == "skip" else b"one\n")
    assert framed.collection.counters()["droppedOverlong"] == (2 if overlong == "skip" else 1)
    assert framed.built[0].overlongCount == (2 if overlong == "skip" else 0)


def test_otherSettings(make: Any) -> None:
    framed = make("auto", Framing(b"\0"), delimiter=b"\0", stripCR=True)
    framed.send(b"a\nb\r\0", b"7 <34>\0\nc", b"\0d\0")
    assert framed.close() == b"a\nb\0<34>#000\nc\0d\0"
