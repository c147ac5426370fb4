"""Our protocols on asyncio's own transports, with no reactor of ours: TCP, UNIX, TLS, on any event loop there is.

What protocols get is the package's own Connection; what it takes for its socket is a _Channel, which hands bytes to and
from an asyncio transport. So order, limits, producers, half-close and the ways to end are those of every connection.
Output passes through asyncio's buffer, which is kept empty as far as possible (its limit is 0): what it holds counts as
not sent, and there is at most one send of it.

With TLS there is no half-close: asyncio has none, and loseWriteConnection ends the connection.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

from reactor._closing import tellBroken, tellClosing
from reactor._logger import getLogger
from reactor.address import Address, UNIXAddress, fromSocketName
from reactor.error import ConnectionDone, ConnectionLost, ConnectionUnwanted
from reactor.failure import Failure, safeRepr
from reactor.interfaces import IFileDescriptor, IFlushable
from reactor.timers import DelayedCall, TimerQueue
from reactor.transports.tcp import TCPConnection

log = getLogger("reactor.aio")


class LoopServices:
    """What a connection asks of its reactor, as an event loop can give it: `transport.reactor` of what is served here.

    It tells time and makes delayed calls (IReactorTime), and no more: it opens no sockets and does not run. For
    `overflowCount`, `closeCounts` and `skippedLineCount` see ITransportReactor.
    """

    def __init__(self, eventloop: asyncio.AbstractEventLoop) -> None:
        self.eventloop = eventloop
        self.overflowCount = 0
        self.closeCounts: Counter[type[ConnectionDone]] = Counter()
        self.skippedLineCount = 0
        self._toFlush: set[IFlushable] = set()
        self._timers = TimerQueue(self.monotonic, self.seconds)
        self._timers.sooner = self._arm
        self._timer: asyncio.TimerHandle | None = None

    def seconds(self) -> float:
        """Return the time in seconds since 1970. See ReactorBase.seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Return the event loop's time, in seconds, which never jumps."""
        return self.eventloop.time()

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any, **kw: Any) -> DelayedCall:
        """See IReactorTime.callLater."""
        return self._timers.callLater(delay, callable, args, kw)

    def getDelayedCalls(self) -> list[DelayedCall]:
        """Return the calls to come."""
        return self._timers.calls()

    def _arm(self) -> None:
        due = self._timers.nextTime()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due is not None:
            self._timer = self.eventloop.call_at(due, self._run)

    def _run(self) -> None:
        self._timer = None
        barrier, now = self._timers.mark(), self.monotonic()
        while (call := self._timers.popDue(now, barrier)) is not None:
            try:
                call.run()
            except BaseException:
                self.reportFailure(Failure(), "the delayed call", call)
        self._arm()

    def reportFailure(self, failure: Failure, what: str, *about: object) -> None:
        """Log once what a callback raised. KeyboardInterrupt and SystemExit leave the event loop instead."""
        value = failure.value
        if isinstance(value, (KeyboardInterrupt, SystemExit)):
            self.eventloop.call_soon(_leave, value)
            return
        text = " ".join([what, *map(safeRepr, about)])
        log.error("unhandled error in %s", text, exc_info=(type(value), value, failure.getTracebackObject()))

    # For connections.

    def addReader(self, reader: Any) -> None:
        """Read, from the asyncio transport."""
        reader.socket.startReading()

    def removeReader(self, reader: Any) -> None:
        """Undo addReader."""
        reader.socket.stopReading()

    def addWriter(self, writer: Any) -> None:
        """Nothing: asyncio says when it takes more."""

    def removeWriter(self, writer: Any) -> None:
        """Nothing: see addWriter."""

    def opened(self, transport: IFileDescriptor) -> None:
        """Nothing: whoever runs the event loop closes what is left."""

    def closed(self, transport: IFileDescriptor) -> None:
        """Nothing: see opened."""

    def flushSoon(self, transport: IFlushable) -> None:
        """Send what was written when the present callback is done."""
        if transport not in self._toFlush:
            self._toFlush.add(transport)
            self.eventloop.call_soon(self._flush, transport)

    def _flush(self, transport: IFlushable) -> None:
        self._toFlush.discard(transport)
        try:
            transport.flush()
        except BaseException:
            transport.failConnection(Failure())

    def closeSoon(self, sock: Any) -> None:
        """Close."""
        sock.close()


def _leave(value: BaseException) -> None:
    raise value


class _Channel:
    """What a Connection takes for its socket: it hands bytes to an asyncio transport, and what that gave to recv()."""

    def __init__(self, transport: Any, eventloop: asyncio.AbstractEventLoop, deliver: Callable[[], None]) -> None:
        self.transport = transport
        self.real = transport.get_extra_info("socket")
        self.blocked = False
        self.reading = False
        self.ended = False
        self._eventloop = eventloop
        self._deliver = deliver
        self._incoming = b""
        self._held = False
        self._reset = False

    def feed(self, data: bytes) -> None:
        self._incoming = self._incoming + data if self._incoming else data

    def isReadable(self) -> bool:
        return bool(self._incoming) or self.ended

    def startReading(self) -> None:
        if self.reading:
            return
        self.reading = True
        if self._held:
            self._held = False
            self.transport.resume_reading()
        if self.isReadable():
            self._eventloop.call_soon(self._deliver)

    def stopReading(self) -> None:
        if not self.reading:
            return
        self.reading = False
        if not (self.ended or self.transport.is_closing()):
            self._held = True
            self.transport.pause_reading()

    def recv(self, size: int) -> bytes:
        data = self._incoming
        if data:
            self._incoming = data[size:]
            return data[:size]
        if self.ended:
            return b""
        raise BlockingIOError(errno.EAGAIN, "nothing has been received")

    def send(self, data: bytes | bytearray | memoryview) -> int:
        if self.blocked:
            raise BlockingIOError(errno.EAGAIN, "asyncio still holds what came before")
        if self.transport.is_closing():
            raise ConnectionResetError(errno.ECONNRESET, "the transport is closing")
        self.transport.write(bytes(data))  # ours will be changed, and some loops keep what they get
        return len(data)

    def shutdown(self, how: int) -> None:
        if not self.transport.can_write_eof():
            raise OSError(errno.EOPNOTSUPP, "this transport cannot end one half")
        self.transport.write_eof()

    def getsockopt(self, level: int, option: int) -> Any:
        return self.real.getsockopt(level, option)

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        if (level, option, value) == (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)):
            self._reset = True
        self.real.setsockopt(level, option, value)

    def fileno(self) -> int:
        return -1 if self.real is None else int(self.real.fileno())

    def close(self) -> None:
        if self._reset or self.blocked:
            self.transport.abort()
        else:
            self.transport.close()


class AsyncioConnection(TCPConnection):
    """A connection of ours on an asyncio transport, which getHandle() returns. All else is as in TCPConnection."""

    __slots__ = ("_handedOver",)

    def __init__(self, services: LoopServices, channel: Any, protocol: Any, host: Address, peer: Address) -> None:
        super().__init__(cast("Any", services), channel, protocol, host, peer)
        self._handedOver = False

    def getHandle(self) -> Any:
        """Return the asyncio transport."""
        return cast("Any", self.socket).transport

    def flush(self) -> None:
        """See OutputStream.flush. asyncio says when it takes more only if there was something that it did not take."""
        super().flush()
        if self._writing and not cast("Any", self.socket).blocked:
            self._flushSoon()

    def taken(self) -> None:
        """asyncio has sent what it held."""
        handedOver, self._handedOver = self._handedOver, False
        if self.unsent:
            self.flush()
        elif handedOver:
            self._sentAll()

    def _sentAll(self) -> None:
        if cast("Any", self.socket).blocked:
            self._handedOver = True
        else:
            super()._sentAll()


class ProtocolAdapter(asyncio.Protocol):
    """The asyncio protocol of one connection: it has `build(peer address)` make one of ours, `protocol`, and serves it.

    Without a protocol (None, or an exception, which is logged) the connection is closed.
    """

    def __init__(self, build: Callable[[Any], Any], services: LoopServices) -> None:
        self.protocol: Any = None
        self.connection: AsyncioConnection | None = None
        self._build = build
        self._services = services
        self._channel: _Channel | None = None
        self._secure = False

    def connection_made(self, transport: Any) -> None:
        """Called by asyncio."""
        host, peer = (_address(transport, name) for name in ("sockname", "peername"))
        failed = False
        try:
            self.protocol = self._build(peer)
        except BaseException:
            failed = True
            self._services.reportFailure(Failure(), "buildProtocol of", self._build)
        if self.protocol is None:
            if not failed:
                tellClosing(self._services, peer, ConnectionUnwanted())
            transport.close()
            return
        self._secure = transport.get_extra_info("sslcontext") is not None
        # The TLS of asyncio pauses at the mark, all else above it.
        transport.set_write_buffer_limits(high=1 if self._secure else 0, low=0)
        self._channel = _Channel(transport, self._services.eventloop, self._deliver)
        self.connection = AsyncioConnection(self._services, self._channel, self.protocol, host, peer)
        self.connection.start()

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        if self._channel is not None:
            self._channel.feed(data)
            self._deliver()

    def eof_received(self) -> bool:
        """Called by asyncio."""
        if self._channel is None:
            return False
        self._channel.ended = True
        self._deliver()
        return not self._secure

    def pause_writing(self) -> None:
        """Called by asyncio."""
        if self._channel is not None:
            self._channel.blocked = True

    def resume_writing(self) -> None:
        """Called by asyncio."""
        if self._channel is not None and self.connection is not None:
            self._channel.blocked = False
            try:
                self.connection.taken()
            except BaseException:
                self.connection.failConnection(Failure())

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio."""
        if self.connection is not None:
            if exc is not None and not self.connection.disconnected:
                tellBroken(self.connection.getPeer(), exc)
            self.connection.connectionLost(Failure(ConnectionDone() if exc is None else ConnectionLost(str(exc))))

    def _deliver(self) -> None:
        channel, connection = self._channel, self.connection
        assert channel is not None
        assert connection is not None
        while channel.reading and channel.isReadable():
            try:
                connection.doRead()
            except BaseException:
                connection.failConnection(Failure())


def _address(transport: Any, which: str) -> Address:
    sock, name = transport.get_extra_info("socket"), transport.get_extra_info(which)
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6) and name:
        return fromSocketName(sock.family, name)
    return UNIXAddress(name or None)


class ProtocolFactory:
    """What asyncio's create_server, create_connection and their like take for protocol_factory, for a factory of ours:

        server = await loop.create_server(ProtocolFactory(factory), "127.0.0.1", 7000)

    Each connection gets what `factory.buildProtocol(address)` returns. The factory is started here, and stopped by
    close(). For a coroutine or callback of the event loop. create_connection returns (transport, adapter), and
    `adapter.protocol` is ours; a factory is told nothing about attempts, as there is no Connector.
    """

    def __init__(self, factory: Any) -> None:
        self.factory = factory
        self._services = LoopServices(asyncio.get_running_loop())
        self._started = True
        factory.doStart()

    def __call__(self) -> ProtocolAdapter:
        """Return the asyncio protocol of a new connection."""
        return ProtocolAdapter(self.factory.buildProtocol, self._services)

    def close(self) -> None:
        """The server is closed: stop the factory. Connections live on; again: nothing."""
        if self._started:
            self._started = False
            self.factory.doStop()
