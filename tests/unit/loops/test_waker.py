"""The waker: one byte at most waits, no wake is lost, a full pipe is no error."""

from __future__ import annotations

import errno
import gc
import os
import select
import sys
import threading
from typing import Any

import pytest

from reactor.loops.waker import Waker


def readable(waker: Waker) -> bool:
    return bool(select.select([waker], [], [], 0)[0])


def test_wakeAndSleep() -> None:
    waker = Waker()
    assert not readable(waker)
    for _ in range(3):
        waker.wake()
        waker.wake()
        assert readable(waker)
        waker.doRead()
        assert not readable(waker)
    waker.doRead()
    waker.close()


def test_manyWakesCostOneByte() -> None:
    waker = Waker()
    for _ in range(100_000):
        waker.wake()
    assert os.read(waker.fileno(), 100) == b"w"
    waker.close()


def test_aPipeFullOfSignals() -> None:
    waker = Waker()
    try:
        while True:
            os.write(waker.writeFd, b"\0" * 4096)
    except BlockingIOError:
        pass
    waker.wake()
    waker.doRead()
    assert not readable(waker)
    waker.wake()
    assert readable(waker)
    waker.close()


def test_exactlyOneBlockOfSignals() -> None:
    waker = Waker()
    os.write(waker.writeFd, b"\0" * 8192)
    waker.doRead()
    assert not readable(waker)
    waker.close()


def test_noWakeIsLostBetweenThreads() -> None:
    """The rule of its users: queue first, then wake; read first, then look at the queue."""
    waker, queue, seen = Waker(), list[int](), 0

    def work() -> None:
        for number in range(20_000):
            queue.append(number)
            waker.wake()

    thread = threading.Thread(target=work)
    thread.start()
    while seen < 20_000:
        assert select.select([waker], [], [], 10)[0], "a wake was lost"
        waker.doRead()
        seen += len(queue[seen:])
    thread.join()
    waker.close()


def test_descriptors() -> None:
    waker = Waker()
    fds = (waker.fileno(), waker.writeFd)
    assert not any(os.get_inheritable(fd) or os.get_blocking(fd) for fd in fds)
    waker.close()
    waker.close()
    assert waker.fileno() == -1
    assert not any(os.path.exists(f"/proc/self/fd/{fd}") for fd in fds)


def test_closed() -> None:
    """A call that wakes nobody raises, each time; also if the waker was awake at the end."""
    waker = Waker()
    waker.wake()
    waker.close()
    for _ in range(3):
        with pytest.raises(OSError, match="Bad file descriptor"):
            waker.wake()


def test_renewed() -> None:
    """Both descriptors keep their numbers, and stand for another pair than a copy of them, as a forked child's are."""
    waker = Waker()
    waker.wake()
    copy, number = os.dup(waker.fileno()), waker.fileno()
    waker.renew()
    assert waker.fileno() == number
    assert not readable(waker)
    waker.wake()
    assert readable(waker)
    assert os.read(copy, 100) == b"w"
    assert os.read(copy, 100) == b"", "the other end of the old pair is open still"
    assert not any(os.get_inheritable(fd) or os.get_blocking(fd) for fd in (waker.fileno(), waker.writeFd))
    os.close(copy)
    waker.close()


def test_collected() -> None:
    waker = Waker()
    fd = waker.fileno()
    del waker
    assert not os.path.exists(f"/proc/self/fd/{fd}")


def test_thereIsNoPair(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was not made is collected without a word."""
    unraisable = list[object]()

    def openPair() -> Any:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr("reactor.loops.waker.openPair", openPair)
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    with pytest.raises(OSError, match="files"):
        Waker()
    gc.collect()
    assert unraisable == []
