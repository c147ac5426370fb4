"""Protocols and lines inside asyncio, without a reactor of this package.

- `ProtocolFactory`: any factory of this package, served by `loop.create_server` and its like.
- `openConnection`, `startServer`, and their twins for UNIX sockets: streams of lines, a reader and a writer with
  asyncio's methods.
- `openProcess`, `openStdio`: the same streams over the pipes of a child, and over standard input and output.
"""

from __future__ import annotations

from reactor._faces import publish
from reactor.aio.channels import AsyncioConnection
from reactor.aio.connecting import openConnection, openUnixConnection, startServer, startUnixServer
from reactor.aio.processes import LineProcess, openProcess
from reactor.aio.serving import LoopServices, ProtocolAdapter, ProtocolFactory
from reactor.aio.standard import openStdio
from reactor.aio.streams import LineReader, LineTooLong, LineWriter

__all__ = [
    "AsyncioConnection",
    "LineProcess",
    "LineReader",
    "LineTooLong",
    "LineWriter",
    "LoopServices",
    "ProtocolAdapter",
    "ProtocolFactory",
    "openConnection",
    "openProcess",
    "openStdio",
    "openUnixConnection",
    "startServer",
    "startUnixServer",
]

publish(globals())
