"""ClientCreator: one client connection, without a factory of the program's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from reactor._arguments import checkProtocolClass
from reactor._defaults import CONNECT_TIMEOUT
from reactor.defer import Deferred
from reactor.protocol.factories import ClientFactory
from reactor.protocol.protocols import BaseProtocol

if TYPE_CHECKING:
    from reactor.failure import Failure
    from reactor.interfaces import IConnector, IDelayedCall, IReactor, IReactorTime

P = TypeVar("P", bound=BaseProtocol)


class _InstanceFactory(ClientFactory[P]):
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
    """Makes single client connections, without a factory for each.

    Each connectXXX builds `protocolClass(*args, **kwargs)` at once. It returns a Deferred that fires with the protocol
    after its connectionMade. The Deferred fails with the error that clientConnectionFailed would get. Cancelling it
    before then gives the connection up.
    """

    def __init__(self, reactor: IReactor, protocolClass: Callable[..., P] | None, *args: Any, **kwargs: Any) -> None:
        checkProtocolClass(protocolClass)
        self.reactor = reactor
        # None is allowed here until the program knows the class.
        self.protocolClass: Callable[..., P] = protocolClass  # type: ignore[assignment]
        self.args = args
        self.kwargs = kwargs

    def connectTCP(
        self, host: str | bytes, port: int, timeout: float | None = CONNECT_TIMEOUT, bindAddress: Any = None
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
        timeout: float | None = CONNECT_TIMEOUT,
        bindAddress: Any = None,
    ) -> Deferred[P]:
        """Connect as reactor.connectSSL does, within `timeout` seconds."""
        return self._connect(
            lambda factory: self.reactor.connectSSL(
                host, port, factory, contextFactory, timeout=timeout, bindAddress=bindAddress
            )
        )

    def connectUNIX(self, address: Any, timeout: float | None = CONNECT_TIMEOUT, checkPID: bool = False) -> Deferred[P]:
        """Connect as reactor.connectUNIX does, within `timeout` seconds."""
        return self._connect(
            lambda factory: self.reactor.connectUNIX(address, factory, timeout=timeout, checkPID=checkPID)
        )

    def _connect(self, start: Callable[[ClientFactory[P]], IConnector]) -> Deferred[P]:
        def giveUp(_: Deferred[P]) -> None:
            connector.disconnect()
            if factory.pending is not None:
                factory.pending.cancel()

        if self.protocolClass is None:
            raise TypeError("this ClientCreator has no protocolClass yet")
        deferred: Deferred[P] = Deferred(giveUp)
        factory = _InstanceFactory(self.reactor, self.protocolClass(*self.args, **self.kwargs), deferred)
        connector = start(factory)
        return deferred
