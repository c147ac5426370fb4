"""Numbers of descriptors: none that this package opens is 0, 1 or 2.

The system gives each new descriptor the lowest free number. In a process that was started with one of these three
closed, a socket of ours could become its standard output, and be written to by every print().

Nothing is put in the free places: they are the program's. (The command is a program, and fills them: serving.standard.)
"""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from reactor import _overwritten as _overwritten

try:
    import fcntl
except ImportError:  # there are no such numbers there
    HAS_NUMBERS = False
else:
    HAS_NUMBERS = True

LOWEST = 3  # of ours


def closeNumber(fd: int) -> None:
    """Close `fd`, which is closed then whatever the system says of it (close(2)): that is no error of the caller's.

    OSError only if it was not open.
    """
    try:
        os.close(fd)
    except OSError as error:
        if error.errno == errno.EBADF:
            raise


def statOpen(fd: int) -> os.stat_result:
    """os.fstat, but an OSError names the number."""
    try:
        return os.fstat(fd)
    except OSError as error:
        raise OSError(error.errno, f"descriptor {fd}: {error.strerror}") from None


def raised(fd: int) -> int:
    """Return `fd`, if it is none of the three, else a duplicate that is not; `fd` is closed then, also on an OSError.

    Descriptors of ours are not inherited, and neither is the duplicate.
    """
    if fd >= LOWEST or not HAS_NUMBERS:
        return fd
    try:
        return duplicate(fd)
    finally:
        closeNumber(fd)


def duplicate(fd: int) -> int:
    """As os.dup, with a number that is none of the three."""
    if not HAS_NUMBERS:
        return os.dup(fd)
    number: int = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, LOWEST)
    return number


def openSocket(family: int, kind: int) -> socket.socket:
    """As socket.socket(family, kind), with a number that is none of the three."""
    return raisedSocket(socket.socket(family, kind))


def raisedSocket(sock: socket.socket) -> socket.socket:
    """Return `sock`, if its number is none of the three, else another object for the same; `sock` is closed then.

    For a socket that is blocking still.
    """
    if sock.fileno() >= LOWEST or not HAS_NUMBERS:
        return sock
    return socket.socket(sock.family, sock.type, sock.proto, raised(sock.detach()))


def openPair() -> tuple[socket.socket, socket.socket]:
    """As socket.socketpair(), with numbers that are none of the three."""
    one, other = socket.socketpair()
    try:
        one = raisedSocket(one)
        return one, raisedSocket(other)
    except BaseException:
        one.close()
        other.close()
        raise


def openPipe() -> tuple[int, int]:
    """As os.pipe(), with numbers that are none of the three."""
    return _bothRaised(*os.pipe())


def openTerminal() -> tuple[int, int]:
    """As os.openpty(), with numbers that are none of the three."""
    return _bothRaised(*os.openpty())


def openFile(path: str | bytes, flags: int, mode: int = 0o666) -> int:
    """As os.open, with a number that is none of the three; also what the built-in open() takes as its opener."""
    return raised(os.open(path, flags, mode))


def openEpoll() -> Any:
    """As select.epoll(), with a number that is none of the three."""
    epoll = select.epoll()
    if epoll.fileno() >= LOWEST:
        return epoll
    with epoll:
        return select.epoll.fromfd(duplicate(epoll.fileno()))


@contextmanager
def threeTaken() -> Iterator[None]:
    """Have all that is opened inside, by others too, get numbers that are none of the three.

    Those that are free are taken meanwhile, and given back.
    """
    held: list[int] = []
    try:
        while HAS_NUMBERS:
            fd = os.open(os.devnull, os.O_RDONLY)
            held.append(fd)
            if fd >= LOWEST:
                break
        yield
    finally:
        for fd in held:
            closeNumber(fd)


def _bothRaised(one: int, other: int) -> tuple[int, int]:
    try:
        one = raised(one)
    except BaseException:
        closeNumber(other)
        raise
    try:
        other = raised(other)
    except BaseException:
        closeNumber(one)
        raise
    try:
        return one, other
    except BaseException:
        closeNumber(one)
        closeNumber(other)
        raise
