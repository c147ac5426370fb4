"""The collect application: the file, and what becomes of lines when it cannot be written."""

from __future__ import annotations

import errno
import fcntl
import os
import pathlib
import threading
from typing import Any

import pytest

from reactor.error import ConnectionDone, ConnectionLost
from reactor.failure import Failure
from reactor.serving import collect
from reactor.serving.collect import Collection, Collector, LineFile
from reactor.serving.errors import CommandError


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "lines"


class Peer:
    disconnecting = False

    def getPeer(self) -> str:
        return "peer"

    def loseConnection(self) -> None:
        self.disconnecting = True


def client(collection: Collection) -> Collector:
    collector = collection.buildProtocol(None)
    assert collector is not None
    collector.makeConnection(Peer())
    return collector


def failing(call: str, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> Any:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(collect.os, call, fail)


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

    monkeypatch.setattr(collect.os, "write", full)
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
    monkeypatch.setattr(collect.os, "write", lambda fd, data: write(fd, data[:3]))
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


def test_aNonBlockingPipeIsWaitedFor(tmp_path: pathlib.Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    file = LineFile(str(fifo))
    os.set_blocking(file._fd, False)
    lines = [b"%09d" % number for number in range(100_000)]
    got: list[bytes] = []

    def read() -> None:
        with fifo.open("rb", buffering=0) as reader:
            while sum(map(len, got)) < 1_000_000:
                got.append(reader.read(10_000))

    reading = threading.Thread(target=read)
    reading.start()
    file.write(lines)
    reading.join()
    file.close()
    assert b"".join(got) == b"\n".join([*lines, b""])


def test_whatTheClientSaidLast(path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    """A last line without an end is kept if the client ended in order; else it is not whole, and that is logged."""
    file = LineFile(str(path))
    collection = Collection(file, pytest.fail)
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
    """A line that the client has not ended is kept, dropped or refused as it is with its end; of those that were
    dropped before, nothing comes back.
    """
    file = LineFile(str(path))
    kept = []
    for length in range(1, 16):
        collector = client(Collection(file, pytest.fail))
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
    collector = client(Collection(file, pytest.fail))
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
