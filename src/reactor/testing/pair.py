"""Two protocols connected in memory, and the pump that moves bytes between them when the test says so."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from reactor._beside import beside
from reactor.address import IPv4Address
from reactor.endpoints.streams import TCP4ClientEndpoint, TCP4ServerEndpoint
from reactor.error import ConnectionDone, ConnectionRefusedError
from reactor.failure import Failure
from reactor.protocol import Factory, Protocol
from reactor.testing.memoryreactor import MemoryReactor, MemoryReactorClock
from reactor.testing.wire import MemorySocket, PumpReactor
from reactor.transports.tcp import TCPConnection

S = TypeVar("S")
C = TypeVar("C")

TURNS = 1000

_serials = itertools.count(1)


class FakeTransport(TCPConnection):
    """A connection in memory: a TCP connection's behaviour, on a MemorySocket. connect() joins two.

    `isServer` says which side it is. getHost and getPeer return the given addresses, or invented ones. Without a pump a
    test can be the network itself, with getOutBuffer and bufferReceived.
    """

    disconnectReason: BaseException = ConnectionDone()

    def __init__(self, protocol: Any, isServer: bool, hostAddress: Any = None, peerAddress: Any = None) -> None:
        self.isServer = isServer
        self.serial = next(_serials)
        host = hostAddress if hostAddress is not None else _madeUp(isServer, self.serial)
        peer = peerAddress if peerAddress is not None else _madeUp(not isServer, self.serial)
        self.peerIsGiven = peerAddress is not None
        self.wire = MemorySocket()
        super().__init__(PumpReactor(), cast("Any", self.wire), protocol, host, peer)

    @property
    def _hasConnected(self) -> bool:
        return not self.isServer

    def __repr__(self) -> str:
        side = "S" if self.isServer else "C"
        return f"<{type(self).__name__} {side}{self.serial} of {type(self.protocol).__name__}>"

    def getOutBuffer(self) -> bytes | None:
        """Return the output that has not reached the peer, and forget it; None if there is none."""
        found = bytearray()
        while True:
            if self.unsent:
                self.flush()
            if not self.wire.outgoing:
                return bytes(found) or None
            found += self.wire.outgoing
            self.wire.outgoing.clear()

    def bufferReceived(self, buf: bytes) -> None:
        """Give `buf` to the protocol, as if it had come from the peer; its exceptions pass through."""
        if (result := self.protocol.dataReceived(buf)) is not None:
            self._beside(result)

    def reportDisconnect(self) -> None:
        """End the connection at once with `disconnectReason`."""
        self.connectionLost(Failure(self.disconnectReason))


def _madeUp(ofServer: bool, serial: int) -> IPv4Address:
    """Return an address from a range that is reserved for documentation (RFC 5737)."""
    if ofServer:
        return IPv4Address("TCP", "192.0.2.1", 7000)
    return IPv4Address("TCP", "192.0.2.2", 1024 + serial % 64512)


def makeFakeServer(serverProtocol: Any) -> FakeTransport:
    """Return a transport for the accepting side."""
    return FakeTransport(serverProtocol, isServer=True)


def makeFakeClient(clientProtocol: Any) -> FakeTransport:
    """Return a transport for the connecting side."""
    return FakeTransport(clientProtocol, isServer=False)


class IOPump:
    """Moves bytes between two connected protocols: data arrives only by pump() or flush().

    `client` and `server` are the protocols, `clientIO` and `serverIO` their transports. `reactor` is the PumpReactor of
    both transports, and `clock` its clock, which only a test advances. With `debug`, the pump prints the bytes that it
    moves.
    """

    def __init__(
        self,
        client: Any,
        server: Any,
        clientIO: FakeTransport,
        serverIO: FakeTransport,
        debug: bool = False,
        clock: Any = None,
    ) -> None:
        self.client = client
        self.server = server
        self.clientIO = clientIO
        self.serverIO = serverIO
        self.debug = debug
        self.reactor = cast("PumpReactor", clientIO.reactor)
        self.clock = self.reactor.clock if clock is None else clock

    def pump(self, debug: bool = False, advanceClock: bool = True) -> bool:
        """Turn once: send the output of each side, and deliver it. Return whether anything was done.

        With `advanceClock` this also makes the clock's calls that are due.
        """
        if advanceClock:
            self.clock.advance(0)
        if self.debug or debug:
            for name, transport in (("client", self.clientIO), ("server", self.serverIO)):
                written = bytes(transport._front() or b"")
                if written:
                    print(f"{name} wrote {written!r}")
        return self.reactor.turn()

    def flush(self, debug: bool = False, advanceClock: bool = True) -> bool:
        """Call pump() until there is nothing to do; return whether there was. AssertionError if it does not end."""
        for turns in range(TURNS):
            if not self.pump(debug, advanceClock):
                return turns > 0
        raise AssertionError(f"the two have not come to rest in {TURNS} turns")


def connect(
    serverProtocol: Any,
    serverTransport: FakeTransport,
    clientProtocol: Any,
    clientTransport: FakeTransport,
    debug: bool = False,
    greet: bool = True,
    clock: Any = None,
) -> IOPump:
    """Connect two protocols, the server first, and return their pump.

    With `greet`, the output of both connectionMade has arrived. `clock` tells the time: an IReactorTime with `advance`,
    or None for a new Clock. It may also be the PumpReactor of other pairs, to which this one is added.
    """
    pumping = clock if isinstance(clock, PumpReactor) else PumpReactor(clock)
    serverTransport.wire.join(clientTransport.wire)
    for one, other in ((serverTransport, clientTransport), (clientTransport, serverTransport)):
        one.reactor = pumping
        if not one.peerIsGiven:
            one._peer = other.getHost()
    serverTransport.start()
    clientTransport.start()
    pump = IOPump(clientProtocol, serverProtocol, clientTransport, serverTransport, debug)
    if greet:
        pump.flush()
    return pump


def connectedServerAndClient(
    ServerClass: Callable[[], S],
    ClientClass: Callable[[], C],
    clientTransportFactory: Callable[[C], FakeTransport] = makeFakeClient,
    serverTransportFactory: Callable[[S], FakeTransport] = makeFakeServer,
    debug: bool = False,
    greet: bool = True,
    clock: Any = None,
) -> tuple[C, S, IOPump]:
    """Make two protocols, connect them as connect() does, and return (client, server, pump)."""
    client = ClientClass()
    server = ServerClass()
    clientTransport = clientTransportFactory(client)
    serverTransport = serverTransportFactory(server)
    return client, server, connect(server, serverTransport, client, clientTransport, debug, greet, clock)


class ConnectionCompleter:
    """Makes, or fails, the connections of a MemoryReactor's connectTCP and listenTCP calls."""

    def __init__(self, memoryReactor: MemoryReactor) -> None:
        self._reactor = memoryReactor

    def succeedOnce(self, debug: bool = False, greet: bool = True) -> IOPump | None:
        """Connect the first client with a listening port of its number; return the pump, or None.

        The MemoryReactor is the pump's clock if it is a Clock.
        """
        clients = self._reactor.tcpClients
        listening = {args[0]: args[1] for args in reversed(self._reactor.tcpServers)}
        for index, (_host, port, factory, *_rest) in enumerate(clients):
            if port in listening:
                del clients[index], self._reactor.connectors[index]
                client, server = factory.buildProtocol(None), listening[port].buildProtocol(None)
                clock = self._reactor if hasattr(self._reactor, "advance") else None
                return connect(server, makeFakeServer(server), client, makeFakeClient(client), debug, greet, clock)
        return None

    def failOnce(self, reason: Failure | None = None) -> None:
        """Fail the first attempt with `reason`, a ConnectionRefusedError if None."""
        factory = self._reactor.tcpClients.pop(0)[2]
        reason = Failure(ConnectionRefusedError()) if reason is None else reason
        beside(factory.clientConnectionFailed(self._reactor.connectors.pop(0), reason))


def connectableEndpoint(debug: bool = False) -> tuple[TCP4ClientEndpoint, ConnectionCompleter]:
    """Return a client endpoint, and the ConnectionCompleter of its connections.

    The other side of each is a Protocol that does nothing. `debug` is for programs that pass it; pumps have their own.
    """
    reactor: Any = MemoryReactorClock()
    TCP4ServerEndpoint(reactor, 4321).listen(Factory.forProtocol(Protocol))
    return TCP4ClientEndpoint(reactor, "0.0.0.0", 4321), ConnectionCompleter(reactor)
