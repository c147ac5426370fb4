"""How a client is refused: a last word, and a close that does not reset the connection before the client has read it.

A socket that is closed with unread input resets the connection. So a refused client that gets a text is read, for a
while, and what it sends is dropped. MOST clients have that at a time; others only get the text, and the close.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

from reactor.failure import Failure
from reactor.loops.base import ReactorBase

LINGER = 1.0
MOST = 64
READ_SIZE = 4096


class Refusals:
    """The refused clients of one server that are still being read."""

    def __init__(self, reactor: ReactorBase) -> None:
        self._reactor = reactor
        self._open: set[Refused] = set()

    def refuse(self, sock: socket.SocketType, text: bytes | None) -> None:
        """Send `text`, without waiting, and close `sock`. Its peer sees an end in order."""
        if text:
            with suppress(OSError):  # the client has left, or takes nothing
                sock.send(text)
                sock.shutdown(socket.SHUT_WR)
                if len(self._open) < MOST:
                    refused = Refused(self._reactor, sock, self._open.discard)
                    refused.start()
                    self._open.add(refused)
                    return
        self._reactor.closeSoon(sock)

    def close(self) -> None:
        """Close those that are left."""
        for refused in list(self._open):
            refused.end()


class Refused:
    """Reads and drops what a refused client sends, until its end, or for LINGER."""

    _isReactorsOwn = True  # see loops.guests

    def __init__(self, reactor: ReactorBase, sock: socket.SocketType, ended: Any) -> None:
        self._reactor = reactor
        self._sock = sock
        self._ended = ended
        self._timer: Any = None

    def start(self) -> None:
        """Begin to read. OSError if the system refuses to watch the socket."""
        self._reactor.addReader(self)
        self._timer = self._reactor.callLater(LINGER, self.end)

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._sock.fileno()

    def doRead(self) -> None:
        """Read once."""
        try:
            data = self._sock.recv(READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self.end()

    def end(self) -> None:
        """Close."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        self._reactor.removeReader(self)
        self._ended(self)
        self._reactor.closeSoon(self._sock)

    def connectionLost(self, reason: Failure) -> None:
        """See IReadDescriptor."""
        self.end()

    def failConnection(self, failure: Failure) -> None:
        """See the reactor's other readers."""
        self.end()
