"""startTLS for transports: the connection goes on, TLS from here on.

All bytes read so far were plain, and must not count as protected (CVE-2011-0411). If the protocol still has some of
them to deliver, the connection is refused. It is refused as well if plain bytes come in the place of the handshake.

The transport that the protocol had becomes two. A copy of it keeps the socket and the unsent output, in plain, and
carries the TLS connection. The old object becomes a stand-in (protocol/standins.py) for the TLS connection. So an
object that still holds it, for example a producer, writes and pauses there. A reference that went on writing plain
bytes between the records would be worse than one that does nothing.
"""

from __future__ import annotations

import functools
from typing import Any, cast

from reactor.error import SSLError
from reactor.linecore import UNLIMITED
from reactor.protocol.standins import StandIn, behind
from reactor.tlsoptions import ContextFactory, checkContext, defaultClientContext
from reactor.transports.output import OPEN
from reactor.transports.stream import Connection
from reactor.transports.tls.connection import TLSConnection
from reactor.transports.tls.layer import PLAIN_BYTES, undelivered


class StartTLSMixin:
    """startTLS for the Connection of a family. A client's connection may have `hostname`, the host it connects to."""

    __slots__ = ()

    TLS = False

    @property
    def _hasConnected(self) -> bool:
        """Whether this side has connected, not accepted: then a Connector follows the connection."""
        return cast("Connection", self).ended is not None

    def startTLS(
        self, contextFactory: ContextFactory | None = None, normal: bool = True, hostname: str | None = None
    ) -> None:
        """Go on with TLS: as client if this side has connected, and as server if it has accepted.

        If `normal` is false, it is the other way round. Earlier output is sent in plain, later output in TLS.

        `contextFactory` is a context or an object with getContext() (see reactor.tlsoptions); None for a client means
        the system's trust. A client verifies `hostname`, else that of the factory, else the host it has connected to.
        After the handshake the protocol's handshakeCompleted() is called, if it has one. Without a good handshake,
        connectionLost gets SSLError, or TimeoutError after the handshake's deadline.

        The connection is refused, with SSLError, if the protocol has received bytes that it has not delivered: they are
        plain. Its method takeUndelivered() or clearLineBuffer() returns such bytes and forgets them. A protocol of
        yours that keeps bytes should have one of these.

        `protocol.transport` is another object from now on. RuntimeError if there is TLS already or the connection is
        ending; nothing happens if it has ended. ValueError if a certificate or a host name is missing, and for a
        context of the other side. TypeError for an object that is no context factory.
        """
        beginTLS(cast("Connection", self), contextFactory, self._hasConnected == normal, hostname)


def beginTLS(
    connection: Connection, contextFactory: ContextFactory | None, isClient: bool, hostname: str | None
) -> None:
    """See StartTLSMixin.startTLS."""
    if connection.disconnected:
        return
    if connection.disconnecting or connection._writeHalf != OPEN or connection._readHalf != OPEN:
        raise RuntimeError("the connection is ending, it is too late for TLS")
    known = getattr(connection, "hostname", None)
    layer = TLSConnection(
        connection.reactor,
        contextFor(contextFactory, isClient),
        isClient,
        (hostname or hostOf(contextFactory, known)) if isClient else None,
        build=None,
        failed=None,
        ended=connection.ended,
    )
    protocol = layer.protocol = connection.protocol
    layer.setOutputLimits(connection.highWater, connection.outputLimit)
    layer._paused = not connection.reactor.isReading(connection)
    layer.producer = connection.producer
    layer.streamingProducer = connection.streamingProducer
    layer.producerPaused = connection.producerPaused
    if connection._asking is not None:
        connection._stopAsking()
        layer._askLater()
    lower = _replace(connection, layer)
    protocol.transport = layer
    if undelivered(protocol) or lower._unread is not None:
        layer.lower = lower
        layer._abort(SSLError(string=PLAIN_BYTES))
    else:
        layer.makeConnection(lower)


def contextFor(contextFactory: ContextFactory | None, isClient: bool) -> ContextFactory:
    """Return `contextFactory`, or for None a client's default. ValueError for a server that has none."""
    if contextFactory is None:
        if not isClient:
            raise ValueError("a server needs a context with a certificate")
        return defaultClientContext()
    return contextFactory


def askedContext(contextFactory: ContextFactory | None, isClient: bool) -> ContextFactory:
    """Return the result of contextFor, checked at once: errors as for tlsoptions.checkContext."""
    return checkContext(contextFor(contextFactory, isClient), isClient)


def hostOf(contextFactory: ContextFactory | None, known: str | None) -> str | None:
    """Return the host name that a client verifies: the factory's `hostname` if it has one, else `known`."""
    return getattr(contextFactory, "hostname", None) or known


def _replace(connection: Connection, layer: TLSConnection) -> Connection:
    """Return a copy of `connection` that owns its socket and carries `layer`. The old object becomes a stand-in."""
    reactor = connection.reactor
    lower = _copyOf(connection)
    reactor.addReader(lower)  # first, as the system may refuse it; nothing has happened then
    reactor.removeReader(connection)
    reactor.removeWriter(connection)
    reactor.replaced(connection, lower)
    connection._cancelRest()
    lower._rest = None
    lower.protocol = layer
    lower.producer = None
    lower.producerPaused = False
    lower.ended = None
    connection.protocol = layer
    kind: Any = type(connection)
    connection.__class__ = _aliasClass(kind)
    lower._writing = False
    lower._flushSoon()
    return lower


def _copyOf(connection: Connection) -> Connection:
    """Return another object in the same state. The output is a copy of its own."""
    kind = type(connection)
    other = kind.__new__(kind)
    slots = {name for each in kind.__mro__ for name in getattr(each, "__slots__", ())}
    for name in slots - {"__weakref__", "__dict__", "_lock", "_mark", "_waiting"}:
        setattr(other, name, getattr(connection, name))
    if hasattr(connection, "__dict__"):  # a program's own class
        vars(other).update(vars(connection))
    other.tally, other.countsBytes, other.highWater = connection.tally, connection.countsBytes, connection.highWater
    other._mark = UNLIMITED  # so that the write asks for no flush yet
    other.write(connection._front() or b"")
    other._mark = connection._mark
    return other


class Alias(StandIn):
    """Makes a transport a stand-in for the TLS connection in its slot `protocol`."""

    __slots__ = ()

    def _standsFor(self) -> Any:
        return object.__getattribute__(self, "protocol")

    def __getattribute__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "protocol"), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(behind(self), name, value)

    def __repr__(self) -> str:
        return repr(behind(self))


@functools.cache
def _aliasClass(kind: Any) -> Any:
    # The same layout as `kind`, which is what lets an object change from one to the other.
    return type(f"{kind.__name__}UnderTLS", (Alias, kind), {"__slots__": ()})
