"""`linereactor serve`: one application, on one or more ports, until a signal stops it."""

from __future__ import annotations

import argparse
import os
import re
import resource
import shlex
import socket
from contextlib import suppress
from typing import Any

from reactor._logger import escaped
from reactor.address import UNIXAddress, scopedHost
from reactor.defer import Deferred, gatherResults, maybeDeferred
from reactor.endpoints.streams import TCP4ServerEndpoint
from reactor.endpoints.strings import serverArguments
from reactor.error import CannotListenError, ReactorNotRunning
from reactor.failure import Failure
from reactor.linecore import IMPLEMENTATION
from reactor.loops.base import ReactorBase
from reactor.serving.apps import Application, lineSettings, makeApplication
from reactor.serving.drain import Drain
from reactor.serving.errors import USAGE, CommandError, reasonOf
from reactor.serving.logs import logTo, say, tellLeftOut
from reactor.serving.options import HOST, PORT, version, where
from reactor.serving.standard import demand
from reactor.serving.watch import Connections, IdleSweep, WatchedFactory
from reactor.serving.web import limitIdling
from reactor.stdio import PipeAddress, StandardIO
from reactor.task import LoopingCall

LOOPBACK = {"tcp": "127.0.0.1", "ssl": "127.0.0.1", "tcp6": "::1", "tls": "::1"}
BACKLOG = 511
TELL_EVERY = 1.0


def serve(options: argparse.Namespace, reactor: ReactorBase) -> int:
    """Serve until the reactor stops; return the exit code. CommandError if it cannot begin or go on."""
    logTo(options.log_level, reactor)
    allowDescriptors()
    broken: list[CommandError] = []

    def fail(error: CommandError) -> None:
        broken.append(error)
        server.abort()
        with suppress(ReactorNotRunning):  # the reactor may be stopping already
            reactor.stop()

    settings = lineSettings(options.delimiter, options.max_line, options.overlong)
    endpoints = endpointsOf(options, reactor)
    application = makeApplication(
        options.app,
        settings,
        options.output,
        fail,
        reactor,
        options.output_delimiter,
        root=options.root,
        http=options.http,
    )
    server = Server(reactor, application, options.idle_timeout)
    try:
        addresses = [(kind, server.listen(endpoint)) for kind, endpoint in endpoints]
        reactor.callWhenRunning(announce, options.http or options.app or "echo", application.hint, addresses)
        if application.collection is not None:
            reactor.addSystemEventTrigger("before", "shutdown", application.collection.stopBegins)
            reactor.addSystemEventTrigger("during", "shutdown", application.collection.allTaken, reactor)
        server.run()
    finally:
        server.close()
        if broken:
            with suppress(CommandError):
                application.close()
        else:
            application.close()
    if broken:
        raise broken[0]
    return 0


def endpointsOf(options: argparse.Namespace, reactor: ReactorBase) -> list[tuple[str, Any]]:
    """Return the endpoints to listen on, each with its kind.

    They are those of --listen, and with --host or --port, or without --listen, the endpoint of these two. A server
    endpoint without an interface gets the loopback one, so other machines can connect only if the user names another.
    """
    found = []
    for description in options.listen:
        try:
            kind, make, arguments = serverArguments(description)
            if kind == "stdio":
                demand((0, 1))
            if kind in LOOPBACK:
                arguments["interface"] = arguments.get("interface") or LOOPBACK[kind]
            found.append((kind, make(reactor, **arguments)))
        except (OSError, ValueError) as error:
            name = getattr(error, "filename", None)
            where = "" if name is None else f": {os.fsdecode(name)}"
            raise CommandError(f"--listen: {reasonOf(error)}{where}", USAGE) from None
    if not found or options.host is not None or options.port is not None:
        address = literalAddress(options.host or HOST)
        port = PORT if options.port is None else options.port
        found.append(("tcp", TCP4ServerEndpoint(reactor, port, BACKLOG, address)))
    return found


def literalAddress(host: str) -> str:
    """Return the address of `host`, a name or an address; IPv4 if it has one. CommandError if it has none."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise CommandError(f"--host: no address for {host!r}: {reasonOf(error)}", USAGE) from None
    return scopedHost(min(found, key=lambda entry: entry[0] != socket.AF_INET)[4])


def announce(name: str, hint: str, addresses: list[tuple[str, Any]]) -> None:
    """Write the application, its address and a command to try it to standard error.

    Standard output may be for lines. A reader of this text may send a signal at once, so it is written when the reactor
    runs.
    """
    places = " and ".join(placeOf(address) for _kind, address in addresses)
    say(f"linereactor {version()}: {name} on {places} (line core: {IMPLEMENTATION})")
    for kind, address in addresses:
        if not isinstance(address, PipeAddress):
            say(f"try:  {tryThis(hint, kind, address)}")
            break


def tryThis(hint: str, kind: str, address: Any) -> str:
    """Return `hint`, a command line with nc or curl, for a server of this kind and address."""
    if isinstance(address, UNIXAddress):
        path = shlex.quote(placeOf(address))
        return hint.format(place=f"-U {path}", url=f"--unix-socket {path} http://localhost/")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)
    if "{url}" in hint:
        isSecure = kind in ("ssl", "tls")
        # the certificate need not name this address
        url = f"--insecure https://{where(host, address.port)}/" if isSecure else f"http://{where(host, address.port)}/"
        return hint.format(url=f"--globoff {url}" if ":" in host else url)
    if kind in ("ssl", "tls"):
        place = f"openssl s_client -quiet -connect {where(host, address.port)}"
        return re.sub(r"\bnc( -\w+)? \{place\}", place, hint)
    return hint.format(place=f"{host} {address.port}")


def placeOf(address: Any) -> str:
    """Return an address as text."""
    if isinstance(address, UNIXAddress):
        return escaped(os.fsdecode(address.name or b""))
    return "standard input" if isinstance(address, PipeAddress) else where(address.host, address.port)


def allowDescriptors() -> None:
    """Raise the soft limit on open files to the hard one: each connection takes one."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Server:
    """The ports and connections of one application."""

    def __init__(self, reactor: ReactorBase, application: Application, idleTimeout: float | None) -> None:
        self._reactor = reactor
        self._factory = WatchedFactory(application.factory, self._met, application.prepare)
        self._ports: list[Any] = []
        self._pipes: list[StandardIO] = []
        self._connections = Connections(reactor)
        self._drain: Drain | None = None
        self._idleTimeout = idleTimeout
        self._sweep = None if idleTimeout is None else IdleSweep(reactor, idleTimeout, self._connections)

    def listen(self, endpoint: Any) -> Any:
        """Listen on `endpoint`, and return its address. CommandError if that fails."""
        opened: list[Any] = []
        failed: list[Failure] = []
        endpoint.listen(self._factory).addCallbacks(opened.append, failed.append)
        for failure in failed:
            error = failure.value
            if isinstance(error, CannotListenError):
                isPath = error.interface == "unix"
                place = escaped(str(error.port)) if isPath else where(error.interface or "0.0.0.0", int(error.port))
                raise CommandError(f"cannot listen on {place}: {reasonOf(error.socketError)}") from None
            raise CommandError(f"cannot listen: {reasonOf(error)}", USAGE) from None
        if not isinstance(opened[0], StandardIO):
            self._ports.append(opened[0])
        elif opened[0].disconnected:
            raise CommandError("the connection over standard input and output has ended at once")
        return opened[0].getHost()

    def run(self) -> None:
        """Run the reactor until it is stopped."""
        self._reactor.addSystemEventTrigger("before", "shutdown", self.stop)
        self._reactor.addSystemEventTrigger("during", "shutdown", self._giveUp)
        if self._sweep is not None:
            self._sweep.start()
        telling = LoopingCall(tellLeftOut)
        telling.clock = self._reactor
        telling.start(TELL_EVERY, now=False)
        try:
            self._reactor.run()
        finally:
            telling.stop()
            tellLeftOut(everything=True)

    def stop(self) -> Deferred[Any]:
        """Accept no more, and end every connection in order. The Deferred fires when all have ended.

        Clients that the kernel has let in already are accepted first, because closing the socket would reset them.
        """
        ports, self._ports = self._ports, []
        self.close()
        self._drain = Drain(self._reactor, [*self._connections, *self._pipes], ports)
        return self._drain.start()

    def _giveUp(self) -> None:
        """Give up: the reactor waits no longer."""
        if self._drain is not None:
            self._drain.giveUp()

    def abort(self) -> None:
        """Reset every connection."""
        for transport in [*self._connections, *self._pipes]:
            transport.abortConnection()

    def close(self) -> Deferred[Any]:
        """Stop accepting and sweeping. The Deferred fires when the ports are closed. Later calls do nothing."""
        if self._sweep is not None:
            self._sweep.stop()
        ports, self._ports = self._ports, []
        closed = gatherResults([maybeDeferred(port.stopListening) for port in ports])
        if ports and not self._reactor.running:
            self._reactor.iterate()
        return closed

    def _met(self, transport: Any) -> None:
        if isinstance(transport, StandardIO):
            transport.ended = self._pipeEnded
            self._pipes.append(transport)
            return
        self._connections.add(transport)
        if self._idleTimeout is not None:
            limitIdling(transport, self._idleTimeout)
        if self._drain is not None:
            self._drain.add(transport)

    def _pipeEnded(self, reason: Failure) -> None:
        """Stop, if the server serves only standard input, which has ended."""
        self._pipes.clear()
        if not self._ports:
            with suppress(ReactorNotRunning):  # the reactor is stopping already
                self._reactor.stop()
