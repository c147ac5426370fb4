"""Clients that send a header first, in plain and before TLS; and the strings of endpoints for both sides."""

from __future__ import annotations

import pathlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import twisted.internet.endpoints
import twisted.internet.reactor

from reactor.address import IPv4Address, IPv6Address, UNIXAddress
from reactor.endpoints import (
    SSL4ClientEndpoint,
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    UNIXClientEndpoint,
    clientFromString,
    connectProtocol,
    serverFromString,
    wrapClientTLS,
    wrapServerTLS,
)
from reactor.endpoints.strings import serverArguments
from reactor.error import ConnectionRefusedError
from reactor.haproxy import (
    HAProxyWrappingFactory,
    ProxyClientFactory,
    encodeV1,
    encodeV2,
    ownHeader,
    proxyClientEndpoint,
    proxyEndpoint,
)
from reactor.serving.options import makeParser
from reactor.serving.places import endpointOf, endpointsOf, spotsOf
from reactor.serving.plan import ListenPlan
from reactor.tlsoptions import defaultClientContext
from reactor.transports.tcp import TCPClientConnection, TCPConnection
from reactor.transports.tls.connection import TLSConnection
from tests.support.tlsworlds import TRUST, certificatePath, clientOptions, serverOptions, write
from tests.support.worlds import LOOPBACK, LOOPS, UNIXWorld, World, dial, refusedPort

CLIENT, SERVER = IPv4Address("TCP", "192.0.2.1", 56324), IPv4Address("TCP", "198.51.100.7", 443)


@pytest.fixture(params=LOOPS, ids=lambda side: side.name)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    world = World(request.param)
    yield world
    world.close()


@pytest.fixture
def tcp() -> Iterator[World]:
    world = World()
    yield world
    world.close()


@pytest.fixture
def unix() -> Iterator[UNIXWorld]:
    world = UNIXWorld()
    yield world
    world.close()


def met(world: World, server: Any, connect: Any) -> tuple[Any, Any, Any]:
    """Listen on the endpoint `server`, and connect to its port with the endpoint that connect(port) returns.

    Return the protocols of both sides, which greet each other, and the client's result.
    """
    servers = world.serverFactory({"made": lambda protocol: protocol.transport.write(b"server")})
    clients = world.clientFactory({"made": lambda protocol: protocol.transport.write(b"client")})
    ports: list[Any] = []
    server.listen(servers).addCallback(ports.append)
    results: list[Any] = []
    connect(ports[0]).connect(clients).addCallback(results.append)
    world.until(lambda: results and servers.built and servers.built[0].received and clients.built[0].received)
    assert bytes(servers.built[0].received) == b"client"
    assert bytes(clients.built[0].received) == b"server"
    return servers.built[0], clients.built[0], results[0]


class TestEndpoints:
    @pytest.mark.parametrize("header", [encodeV1(CLIENT, SERVER), encodeV2(CLIENT, SERVER)])
    def test_inPlain(self, world: World, header: bytes) -> None:
        below = TCP4ServerEndpoint(world.reactor, 0, interface=LOOPBACK)
        server, client, result = met(
            world,
            proxyEndpoint(below),
            lambda port: proxyClientEndpoint(TCP4ClientEndpoint(world.reactor, LOOPBACK, port.getHost().port), header),
        )
        assert (server.transport.getPeer(), server.transport.getHost()) == (CLIENT, SERVER)
        assert server.transport.proxyHeader.raw == header
        assert result is client
        # Nothing stays between on either side.
        assert type(client.transport) is TCPClientConnection
        assert client.transport.protocol is client
        assert type(server.transport) is TCPConnection
        assert server.transport.protocol is server

    @pytest.mark.parametrize("version", [1, 2])
    def test_ownEnds(self, tcp: World, version: int) -> None:
        below = TCP4ServerEndpoint(tcp.reactor, 0, interface=LOOPBACK)
        server, client, _ = met(
            tcp,
            proxyEndpoint(below, versions=[version]),
            lambda port: proxyClientEndpoint(
                TCP4ClientEndpoint(tcp.reactor, LOOPBACK, port.getHost().port), ownHeader(version)
            ),
        )
        assert (server.transport.getPeer(), server.transport.getHost()) == (
            client.transport.getHost(),
            client.transport.getPeer(),
        )

    def test_overUNIX(self, unix: UNIXWorld) -> None:
        path = unix.path()
        server, _, _ = met(
            unix,
            serverFromString(unix.reactor, f"haproxy:unix:{path}"),
            lambda port: proxyClientEndpoint(UNIXClientEndpoint(unix.reactor, path)),
        )
        assert server.transport.getHost() == UNIXAddress(path)
        assert server.transport.proxyHeader.destination == UNIXAddress(path)

    def test_beforeTLS(self, world: World) -> None:
        below = TCP4ServerEndpoint(world.reactor, 0, interface=LOOPBACK)
        server, client, result = met(
            world,
            wrapServerTLS(serverOptions(), proxyEndpoint(below)),
            lambda port: wrapClientTLS(
                clientOptions(),
                proxyClientEndpoint(
                    TCP4ClientEndpoint(world.reactor, LOOPBACK, port.getHost().port), encodeV2(CLIENT, SERVER)
                ),
            ),
        )
        assert type(server.transport) is TLSConnection
        assert server.transport.getPeer() == CLIENT
        assert result is client

    def test_insideTLS(self, tcp: World) -> None:
        below = TCP4ServerEndpoint(tcp.reactor, 0, interface=LOOPBACK)
        server, client, result = met(
            tcp,
            proxyEndpoint(wrapServerTLS(serverOptions(), below)),
            lambda port: proxyClientEndpoint(
                SSL4ClientEndpoint(tcp.reactor, LOOPBACK, port.getHost().port, clientOptions()),
                encodeV1(CLIENT, SERVER),
            ),
        )
        assert server.transport.getPeer() == CLIENT
        assert result is client
        assert type(client.transport) is TLSConnection

    def test_TLSVerifiesTheHostBelow(self, tcp: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """The certificate names 127.0.0.1, the host of the endpoint below the header."""
        monkeypatch.setenv("SSL_CERT_FILE", write("root.pem", TRUST))
        defaultClientContext.cache_clear()
        below = TCP4ServerEndpoint(tcp.reactor, 0, interface=LOOPBACK)
        met(
            tcp,
            wrapServerTLS(serverOptions(), proxyEndpoint(below)),
            lambda port: wrapClientTLS(
                None, proxyClientEndpoint(TCP4ClientEndpoint(tcp.reactor, LOOPBACK, port.getHost().port))
            ),
        )
        defaultClientContext.cache_clear()

    def test_theHeaderIsFirst(self, tcp: World) -> None:
        """One packet, also if connectionMade writes; and a function for the header gets the transport."""
        with socket.create_server((LOOPBACK, 0)) as listening:
            seen: list[Any] = []

            def header(transport: Any) -> bytes:
                seen.append(transport.getPeer().port)
                return encodeV1(CLIENT, SERVER)

            factory = tcp.clientFactory({"made": lambda protocol: protocol.transport.write(b"hello")})
            tcp.reactor.connectTCP(LOOPBACK, listening.getsockname()[1], ProxyClientFactory(factory, header))
            tcp.until(lambda: factory.built and "made" in factory.trace)
            accepted, _ = listening.accept()
            with accepted:
                tcp.reactor.iterate(0.01)
                assert accepted.recv(1000) == encodeV1(CLIENT, SERVER) + b"hello"
        tcp.until(lambda: "lost" in str(factory.trace))
        assert seen == [factory.built[0].transport.getPeer().port]
        assert "started" in str(factory.trace)

    def test_failures(self, tcp: World) -> None:
        failures: list[Any] = []
        endpoint = proxyClientEndpoint(TCP4ClientEndpoint(tcp.reactor, LOOPBACK, refusedPort()))
        connectProtocol(endpoint, tcp.clientFactory().buildProtocol(None)).addErrback(failures.append)
        tcp.until(lambda: failures)
        assert failures[0].check(ConnectionRefusedError)

    def test_whatIsNoHeader(self) -> None:
        for header in (b"", b"GET / HTTP/1.0", "PROXY UNKNOWN\r\n", 2):
            with pytest.raises(TypeError, match="a header is bytes of encodeV1"):
                proxyClientEndpoint(None, header)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="versions"):
            ownHeader(3)


class TestStrings:
    def test_trustedNetworks(self, tcp: World) -> None:
        for fields, trusted in (
            ("", "127.0.0.0/8, ::1, unix"),
            (r":trusted=10.0.0.0/8,fd00\:\:/8", "10.0.0.0/8, fd00::/8"),
            (":trusted=unix", "unix"),
        ):
            ports: list[Any] = []
            serverFromString(tcp.reactor, f"haproxy:tcp:0:interface=127.0.0.1{fields}").listen(
                tcp.serverFactory()
            ).addCallback(ports.append)
            (port,) = ports
            assert isinstance(port.factory, HAProxyWrappingFactory)
            assert str(port.factory.trusted) == trusted
            assert port.getHost().host == LOOPBACK

    @pytest.mark.parametrize(
        ("description", "text"),
        [
            ("haproxy", "names no endpoint"),
            ("haproxy:trusted=10.0.0.0/8", "names no endpoint"),
            ("haproxy:tcp", "needs a port"),
            ("haproxy:tcp:80:trusted=", "a trusted network"),
            ("haproxy:tcp:80:trusted=10.0.0.1/8", "host bits"),
            ("haproxy:tcp:80:trusted=10.0.0.0/8,fd00::/8", "two values|too many|no field|a trusted network"),
            ("haproxy:tcp:80:header=before-tls", "for the endpoints ssl and tls"),
            ("haproxy:tcp:80:header=after", "inside-tls or before-tls"),
            ("haproxy:nothing:80", "unknown endpoint type 'nothing'"),
        ],
    )
    def test_errors(self, description: str, text: str) -> None:
        with pytest.raises(ValueError, match=text):
            serverArguments(description)

    def test_clientErrors(self) -> None:
        for description, text in (
            ("haproxy", "names no"),
            ("haproxy:tcp:a:1:version=3", "version"),
            ("haproxy:x", "'x'"),
        ):
            with pytest.raises(ValueError, match=text):
                clientFromString(None, description)

    @pytest.mark.parametrize("description", ["haproxy:tcp:0", "HAProxy:tcp:port=0:interface=127.0.0.1"])
    def test_asTwistedReadsThem(self, description: str) -> None:
        ours, _make, arguments = serverArguments(description)
        theirs: Any = twisted.internet.endpoints.serverFromString(None, description)
        assert ours == "tcp"
        assert theirs._wrappedEndpoint._port == arguments["port"] == 0
        assert theirs._wrappedEndpoint._interface == arguments.get("interface", "")

    @pytest.mark.parametrize("place", ["before-tls", "inside-tls"])
    @pytest.mark.parametrize("kind", ["ssl", "tls"])
    def test_placeOfTheHeader(self, tcp: World, tmp_path: pathlib.Path, kind: str, place: str) -> None:
        pem = pathlib.Path(certificatePath())
        (tmp_path / "server.test.pem").write_bytes(pem.read_bytes())
        file = f"ssl:0:privateKey={pem}:interface={LOOPBACK}"
        directory = f"tls:{tmp_path}:0:interface=\\:\\:1"
        server = serverFromString(tcp.reactor, f"haproxy:{file if kind == 'ssl' else directory}:header={place}")
        host = LOOPBACK if kind == "ssl" else "::1"

        def connect(port: Any) -> Any:
            below = TCP4ClientEndpoint(tcp.reactor, host, port.getHost().port)
            header = encodeV2(CLIENT, SERVER)
            if place == "before-tls":
                return wrapClientTLS(clientOptions(), proxyClientEndpoint(below, header))
            return proxyClientEndpoint(wrapClientTLS(clientOptions(), below), header)

        protocol, _, _ = met(tcp, server, connect)
        assert protocol.transport.getPeer() == CLIENT
        assert protocol.transport.TLS

    def test_clients(self, tcp: World) -> None:
        server = serverFromString(tcp.reactor, "haproxy:tcp:0:interface=127.0.0.1")
        for version in (1, 2):
            protocol, _, _ = met(
                tcp,
                server,
                lambda port, version=version: clientFromString(
                    tcp.reactor, f"haproxy:tcp:{LOOPBACK}:{port.getHost().port}:version={version}"
                ),
            )
            assert protocol.transport.proxyHeader.version == version

    def test_clientsWithTLSBehindTheHeader(
        self, tcp: World, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
    ) -> None:
        (tmp_path / "root.pem").write_bytes(TRUST)
        server = serverFromString(
            tcp.reactor, f"haproxy:ssl:0:privateKey={certificatePath()}:interface={LOOPBACK}:header=before-tls"
        )

        def connect(port: Any) -> Any:
            number = port.getHost().port
            below = f"haproxy\\:tcp\\:{LOOPBACK}\\:{number}"
            return clientFromString(tcp.reactor, f"tls:localhost:{number}:trustRoots={tmp_path}:endpoint={below}")

        protocol, _, _ = met(tcp, server, connect)
        assert protocol.transport.TLS
        assert protocol.transport.proxyHeader.version == 2

    def test_theCommandListensOnThisMachineAlone(self, tcp: World) -> None:
        options = makeParser().parse_args(["serve", "--listen", "haproxy:tcp:0:trusted=10.0.0.0/8"])
        ((kind, endpoint),) = endpointsOf(options, tcp.reactor)
        assert kind == "tcp"
        ports: list[Any] = []
        endpoint.listen(tcp.serverFactory()).addCallback(ports.append)
        assert ports[0].getHost().host == LOOPBACK
        with dial(ports[0]):
            tcp.until(lambda: ports[0].factory.refused["untrusted"])


def test_IPv6Clients(tcp: World) -> None:
    """The header of a client over IPv6 names its addresses without scopes."""
    factory = tcp.serverFactory()
    port = tcp.reactor.listenTCP(0, HAProxyWrappingFactory(factory), interface="::1")
    clients = tcp.clientFactory()
    tcp.reactor.connectTCP("::1", port.getHost().port, ProxyClientFactory(clients))
    tcp.until(lambda: factory.built and "made" in clients.trace)
    tcp.until(lambda: factory.only.transport is not None)
    peer = factory.only.transport.getPeer()
    assert peer == IPv6Address("TCP", "::1", clients.only.transport.getHost().port)


@pytest.mark.parametrize("place", ["before-tls", "inside-tls"])
@pytest.mark.parametrize("kind", ["tcp", "ssl"])
def test_socketsOfASupervisor(tcp: World, kind: str, place: str) -> None:
    """A worker that serves a socket opened before it wants the header, too."""
    fields = f":privateKey={certificatePath()}:header={place}" if kind == "ssl" else ""
    listener = ListenPlan(endpoints=(f"haproxy:{kind}:0{fields}",))
    (spot,) = spotsOf(listener)
    with socket.create_server((LOOPBACK, 0)) as sock:
        server = endpointOf(spot, listener, tcp.reactor, sock)
        header = encodeV2(CLIENT, SERVER)

        def connect(port: Any) -> Any:
            below = TCP4ClientEndpoint(tcp.reactor, LOOPBACK, sock.getsockname()[1])
            if kind == "tcp":
                return proxyClientEndpoint(below, header)
            if place == "before-tls":
                return wrapClientTLS(clientOptions(), proxyClientEndpoint(below, header))
            return proxyClientEndpoint(wrapClientTLS(clientOptions(), below), header)

        protocol, _, _ = met(tcp, server, connect)
    assert protocol.transport.getPeer() == CLIENT
    assert bool(protocol.transport.TLS) == (kind == "ssl")
