"""Factories build protocols for a port or a connector, and hold their common state."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self

from reactor import _current
from reactor._arguments import checkProtocolClass
from reactor._beside import Running, started
from reactor._later import later
from reactor._logger import getLogger
from reactor.error import NotConnectingError
from reactor.interfaces.asking import conform
from reactor.protocol.protocols import BaseProtocol

if TYPE_CHECKING:
    import random
else:
    random = later("random", globals())

if TYPE_CHECKING:
    from reactor.failure import Failure
    from reactor.interfaces import IConnector, IDelayedCall, IReactorTime

if TYPE_CHECKING:
    from typing_extensions import TypeVar  # its default is for type checkers alone; Python has it from 3.13 on

    P = TypeVar("P", bound=BaseProtocol, default=Any)
else:
    from typing import TypeVar

    P = TypeVar("P", bound=BaseProtocol)

log = getLogger("reactor.protocol")


class Factory(Generic[P]):
    """Builds a protocol for each connection, and holds their common state.

    The factory calls `protocol` without arguments for each connection. `numPorts` counts the ports and connectors that
    use the factory. If `noisy` is true, the factory logs when the first begins and the last ends.
    """

    __conform__ = conform

    protocol: Callable[..., P] | None = None
    numPorts = 0
    noisy = True

    @classmethod
    def forProtocol(cls, protocol: Callable[..., P] | None, *args: Any, **kwargs: Any) -> Self:
        """Return cls(*args, **kwargs) with its `protocol` set. None means that the program sets it later.

        TypeError if the factory does not take these arguments, or if `protocol` cannot be called.
        """
        checkProtocolClass(protocol)
        if (args or kwargs) and cls.__init__ is object.__init__ and cls.__new__ in (object.__new__, Generic.__new__):
            given = getattr(protocol, "__name__", protocol)
            raise TypeError(
                f"the arguments of forProtocol are for {cls.__name__}(), which takes none; "
                f"for those of the protocol: forProtocol(functools.partial({given}, ...))"
            )
        factory = cls(*args, **kwargs)
        factory.protocol = protocol
        return factory

    def logPrefix(self) -> str:
        """Return the factory's name for log messages."""
        return type(self).__name__

    def doStart(self) -> Running | None:
        """Each port and connector calls this as it begins; the first call calls startFactory.

        If startFactory returns a coroutine, doStart starts it and returns it to the port or connector, which handles
        its failure.
        """
        running = None
        if not self.numPorts:
            if self.noisy:
                log.info("Starting factory %r", self)
            running = started(self.startFactory())
        self.numPorts += 1
        return running

    def doStop(self) -> Running | None:
        """Each port and connector calls this as it ends; the last call calls stopFactory. Silent if none is left.

        The result is as of doStart, for stopFactory.
        """
        if self.numPorts == 0:
            return None
        self.numPorts -= 1
        if self.numPorts:
            return None
        if self.noisy:
            log.info("Stopping factory %r", self)
        return started(self.stopFactory())

    def startFactory(self) -> Any:
        """Called before the first port or connector begins: the place to open common resources."""

    def stopFactory(self) -> Any:
        """Called when the last port or connector has ended; accepted connections may live on."""

    def buildProtocol(self, addr: Any) -> P | None:
        """Return a protocol for the connection with `addr`, with its `factory` set; None closes the connection."""
        protocol = self.protocol
        assert protocol is not None, "a factory needs a protocol, or a buildProtocol of its own"
        instance = protocol()
        instance.factory = self  # type: ignore[attr-defined]  # cast() would be a call for each connection
        return instance


class ServerFactory(Factory[P]):
    """A factory for accepted connections."""


class ClientFactory(Factory[P]):
    """A factory for client connections. The Connector calls its methods about each attempt."""

    def startedConnecting(self, connector: Any) -> Any:
        """Called at the start of each attempt; connector.stopConnecting() ends the attempt."""

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> Any:
        """Called when an attempt fails, with a ConnectError or DNSLookupError; connector.connect() tries again."""

    def clientConnectionLost(self, connector: Any, reason: Failure) -> Any:
        """Called after the protocol's connectionLost, with its reason; connector.connect() connects again."""


class ReconnectingClientFactory(ClientFactory[P]):
    """A client factory that connects again, each time after a longer delay.

    The delay starts at `initialDelay` seconds and grows by `factor` up to `maxDelay`. Its `jitter` is a share of the
    delay, normally distributed; 0 or None means none. After `maxRetries` failures in a row (None: any number) the
    factory gives up. A protocol whose connection proves good calls resetDelay(). `clock` has callLater; None means the
    reactor.
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
    _callID: IDelayedCall | None = None  # the latest of `_pending`
    _pending: dict[int, IDelayedCall] | None = None  # the pending calls, by their connectors' id()

    _CHANGING: ClassVar = frozenset({"connector", "retries", "delay", "continueTrying", "_callID", "_pending", "clock"})

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
        """Have `connector` (None: the last one) connect after the delay. ValueError if there is none.

        This replaces a pending call for the same connector.
        """
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
        if self._pending is None:
            self._pending = {}
        before = self._pending.pop(id(connector), None)
        if before is not None:
            before.cancel()
        self._callID = self._pending[id(connector)] = self.clock.callLater(self.delay, self._connectAgain, connector)
        self.delay = min(self.delay * self.factor, self.maxDelay)

    def _connectAgain(self, connector: IConnector) -> None:
        pending = self._pending
        if pending is not None and pending.pop(id(connector), None) is self._callID:
            self._callID = None
        connector.connect()

    def stopTrying(self) -> None:
        """Connect no more: cancel the pending calls and stop the present attempt."""
        self._callID = None
        pending, self._pending = self._pending, None
        for call in (pending or {}).values():
            call.cancel()
        self.continueTrying = 0
        if self.connector is not None:
            with suppress(NotConnectingError):
                self.connector.stopConnecting()

    def resetDelay(self) -> None:
        """Start over with `initialDelay` and no retries counted, because the connection proved good.

        A pending call stays, and stopTrying() cancels it.
        """
        self.delay = self.initialDelay
        self.retries = 0
        self.continueTrying = 1

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the state of the running attempts."""
        return {name: value for name, value in self.__dict__.items() if name not in self._CHANGING}

    def _say(self, text: str, *args: object) -> None:
        if self.noisy:
            log.info(text, *args)
