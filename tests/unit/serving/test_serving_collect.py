"""The collect application: the file, and what becomes of lines when it cannot be written."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pathlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from reactor.error import ConnectionDone, ConnectionLost
from reactor.failure import Failure
from reactor.serving import collect
from reactor.serving.collect import Collection, Collector
from reactor.serving.errors import CommandError
from reactor.serving.framing import Framing
from reactor.serving.linefile import LineFile, openOutput
from reactor.serving.linepipe import LinePipe
from reactor.transports.sharing import SharedDescriptor
from tests.support.worlds import LOOPS, turnUntil


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "lines"


def unexpected(error: CommandError) -> None:
    pytest.fail(repr(error))


class Peer:
    disconnecting = False
    disconnected = False
    paused = False

    def getPeer(self) -> str:
        return "peer"

    def loseConnection(self) -> None:
        self.disconnecting = True

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False


def client(collection: Collection) -> Collector:
    collector = collection.buildProtocol(None)
    assert collector is not None
    collector.makeConnection(Peer())
    return collector


def isPaused(collector: Collector) -> Any:
    peer: Any = collector.transport
    return peer.paused


def failing(call: str, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> Any:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, fail)


def test_appending(path: pathlib.Path) -> None:
    for content in (b"first\n", b"second\n"):
        file = LineFile(str(path))
        file.write([content[:-1], b"", b"x"])
        file.close()
        file.close()
    assert path.read_bytes() == b"first\n\nx\nsecond\n\nx\n"


@pytest.mark.parametrize(("before", "after"), [(b"", b"x\n"), (b"a\n", b"a\nx\n"), (b"a\nb", b"a\nb\nx\n")])
def test_aFileThatEndsWithinALine(path: pathlib.Path, before: bytes, after: bytes) -> None:
    path.write_bytes(before)
    file = LineFile(str(path))
    file.write([b"x"])
    file.close()
    assert path.read_bytes() == after


def test_oneCollectorAFile(path: pathlib.Path) -> None:
    file = LineFile(str(path))
    with pytest.raises(CommandError, match="another program has locked"):
        LineFile(str(path))
    file.close()
    LineFile(str(path)).close()


def test_aTornWriteIsTakenBack(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk fills up in the middle of a line: the file ends with the last whole one."""
    file = LineFile(str(path))
    file.write([b"before"])
    write = os.write
    room = [10, 3]

    def full(fd: int, data: bytes) -> int:
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, data[: room.pop(0)])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(CommandError, match=rf"cannot write to {path}: No space left on device"):
        file.write([b"one", b"two", b"three", b"four"])
    file.close()
    assert path.read_bytes() == b"before\none\ntwo\n"


def test_nothingIsTakenBackFromWhatIsNoFile(tmp_path: pathlib.Path) -> None:
    file = LineFile("/dev/full")
    with pytest.raises(CommandError, match="No space left"):
        file.write([b"one"])
    file.close()


def test_shortWritesAreGoneOnWith(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = LineFile(str(path))
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:3]))
    file.write([b"a long line", b"another"])
    file.close()
    assert path.read_bytes() == b"a long line\nanother\n"


@pytest.mark.parametrize("call", ["fsync", "open", "fstat"])
def test_everyErrorIsOneLine(path: pathlib.Path, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that only shows when the data reaches the disk, too."""
    file = LineFile(str(path))
    failing(call, errno.EIO, monkeypatch)
    attempt = file.close if call == "fsync" else lambda: LineFile(str(path)).close()
    with pytest.raises(CommandError, match=rf"^cannot (write|open) {path}: Input/output error$"):
        attempt()
    monkeypatch.undo()
    file.close()


# Pipes, terminals, sockets.


class Pipe:
    """A pipe as the output, and its reader's end, on a loop."""

    def __init__(self, side: Any, path: pathlib.Path, framing: Framing | None = None) -> None:
        os.mkfifo(path)
        self.side = side
        self.loop = side.makeReactor()
        self.read = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        output = openOutput(str(path), framing or Framing(), self.loop)
        assert isinstance(output, LinePipe)
        self.output = output
        self.failures: list[CommandError] = []
        self.collection = Collection(output, self.failures.append)

    def close(self) -> None:
        if self.read >= 0:
            os.close(self.read)
        with contextlib.suppress(CommandError):
            self.output.close()
        self.side.close(self.loop)

    def readAll(self, size: int) -> bytes:
        """Return `size` bytes: those in the pipe and those that come after, read while the loop turns."""
        found = bytearray()

        def look() -> bool:
            with contextlib.suppress(BlockingIOError):
                found.extend(os.read(self.read, 1 << 16))
            return len(found) >= size

        turnUntil(self.loop, look)
        return bytes(found)


@pytest.fixture(params=[pytest.param(side, id=side.name) for side in LOOPS])
def pipe(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[Pipe]:
    pipe = Pipe(request.param, tmp_path / "fifo")
    yield pipe
    pipe.close()


LONG = [b"%099d" % number for number in range(1000)]  # 100,000 bytes with their ends: more than a pipe holds


def test_whatAPipeDoesNotTakeWaits(pipe: Pipe) -> None:
    """write() returns at once. A client whose lines wait is paused, others are not; all comes in its order."""
    one, two, three = (client(pipe.collection) for _ in range(3))
    one.dataReceived(b"\n".join([*LONG, b""]))
    assert pipe.output.waits
    assert (isPaused(one), isPaused(two)) == (True, False)
    two.dataReceived(b"second\nunfinished")
    assert isPaused(two)
    two.connectionLost(Failure(ConnectionLost()))
    assert pipe.readAll(100_007) == b"\n".join([*LONG, b"second", b""])
    turnUntil(pipe.loop, lambda: not pipe.output.waits)
    assert [isPaused(each) for each in (one, two, three)] == [False, True, False]
    assert pipe.loop.getWriters() == []
    assert pipe.failures == []


def test_nobodyIsReadFromWhenMuchWaits(pipe: Pipe) -> None:
    """Above HELD, clients that have brought nothing yet are paused too, and new ones; that bounds the waiting lines."""
    one, two = (client(pipe.collection) for _ in range(2))
    pieces = 0
    while not isPaused(two):
        one.dataReceived(b"\n".join([*LONG, b""]))
        one.resumeProducing()  # as if it were another one each time
        pieces += 1
        assert pieces < 100
    three = client(pipe.collection)
    assert isPaused(three)
    assert collect.HELD < pipe.output.size <= collect.HELD + 100_000
    size = pieces * 100_000
    assert pipe.readAll(size) == b"\n".join([*LONG, b""]) * pieces
    turnUntil(pipe.loop, lambda: not pipe.output.waits)
    assert [isPaused(each) for each in (one, two, three)] == [False] * 3


def test_whatWasBufferedComesAfterThePause(pipe: Pipe) -> None:
    """A client that is resumed may stall the output again: the next one stays paused."""
    one, two = (client(pipe.collection) for _ in range(2))
    one.dataReceived(b"\n".join([*LONG, b""]))
    two.dataReceived(b"x\n")
    one.dataReceived(b"\n".join([*LONG, b""]))
    assert pipe.output.size < 150_000, "a paused client's lines are its own buffer's"
    assert pipe.readAll(200_002)[-100_000:] == b"\n".join([*LONG, b""])


def test_messagesOfAPipeStayApart(pipe: Pipe) -> None:
    """Another program writes to the same pipe: between lines and not within them, however little is read at a time."""
    other = os.open(pipe.output.path, os.O_WRONLY | os.O_NONBLOCK)
    lines = [b"%d:%s" % (number, b"x" * (number % 900)) for number in range(2000)]
    pipe.output.write(lines)
    found = bytearray()
    sent = 0

    def look() -> bool:
        nonlocal sent
        with contextlib.suppress(BlockingIOError):
            found.extend(os.read(pipe.read, 5000))
        with contextlib.suppress(BlockingIOError):
            sent += os.write(other, b"other\n") > 0
        return not pipe.output.waits

    pipe.output.taken = lambda: None
    turnUntil(pipe.loop, look)
    os.close(other)
    with contextlib.suppress(BlockingIOError):
        while piece := os.read(pipe.read, 1 << 16):
            found.extend(piece)
    got = bytes(found).split(b"\n")[:-1]
    assert [line for line in got if line != b"other"] == lines
    assert got.count(b"other") == sent > 0


@pytest.mark.parametrize("waiting", [False, True])
def test_theReaderHasGone(pipe: Pipe, waiting: bool) -> None:
    """At the next write, or while lines wait for it: the first failure is the last."""
    # The output has the pipe open for reading too, as openers of pipes do who do not want to wait: a socket tells.
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    output = LinePipe("it", Framing(), SharedDescriptor(ours.detach(), os.O_WRONLY, own=True), pipe.loop)
    failures: list[CommandError] = []
    collection = Collection(output, failures.append)
    collector = client(collection)
    if waiting:
        collector.dataReceived(b"\n".join([*LONG * 20, b""]))
        assert output.waits
    theirs.close()
    if waiting:
        taken = collection.allTaken(pipe.loop)
        turnUntil(pipe.loop, lambda: failures)
        assert taken.called
    else:
        collector.dataReceived(b"one\n")
    collection.keep([b"two"])
    assert [str(failure) for failure in failures] == ["cannot write to it: Broken pipe"] or "reset" in str(failures[0])
    assert collection.failed
    assert not output.waits
    output.close()


def test_whatNobodyTakesIsSaid(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the end it is waited for until the deadline, and no longer; what is lost is counted."""
    monkeypatch.setattr(collect, "DEADLINE", 0.05)
    pipe.output.write(LONG)
    pipe.collection.stopBegins()
    taken = pipe.collection.allTaken(pipe.loop)
    assert not taken.called
    turnUntil(pipe.loop, lambda: taken.called)
    assert pipe.loop.getDelayedCalls() == []
    size = pipe.output.size
    with pytest.raises(
        CommandError, match=rf"^\d+ lines, {size} bytes: lost, as nobody took them from .*fifo$"
    ) as told:
        pipe.output.close()
    pipe.output.close()
    whole = os.read(pipe.read, 1 << 17)
    assert len(whole) == 100_000 - size
    assert whole.count(b"\n") + int(str(told.value).split()[0]) == 1000


def test_whatIsTakenInTimeIsNotLost(pipe: Pipe) -> None:
    pipe.collection.stopBegins()
    assert pipe.collection.allTaken(pipe.loop).called
    pipe.output.write(LONG)
    taken = pipe.collection.allTaken(pipe.loop)
    pipe.readAll(100_000)
    turnUntil(pipe.loop, lambda: taken.called)
    pipe.output.close()
    assert pipe.loop.getDelayedCalls() == []


def test_aWatchThatIsRefused(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing would ever write what waits: that is a failure."""

    def refuse(writer: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pipe.loop, "addWriter", refuse)
    pipe.collection.keep(LONG)
    assert [str(failure).split(": ")[1] for failure in pipe.failures] == ["No space left on device"]


# Where lines end.

CASES = [
    # incoming, chosen, lines, in the file
    (b"\n", None, [b"a", b"b\r"], b"a\nb\r\n"),
    (b"\r\n", None, [b"a\nb", b"c\r"], b"a#012b\nc\r\n"),
    (b"\0", None, [b"a\nb", b"c"], b"a\nb\0c\0"),
    (b"\x1e", None, [b"a\nb", b"c"], b"a\nb\x1ec\x1e"),
    (b"\0", b"\n", [b"a\nb", b"c"], b"a#012b\nc\n"),
    (b"\0", b"\r\n", [b"a\r\nb", b"c\r", b"\n"], b"a#015#012b\r\nc\r\r\n\n\r\n"),
    (b"\n", b"\0", [b"a\0b", b"c"], b"a#000b\0c\0"),
    (b"\r\n", b"\r\n", [b"a\nb", b"c\r"], b"a\nb\r\nc\r\r\n"),
    (b"\n", b"\r\n", [b"a\r", b"c"], b"a\r\r\nc\r\n"),
]


@pytest.mark.parametrize(("incoming", "chosen", "lines", "content"), CASES)
def test_howLinesEnd(
    path: pathlib.Path, incoming: bytes, chosen: bytes | None, lines: list[bytes], content: bytes
) -> None:
    """As many in the file as came, whatever is in them."""
    framing = Framing(incoming, chosen)
    file = LineFile(str(path), framing)
    file.write(lines)
    file.close()
    assert path.read_bytes() == content
    assert len(content.split(framing.delimiter)) == len(lines) + 1


@pytest.mark.parametrize(
    ("delimiter", "before", "after"),
    [
        (b"\0", b"", b""),
        (b"\0", b"a\n", b"a\n\0"),
        (b"\0", b"a\0", b"a\0"),
        (b"\r\n", b"a\r", b"a\r\n"),
        (b"\r\n", b"a", b"a\r\n"),
        (b"\n\n", b"a\n", b"a\n\n"),
        (b"abc", b"b", b"babc"),
        (b"aab", b"xaa", b"xaab"),
    ],
)
def test_aFileThatEndsWithinALongEnd(path: pathlib.Path, delimiter: bytes, before: bytes, after: bytes) -> None:
    """The file continues the part of an end that a killed writer left."""
    path.write_bytes(before)
    LineFile(str(path), Framing(delimiter, delimiter)).close()
    assert path.read_bytes() == after


@pytest.mark.parametrize(
    ("delimiter", "rest", "content"),
    [
        (b"\n\n", b"text\n", b"text\n\n"),
        (b"\r\n", b"text\r", b"text\r\n"),
        (b"\0", b"a\nb", b"a\nb\0"),
        (b"aa", b"xa", b"xaa"),
    ],
)
def test_theRestOfAClientIsOneLine(path: pathlib.Path, delimiter: bytes, rest: bytes, content: bytes) -> None:
    """With an end whose first bytes it has said already, too: it must not shift the ends of what follows."""
    file = LineFile(str(path), Framing(delimiter))
    collection = Collection(file, unexpected)
    collector = client(collection)
    collector.delimiter = delimiter
    collector.dataReceived(rest)
    collector.readConnectionLost()
    file.close()
    assert path.read_bytes() == content


def test_aTornWriteWithAnEndOfItsOwn(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = LineFile(str(path), Framing(b"\n\n", b"\n\n"))
    write = os.write
    room = [10]

    def full(fd: int, data: bytes) -> int:
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, data[: room.pop(0)])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(CommandError):
        file.write([b"one", b"\ntwo", b"three"])  # "one\n\n\ntwo\n" is there
    file.close()
    assert path.read_bytes() == b"one\n\n"


def test_whatTheClientSaidLast(path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    """A last line without an end is kept if the client ended in order; else it is not whole, and that is logged."""
    file = LineFile(str(path))
    collection = Collection(file, unexpected)
    first, second, third, fourth = (client(collection) for _ in range(4))
    for collector in (first, second, third):
        collector.dataReceived(b"one\r\ntwo\nrest")
    fourth.dataReceived(b"four\n")
    for collector in (first, fourth):
        collector.readConnectionLost()
        assert collector.transport.disconnecting
        collector.connectionLost(Failure(ConnectionDone()))
    second.connectionLost(Failure(ConnectionLost("reset")))
    third.connectionLost(Failure(ConnectionDone()))
    file.close()
    assert path.read_bytes() == b"one\r\ntwo\n" * 3 + b"four\nrest\n"
    first_, second_ = (record.getMessage() for record in caplog.records)
    assert first_.startswith("peer: an unfinished line of 4 bytes is lost: Connection to the other side was lost")
    assert second_ == "peer: an unfinished line of 4 bytes is lost: closed from here"


@pytest.mark.parametrize(
    ("delimiter", "stripCR"), [(b"\n", False), (b"\n", True), (b"\r\n", False), (b"\r\n\r\n", False)]
)
@pytest.mark.parametrize("overlong", ["skip", "close"])
@pytest.mark.parametrize("end", [b"", b"\r"])
def test_theLastLineHasTheSameLimit(
    path: pathlib.Path, delimiter: bytes, stripCR: bool, overlong: str, end: bytes
) -> None:
    """A line that the client has not ended is kept, dropped or refused as it is with its end.

    Of those that were dropped before, nothing comes back.
    """
    file = LineFile(str(path))
    kept = []
    for length in range(1, 16):
        collector = client(Collection(file, unexpected))
        collector.delimiter, collector.stripCR = delimiter, stripCR
        collector.MAX_LENGTH, collector.overlong = 10, overlong
        line = b"x" * length + end
        shown = line.removesuffix(b"\r") if stripCR else line
        collector.dataReceived(line)
        collector.readConnectionLost()
        assert collector.transport.disconnecting
        collector.connectionLost(Failure(ConnectionDone()))
        fits = len(shown) <= 10
        kept += [shown] * fits
        assert collector.overlongCount == (overlong == "skip" and not fits)
    file.close()
    assert path.read_bytes() == b"\n".join([*kept, b""])


def test_longLines(path: pathlib.Path) -> None:
    """Far longer than other applications take them."""
    file = LineFile(str(path))
    collector = client(Collection(file, unexpected))
    collector.dataReceived(b"x" * 1_000_000 + b"\n")
    file.close()
    assert path.stat().st_size == 1_000_001


def test_theFirstFailureIsTheLast(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is written after it, and nothing is said for lines that are lost with it."""
    failures: list[CommandError] = []
    file = LineFile("/dev/full")
    collection = Collection(file, failures.append)
    collector, other = client(collection), client(collection)
    collector.dataReceived(b"one\ntwo")
    other.dataReceived(b"three\nfour")
    collector.readConnectionLost()
    other.connectionLost(Failure(ConnectionLost()))
    file.close()
    assert [str(failure) for failure in failures] == ["cannot write to /dev/full: No space left on device"]
    assert caplog.records == []


def test_standardOutput(capfd: pytest.CaptureFixture[str]) -> None:
    """It is not closed with the file."""
    file = LineFile("-")
    file.write([b"one"])
    file.close()
    assert os.fstat(1)
    assert capfd.readouterr().out == "one\n"
    assert fcntl.fcntl(1, fcntl.F_GETFD) >= 0
