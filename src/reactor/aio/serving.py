"""Protocols of this package on asyncio's own transports, without a reactor: TCP, UNIX, TLS, on any event loop.

A protocol gets the package's own Connection. Its socket is a Channel, which carries bytes to and from an asyncio
transport. So order, limits, producers, half-close and the ways to end are those of every connection. Output passes
through asyncio's buffer, which stays as empty as possible (its limit is 0). Its contents count as not sent, and are at
most one send.

With asyncio's TLS there is no half-close: loseWriteConnection ends the connection. startTLS is the TLS of this package,
with all its rules.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections import Counter
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, NoReturn, cast

from reactor import _current
from reactor._arguments import checkCall, checkFactory
from reactor._beside import beside, refused
from reactor._closing import tellBroken, tellClosing
from reactor._logger import getLogger
from reactor.address import Address, UNIXAddress, fromSocketName
from reactor.aio.channels import Channel, isSecure, kindOf
from reactor.error import ConnectionDone, ConnectionLost, ConnectionUnwanted
from reactor.failure import Failure, safeRepr
from reactor.interfaces import IFileDescriptor, IFlushable
from reactor.loops.workers import ThreadServices
from reactor.timers import LATE, DelayedCall, TimerQueue

log = getLogger("reactor.aio")


class LoopServices(ThreadServices):
    """The services of a reactor that an event loop can give: `transport.reactor` of the protocols served here.

    For these protocols it is the current reactor, unless a reactor of this package runs in the event loop. It tells
    time, makes delayed calls and calls from other threads, and has a pool of threads and look-ups of names. It opens no
    sockets, and does not run or stop: AsyncioReactor does. For `overflowCount`, `closeCounts` and `skippedLineCount`
    see ITransportReactor.
    """

    running = True

    def __init__(self, eventloop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.eventloop = eventloop
        self.overflowCount = 0
        self.closeCounts: Counter[type[ConnectionDone]] = Counter()
        self.skippedLineCount = 0
        self._toFlush: set[IFlushable] = set()
        self._timers = TimerQueue(self.monotonic, self.seconds)
        self._timers.sooner = self._arm
        self._timer: asyncio.TimerHandle | None = None
        self._looked = eventloop.time()  # the time of the last look at the delayed calls
        self._catchingUp = False

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
        """Return the pending calls."""
        return self._timers.calls()

    def _arm(self) -> None:
        due = self._timers.nextTime()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due is not None and not self._catchingUp:
            self._timer = self.eventloop.call_at(due, self._run)

    def _run(self) -> None:
        """Make the calls that are due. If the event loop may have stood still, first poll once and read."""
        self._timer = None
        if self.monotonic() - self._looked > LATE:
            # Between the two callbacks the event loop polls, and makes the callbacks of all ready descriptors.
            self._catchingUp = True
            self.eventloop.call_soon(self.eventloop.call_soon, self._runDue)
        else:
            self._runDue()

    def _runDue(self) -> None:
        self._catchingUp = False
        try:
            barrier, now = self._timers.mark(), self.monotonic()
            self._looked = now
            while (call := self._timers.popDue(now, barrier)) is not None:
                self._call("the delayed call", call, call.run)
        finally:  # also if a signal's handler has raised: nobody else would come for the others
            self._arm()

    def _call(self, what: str, about: object, call: Callable[[], object]) -> None:
        """Make a call of the program's. An exception of the call or its coroutine is logged."""

        def failed(failure: Failure) -> None:
            self.reportFailure(failure, what, about)

        try:
            if (result := call()) is not None:
                beside(result, failed)
        except BaseException:
            failed(Failure())

    def callWhenRunning(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Call now: the event loop runs."""
        beside(callable(*args, **kwargs), lambda failure: self.reportFailure(failure, "callWhenRunning of", callable))

    def callFromThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Have the event loop make the call, in order. For any thread. OSError if the event loop is closed."""
        checkCall(callable)
        try:
            self.eventloop.call_soon_threadsafe(
                self._call, "callFromThread of", callable, partial(callable, *args, **kwargs)
            )
        except RuntimeError as error:
            raise OSError(errno.ESHUTDOWN, str(error)) from error

    def release(self) -> None:
        """The event loop is closed: let idle threads end."""
        self._releaseThreads()
        self._ownResolver.close()

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(
            f"no reactor runs in this event loop, where reactor.aio serves protocols, so there is no {name!r}: an "
            "AsyncioReactor has it (async with AsyncioReactor(): ...)",
            name=name,
            obj=self,
        )

    def reportFailure(self, failure: Failure, what: str, about: object = None) -> None:
        """Log once what a callback raised. KeyboardInterrupt and SystemExit leave the event loop instead."""
        value = failure.value
        if isinstance(value, (KeyboardInterrupt, SystemExit)):
            self.eventloop.call_soon(_leave, value)
            return
        text = what if about is None else f"{what} {safeRepr(about)}"
        log.error("unhandled error in %s", text, exc_info=(type(value), value, failure.getTracebackObject()))

    # For connections.

    def addReader(self, reader: Any) -> None:
        """Read from the asyncio transport."""
        reader.socket.startReading(reader)

    def removeReader(self, reader: Any) -> None:
        """Undo addReader."""
        reader.socket.stopReading(reader)

    def addWriter(self, writer: Any) -> None:
        """Do nothing: asyncio calls back when it takes more."""

    def removeWriter(self, writer: Any) -> None:
        """Do nothing: see addWriter."""

    def isReading(self, reader: Any) -> bool:
        """Whether `reader` was added and not removed."""
        return reader.socket.reader is reader

    def opened(self, transport: Any) -> None:
        """Give arriving data to `transport` from now on. The program that runs the event loop closes it at the end."""
        transport.socket.connection = transport

    def closed(self, transport: IFileDescriptor) -> None:
        """Do nothing: the program that runs the event loop closes the other connections."""

    def replaced(self, old: Any, new: Any) -> None:
        """See ITransportReactor.replaced."""
        self.opened(new)

    def flushBehindRead(self, transport: IFlushable) -> None:
        """Send the output now: a callback of an event loop reads one transport."""
        transport.flush()

    def flushSoon(self, transport: IFlushable) -> None:
        """Send the output when the present callback is over."""
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
        """Close `file`."""
        sock.close()


_served: dict[asyncio.AbstractEventLoop, LoopServices] = {}


def servicesOf(eventloop: asyncio.AbstractEventLoop) -> LoopServices:
    """Return the services of `eventloop`, made on first use. The services of closed event loops are dropped."""
    for other in list(_served):
        if other.is_closed() and (gone := _served.pop(other, None)) is not None:
            gone.release()
    services = _served.get(eventloop)
    if services is None:
        services = _served[eventloop] = LoopServices(eventloop)
    return services


def _inEventLoop() -> Any:
    eventloop = asyncio._get_running_loop()
    return None if eventloop is None else _served.get(eventloop)


_current.registerEventLoops(_inEventLoop)


def _leave(value: BaseException) -> None:
    raise value


class ProtocolAdapter(asyncio.Protocol):
    """The asyncio protocol of one connection: serves the `protocol` that `build(peer address)` makes.

    Without a protocol (None, or an exception, which is logged) it closes the connection. `isClient` says whether this
    side has connected, for startTLS.
    """

    def __init__(self, build: Callable[[Any], Any], services: LoopServices, isClient: bool = False) -> None:
        self.protocol: Any = None
        self._build = build
        self._services = services
        self._isClient = isClient
        self._channel: Channel | None = None
        self._secure = False

    @property
    def connection(self) -> Any:
        """The transport of `protocol`, or the one below its TLS; None if there is none."""
        return None if self._channel is None else self._channel.connection

    def connection_made(self, transport: Any) -> None:
        """Called by asyncio."""
        host, peer = (_address(transport, name) for name in ("sockname", "peername"))
        failed = False
        try:
            protocol = self._build(peer)
            refused(protocol, "buildProtocol")
            self.protocol = protocol
        except BaseException:
            failed = True
            self._services.reportFailure(Failure(), "buildProtocol of", self._build)
        if self.protocol is None:
            if not failed:
                tellClosing(self._services, peer, ConnectionUnwanted())
            transport.close()
            return
        self._secure = isSecure(transport)
        # asyncio's TLS pauses at the mark, its other transports above it.
        transport.set_write_buffer_limits(high=1 if self._secure else 0, low=0)
        self._channel = Channel(transport, self._services.eventloop, self._deliver)
        kind = kindOf(transport)
        connection = kind(cast("Any", self._services), self._channel, self.protocol, host, peer, self._isClient)
        ending = self._ending()
        next(ending)
        self.connection_lost = ending.send  # type: ignore[method-assign, assignment]
        connection.start()
        completed = getattr(self.protocol, "handshakeCompleted", None)
        if self._secure and completed is not None and not connection.disconnecting:
            self._guard(completed)

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        if self._channel is not None:
            self._channel.feed(data)
            self._deliver()

    def eof_received(self) -> bool:
        """Called by asyncio."""
        if self._channel is None:
            return False
        self._channel.end()
        self._deliver()
        return not self._secure

    def pause_writing(self) -> None:
        """Called by asyncio."""
        if self._channel is not None:
            self._channel.blocked = True

    def resume_writing(self) -> None:
        """Called by asyncio."""
        if self._channel is not None:
            self._channel.blocked = False
            self._guard(self.connection.taken)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio, where there is no connection of ours; else it calls the `send` of _ending."""

    def _ending(self) -> Generator[None, Exception | None, None]:
        """End our side when asyncio sends the reason. It comes once.

        A generator: what a signal's handler raises as asyncio comes, is raised at `yield`, and so caught here. A
        function would be left before its first line, and the protocol would never hear of the end.
        """
        try:
            exc = yield
        except GeneratorExit:
            return
        except BaseException as error:  # the reason is not known then
            self._end(error)
            raise
        try:
            self._end(exc)
        except BaseException:
            self._end(exc)
            raise
        del self  # or they would hold each other
        yield

    def _end(self, exc: BaseException | None) -> None:
        if self.connection.disconnected:
            return
        if exc is not None:
            tellBroken(self.connection.getPeer(), exc)
            self.connection.connectionLost(Failure(ConnectionLost(str(exc) or type(exc).__name__)))
            return
        self._guard(self.connection.goneInOrder)
        self._deliver()

    def _deliver(self) -> None:
        channel = self._channel
        assert channel is not None
        while channel.reader is not None and channel.isReadable():
            self._guard(channel.connection.doRead)
        channel.connection.endIfTold()

    def _guard(self, call: Callable[[], object]) -> None:
        """Call `call` of this package's side. An exception ends the connection."""
        try:
            if (told := call()) is not None:
                self.connection._beside(told)
        except BaseException:
            self.connection.failConnection(Failure())


def _address(transport: Any, which: str) -> Address:
    sock, name = transport.get_extra_info("socket"), transport.get_extra_info(which)
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6) and name:
        return fromSocketName(sock.family, name)
    return UNIXAddress(name or None)


class ProtocolFactory:
    """A protocol_factory for asyncio's create_server, create_connection and the like, from a factory of this package:

        server = await loop.create_server(ProtocolFactory(factory), "127.0.0.1", 7000)

    Each connection gets the protocol of `factory.buildProtocol(address)`. Making this object starts the factory, and
    close() stops it. Make it in a coroutine or callback of the event loop. create_connection returns (transport,
    adapter), and `adapter.protocol` is the protocol. A factory gets no calls about attempts, as there is no Connector.
    In this event loop the package's functions speak to its LoopServices, unless a reactor of this package runs there.
    """

    def __init__(self, factory: Any) -> None:
        checkFactory(factory)
        self.factory = factory
        self._services = servicesOf(asyncio.get_running_loop())
        self._started = True
        starting: Any = factory.doStart()
        if starting is not None:
            beside(starting, lambda failure: self._services.reportFailure(failure, "startFactory of", factory))

    def __call__(self) -> ProtocolAdapter:
        """Return the asyncio protocol of a new connection."""
        isClient = hasattr(self.factory, "clientConnectionLost")  # a ClientFactory, and any similar factory
        return ProtocolAdapter(self.factory.buildProtocol, self._services, isClient)

    def close(self) -> None:
        """Stop the factory, after the server has closed. Connections live on. A second call does nothing."""
        if self._started:
            self._started = False
            stopping: Any = self.factory.doStop()
            if stopping is not None:
                beside(stopping, lambda failure: self._services.reportFailure(failure, "stopFactory of", self.factory))
