"""TLS for tests: certificates that trustme issues, and worlds whose connections speak TLS."""

from __future__ import annotations

import functools
import pathlib
import tempfile
from typing import Any

import trustme

from reactor.tlsoptions import CertificateOptions, optionsForClientTLS
from reactor.transports.tls.connection import TLSConnection
from reactor.transports.tlsports import TLSConnecting, TLSFactory
from reactor.transports.unix.stream import UNIXConnector
from tests.support.worlds import LOOPBACK, MemoryWorld, UNIXWorld, World

CA = trustme.CA()
HOST = "server.test"
CERTIFICATE = CA.issue_cert(HOST, "localhost", LOOPBACK, "::1")
TRUST = CA.cert_pem.bytes()

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
    """The connector of a program that wants TLS on a UNIX socket from the first byte."""

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


class TLSInMemoryWorld(MemoryWorld):
    """TLS over pairs in memory."""

    def end(self, factory: Any, isServer: bool) -> Any:
        options, host = (serverOptions(), None) if isServer else (clientOptions(), HOST)
        return TLSConnection(self.reactor, options, not isServer, host, lambda _: factory.buildProtocol(None), None)
