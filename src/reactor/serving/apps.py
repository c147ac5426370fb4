"""From the name of an application to a factory for its connections."""

from __future__ import annotations

import functools
import importlib
import inspect
import logging
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from reactor._logger import escaped, quoted
from reactor.linereceiver import LineReceiver
from reactor.protocol import Factory, ServerFactory
from reactor.serving.chat import Room
from reactor.serving.collect import Collection
from reactor.serving.collecting.settings import CollectSettings, makeCollection
from reactor.serving.echo import Echo
from reactor.serving.errors import USAGE, CommandError, reasonOf
from reactor.serving.values import Delimiter
from reactor.serving.web import filesFactory, handlerFactory, webFactoryOf

BUILT_IN = ("echo", "chat", "collect", "files")
LINE_OPTIONS = "--delimiter, --max-line and --overlong"
CURL = "curl {url}"
HINTS = {"echo": r"printf 'hello\r\n' | nc -q1 {place}", "collect": "nc -N {place} < FILE", "files": CURL}


@dataclass
class Application:
    """A served application: its factory, a call for each of its protocols, a command to try it, and its end.

    The command is a pattern for a place, in the form of nc's arguments, or for an address if it is one of curl.
    """

    factory: Any
    prepare: Callable[[Any], None] | None
    hint: str
    close: Callable[[], None] = lambda: None
    reopen: Callable[[], None] = lambda: None
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
    root: str | None = None,
    http: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    inherited: Mapping[str, Any] | None = None,
    collecting: CollectSettings | None = None,
    shared: bool = False,
    listener: str = "",
) -> Application:
    """Return the application called `name`, with `settings` for its lines. CommandError if there is none.

    `fail` is called later, with a CommandError, if the application cannot go on. `reactor` writes the waiting output of
    collect. `root` is the directory of files. `http` is the name of a handler; then `name` is None. `arguments` are
    keyword arguments for an application that is not built in. `inherited` are more settings for its lines, which an
    application without lines does without. `collecting` has the settings of collect, and `listener` is the name of the
    place in its lines of JSON. `shared`: other processes of this server have the same output.
    """
    if http is not None and name is not None:
        raise CommandError("--http names the application: leave out APP", USAGE)
    if http is not None:
        checkHandlerName(http)
    if name is None:
        name = "echo" if http is None else http
    if root is not None and name != "files":
        raise CommandError("--root is for files only", USAGE)
    if (output is not None) != (name == "collect"):
        raise CommandError("collect needs --output FILE" if output is None else "--output is for collect only", USAGE)
    everything = {**(inherited or {}), **settings}
    if name in BUILT_IN and arguments:
        raise CommandError(f"{name} takes no arguments", USAGE)
    if name == "echo":
        return Application(tuned(ServerFactory.forProtocol(Echo), everything), None, HINTS["echo"])
    if name == "chat":
        return Application(tuned(Room(), everything), None, "nc {place}")
    if output is not None:
        delimiter = everything.get("delimiter")
        settled = collecting or CollectSettings()
        collection = makeCollection(reactor, output, settled, delimiter, fail, shared, listener)
        tuned(collection, everything)
        return Application(
            collection, None, HINTS["collect"], collection.output.close, collection.reopen, collection=collection
        )
    if name == "files":
        return _webApplication(filesFactory(root), name, settings)
    found = findApplication(name)
    given = arguments or {}
    factory = asFactory(found, name, given) if http is None else handlerFactory(withArguments(found, name, given), name)
    if webFactoryOf(factory) is not None:
        return _webApplication(factory, name, settings)
    prepare = None
    if everything:
        tuned(factory, everything)
        prepare = _Setter(everything, name, mustFit=bool(settings))
        plain = getattr(type(factory), "buildProtocol", None) is Factory.buildProtocol
        if settings and plain and inspect.isclass(factory.protocol) and not isLineReceiver(factory.protocol):
            raise prepare.refusal(factory.protocol)
    return Application(factory, prepare, "nc {place}")


def checkHandlerName(name: str) -> None:
    """CommandError if `name` cannot be one of --http."""
    if not any(mark in name for mark in (":", "/", ".py")):
        raise CommandError(f"no application {quoted(name)}: --http takes package.module:handler", USAGE)


def _webApplication(factory: Any, name: str, settings: dict[str, Any]) -> Application:
    """Return the application of a factory that serves HTTP. CommandError for settings of lines."""
    if settings:
        raise CommandError(f"{LINE_OPTIONS} are for servers of lines, and {name} serves HTTP", USAGE)
    return Application(factory, None, CURL)


def hintOf(app: str | None, http: str | None) -> str:
    """Return the command to try an application that is not imported here. See Application."""
    return CURL if http is not None else HINTS.get(app or "echo", "nc {place}")


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
    """Gives `settings` to LineReceivers of a factory with a buildProtocol of its own.

    Others keep theirs; CommandError if `mustFit`.
    """

    def __init__(self, settings: dict[str, Any], name: str, mustFit: bool = True) -> None:
        self._settings = settings
        self._name = name
        self._mustFit = mustFit

    def __call__(self, protocol: Any) -> None:
        if not isinstance(protocol, LineReceiver):
            if self._mustFit:
                raise self.refusal(type(protocol))
            return
        for key, value in self._settings.items():
            if getattr(protocol, key, None) != value:
                setattr(protocol, key, value)

    def refusal(self, protocol: type) -> CommandError:
        """Return the error for an application whose protocol has no such settings."""
        return CommandError(f"{LINE_OPTIONS} are for LineReceivers, and {self._name} serves {protocol.__name__}", USAGE)


def findApplication(name: str) -> Any:
    """Return the object `package.module:name`; the module may lie in the current directory."""
    moduleName, path = splitName(name)
    if (here := os.getcwd()) not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    found: Any = _import(moduleName)
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise CommandError(f"{moduleName} has no {quoted(path)}", USAGE) from None
    return found


def splitName(name: str) -> tuple[str, str]:
    """Return the module of `package.module:name`, and the name. CommandError for another form."""
    moduleName, colon, path = name.partition(":")
    if moduleName.endswith(".py") or "/" in moduleName:
        directory, _, file = moduleName.rpartition("/")
        inside = f", called in {directory}" if directory not in ("", ".") else ""
        told = f"{file.removesuffix('.py')}:{path or 'name'}"
        raise CommandError(f"{quoted(name)} names a file, and a module is needed: {told}{inside}", USAGE)
    if not (colon and moduleName and path):
        built = ", ".join(BUILT_IN)
        raise CommandError(f"no application {quoted(name)}: it is one of {built}, or package.module:name", USAGE)
    return moduleName, path


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name == missing or name.startswith(missing + "."):
            raise CommandError(f"no module named {quoted(missing)} (looked in {os.getcwd()} too)", USAGE) from None
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


def asFactory(thing: Any, name: str, arguments: Mapping[str, Any] | None = None) -> Any:
    """Return the factory of `thing`: a protocol class, a factory, its class, or a callable.

    The callable is called once, with the keyword `arguments`, and returns a factory. The class of a factory gets them
    in the same way. A protocol class gets them for each connection.
    """
    given = arguments or {}
    factory = _directFactory(thing, name, given)
    if factory is None and callable(thing):
        factory = _directFactory(_call(thing, name, given), name)
    if factory is None:
        raise notAnApplication(name)
    return factory


def checkUsable(thing: Any, name: str, arguments: Mapping[str, Any] | None = None) -> None:
    """CommandError if asFactory must refuse `thing`, as far as that is known without a call of it."""
    given = arguments or {}
    isClass = inspect.isclass(thing)
    isFactory = hasattr(thing, "buildProtocol")
    isDirect = hasattr(thing, "makeConnection") and not isFactory if isClass else isFactory
    if isDirect:
        _directFactory(thing, name, given)
    elif callable(thing):
        _checkCall(thing, name, given)
    else:
        raise notAnApplication(name)


def checkHandler(thing: Any, name: str, arguments: Mapping[str, Any] | None = None) -> None:
    """CommandError if `thing` cannot be the handler of --http, as far as that is known without a call of it."""
    if inspect.isclass(thing) and arguments:
        _checkCall(thing, name, arguments)
    else:
        handlerFactory(thing, name)


def _checkCall(thing: Any, name: str, arguments: Mapping[str, Any]) -> None:
    try:
        signature = inspect.signature(thing)
    except (TypeError, ValueError):
        return  # only a call can tell
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise CommandError(f"{name} failed: {type(error).__name__}: {reasonOf(error)}") from None


def notAnApplication(name: str) -> CommandError:
    """Return the error about an object that serves nothing."""
    return CommandError(f"{name} is no Protocol class, no Factory, and no callable that returns one", USAGE)


class _Supplied(ServerFactory[Any]):
    """A factory whose protocols get keyword arguments."""

    protocol: Any

    def __init__(self, protocol: Any, arguments: Mapping[str, Any]) -> None:
        self.protocol = protocol
        self._arguments = arguments

    def buildProtocol(self, addr: Any) -> Any:
        """See IProtocolFactory."""
        protocol = self.protocol(**self._arguments)
        protocol.factory = self
        return protocol


def _directFactory(thing: Any, name: str, arguments: Mapping[str, Any] | None = None) -> Any:
    if not inspect.isclass(thing):
        if hasattr(thing, "buildProtocol") and arguments:
            raise CommandError(f"{name} is a factory that exists already, so it takes no arguments", USAGE)
        return thing if hasattr(thing, "buildProtocol") else None
    if hasattr(thing, "buildProtocol"):
        return _call(thing, name, arguments)
    if not hasattr(thing, "makeConnection"):
        return None
    if not arguments:
        return ServerFactory.forProtocol(thing)
    try:
        inspect.signature(thing).bind(**arguments)
    except (TypeError, ValueError) as error:
        raise CommandError(f"{name} does not take these arguments: {error}", USAGE) from None
    return _Supplied(thing, arguments)


def withArguments(handler: Any, name: str, arguments: Mapping[str, Any]) -> Any:
    """Return a handler with keyword `arguments`: a class is called with them, a function gets them with each call."""
    if not arguments:
        return handler
    return _call(handler, name, arguments) if inspect.isclass(handler) else functools.partial(handler, **arguments)


def _call(thing: Any, name: str, arguments: Mapping[str, Any] | None = None) -> Any:
    try:
        made = thing(**(arguments or {}))
    except Exception as error:
        raise CommandError(f"{name} failed: {_told(error)}") from error
    if inspect.iscoroutine(made):
        made.close()  # otherwise Python warns that no code awaited it
        raise CommandError(f"{name} returns a coroutine; a plain function that returns a Factory is needed", USAGE)
    return made
