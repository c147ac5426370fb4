"""Numbers of descriptors: no descriptor that this package opens is 0, 1 or 2.

The system gives each new descriptor the lowest free number. A process may be started with one of these three closed. A
socket taken by this package could then become its standard output, and every print() would write to it.

The free places stay free: they are the program's. (The command is a program, and fills them: serving.standard.)
"""

from __future__ import annotations

import errno
import os
import select
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from reactor import _overwritten as _overwritten

try:
    import fcntl
except ImportError:  # no such numbers on Windows
    HAS_NUMBERS = False
else:
    HAS_NUMBERS = True

LOWEST = 3  # those that this package took


# PyPy has no name for this flag.
_UNNAMED = {"O_PATH": 0o10000000} if sys.platform == "linux" else {}


def ofSystem(*names: str) -> int:
    """Return the flags of os.open with these names. Windows has none of most, and macOS lacks some: these are 0."""
    flags = 0
    for name in names:
        flags |= getattr(os, name, _UNNAMED.get(name, 0))
    return flags


def closeNumber(fd: int) -> None:
    """Close `fd`. OSError only if it was not open.

    After any other error of close(2) the descriptor is closed too, so it is no error of the caller's.
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
    """Return `fd` if it is above 2, else a duplicate that is above 2.

    `fd` is closed in the second case, also on an OSError. A descriptor of this package is not inherited by child
    programs, and neither is the duplicate.
    """
    if fd >= LOWEST or not HAS_NUMBERS:
        return fd
    try:
        return duplicate(fd)
    finally:
        closeNumber(fd)


def duplicate(fd: int) -> int:
    """Call os.dup, with a result above 2."""
    if not HAS_NUMBERS:
        return os.dup(fd)
    number: int = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, LOWEST)
    return number


def openSocket(family: int, kind: int) -> socket.socket:
    """Call socket.socket(family, kind), with a number above 2."""
    return raisedSocket(socket.socket(family, kind))


def raisedSocket(sock: socket.socket) -> socket.socket:
    """Return `sock` if its number is above 2, else another object for the same socket; `sock` is closed then.

    The socket must still be blocking.
    """
    if sock.fileno() >= LOWEST or not HAS_NUMBERS:
        return sock
    return socket.socket(sock.family, sock.type, sock.proto, raised(sock.detach()))


def openPair() -> tuple[socket.socket, socket.socket]:
    """Call socket.socketpair(), with numbers above 2."""
    one, other = socket.socketpair()
    try:
        one = raisedSocket(one)
        return one, raisedSocket(other)
    except BaseException:
        one.close()
        other.close()
        raise


def openPipe() -> tuple[int, int]:
    """Call os.pipe(), with numbers above 2."""
    return _bothRaised(*os.pipe())


def openTerminal() -> tuple[int, int]:
    """Call os.openpty(), with numbers above 2."""
    return _bothRaised(*os.openpty())


def openFile(path: str | bytes, flags: int, mode: int = 0o666) -> int:
    """Call os.open, with a result above 2. It can be the opener of the built-in open()."""
    return raised(os.open(path, flags, mode))


def openEpoll() -> Any:
    """Call select.epoll(), with a number above 2. NotImplementedError on a system without."""
    if not hasattr(select, "epoll"):
        raise NotImplementedError("this system has no epoll(7): AsyncioReactor runs on it")
    epoll = select.epoll()
    if epoll.fileno() >= LOWEST:
        return epoll
    with epoll:
        return select.epoll.fromfd(duplicate(epoll.fileno()))


@contextmanager
def threeTaken() -> Iterator[None]:
    """Make sure that every descriptor opened inside the block, by other code too, has a number above 2.

    The block holds the free numbers of 0 to 2, and gives them back at its end.
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
