"""LineFile: lines that wait for room, for a lock or for the disk, and their senders with them."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pathlib
import resource
import subprocess
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from reactor.serving import collect
from reactor.serving.collect import Collection, Collector
from reactor.serving.collecting import syncing
from reactor.serving.collecting.appending import Appended
from reactor.serving.collecting.background import Background
from reactor.serving.collecting.rotating import Rotation, rotatedFiles
from reactor.serving.errors import CommandError
from reactor.serving.framing import Framing
from reactor.serving.linefile import Keeping, LineFile
from reactor.task import Clock
from tests.support.worlds import DEADLINE, OURS, turnUntil


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


def client(collection: Collection) -> Any:
    collector = collection.buildProtocol(None)
    assert isinstance(collector, Collector)
    collector.makeConnection(Peer())
    return collector


@pytest.fixture
def loop() -> Iterator[Any]:
    loop = OURS.makeReactor()
    yield loop
    OURS.close(loop)


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "lines"


def unexpected(error: CommandError) -> None:
    pytest.fail(repr(error))


@contextlib.contextmanager
def limited(size: int) -> Iterator[None]:
    """Files of this process get no longer than `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def small(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A file system of 64 KiB."""
    where = tmp_path / "small"
    where.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(where)], check=True)
    yield where
    subprocess.run(["umount", str(where)], check=True)


LONG = b"".join(b"%099d\n" % number for number in range(1000))


@pytest.mark.needs("root")
def test_aFullDisk(small: pathlib.Path, loop: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Whole lines are there, the sender waits, another one does not until it brings lines; then all goes on."""
    output = LineFile(str(small / "lines"), keeping=Keeping(onFull="wait"), reactor=loop)
    collection = Collection(output, unexpected, reactor=loop)
    one, two = client(collection), client(collection)
    one.dataReceived(LONG)
    assert (one.transport.paused, two.transport.paused) == (True, False)
    assert output.waits
    content = (small / "lines").read_bytes()
    assert content == LONG[: len(content)]
    assert content.endswith(b"\n")
    assert len(content) + output.size == len(LONG)
    two.dataReceived(b"two\n")
    assert two.transport.paused
    assert collection.counters()["keptLines"] == len(content) // 100
    turnUntil(loop, lambda: loop.getDelayedCalls())
    subprocess.run(["mount", "-o", "remount,size=1m", str(small)], check=True)
    turnUntil(loop, lambda: not output.waits)
    assert (one.transport.paused, two.transport.paused) == (False, False)
    output.close()
    assert (small / "lines").read_bytes() == LONG + b"two\n"
    full, room = (record.getMessage() for record in caplog.records)
    assert full == f"{small}/lines: No space left on device; the senders wait until there is room"
    assert room.startswith(f"{small}/lines: there is room again, after 0.")
    counters = collection.counters()
    assert (counters["keptLines"], counters["keptBytes"], counters["stalls"]) == (1001, 100_004, 1)


def test_aFileThatMayNotGrow(path: pathlib.Path, loop: Any, caplog: pytest.LogCaptureFixture) -> None:
    """EFBIG, of a limit of the process; it is said once, however often it is tried."""
    output = LineFile(str(path), keeping=Keeping(onFull="wait"), reactor=loop)
    tries = list[int]()
    append = output._file.append

    def counted(data: bytes, patience: float = 0) -> Appended:
        tries.append(len(data))
        return append(data, patience)

    output._file.append = counted  # type: ignore[method-assign]
    collection = Collection(output, unexpected, reactor=loop)
    one = client(collection)
    with limited(10):
        one.dataReceived(b"first\nsecond\n")
        turnUntil(loop, lambda: len(tries) == 3)
        assert path.read_bytes() == b"first\n"
    turnUntil(loop, lambda: not output.waits)
    assert path.read_bytes() == b"first\nsecond\n"
    output.close()
    full, _room = (record.getMessage() for record in caplog.records)
    assert full.startswith(f"{path}: File too large; ")


@pytest.mark.parametrize("onFull", ["exit", "wait"])
def test_anEndWithoutRoom(path: pathlib.Path, onFull: str, loop: Any) -> None:
    """Lost lines are counted in the last error; with "exit" the first write is that error."""
    output = LineFile(str(path), keeping=Keeping(onFull=onFull), reactor=loop)
    with limited(10):
        if onFull == "exit":
            with pytest.raises(CommandError, match=f"^cannot write to {path}: File too large$"):
                output.write([b"first", b"second", b"third"])
            output.close()
        else:
            output.write([b"first", b"second", b"third"])
            output.write([b"fourth"])
            with pytest.raises(CommandError, match=f"^3 lines, 20 bytes: lost, as {path} took no more: File too large"):
                output.close()
            output.close()
    assert path.read_bytes() == b"first\n"
    assert loop.getDelayedCalls() == []


def test_roomAtTheVeryEnd(path: pathlib.Path, loop: Any) -> None:
    output = LineFile(str(path), keeping=Keeping(onFull="wait"), reactor=loop)
    with limited(3):
        output.write([b"first"])
    output.close()
    assert path.read_bytes() == b"first\n"


@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS])
def test_otherErrorsAreNoWait(path: pathlib.Path, number: int, loop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is a device that is always full."""
    output = LineFile(str(path), keeping=Keeping(onFull="wait"), reactor=loop)

    def fail(fd: int, data: bytes) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fail)
        with pytest.raises(CommandError, match=r"^cannot write to "):
            output.write([b"first"])
    output.close()
    device = LineFile("/dev/full", keeping=Keeping(onFull="wait"), reactor=loop)
    with pytest.raises(CommandError, match="No space left on device"):
        device.write([b"first"])
    device.close()


def test_anErrorWhileLinesWait(path: pathlib.Path, loop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[CommandError] = []
    output = LineFile(str(path), keeping=Keeping(onFull="wait"), reactor=loop)
    collection = Collection(output, failures.append, reactor=loop)
    one = client(collection)
    with limited(3):
        one.dataReceived(b"first\n")

    def fail(fd: int, data: bytes) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fail)
        turnUntil(loop, lambda: failures)
    assert [str(each) for each in failures] == [f"cannot write to {path}: Input/output error"]
    one.dataReceived(b"more\n")
    collection.keep([b"x", b"y"])
    assert collection.counters()["droppedFailed"] == 2
    output.close()


def test_aLockThatIsNotGivenBack(path: pathlib.Path, loop: Any) -> None:
    """By a process that was stopped in the middle of a write: the loop goes on meanwhile."""
    output = LineFile(str(path), keeping=Keeping(shared=True), reactor=loop)
    collection = Collection(output, unexpected, reactor=loop)
    one = client(collection)
    ours, theirs = os.pipe()
    holder = os.fork()
    if not holder:
        fcntl.lockf(output._file.fd, fcntl.LOCK_EX)
        os.write(theirs, b"x")
        threading.Event().wait()
    try:
        os.read(ours, 1)
        one.dataReceived(b"first\n")
        assert output.waits
        assert one.transport.paused
        turned = list[int]()
        loop.callLater(0.02, turned.append, 1)
        turnUntil(loop, lambda: turned)
        assert output.size == 6
    finally:
        os.kill(holder, 9)
        os.waitpid(holder, 0)
    turnUntil(loop, lambda: not output.waits)
    assert not one.transport.paused
    for fd in (ours, theirs):
        os.close(fd)
    output.close()
    assert path.read_bytes() == b"first\n"


class Disk:
    """fsync(2), which takes as long as a test wants it to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = list[int]()
        self.may = threading.Semaphore(0)
        self.error: OSError | None = None
        monkeypatch.setattr(os, "fsync", self.sync)

    def sync(self, fd: int) -> None:
        self.calls.append(fd)
        if threading.current_thread() is not threading.main_thread():
            assert self.may.acquire(timeout=DEADLINE)
        if self.error is not None:
            raise self.error


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def test_alwaysOnTheDisk(path: pathlib.Path, loop: Any, disk: Disk) -> None:
    """Lines count as kept when the disk has them. Until then their sender waits, and gets no end of the connection.

    Lines that come meanwhile are the next call's, for all at once.
    """
    output = LineFile(str(path), keeping=Keeping(sync="always"), reactor=loop)
    collection = Collection(output, unexpected, reactor=loop)
    one, two, three = (client(collection) for _ in range(3))
    one.dataReceived(b"one\n")
    assert one.transport.paused
    two.dataReceived(b"two\n")
    three.dataReceived(b"three")
    three.readConnectionLost()
    turnUntil(loop, lambda: disk.calls)
    assert path.read_bytes() == b"one\ntwo\nthree\n"
    assert collection.counters()["keptLines"] == 0
    disk.may.release()
    turnUntil(loop, lambda: len(disk.calls) == 2)
    assert collection.counters()["keptLines"] == 1
    assert [each.transport.paused for each in (one, two, three)] == [True] * 3
    assert not three.transport.disconnecting
    disk.may.release()
    turnUntil(loop, lambda: not output.waits)
    assert [each.transport.paused for each in (one, two, three)] == [False] * 3
    assert three.transport.disconnecting
    assert collection.counters()["keptLines"] == 3
    assert len(disk.calls) == 2
    output.close()
    assert collection.counters()["syncs"] == 2


def test_theEndWaitsForTheDisk(path: pathlib.Path, loop: Any, disk: Disk) -> None:
    output = LineFile(str(path), keeping=Keeping(sync="always"), reactor=loop)
    collection = Collection(output, unexpected, reactor=loop)
    client(collection).dataReceived(b"one\n")
    collection.stopBegins()
    taken = collection.allTaken(loop)
    assert not taken.called
    disk.may.release()
    turnUntil(loop, lambda: taken.called)
    assert collection.counters()["keptLines"] == 1
    output.close()


def test_aDiskThatFailsLater(path: pathlib.Path, loop: Any, disk: Disk) -> None:
    failures: list[CommandError] = []
    disk.error = OSError(errno.EIO, os.strerror(errno.EIO))
    output = LineFile(str(path), keeping=Keeping(sync="always"), reactor=loop)
    collection = Collection(output, failures.append, reactor=loop)
    client(collection).dataReceived(b"one\n")
    disk.may.release()
    turnUntil(loop, lambda: failures)
    assert [str(each) for each in failures] == [f"cannot write {path}: Input/output error"]
    assert collection.counters()["keptLines"] == 0
    with pytest.raises(CommandError):
        output.close()


def test_eachSecond(path: pathlib.Path, disk: Disk) -> None:
    """One call for all that was written since the last one, and nobody waits."""
    clock: Any = Clock()
    clock.callFromThread = lambda call, *arguments: clock.callLater(0, call, *arguments)
    output = LineFile(str(path), keeping=Keeping(sync="interval"), reactor=clock)
    collection = Collection(output, unexpected)
    one = client(collection)
    for _ in range(3):
        one.dataReceived(b"one\n")
    assert not one.transport.paused
    assert collection.counters()["keptLines"] == 3
    clock.advance(syncing.SYNC_INTERVAL - 0.1)
    assert disk.calls == []
    disk.may.release()
    clock.advance(0.1)
    assert output._syncing._thread.finish(DEADLINE)
    assert len(disk.calls) == 1
    clock.advance(10)
    assert len(disk.calls) == 1
    one.dataReceived(b"two\n")
    disk.may.release()
    clock.advance(syncing.SYNC_INTERVAL)
    assert output._syncing._thread.finish(DEADLINE)
    assert len(disk.calls) == 2
    clock.advance(0)
    one.dataReceived(b"three\n")
    output.close()
    assert clock.getDelayedCalls() == []
    assert len(disk.calls) == 3, "the last lines are close()'s"


def test_aFileThatIsLeftReachesTheDiskToo(path: pathlib.Path, loop: Any, disk: Disk) -> None:
    """By rotation or reopening: it is synced, then closed, in the thread; its lines count after that only."""
    keeping = Keeping(sync="always", rotation=Rotation(size=5))
    output = LineFile(str(path), keeping=keeping, reactor=loop)
    collection = Collection(output, unexpected, reactor=loop)
    client(collection).dataReceived(b"one\n")
    first = output._file.fd
    client(collection).dataReceived(b"two\n")
    assert output._file.fd != first
    assert os.fstat(first)
    for _ in range(3):
        disk.may.release()
    turnUntil(loop, lambda: not output.waits)
    assert disk.calls == [first, first, output._file.fd]
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(first)
    output.close()


def test_reopening(path: pathlib.Path, loop: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Lines that wait for room on the old disk go to the new file, at once."""
    output = LineFile(str(path), keeping=Keeping(onFull="wait"), reactor=loop)
    collection = Collection(output, unexpected, reactor=loop)
    one = client(collection)
    moved = path.parent / "moved"
    with limited(10):
        one.dataReceived(b"first\nsecond\n")
        os.rename(path, moved)
        collection.reopen()
        assert not output.waits
        assert not one.transport.paused
    assert (moved.read_bytes(), path.read_bytes()) == (b"first\n", b"second\n")
    collection.reopen()
    os.rename(path, moved)
    os.mkdir(path)
    collection.reopen()
    one.dataReceived(b"third\n")
    assert moved.read_bytes() == b"second\nthird\n"
    assert collection.counters()["reopenings"] == 1
    output.close()
    assert caplog.records[-1].getMessage() == (f"cannot reopen {path}, and go on with the old file: Is a directory")


def test_rotatedFilesAreCompressedInAThread(path: pathlib.Path, loop: Any, caplog: pytest.LogCaptureFixture) -> None:
    """So they are at the start, for a process that was killed; a failure is one record, and costs no line."""
    output = LineFile(str(path), keeping=Keeping(rotation=Rotation(size=5, keep=2, compress=True)), reactor=loop)
    for number in range(5):
        output.write([b"%d" % number, b"x"])
    turnUntil(loop, lambda: len(rotatedFiles(str(path))) == 2 and all(".gz" in n for n in rotatedFiles(str(path))))
    assert output._tidying.finish(DEADLINE)
    assert output.counters()["rotations"] == 4
    output._tidied(OSError(errno.ENOSPC, "No space left on device"))
    output.close()
    (record,) = caplog.records
    assert record.getMessage() == f"cannot compress or remove the rotated files of {path}: No space left on device"


@pytest.mark.parametrize("output", ["-", "fifo", "/dev/null"])
def test_whatCannotBeRotated(output: str, tmp_path: pathlib.Path, loop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if output == "fifo":
        output = str(tmp_path / "fifo")
        os.mkfifo(output)
    with pytest.raises(CommandError, match=r"^cannot rotate .*: it is no regular file with a name of its own$"):
        LineFile(output, keeping=Keeping(rotation=Rotation(size=5)), reactor=loop)


def test_aReaderThatTakesNothingIsNamed(path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    """Once for as long as it lasts, and after a while only: a pipe is often full for a moment."""
    clock = Clock()
    output: Any = SimpleNamespace(framing=Framing(), waits=False, size=0, name="the pipe", waitsFor="its reader")
    output.write = lambda lines: setattr(output, "waits", True)
    collection = Collection(output, unexpected, reactor=clock)
    one, two = client(collection), client(collection)
    one.dataReceived(b"one\n")
    clock.advance(collect.STUCK - 1)
    output.waits = False
    output.taken()
    one.dataReceived(b"one\n")
    clock.advance(collect.STUCK - 1)
    assert caplog.records == []
    two.dataReceived(b"two\n")
    clock.advance(1)
    clock.advance(100)
    assert [each.getMessage() for each in caplog.records] == ["2 senders wait for the pipe, which waits for its reader"]
    output.waits = False
    output.taken()
    assert caplog.records[-1].getMessage() == "the pipe goes on"
    assert [each.transport.paused for each in (one, two)] == [False, False]
    assert clock.getDelayedCalls() == []


def test_background() -> None:
    """One thread, calls in order, errors for the loop; a closed reactor is no error in the thread."""
    order, results = list[int](), list[BaseException | None]()

    class Closed:
        def callFromThread(self, call: Any, *arguments: Any) -> None:
            if arguments[0] is None and len(order) == 3:
                raise OSError("closed")
            call(*arguments)

    background = Background(Closed(), "x")
    begin = threading.Event()

    def work(number: int) -> None:
        assert begin.wait(DEADLINE)
        order.append(number)
        if number == 1:
            raise ValueError("one")

    for number in range(3):
        background.do(lambda number=number: work(number), results.append)  # type: ignore[misc]
    assert not background.finish(0)
    begin.set()
    assert background.finish(DEADLINE)
    assert order == [0, 1, 2]
    assert [type(each) for each in results] == [type(None), ValueError]
    background.do(lambda: order.append(3), results.append)
    assert background.finish(DEADLINE)
    assert order[-1] == 3
