"""Hosts that are bytes, and bindings: everywhere where a host or a port is taken, as in Twisted."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
import twisted.internet.tcp

from reactor import Factory, IPv4Address, Protocol, makeBinding
from reactor.address import IPv6Address, hostText, isIPAddress, isIPv6Address
from reactor.endpoints import (
    HostnameEndpoint,
    SSL4ServerEndpoint,
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    TCP6ClientEndpoint,
    TCP6ServerEndpoint,
    clientFromString,
    connectProtocol,
    quoteStringArgument,
    serverFromString,
)
from reactor.error import CannotListenError, DNSLookupError
from reactor.testing import MemoryReactor
from tests.support.datagrams import worldOf
from tests.support.tlsworlds import certificatePath, clientOptions, serverOptions
from tests.support.worlds import LOOPBACK, LOOPS, SIDES, TWISTED, World


@pytest.fixture(params=[pytest.param(side, id=side.name) for side in LOOPS])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    world = World(request.param)
    yield world
    world.close()


def peerOf(world: World, endpoint: Any) -> str:
    """Connect, and return the host of the other side."""
    results: list[Any] = []
    connectProtocol(endpoint, Protocol()).addBoth(results.append)
    world.until(lambda: results)
    assert isinstance(results[0], Protocol), results[0]
    peer: str = results[0].transport.getPeer().host
    return peer


@pytest.mark.parametrize("host", [b"127.0.0.1", b"localhost", b"::1"])
def test_bytesOverTCP(world: World, host: bytes) -> None:
    loop, name = world.reactor, host.decode()
    interface = b"::1" if b":" in host else b"127.0.0.1"
    servers = world.serverFactory()
    port = loop.listenTCP(0, servers, interface=interface).getHost()
    assert port.host == interface.decode()
    clients = world.clientFactory()
    connector = loop.connectTCP(host, port.port, clients, bindAddress=(interface, 0))
    assert connector.host == name
    world.until(lambda: clients.built)
    assert clients.only.transport.hostname == name
    endpoints: list[Any] = [HostnameEndpoint(loop, host, port.port, bindAddress=interface)]
    kinds: dict[bytes, list[Any]] = {
        b"127.0.0.1": [TCP4ClientEndpoint],
        b"::1": [TCP6ClientEndpoint],
        b"localhost": [TCP4ClientEndpoint],
    }
    endpoints += [kind(loop, host, port.port, bindAddress=(interface, 0)) for kind in kinds[host]]
    escaped = quoteStringArgument(host).encode()
    endpoints.append(clientFromString(loop, b"hostname:%s:%d" % (escaped, port.port)))
    assert [peerOf(world, endpoint) for endpoint in endpoints] == [interface.decode()] * 3


def test_bytesOverTLS(world: World) -> None:
    """The name is what is verified, too."""
    loop, servers, clients = world.reactor, world.serverFactory(), world.clientFactory()
    port = loop.listenSSL(0, servers, serverOptions(), interface=b"127.0.0.1").getHost().port
    loop.connectSSL(b"localhost", port, clients, clientOptions(), bindAddress=b"127.0.0.1")
    world.until(lambda: clients.built and "made" in clients.trace)
    assert clients.only.transport.getPeer().host == LOOPBACK


def test_bytesOverUDP() -> None:
    for side in (*LOOPS, TWISTED):
        with worldOf(side) as world:
            port = world.reactor.listenUDP(0, world.protocol(), interface=b"127.0.0.1")
            assert port.getHost().host == LOOPBACK
            if side is TWISTED:  # which wants the text there
                continue
            other = world.listen()
            name = (b"127.0.0.1", port.getHost().port)
            other.transport.write(b"one", name)
            other.transport.connect(*name)
            other.transport.write(b"two", name)
            other.transport.writeSequence([b"th", b"ree"])
            world.until(lambda port=port: len(port.protocol.trace) == 4)
            found = [event[1] for event in port.protocol.trace if event[0] == "received"]
            assert found == [b"one", b"two", b"three"]


@pytest.mark.parametrize("side", [pytest.param(side, id=side.name) for side in SIDES])
def test_sequencesOverUDP(side: Any) -> None:
    """One datagram of several pieces."""
    with worldOf(side) as world:
        sender, receiver = world.listen(), world.listen()
        sender.transport.writeSequence([b"a", b"b"], (LOOPBACK, receiver.transport.getHost().port))
        world.until(lambda: len(receiver.trace) > 1)
        assert receiver.trace[1][1] == b"ab"


def test_multicastByBytes() -> None:
    with worldOf(LOOPS[0]) as world:
        port = world.reactor.listenMulticast(0, world.protocol(), interface=b"127.0.0.1")
        results: list[Any] = []
        port.joinGroup(b"239.255.42.7", b"127.0.0.1").addBoth(results.append)
        port.leaveGroup(b"239.255.42.7", b"127.0.0.1").addBoth(results.append)
        port.setOutgoingInterface(b"127.0.0.1").addBoth(results.append)
        assert results == [None, None, 1]
        assert port.getOutgoingInterface() == LOOPBACK


def test_whatIsNoHost(world: World) -> None:
    """Bytes that are no text fail as a name that is none, later; anything else is a TypeError at once."""
    loop, results = world.reactor, list[Any]()
    clients = world.clientFactory()
    loop.connectTCP(b"\xff-garbage", 1, clients)
    loop.resolve(b"\xff-garbage").addErrback(results.append)
    endpoint = HostnameEndpoint(loop, b"\xff-garbage", 80)
    assert repr(endpoint) == "<HostnameEndpoint \\xff-garbage:80>"
    endpoint.connect(Factory.forProtocol(Protocol)).addErrback(results.append)
    world.until(lambda: len(results) == 2 and clients.trace[-1] == "stop")
    assert clients.trace[2] == ("failed", "disconnected", "DNSLookupError")
    assert [result.type for result in results] == [DNSLookupError] * 2
    with pytest.raises(CannotListenError):
        loop.listenTCP(0, world.serverFactory(), interface=b"\xff")
    for wrong in (None, 7, ["127.0.0.1"]):
        with pytest.raises(TypeError, match="a host is a str or bytes, not"):
            loop.connectTCP(wrong, 1, clients)
        with pytest.raises(TypeError, match="a host is a str or bytes, not"):
            HostnameEndpoint(loop, wrong, 1)  # type: ignore[arg-type]
    assert clients.trace == clients.trace[:4]


def test_literalsOfBytes() -> None:
    assert [isIPAddress(host) for host in (b"4.3.2.1", b"4.3.2", b"\xff", b"::1")] == [True, False, False, False]
    assert [isIPv6Address(host) for host in (b"::1", b"fe80::1%lo", b"4.3.2.1", b"\xff")] == [True, True, False, False]
    assert hostText(b"a.example") == hostText("a.example") == "a.example"


@pytest.mark.parametrize("side", [pytest.param(side, id=side.name) for side in (*LOOPS, TWISTED)])
def test_severalOnOnePort(side: Any) -> None:
    """With reusePort two sockets listen on one port; without it the second one cannot."""
    world = World(side)
    make = twisted.internet.tcp.makeBinding if side is TWISTED else makeBinding
    first = world.reactor.listenTCP(make(LOOPBACK, 0, reusePort=True), world.serverFactory())
    number = first.getHost().port
    second = world.reactor.listenTCP(make(LOOPBACK, number, reusePort=True), world.serverFactory())
    assert second.getHost().port == number
    for wrong in (number, make(LOOPBACK, number), make(LOOPBACK, number, reuseAddress=True)):
        with pytest.raises(side.error.CannotListenError):
            world.reactor.listenTCP(wrong, world.serverFactory(), interface=LOOPBACK)
    with pytest.raises(ValueError, match=r"interface|Inconsistent"):
        world.reactor.listenTCP(make(LOOPBACK, 0), world.serverFactory(), interface="127.0.0.2")
    world.close()


def optionsOf(sock: socket.socket) -> tuple[bool, bool]:
    return tuple(bool(sock.getsockopt(socket.SOL_SOCKET, each)) for each in (socket.SO_REUSEADDR, socket.SO_REUSEPORT))  # type: ignore[return-value]


@pytest.mark.parametrize("options", [(False, False), (True, False), (False, True), (True, True)])
def test_optionsOfBindings(world: World, options: tuple[bool, bool]) -> None:
    """Each says exactly what it was made with, for ports, connections, endpoints, and TLS; IPv6 too."""
    loop = world.reactor
    binding = makeBinding(b"127.0.0.1", 0, *options)
    port = loop.listenTCP(binding, world.serverFactory())
    assert optionsOf(port.socket) == options
    assert (port.port, port.interface) == (0, LOOPBACK)
    clients = world.clientFactory()
    loop.connectTCP(LOOPBACK, port.getHost().port, clients, bindAddress=makeBinding(LOOPBACK, 0, *options))
    world.until(lambda: clients.built)
    assert optionsOf(clients.only.transport.getHandle()) == options
    for six in (
        loop.listenTCP(makeBinding("::1", 0, *options), world.serverFactory()),
        loop.listenSSL(makeBinding("::1", 0, *options), world.serverFactory(), serverOptions()),
    ):
        assert (six.getHost().host, optionsOf(six.socket)) == ("::1", options)
    listening: list[Any] = []
    for endpoint in (
        TCP4ServerEndpoint(loop, binding),
        TCP6ServerEndpoint(loop, makeBinding("::1", 0, *options), interface="::1"),
        SSL4ServerEndpoint(loop, binding, serverOptions()),
    ):
        endpoint.listen(world.serverFactory()).addCallback(listening.append)
    assert [optionsOf(each.socket) for each in listening] == [options] * 3
    for kind in (TCP4ClientEndpoint, HostnameEndpoint):
        results: list[Any] = []
        client: Any = kind(loop, LOOPBACK, port.getHost().port, bindAddress=binding)
        connectProtocol(client, Protocol()).addBoth(results.append)
        world.until(lambda results=results: results)
        assert optionsOf(results[0].transport.getHandle()) == options


def test_bindingsThatAreNone() -> None:
    with pytest.raises(ValueError, match="a port is a number"):
        makeBinding("", 70000)
    with pytest.raises(TypeError, match="a host is"):
        makeBinding(7)  # type: ignore[arg-type]


def test_memoryReactors() -> None:
    memory = MemoryReactor()
    binding, factory = makeBinding("::1", 7), Factory()
    assert memory.listenTCP(binding, factory).getHost() == IPv6Address("TCP", "::1", 7)
    assert memory.listenSSL(makeBinding(port=8), factory, None).getHost() == IPv4Address("TCP", "0.0.0.0", 8)
    assert memory.tcpServers == [(binding, factory, 50, "")]


def test_oneVersionOfTLS(world: World) -> None:
    """sslmethod=TLSv1_2_METHOD: that version and no other."""
    for text, version in ((":sslmethod=TLSv1_2_METHOD", "TLSv1.2"), ("", "TLSv1.3")):
        servers, ports = world.serverFactory({"made": lambda made: None}), list[Any]()
        endpoint = serverFromString(
            world.reactor, f"ssl:0:privateKey={certificatePath()}:interface=127.0.0.1{text}".encode()
        )
        endpoint.listen(servers).addCallback(ports.append)
        clients = world.clientFactory()
        world.reactor.connectSSL("localhost", ports[0].getHost().port, clients, clientOptions())
        world.until(lambda clients=clients: "made" in clients.trace)
        assert clients.only.transport.getTLSVersion() == version
