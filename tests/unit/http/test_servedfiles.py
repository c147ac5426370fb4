"""Files over real sockets: what a client gets, also from a file that changes, and descriptors that are given back."""

from __future__ import annotations

import hashlib
import os
import pathlib
import socket
import subprocess
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from reactor.defer import Deferred
from reactor.http import channelpace
from reactor.http.channel import HTTPChannel
from reactor.http.factory import HTTPFactory
from reactor.http.files import FileBody, FilesHandler
from reactor.http.response import Response
from reactor.loops.epoll import EpollReactor
from tests.support.worlds import DEADLINE, LOOPBACK, dial, reset, turnUntil

SIZE = 12_000_000


class Serving:
    """A port with a handler, on a reactor that a test turns, and the bodies that were made for its answers."""

    def __init__(self, factory: HTTPFactory, left: ExitStack) -> None:
        self.reactor = EpollReactor()
        left.callback(self._close)
        factory.reactor = self.reactor
        self.port = self.reactor.listenTCP(0, factory, interface=LOOPBACK)
        self.left = left

    def _close(self) -> None:
        self.reactor.disconnectAll()
        self.reactor.iterate(0)
        self.reactor.close()

    def connections(self) -> list[Any]:
        return [each for each in self.reactor.openTransports() if hasattr(each, "unsent")]

    def ask(self, head: bytes, receiveBuffer: int | None = None) -> socket.socket:
        peer = self.left.enter_context(dial(self.port, receiveBuffer=receiveBuffer))
        peer.sendall(head)
        peer.setblocking(False)
        return peer

    def read(self, peer: socket.socket, size: int | None = None) -> bytes:
        """Read `size` bytes, or to the end."""
        data = b""

        def isThere() -> bool:
            nonlocal data
            while size is None or len(data) < size:
                try:
                    part = peer.recv(65536 if size is None else min(65536, size - len(data)))
                except BlockingIOError:
                    return False
                if not part:
                    return True
                data += part
            return True

        turnUntil(self.reactor, isThere)
        return data


@pytest.fixture
def left() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def bodies(monkeypatch: pytest.MonkeyPatch) -> list[weakref.ref[FileBody]]:
    """The bodies that are made."""
    made: list[weakref.ref[FileBody]] = []
    begin = FileBody.__init__

    def noted(self: FileBody, *arguments: Any) -> None:
        made.append(weakref.ref(self))
        begin(self, *arguments)

    monkeypatch.setattr(FileBody, "__init__", noted)
    return made


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "large").write_bytes(os.urandom(SIZE))
    (tmp_path / "small").write_bytes(b"small")
    return tmp_path


def areClosed(bodies: list[weakref.ref[FileBody]]) -> bool:
    return bool(bodies) and all(body is None or body.closed for body in (each() for each in bodies))


def head(uri: str, method: str = "GET", *fields: str) -> bytes:
    return "\r\n".join([f"{method} {uri} HTTP/1.1", "Host: a", *fields, "", ""]).encode()


@pytest.fixture
def serving(root: pathlib.Path, left: ExitStack) -> Serving:
    return Serving(HTTPFactory.forHandler(FilesHandler(root)), left)


def test_aLargeFile(serving: Serving, root: pathlib.Path, bodies: list[weakref.ref[FileBody]]) -> None:
    """It comes whole, and only as fast as it is taken: the server's memory does not hold it."""
    peer = serving.ask(head("/large", "GET", "Connection: close"), receiveBuffer=65536)
    turnUntil(serving.reactor, lambda: serving.connections())
    (transport,) = serving.connections()
    most = 0
    for _ in range(200):
        serving.reactor.iterate(0)
        most = max(most, transport.unsent)
    assert 0 < most <= 2 * FileBody.PIECE + 65536
    answer = serving.read(peer)
    _head, _, body = answer.partition(b"\r\n\r\n")
    assert hashlib.sha256(body).digest() == hashlib.sha256((root / "large").read_bytes()).digest()
    turnUntil(serving.reactor, lambda: areClosed(bodies))


def test_keepAlive(serving: Serving, bodies: list[weakref.ref[FileBody]]) -> None:
    """Answers with and without a body follow each other on one connection."""
    asked = head("/small") + head("/small", "HEAD") + head("/none") + head("/small", "GET", "If-None-Match: *")
    asked += (
        head("/small", "GET", "Range: bytes=1-2") + head("/small", "POST") + head("/small", "GET", "Connection: close")
    )
    answer = serving.read(serving.ask(asked))
    codes = [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]]
    assert codes == [b"200", b"200", b"404", b"304", b"206", b"405", b"200"]
    assert answer.count(b"\r\n\r\nsmall") == 2
    assert b"\r\n\r\nmaHTTP/1.1 405" in answer
    turnUntil(serving.reactor, lambda: areClosed(bodies))
    assert len(bodies) == 4


@pytest.mark.parametrize("isReset", [False, True])
def test_aPeerThatLeaves(
    serving: Serving, bodies: list[weakref.ref[FileBody]], isReset: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The file is closed when the client is lost in the middle. That is no error of the program."""
    peer = serving.ask(head("/large"), receiveBuffer=65536)
    assert serving.read(peer, 1000).startswith(b"HTTP/1.1 200 OK")
    assert not areClosed(bodies)
    if isReset:
        reset(peer)
    else:
        peer.close()
    turnUntil(serving.reactor, lambda: areClosed(bodies))
    turnUntil(serving.reactor, lambda: not serving.connections())
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


def test_pipelinedFilesThatNobodyTakes(serving: Serving, bodies: list[weakref.ref[FileBody]]) -> None:
    """A client asks for many files, and leaves: all are closed."""
    peer = serving.ask(head("/large") * 10, receiveBuffer=65536)
    serving.read(peer, 1000)
    reset(peer)
    turnUntil(serving.reactor, lambda: areClosed(bodies))
    turnUntil(
        serving.reactor, lambda: not [each for each in serving.reactor.openTransports() if hasattr(each, "unsent")]
    )
    assert areClosed(bodies)


def test_aFileThatShrinksWhileItIsSent(
    serving: Serving, root: pathlib.Path, bodies: list[weakref.ref[FileBody]], caplog: pytest.LogCaptureFixture
) -> None:
    """The connection is aborted: a client must not take what it has got for the file."""
    peer = serving.ask(head("/large"), receiveBuffer=65536)
    got = serving.read(peer, 1000)
    os.truncate(root / "large", 4_000_000)
    with suppress(ConnectionResetError):
        while part := serving.read(peer, 1000):
            got += part
        pytest.fail(f"the stream ends in order, behind {len(got)} bytes")
    assert b"Content-Length: %d\r\n" % SIZE in got
    assert len(got) < 5_000_000
    turnUntil(serving.reactor, lambda: areClosed(bodies))
    assert "FileTruncated" in caplog.text


def test_aFileThatGrowsWhileItIsSent(serving: Serving, root: pathlib.Path) -> None:
    peer = serving.ask(head("/large", "GET", "Connection: close"), receiveBuffer=65536)
    got = serving.read(peer, 1000)
    with (root / "large").open("ab") as file:
        file.write(b"more")
    got += serving.read(peer)
    assert len(got.partition(b"\r\n\r\n")[2]) == SIZE


@pytest.mark.needs("curl")
def test_curlResumes(root: pathlib.Path, left: ExitStack, tmp_path: pathlib.Path) -> None:
    """A download goes on where it was broken off, and is not made again if the file is the same."""
    serving = Serving(HTTPFactory.forHandler(FilesHandler(root)), left)
    url = f"http://{LOOPBACK}:{serving.port.getHost().port}/large"
    part, tag = tmp_path / "part", tmp_path / "tag"
    os.utime(root / "large", (1e9, 1e9))

    def curl(*arguments: object) -> str:
        command = ["curl", "-sS", *map(str, arguments), url]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        with process:
            turnUntil(serving.reactor, lambda: process.poll() is not None, DEADLINE)
            assert process.stdout is not None
            return process.stdout.read()

    part.write_bytes((root / "large").read_bytes()[:5_000_000])
    assert curl("-C", "-", "-o", part, "-w", "%{http_code} %{size_download}") == f"206 {SIZE - 5_000_000}"
    assert part.read_bytes() == (root / "large").read_bytes()
    assert curl("--etag-save", tag, "-o", part, "-w", "%{http_code}") == "200"
    assert curl("--etag-compare", tag, "-o", tmp_path / "again", "-w", "%{http_code}") == "304"
    assert curl("-z", part, "-o", tmp_path / "again", "-w", "%{http_code}") == "304"
    assert curl("-r", "0-1,4-5", "-o", part, "-w", "%{http_code}") == "206"
    assert part.read_bytes().count(b"Content-Range: bytes ") == 2


# Clients that leave while nothing is read.


@pytest.mark.parametrize("isReset", [False, True])
@pytest.mark.parametrize(
    "asked",
    [
        head("/") * 20,
        head("/", "GET", "Connection: upgrade", "Upgrade: other") + b"not HTTP",
        b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
    ],
    ids=["pipelined", "upgrade", "connect"],
)
def test_aClientThatLeavesWhileItIsNotRead(
    left: ExitStack, monkeypatch: pytest.MonkeyPatch, asked: bytes, isReset: bool
) -> None:
    """Its requests are told within a deadline, although no byte of it is read."""
    monkeypatch.setattr(channelpace, "LOOK", 0.05)
    requests: list[Any] = []
    told: list[Any] = []

    def handler(request: Any) -> Deferred[bytes]:
        requests.append(request)
        request.notifyFinish().addErrback(told.append)
        return Deferred()

    serving = Serving(HTTPFactory.forHandler(handler), left)
    peer = serving.ask(asked)
    turnUntil(serving.reactor, lambda: len(requests) == min(16, asked.count(b"Host")))
    (transport,) = serving.connections()
    turnUntil(serving.reactor, lambda: not serving.reactor.isReading(transport))
    for _ in range(3):  # the looks go on while the client is there
        number = len(serving.reactor.getDelayedCalls())
        turnUntil(serving.reactor, lambda number=number: len(serving.reactor.getDelayedCalls()) != number)
    assert told == []
    if isReset:
        reset(peer)
    else:
        peer.close()
    turnUntil(serving.reactor, lambda: len(told) == len(requests))
    assert serving.connections() == []


class Patient(HTTPChannel):
    """Its deadlines pass only when a test says so."""

    stallTime = lingerTime = 10_000.0


class Slow:
    """A client that asks for `size` bytes, and reads a little at a time."""

    def __init__(self, left: ExitStack, size: int, persists: bool = True) -> None:
        fields = {} if persists else {"Connection": "close"}
        factory = HTTPFactory.forHandler(lambda request: Response(200, b"x" * size, fields))
        factory.protocol = Patient
        self.serving = Serving(factory, left)
        self.peer = self.serving.ask(head("/"), receiveBuffer=4096)
        self.got = len(self.serving.read(self.peer, 1000))
        (self.transport,) = self.serving.connections()

    def read(self, size: int) -> None:
        self.got += len(self.serving.read(self.peer, size))

    def deadlinePasses(self) -> None:
        self.transport.protocol.waitedTooLong()
        self.serving.reactor.iterate(0)

    def isResetSoon(self) -> None:
        """The client reads no more. Its system may still have taken some bytes since the last look."""
        for _ in range(3):
            if self.serving.connections():
                self.deadlinePasses()
        assert self.serving.connections() == []


def test_whatTheSystemHoldsIsNotDestroyed(left: ExitStack) -> None:
    """After the last answer, the deadline for the client's end does not destroy what a slow client has not read."""
    slow = Slow(left, 1_000_000, persists=False)
    while slow.transport.unsent:
        slow.read(10_000)
    remaining = 1_000_000 - slow.got
    assert remaining > 200_000, "the system has kept too little"
    for _ in range(5):
        slow.read(20_000)
        slow.deadlinePasses()
        assert slow.serving.connections() == [slow.transport]
    slow.isResetSoon()


def test_aSlowReaderIsNoStall(left: ExitStack) -> None:
    """The system wakes the server only when much of its buffer is free. A client that reads until then is not reset."""
    slow = Slow(left, 30_000_000)
    turnUntil(slow.serving.reactor, lambda: slow.transport.protocol.isFull)
    unsent = slow.transport.unsent
    for _ in range(5):
        slow.read(20_000)
        slow.deadlinePasses()
        assert slow.serving.connections() == [slow.transport]
    assert slow.transport.unsent == unsent, "the system has taken more, so the test has shown nothing"
    slow.isResetSoon()
