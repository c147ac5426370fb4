"""`linereactor check`: tells every mistake of a configuration, and what would be served."""

from __future__ import annotations

import argparse
import errno
import os
from collections.abc import Iterator
from typing import Any

from reactor._logger import escaped, shortened
from reactor.endpoints.systemd import familyOf
from reactor.serving import config
from reactor.serving.adminpages import checkAdmin
from reactor.serving.apps import BUILT_IN, checkHandler, checkUsable, findApplication
from reactor.serving.checks import applicationOf
from reactor.serving.endpointstrings import checkInterface, endpointReason, parsed
from reactor.serving.errors import USAGE, CommandError, reasonOf
from reactor.serving.logs import say
from reactor.serving.places import literalAddress
from reactor.serving.servicefile import findService
from reactor.serving.sources import Mistake, Source
from reactor.serving.tls import contextFactory
from reactor.serving.web import filesFactory


def check(options: argparse.Namespace, reactor: Any = None) -> int:
    """Write each mistake to standard error, one a line, and return USAGE. Without any, print a summary and return 0.

    The server's own checks are made here too, up to the moment before it opens a port or a file. With `--no-import`
    no application is imported. No port is opened, no file is written, and no application is called.
    """
    loaded = config.load(vars(options), os.environ)
    mistakes = [*loaded.mistakes, *ofProcess(loaded.process)]
    for origin in loaded.origins:
        mistakes.extend(ofFiles(origin))
        if not options.no_import:
            mistakes.extend(ofImport(origin))
    if mistakes or loaded.plan is None:
        for line in dict.fromkeys(map(str, mistakes)):
            say(line)
        return USAGE
    for line in loaded.plan.summary():
        print(escaped(line))
    return 0


def ofFiles(origin: Source) -> Iterator[Mistake]:
    """Find the files and directories of a place to listen that cannot be used, and a host without an address."""
    if "host" in origin:
        try:
            literalAddress(origin["host"].value)
        except CommandError as error:
            yield Mistake(origin["host"].place, str(error).removeprefix("--host: "))
    if "root" in origin and applicationOf(origin) == "files":
        try:
            filesFactory(origin["root"].value)
        except CommandError as error:
            yield Mistake(origin["root"].place, str(error))
    if "output" in origin and applicationOf(origin) == "collect" and origin["output"].value != "-":
        text = _ofOutput(origin["output"].value, "rotate-size" in origin or "rotate-every" in origin)
        if text is not None:
            yield Mistake(origin["output"].place, text)
    for endpoint in origin["endpoint"].value if "endpoint" in origin else ():
        text = _ofEndpoint(endpoint)
        if text is not None:
            yield Mistake(origin["endpoint"].place, text)
    if "cert" in origin:
        names = ("key", "client-ca", "tls-minimum", "session-tickets")
        given: list[Any] = [origin[name].value if name in origin else None for name in names]
        try:
            contextFactory(origin["cert"].value, *given)
        except (OSError, ValueError) as error:
            yield Mistake(origin["cert"].place, endpointReason(error))


def _ofOutput(path: str, rotates: bool) -> str | None:
    """Return the reason for which the output of collect cannot be opened, None if there is none."""
    directory = os.path.dirname(path) or "."
    try:
        os.stat(path)
    except FileNotFoundError:
        if not os.path.isdir(directory):
            return f"there is no directory {directory}"
        return None if os.access(directory, os.W_OK | os.X_OK) else f"no file can be made in {directory}"
    except OSError as error:
        return f"cannot open {shortened(path)}: {reasonOf(error)}"
    if os.path.isdir(path):
        return f"cannot open {path}: {os.strerror(errno.EISDIR)}"
    if not os.access(path, os.W_OK):
        return f"cannot open {path}: {os.strerror(errno.EACCES)}"
    if rotates and not os.path.isfile(path):
        return f"cannot rotate {path}: it is no regular file with a name of its own"
    return None


def _ofEndpoint(description: str) -> str | None:
    """Return the reason for which the files of an endpoint cannot be used, None if there is none.

    The sockets of `systemd:` are there only when systemd starts the server. So they are not looked for.
    """
    try:
        found = parsed(description)
    except (OSError, ValueError):
        return None  # that mistake is known already
    try:
        checkInterface(found)
        if found.kind == "systemd":
            familyOf(found.arguments["domain"])
        elif found.kind in ("ssl", "tls"):
            found.make(None, **found.arguments)  # it keeps the reactor for later
    except (OSError, ValueError) as error:
        return endpointReason(error)
    return None


def ofProcess(process: Source) -> Iterator[Mistake]:
    """Find a log that cannot be opened, and a place for the admin pages that cannot be."""
    if "log-file" in process:
        text = _ofOutput(process["log-file"].value, rotates=False)
        if text is not None:
            yield Mistake(process["log-file"].place, text)
    if "admin" in process:
        try:
            checkAdmin(process["admin"].value)
        except CommandError as error:
            yield Mistake(process["admin"].place, str(error).removeprefix("--admin: "))


def ofImport(origin: Source) -> Iterator[Mistake]:
    """Find an application that cannot be imported, or that is none."""
    name = applicationOf(origin)
    if "service" in origin:
        try:
            findService(name)
        except CommandError as error:
            yield Mistake(origin["service"].place, str(error).removeprefix("--service: "))
        return
    key = next((key for key in ("app", "http") if key in origin), None)
    if key is None or name in BUILT_IN:
        return
    place = origin[key].place
    try:
        found = findApplication(name)
        arguments = origin["arguments"].value if "arguments" in origin else None
        (checkHandler if key == "http" else checkUsable)(found, name, arguments)
    except CommandError as error:
        yield Mistake(place, str(error))
