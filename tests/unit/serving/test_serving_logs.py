"""The command's log: standard error that stalls holds nobody up, and what is dropped is counted and said."""

from __future__ import annotations

import contextlib
import logging
import os
import pty
import select
import socket
import threading
import tty
from collections.abc import Iterator
from typing import Any

import pytest

from reactor.serving import logoutput
from reactor.serving.logformats import CleanFormatter
from reactor.serving.logoutput import StandardError
from tests.support.worlds import LOOPS, turnUntil


class Stderr:
    """Descriptor 2 is one end of a pipe, a pair of sockets or a terminal; `read` is the other."""

    def __init__(self, kind: str, side: Any) -> None:
        if kind == "pipe":
            self.read, self.write = os.pipe()
        elif kind == "socket":
            self.read, self.write = (each.detach() for each in socket.socketpair())
        else:
            self.read, self.write = pty.openpty()
            tty.setraw(self.write)
        self.kept = os.dup(2)
        os.dup2(self.write, 2)
        self.side = side
        self.loop = side.makeReactor()
        self.handler = StandardError(self.loop)
        self.handler.setFormatter(CleanFormatter("%(levelname)s %(message)s"))

    def close(self) -> None:
        os.dup2(self.kept, 2)
        self.handler.close()
        self.side.close(self.loop)
        for fd in (self.kept, self.read, self.write):
            with contextlib.suppress(OSError):
                os.close(fd)

    def log(self, text: str) -> None:
        self.handler.handle(logging.LogRecord("x", logging.WARNING, "", 0, text, None, None))

    def taken(self) -> bytes:
        """Return the bytes that are there to be read."""
        found = b""
        while select.select([self.read], [], [], 0)[0]:
            found += os.read(self.read, 1 << 16)
        return found


@pytest.fixture(params=["pipe", "socket", "terminal"])
def stderr(request: pytest.FixtureRequest) -> Iterator[Stderr]:
    stderr = Stderr(request.param, LOOPS[0])
    yield stderr
    stderr.close()


@pytest.fixture(params=[pytest.param(side, id=side.name) for side in LOOPS])
def pipe(request: pytest.FixtureRequest) -> Iterator[Stderr]:
    stderr = Stderr("pipe", request.param)
    yield stderr
    stderr.close()


def test_atOnceWhereItIsTaken(stderr: Stderr) -> None:
    stderr.log("one")
    stderr.handler.say("two")
    assert stderr.taken() == b"WARNING one\ntwo\n"
    assert stderr.loop.getWriters() == []


def test_aRecordThatCannotBeFormatted(pipe: Stderr, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told on the same way, which does not block; sys.stderr is left alone."""
    monkeypatch.setattr("sys.stderr", None)
    pipe.handler.handle(logging.LogRecord("x", logging.WARNING, "", 0, "%d \x1b", ("text",), None))
    first, *rest = pipe.taken().decode().splitlines()
    assert first == r"a record cannot be formatted: '%d \x1b'"
    assert rest[-1].startswith("TypeError: ")
    while not pipe.handler._backlog.size:
        pipe.log("x" * 1000)
    pipe.handler.handle(logging.LogRecord("x", logging.WARNING, "", 0, "%d", ("text",), None))
    assert b"cannot be formatted" not in pipe.taken()
    pipe.handler.finish()
    assert b"cannot be formatted" in pipe.taken()


def test_theReasonForThatIsOneLine(pipe: Stderr) -> None:
    """A peer may have written anything into it: into the exception's text, or into the subject of the record."""

    class Loud(Exception):
        pass

    class About:
        def __str__(self) -> str:
            raise Loud("x\n2026-01-01 CRITICAL forged")

        def __repr__(self) -> str:
            raise Loud("x\n2026-01-01 CRITICAL forged, too")

    for message, arguments in (("%s", (About(),)), (About(), None)):
        pipe.handler.handle(logging.LogRecord("x", logging.WARNING, "", 0, message, arguments, None))
    lines = pipe.taken().decode().splitlines()
    assert len([line for line in lines if line.startswith("a record cannot be formatted: ")]) == 2
    assert not [line for line in lines if line.startswith("2026")]
    assert len([line for line in lines if r"Loud: x\n2026-01-01 CRITICAL forged" in line]) == 2


def test_whatIsNotTakenWaits(stderr: Stderr) -> None:
    """In its order, whole, and it is written when somebody reads again; O_NONBLOCK is not set for others."""
    records = [f"record {number} {'x' * 90}" for number in range(4000)]
    for record in records[:3000]:
        stderr.log(record)
    waiting = stderr.handler._backlog.size
    found = b""
    assert os.get_blocking(2)

    def look() -> bool:
        nonlocal found
        found += stderr.taken()
        return not stderr.handler._backlog.size

    if waiting:
        turnUntil(stderr.loop, lambda: stderr.loop.getWriters())
        turnUntil(stderr.loop, look)
    assert stderr.loop.getWriters() == []
    found += stderr.taken()
    lines = found.decode().splitlines()
    kept = [line for line in lines if not line.endswith("nobody took standard error")]
    assert kept == [f"WARNING {record}" for record in records[: len(kept)]]
    assert len(kept) + stderr.handler.droppedCount == 3000
    if stderr.handler.droppedCount:
        assert lines[-1] == (
            f"WARNING {stderr.handler.droppedCount} records of this log were dropped: nobody took standard error"
        )
        stderr.log("after")
        assert stderr.taken() == b"WARNING after\n"


def test_whatWaitsIsBounded(pipe: Stderr) -> None:
    """On every loop. Beyond HELD records are dropped, short ones too: none comes before an older one that is lost."""
    for number in range(20_000):
        pipe.log(f"{number} " + "x" * (100 * (number % 2)))
    assert 0 < pipe.handler._backlog.size <= logoutput.HELD
    dropped = pipe.handler.droppedCount
    assert dropped > 10_000
    found = b""

    def look() -> bool:
        nonlocal found
        found += pipe.taken()
        return found.endswith(b"nobody took standard error\n")

    turnUntil(pipe.loop, look)
    *lines, last = found.decode().splitlines()
    assert last == f"WARNING {dropped} records of this log were dropped: nobody took standard error"
    assert [int(line.split()[1]) for line in lines] == list(range(20_000 - dropped))
    turnUntil(pipe.loop, lambda: not pipe.loop.getWriters())


def test_whatIsSaidWhileOneIsWritten(pipe: Stderr) -> None:
    """A __del__ or a signal handler may log inside of a write: every record comes once, whole, and in order."""
    write = pipe.handler._descriptor.write

    def interrupted(data: Any) -> int:
        if b"outer" in data:
            pipe.log("inner")
        return write(data)

    pipe.handler._descriptor.write = interrupted  # type: ignore[method-assign]
    pipe.log("outer")
    pipe.log("last")
    assert pipe.taken() == b"WARNING outer\nWARNING inner\nWARNING last\n"
    assert pipe.handler._backlog.size == 0


def test_threadsLog(pipe: Stderr) -> None:
    """Each record is whole, whichever thread writes it."""

    def work(name: str) -> None:
        for number in range(500):
            pipe.log(f"{name} {number} {'y' * 50}")

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    found = b""

    def look() -> bool:
        nonlocal found
        found += pipe.taken()
        return found.count(b"\n") == 1500

    turnUntil(pipe.loop, look)
    for thread in threads:
        thread.join()
    lines = found.decode().splitlines()
    for name in "abc":
        assert [line for line in lines if line.split()[1] == name] == [
            f"WARNING {name} {number} {'y' * 50}" for number in range(500)
        ]


def test_theEndIsBounded(pipe: Stderr) -> None:
    """finish() waits for a reader that comes, and not for one that does not."""
    while not pipe.handler._backlog.size:
        pipe.log("x" * 1000)
    pipe.handler.finish(0.01)
    assert pipe.handler._backlog.size == 0
    pipe.taken()
    pipe.log("x" * 200_000)
    found: list[bytes] = []

    def read() -> None:
        while sum(map(len, found)) < 200_009:
            found.append(os.read(pipe.read, 1 << 16))

    thread = threading.Thread(target=read)
    thread.start()
    pipe.handler.finish(20)
    thread.join()
    assert b"".join(found) == b"WARNING " + b"x" * 200_000 + b"\n"


def test_afterTheReactor(pipe: Stderr) -> None:
    """A record of a closed reactor's waits for finish(); one of a stopped one for that or the next run."""
    pipe.loop.close()
    while not pipe.handler._backlog.size:
        pipe.log("x" * 1000)
    pipe.taken()
    pipe.handler.finish(0.01)
    assert pipe.taken().endswith(b"x\n")


def test_theReaderHasGone(pipe: Stderr) -> None:
    """Nothing raises; what is lost is counted."""
    os.close(pipe.read)
    for _ in range(3):
        pipe.log("for nobody")
    assert pipe.handler.droppedCount >= 3
    pipe.handler.finish(0.01)


def test_aWatchThatIsRefused(pipe: Stderr, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for again with the next record."""
    add, refused = pipe.loop.addWriter, list[Any]()

    def refuse(writer: Any) -> None:
        if not refused:
            refused.append(writer)
            raise OSError("no memory")
        add(writer)

    monkeypatch.setattr(pipe.loop, "addWriter", refuse)
    while not pipe.handler._backlog.size:
        pipe.log("x" * 1000)
    turnUntil(pipe.loop, lambda: refused)
    assert pipe.loop.getWriters() == []
    pipe.log("again")
    turnUntil(pipe.loop, lambda: pipe.loop.getWriters())
    found = b""

    def look() -> bool:
        nonlocal found
        found += pipe.taken()
        return found.endswith(b"again\n")

    turnUntil(pipe.loop, look)
    turnUntil(pipe.loop, lambda: not pipe.loop.getWriters())


def test_files(tmp_path: Any) -> None:
    """They are written in the call. A full disk costs its records, and nothing else."""
    kept = os.dup(2)
    loop = LOOPS[0].makeReactor()
    for path in (tmp_path / "log", "/dev/full"):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(fd, 2)
        try:
            handler = StandardError(loop)
        finally:
            os.dup2(kept, 2)
            os.close(fd)
        for text in ("one", "two"):
            handler.handle(logging.LogRecord("x", logging.WARNING, "", 0, text, None, None))
        assert handler.droppedCount == 2 * (path == "/dev/full")
        handler.close()
    os.close(kept)
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\n"
    LOOPS[0].close(loop)
