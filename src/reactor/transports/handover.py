"""Handing a connection over: a protocol reads the beginning of a stream, and gives way to the real one.

The first protocol, here the reader, has received bytes that belong to the second one. The transport stays. So after the
handover nothing stands between it and the protocol, and a line costs what it always does.

If the second protocol pauses the transport in its connectionMade, those bytes wait in an Unread until it resumes. The
loop watches the socket only when they are delivered, so they keep their place before all that comes later.
"""

from __future__ import annotations

from typing import Any

from reactor._beside import Running, both, started
from reactor.address import Address
from reactor.failure import failureOf
from reactor.interfaces import IDelayedCall
from reactor.protocol.standins import behind
from reactor.transports.starttls import Alias
from reactor.transports.stream import Connection
from reactor.transports.tls.layer import TLSLayer


class Unread:
    """Bytes that `connection` has read, and that its protocol gets once it resumes reading."""

    def __init__(self, connection: Connection, data: bytes) -> None:
        self._connection = connection
        self._data = data
        self._call: IDelayedCall | None = None

    def resume(self) -> None:
        """Deliver on the next turn, unless pause() comes first."""
        if self._call is None and self._connection.connected:
            self._call = self._connection.reactor.callLater(0, self._deliver)

    def pause(self) -> None:
        """Undo resume."""
        call, self._call = self._call, None
        if call is not None and call.active():
            call.cancel()

    def _deliver(self) -> None:
        connection = self._connection
        self._call = connection._unread = None
        if not connection.connected or connection.disconnecting:
            return
        connection.startReading()
        try:
            if (told := connection.protocol.dataReceived(self._data)) is not None:
                connection._beside(told)
        except BaseException as error:
            connection.failConnection(failureOf(error))


def baseOf(transport: Any) -> Connection | TLSLayer | None:
    """Return the transport of this package that `transport` is, or that wraps stand before. None if there is none."""
    while transport is not None and not isinstance(transport, Connection | TLSLayer):
        # A wrapper is a transport too.
        transport = transport.transport if behind(transport) is not None else None
    return transport


def lowestOf(transport: Any) -> Connection | None:
    """Return the Connection that carries `transport`, through TLS and wrappers. None if another object carries it."""
    base: Any = baseOf(transport)
    while isinstance(base, TLSLayer):
        base = baseOf(base.lower)
    return base  # type: ignore[no-any-return]


def standFor(connection: Connection, header: Any, peer: Address | None, host: Address | None) -> None:
    """Make `connection` stand for the one that `header` tells of: getPeer() and getHost() return these addresses."""
    connection.proxyHeader = header
    if peer is not None:
        connection._peer = peer
    if host is not None:
        connection._host = host


def handOver(transport: Any, reader: Any, protocol: Any, rest: bytes) -> Running | None:
    """Give the place of `reader` at `transport` to `protocol`, make its connection, and deliver `rest`.

    The result is for the caller of the reader's dataReceived. Exceptions of `protocol` pass through.
    """
    replace(transport, reader, protocol)
    made = started(protocol.makeConnection(transport))
    return both(made, _deliver(transport, protocol, rest)) if rest else made


def replace(transport: Any, reader: Any, protocol: Any) -> None:
    """Put `protocol` in the place of `reader`, which stand-ins may be in front of."""
    isBase = isinstance(transport, Connection | TLSLayer)
    if isBase and transport.protocol is reader:
        transport.protocol = protocol
        return
    each = transport.protocol if isBase else transport
    while each is not None and (inner := behind(each)) is not reader:
        each = inner
    if each is not None:
        each.wrappedProtocol = protocol


def _deliver(transport: Any, protocol: Any, rest: bytes) -> Any:
    """Give `rest` to the protocol that is there now, unless it has closed the transport, or paused it."""
    if isinstance(transport, Alias):
        # The protocol has called startTLS. The peer had not to wait for that, so the bytes are those of TLS.
        layer = behind(transport)
        return None if layer.disconnecting or layer.disconnected else layer.dataReceived(rest)
    if transport.disconnecting:
        return None
    base = baseOf(transport)
    if isinstance(base, TLSLayer):
        if base._paused:
            base._held.insert(0, rest)
            return None
    elif base is not None and not base.reactor.isReading(base):
        base._unread = Unread(base, rest)
        return None
    return (protocol if base is not transport else base.protocol).dataReceived(rest)
