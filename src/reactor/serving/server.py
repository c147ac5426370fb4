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
from reactor.endpoints.streams import TCP4ServerEndpoint
from reactor.endpoints.strings import serverArguments
from reactor.error import CannotListenError, ConnectionDone, ReactorNotRunning
from reactor.failure import Failure
from reactor.linecore import IMPLEMENTATION
from reactor.loops.base import ReactorBase
from reactor.service.limits import Limits
from reactor.service.listener import Listener
from reactor.service.server import Server
from reactor.serving.apps import lineSettings, makeApplication
from reactor.serving.errors import USAGE, CommandError, reasonOf
from reactor.serving.logs import logTo, say, tellLeftOut
from reactor.serving.options import HOST, PORT, version, where
from reactor.serving.standard import demand
from reactor.stdio import PipeAddress
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
    server = Server(reactor)
    listener = server.makeListener(
        application.factory,
        name=options.http or options.app or "echo",
        limits=Limits(idleTimeout=options.idle_timeout),
        prepare=application.prepare,
    )
    telling = LoopingCall(tellLeftOut)
    telling.clock = reactor
    try:
        addresses = [(kind, listenOn(listener, endpoint)) for kind, endpoint in endpoints]
        reactor.callWhenRunning(announce, options.http or options.app or "echo", application.hint, addresses)
        if application.collection is not None:
            reactor.addSystemEventTrigger("before", "shutdown", application.collection.stopBegins)
            reactor.addSystemEventTrigger("during", "shutdown", application.collection.allTaken, reactor)
        telling.start(TELL_EVERY, now=False)
        server.run()
    finally:
        if telling.running:
            telling.stop()
            tellLeftOut(everything=True)
        server.close()
        if broken:
            with suppress(CommandError):
                application.close()
        else:
            application.close()
    if broken:
        raise broken[0]
    return 0


def listenOn(listener: Listener, endpoint: Any) -> Any:
    """Listen on `endpoint`, and return its address. CommandError if that fails."""
    try:
        opened: list[Any] = []
        failed: list[Failure] = []
        listener.listen(endpoint).addCallbacks(opened.append, failed.append)
        for failure in failed:
            raise failure.value
        return opened[0].getHost()
    except CannotListenError as error:
        isPath = error.interface == "unix"
        place = escaped(str(error.port)) if isPath else where(error.interface or "0.0.0.0", int(error.port))
        raise CommandError(f"cannot listen on {place}: {reasonOf(error.socketError)}") from None
    except ConnectionDone as error:
        raise CommandError(str(error)) from None
    except Exception as error:
        raise CommandError(f"cannot listen: {reasonOf(error)}", USAGE) from None


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
