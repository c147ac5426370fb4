"""SharedDescriptor: reading and writing what other processes have too, without ever blocking and without touching it.

O_NONBLOCK belongs to the open file, which a shell and its other children share, and a terminal's input with its output:
setting it would break them. So each kind is met in its own manner:
- Pipes and terminals are opened anew, through /proc, for ourselves, and the flag is set on that.
- A socket is told with each call (MSG_DONTWAIT).
- What cannot be opened anew (another user's, the master's side of a terminal, which would be another terminal) is asked
  before each call whether it is ready, and given only as much as it then surely takes: PIPE_BUF bytes for a pipe, as
  poll(2) means a whole free page. A terminal in use is called writable from 256 bytes on, of which a control character
  may take several, so it is given 128 bytes without one, or one alone. A reader or writer of the same open file that
  comes in between can still make us wait.
- Files, and devices that know no waiting, are read and written as they are.
"""

from __future__ import annotations

import errno
import os
import re
import select
import socket
import stat
from contextlib import suppress

from reactor._numbers import closeNumber, duplicate, openFile
from reactor.interfaces import BytesLike

PIPE_BUF = getattr(select, "PIPE_BUF", 512)

_PIECE = re.compile(rb"[^\x00-\x1f\x7f]{1,128}|.", re.DOTALL)
_TERMINAL_MASTER = 5 << 8 | 2  # the device number of the master's side: opening it makes another terminal


class SharedDescriptor:
    """What `given` stands for, by a number of our own, `fd`. `flags` is os.O_RDONLY or os.O_WRONLY.

    `own`: the open file is ours alone, and non-blocking already; `given` itself becomes our number. OSError if `given`
    is not open.
    """

    def __init__(self, given: int, flags: int, own: bool = False) -> None:
        self.given = given
        found = os.fstat(given)
        self.isPipe = stat.S_ISFIFO(found.st_mode)
        self.isSocket = stat.S_ISSOCK(found.st_mode)
        self.isTerminal = not self.isPipe and not self.isSocket and os.isatty(given)
        self._file = (found.st_dev, found.st_ino)
        self._socket: socket.socket | None = None
        self._hasGivenWay = False
        self.fd = given if own else -1
        if not own and (self.isPipe or (self.isTerminal and found.st_rdev != _TERMINAL_MASTER)):
            with suppress(OSError):
                self.fd = openFile(f"/proc/self/fd/{given}", flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        self._asked: select.poll | None = None
        if self.fd < 0:
            self.fd = duplicate(given)
            if not self.isSocket and not stat.S_ISREG(found.st_mode):
                self._asked = select.poll()
        if self.isSocket:
            self._socket = _plainSocket(self.fd)

    @property
    def mayBlock(self) -> bool:
        """Whether what is behind it may take nothing for a while: it is a pipe, a terminal or a socket."""
        return self.isPipe or self.isSocket or self.isTerminal

    def read(self, size: int) -> bytes | None:
        """Return what there is, at most `size` bytes, b"" at the end; None if there is nothing now. Or OSError."""
        try:
            if self._socket is not None:
                return self._socket.recv(size, socket.MSG_DONTWAIT)
            if self._asked is not None and not self._isReady(select.POLLIN):
                return None
            return os.read(self.fd, size)
        except (BlockingIOError, InterruptedError):
            return None

    def write(self, data: BytesLike) -> int:
        """Write as much of `data` as is taken now; return how many bytes that was. OSError if nobody will take it."""
        try:
            if self._socket is not None:
                return self._socket.send(data, socket.MSG_DONTWAIT)
            if self._asked is None:
                return os.write(self.fd, data)
        except (BlockingIOError, InterruptedError):
            return 0
        return self._writePieces(data)

    def _writePieces(self, data: BytesLike) -> int:
        sent = 0
        with memoryview(data) as view:
            while sent < len(view) and self._isReady(select.POLLOUT):
                piece = bytes(view[sent : sent + PIPE_BUF])
                if self.isTerminal and (match := _PIECE.match(piece)):
                    piece = match[0]
                try:
                    sent += os.write(self.fd, piece)
                except OSError:
                    if sent:
                        break  # it will happen again
                    raise
        return sent

    def _isReady(self, events: int) -> bool:
        assert self._asked is not None
        self._asked.register(self.fd, events)
        return bool(self._asked.poll(0))

    def isWritePipe(self) -> bool:
        """Whether it is a pipe that cannot be read from."""
        if not self.isPipe:
            return False
        try:
            os.read(self.fd, 0)
        except OSError:
            return True
        return False

    def shutdown(self) -> None:
        """End a socket's sending half, for all who share it; nothing for anything else."""
        if self._socket is not None:
            with suppress(OSError):  # the peer has gone
                self._socket.shutdown(socket.SHUT_WR)

    def close(self, giveWay: bool = False) -> None:
        """Close our number. `giveWay`: if it is a pipe or socket, /dev/null takes its place under the number given."""
        fd = self.fd
        if fd >= 0:
            if self._socket is not None:
                self._socket.detach()
                self._socket = None
            self.fd = -1
            try:
                os.close(
                    fd
                )  # itself: a signal's handler could raise at the entry of a function, and it would stay open
            except OSError as error:
                if error.errno == errno.EBADF:
                    raise
        if giveWay and not self._hasGivenWay:
            if (self.isPipe or self.isSocket) and self._isOurs():
                self._giveWay()
            self._hasGivenWay = True

    def _giveWay(self) -> None:
        with suppress(OSError):  # for want of a descriptor: the other side hears of the end when the program ends
            null = os.open(os.devnull, os.O_RDWR)
            try:
                os.dup2(null, self.given, inheritable=self.given <= 2)
            finally:
                closeNumber(null)

    def _isOurs(self) -> bool:
        """Whether the number that was given still stands for what it stood for: it is the program's to close."""
        try:
            found = os.fstat(self.given)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._file


def _plainSocket(fd: int) -> socket.socket:
    """Return an object for the socket `fd` that waits for nothing, and leaves the flags of the open file alone."""
    blocking = os.get_blocking(fd)
    sock = socket.socket(fileno=fd)
    if socket.getdefaulttimeout() is not None:  # it has set O_NONBLOCK
        sock.settimeout(None)
        os.set_blocking(fd, blocking)
    return sock
