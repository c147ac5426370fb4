"""Protocols of every kind: what a program subclasses for its conversations.

The life of one over a stream, which every transport keeps:

    makeConnection (-> connectionMade), then dataReceived any number of times, then connectionLost exactly once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from reactor._beside import Running, beside, started
from reactor._logger import getLogger
from reactor.error import ConnectionDone
from reactor.failure import Failure
from reactor.interfaces.asking import conform

if TYPE_CHECKING:
    from reactor.interfaces import IAnyDatagramTransport, IAnyTransport, IProcessTransport

log = getLogger("reactor.protocol")

connectionDone = Failure(ConnectionDone())
connectionDone.cleanFailure()


class BaseProtocol:
    """What protocols of every kind share: a transport, and word of when it is there.

    `connected` becomes 1 with the connection and stays 1 after it, as `transport` stays set.
    """

    __conform__ = conform

    connected = 0
    # An attribute of instances only: one that hides an attribute of the class is slow to read from CPython 3.12 on.
    transport: IAnyTransport

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Return an instance whose `transport` is None, whatever a subclass's __init__ takes or does."""
        new: Any = super().__new__
        self: Self = new(cls) if new is object.__new__ else new(cls, *args, **kwargs)
        self.transport = None  # type: ignore[assignment]  # cast() would be a call for each connection
        return self

    def makeConnection(self, transport: Any) -> Running | None:
        """Called once, when the connection stands: sets `transport`, calls connectionMade. Not for overriding.

        Returns the coroutine of connectionMade, if it is one, for the transport to heed.
        """
        self.connected = 1
        self.transport = transport
        made = self.connectionMade()
        return None if made is None else started(made)

    def connectionMade(self) -> Any:
        """Called once, when the connection stands: the place to greet the peer. What it raises costs the connection."""


class Protocol(BaseProtocol):
    """Base of protocols over a stream of bytes. `factory` is the factory that built it."""

    factory: Any = None

    def logPrefix(self) -> str:
        """Return the name that stands for this protocol in log messages."""
        return type(self).__name__

    def dataReceived(self, data: bytes) -> Any:
        """Called when bytes arrive: at least one, cut anywhere. What it raises costs the connection."""

    if TYPE_CHECKING:
        # Without the default, which an override would have to repeat.
        def connectionLost(self, reason: Failure) -> Any:
            """Called exactly once, last: `reason` holds ConnectionDone, ConnectionLost or what a callback raised."""

    else:

        def connectionLost(self, reason: Failure = connectionDone) -> Any:
            """Called exactly once, last: `reason` holds ConnectionDone, ConnectionLost or what a callback raised."""


def abandon(protocol: object) -> None:
    """A factory has built `protocol`, and no connection comes of it: call its connectionNotMade(), if it has one."""
    told = getattr(protocol, "connectionNotMade", None)
    if told is not None:
        try:
            beside(told())
        except Exception:
            log.exception("unhandled error in connectionNotMade of %r", protocol)


class AbstractDatagramProtocol:
    """What protocols over datagrams share. `numPorts` counts the ports that use it; `noisy` logs first and last."""

    __conform__ = conform

    transport: IAnyDatagramTransport = None  # type: ignore[assignment]  # while there is a port, it has one
    numPorts = 0
    noisy = True

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the transport."""
        return {**self.__dict__, "transport": None}

    def doStart(self) -> Running | None:
        """Called by makeConnection; the first port brings startProtocol, whose coroutine is returned, if it is one."""
        if not self.numPorts and self.noisy:
            log.info("Starting protocol %r", self)
        self.numPorts += 1  # before the call, in which the port may already end
        if self.numPorts > 1:
            return None
        try:
            return started(self.startProtocol())
        except BaseException:
            self.numPorts -= 1
            raise

    def doStop(self) -> Running | None:
        """Called by a port as it ends; the last brings stopProtocol, whose coroutine is returned, if it is one."""
        assert self.numPorts > 0, "the protocol has no port"
        self.numPorts -= 1
        self.transport = None  # type: ignore[assignment]
        if self.numPorts:
            return None
        if self.noisy:
            log.info("Stopping protocol %r", self)
        return started(self.stopProtocol())

    def startProtocol(self) -> Any:
        """Called once, when the first transport is there."""

    def stopProtocol(self) -> Any:
        """Called once, when the last transport has gone."""

    def makeConnection(self, transport: Any) -> Running | None:
        """Called by a port, once at a time: sets `transport`. Returns what doStart does."""
        assert self.transport is None, "the protocol has a transport"
        self.transport = transport
        return self.doStart()

    if TYPE_CHECKING:
        # Of its subclasses one gives an address and the other does not.
        def datagramReceived(self, *args: Any, **kwargs: Any) -> Any: ...
        def datagramLengthExceeded(self, *args: Any, **kwargs: Any) -> Any: ...

    else:

        def datagramReceived(self, datagram: bytes, addr: Any) -> Any:
            """Called with each datagram, whole, and the (host, port) it came from.

            From a UNIX socket: with the path or abstract name of the sender, None if it has none.
            """

        def datagramLengthExceeded(self, datagram: bytes, addr: Any) -> None:
            """Called instead if it is longer than the port's maxPacketSize. The port has counted and logged it.

            `datagram` is whole; only over a UNIX socket may it be longer still than the 64 KiB that are read at least.
            """


class DatagramProtocol(AbstractDatagramProtocol):
    """Base of protocols over UDP."""

    if TYPE_CHECKING:

        def datagramReceived(self, datagram: bytes, addr: Any) -> Any:
            """Called with each datagram, whole, and the (host, port) it came from.

            From a UNIX socket: with the path or abstract name of the sender, None if it has none.
            """

        def datagramLengthExceeded(self, datagram: bytes, addr: Any) -> Any:
            """Called instead if it is longer than the port's maxPacketSize. The port has counted and logged it."""

    def logPrefix(self) -> str:
        """Return the name that stands for this protocol in log messages."""
        return type(self).__name__

    def connectionRefused(self) -> Any:
        """Called on a connected port when an earlier datagram was answered with "port unreachable" (RFC 1122)."""


if TYPE_CHECKING:

    class _ConnectedBase(AbstractDatagramProtocol):
        """DatagramProtocol, without its datagramReceived, which takes an address."""

        def logPrefix(self) -> str: ...
        def connectionRefused(self) -> None: ...
else:
    _ConnectedBase = DatagramProtocol


class ConnectedDatagramProtocol(_ConnectedBase):
    """Base of protocols over a UNIX datagram socket with one peer."""

    def datagramReceived(self, datagram: bytes) -> Any:
        """Called with each datagram from the peer, whole."""

    def datagramLengthExceeded(self, datagram: bytes) -> Any:
        """Called instead if it is longer than the port's maxPacketSize."""

    def connectionFailed(self, failure: Failure) -> Any:
        """Called once, instead of startProtocol, if there is nobody to connect to: an OSError or CannotListenError."""


class ProcessProtocol(BaseProtocol):
    """Base of protocols to a child process: what comes from its descriptors, and how it ends."""

    transport: IProcessTransport = None  # type: ignore[assignment]  # from makeConnection on

    def childDataReceived(self, childFD: int, data: bytes) -> Any:
        """Called with what the child wrote to its descriptor `childFD`; passes 1 and 2 to outReceived, errReceived."""
        if childFD == 1:
            return self.outReceived(data)
        return self.errReceived(data) if childFD == 2 else None

    def outReceived(self, data: bytes) -> Any:
        """Called with what the child wrote to its standard output."""

    def errReceived(self, data: bytes) -> Any:
        """Called with what the child wrote to its standard error."""

    def childConnectionLost(self, childFD: int) -> Any:
        """Called once for each descriptor of the child that is closed; passes 0, 1, 2 to in-, out-,
        errConnectionLost.
        """
        if childFD == 0:
            return self.inConnectionLost()
        if childFD == 1:
            return self.outConnectionLost()
        return self.errConnectionLost() if childFD == 2 else None

    def inConnectionLost(self) -> Any:
        """Called once, when the child's standard input is closed."""

    def outConnectionLost(self) -> Any:
        """Called once, when the child's standard output is closed."""

    def errConnectionLost(self) -> Any:
        """Called once, when the child's standard error is closed."""

    def processExited(self, reason: Failure) -> Any:
        """Called once, when the child has exited; `reason` holds ProcessDone or ProcessTerminated."""

    def processEnded(self, reason: Failure) -> Any:
        """Called once, last: the child has exited and all its descriptors are closed."""
