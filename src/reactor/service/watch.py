"""The connections of a server, and the sweep that closes idle ones (the command's `--idle-timeout`)."""

from __future__ import annotations

import select
import socket
import struct
from array import array
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from reactor._closing import closeFor
from reactor._later import later
from reactor.endpoints.streams import Introduction
from reactor.error import IdleTimeout
from reactor.failure import Failure
from reactor.haproxy.receiving import HeaderReader
from reactor.interfaces import IDelayedCall, IProtocolFactory
from reactor.linereceiver import LineReceiver
from reactor.loops.base import ReactorBase
from reactor.protocol.standins import StandIn, behind, standBefore
from reactor.service.web import channelOf
from reactor.stdio import StandardIO
from reactor.task import LoopingCall
from reactor.timers import monotonicTime
from reactor.transports.output import ENDED, OPEN
from reactor.transports.tls.layer import TLSLayer

if TYPE_CHECKING:
    import fcntl
    import termios
else:
    fcntl = later("fcntl", globals())
    termios = later("termios", globals())

SWEEPS = 8
SLICE = 1000

_INTERNET = (socket.AF_INET, socket.AF_INET6)
_RECEIVED = 128  # where tcpi_bytes_received, 8 bytes, is in the tcp_info of linux/tcp.h (Linux 4.1)
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_ENDED = getattr(select, "POLLRDHUP", 0)  # poll() reports POLLHUP and POLLERR in any case


def _queued(fd: int, request: int) -> int:
    """Return the length of a descriptor's queue in the kernel; 0 if it is closed or has none."""
    try:
        answer = fcntl.ioctl(fd, request, bytes(4))
    except (OSError, ValueError):
        return 0
    return int(struct.unpack("i", answer)[0])


def _inputFileno(transport: Any) -> int:
    number: int = transport.inputFileno() if isinstance(transport, StandardIO) else transport.fileno()
    return number


def unread(transport: Any) -> int:
    """Return the number of bytes from the peer that wait in the kernel."""
    return _queued(_inputFileno(transport), termios.FIONREAD)


def unacknowledged(transport: Any) -> int:
    """Return the number of sent bytes that wait in the kernel for the peer.

    It is 0 for standard output, which keeps them after the end of this process.
    """
    return 0 if isinstance(transport, StandardIO) else _queued(transport.fileno(), termios.TIOCOUTQ)


def isMute(transport: Any) -> bool:
    """Whether the peer has never sent a byte, as far as the kernel tells: it does so for TCP."""
    sock = None if isinstance(transport, StandardIO) else _socketOf(transport)
    if sock is None or sock.family not in _INTERNET:
        return False
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RECEIVED + 8)
    except OSError:
        return False
    return len(info) == _RECEIVED + 8 and not any(info[_RECEIVED:])


def isRead(transport: Any, reactor: ReactorBase) -> bool:
    """Whether the loop reads for `transport`; TLS has a socket below."""
    if isinstance(transport, StandardIO):
        return transport.isReading
    return reactor.isReading(getattr(transport, "lower", transport))


def held(transport: Any) -> int:
    """Return the number of bytes that TLS or a line receiver has read and not delivered."""
    size = sum(map(len, getattr(transport, "_held", ())))
    protocol = transport.protocol
    while protocol is not None and not isinstance(protocol, LineReceiver):
        protocol = behind(protocol)
    return size if protocol is None else size + protocol.heldSize


def readOnce(transport: Any) -> None:
    """Read once from the peer, and deliver."""
    if isinstance(transport, StandardIO):
        transport.readNow()
    else:
        getattr(transport, "lower", transport).doRead()


def owesAnswer(transport: Any) -> bool:
    """Whether a connection of HTTP has a request whose answer is not complete, or one that waits in the kernel."""
    channel = channelOf(transport)
    return channel is not None and bool(channel.requests or (channel.line_mode and unread(transport)))


def hasEndedOutput(transport: Any) -> bool:
    """Whether our half has ended, and the kernel has all output."""
    ended: bool = getattr(transport, "_writeHalf", OPEN) >= ENDED
    return ended


def hasEnded(transport: Any) -> bool:
    """Whether the end of the peer's stream has come, or an error, perhaps behind unread bytes."""
    poll = select.poll()
    poll.register(_inputFileno(transport), _ENDED)
    try:
        return bool(poll.poll(0))
    except OSError:  # the kernel has no memory for poll()
        return False


def refuseMore(transport: Any, isSent: bool = True) -> bool:
    """Make the kernel refuse more data from the peer. Return whether it does: a pipe cannot.

    The data that the kernel has can still be read. If the kernel has all output (`isSent`), our half ends, too.
    Otherwise the peer could take that end for the end of the output. Without it, TCP takes more data, and only a UNIX
    socket refuses.
    """
    if isinstance(transport, StandardIO):
        return False
    with suppress(OSError):  # the peer has closed before
        _socketOf(transport).shutdown(socket.SHUT_RDWR if isSent else socket.SHUT_RD)
    return True


def resetOnClose(transport: Any) -> None:
    """Make the kernel reset the connection at the close. UNIX sockets do so anyway."""
    if not isinstance(transport, StandardIO):
        with suppress(OSError):
            _socketOf(transport).setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)


def _socketOf(transport: Any) -> socket.socket:
    sock: socket.socket = getattr(transport, "lower", transport).getHandle()
    return sock


def handshaking(reactor: ReactorBase) -> bool:
    """Whether an accepted peer is still in its TLS handshake, or in its header of the PROXY protocol."""
    above = (getattr(transport, "protocol", None) for transport in reactor.openTransports())
    inside = (layer.protocol if isinstance(layer, TLSLayer) and not layer.isAccepting else layer for layer in above)
    return any(isinstance(layer, TLSLayer | HeaderReader) and layer.isAccepting for layer in inside)


class WatchedFactory:
    """Builds the protocols of `factory`, and calls `met` with the transport of each new connection.

    `prepare`, if given, is called with each protocol before its connection is made. `admits` tells whether an address
    is served, and `entering` gets each transport before its protocol does.
    """

    def __init__(
        self,
        factory: IProtocolFactory,
        met: Callable[[Any], None],
        prepare: Callable[[Any], None] | None = None,
        admits: Callable[[Any], bool] | None = None,
        entering: Callable[[Any], None] | None = None,
    ) -> None:
        self._factory = factory
        self._met = met
        self._prepare = prepare
        self._admits = admits
        self._entering = entering

    def __repr__(self) -> str:
        return repr(self._factory)

    def doStart(self) -> object:
        """See IProtocolFactory."""
        return self._factory.doStart()

    def doStop(self) -> object:
        """See IProtocolFactory."""
        return self._factory.doStop()

    def buildProtocol(self, addr: Any) -> Any:
        """See IProtocolFactory. None if `admits` refuses the address."""
        if self._admits is not None and not self._admits(addr):
            return None
        protocol = self._factory.buildProtocol(addr)
        if protocol is None:
            return None
        if self._prepare is not None:
            self._prepare(protocol)
        return Introduction(protocol, self._met, self._entering)


class Sighting:
    """The time at which connections of `owner` made progress; all that did so at the same moment share it.

    The time None means that no sweep has looked at them yet.
    """

    __slots__ = ("owner", "time")

    def __init__(self, owner: Connections, time: float | None = None) -> None:
        self.owner = owner
        self.time = time


def lowestOf(transport: Any) -> Any:
    """Return the transport that the reactor has open for `transport`, which may be TLS over it."""
    while isinstance(transport, TLSLayer):
        transport = transport.lower
    return transport


def topOf(lowest: Any) -> Any:
    """Return the connection over `lowest`: the TLS layer that has a protocol, if there is one."""
    transport = lowest
    while isinstance(layer := transport.protocol, TLSLayer):
        if layer.protocol is None and not layer.disconnected:
            break
        transport = layer
    return transport


class Connections:
    """The open connections of a server.

    There is no table of them. Each has its Sighting as the reactor's note of its open transport.
    """

    def __init__(self, reactor: ReactorBase) -> None:
        self._reactor = reactor
        self._met = Sighting(self)

    def __iter__(self) -> Iterator[Any]:
        for lowest in self._reactor.openTransports():
            if (transport := self.over(lowest)) is not None:
                yield transport

    def add(self, transport: Any) -> None:
        """Add a new connection."""
        self.see(lowestOf(transport), self._met)

    def see(self, lowest: Any, sighting: Sighting) -> None:
        """Note the last sighting of the connection over `lowest`."""
        self._reactor.keepNote(lowest, sighting)

    def sightingOf(self, lowest: Any) -> Sighting | None:
        """Return the last sighting of the connection over `lowest`, None if it is not one of these connections."""
        sighting = self._reactor.noteOf(lowest)
        return sighting if isinstance(sighting, Sighting) and sighting.owner is self else None

    def over(self, lowest: Any) -> Any:
        """Return the connection over `lowest`, None if it is not one of these.

        If there is a TLS layer that has a protocol, this is the connection.
        """
        return None if self.sightingOf(lowest) is None else topOf(lowest)


class Counted(StandIn):
    """A stand-in for a protocol that does not count lines. It counts the reads. Each read costs one call more."""

    __slots__ = ("reads", "wrappedProtocol")

    def __init__(self, transport: Any) -> None:
        self.reads = 0
        standBefore(self, transport)

    def dataReceived(self, data: bytes) -> Any:
        """Passed on."""
        self.reads += 1
        return self.wrappedProtocol.dataReceived(data)

    @property
    def transport(self) -> Any:
        """The protocol's transport; startTLS sets it."""
        return self.wrappedProtocol.transport

    @transport.setter
    def transport(self, transport: Any) -> None:
        self.wrappedProtocol.transport = transport


def progressOf(transport: Any) -> int:
    """Return a number that changes with each completed line, in line mode, and with each read otherwise.

    Reads are counted from the first call outside of line mode on, which changes the number too.
    """
    protocol = transport.protocol
    counted = type(protocol) is Counted
    receiver = behind(protocol) if counted else protocol
    if isinstance(receiver, LineReceiver) and receiver.line_mode:
        return receiver.lineCount
    if not counted:
        protocol = Counted(transport)
    return -1 - int(protocol.reads)


class IdleSweep:
    """Closes `connections` without progress for `timeout` seconds, two sweeps (a quarter of that) later at the latest.

    A LineReceiver makes progress with each completed line (in raw mode, and any other protocol: with each read). So a
    byte now and then does not keep a connection. A connection that the server itself does not read, because a handler
    works, is not idle. It is idle if its peer has not taken its output. The waiting output of an idle connection is
    sent if the peer takes it by the next sweep. Connections of HTTP have deadlines of their own.

    There is one timer for all: a sweep every eighth of `timeout`, SLICE connections a turn of the loop. A connection
    has one reference to its last Sighting, which is shared: the reactor's note. Its progress at that time is kept here,
    eight bytes a descriptor.
    """

    def __init__(self, reactor: ReactorBase, timeout: float, connections: Connections) -> None:
        self._reactor = reactor
        self._timeout = timeout
        self._connections = connections
        self._progress = array("q")  # by descriptor; before the first look it is the number of an earlier owner
        self._left: list[Any] = []
        self._next: IDelayedCall | None = None
        self._loop = LoopingCall(self._begin)
        self._loop.clock = reactor

    def start(self) -> None:
        """Begin to sweep."""
        self._loop.start(self._timeout / SWEEPS, now=False)

    def stop(self) -> None:
        """Sweep no more."""
        if self._loop.running:
            self._loop.stop()
        self._left.clear()
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _begin(self) -> None:
        if not self._left:
            self._left = self._reactor.openTransports()
            self._sweep()

    def _sweep(self) -> None:
        """Look at each connection of a slice once."""
        some = self._left[-SLICE:]
        del self._left[-SLICE:]
        self._next = self._reactor.callLater(0, self._sweep) if self._left else None
        now = Sighting(self._connections, monotonicTime(self._reactor))
        for lowest in some:
            transport = self._connections.over(lowest)
            if transport is not None and not transport.disconnected and channelOf(transport) is None:
                try:
                    self._look(transport, lowest, now)
                except Exception:  # its own error: a setting may be a property, for example
                    transport.failConnection(Failure())

    def _look(self, transport: Any, lowest: Any, now: Any) -> None:
        before: Any = self._connections.sightingOf(lowest)
        since = before.time
        progress, fd = progressOf(transport), transport.fileno()
        if fd >= len(self._progress):
            self._progress.extend([0] * (fd + 1))
        if progress != self._progress[fd] or since is None or self._isHeld(transport):
            self._progress[fd] = progress
            self._connections.see(lowest, now)
        elif now.time - since >= self._timeout:
            self._evict(transport)

    def _isHeld(self, transport: Any) -> bool:
        return not (isRead(transport, self._reactor) or transport.disconnecting or unacknowledged(transport))

    def _evict(self, transport: Any) -> None:
        if transport.disconnecting:
            transport.abortConnection()
            return
        closeFor(transport, IdleTimeout(f"{self._timeout:g} s"))
