"""Protocols of every kind: the classes that a program subclasses for its conversations.

Every stream transport calls a protocol in this order:

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
    """The common base of all protocols. It holds the transport; makeConnection sets that and calls connectionMade.

    `connected` becomes 1 with the connection and stays 1 after it. `transport` stays set too.
    """

    __conform__ = conform

    connected = 0
    # An attribute of instances only. From CPython 3.12 on, an attribute that hides one of the class is slow to read.
    transport: IAnyTransport

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Return an instance whose `transport` is None, whatever the __init__ of a subclass takes or does."""
        new: Any = super().__new__
        self: Self = new(cls) if new is object.__new__ else new(cls, *args, **kwargs)
        self.transport = None  # type: ignore[assignment]  # cast() would be a call for each connection
        return self

    def makeConnection(self, transport: Any) -> Running | None:
        """The transport calls this once, when the connection stands. It sets `transport` and calls connectionMade.

        Do not override it. If connectionMade returns a coroutine, this starts it and returns it to the transport, which
        handles its failure.
        """
        self.connected = 1
        self.transport = transport
        made = self.connectionMade()
        return None if made is None else started(made)

    def connectionMade(self) -> Any:
        """Called once, when the connection stands: the place to greet the peer. An exception ends the connection."""


class Protocol(BaseProtocol):
    """Base of protocols over a stream of bytes. `factory` is the factory that built the protocol."""

    factory: Any = None

    def logPrefix(self) -> str:
        """Return the protocol's name for log messages."""
        return type(self).__name__

    def dataReceived(self, data: bytes) -> Any:
        """Called when bytes arrive: at least one, cut anywhere. An exception ends the connection."""

    if TYPE_CHECKING:
        # Type checkers see no default here, because an override would have to repeat it.
        def connectionLost(self, reason: Failure) -> Any:
            """Called exactly once, last, with a Failure of ConnectionDone, ConnectionLost or a callback's exception."""

    else:

        def connectionLost(self, reason: Failure = connectionDone) -> Any:
            """Called exactly once, last, with a Failure of ConnectionDone, ConnectionLost or a callback's exception."""


def abandon(protocol: object) -> None:
    """Call connectionNotMade() of `protocol`, if it has one: a factory built it, and no connection follows."""
    told = getattr(protocol, "connectionNotMade", None)
    if told is not None:
        try:
            beside(told())
        except Exception:
            log.exception("unhandled error in connectionNotMade of %r", protocol)


class AbstractDatagramProtocol:
    """The common base of protocols over datagrams.

    `numPorts` counts the ports that use it. If `noisy` is true, it logs the first and the last one.
    """

    __conform__ = conform

    transport: IAnyDatagramTransport = None  # type: ignore[assignment]  # while there is a port, it has one
    numPorts = 0
    noisy = True

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the transport."""
        return {**self.__dict__, "transport": None}

    def doStart(self) -> Running | None:
        """Called by makeConnection; the first call calls startProtocol. Return its coroutine, if it is one."""
        if not self.numPorts and self.noisy:
            log.info("Starting protocol %r", self)
        self.numPorts += 1  # before the call, as the port may end inside it
        if self.numPorts > 1:
            return None
        try:
            return started(self.startProtocol())
        except BaseException:
            self.numPorts -= 1
            raise

    def doStop(self) -> Running | None:
        """Called by a port as it ends; the last call calls stopProtocol. Return its coroutine, if it is one."""
        assert self.numPorts > 0, "the protocol has no port"
        self.numPorts -= 1
        self.transport = None  # type: ignore[assignment]
        if self.numPorts:
            return None
        if self.noisy:
            log.info("Stopping protocol %r", self)
        return started(self.stopProtocol())

    def startProtocol(self) -> Any:
        """Called once, when the first port is open."""

    def stopProtocol(self) -> Any:
        """Called once, when the last port has closed."""

    def makeConnection(self, transport: Any) -> Running | None:
        """Called by a port, one port at a time. It sets `transport`, and returns the result of doStart."""
        assert self.transport is None, "the protocol has a transport"
        self.transport = transport
        return self.doStart()

    if TYPE_CHECKING:
        # One of its subclasses gets an address and the other does not.
        def datagramReceived(self, *args: Any, **kwargs: Any) -> Any: ...
        def datagramLengthExceeded(self, *args: Any, **kwargs: Any) -> Any: ...

    else:

        def datagramReceived(self, datagram: bytes, addr: Any) -> Any:
            """Called with each datagram, whole, and the (host, port) of its sender.

            From a UNIX socket, the address is the sender's path or abstract name, or None.
            """

        def datagramLengthExceeded(self, datagram: bytes, addr: Any) -> None:
            """Called for a datagram longer than the port's maxPacketSize, which the port has counted and logged.

            `datagram` is whole, with one exception: over a UNIX socket, the port reads only the first 64 KiB, or
            maxPacketSize if that is more.
            """


class DatagramProtocol(AbstractDatagramProtocol):
    """Base of protocols over UDP."""

    if TYPE_CHECKING:

        def datagramReceived(self, datagram: bytes, addr: Any) -> Any:
            """Called with each datagram, whole, and the (host, port) of its sender.

            From a UNIX socket, the address is the sender's path or abstract name, or None.
            """

        def datagramLengthExceeded(self, datagram: bytes, addr: Any) -> Any:
            """Called for a datagram longer than the port's maxPacketSize, which the port has counted and logged."""

    def logPrefix(self) -> str:
        """Return the protocol's name for log messages."""
        return type(self).__name__

    def connectionRefused(self) -> Any:
        """Called on a connected port when the answer to an earlier datagram was "port unreachable" (RFC 1122)."""


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
        """Called for a datagram longer than the port's maxPacketSize."""

    def connectionFailed(self, failure: Failure) -> Any:
        """Called once, instead of startProtocol, if the port cannot connect: an OSError or CannotListenError."""


class ProcessProtocol(BaseProtocol):
    """Base of protocols to a child process: calls for the data of its descriptors, and for its end."""

    transport: IProcessTransport = None  # type: ignore[assignment]  # from makeConnection on

    def childDataReceived(self, childFD: int, data: bytes) -> Any:
        """Called by the process transport with output of `childFD`. Calls outReceived for 1, errReceived for 2."""
        if childFD == 1:
            return self.outReceived(data)
        return self.errReceived(data) if childFD == 2 else None

    def outReceived(self, data: bytes) -> Any:
        """Called by childDataReceived with the child's standard output."""

    def errReceived(self, data: bytes) -> Any:
        """Called with the child's output to its standard error."""

    def childConnectionLost(self, childFD: int) -> Any:
        """Called once for each closed descriptor of the child.

        It passes 0, 1 and 2 to inConnectionLost, outConnectionLost and errConnectionLost.
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
