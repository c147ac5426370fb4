"""Scenarios with addresses that have a scope, for a network namespace of their own.

tests/unit/transports/test_scopes.py runs it there.

Prints one JSON object: what each scenario has found. The loopback device has the address fe80::1, and is the scope.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable
from typing import Any

import reactor
from reactor.endpoints import HostnameEndpoint, TCP6ClientEndpoint, clientFromString, connectProtocol
from tests.support.worlds import ASYNCIO, OURS, TWISTED, UVLOOP, World

LINK = "fe80::1%lo"
realLookUp = socket.getaddrinfo


def lookUp(host: Any, port: Any, *rest: Any, **named: Any) -> Any:
    """Answer like a resolver for names on the link (RFC 6762): the scope is a number of the socket address."""
    if host == "printer.local":
        scope = socket.if_nametoindex("lo")
        return [(socket.AF_INET6, named.get("type") or socket.SOCK_STREAM, 6, "", ("fe80::1", port or 0, 0, scope))]
    return realLookUp(host, port, *rest, **named)


class Scenarios:
    def __init__(self, side: Any) -> None:
        self.world = World(side)
        self.loop = self.world.reactor

    def result(self, deferred: Any) -> Any:
        results: list[Any] = []
        deferred.addBoth(results.append)
        self.world.until(lambda: results)
        return results[0]

    def tcp(self) -> Any:
        """Addresses of every party; the client connects to what getHost() says."""
        servers, clients = self.world.serverFactory(), self.world.clientFactory()
        port = self.loop.listenTCP(0, servers, interface=LINK)
        self.port = port.getHost().port
        self.loop.connectTCP(port.getHost().host, self.port, clients, bindAddress=(LINK, 0))
        self.world.until(
            lambda: servers.built and clients.built and "made" in servers.trace and "made" in clients.trace
        )
        ends = [
            end for each in (servers, clients) for end in (each.only.transport.getHost(), each.only.transport.getPeer())
        ]
        return [[end.host, end.scopeID] for end in (port.getHost(), *ends)]

    def anyAddress(self) -> Any:
        """The address of a connection that a port for all addresses has accepted."""
        servers, clients = self.world.serverFactory(), self.world.clientFactory()
        port = self.loop.listenTCP(0, servers, interface="::")
        self.loop.connectTCP(LINK, port.getHost().port, clients)
        self.world.until(lambda: servers.built and "made" in servers.trace)
        return [servers.only.transport.getHost().host, servers.only.transport.getPeer().host]

    def connecting(self) -> Any:
        found = {}
        for name, endpoint in (
            ("literal", HostnameEndpoint(self.loop, LINK, self.port)),
            ("name", HostnameEndpoint(self.loop, "printer.local", self.port)),
            ("name as bytes", HostnameEndpoint(self.loop, b"printer.local", self.port, bindAddress=LINK.encode())),
            ("tcp6", TCP6ClientEndpoint(self.loop, "printer.local", self.port)),
            ("string", clientFromString(self.loop, f"hostname:printer.local:{self.port}")),
        ):
            protocol = self.result(connectProtocol(endpoint, reactor.Protocol()))
            found[name] = protocol.transport.getPeer().host if hasattr(protocol, "transport") else repr(protocol)
        clients = self.world.clientFactory()
        self.loop.connectTCP("printer.local", self.port, clients)
        self.world.until(lambda: clients.built)
        found["connectTCP"] = clients.only.transport.getPeer().host
        found["resolve"] = self.result(self.loop.resolve("printer.local"))
        found["destination"] = self.loop.connectTCP(LINK, self.port, self.world.clientFactory()).getDestination().host
        return found

    def adopted(self) -> Any:
        with socket.socket(socket.AF_INET6) as listening:
            listening.bind(("fe80::1", 0, 0, socket.if_nametoindex("lo")))
            listening.listen()
            port = self.loop.adoptStreamPort(listening.fileno(), socket.AF_INET6, self.world.serverFactory())
        return port.getHost().host

    def udp(self) -> Any:
        """A question and its answer, which goes to the address that came with it; then a connected port."""
        trace: list[Any] = []

        class Answering(self.world.side.protocol.DatagramProtocol):  # type: ignore[misc, name-defined]
            def datagramReceived(self, datagram: bytes, addr: Any) -> None:
                trace.append([datagram.decode(), addr[0]])
                if datagram == b"question":
                    self.transport.write(b"answer", addr)

        server = self.loop.listenUDP(0, Answering(), interface=LINK)
        name = (server.getHost().host, server.getHost().port)
        client = self.loop.listenUDP(0, Answering(), interface="::")
        client.write(b"question", name)
        self.world.until(lambda: len(trace) == 2)
        client.connect(*name)
        client.write(b"question", name)
        client.write(b"question")
        self.world.until(lambda: len(trace) == 6)
        return [name[0], client.getHost().host, sorted(trace)]

    def groups(self) -> Any:
        """Groups of one link; a group's scope and an interface that contradict each other."""
        port = self.loop.listenMulticast(0, self.world.side.protocol.DatagramProtocol(), interface="::")

        def attempt(*group: Any) -> Any:
            result = self.result(port.joinGroup(*group))
            return result if result is None else result.type.__name__

        index = socket.if_nametoindex("lo")
        left = self.result(port.leaveGroup("ff02::1%lo")) if attempt("ff02::1%lo") is None else "not joined"
        tried = [("ff02::2%lo", "lo"), (b"ff02::3%lo", b""), ("ff02::4", index), ("ff02::5%lo", index + 1)]
        return [left, *(attempt(*group) for group in tried)]

    def run(self, *names: str) -> None:
        found = {}
        for name in names:
            scenario: Callable[[], Any] = getattr(self, name)
            try:
                found[name] = scenario()
            except Exception as error:
                found[name] = repr(error)
        self.world.close()
        print(json.dumps(found))


if __name__ == "__main__":
    socket.getaddrinfo = lookUp
    side = {each.name: each for each in (OURS, ASYNCIO, UVLOOP, TWISTED)}[sys.argv[1]]
    Scenarios(side).run(*sys.argv[2:])
