"""Wrapping: a protocol between a transport and a protocol, and the factory that puts it there.

The wrapper is a stand-in (protocol/standins.py) for both: the transport's protocol, and the protocol's transport. It
passes the names in TOLD on to the protocol, and all other attributes that it does not define to the transport. So a
wrapped protocol gets the calls for halves and handshakes if it has the methods, and can call every method of its
transport.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from reactor._arguments import checkFactory
from reactor._beside import Running, both
from reactor._closing import goesOn, mayGoOn, note
from reactor.error import ConnectionDone
from reactor.failure import Failure
from reactor.interfaces import BytesLike
from reactor.protocol import ClientFactory, Protocol, abandon, connectionDone
from reactor.protocol.factories import P
from reactor.protocol.standins import StandIn

# Methods that a transport looks for in a protocol, and calls if they exist.
TOLD = frozenset(
    {
        "readConnectionLost",
        "writeConnectionLost",
        "handshakeCompleted",
        "fileDescriptorReceived",
        "overlongCount",
        "skippedLevel",
    }
)


def wrappedLogPrefix(wrapper: object, wrapped: Any) -> str:
    """Return the name of `wrapped` for log messages, with the wrapper's class."""
    name = wrapped.logPrefix() if hasattr(wrapped, "logPrefix") else type(wrapped).__name__
    return f"{name} ({type(wrapper).__name__})"


class ProtocolWrapper(Protocol, StandIn):
    """The transport of `wrappedProtocol`, and the protocol of a transport; `factory` has made it.

    Subclasses override the calls that they want to see or change, and call the overridden method.
    """

    transport: Any
    _closing: object = False
    _isOn = False
    _isUnregistered = False

    def __init__(self, factory: Any, wrappedProtocol: Any) -> None:
        self.wrappedProtocol = wrappedProtocol
        self.factory = factory

    def __getattr__(self, name: str) -> Any:
        return getattr(self.wrappedProtocol if name in TOLD else self.transport, name)

    def logPrefix(self) -> str:
        """Return the wrapped protocol's name for log messages, with the wrapper's class."""
        return wrappedLogPrefix(self, self.wrappedProtocol)

    def makeConnection(self, transport: Any) -> Running | None:
        """Called once, when the connection stands.

        It calls connectionMade and factory.registerProtocol, and then makeConnection of the protocol.
        """
        own = super().makeConnection(transport)
        self.factory.registerProtocol(self)
        self._isOn = True
        return both(own, self.wrappedProtocol.makeConnection(self))

    # The transport's side.

    @property
    def disconnecting(self) -> bool:
        """Whether the connection is closing, through this wrapper or not."""
        return bool(self._closing or getattr(self.transport, "disconnecting", False))

    @disconnecting.setter
    def disconnecting(self, value: object) -> None:
        self._closing = value

    def write(self, data: BytesLike) -> None:
        """Passed on."""
        self.transport.write(data)

    def writeSequence(self, data: Iterable[BytesLike]) -> None:
        """Passed on."""
        self.transport.writeSequence(data)

    def loseConnection(self) -> None:
        """Passed on."""
        self.disconnecting = True
        self.transport.loseConnection()

    def noteClosing(self, reason: ConnectionDone, level: int = logging.INFO) -> None:
        """Passed on, to a transport of this package."""
        note(self.transport, reason, level)

    def getPeer(self) -> Any:
        """Passed on."""
        return self.transport.getPeer()

    def getHost(self) -> Any:
        """Passed on."""
        return self.transport.getHost()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Passed on."""
        self.transport.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """Passed on."""
        self.transport.unregisterProducer()

    def stopConsuming(self) -> None:
        """Passed on."""
        self.transport.stopConsuming()

    # The protocol's side.

    def dataReceived(self, data: bytes) -> Any:
        """Passed on."""
        return self.wrappedProtocol.dataReceived(data)

    @goesOn
    def connectionLost(self, reason: Failure = connectionDone) -> Any:
        """Called once, last: calls factory.unregisterProtocol and the protocol's connectionLost.

        The wrapper drops its reference to the protocol. A protocol that was never connected gets no call for an end.
        """
        self.connected = 0  # as a transport's
        try:
            self._unregister()
        finally:
            told = self._tellWrapped(reason)
        return told

    def _unregister(self) -> None:
        """Tell the factory, once; one of this package's may be told anew where a signal's handler has raised."""
        if not self._isUnregistered:
            self._isUnregistered = True
            try:
                self.factory.unregisterProtocol(self)
            except BaseException:
                self._isUnregistered = not mayGoOn(self.factory, "unregisterProtocol")
                raise

    def _tellWrapped(self, reason: Failure) -> Any:
        """Tell the protocol of the end, once; another wrapper goes on with what has been broken off."""
        protocol, self.wrappedProtocol = self.wrappedProtocol, None
        if protocol is None:
            return None
        if not self._isOn:
            abandon(protocol)
            return None
        try:
            return protocol.connectionLost(reason)
        except BaseException:
            if mayGoOn(protocol, "connectionLost"):
                protocol.connectionLost(reason)
            raise

    def connectionNotMade(self) -> None:
        """Called by transports in place of makeConnection if the connection is lost before it. See connectionLost."""
        self.connectionLost(connectionDone)


class WrappingFactory(ClientFactory[P]):
    """Wraps each protocol of `wrappedFactory`, of a server or client, in a `protocol(self, wrapped)`.

    The keys of `protocols` are the wrappers with an open connection. If the wrapped factory returns None, so does this
    one. TypeError if `wrappedFactory` is no factory; None means that the program sets it later.
    """

    protocol: Callable[..., Any] | None = ProtocolWrapper

    def __init__(self, wrappedFactory: Any) -> None:
        if wrappedFactory is not None:
            checkFactory(wrappedFactory)
        self.wrappedFactory = wrappedFactory
        self.protocols: dict[Any, int] = {}

    def logPrefix(self) -> str:
        """Return the wrapped factory's name for log messages, with this class."""
        return wrappedLogPrefix(self, self.wrappedFactory)

    def doStart(self) -> Running | None:
        """Passed on, and then done here too."""
        theirs = self.wrappedFactory.doStart()
        return both(super().doStart(), theirs)

    def doStop(self) -> Running | None:
        """Passed on, and then done here too."""
        theirs = self.wrappedFactory.doStop()
        return both(super().doStop(), theirs)

    def startedConnecting(self, connector: Any) -> Any:
        """Passed on."""
        return self.wrappedFactory.startedConnecting(connector)

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> Any:
        """Passed on."""
        return self.wrappedFactory.clientConnectionFailed(connector, reason)

    def clientConnectionLost(self, connector: Any, reason: Failure) -> Any:
        """Passed on."""
        return self.wrappedFactory.clientConnectionLost(connector, reason)

    def buildProtocol(self, addr: Any) -> Any:
        """Return a wrapper around the wrapped factory's protocol, or None if that is None."""
        wrapped = self.wrappedFactory.buildProtocol(addr)
        return None if wrapped is None else self.wrap(wrapped)

    def wrap(self, wrapped: Any) -> Any:
        """Return the wrapper for `wrapped`. Subclasses override it if their wrappers take further arguments."""
        assert self.protocol is not None
        return self.protocol(self, wrapped)

    def registerProtocol(self, p: Any) -> None:
        """Called by each wrapper when its connection stands."""
        self.protocols[p] = 1

    @goesOn
    def unregisterProtocol(self, p: Any) -> None:
        """Called by each wrapper once, when its connection is over."""
        self.protocols.pop(p, None)
