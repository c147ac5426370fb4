"""Name resolvers of both kinds, and adapters between them.

The older kind (IResolver) gives one address of a name, as text. The newer one (IHostnameResolver) calls a receiver with
every address, as an address object, and then once for the end. A reactor has one of each. Installing one also makes the
other from it, so all look-ups have the same answers.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from reactor._beside import beside
from reactor._logger import getLogger
from reactor.address import fromSocketName, hostText, ipv6Name, isIPAddress, isIPv6Address
from reactor.defer import Deferred, maybeDeferred
from reactor.error import DNSLookupError
from reactor.failure import Failure
from reactor.interfaces import IHostnameResolver, IReactorTime, IResolutionReceiver, IResolver

log = getLogger("reactor")

_FAMILIES = {"IPv4Address": socket.AF_INET, "IPv6Address": socket.AF_INET6}


class HostResolution:
    """A look-up of `name`. `error`: the reason for no address, after its end."""

    def __init__(self, name: str, cancel: Callable[[], object]) -> None:
        self.name = name
        self.error: BaseException | None = None
        self._cancel = cancel

    def cancel(self) -> None:
        """Cancel it: the receiver gets the call for the end."""
        self._cancel()


def answer(receiver: IResolutionReceiver, name: str, addresses: Deferred[list[Any]]) -> HostResolution:
    """Give `receiver` the `addresses` when they are there; return the resolution. A failure means no address."""
    resolution = HostResolution(name, addresses.cancel)
    told: Any = receiver  # its methods return a coroutine if they are an async def
    beside(told.resolutionBegan(resolution))

    def found(them: list[Any]) -> None:
        for address in them:
            beside(told.addressResolved(address))

    def failed(failure: Failure) -> None:
        resolution.error = failure.value

    addresses.addErrback(failed).addCallback(lambda them: found(them or []))
    addresses.addCallback(lambda _: beside(told.resolutionComplete()))
    addresses.addErrback(lambda failure: log.error("a resolution receiver failed", exc_info=failure.value))
    return resolution


def familyOf(addressTypes: Sequence[type] | None) -> int:
    """Return the address family of `addressTypes` (None: any), 0 for any."""
    if addressTypes is None:
        return 0
    try:
        families = {_FAMILIES[each.__name__] for each in addressTypes}
    except (KeyError, AttributeError):
        families = set()
    if not families:
        raise ValueError(f"addressTypes are of IPv4Address and IPv6Address, not {addressTypes!r}")
    return 0 if len(families) == 2 else int(families.pop())


class _Collector:
    """An IResolutionReceiver: `done` has all addresses, or fails with DNSLookupError. Cancel it to end the look-up."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._resolution: Any = None
        self._addresses: list[Any] = []
        self.done: Deferred[list[Any]] = Deferred(self._cancelled)

    def resolutionBegan(self, resolution: Any) -> None:
        self._resolution = resolution

    def addressResolved(self, address: Any) -> None:
        self._addresses.append(address)

    def resolutionComplete(self) -> None:
        if self.done.called:
            return
        if self._addresses:
            self.done.callback(self._addresses)
        else:
            error = getattr(self._resolution, "error", None)
            self.done.errback(error or DNSLookupError(f"{self._name!r} has no address"))

    def _cancelled(self, _: Deferred[list[Any]]) -> None:
        cancel = getattr(self._resolution, "cancel", None)
        if cancel is not None:
            with suppress(Exception):  # some resolvers cannot, as Twisted's own, and the caller no longer waits
                cancel()


def addressesOf(
    resolver: IHostnameResolver, name: str | bytes, port: int, addressTypes: Sequence[type] | None = None
) -> Deferred[list[Any]]:
    """Return a Deferred of the address objects of `resolver` for `name`; DNSLookupError if there are none.

    An exception of the resolver fails it.
    """
    collector = _Collector(hostText(name))

    def failed(failure: Failure) -> None:
        if not collector.done.called:
            collector.done.errback(failure)

    try:
        asked = resolver.resolveHostName(collector, hostText(name), portNumber=port, addressTypes=addressTypes)
        beside(asked, failed)
    except Exception:
        failed(Failure())
    return collector.done


class OfSimple:
    """The IHostnameResolver over an IResolver, for installResolver: one address for each name."""

    def __init__(self, simple: IResolver) -> None:
        self.simple = simple

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str | bytes,
        portNumber: int = 0,
        addressTypes: Sequence[type] | None = None,
        transportSemantics: str = "TCP",
    ) -> HostResolution:
        """See IHostnameResolver."""
        family, name = familyOf(addressTypes), hostText(hostName)

        def made(address: str) -> list[Any]:
            found, socketName = targetOf(address, portNumber)
            kind: Any = transportSemantics
            return [fromSocketName(found, socketName, kind)] if family in (0, found) else []

        return answer(resolutionReceiver, name, maybeDeferred(self.simple.getHostByName, name).addCallback(made))


class OfNameResolver:
    """The IResolver over an IHostnameResolver, for installNameResolver: one address, IPv4 if possible."""

    def __init__(self, nameResolver: IHostnameResolver, clock: IReactorTime) -> None:
        self.nameResolver = nameResolver
        self._clock = clock

    def getHostByName(self, name: str, timeout: Any = (1, 3, 11, 45)) -> Deferred[str]:
        """See IResolver."""
        seconds = totalOf(timeout)
        found = addressesOf(self.nameResolver, name, 0).addTimeout(seconds, self._clock, _noAnswer)
        return found.addCallback(_preferIPv4)


def _noAnswer(_: object, timeout: float) -> None:
    raise DNSLookupError(f"no answer in {timeout:g} s")


def _preferIPv4(addresses: list[Any]) -> str:
    return str(min(addresses, key=lambda address: not isIPAddress(address.host)).host)


def targetOf(address: str, port: int) -> tuple[int, Any]:
    """Return (address family, socket name) of a literal address. DNSLookupError if it is none."""
    try:
        if isIPAddress(address):
            return int(socket.AF_INET), (hostText(address), port)
        if isIPv6Address(address):
            return int(socket.AF_INET6), ipv6Name(hostText(address), port)
    except (TypeError, OSError):
        pass
    raise DNSLookupError(f"the resolver's answer {address!r} is not an address")


def targetsOf(resolver: IHostnameResolver, name: str | bytes, port: int) -> Deferred[list[tuple[int, Any]]]:
    """Return a Deferred of the (address family, socket name) pairs of `resolver` for `name`."""
    found = addressesOf(resolver, name, port)
    return found.addCallback(lambda them: [targetOf(each.host, each.port) for each in them])


def totalOf(timeout: Any) -> float:
    """Return the sum of a resolver's `timeout`, one number of seconds or several."""
    return float(sum(timeout)) if isinstance(timeout, (tuple, list)) else float(timeout)
