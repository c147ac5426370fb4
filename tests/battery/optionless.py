"""A client that gives no options at all, in every way that there is to begin TLS: run as a program of its own.

Standard input is JSON: a list of [name of the server, port of TLS, port of STARTTLS]. Standard output is JSON too: for
each server, the outcome of each way. An outcome is what the protocol received, or None if it never heard of a
connection.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

import reactor
from reactor import ClientCreator, ClientFactory, Deferred, LineReceiver, Protocol, aio, optionsForClientTLS
from reactor.defer import ensureDeferred
from reactor.endpoints import HostnameEndpoint, clientFromString, connectProtocol, wrapClientTLS
from reactor.task import deferLater

Outcome = tuple[str | None, str]
SECRET = b"secret"


class Asking(Protocol):
    """Says its secret when it believes in its peer; `done` gets what it received, and why it ended."""

    def __init__(self) -> None:
        self.done: Deferred[Outcome] = Deferred()
        self.received: str | None = None

    def connectionMade(self) -> None:
        self.received = ""
        self.transport.write(SECRET)

    def dataReceived(self, data: bytes) -> None:
        self.received = (self.received or "") + data.decode()
        self.transport.loseConnection()

    def connectionLost(self, reason: Any = None) -> None:
        if not self.done.called:
            self.done.callback((self.received, type(reason.value).__name__))


class Upgrading(LineReceiver):
    """Asks for TLS, and says its secret at once, as it may."""

    def __init__(self) -> None:
        self.done: Deferred[Outcome] = Deferred()
        self.received: str | None = None

    def connectionMade(self) -> None:
        self.sendLine(b"STARTTLS")

    def lineReceived(self, line: bytes) -> None:
        self.transport.startTLS()
        self.transport.write(SECRET)
        self.setRawMode()

    def handshakeCompleted(self) -> None:
        self.received = ""

    def rawDataReceived(self, data: bytes) -> None:
        self.received = (self.received or "") + data.decode()
        self.transport.loseConnection()

    def connectionLost(self, reason: Any = None) -> None:
        self.done.callback((self.received, type(reason.value).__name__))


class Once(ClientFactory[Any]):
    noisy = False

    def __init__(self, protocol: Any) -> None:
        self.only = protocol

    def buildProtocol(self, addr: Any) -> Any:
        return self.only

    def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
        self.only.done.callback((None, type(reason.value).__name__))


def factory(connect: Callable[[Any], object], protocol: Any = Asking) -> Deferred[Outcome]:
    only = protocol()
    connect(Once(only))
    return only.done  # type: ignore[no-any-return]


async def deferred(connected: Deferred[Any], asking: Asking | None = None) -> Outcome:
    try:
        made = await connected
    except Exception as error:
        return (None if asking is None else asking.received), type(error).__name__
    outcome: Outcome = await made.done
    return outcome


def escaped(host: str) -> str:
    return host.replace(":", "\\:")


def endpoint(text: str) -> Any:
    async def ask() -> Outcome:
        asking = Asking()
        return await deferred(connectProtocol(clientFromString(reactor, text), asking), asking)

    return ask()


def wrapped(host: str, port: int) -> Any:
    async def ask() -> Outcome:
        asking = Asking()
        over = wrapClientTLS(optionsForClientTLS(host), HostnameEndpoint(reactor, host, port))
        return await deferred(connectProtocol(over, asking), asking)

    return ask()


WAYS: dict[str, Callable[[str, int, int], Any]] = {
    "connectSSL": lambda host, tls, plain: factory(lambda only: reactor.connectSSL(host, tls, only, None)),
    "startTLS": lambda host, tls, plain: factory(lambda only: reactor.connectTCP(host, plain, only), Upgrading),
    "ClientCreator": lambda host, tls, plain: deferred(ClientCreator(reactor, Asking).connectSSL(host, tls, None)),
    "tls: endpoint": lambda host, tls, plain: endpoint(f"tls:{escaped(host)}:{tls}"),
    "ssl: endpoint": lambda host, tls, plain: endpoint(f"ssl:{escaped(host)}:{tls}"),
    "wrapClientTLS": lambda host, tls, plain: wrapped(host, tls),
}


async def stream(host: str, port: int) -> Outcome:
    try:
        reader, writer = await aio.openConnection(host, port, ssl=True)
    except Exception as error:
        return None, type(error).__name__
    writer.write(SECRET)
    received = await reader.read(100)
    writer.close()
    return received.decode(), "closed"


async def viaAsyncio(servers: list[Any], outcomes: list[dict[str, Outcome]]) -> None:
    for (host, tls, _), outcome in zip(servers, outcomes, strict=True):
        outcome["aio.openConnection"] = await stream(host, tls)


async def viaReactor(servers: list[Any], outcomes: list[dict[str, Outcome]]) -> None:
    await deferLater(reactor, 0, lambda: None)
    for (host, tls, plain), outcome in zip(servers, outcomes, strict=True):
        for way, ask in WAYS.items():
            if "endpoint" in way and host == "::1" and way.startswith("ssl"):
                continue  # IPv4 only, in Twisted too
            outcome[way] = await ask(host, tls, plain)


def main() -> None:
    servers = json.load(sys.stdin)
    outcomes: list[dict[str, Outcome]] = [{} for _ in servers]
    failures: list[Any] = []
    ensureDeferred(viaReactor(servers, outcomes)).addErrback(failures.append).addBoth(lambda _: reactor.stop())
    reactor.run()
    if failures:
        failures[0].raiseException()
    asyncio.run(viaAsyncio(servers, outcomes))
    json.dump(outcomes, sys.stdout)


if __name__ == "__main__":
    main()
