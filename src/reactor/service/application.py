"""Applications: the service at the top of a program, and the file or module in which it stands.

A file is Python, and has the suffix .tac by tradition. It is run, not imported, and assigns `application`.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Iterable
from types import ModuleType
from typing import Any, Protocol, runtime_checkable

from reactor._logger import escaped, quoted
from reactor.interfaces import Interface
from reactor.service.services import IService, MultiService

NAME = "application"
SUFFIXES = (".tac", ".py")


class ApplicationError(Exception):
    """An application cannot be loaded. Its text is one line, and names the file or module, and the line in it."""


@runtime_checkable
class IProcess(Interface, Protocol):
    """The user and the group that a process should have, as numbers or None, and its name."""

    processName: str | None
    uid: int | None
    gid: int | None


class Process:
    """The user `uid` and the group `gid` that a process should have; None leaves them as they are.

    `processName` is kept for programs of Twisted's. Nothing here sets it.
    """

    processName: str | None = None

    def __init__(self, uid: int | None = None, gid: int | None = None) -> None:
        self.uid = uid
        self.gid = gid


class Application(MultiService, Process):
    """The service at the top of a program. Other services join it with setServiceParent.

    It is an IService, an IServiceCollection and an IProcess itself, so `IServiceCollection(application)` returns it.
    `linereactor serve --service` starts it, and changes to `uid` and `gid` before startService.
    """

    def __init__(self, name: str, uid: int | None = None, gid: int | None = None) -> None:
        MultiService.__init__(self)
        Process.__init__(self, uid, gid)
        self.setName(name)

    def __repr__(self) -> str:
        return f"<Application {self.name!r}>"


def loadApplication(filename: str | os.PathLike[str], kind: str = "python") -> Any:
    """Return the application of `filename`: the path of a file, `package.module`, or `package.module:name`.

    A file or module without a name assigns `application`. That is a service, or a function without arguments that
    returns one. A text that ends in .tac or .py, or has a slash, or is the path of a file, is a path. The file is run
    with its directory unknown to `import`, as in Twisted; add it to sys.path if modules lie beside it.
    ApplicationError, in one line, if there is no application. ValueError if `kind` is not "python": there is no other.
    """
    if kind != "python":
        raise ValueError(f"applications are loaded from Python code, kind 'python', not from {quoted(kind)}")
    text = os.fspath(filename)
    if text.endswith(SUFFIXES) or os.sep in text or os.path.isfile(text):
        return _checked(_member(_run(text), NAME, escaped(text)), escaped(text))
    moduleName, _, path = text.partition(":")
    return _checked(_member(_import(moduleName, text), path or NAME, escaped(moduleName)), escaped(text))


def _run(path: str) -> ModuleType:
    """Run a file, and return its variables as a module.

    The module's name is the name of the file. It has a dot, so `import` never takes it for another module, for example
    echo.tac for echo. Dataclasses look into sys.modules for it.
    """
    place = escaped(path)
    try:
        with open(path, "rb") as file:
            text = file.read()
    except (OSError, ValueError) as error:
        raise ApplicationError(f"cannot read {place}: {getattr(error, 'strerror', None) or error}") from None
    module = ModuleType(os.path.basename(path))
    module.__file__ = path
    try:
        code = compile(text, path, "exec", dont_inherit=True)
        sys.modules[module.__name__] = module
        exec(code, vars(module))
    except SyntaxError as error:
        raise ApplicationError(_syntax(error, place)) from error
    except (Exception, SystemExit) as error:
        raise ApplicationError(_told(error, path, place)) from error
    return module


def _import(name: str, source: str) -> ModuleType:
    place = escaped(name)
    if not all(part.isidentifier() for part in name.split(".")):
        raise ApplicationError(f"no application {quoted(source)}: it is a file, package.module or package.module:name")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name == missing or name.startswith(missing + "."):
            raise ApplicationError(
                f"there is no file {quoted(source)}, and no module named {quoted(missing)}"
            ) from None
        raise ApplicationError(f"{place}: {_told(error, '', '')}") from error
    except SyntaxError as error:
        raise ApplicationError(_syntax(error, place)) from error
    except (Exception, SystemExit) as error:
        raise ApplicationError(f"{place}: {_told(error, '', '')}") from error


def _member(module: ModuleType, path: str, place: str) -> Any:
    found: Any = module
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            hint = f": it assigns {NAME} = Application(...)" if path == NAME else ""
            raise ApplicationError(f"{place} has no {quoted(path)}{hint}") from None
    return found


def _checked(found: Any, place: str) -> Any:
    """Return the service that `found` is, or returns when it is called."""
    if not isinstance(found, type) and callable(found) and not IService.providedBy(found):
        try:
            found = found()
        except (Exception, SystemExit) as error:
            raise ApplicationError(f"{place}: {_told(error, '', '')}") from error
    if type(found).__module__.startswith("twisted."):
        raise ApplicationError(f"{place}: the application is Twisted's; import Application from reactor.service")
    if isinstance(found, type) or not IService.providedBy(found):
        close = getattr(found, "close", None) if hasattr(found, "cr_frame") else None
        if close is not None:
            close()  # otherwise Python warns that no code has awaited the coroutine
        raise ApplicationError(f"{place}: the application is a service, not {escaped(repr(found))}")
    return found


def _syntax(error: SyntaxError, place: str) -> str:
    """Return a SyntaxError in one line; it may be of another file than `place`."""
    where = escaped(error.filename or place)
    line = "" if error.lineno is None else f", line {error.lineno}"
    return f"{where}{line}: {type(error).__name__}: {escaped(error.msg or '')}"


def _told(error: BaseException, path: str, place: str) -> str:
    """Return an error in one line: the line of the file `path` that led to it, its type and text, and its own place."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not _isMachinery(f.filename)]
    own = [f for f in frames if path and f.filename == path]
    what = f"{type(error).__name__}: {_reason(error)}".removesuffix(": ")
    told = f"{place}, line {own[-1].lineno}: {what}" if own else (f"{place}: {what}" if place else what)
    if frames and (not own or frames[-1].filename != path):
        told += f" ({frames[-1].filename}, line {frames[-1].lineno})"
    return escaped(told)


def _isMachinery(filename: str) -> bool:
    return filename == __file__ or filename.startswith("<")


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        named: Iterable[Any] = () if error.filename is None else (error.filename,)
        return ": ".join([error.strerror, *(os.fsdecode(name) for name in named if isinstance(name, str | bytes))])
    return str(error)
