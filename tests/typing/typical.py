"""Everyday lines of programs that use types: nothing in here may be an error to mypy --strict or to pyright, strict.

A line with an error that must be found says so: EXPECT. It is one for both. assert_type pins what completes.
"""

from __future__ import annotations

import ssl
from collections.abc import Generator
from typing import Any, assert_type

import reactor
from reactor import (
    AsyncioReactor,
    ClientCreator,
    ClientFactory,
    Clock,
    Deferred,
    Factory,
    Failure,
    IPv4Address,
    IPv6Address,
    LineOnlyReceiver,
    LineReceiver,
    LoopingCall,
    ProcessProtocol,
    Protocol,
    ReconnectingClientFactory,
    ServerFactory,
    TimeoutMixin,
    UNIXAddress,
    deferLater,
    deferToThread,
    inlineCallbacks,
)
from reactor.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, clientFromString, serverFromString
from reactor.error import ConnectionDone
from reactor.interfaces import (
    IAddress,
    IConnector,
    IConsumer,
    IHalfCloseableProtocol,
    Interface,
    IProtocol,
    IReactor,
    IReactorTCP,
    IReactorTime,
    implementer,
)
from reactor.testing import MemoryReactorClock, StringTransport


class Chat(LineReceiver, TimeoutMixin):
    """A server's protocol, with all that its transport offers."""

    delimiter = b"\n"
    MAX_LENGTH = 512
    factory: Room

    def connectionMade(self) -> None:
        self.setTimeout(60)
        self.factory.members.add(self)
        self.transport.setTcpKeepAlive(True)
        self.transport.setTcpNoDelay(True)
        self.transport.setOutputLimits(1 << 16, 1 << 20)
        assert_type(self.transport.getTcpNoDelay(), bool)
        assert_type(self.transport.unsent, int)
        print(self.transport.getPeer().host, self.transport.getHost().port)

    def lineReceived(self, line: bytes) -> None:
        if line == b"STARTTLS":
            self.transport.startTLS(ssl.create_default_context())
        elif line == b"who":
            assert_type(self.transport.getPeerCertificate(), bytes | None)
            assert_type(self.transport.getPeerCertificate(parsed=True), dict[str, Any] | None)
            assert_type(self.transport.negotiatedProtocol, bytes | None)
            assert_type(self.transport.getPeerCredentials(), tuple[int, int, int])
        elif line == b"bye":
            self.transport.loseConnection()
        elif line == b"raw":
            self.setRawMode()
        else:
            self.sendLine(line.upper())

    def rawDataReceived(self, data: bytes) -> None:
        self.setLineMode(data)

    def lineLengthExceeded(self, line: bytes) -> None:
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure) -> None:
        self.factory.members.discard(self)
        if reason.check(ConnectionDone) is None:
            reason.trap(ConnectionDone)

    def timeoutConnection(self) -> None:
        self.transport.abortConnection()


class Room(ServerFactory[Chat]):
    protocol = Chat

    def __init__(self) -> None:
        self.members: set[Chat] = set()


class Batches(LineReceiver):
    def linesReceived(self, lines: list[bytes]) -> None:
        self.sendLines([line.upper() for line in lines])


class Slow(LineReceiver):
    async def lineReceived(self, line: bytes) -> None:
        self.sendLine(await deferToThread(bytes.title, line))


class Lone(LineOnlyReceiver):
    def lineReceived(self, line: bytes) -> None:
        self.transport.writeSequence([line, b"\n"])


class Client(Protocol):
    def connectionMade(self) -> None:
        assert_type(self.transport.connector, IConnector)
        self.transport.connector.disconnect()
        assert_type(self.transport.hostname, str)

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)

    def connectionLost(self, reason: Failure = reactor.connectionDone) -> None:
        super().connectionLost(reason)


class Clients(ClientFactory[Client]):
    protocol = Client

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        connector.connect()

    def clientConnectionLost(self, connector: IConnector, reason: Failure) -> None:
        print(connector.getDestination(), reason.getErrorMessage())


class Again(ReconnectingClientFactory):
    """Without a type argument, as programs that came from Twisted have it."""

    maxDelay = 10
    protocol = Client


class Plain(ServerFactory):
    protocol = Lone

    def buildProtocol(self, addr: IPv4Address) -> Lone | None:
        return None if addr.host == "192.0.2.1" else Lone()


class Datagrams(reactor.DatagramProtocol):
    def startProtocol(self) -> None:
        self.transport.setBroadcastAllowed(True)
        self.transport.joinGroup("224.0.0.1")

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        self.transport.write(datagram, addr)


class Peer(reactor.ConnectedDatagramProtocol):
    def datagramReceived(self, datagram: bytes) -> None:
        self.transport.write(datagram)


class Child(ProcessProtocol):
    def connectionMade(self) -> None:
        assert_type(self.transport.pid, int | None)
        self.transport.write(b"hello")
        self.transport.closeStdin()

    def outReceived(self, data: bytes) -> None:
        self.transport.signalProcess("TERM")

    def processEnded(self, reason: Failure) -> None:
        print(reason.value)


class Halves(Protocol):
    def readConnectionLost(self) -> None:
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None: ...


class Patient:
    """The reactor's functions, kept in a class for tests to replace."""

    callLater = reactor.callLater
    seconds = reactor.seconds

    def wait(self) -> float:
        self.callLater(1, print, "late")
        return self.seconds()


@implementer(IAddress)
class Place:
    pass


class IGreeter(Interface):
    """An interface of the program's own, for declarations alone."""


def takesAReactor(tcp: IReactorTCP, clock: IReactorTime, all: IReactor) -> None:
    tcp.listenTCP(0, Room())
    call = clock.callLater(1, print)
    assert_type(clock.seconds(), float)
    call.cancel()
    all.run()


def asks(something: object) -> None:
    if isinstance(something, IProtocol):
        something.dataReceived(b"")
    if IConsumer.providedBy(something):
        print("a consumer")
    assert_type(IHalfCloseableProtocol.implementedBy(Halves), bool)


@inlineCallbacks
def dialogue() -> Generator[Deferred[Any], Any, int]:
    protocol = yield TCP4ClientEndpoint(reactor, "127.0.0.1", 7).connect(Clients())
    protocol.transport.loseConnection()
    yield deferLater(reactor, 1, print)
    return 3


async def coroutine() -> None:
    result = await dialogue()
    assert_type(result, int)
    port = await TCP4ServerEndpoint(reactor, 0).listen(Room())
    await serverFromString(reactor, "tcp:0").listen(Plain())
    await clientFromString(reactor, "tcp:127.0.0.1:1").connect(Factory.forProtocol(Client))
    print(port.getHost())


async def program(loop: IReactor, *arguments: str) -> None:
    await deferLater(loop, 1)


def main() -> None:
    port = reactor.listenTCP(0, Room(), interface="127.0.0.1")
    assert_type(port.getHost(), IPv4Address | IPv6Address)
    print(port.getHost().port)
    assert_type(reactor.listenUNIX("/tmp/socket", Plain()).getHost(), UNIXAddress)
    assert_type(reactor.listenUDP(0, Datagrams()).getHost(), IPv4Address | IPv6Address)
    reactor.connectUNIXDatagram("/tmp/other", Peer())
    reactor.connectTCP("127.0.0.1", port.getHost().port, Clients()).stopConnecting()
    reactor.connectTCP("127.0.0.1", 1, Again())
    reactor.listenTCP(0, ServerFactory.forProtocol(Batches))
    reactor.listenSSL(0, Factory.forProtocol(Slow), ssl.create_default_context())
    reactor.spawnProcess(Child(), "/bin/true")
    assert_type(reactor.callLater(1.5, print).getTime(), float)
    assert_type(reactor.seconds(), float)
    assert_type(reactor.running, bool)
    assert_type(reactor.closeCounts[reactor.error.IdleTimeout], int)
    assert_type((reactor.overflowCount, reactor.skippedLineCount), tuple[int, int])
    reactor.callWhenRunning(reactor.stop)
    reactor.addSystemEventTrigger("before", "shutdown", print)
    reactor.callFromThread(Patient().wait)
    takesAReactor(reactor, reactor, reactor)
    takesAReactor(reactor.current(), Clock(), AsyncioReactor())
    deferred: Deferred[int] = Deferred()
    deferred.addErrback(reactor.defer.logError)
    looping = LoopingCall(print, "tick")
    looping.clock = Clock()
    looping.start(1).addErrback(reactor.defer.logError)
    ClientCreator(reactor, Client).connectTCP("127.0.0.1", 1)
    reactor.react(begin)
    reactor.task.react(program)


async def begin(anyReactor: IReactor) -> None:
    anyReactor.listenTCP(0, Room())
    await deferLater(anyReactor, 1)


def tests() -> None:
    memory = MemoryReactorClock()
    memory.listenTCP(0, Room())
    memory.advance(1)
    protocol, transport = Batches(), StringTransport()
    protocol.makeConnection(transport)
    protocol.dataReceived(b"line\r\n")
    protocol.connectionLost(reactor.connectionDone)
    assert_type(transport.value(), bytes)


def mistakes(protocol: Protocol) -> None:
    print(reactor.noSuchName)  # EXPECT
    print(reactor.listenTPC)  # EXPECT
    reactor.listenTCP(0, Chat)  # EXPECT
    reactor.listenTCP("0", Room())  # EXPECT
    reactor.connectTCP("127.0.0.1", 1, Room())  # EXPECT
    reactor.listenUDP(0, Protocol())  # EXPECT
    reactor.spawnProcess(Protocol(), "/bin/true")  # EXPECT
    reactor.callLater("soon", print)  # EXPECT
    protocol.transport.write("text")  # EXPECT
    protocol.transport.setTcpKeepAlife(True)  # EXPECT
    Batches().sendLine("text")  # EXPECT


if __name__ == "__main__":
    main()
