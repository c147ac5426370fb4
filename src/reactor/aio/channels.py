"""Protocols of this package on asyncio's transports: a Channel, in place of a socket, and the connections.

A Channel carries bytes to and from the asyncio transport. Received bytes that the connection has not taken stay in it,
even if asyncio closes its transport. asyncio's TLS does that at the peer's close_notify, although a protocol has
paused. So the end of the stream comes behind its data. Output written meanwhile is dropped, as over a socket whose peer
has disconnected. Beyond GOES_NOWHERE bytes it ends the connection.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, cast, overload

from reactor._later import later
from reactor.address import Address
from reactor.error import ConnectionDone, ConnectionLost
from reactor.failure import Failure
from reactor.interfaces import ITransportReactor
from reactor.tlsoptions import ContextFactory
from reactor.transports.output import ENDED
from reactor.transports.stream import Connection
from reactor.transports.tcp import TCPConnection
from reactor.transports.tls.engine import RECORD
from reactor.transports.tls.layer import TRUNCATED
from reactor.transports.unix.stream import UNIXConnection

if TYPE_CHECKING:
    import ssl
else:
    ssl = later("ssl", globals())

GOES_NOWHERE = 64 * 1024


class Channel:
    """The socket of `connection`. It calls `deliver` when there is something to read."""

    def __init__(self, transport: Any, eventloop: asyncio.AbstractEventLoop, deliver: Callable[[], None]) -> None:
        self.transport = transport
        self.real = transport.get_extra_info("socket")
        self.connection: Any = None  # the transport that was opened last: startTLS changes it
        self.blocked = False
        self.reader: Any = None  # the reader, until it stops reading
        self.ended = False  # the peer's stream is at its end
        self.truncated = False  # TLS has ended without close_notify
        self.gone = False  # asyncio has closed its transport in order
        self._eventloop = eventloop
        self._deliver = deliver
        self._incoming = b""
        self._held = False
        self._reset = False
        self._nowhere = 0

    def feed(self, data: bytes) -> None:
        self._incoming = self._incoming + data if self._incoming else data

    def end(self) -> None:
        """The peer's stream has ended. Take the bytes that TLS still holds, and note the kind of end."""
        if not self.ended:
            self.ended = True
            if isSecure(self.transport):
                rest, self.truncated = restOf(self.transport)
                self.feed(rest)

    def isReadable(self) -> bool:
        return bool(self._incoming) or self.ended

    def startReading(self, reader: Any) -> None:
        before, self.reader = self.reader, reader
        if before is not None:
            return
        if self._held and not self.gone:
            self._held = False
            self.transport.resume_reading()
        if self.isReadable():
            self._eventloop.call_soon(self._deliver)

    def stopReading(self, reader: Any) -> None:
        if self.reader is not reader:
            return
        self.reader = None
        if not (self.ended or self.transport.is_closing()):
            self._held = True
            self.transport.pause_reading()

    def recv(self, size: int) -> bytes:
        data = self._incoming
        if data:
            self._incoming = data[size:]
            return data[:size]
        if self.truncated:
            raise ConnectionResetError(TRUNCATED)
        if self.ended:
            return b""
        raise BlockingIOError(errno.EAGAIN, "nothing has been received")

    def send(self, data: bytes | bytearray | memoryview) -> int:
        if self.blocked:
            raise BlockingIOError(errno.EAGAIN, "asyncio still holds what came before")
        if not (self.gone or self.transport.is_closing()):
            # the buffer here changes later, and some loops keep the object that they get
            self.transport.write(bytes(data))
        elif self.ended:
            self._nowhere += len(data)
            if self._nowhere > GOES_NOWHERE:
                raise BrokenPipeError(errno.EPIPE, "the peer has closed the connection")
        else:
            raise ConnectionResetError(errno.ECONNRESET, "the transport is closing")
        return len(data)

    def shutdown(self, how: int) -> None:
        if not self.transport.can_write_eof():
            raise OSError(errno.EOPNOTSUPP, "this transport cannot end one half")
        self.transport.write_eof()

    def getsockopt(self, level: int, option: int, *size: int) -> Any:
        return self._standing().getsockopt(level, option, *size)

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        if (level, option, value) == (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)):
            self._reset = True
        self._standing().setsockopt(level, option, value)

    def _standing(self) -> Any:
        """Return the socket. OSError once it is closed, where uvloop raises ValueError."""
        if self.gone:
            raise OSError(errno.EBADF, "the connection has ended")
        return self.real

    def fileno(self) -> int:
        return -1 if self.real is None else int(self.real.fileno())

    def close(self) -> None:
        if self._reset or self.blocked:
            self.transport.abort()
        else:
            self.transport.close()


class _OnAsyncio(Connection):
    """A connection on an asyncio transport, which getHandle() returns."""

    # The classes that derive from it and from a family have the slots: two bases with slots cannot be combined.
    __slots__ = ()

    _handedOver: bool
    _isClient: bool

    def __init__(
        self, services: ITransportReactor, channel: Any, protocol: Any, host: Address, peer: Address, isClient: bool
    ) -> None:
        super().__init__(services, channel, protocol, host, peer)
        self._handedOver = False
        self._isClient = isClient

    @property
    def _hasConnected(self) -> bool:
        return self._isClient

    def getHandle(self) -> Any:
        """Return the asyncio transport."""
        return cast("Any", self.socket).transport

    def writeLarge(self, data: bytes | memoryview) -> None:
        """See OutputStream. asyncio may keep what it is given, so nothing is spared by giving it at once."""
        self.write(data)

    def flush(self) -> None:
        """See OutputStream.flush. asyncio calls back only if there was output that it did not take."""
        super().flush()
        if self._writing and not cast("Any", self.socket).blocked:
            self._flushSoon()

    def taken(self) -> None:
        """asyncio has sent its buffer."""
        handedOver, self._handedOver = self._handedOver, False
        if self.unsent:
            self.flush()
        elif handedOver:
            self._sentAll()

    def goneInOrder(self) -> None:
        """asyncio has closed the transport in order. Deliver the received bytes, and then the end."""
        channel = cast("Any", self.socket)
        channel.end()
        channel.gone = True
        if self.disconnecting:
            unsent = f"the peer has closed before it took {self.unsent} bytes"
            self.connectionLost(Failure(ConnectionLost(unsent)) if self.unsent else self._closedInOrder())
            return
        if channel.blocked:
            channel.blocked = False
            self.taken()

    def endIfTold(self) -> None:
        """End, if the transport has closed and the protocol has got the end of the peer's half."""
        if self._readHalf == ENDED and cast("Any", self.socket).gone:
            self.connectionLost(Failure(ConnectionDone()))

    def _sentAll(self) -> None:
        if cast("Any", self.socket).blocked:
            self._handedOver = True
        else:
            super()._sentAll()


class AsyncioConnection(_OnAsyncio, TCPConnection):
    """A TCP connection on an asyncio transport. startTLS() of a client needs its `hostname`."""

    __slots__ = ("_handedOver", "_isClient")


class AsyncioUNIXConnection(_OnAsyncio, UNIXConnection):
    """A UNIX connection on an asyncio transport. It carries no descriptors: asyncio reads and writes only bytes."""

    __slots__ = ("_handedOver", "_isClient")

    def sendFileDescriptor(self, descriptor: int) -> None:
        """Raise RuntimeError: asyncio carries no descriptors."""
        raise RuntimeError("asyncio's transports carry no descriptors: listenUNIX and connectUNIX do")

    def _takes(self, protocol: Any) -> bool:
        return False


class _Secured(_OnAsyncio):
    """The methods of a connection about asyncio's TLS."""

    __slots__ = ()

    TLS = True

    @property
    def _object(self) -> Any:
        return self.getHandle().get_extra_info("ssl_object")

    @property
    def negotiatedProtocol(self) -> bytes | None:
        """See TLSConnection."""
        name = self._object.selected_alpn_protocol()
        return None if name is None else name.encode("ascii")

    @overload
    def getPeerCertificate(self, parsed: Literal[False] = False) -> bytes | None: ...
    @overload
    def getPeerCertificate(self, parsed: Literal[True]) -> dict[str, Any] | None: ...
    def getPeerCertificate(self, parsed: bool = False) -> bytes | dict[str, Any] | None:
        """See TLSConnection."""
        shown: bytes | dict[str, Any] | None = self._object.getpeercert(not parsed)
        return shown

    def getCipher(self) -> tuple[str, str, int] | None:
        """See TLSConnection."""
        cipher: tuple[str, str, int] | None = self._object.cipher()
        return cipher

    def getTLSVersion(self) -> str | None:
        """See TLSConnection."""
        version: str | None = self._object.version()
        return version

    def startTLS(
        self, contextFactory: ContextFactory | None = None, normal: bool = True, hostname: str | None = None
    ) -> None:
        """Raise RuntimeError: there is TLS already."""
        raise RuntimeError("TLS has been started already")


class AsyncioTLSConnection(_Secured, AsyncioConnection):
    """A TCP connection on a transport of asyncio's TLS."""

    __slots__ = ()


class AsyncioTLSUNIXConnection(_Secured, AsyncioUNIXConnection):
    """A UNIX connection on a transport of asyncio's TLS."""

    __slots__ = ()


def kindOf(transport: Any) -> type[_OnAsyncio]:
    """Return the class of connection for an asyncio transport."""
    sock = transport.get_extra_info("socket")
    isLocal = sock is not None and sock.family not in (socket.AF_INET, socket.AF_INET6)
    if isSecure(transport):
        return AsyncioTLSUNIXConnection if isLocal else AsyncioTLSConnection
    return AsyncioUNIXConnection if isLocal else AsyncioConnection


def isSecure(transport: Any) -> bool:
    """Whether an asyncio transport speaks TLS."""
    return transport.get_extra_info("sslcontext") is not None


def restOf(transport: Any) -> tuple[bytes, bool]:
    """Return the bytes that the TLS of an ended asyncio transport holds, and whether close_notify was missing.

    uvloop leaves bytes there if the protocol has paused. Neither uvloop nor asyncio tells how the stream has ended.
    """
    rest = b""
    try:
        while piece := transport.get_extra_info("ssl_object").read(RECORD):
            rest += piece
    except ssl.SSLZeroReturnError:
        pass
    except (OSError, ValueError):
        return rest, True
    return rest, False
