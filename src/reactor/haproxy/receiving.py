"""The receiving side of the PROXY protocol: the factory around a program's own, for listening ports.

Nothing is guessed, and nothing is believed of a stranger. A connection from a trusted network must begin with a header;
one from elsewhere is reset, unread. The program's factory builds its protocol behind the header, with the client's
address. So getPeer() is right in connectionMade, and policies around that factory see clients, not the balancer.

After the header, the reader gives its place to the protocol. The transport is the same object as without the header,
so the path of a line is the same too. Only a transport of another package keeps a wrapper between.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from reactor import _current
from reactor._arguments import checkCount, checkFactory, checkSeconds
from reactor._beside import refused
from reactor._closing import closeFor, goesOn
from reactor._logger import getLogger
from reactor.error import ConnectionAborted, ConnectionUnwanted
from reactor.failure import Failure
from reactor.haproxy.header import InvalidProxyHeader, ProxyHeader
from reactor.haproxy.parser import MAX_V2, HeaderParser
from reactor.haproxy.trust import LOCAL, TrustedNetworks
from reactor.interfaces import IDelayedCall, IProtocolFactory
from reactor.policies.wrapping import ProtocolWrapper
from reactor.protocol import Protocol, connectionDone
from reactor.transports.handover import baseOf, handOver, lowestOf, standFor

log = getLogger("reactor.haproxy")

HEADER_TIMEOUT = 5.0  # seconds; the specification wants at least 3, for a retransmission of TCP

UNTRUSTED = "untrusted"
INVALID = "invalid"
TIMEOUT = "timeout"
UNFINISHED = "unfinished"


class ProxyRefused(ConnectionAborted):
    """This side has reset the connection: its peer is not trusted, or has sent no good header of the PROXY protocol."""


class HAProxyWrappingFactory:
    """A factory for listening ports whose connections begin with a header of the PROXY protocol.

    It calls buildProtocol of `wrappedFactory` behind each header, with the client's address. `transport.proxyHeader` is
    the ProxyHeader. getPeer() and getHost() return its addresses, or the real ones if it names none.

    - `trusted`: the networks to believe, see TrustedNetworks; by default those of this machine alone.
    - `headerTimeout`: seconds for the whole header, more than 0.
    - `maxHeaderLength`: bytes of a header of version 2.
    - `versions`: the accepted ones.

    `refused` counts the connections that are reset, by reason: "untrusted", "invalid" and "timeout". Its "unfinished"
    are those that the peer has closed before a header's end. The log has one record for the first, tenth, hundredth,
    and so on, of a reason.
    """

    def __init__(
        self,
        wrappedFactory: IProtocolFactory,
        trusted: Iterable[str] = LOCAL,
        headerTimeout: float = HEADER_TIMEOUT,
        maxHeaderLength: int = MAX_V2,
        versions: Iterable[int] = (1, 2),
    ) -> None:
        checkFactory(wrappedFactory)
        checkSeconds(headerTimeout, "a headerTimeout")
        if not 0 < headerTimeout < math.inf:
            raise ValueError(f"a headerTimeout is a positive number of seconds, not {headerTimeout!r}")
        checkCount(maxHeaderLength, "a maxHeaderLength")
        self.wrappedFactory = wrappedFactory
        self.trusted = TrustedNetworks(trusted)
        self.headerTimeout = headerTimeout
        self.maxHeaderLength = maxHeaderLength
        self.versions = checkVersions(versions)
        self.refused = dict.fromkeys((UNTRUSTED, INVALID, TIMEOUT, UNFINISHED), 0)

    def logPrefix(self) -> str:
        """Return the wrapped factory's name for log messages, with PROXY."""
        name = getattr(self.wrappedFactory, "logPrefix", None)
        return f"{type(self.wrappedFactory).__name__ if name is None else name()} (PROXY)"

    def doStart(self) -> Any:
        """Passed on."""
        return self.wrappedFactory.doStart()

    def doStop(self) -> Any:
        """Passed on."""
        return self.wrappedFactory.doStop()

    def buildProtocol(self, addr: Any) -> Any:
        """Return a protocol that reads the header, or resets the connection of a peer that is not trusted."""
        if addr in self.trusted:
            return HeaderReader(self, addr)
        self.count(UNTRUSTED, addr, f"it is not in {self.trusted}")
        return _Refusal()

    def count(self, reason: str, peer: Any, why: object) -> None:
        """Count a refused connection. A flood of them has few records."""
        self.refused[reason] += 1
        number = self.refused[reason]
        if number == 10 ** (len(str(number)) - 1):
            log.info("PROXY protocol: %d refused as %s; the last one is %s: %s", number, reason, peer, why)


def checkVersions(versions: Iterable[int]) -> tuple[int, ...]:
    """Return `versions` as a tuple. ValueError unless they are some of 1 and 2."""
    found = tuple(versions)
    if not found or not set(found) <= {1, 2}:
        raise ValueError(f"the versions of the PROXY protocol are 1 and 2, not {found!r}")
    return found


class _Refusal(Protocol):
    """Resets its connection."""

    def connectionMade(self) -> None:
        reset(self.transport, UNTRUSTED)


class HAProxyProtocolWrapper(ProtocolWrapper):
    """Stands between a transport of another package and a protocol, with the addresses of `proxyHeader`."""

    def __init__(self, factory: Any, wrappedProtocol: Any, header: ProxyHeader) -> None:
        super().__init__(factory, wrappedProtocol)
        self.proxyHeader = header

    def getPeer(self) -> Any:
        """Return the client's address, or the transport's if the header names none."""
        return self.proxyHeader.source or super().getPeer()

    def getHost(self) -> Any:
        """Return the address that the client has connected to, or the transport's if the header names none."""
        return self.proxyHeader.destination or super().getHost()


class HeaderReader(Protocol):
    """Reads the header of one connection, and gives way to the program's protocol.

    On a transport of another package it stays, and `wrappedProtocol` is what stands behind it.
    """

    transport: Any
    wrappedProtocol: Any = None

    def __init__(self, factory: HAProxyWrappingFactory, addr: Any) -> None:
        self.factory = factory
        self._addr = addr
        self._parser: HeaderParser | None = HeaderParser(factory.versions, factory.maxHeaderLength)
        self._deadline: IDelayedCall | None = None

    @property
    def isAccepting(self) -> bool:
        """Whether the header is still to come."""
        return self._parser is not None

    def connectionMade(self) -> None:
        """Begin to wait."""
        seconds = self.factory.headerTimeout
        why = f"no whole header in {seconds:g} s"
        connection = lowestOf(self.transport)
        reactor = _current.current() if connection is None else connection.reactor
        self._deadline = reactor.callLater(seconds, self._refuse, TIMEOUT, why)

    def dataReceived(self, data: bytes) -> Any:
        """Take a part of the header; behind the header, on a transport of another package, pass data on."""
        if self._parser is None:
            return None if self.wrappedProtocol is None else self.wrappedProtocol.dataReceived(data)
        try:
            found = self._parser.feed(data)
        except InvalidProxyHeader as error:
            self._refuse(INVALID, error)
            return None
        if found is None:
            return None
        self._endWaiting()
        return self._giveWay(*found)

    def _giveWay(self, header: ProxyHeader, rest: bytes) -> Any:
        transport, factory = self.transport, self.factory
        protocol = factory.wrappedFactory.buildProtocol(header.source or self._addr)
        if protocol is None:
            return closeFor(transport, ConnectionUnwanted(type(factory.wrappedFactory).__name__))
        refused(protocol, "buildProtocol")
        connection = lowestOf(transport)
        if connection is not None:
            standFor(connection, header, header.source, header.destination)
        else:
            protocol = self.wrappedProtocol = HAProxyProtocolWrapper(_Unregistered, protocol, header)
        return handOver(transport, self, protocol, rest)

    @goesOn
    def connectionLost(self, reason: Failure = connectionDone) -> Any:
        """Called once, last: passed on behind the header."""
        if self.wrappedProtocol is not None:
            return self.wrappedProtocol.connectionLost(reason)
        if self._parser is not None:
            self.factory.count(UNFINISHED, self._addr, "it has ended before a whole header")
            self._endWaiting()
        return None

    def connectionNotMade(self) -> None:
        """Called by transports in place of makeConnection if the connection is lost before it."""

    def _refuse(self, reason: str, why: object) -> None:
        self.factory.count(reason, self._addr, why)
        self._endWaiting()
        reset(self.transport, reason)

    def _endWaiting(self) -> None:
        self._parser = None
        deadline, self._deadline = self._deadline, None
        if deadline is not None and deadline.active():
            deadline.cancel()


class _NoRegister:
    """The factory of a wrapper that no table knows."""

    def registerProtocol(self, wrapper: Any) -> None:
        """Do nothing."""

    def unregisterProtocol(self, wrapper: Any) -> None:
        """Do nothing."""


_Unregistered = _NoRegister()


def reset(transport: Any, why: str) -> None:
    """Reset the connection of `transport`, because of `why`, or close it if the transport has no such method."""
    base: Any = baseOf(transport)
    if base is not None:
        base._abort(ProxyRefused(why))
        return
    getattr(transport, "abortConnection", transport.loseConnection)()
