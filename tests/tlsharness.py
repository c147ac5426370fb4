"""TLS for tests: certificates that trustme issues, and worlds whose connections speak TLS."""

from __future__ import annotations

import functools
import pathlib
import tempfile
from types import SimpleNamespace
from typing import Any

import trustme

from reactor.testing import PumpReactor, connect, makeFakeClient, makeFakeServer
from reactor.tlsoptions import CertificateOptions, optionsForClientTLS
from reactor.transports.tls import TLSConnection
from reactor.transports.tlsports import TLSConnecting, TLSFactory
from reactor.transports.unix import UNIXConnector
from tests.harness import LOOPBACK, OURS, Hooks, UNIXWorld, World

CA = trustme.CA()
HOST = "server.test"
CERTIFICATE = CA.issue_cert(HOST, "localhost", LOOPBACK, "::1")
TRUST = CA.cert_pem.bytes()

MEMORY = SimpleNamespace(**{**vars(OURS), "name": "memory", "makeReactor": PumpReactor})

# An age for two ends in one thread, and short where a test has to wait for it.
CLOSE_TIMEOUT = 0.5


@functools.cache
def folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="reactor-tls-")


def write(name: str, *pieces: bytes) -> str:
    """A file with these bytes; returns its path."""
    path = pathlib.Path(folder().name) / name
    path.write_bytes(b"".join(pieces))
    return str(path)


def pemOf(issued: trustme.LeafCert) -> bytes:
    """Certificate, chain and key in one text."""
    return b"".join([*(blob.bytes() for blob in issued.cert_chain_pems), issued.private_key_pem.bytes()])


@functools.cache
def certificatePath() -> str:
    return write("server.pem", pemOf(CERTIFICATE))


@functools.cache
def serverOptions() -> CertificateOptions:
    return CertificateOptions(certificatePath(), closeTimeout=CLOSE_TIMEOUT)


@functools.cache
def clientOptions(host: str = HOST) -> Any:
    return optionsForClientTLS(host, TRUST, closeTimeout=CLOSE_TIMEOUT)


class TLSWorld(World):
    """TLS over TCP, from the first byte."""

    def listen(self, factory: Any) -> Any:
        return self.reactor.listenSSL(0, factory, serverOptions(), interface=self.host)

    def connect(self, port: Any, factory: Any) -> Any:
        return self.reactor.connectSSL(self.host, port.getHost().port, factory, clientOptions())


class UNIXConnectorWithTLS(TLSConnecting, UNIXConnector):
    """What a program would write that wants TLS on a UNIX socket from the first byte."""

    contextFactory = clientOptions()


class TLSOverUNIXWorld(UNIXWorld):
    """TLS over UNIX sockets, from the first byte."""

    afterReset = "ConnectionLost"  # an end of stream without close_notify

    def listen(self, factory: Any) -> Any:
        return self.reactor.listenUNIX(self.path(), TLSFactory(self.reactor, factory, serverOptions()))

    def connect(self, port: Any, factory: Any) -> Any:
        connector = UNIXConnectorWithTLS(self.reactor, port.getHost().name, factory)
        connector.connect()
        return connector


class TLSInMemoryWorld(World):
    """TLS over pairs in memory."""

    def __init__(self) -> None:
        super().__init__(MEMORY)

    def pair(
        self, server: Hooks | None = None, client: Hooks | None = None, halves: bool = False, clientHalves: bool = False
    ) -> tuple[Any, Any]:
        factories = self.serverFactory(server, halves), self.clientFactory(client, clientHalves)
        ends = [
            TLSConnection(self.reactor, options, isClient, host, lambda _, f=factory: f.buildProtocol(None), None)
            for factory, options, isClient, host in zip(
                factories, (serverOptions(), clientOptions()), (False, True), (None, HOST), strict=True
            )
        ]
        connect(ends[0], makeFakeServer(ends[0]), ends[1], makeFakeClient(ends[1]), greet=False, clock=self.reactor)
        self.until(lambda: all("made" in factory.trace for factory in factories))
        return factories[0].only, factories[1].only
