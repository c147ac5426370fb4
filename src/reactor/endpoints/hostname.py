"""HostnameEndpoint: happy eyeballs (RFC 8305).

The endpoint tries every address of the name, the families in turn, beginning with that of the best address. An attempt
has a quarter of a second before the next begins beside it. When one fails, the next begins at once. The first
connection wins, and the other attempts are cancelled. Only the winner asks the factory for a protocol.
"""

from __future__ import annotations

import itertools
from typing import Any

from reactor._arguments import checkFactory
from reactor._beside import beside
from reactor._defaults import CONNECT_TIMEOUT
from reactor.address import (
    HostnameAddress,
    IPv4Address,
    IPv6Address,
    destinationOf,
    hostText,
    isIPAddress,
    isIPv6Address,
)
from reactor.defer import Deferred, maybeDeferred, succeed
from reactor.endpoints.streams import TCP4ClientEndpoint, atPort, bindPair, lookUpWithin
from reactor.error import ConnectingCancelledError, DNSLookupError
from reactor.failure import Failure
from reactor.interfaces import IDelayedCall, IProtocolFactory, IReactor
from reactor.interfaces.asking import conform
from reactor.transports.binding import BindAddress

ATTEMPT_DELAY = 0.25  # RFC 8305, section 5


class HostnameEndpoint:
    """Connects to `host`, a name or a literal address, over IPv6 or IPv4, whichever answers first.

    - `timeout`: seconds, for the look-up and again for each address.
    - `attemptDelay`: seconds until the next address is tried beside one (None: ATTEMPT_DELAY).
    - `bindAddress`: (host, port) of this side, its host alone, or a makeBinding().
    - `hostname`: `host` as a str, the name that TLS verifies.
    """

    __conform__ = conform

    def __init__(
        self,
        reactor: IReactor,
        host: str | bytes,
        port: int,
        timeout: float = CONNECT_TIMEOUT,
        bindAddress: BindAddress | None = None,
        attemptDelay: float | None = None,
    ) -> None:
        self._reactor = reactor
        self.hostname = hostText(host)
        self._port = port
        self._timeout = timeout
        self._bindAddress = bindPair(bindAddress)
        self._attemptDelay = ATTEMPT_DELAY if attemptDelay is None else attemptDelay

    def __repr__(self) -> str:
        return f"<HostnameEndpoint {atPort(self.hostname, self._port)}>"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Connect once; return a Deferred of the protocol, which fires after its connectionMade.

        `protocolFactory` builds the protocol. The Deferred fails with DNSLookupError, or with the last attempt's
        failure. For the rest see TCP4ClientEndpoint.connect.
        """
        destination = destinationOf(self.hostname, self._port)
        race = _Race(self._reactor, protocolFactory, self._attemptDelay, destination)
        return race.start(maybeDeferred(self._lookUp), self._endpointTo)

    def _lookUp(self) -> Deferred[list[Any]]:
        if isIPAddress(self.hostname):
            return succeed([IPv4Address("TCP", self.hostname, self._port)])
        if isIPv6Address(self.hostname):
            return succeed([IPv6Address("TCP", self.hostname, self._port)])
        return lookUpWithin(self._reactor, self.hostname, self._port, self._timeout)

    def _endpointTo(self, address: Any) -> TCP4ClientEndpoint:
        return TCP4ClientEndpoint(self._reactor, address.host, address.port, self._timeout, self._bindAddress)


def interleaved(addresses: list[Any]) -> list[Any]:
    """Return the address objects, each host once, with the two families in turn (RFC 8305, section 4)."""
    families: tuple[list[Any], list[Any]] = ([], [])
    for host, address in {address.host: address for address in addresses}.items():
        families[isIPv6Address(host) != isIPv6Address(addresses[0].host)].append(address)
    return [address for pair in itertools.zip_longest(*families) for address in pair if address is not None]


class _Race:
    """One connect(): its attempts and their results. The attempts use it in place of the program's factory.

    It starts the program's factory once, for the whole race.
    """

    def __init__(
        self, reactor: IReactor, factory: IProtocolFactory, attemptDelay: float, destination: HostnameAddress
    ) -> None:
        checkFactory(factory, "ClientFactory")
        self._reactor = reactor
        self._factory = factory
        self._delay = attemptDelay
        self._destination = destination
        self._left: list[Any] = []
        self._pending: list[Deferred[Any]] = []
        self._next: IDelayedCall | None = None
        self._racing = False
        self._decided = False
        self._result: Deferred[Any] = Deferred(self._cancelled)

    def start(self, lookup: Deferred[list[Any]], endpointTo: Any) -> Deferred[Any]:
        self._pending.append(lookup)
        lookup.addCallback(lambda found: self._begin([endpointTo(address) for address in interleaved(found)]))
        lookup.addErrback(self._finish)
        return self._result

    # The factory of the attempts.

    def doStart(self) -> Any:
        return self._factory.doStart()

    def doStop(self) -> Any:
        return self._factory.doStop()

    def buildProtocol(self, addr: Any) -> Any:
        """Called for the first connection. There is no second call, whatever its result."""
        self._decided = True
        return self._factory.buildProtocol(addr)

    # The race.

    def _begin(self, endpoints: list[TCP4ClientEndpoint]) -> None:
        if not endpoints:
            raise DNSLookupError(f"no address for {self._destination.hostname.decode('ascii', 'replace')!r}")
        self._pending.clear()
        self._left = endpoints
        starting: Any = self._factory.doStart()
        if starting is not None:
            beside(starting, self._startFailed)
        self._racing = True
        self._tryNext()

    def _tryNext(self) -> None:
        self._stopWaiting()
        attempt = self._left.pop(0).connect(self)
        self._pending.append(attempt)
        if self._left:
            self._next = self._reactor.callLater(self._delay, self._tryNext)
        attempt.addCallbacks(self._won, self._lost, callbackArgs=(attempt,), errbackArgs=(attempt,))

    def _won(self, protocol: Any, attempt: Deferred[Any]) -> None:
        self._pending.remove(attempt)
        self._end(protocol)

    def _lost(self, failure: Failure, attempt: Deferred[Any]) -> None:
        if attempt not in self._pending:
            return  # cancelled
        self._pending.remove(attempt)
        if self._decided or not (self._left or self._pending):
            self._end(failure)
        elif self._left:
            self._tryNext()

    def _end(self, result: Any) -> None:
        self._giveUpAll()
        self._finish(result)
        self._endRacing()

    def _finish(self, result: Any) -> None:
        if not self._result.called:
            self._result.callback(result)

    def _giveUpAll(self) -> None:
        self._stopWaiting()
        self._left = []
        pending, self._pending = self._pending, []
        for attempt in pending:
            attempt.cancel()

    def _stopWaiting(self) -> None:
        waiting, self._next = self._next, None
        if waiting is not None and waiting.active():
            waiting.cancel()

    def _cancelled(self, result: Deferred[Any]) -> None:
        result.errback(ConnectingCancelledError(self._destination))
        self._giveUpAll()
        self._endRacing()

    def _endRacing(self) -> None:
        if self._racing:
            self._racing = False
            beside(self._factory.doStop())

    def _startFailed(self, failure: Failure) -> None:
        """End the race, because startFactory was a coroutine and has failed: the same as if it had raised."""
        self._giveUpAll()
        self._finish(failure)
        self._endRacing()
