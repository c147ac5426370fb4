"""`linereactor check`: tells every mistake of a configuration, and what would be served."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from typing import Any

from reactor._logger import escaped
from reactor.serving import config
from reactor.serving.apps import BUILT_IN, findApplication, isUsable
from reactor.serving.checks import applicationOf
from reactor.serving.errors import USAGE, CommandError, reasonOf
from reactor.serving.logs import say
from reactor.serving.servicefile import findService
from reactor.serving.sources import Mistake, Source
from reactor.serving.tls import contextFactory
from reactor.serving.web import filesFactory


def check(options: argparse.Namespace, reactor: Any = None) -> int:
    """Write each mistake to standard error, one a line, and return USAGE. Without any, print a summary and return 0.

    With `--no-import` no application is imported. No port is opened, and no file is written.
    """
    loaded = config.load(vars(options), os.environ)
    mistakes = list(loaded.mistakes)
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
    """Find the files and directories of a place to listen that cannot be read."""
    if "root" in origin and applicationOf(origin) == "files":
        try:
            filesFactory(origin["root"].value)
        except CommandError as error:
            yield Mistake(origin["root"].place, str(error))
    if "output" in origin and applicationOf(origin) == "collect" and origin["output"].value != "-":
        directory = os.path.dirname(origin["output"].value) or "."
        if not os.path.isdir(directory):
            yield Mistake(origin["output"].place, f"there is no directory {directory}")
    if "cert" in origin:
        names = ("key", "client-ca", "tls-minimum", "session-tickets")
        given: list[Any] = [origin[name].value if name in origin else None for name in names]
        try:
            contextFactory(origin["cert"].value, *given)
        except (OSError, ValueError) as error:
            yield Mistake(origin["cert"].place, reasonOf(error) if error.args else type(error).__name__)


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
    except CommandError as error:
        yield Mistake(place, str(error))
        return
    if not isUsable(found):
        yield Mistake(place, f"{name} is no Protocol class, no Factory, and no callable that returns one")
