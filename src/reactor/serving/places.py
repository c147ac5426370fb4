"""Places to listen: from the strings of a plan to endpoints, sockets of a supervisor, and errors in one line."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

from reactor._defaults import SOCKET_MODE
from reactor._logger import escaped, quoted
from reactor.address import scopedHost
from reactor.defer import execute
from reactor.endpoints.pemfiles import PEMDirectory, serverOptions
from reactor.endpoints.streams import TCP4ServerEndpoint
from reactor.endpoints.strings import ProxiedMaker
from reactor.endpoints.systemd import ListenFDs
from reactor.endpoints.tls import wrapServerTLS
from reactor.error import CannotListenError, ConnectionDone
from reactor.haproxy.listening import proxyEndpoint
from reactor.service.control import SOCKETS
from reactor.service.reuse import Place
from reactor.serving.collect import Collection
from reactor.serving.collecting.datagrams import DatagramCollector
from reactor.serving.collecting.places import (
    LARGEST_UDP,
    LARGEST_UNIX,
    DatagramPlace,
    listenForDatagrams,
)
from reactor.serving.endpointstrings import LOOPBACK, TWICE, Parsed, endpointReason, parsed
from reactor.serving.errors import USAGE, CommandError, reasonOf
from reactor.serving.plan import ListenPlan
from reactor.serving.setting import HOST, PORT
from reactor.serving.standard import demand
from reactor.serving.tls import contextFactory
from reactor.serving.values import where
from reactor.tlsoptions import ContextFactory
from reactor.transports.adopting import adoptUNIXDatagramPort

BACKLOG = 511


class Spot(Parsed):
    """One endpoint of a plan."""

    @property
    def isSecure(self) -> bool:
        """Whether the endpoint itself serves TLS."""
        return self.kind in ("ssl", "tls")

    def place(self) -> Place:
        """Return the place for a supervisor, which opens the socket. CommandError if workers cannot share it."""
        given = self.arguments
        if self.kind == "unix":
            return Place.unix(given["address"], given["backlog"], given.get("mode", SOCKET_MODE))
        if "sslmethod" in given:
            raise CommandError("workers take --tls-minimum in place of the field sslmethod", USAGE)
        if self.kind == "unixgram":
            return Place.unixDatagram(given["address"], given.get("mode", SOCKET_MODE))
        if self.kind == "udp":
            return Place.udp(given["port"], given["interface"])
        if self.kind in LOOPBACK:
            return Place.tcp(given.get("port", 443), given["interface"], given["backlog"])
        if self.kind == "systemd":
            return Place.inherited(ListenFDs.fromEnvironment().find(given.get("index"), given.get("name")))
        raise CommandError(f"workers cannot share a {self.kind} endpoint", USAGE)

    def contexts(self) -> ContextFactory | None:
        """Return the contexts of an endpoint that serves TLS, for a socket that is open already."""
        given = self.arguments
        if self.kind == "tls":
            return PEMDirectory(given["path"]).options()
        if self.kind == "ssl":
            key = given.get("privateKey", "server.pem")
            return serverOptions(key, given.get("certKey"), given.get("extraCertChain"))
        return None


class SocketEndpoint:
    """A server endpoint on a listening socket of someone else, which stays open."""

    def __init__(self, reactor: Any, sock: socket.socket) -> None:
        self._reactor = reactor
        self._socket = sock

    def listen(self, protocolFactory: Any) -> Any:
        """See IStreamServerEndpoint."""
        sock = self._socket
        return execute(self._reactor.adoptStreamPort, sock.fileno(), sock.family, protocolFactory)


def spotsOf(listener: ListenPlan) -> Iterator[Spot]:
    """Return the endpoints of a place to listen. CommandError for one that cannot be.

    They are its strings, and with a host or port, or without strings, the endpoint of these two. An endpoint without an
    interface gets the loopback one, so other machines can connect only if the user names another.
    """
    backlog = listener.backlog or BACKLOG
    if listener.service is not None and not listener.endpoints:
        return
    for description in listener.endpoints:
        spot = _spot(description, listener)
        if spot.kind in LOOPBACK or spot.kind == "unix":
            spot.arguments.setdefault("backlog", backlog)
        yield spot
    if not listener.endpoints or listener.host is not None or listener.port is not None:
        address = literalAddress(listener.host or HOST)
        port = PORT if listener.port is None else listener.port
        yield Spot("tcp", TCP4ServerEndpoint, {"port": port, "interface": address, "backlog": backlog})


def _spot(description: str, listener: ListenPlan) -> Spot:
    try:
        found = Spot(*parsed(description))
    except (OSError, ValueError) as error:
        raise _endpointError(error) from None
    if found.isProxied and listener.proxy is not None:
        raise _endpointError(ValueError(TWICE))
    if found.kind == "stdio":
        demand((0, 1))
    if found.kind in LOOPBACK:
        found.arguments["interface"] = found.arguments.get("interface") or LOOPBACK[found.kind]
    return found


def _endpointError(error: Exception) -> CommandError:
    return CommandError(f"--listen: {endpointReason(error)}", USAGE, "endpoint")


def endpointsOf(options: Any, reactor: Any) -> list[tuple[str, Any]]:
    """Return the endpoints of options `listen`, `host` and `port`, each with its kind. CommandError for a wrong one."""
    listener = ListenPlan(endpoints=tuple(options.listen or ()), host=options.host, port=options.port)
    return [(spot.kind, opened(spot, reactor)) for spot in spotsOf(listener)]


def opened(spot: Spot, reactor: Any) -> Any:
    """Return the endpoint of `spot`. CommandError if its files cannot be used."""
    try:
        return spot.make(reactor, **spot.arguments)
    except (OSError, ValueError) as error:
        raise _endpointError(error) from None


def endpointOf(spot: Spot, listener: ListenPlan, reactor: Any, sock: socket.socket | None = None) -> Any:
    """Return the endpoint of `spot`, with the TLS and the PROXY headers of `listener`.

    `sock` is the socket that a supervisor has opened for it, if there is one.
    """
    contexts = None
    if sock is None:
        endpoint = opened(spot, reactor)
    else:
        endpoint = SocketEndpoint(reactor, sock)
        try:
            contexts = spot.contexts()
        except (OSError, ValueError) as error:
            raise _endpointError(error) from None
        if isinstance(spot.make, ProxiedMaker):
            if contexts is not None and not spot.make.isBeforeTLS:
                endpoint, contexts = wrapServerTLS(contexts, endpoint), None
            endpoint = spot.make.wrap(endpoint)
    if listener.cert is not None and not (spot.isSecure or spot.kind == "stdio"):
        contexts = _contextsOf(listener)
    if listener.proxy is not None and listener.proxyBeforeTls:
        endpoint = proxyEndpoint(endpoint, listener.proxy)
    if contexts is not None:
        endpoint = wrapServerTLS(contexts, endpoint)
    if listener.proxy is not None and not listener.proxyBeforeTls:
        endpoint = proxyEndpoint(endpoint, listener.proxy)
    return endpoint


def checkInherited(sock: socket.socket, name: str, isDatagram: bool = False) -> None:
    """CommandError unless `sock`, which a supervisor has given for `name`, is of the right kind."""
    kind = socket.SOCK_DGRAM if isDatagram else socket.SOCK_STREAM
    isFit = sock.family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX) and sock.type == kind
    if isFit and not isDatagram:
        isFit = bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    if not isFit:
        wanted = "a socket for datagrams" if isDatagram else "a listening socket"
        raise CommandError(f"{SOCKETS}: descriptor {sock.fileno()} for {name} is not {wanted}", USAGE)


def datagramPort(spot: Spot, collection: Collection, reactor: Any, sock: socket.socket | None = None) -> Any:
    """Have `collection` keep the datagrams that come to `spot`, and return the port. CommandError if that fails."""
    longest = collection.protocol.MAX_LENGTH
    try:
        if sock is None:
            return listenForDatagrams(reactor, DatagramPlace(spot.kind, spot.arguments), collection, longest)
        protocol = DatagramCollector(reactor, collection, longest)
        if sock.family == socket.AF_UNIX:
            return adoptUNIXDatagramPort(reactor, sock.fileno(), protocol, LARGEST_UNIX)
        return reactor.adoptDatagramPort(sock.fileno(), sock.family, protocol, LARGEST_UDP)
    except CannotListenError as error:
        raise cannotListen(error) from None


def _contextsOf(listener: ListenPlan) -> ContextFactory:
    assert listener.cert is not None
    try:
        return contextFactory(
            listener.cert, listener.key, listener.clientCa, listener.tlsMinimum, listener.sessionTickets
        )
    except (OSError, ValueError) as error:
        raise CommandError(f"cannot serve TLS: {endpointReason(error)}", USAGE, "cert") from None


def literalAddress(host: str, option: str = "--host") -> str:
    """Return the address of `host`, a name or an address; IPv4 if it has one. CommandError if it has none."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        text = f"{option}: no address for {quoted(host)}: {reasonOf(error)}"
        raise CommandError(text, USAGE, option.removeprefix("--")) from None
    return scopedHost(min(found, key=lambda entry: entry[0] != socket.AF_INET)[4])


def cannotListen(error: BaseException) -> CommandError:
    """Return the error in one line for an endpoint that cannot listen."""
    if isinstance(error, CannotListenError):
        host = error.interface or "0.0.0.0"
        place = escaped(str(error.port)) if host == "unix" else where(host, int(error.port))
        if host.startswith("descriptor "):
            place = host  # of a supervisor's inherited socket
        return CommandError(f"cannot listen on {place}: {reasonOf(error.socketError)}", key="endpoint")
    if isinstance(error, ConnectionDone):
        return CommandError(str(error), key="endpoint")
    return CommandError(f"cannot listen: {reasonOf(error)}", USAGE, "endpoint")
