"""The connections of a server: which there are, which have been idle for too long."""

from __future__ import annotations

import fcntl
import logging
import struct
import termios
import weakref
from collections.abc import Callable
from typing import Any

from reactor.endpoints.streams import Introduction
from reactor.interfaces import IProtocolFactory, IReactorTime
from reactor.linereceiver import LineReceiver
from reactor.serving.logs import escaped
from reactor.stdio import StandardIO
from reactor.task import LoopingCall

log = logging.getLogger("reactor.serving")

SWEEPS = 8


def _queued(file: Any, request: int) -> int:
    """Ask the kernel about the queue of a socket or descriptor; 0 if that has gone, or has none."""
    try:
        answer = fcntl.ioctl(file, request, bytes(4))
    except (OSError, ValueError):
        return 0
    return int(struct.unpack("i", answer)[0])


def unread(transport: Any) -> int:
    """Return how many bytes from the peer wait in the kernel to be read."""
    file = transport.inputFileno() if isinstance(transport, StandardIO) else transport.getHandle()
    return _queued(file, termios.FIONREAD)


def unacknowledged(transport: Any) -> int:
    """Return how many bytes that were sent wait in the kernel for the peer to take them; 0 for standard output, which
    keeps them whatever becomes of us.
    """
    return 0 if isinstance(transport, StandardIO) else _queued(transport.getHandle(), termios.TIOCOUTQ)


def isRead(transport: Any, readers: set[int]) -> bool:
    """Whether the loop reads for `transport`. `readers` are the ids of what it reads from; TLS has a socket below."""
    if isinstance(transport, StandardIO):
        return transport.isReading
    return id(getattr(transport, "lower", transport)) in readers


class WatchedFactory:
    """Builds what `factory` builds, and tells `met` of the transport of each connection that was made.

    `prepare`, if given, is called with each protocol before its connection is made.
    """

    def __init__(
        self, factory: IProtocolFactory, met: Callable[[Any], None], prepare: Callable[[Any], None] | None = None
    ) -> None:
        self._factory = factory
        self._met = met
        self._prepare = prepare

    def __repr__(self) -> str:
        return repr(self._factory)

    def doStart(self) -> None:
        """See IProtocolFactory."""
        self._factory.doStart()

    def doStop(self) -> None:
        """See IProtocolFactory."""
        self._factory.doStop()

    def buildProtocol(self, addr: Any) -> Any:
        """See IProtocolFactory."""
        protocol = self._factory.buildProtocol(addr)
        if protocol is None:
            return None
        if self._prepare is not None:
            self._prepare(protocol)
        return Introduction(protocol, self._met)


class _Counted:
    """Stands before a protocol and counts what it gets; one call more for each read."""

    __slots__ = ("mark", "protocol", "reads", "since")

    def __init__(self, protocol: Any, now: float) -> None:
        self.protocol = protocol
        self.reads = 0
        self.since = now
        self.mark = self.progress()

    def dataReceived(self, data: bytes) -> Any:
        self.reads += 1
        return self.protocol.dataReceived(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.protocol, name)

    def progress(self) -> int:
        """A number that is another one after each completed line, in line mode, and after each read otherwise."""
        protocol = self.protocol
        if isinstance(protocol, LineReceiver) and protocol.line_mode:
            return protocol.lineCount
        return -1 - self.reads


class IdleSweep:
    """Closes connections that have got nowhere for `timeout` seconds, at the latest a quarter of that later.

    A LineReceiver gets on with each completed line (in raw mode, and any other protocol: with each read), so a byte now
    and then does not keep it. One that the server itself does not read from (a handler is waited for) is not idle,
    unless its peer has not taken what was sent. What an idle one is owed is sent if the peer takes it by the next
    sweep.

    There is one timer, not one a connection: a sweep every eighth of `timeout`.
    """

    def __init__(self, clock: IReactorTime, timeout: float, getReaders: Callable[[], list[Any]]) -> None:
        self._clock = clock
        self._timeout = timeout
        self._getReaders = getReaders
        self._watched: weakref.WeakSet[Any] = weakref.WeakSet()
        self._loop = LoopingCall(self.sweep)
        self._loop.clock = clock

    def start(self) -> None:
        """Begin to sweep."""
        self._loop.start(self._timeout / SWEEPS, now=False)

    def stop(self) -> None:
        """Sweep no more."""
        if self._loop.running:
            self._loop.stop()

    def watch(self, transport: Any) -> None:
        """Watch a connection that was just made."""
        if not transport.disconnected:
            transport.protocol = _Counted(transport.protocol, self._clock.seconds())
            self._watched.add(transport)

    def sweep(self) -> None:
        """Look at each connection once."""
        now = self._clock.seconds()
        readers = set(map(id, self._getReaders()))
        for transport in list(self._watched):
            counted = transport.protocol
            if not isinstance(counted, _Counted):
                self._watched.discard(transport)
                continue
            mark = counted.progress()
            held = not isRead(transport, readers) and not transport.disconnecting and not unacknowledged(transport)
            if mark != counted.mark or held:
                counted.mark = mark
                counted.since = now
            elif now - counted.since >= self._timeout:
                self._evict(transport)

    def _evict(self, transport: Any) -> None:
        if transport.disconnecting:
            transport.abortConnection()
            return
        log.info("%s: idle for %g s, closed", escaped(str(transport.getPeer())), self._timeout)
        transport.loseConnection()
