"""The HTTP jobs on aiohttp.web, on uvloop."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from typing import Any

import uvloop
from aiohttp import web

from bench.servers.common import BACKLOG, BLOCK, HELLO, KEPT, jobsOf, sizeOf, total


async def hello(request: web.Request) -> web.StreamResponse:
    return web.Response(body=HELLO)


async def digest(request: web.Request) -> web.StreamResponse:
    return web.Response(body=hashlib.sha256(await request.read()).hexdigest().encode())


async def sink(request: web.Request) -> web.StreamResponse:
    size = 0
    async for piece in request.content.iter_any():
        size += len(piece)
    return web.Response(body=total(size))


async def source(request: web.Request) -> web.StreamResponse:
    left = sizeOf(request.query_string.encode())
    response = web.StreamResponse()
    response.content_length = left
    await response.prepare(request)
    while left:
        piece = BLOCK[:left]
        left -= len(piece)
        await response.write(piece)
    await response.write_eof()
    return response


HANDLERS: dict[str, Any] = {"hello": hello, "digest": digest, "sink": sink, "source": source}


async def main() -> None:
    for job in jobsOf(sys.argv[1:]):
        application = web.Application()
        application.router.add_route("*", "/", HANDLERS[job.application])
        runner = web.AppRunner(application, access_log=None, keepalive_timeout=KEPT)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", job.port, backlog=BACKLOG).start()
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
