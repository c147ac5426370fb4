"""Protocols and lines inside asyncio, without a reactor of this package.

- `ProtocolFactory`: any factory of this package, served by `loop.create_server` and its like.
- `openConnection`, `startServer`: streams of lines, a reader and a writer with asyncio's methods.
"""

from __future__ import annotations

from reactor._faces import publish
from reactor.aio.channels import AsyncioConnection
from reactor.aio.connecting import openConnection, startServer
from reactor.aio.serving import LoopServices, ProtocolAdapter, ProtocolFactory
from reactor.aio.streams import LineReader, LineTooLong, LineWriter

__all__ = [
    "AsyncioConnection",
    "LineReader",
    "LineTooLong",
    "LineWriter",
    "LoopServices",
    "ProtocolAdapter",
    "ProtocolFactory",
    "openConnection",
    "startServer",
]

publish(globals())
