"""Protocols that begin TLS late, in the ways in which programs do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import twisted.protocols.basic

from reactor import ClientFactory, LineOnlyReceiver, LineReceiver, Protocol, ServerFactory
from reactor.testing import IOPump, connectedServerAndClient
from tests.support.tlsworlds import clientOptions, serverOptions


class Dialogue(LineReceiver):
    """A server that answers each line, and upgrades when it is asked to."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.lines: list[bytes] = []

    def begin(self) -> None:
        self.transport.startTLS(serverOptions())

    def lineReceived(self, line: bytes) -> Any:
        self.lines.append(line)
        self.events.append((line, self.transport.TLS))
        if line == b"STARTTLS":
            self.sendLine(b"go ahead")
            self.begin()
        else:
            self.sendLine(b"you said " + line)

    def handshakeCompleted(self) -> None:
        self.events.append("handshake")

    def connectionLost(self, reason: Any = None) -> None:
        self.events.append(type(reason.value).__name__)
        self.lost = reason


class Caller(Dialogue):
    """The client: it asks for the upgrade at once, and talks when it has it."""

    def begin(self) -> None:
        self.transport.startTLS(clientOptions())

    def connectionMade(self) -> None:
        self.sendLine(b"STARTTLS")

    def lineReceived(self, line: bytes) -> Any:
        self.events.append((line, self.transport.TLS))
        if line == b"go ahead":
            self.begin()
            self.sendLine(b"secret")


TALK = [(b"go ahead", False), "handshake", (b"you said secret", True)]
HEARD = [(b"STARTTLS", False), "handshake", (b"secret", True)]


class Kept(ServerFactory[Any]):
    """Keeps what it has built."""

    def __init__(self, protocol: Callable[[], Any] = Dialogue) -> None:
        self.protocol = protocol
        self.built: list[Any] = []

    def buildProtocol(self, addr: Any) -> Any:
        self.built.append(super().buildProtocol(addr))
        return self.built[-1]


class KeptClient(Kept, ClientFactory[Any]):
    def __init__(self, protocol: Callable[[], Any] = Caller) -> None:
        super().__init__(protocol)
        self.lost: list[Any] = []

    def clientConnectionLost(self, connector: Any, reason: Any) -> None:
        self.lost.append(reason)


def memory(server: Callable[[], Any] = Dialogue, client: Callable[[], Any] = Caller) -> tuple[Any, Any, IOPump]:
    caller, answerer, pump = connectedServerAndClient(server, client)
    return answerer, caller, pump


class Quiet(Caller):
    """Begins when it is told to go ahead, and says nothing by itself."""

    MAX_LENGTH = 1 << 20

    def connectionMade(self) -> None:
        pass

    def lineReceived(self, line: bytes) -> Any:
        self.events.append((line[:10], self.transport.TLS))
        if line == b"go ahead":
            self.begin()


class Cutting(Dialogue):
    """Raw data until TLS."""

    def connectionMade(self) -> None:
        self.setRawMode()

    def rawDataReceived(self, data: bytes) -> None:
        self.raw = getattr(self, "raw", b"") + data
        if b"\r\n" in self.raw:
            self.setLineMode(self.raw)


class PausingFirst(Dialogue):
    def begin(self) -> None:
        self.pauseProducing()
        super().begin()
        self.resumeProducing()


class RawAfterwards(Dialogue):
    def begin(self) -> None:
        self.setRawMode()
        super().begin()

    def rawDataReceived(self, data: bytes) -> None:
        self.lines.append(data)


class Later(Dialogue):
    """Upgrades on a later turn, and gets what comes until then."""

    def begin(self) -> None:
        self.paused = True
        self.transport.reactor.callLater(0, self._later)

    def _later(self) -> None:
        super().begin()
        self.paused = False
        self.dataReceived(b"")


class FedBack(Dialogue):
    """Gives a part of a line back after the upgrade has begun: it was plain, and is found at the end of it."""

    def begin(self) -> None:
        super().begin()
        self.dataReceived(b"EVI")


class Asynchronous(Dialogue):
    """Its handler is a coroutine."""

    async def lineReceived(self, line: bytes) -> None:
        Dialogue.lineReceived(self, line)


class Batches(Dialogue):
    """Takes all lines of a read at once, and looks itself at what follows the command, as it must."""

    def linesReceived(self, lines: list[bytes]) -> None:
        for number, line in enumerate(lines, 1):
            if line == b"STARTTLS" and number < len(lines):
                self.lines.append(line)
                self.transport.abortConnection()
                return
            self.lineReceived(line)


class OnlyLines(LineOnlyReceiver):
    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.events: list[Any] = []

    lineReceived = Dialogue.lineReceived
    begin = Dialogue.begin
    connectionLost = Dialogue.connectionLost


class TwistedsLines(twisted.protocols.basic.LineReceiver):
    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.events: list[Any] = []

    lineReceived = Dialogue.lineReceived
    begin = Dialogue.begin
    connectionLost = Dialogue.connectionLost


class Wrapper(Protocol):
    """As protocols that wrap others are: transport and protocol to two sides."""

    def __init__(self) -> None:
        self.wrappedProtocol = Dialogue()
        self.lines, self.events = self.wrappedProtocol.lines, self.wrappedProtocol.events

    def connectionMade(self) -> None:
        self.wrappedProtocol.makeConnection(self)

    def dataReceived(self, data: bytes) -> None:
        self.wrappedProtocol.dataReceived(data)

    def connectionLost(self, reason: Any = None) -> None:
        self.wrappedProtocol.connectionLost(reason)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["transport"], name)


KINDS = [
    Dialogue,
    PausingFirst,
    RawAfterwards,
    Later,
    Asynchronous,
    Cutting,
    Batches,
    OnlyLines,
    TwistedsLines,
    Wrapper,
]


def lostOf(protocol: Any) -> Any:
    """Why its connection ended, None if it has not."""
    return getattr(getattr(protocol, "wrappedProtocol", protocol), "lost", None)
