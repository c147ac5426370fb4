"""SharedDescriptor: reads and writes a file that other processes share, without blocking and without a change to it.

O_NONBLOCK belongs to the open file, which a shell and its other children share. A terminal's input and output share it
too. Setting it would break them. So each kind has its own way:

- Pipes and terminals are opened anew, through /proc, and the flag is set on the new file.
- A socket gets MSG_DONTWAIT with each call.
- Some files cannot be opened anew: another user's, or the master's side of a terminal, which would be another terminal.
  poll(2) is asked before each call whether they are ready, and they get only as much as they then surely take. For a
  pipe this is PIPE_BUF bytes, as poll(2) means a whole free page. A terminal in use is called writable from 256 bytes
  on, of which a control character may take several. So it gets 128 bytes without one, or one alone. Another reader or
  writer of the same open file can still make us wait.
- Files, and devices that never wait, are read and written directly.
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
    """The file of `given`, under a number of our own, `fd`. `flags` is os.O_RDONLY or os.O_WRONLY.

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
        """Whether the file may take nothing for a while: it is a pipe, a terminal or a socket."""
        return self.isPipe or self.isSocket or self.isTerminal

    def read(self, size: int) -> bytes | None:
        """Return at most `size` bytes, b"" at the end, or None if there are none now. OSError on a failure."""
        try:
            if self._socket is not None:
                return self._socket.recv(size, socket.MSG_DONTWAIT)
            if self._asked is not None and not self._isReady(select.POLLIN):
                return None
            return os.read(self.fd, size)
        except (BlockingIOError, InterruptedError):
            return None

    def write(self, data: BytesLike) -> int:
        """Write as much of `data` as the file takes now; return the number of bytes. OSError if it has no reader."""
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
                with view[sent : sent + PIPE_BUF] as part:
                    piece = bytes(part)
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
        """End a socket's sending half, for all processes that share it. For other files this does nothing."""
        if self._socket is not None:
            with suppress(OSError):  # the peer has disconnected
                self._socket.shutdown(socket.SHUT_WR)

    def close(self, giveWay: bool = False) -> None:
        """Close our number. `giveWay`: /dev/null replaces a pipe or socket under the given number."""
        fd = self.fd
        if fd >= 0:
            if self._socket is not None:
                self._socket.detach()
                self._socket = None
            self.fd = -1
            try:
                # Not by closeNumber: a signal's handler could raise at its entry, and the number would stay open.
                os.close(fd)
            except OSError as error:
                if error.errno == errno.EBADF:
                    raise
        if giveWay and not self._hasGivenWay:
            if (self.isPipe or self.isSocket) and self._isOurs():
                self._giveWay()
            self._hasGivenWay = True

    def _giveWay(self) -> None:
        with suppress(OSError):  # no descriptor is left: the other side sees the end when the program ends
            null = os.open(os.devnull, os.O_RDWR)
            try:
                os.dup2(null, self.given, inheritable=self.given <= 2)
            finally:
                closeNumber(null)

    def _isOurs(self) -> bool:
        """Whether the given number still belongs to the same file. The program may have closed it."""
        try:
            found = os.fstat(self.given)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._file


def _plainSocket(fd: int) -> socket.socket:
    """Return an object for the socket `fd` that never waits, and leaves the flags of the open file alone."""
    blocking = os.get_blocking(fd)
    sock = socket.socket(fileno=fd)
    if socket.getdefaulttimeout() is not None:  # the constructor has set O_NONBLOCK
        sock.settimeout(None)
        os.set_blocking(fd, blocking)
    return sock
