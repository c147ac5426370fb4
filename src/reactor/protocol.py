"""Protocols and the factories that build them: what a program subclasses.

The life of a protocol, which every transport keeps:

    makeConnection (-> connectionMade), then dataReceived any number of times, then connectionLost exactly once.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Generic, Self, TypeVar, cast

from reactor import _current
from reactor._logger import getLogger
from reactor.defer import Deferred
from reactor.error import ConnectionDone, NotConnectingError
from reactor.failure import Failure

if TYPE_CHECKING:
    from reactor.interfaces import IConnector, IDelayedCall, IReactor, IReactorTime, IStreamTransport

P = TypeVar("P", bound="BaseProtocol")

log = getLogger("reactor.protocol")

connectionDone = Failure(ConnectionDone())
connectionDone.cleanFailure()


class BaseProtocol:
    """What protocols of every kind share: a transport, and word of when it is there.

    `connected` becomes 1 with the connection and stays 1 after it, as `transport` stays set.
    """

    connected = 0
    # An attribute of instances only: one that hides an attribute of the class is slow to read from CPython 3.12 on.
    transport: IStreamTransport

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Return an instance whose `transport` is None, whatever a subclass's __init__ takes or does."""
        new: Any = super().__new__
        self: Self = new(cls) if new is object.__new__ else new(cls, *args, **kwargs)
        self.transport = cast("IStreamTransport", None)
        return self

    def makeConnection(self, transport: Any) -> None:
        """Called once, when the connection stands: sets `transport`, calls connectionMade. Not for overriding."""
        self.connected = 1
        self.transport = transport
        self.connectionMade()

    def connectionMade(self) -> None:
        """Called once, when the connection stands: the place to greet the peer. What it raises costs the connection."""


class Protocol(BaseProtocol):
    """Base of protocols over a stream of bytes. `factory` is the factory that built it."""

    factory: Any = None

    def logPrefix(self) -> str:
        """Return the name that stands for this protocol in log messages."""
        return type(self).__name__

    def dataReceived(self, data: bytes) -> None:
        """Called when bytes arrive: at least one, cut anywhere. What it raises costs the connection."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Called exactly once, last: `reason` holds ConnectionDone, ConnectionLost or what a callback raised."""


def abandon(protocol: object) -> None:
    """A factory has built `protocol`, and no connection comes of it: call its connectionNotMade(), if it has one."""
    told = getattr(protocol, "connectionNotMade", None)
    if told is not None:
        try:
            told()
        except Exception:
            log.exception("unhandled error in connectionNotMade of %r", protocol)


class Factory(Generic[P]):
    """Builds a protocol for each connection, and holds what they share.

    `protocol` is called without arguments for each one. `numPorts` counts the ports and connectors that use the
    factory; `noisy` logs when the first begins and the last ends.
    """

    protocol: Callable[..., P] | None = None
    numPorts = 0
    noisy = True

    @classmethod
    def forProtocol(cls, protocol: Callable[..., P], *args: Any, **kwargs: Any) -> Self:
        """Return cls(*args, **kwargs) with its `protocol` set."""
        factory = cls(*args, **kwargs)
        factory.protocol = protocol
        return factory

    def logPrefix(self) -> str:
        """Return the name that stands for this factory in log messages."""
        return type(self).__name__

    def doStart(self) -> None:
        """Called by each port and connector as it begins; the first brings startFactory."""
        if not self.numPorts:
            if self.noisy:
                log.info("Starting factory %r", self)
            self.startFactory()
        self.numPorts += 1

    def doStop(self) -> None:
        """Called by each port and connector as it ends; the last brings stopFactory. Silent if none is left."""
        if self.numPorts == 0:
            return
        self.numPorts -= 1
        if not self.numPorts:
            if self.noisy:
                log.info("Stopping factory %r", self)
            self.stopFactory()

    def startFactory(self) -> None:
        """Called before the first port or connector begins: the place to open what all protocols share."""

    def stopFactory(self) -> None:
        """Called when the last port or connector has ended; accepted connections may live on."""

    def buildProtocol(self, addr: Any) -> P | None:
        """Return a protocol for the connection with `addr`, its `factory` set; None closes the connection."""
        assert self.protocol is not None, "a factory needs a protocol, or a buildProtocol of its own"
        instance = self.protocol()
        cast("Any", instance).factory = self
        return instance


class ServerFactory(Factory[P]):
    """A factory for accepted connections."""


class ClientFactory(Factory[P]):
    """A factory for connections that a Connector makes, which tells it how each attempt fares."""

    def startedConnecting(self, connector: Any) -> None:
        """Called at the start of each attempt; connector.stopConnecting() gives it up."""

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        """Called when an attempt fails, with a ConnectError or DNSLookupError; connector.connect() tries again."""

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        """Called after the protocol's connectionLost, with its reason; connector.connect() connects again."""


class ReconnectingClientFactory(ClientFactory[P]):
    """A client factory that connects again, each time after a longer delay.

    The delay starts at `initialDelay` seconds and grows by `factor` up to `maxDelay`, with a normally distributed
    `jitter` (a share of the delay; 0 or None for none). After `maxRetries` failures in a row (None: any number) it
    gives up. A protocol whose connection proves good calls resetDelay(). `clock` tells time (None: the reactor).
    """

    maxDelay: float = 3600
    initialDelay: float = 1.0
    factor: float = 2.718281828459045
    jitter: float | None = 0.119626565582
    maxRetries: int | None = None

    delay: float = initialDelay
    retries = 0
    continueTrying = 1
    connector: IConnector | None = None
    clock: IReactorTime | None = None
    _callID: IDelayedCall | None = None

    _CHANGING: ClassVar = frozenset({"connector", "retries", "delay", "continueTrying", "_callID", "clock"})

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        """Try again after the delay."""
        self._tryAgain(connector)

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        """Connect again after the delay."""
        self._tryAgain(connector)

    def _tryAgain(self, connector: IConnector) -> None:
        if self.continueTrying:
            self.connector = connector
            self.retry()

    def retry(self, connector: IConnector | None = None) -> None:
        """Have `connector` (None: the last one) connect after the delay. ValueError if there is none."""
        if not self.continueTrying:
            self._say("Abandoning %r on request", connector)
            return
        connector = connector or self.connector
        if connector is None:
            raise ValueError("no connector to retry")
        self.retries += 1
        if self.maxRetries is not None and self.retries > self.maxRetries:
            self._say("Abandoning %r after %d retries", connector, self.retries)
            return
        if self.jitter:
            self.delay = max(0.0, random.normalvariate(self.delay, self.delay * self.jitter))
        self._say("%r will retry in %.3f seconds", connector, self.delay)
        if self.clock is None:
            self.clock = _current.current()
        self._callID = self.clock.callLater(self.delay, self._connectAgain, connector)
        self.delay = min(self.delay * self.factor, self.maxDelay)

    def _connectAgain(self, connector: IConnector) -> None:
        self._callID = None
        connector.connect()

    def stopTrying(self) -> None:
        """Connect no more: cancels the call to come and stops the attempt under way."""
        if self._callID is not None:
            self._callID.cancel()
            self._callID = None
        self.continueTrying = 0
        if self.connector is not None:
            with suppress(NotConnectingError):
                self.connector.stopConnecting()

    def resetDelay(self) -> None:
        """Start over with `initialDelay` and no retries counted: the connection proved good."""
        self.delay = self.initialDelay
        self.retries = 0
        self._callID = None
        self.continueTrying = 1

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to the running attempts."""
        return {name: value for name, value in self.__dict__.items() if name not in self._CHANGING}

    def _say(self, text: str, *args: object) -> None:
        if self.noisy:
            log.info(text, *args)


class _OneConnectionFactory(ClientFactory[P]):
    """Hands out one protocol, and fires a Deferred on the turn after its connection was made or failed."""

    noisy = False
    pending: IDelayedCall | None = None

    def __init__(self, reactor: IReactorTime, instance: P, deferred: Deferred[P]) -> None:
        self.reactor = reactor
        self.instance = instance
        self.deferred = deferred

    def __repr__(self) -> str:
        return f"<ClientCreator factory: {self.instance!r}>"

    def buildProtocol(self, addr: Any) -> P:
        self._fireLater(self.deferred.callback, self.instance)
        return self.instance

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self._fireLater(self.deferred.errback, reason)

    def _fireLater(self, fire: Callable[[Any], None], result: object) -> None:
        self.pending = self.reactor.callLater(0, self._fire, fire, result)

    def _fire(self, fire: Callable[[Any], None], result: object) -> None:
        self.pending = None
        fire(result)


class ClientCreator(Generic[P]):
    """Makes single client connections, each of which needs no factory of its own.

    Each connectXXX builds `protocolClass(*args, **kwargs)` at once and returns a Deferred that fires with it after its
    connectionMade, or fails as clientConnectionFailed would. Cancelling it before then gives the connection up.
    """

    def __init__(self, reactor: IReactor, protocolClass: Callable[..., P], *args: Any, **kwargs: Any) -> None:
        self.reactor = reactor
        self.protocolClass = protocolClass
        self.args = args
        self.kwargs = kwargs

    def connectTCP(
        self, host: str, port: int, timeout: float | None = 30, bindAddress: tuple[str, int] | None = None
    ) -> Deferred[P]:
        """Connect as reactor.connectTCP does, within `timeout` seconds."""
        return self._connect(
            lambda factory: self.reactor.connectTCP(host, port, factory, timeout=timeout, bindAddress=bindAddress)
        )

    def connectSSL(
        self,
        host: str,
        port: int,
        contextFactory: Any,
        timeout: float | None = 30,
        bindAddress: tuple[str, int] | None = None,
    ) -> Deferred[P]:
        """Connect as reactor.connectSSL does, within `timeout` seconds."""
        return self._connect(
            lambda factory: self.reactor.connectSSL(
                host, port, factory, contextFactory, timeout=timeout, bindAddress=bindAddress
            )
        )

    def connectUNIX(self, address: Any, timeout: float | None = 30, checkPID: bool = False) -> Deferred[P]:
        """Connect as reactor.connectUNIX does, within `timeout` seconds."""
        return self._connect(
            lambda factory: self.reactor.connectUNIX(address, factory, timeout=timeout, checkPID=checkPID)
        )

    def _connect(self, start: Callable[[ClientFactory[P]], IConnector]) -> Deferred[P]:
        def giveUp(_: Deferred[P]) -> None:
            connector.disconnect()
            if factory.pending is not None:
                factory.pending.cancel()

        deferred: Deferred[P] = Deferred(giveUp)
        factory = _OneConnectionFactory(self.reactor, self.protocolClass(*self.args, **self.kwargs), deferred)
        connector = start(factory)
        return deferred


class AbstractDatagramProtocol:
    """What protocols over datagrams share. `numPorts` counts the ports that use it; `noisy` logs first and last."""

    transport: Any = None
    numPorts = 0
    noisy = True

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the transport."""
        return {**self.__dict__, "transport": None}

    def doStart(self) -> None:
        """Called by makeConnection; the first port brings startProtocol."""
        if not self.numPorts:
            if self.noisy:
                log.info("Starting protocol %r", self)
            self.startProtocol()
        self.numPorts += 1

    def doStop(self) -> None:
        """Called by a port as it ends; the last brings stopProtocol."""
        assert self.numPorts > 0, "the protocol has no port"
        self.numPorts -= 1
        self.transport = None
        if not self.numPorts:
            if self.noisy:
                log.info("Stopping protocol %r", self)
            self.stopProtocol()

    def startProtocol(self) -> None:
        """Called once, when the first transport is there."""

    def stopProtocol(self) -> None:
        """Called once, when the last transport has gone."""

    def makeConnection(self, transport: Any) -> None:
        """Called by a port, once at a time: sets `transport`."""
        assert self.transport is None, "the protocol has a transport"
        self.transport = transport
        self.doStart()

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """Called with each datagram, whole, and the (host, port) it came from.

        From a UNIX socket: with the path or abstract name of the sender, None if it has none.
        """

    def datagramLengthExceeded(self, datagram: bytes, addr: Any) -> None:
        """Called instead if it is longer than the port's maxPacketSize. The port has counted and logged it.

        `datagram` is whole; only over a UNIX socket may it be longer still than the 64 KiB that are read at least.
        """


class DatagramProtocol(AbstractDatagramProtocol):
    """Base of protocols over UDP."""

    def logPrefix(self) -> str:
        """Return the name that stands for this protocol in log messages."""
        return type(self).__name__

    def connectionRefused(self) -> None:
        """Called on a connected port when an earlier datagram was answered with "port unreachable" (RFC 1122)."""


class ConnectedDatagramProtocol(DatagramProtocol):
    """Base of protocols over a UNIX datagram socket with one peer."""

    def datagramReceived(self, datagram: bytes) -> None:  # type: ignore[override]  # the model has it so
        """Called with each datagram from the peer, whole."""

    def datagramLengthExceeded(self, datagram: bytes) -> None:  # type: ignore[override]  # as above
        """Called instead if it is longer than the port's maxPacketSize."""

    def connectionFailed(self, failure: Failure) -> None:
        """Called once, instead of startProtocol, if there is nobody to connect to: an OSError or CannotListenError."""


class ProcessProtocol(BaseProtocol):
    """Base of protocols to a child process: what comes from its descriptors, and how it ends."""

    transport: Any = None

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """Called with what the child wrote to its descriptor `childFD`; passes 1 and 2 to outReceived, errReceived."""
        if childFD == 1:
            self.outReceived(data)
        elif childFD == 2:
            self.errReceived(data)

    def outReceived(self, data: bytes) -> None:
        """Called with what the child wrote to its standard output."""

    def errReceived(self, data: bytes) -> None:
        """Called with what the child wrote to its standard error."""

    def childConnectionLost(self, childFD: int) -> None:
        """Called once for each descriptor of the child that is closed; passes 0, 1, 2 to in-, out-,
        errConnectionLost.
        """
        if childFD == 0:
            self.inConnectionLost()
        elif childFD == 1:
            self.outConnectionLost()
        elif childFD == 2:
            self.errConnectionLost()

    def inConnectionLost(self) -> None:
        """Called once, when the child's standard input is closed."""

    def outConnectionLost(self) -> None:
        """Called once, when the child's standard output is closed."""

    def errConnectionLost(self) -> None:
        """Called once, when the child's standard error is closed."""

    def processExited(self, reason: Failure) -> None:
        """Called once, when the child has exited; `reason` holds ProcessDone or ProcessTerminated."""

    def processEnded(self, reason: Failure) -> None:
        """Called once, last: the child has exited and all its descriptors are closed."""


class FileWrapper:
    """A transport over a file opened for bytes: what the protocol writes goes to the file, at once.

    It reads nothing: whoever has the input calls the protocol's dataReceived. An OSError or ValueError of the file is
    given to handleException and closes nothing by itself; `closed` and `disconnecting` tell of loseConnection.
    """

    closed = 0
    connected = 1
    disconnected = 0
    disconnecting = 0
    producer: Any = None
    streamingProducer: bool | int = 0

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def write(self, data: bytes) -> None:
        """Write `data` to the file. After loseConnection it is dropped."""
        if self.closed:
            return
        try:
            self.file.write(data)
        except (OSError, ValueError):
            self.handleException()

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Write the joined pieces of `iovec`."""
        self.write(b"".join(iovec))

    def loseConnection(self) -> None:
        """Close the file. Closing again does nothing."""
        if self.closed:
            return
        self.closed = self.disconnecting = self.disconnected = 1
        self.connected = 0
        try:
            self.file.close()
        except OSError:
            self.handleException()
        producer, self.producer = self.producer, None
        if producer is not None:
            producer.stopProducing()

    def abortConnection(self) -> None:
        """Close the file: nothing waits to be sent."""
        self.loseConnection()

    def getPeer(self) -> tuple[str, str]:
        """Return ("file", "file")."""
        return "file", "file"

    def getHost(self) -> str:
        """Return "file"."""
        return "file"

    def handleException(self) -> None:
        """Called inside the except block of a failed write or close. Logs it; override to do more."""
        log.exception("A file behind a FileWrapper failed")

    def registerProducer(self, producer: Any, streaming: bool | int) -> None:
        """Attach a producer. A pull producer is asked once here and again at each resumeProducing of the file."""
        if self.producer is not None:
            raise RuntimeError(f"cannot register {producer!r}: {self.producer!r} was never unregistered")
        if self.closed:
            producer.stopProducing()
            return
        self.producer = producer
        self.streamingProducer = streaming
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """Detach the producer."""
        self.producer = None

    def stopConsuming(self) -> None:
        """Detach the producer and close the file."""
        self.unregisterProducer()
        self.loseConnection()

    def pauseProducing(self) -> None:
        """Does nothing: nothing is read from the file."""

    def resumeProducing(self) -> None:
        """Ask a pull producer for its next piece: the file has taken all there was."""
        if self.producer is not None and not self.streamingProducer:
            self.producer.resumeProducing()

    def stopProducing(self) -> None:
        """Close the file."""
        self.loseConnection()
