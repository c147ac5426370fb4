"""HTTP under the command: handlers, and the built-in `files`."""

from __future__ import annotations

from typing import Any

from reactor._logger import quoted
from reactor.http.factory import HTTPFactory
from reactor.http.files import FilesHandler
from reactor.serving.errors import USAGE, CommandError, reasonOf


def filesFactory(root: str | None) -> HTTPFactory:
    """Return a factory that serves the files of the directory `root`. CommandError if it is none, or not readable."""
    if root is None:
        raise CommandError("files needs --root DIR", USAGE)
    if not root:
        raise CommandError("--root: a directory is needed; . is the current one", USAGE)
    try:
        return HTTPFactory.forHandler(FilesHandler(root))
    except (OSError, ValueError) as error:
        raise CommandError(f"cannot serve {quoted(root)}: {reasonOf(error)}") from None


def handlerFactory(handler: Any, name: str) -> HTTPFactory:
    """Return a factory that answers requests with `handler`, which the user has called `name`. CommandError if none."""
    if hasattr(handler, "buildProtocol"):
        raise CommandError(f"{name} is a factory: give it as APP, without --http", USAGE)
    if isinstance(handler, type) or not callable(handler):
        raise CommandError(f"{name} is no handler: a function of a request, or an object that is called as one", USAGE)
    return HTTPFactory.forHandler(handler)


def webFactoryOf(factory: Any) -> HTTPFactory | None:
    """Return the HTTPFactory that `factory` is, or has behind its wrappers; None if it serves something else."""
    seen = 0
    while factory is not None and seen < 100:
        if isinstance(factory, HTTPFactory):
            return factory
        factory = getattr(factory, "__dict__", {}).get("wrappedFactory")
        seen += 1
    return None
