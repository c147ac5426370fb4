"""The admin pages of `serve --admin`: in the one process, or in a process of their own beside the workers."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from reactor.defer import Deferred, maybeDeferred
from reactor.endpoints.streams import TCP4ServerEndpoint, UNIXServerEndpoint
from reactor.loops.base import ReactorBase
from reactor.service.admin.handler import adminFactory
from reactor.service.admin.sources import LocalSource, RemoteSource
from reactor.service.reuse import UNIX, Place
from reactor.service.server import Server
from reactor.service.worker import Worker
from reactor.serving.errors import USAGE, CommandError, reasonOf
from reactor.serving.logs import reopen
from reactor.serving.options import version
from reactor.serving.places import BACKLOG, cannotListen, checkInherited, literalAddress
from reactor.serving.plan import Plan
from reactor.serving.values import splitPlace
from reactor.transports.unix.path import checkName

SOCKET = "@admin"  # its name among the sockets of a supervisor
MODE = 0o600  # of a UNIX socket: the pages tell the addresses of clients


def placeOf(text: str) -> Place:
    """Return the place of --admin for a supervisor, which opens the socket."""
    if text.startswith("unix:"):
        return Place.unix(text.removeprefix("unix:"), BACKLOG, MODE)
    host, port = splitPlace(text)
    return Place.tcp(port, literalAddress(host, "--admin"), BACKLOG)


def checkAdmin(text: str) -> None:
    """CommandError if the pages cannot be served at this place, whatever is open."""
    try:
        place = placeOf(text)
        if place.kind == UNIX:
            checkName(place.path)
    except OSError as error:
        raise CommandError(f"--admin: {reasonOf(error)}", USAGE, "admin") from None


class OwnPages:
    """The pages of a server in one process. `stats` returns its snapshot."""

    def __init__(self, plan: Plan, reactor: ReactorBase, stats: Callable[[], Any]) -> None:
        assert plan.admin is not None
        self.source = LocalSource(stats, version=version(), configuration=plan.config, reactor=reactor)
        text = plan.admin
        endpoint: Any
        if text.startswith("unix:"):
            endpoint = UNIXServerEndpoint(reactor, text.removeprefix("unix:"), BACKLOG, MODE)
        else:
            host, port = splitPlace(text)
            endpoint = TCP4ServerEndpoint(reactor, port, BACKLOG, literalAddress(host, "--admin"))
        self._port = _listening(endpoint, self.source)
        self.address = self._port.getHost()

    def close(self) -> Deferred[Any]:
        """Close the port."""
        return maybeDeferred(self._port.stopListening)


def serveAdmin(reactor: ReactorBase, worker: Worker) -> int:
    """Serve the pages in this process, which a supervisor has started for them, until it stops.

    At a reload another process takes its place. So it drains, and answers the clients that it has let in.
    """
    source = RemoteSource(version=version(), reactor=reactor)
    server = Server(reactor)
    listener = server.makeListener(adminFactory(source), name="admin")

    def feed(status: dict[str, Any]) -> None:
        with suppress(ValueError):  # of a supervisor with another version, for the time of an update
            source.feed(status)

    def take(_name: str, sock: socket.socket) -> None:
        with sock:  # of a path that was bound anew
            listener.adopt(sock)

    for sock in worker.sockets[SOCKET]:
        checkInherited(sock, SOCKET)
        listener.adopt(sock)
    worker.onTake(take)
    worker.onStatus(feed)
    worker.onReopen(reopen)
    worker.onDrain(server.drain)
    worker.ready()
    reactor.run()
    return 0


def _listening(endpoint: Any, source: Any) -> Any:
    """Serve the pages at `endpoint`, and return the port. CommandError if that fails."""
    ports: list[Any] = []
    failures: list[Any] = []
    endpoint.listen(adminFactory(source)).addCallbacks(ports.append, failures.append)
    for failure in failures:
        error = cannotListen(failure.value)
        raise CommandError(f"--admin: {error}", error.code, "admin") from None
    return ports[0]
