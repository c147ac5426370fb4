"""AppendedFile: whole records, each once, whatever happens between two writes or in the middle of one."""

from __future__ import annotations

import errno
import fcntl
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from reactor.serving.collecting import appending, locks
from reactor.serving.collecting.appending import AppendedFile, LockedError, lastEnd
from reactor.serving.collecting.locks import lockForWrite
from reactor.serving.collecting.rotating import Rotation, rotatedFiles
from reactor.serving.framing import Framing
from tests.support.worlds import DEADLINE, ROOT


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "records"


@contextmanager
def another(program: str, path: pathlib.Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that runs `program` with the file's path, and is killed at the end. It has begun: b"ready"."""
    command = [sys.executable, "-c", textwrap.dedent(program), str(path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "env": environment}
    with subprocess.Popen(command, **pipes) as process:  # type: ignore[call-overload]
        try:
            assert process.stdout.read(5) == b"ready"
            yield process
        finally:
            process.kill()


HOLDS = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_APPEND)
fcntl.lockf(fd, fcntl.LOCK_EX)
os.write(fd, b"torn")
os.write(1, b"ready")
sys.stdin.read()
"""


def test_aLockThatAnotherHolds(path: pathlib.Path) -> None:
    """The write gives up in time, and has written nothing. A killed process has no lock any more."""
    file = AppendedFile(str(path), Framing(), shared=True)
    file.append(b"first\n")
    with another(HOLDS, path) as process:
        assert not lockForWrite(file.fd, 0.001)
        kept, error = file.append(b"second\n")
        assert kept == 0
        assert isinstance(error, BlockingIOError)
        assert path.read_bytes() == b"first\ntorn"
        process.send_signal(signal.SIGKILL)
        process.wait(DEADLINE)
        assert file.append(b"second\n") == (7, None)
    assert path.read_bytes() == b"first\nsecond\n", "the torn record of the killed process is cut off"
    file.close()
    file.close()


def test_theLockHoldsBetweenHeirsOfOneDescriptor(path: pathlib.Path) -> None:
    """They share the open file, and with it every lock of flock(2), but not the lock for a write."""
    file = AppendedFile(str(path), Framing())
    assert lockForWrite(file.fd)
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        answers = [lockForWrite(file.fd, 0.001), file.append(b"x\n").kept]
        os.write(theirs, bytes(answers))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(ours, 2) == b"\0\0"
    for fd in (ours, theirs):
        os.close(fd)
    file.close()


def inThread(call: Callable[[], Any]) -> Any:
    """Return what `call` returns in another thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result(DEADLINE)


def test_theLockHoldsBetweenThreads(path: pathlib.Path) -> None:
    """To the system they are one process, which has the lock."""
    one, other = (AppendedFile(str(path), Framing(), shared=True) for _ in range(2))
    assert one._writeLock.take()
    assert not inThread(lambda: other._writeLock.take(0.001))
    kept, error = inThread(lambda: other.append(b"second\n"))
    assert kept == 0
    assert isinstance(error, BlockingIOError)
    one._writeLock.give()
    one._writeLock.give()
    assert inThread(lambda: other.append(b"second\n")) == (7, None)
    assert one.append(b"third\n") == (6, None)
    one.close()
    other.close()
    assert path.read_bytes() == b"second\nthird\n"


TRIES = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_APPEND)
os.write(1, b"ready")
while sys.stdin.buffer.read(1):
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.write(1, b"held.")
    else:
        os.write(1, b"taken")
        fcntl.lockf(fd, fcntl.LOCK_UN)
"""


def test_aCloseInAnotherThreadWaitsForTheWrite(path: pathlib.Path) -> None:
    """The close of any descriptor of a file ends the locks that the process has there (fcntl(2))."""
    one, other = (AppendedFile(str(path), Framing(), shared=True) for _ in range(2))
    with another(TRIES, path) as process, ThreadPoolExecutor(1) as pool:

        def ask() -> bytes:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(b"?")
            process.stdin.flush()
            return process.stdout.read(5)

        assert one._writeLock.take()
        closing = pool.submit(other.close)
        assert ask() == b"held."
        assert other.fd < 0 or not closing.done()
        one._writeLock.give()
        closing.result(DEADLINE)
        assert ask() == b"taken"
    one.close()


def test_aCloseDoesNotWaitForEver(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that hangs in one thread does not hang another one."""
    monkeypatch.setattr(locks, "CLOSE_PATIENCE", 0.001)
    one, other = (AppendedFile(str(path), Framing(), shared=True) for _ in range(2))
    assert one._writeLock.take()
    inThread(other.close)
    one._writeLock.give()
    one.close()


def test_threadsThatRotateAFile(path: pathlib.Path) -> None:
    """Each record is whole and there once, whichever thread has rotated the file before it."""
    rotation = Rotation(size=500)

    def write(number: int) -> int:
        file = AppendedFile(str(path), Framing(), shared=True, rotation=rotation)
        for count in range(200):
            while file.append(b"%d %d\n" % (number, count)).error is not None:
                time.sleep(0)
        file.close()
        return file.rotationCount

    with ThreadPoolExecutor(4) as pool:
        rotations = sum(pool.map(write, range(4), timeout=DEADLINE))
    files = rotatedFiles(str(path))
    assert len(files) == rotations > 5
    records = "".join(each.read_text() for each in [*map(pathlib.Path, files), path]).splitlines()
    assert sorted(records) == sorted(f"{number} {count}" for number in range(4) for count in range(200))


@pytest.mark.parametrize("patience", [0.0, 0.02])
def test_howLongTheLockIsWaitedFor(path: pathlib.Path, patience: float, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [5.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(time, "sleep", sleep)

    def refuse(fd: int, how: int) -> None:
        raise PermissionError(errno.EACCES, "held")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with open(path, "wb") as file:
        assert not lockForWrite(file.fileno(), patience)
    assert patience <= now[0] - 5.0 <= patience + 3 * locks.REST


def test_aFileSystemWithoutLocks(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = AppendedFile(str(path), Framing())

    def refuse(fd: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    kept, error = file.append(b"x\n")
    assert kept == 0
    assert error is not None
    assert error.errno == errno.ENOLCK
    file.close()


def test_sharedAndAlone(path: pathlib.Path) -> None:
    """Processes that share a file have it together; a program that wants it alone is refused, and keeps others out."""
    first, second = (AppendedFile(str(path), Framing(), shared=True) for _ in range(2))
    with pytest.raises(LockedError):
        AppendedFile(str(path), Framing())
    for each, text in ((first, b"a\n"), (second, b"b\n"), (first, b"c\n")):
        assert each.append(text) == (2, None)
    first.close()
    second.close()
    alone = AppendedFile(str(path), Framing())
    with pytest.raises(LockedError):
        AppendedFile(str(path), Framing(), shared=True)
    alone.close()
    assert path.read_bytes() == b"a\nb\nc\n"


@pytest.mark.parametrize(
    ("delimiter", "before", "after"),
    [
        (b"\n", b"", b""),
        (b"\n", b"torn", b""),
        (b"\n", b"one\ntwo\ntorn", b"one\ntwo\n"),
        (b"\n", b"one\n" + b"x" * 3_000_000, b"one\n"),
        (b"\n", b"x" * 3_000_000 + b"\n" + b"y" * 70_000, b"x" * 3_000_000 + b"\n"),
        (b"\r\n", b"one\r\ntwo\r", b"one\r\n"),
        (b"\n\n", b"one\n\n\ntwo\n", b"one\n\n"),
        (b"aa", b"xaaaay", b"xaaaa"),
    ],
)
def test_aTornRecordIsCutOff(
    path: pathlib.Path, delimiter: bytes, before: bytes, after: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """In a shared file: when it is opened, and between two writes, whichever process died; the log tells it."""
    path.write_bytes(before)
    file = AppendedFile(str(path), Framing(delimiter, delimiter), shared=True)
    assert path.read_bytes() == after
    assert len(caplog.records) == (before != after)
    path.write_bytes(before)  # a second time, between two writes
    file.append(b"next" + delimiter)
    file.close()
    assert path.read_bytes() == after + b"next" + delimiter


def test_aRecordThatIsTooLongToLookThrough(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is ended: cutting it off would take more than one record."""
    monkeypatch.setattr(appending, "BLOCKS", (10, 100))
    path.write_bytes(b"one\n" + b"x" * 200)
    AppendedFile(str(path), Framing(), shared=True).close()
    assert path.read_bytes() == b"one\n" + b"x" * 200 + b"\n"


@pytest.mark.parametrize("change", [b"", b"longer, and not ended"])
def test_anotherProgramChangesTheFile(path: pathlib.Path, change: bytes) -> None:
    """It is emptied, as logrotate's copytruncate does, or written without a lock: the next record is whole."""
    file = AppendedFile(str(path), Framing())
    file.append(b"one\n")
    path.write_bytes(change)
    file.append(b"two\n")
    file.close()
    assert path.read_bytes() == (change + b"\n" if change else b"") + b"two\n"


def filling(monkeypatch: pytest.MonkeyPatch, room: int, number: int = errno.ENOSPC) -> list[int]:
    """Have the disk take `room` bytes more; the result can be changed."""
    left = [room]
    write = os.write

    def full(fd: int, data: Any) -> int:
        if not left[0]:
            raise OSError(number, os.strerror(number))
        size = write(fd, data[: left[0]])
        left[0] -= size
        return size

    monkeypatch.setattr(os, "write", full)
    return left


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_whatTheDiskTakes(path: pathlib.Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole records stay, and the caller knows how many bytes they are: none is written twice."""
    file = AppendedFile(str(path), Framing())
    left = filling(monkeypatch, 10, number)
    data = b"one\ntwo\nthree\nfour\n"
    kept, error = file.append(data)
    assert kept == 8
    assert error is not None
    assert error.errno == number
    assert path.read_bytes() == b"one\ntwo\n"
    left[0] = 1000
    assert file.append(data[kept:]) == (len(data) - kept, None)
    file.close()
    assert path.read_bytes() == data


def test_anotherProgramWritesBehindATornRecord(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without our lock: its text is not ours to cut off. The next write ends the line."""
    file = AppendedFile(str(path), Framing())
    left = filling(monkeypatch, 6)
    stat = os.fstat

    def foreign(fd: int) -> os.stat_result:
        if not left[0]:
            with open(path, "ab") as other:
                other.write(b"foreign")
            left[0] = 1000
        return stat(fd)

    monkeypatch.setattr(os, "fstat", foreign)
    assert file.append(b"one\ntwo\n").kept == 4
    assert file.append(b"two\n").kept == 4
    file.close()
    assert path.read_bytes() == b"one\ntwforeign\ntwo\n"


def test_anInheritedDescriptorThatDoesNotAppend(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a shell's > opens it: a torn record is taken back, and no hole is left where it was."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    file = AppendedFile("-", Framing(), fd=fd)
    assert not file.reopen()
    left = filling(monkeypatch, 6)
    assert file.append(b"one\ntwo\n").kept == 4
    left[0] = 1000
    file.append(b"two\nthree\n")
    file.close()
    assert path.read_bytes() == b"one\ntwo\nthree\n"


def test_reopening(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Lines before it are in the old file, lines after it in the new one; without a move nothing changes."""
    left = list[int]()
    file = AppendedFile(str(path), Framing())
    file.leave = left.append
    file.append(b"one\n")
    assert not file.reopen()
    os.rename(path, tmp_path / "old")
    file.append(b"two\n")
    fd = file.fd
    assert file.reopen()
    assert left == [fd]
    os.close(fd)
    file.append(b"three\n")
    os.unlink(path)
    os.mkdir(path)
    with pytest.raises(IsADirectoryError):
        file.reopen()
    assert file.append(b"four\n").kept
    file.close()
    assert (tmp_path / "old").read_bytes() == b"one\ntwo\n"


def test_aDeviceIsJustWritten() -> None:
    file = AppendedFile("/dev/null", Framing())
    assert file.append(b"x") == (1, None)
    assert not file.reopen()
    file.close()


@pytest.mark.parametrize(
    ("tail", "delimiter", "end"),
    [
        (b"", b"\n", 0),
        (b"x", b"\n", 0),
        (b"a\nb", b"\n", 2),
        (b"a\n\n\nb", b"\n", 4),
        (b"a\n\n\nb", b"\n\n", 3),
        (b"a\n\n\n\nb", b"\n\n", 5),
        (b"aabaab", b"aab", 6),
        (b"xababab", b"abab", 5),
    ],
)
def test_whereTheLastRecordEnds(tail: bytes, delimiter: bytes, end: int) -> None:
    assert lastEnd(tail, delimiter) == end
    assert Framing(delimiter, delimiter).whole(tail) == end, "the same as counting from the beginning"


def test_theLockIsFreedBeforeTheFileIsLeft(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """A process that still has the old file must not wait for one that has left it."""
    file = AppendedFile(str(path), Framing(), shared=True)
    old = os.open(path, os.O_RDWR)
    file.append(b"one\n")
    os.rename(path, tmp_path / "old")
    left = list[int]()
    file.leave = left.append
    file.reopen()
    child = os.fork()
    if not child:
        try:
            fcntl.lockf(old, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    for fd in (old, *left):
        os.close(fd)
    file.close()
