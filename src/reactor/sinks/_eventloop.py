"""Engines whose client is a library for asyncio: its coroutines run as tasks of the reactor's event loop."""

from __future__ import annotations

import importlib
from collections.abc import Coroutine
from types import ModuleType
from typing import TYPE_CHECKING, Any

from reactor._later import later
from reactor.defer import Deferred
from reactor.sinks.contract import Batch

if TYPE_CHECKING:
    import asyncio
else:
    asyncio = later("asyncio", globals())


def needed(module: str, extra: str) -> ModuleType:
    """Return the imported `module`. ImportError, with the name of the package's extra, if it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = module.partition(".")[0]
        if error.name is not None and error.name.partition(".")[0] != name:
            raise
        raise ImportError(f"{name} is not installed: pip install 'linereactor[{extra}]'", name=name) from None


class AsyncioEngine:
    """An IEngine of coroutines. It needs an event loop that runs, as AsyncioReactor has it."""

    def open(self) -> Deferred[None]:
        """See IEngine."""
        return _run(self.opens())

    def send(self, batch: Batch) -> Deferred[None]:
        """See IEngine."""
        return _run(self.sends(batch))

    def close(self) -> Deferred[None]:
        """See IEngine."""
        return _run(self.closes())

    async def opens(self) -> None:
        """See IEngine.open."""
        raise NotImplementedError

    async def sends(self, batch: Batch) -> None:
        """See IEngine.send."""
        raise NotImplementedError

    async def closes(self) -> None:
        """See IEngine.close."""
        raise NotImplementedError


def _run(coroutine: Coroutine[Any, Any, None]) -> Deferred[None]:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        coroutine.close()
        raise RuntimeError("this sink needs an event loop that runs: use AsyncioReactor") from None
    return Deferred.fromFuture(loop.create_task(coroutine))
