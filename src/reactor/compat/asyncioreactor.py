"""`install()` of `twisted.internet.asyncioreactor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reactor._current import install as _install
from reactor.loops.asyncioloop import AsyncioReactor as AsyncioSelectorReactor

if TYPE_CHECKING:
    import asyncio


def install(eventloop: asyncio.AbstractEventLoop | None = None) -> None:
    """Make an AsyncioReactor on `eventloop` the default (None: on a new loop).

    ReactorAlreadyInstalledError if there is a default already.
    """
    _install(AsyncioSelectorReactor(eventloop))


__all__ = ["AsyncioSelectorReactor", "install"]
