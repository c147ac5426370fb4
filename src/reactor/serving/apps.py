"""From the name of an application to a factory for its connections."""

from __future__ import annotations

import importlib
import inspect
import logging
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from reactor._logger import escaped
from reactor.linereceiver import LineReceiver
from reactor.protocol import Factory, ServerFactory
from reactor.serving.chat import Room
from reactor.serving.collect import Collection
from reactor.serving.echo import Echo
from reactor.serving.errors import USAGE, CommandError, reasonOf
from reactor.serving.framing import LF, Framing
from reactor.serving.linefile import openOutput
from reactor.serving.options import DELIMITERS, SAME, Delimiter
from reactor.serving.web import filesFactory, handlerFactory, webFactoryOf

BUILT_IN = ("echo", "chat", "collect", "files")
LINE_OPTIONS = "--delimiter, --max-line and --overlong"
CURL = "curl {url}"


@dataclass
class Application:
    """A served application: its factory, a call for each of its protocols, a command to try it, and its end.

    The command is a pattern for a place, in the form of nc's arguments, or for an address if it is one of curl.
    """

    factory: Any
    prepare: Callable[[Any], None] | None
    hint: str
    close: Callable[[], None] = lambda: None
    collection: Collection | None = None


def lineSettings(delimiter: Delimiter | None, maxLine: int | None, overlong: str | None) -> dict[str, Any]:
    """Return the attributes to set on a LineReceiver; None means that an option was not given."""
    settings: dict[str, Any] = {}
    if delimiter is not None:
        settings |= delimiter._asdict()
    if maxLine is not None:
        settings["MAX_LENGTH"] = maxLine
    if overlong is not None:
        settings["overlong"] = overlong
        if overlong == "skip":
            settings["skippedLevel"] = logging.WARNING  # the client did not choose to lose lines here
    return settings


def makeApplication(
    name: str | None,
    settings: dict[str, Any],
    output: str | None,
    fail: Callable[[CommandError], object],
    reactor: Any = None,
    outputDelimiter: str | None = None,
    root: str | None = None,
    http: str | None = None,
) -> Application:
    """Return the application called `name`, with `settings` for its lines. CommandError if there is none.

    `fail` is called later, with a CommandError, if the application cannot go on. `reactor` writes the waiting output of
    collect. `root` is the directory of files. `http` is the name of a handler; then `name` is None.
    """
    if http is not None and name is not None:
        raise CommandError("--http names the application: leave out APP", USAGE)
    if http is not None and not any(mark in http for mark in (":", "/", ".py")):
        raise CommandError(f"no application {http!r}: --http takes package.module:handler", USAGE)
    if name is None:
        name = "echo" if http is None else http
    if root is not None and name != "files":
        raise CommandError("--root is for files only", USAGE)
    if outputDelimiter is not None and name != "collect":
        raise CommandError("--output-delimiter is for collect only", USAGE)
    if (output is not None) != (name == "collect"):
        raise CommandError("collect needs --output FILE" if output is None else "--output is for collect only", USAGE)
    if name == "echo":
        return Application(
            tuned(ServerFactory.forProtocol(Echo), settings), None, r"printf 'hello\r\n' | nc -q1 {place}"
        )
    if name == "chat":
        return Application(tuned(Room(), settings), None, "nc {place}")
    if output is not None:
        file = openOutput(output, framingOf(settings.get("delimiter", LF), outputDelimiter), reactor)
        collection = tuned(Collection(file, fail), settings)
        return Application(collection, None, "nc -N {place} < FILE", file.close, collection)
    if name == "files":
        return _webApplication(filesFactory(root), name, settings)
    found = findApplication(name)
    factory = asFactory(found, name) if http is None else handlerFactory(found, name)
    if webFactoryOf(factory) is not None:
        return _webApplication(factory, name, settings)
    prepare = None
    if settings:
        tuned(factory, settings)
        prepare = _Setter(settings, name)
        plain = getattr(type(factory), "buildProtocol", None) is Factory.buildProtocol
        if plain and inspect.isclass(factory.protocol) and not isLineReceiver(factory.protocol):
            raise prepare.refusal(factory.protocol)
    return Application(factory, prepare, "nc {place}")


def _webApplication(factory: Any, name: str, settings: dict[str, Any]) -> Application:
    """Return the application of a factory that serves HTTP. CommandError for settings of lines."""
    if settings:
        raise CommandError(f"{LINE_OPTIONS} are for servers of lines, and {name} serves HTTP", USAGE)
    return Application(factory, None, CURL)


def framingOf(incoming: bytes, chosen: str | None) -> Framing:
    """Return the framing of collect's file: `incoming` ends the clients' lines, `chosen` is --output-delimiter."""
    if chosen is None:
        return Framing(incoming)
    return Framing(incoming, incoming if chosen == SAME else DELIMITERS[chosen].delimiter)


def tuned(factory: Any, settings: dict[str, Any]) -> Any:
    """Make `factory` build a subclass of its LineReceiver class, with `settings`; return the factory."""
    protocol: Any = getattr(factory, "protocol", None)
    if settings and isLineReceiver(protocol):
        namespace = {**settings, "__module__": protocol.__module__, "__qualname__": protocol.__qualname__}
        factory.protocol = type(protocol.__name__, (protocol,), namespace)
    return factory


def isLineReceiver(thing: Any) -> bool:
    """Whether `thing` is a LineReceiver class."""
    return inspect.isclass(thing) and issubclass(thing, LineReceiver)


class _Setter:
    """Gives `settings` to LineReceivers of a factory with a buildProtocol of its own. CommandError for others."""

    def __init__(self, settings: dict[str, Any], name: str) -> None:
        self._settings = settings
        self._name = name

    def __call__(self, protocol: Any) -> None:
        if not isinstance(protocol, LineReceiver):
            raise self.refusal(type(protocol))
        for key, value in self._settings.items():
            if getattr(protocol, key, None) != value:
                setattr(protocol, key, value)

    def refusal(self, protocol: type) -> CommandError:
        """Return the error for an application whose protocol has no such settings."""
        return CommandError(f"{LINE_OPTIONS} are for LineReceivers, and {self._name} serves {protocol.__name__}", USAGE)


def findApplication(name: str) -> Any:
    """Return the object `package.module:name`; the module may lie in the current directory."""
    moduleName, colon, path = name.partition(":")
    if moduleName.endswith(".py") or "/" in moduleName:
        directory, _, file = moduleName.rpartition("/")
        inside = f", called in {directory}" if directory not in ("", ".") else ""
        told = f"{file.removesuffix('.py')}:{path or 'name'}"
        raise CommandError(f"{name!r} names a file, and a module is needed: {told}{inside}", USAGE)
    if not (colon and moduleName and path):
        built = ", ".join(BUILT_IN)
        raise CommandError(f"no application {name!r}: it is one of {built}, or package.module:name", USAGE)
    if (here := os.getcwd()) not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    found: Any = _import(moduleName)
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise CommandError(f"{moduleName} has no {path!r}", USAGE) from None
    return found


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name == missing or name.startswith(missing + "."):
            raise CommandError(f"no module named {missing!r} (looked in {os.getcwd()} too)", USAGE) from None
        raise CommandError(f"cannot import {name}: {_told(error)}") from error
    except (Exception, SystemExit) as error:
        raise CommandError(f"cannot import {name}: {_told(error)}") from error


def _told(error: BaseException) -> str:
    """Return a module's own error in one line: its last place, its type, and its text."""
    if isinstance(error, SyntaxError):
        return escaped(f"{type(error).__name__}: {error}")
    told = f"{type(error).__name__}: {reasonOf(error)}"
    frames = [
        f
        for f in traceback.extract_tb(error.__traceback__)
        if f.filename != __file__ and not f.filename.startswith("<")
    ]
    return escaped(f"{told} ({frames[-1].filename}, line {frames[-1].lineno})" if frames else told)


def asFactory(thing: Any, name: str) -> Any:
    """Return the factory of `thing`: a protocol class, a factory, its class, or a callable.

    The callable is called once, without arguments, and returns a factory.
    """
    factory = _directFactory(thing, name)
    if factory is None and callable(thing):
        factory = _directFactory(_call(thing, name), name)
    if factory is None:
        raise CommandError(f"{name} is no Protocol class, no Factory, and no callable that returns one", USAGE)
    return factory


def _directFactory(thing: Any, name: str) -> Any:
    if not inspect.isclass(thing):
        return thing if hasattr(thing, "buildProtocol") else None
    if hasattr(thing, "buildProtocol"):
        return _call(thing, name)
    return ServerFactory.forProtocol(thing) if hasattr(thing, "makeConnection") else None


def _call(thing: Any, name: str) -> Any:
    try:
        made = thing()
    except Exception as error:
        raise CommandError(f"{name} failed: {_told(error)}") from error
    if inspect.iscoroutine(made):
        made.close()  # otherwise Python warns that no code awaited it
        raise CommandError(f"{name} returns a coroutine; a plain function that returns a Factory is needed", USAGE)
    return made
