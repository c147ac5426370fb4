"""The HTTP jobs as ASGI applications, and as RSGI ones of granian. SERVER is uvicorn, hypercorn, granian or rsgi.

uvicorn has httptools. All have uvloop, one process, and no access log. granian has one worker with one runtime thread,
which is a process of its own.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import sys
from typing import Any

import uvloop

from bench.servers.common import BACKLOG, BLOCK, HELLO, KEPT, Job, forkForEach, jobsOf, sizeOf, total

Fields = list[tuple[bytes, bytes]]


async def reply(send: Any, body: bytes) -> None:
    fields: Fields = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body})


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await reply(send, HELLO)


async def digest(scope: Any, receive: Any, send: Any) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    await reply(send, hashlib.sha256(body).hexdigest().encode())


async def sink(scope: Any, receive: Any, send: Any) -> None:
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    await reply(send, total(size))


async def source(scope: Any, receive: Any, send: Any) -> None:
    left = sizeOf(scope["query_string"])
    fields: Fields = [(b"content-type", b"application/octet-stream"), (b"content-length", b"%d" % left)]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    while left:
        piece = BLOCK[:left]
        left -= len(piece)
        await send({"type": "http.response.body", "body": piece, "more_body": left > 0})


PLAIN = [("content-type", "text/plain")]


async def helloRSGI(scope: Any, protocol: Any) -> None:
    protocol.response_bytes(200, PLAIN, HELLO)


async def digestRSGI(scope: Any, protocol: Any) -> None:
    protocol.response_bytes(200, PLAIN, hashlib.sha256(await protocol()).hexdigest().encode())


async def sinkRSGI(scope: Any, protocol: Any) -> None:
    size = 0
    async for piece in protocol:
        size += len(piece)
    protocol.response_bytes(200, PLAIN, total(size))


async def sourceRSGI(scope: Any, protocol: Any) -> None:
    left = sizeOf(scope.query_string.encode())
    stream = protocol.response_stream(200, [*PLAIN, ("content-length", str(left))])
    while left:
        piece = BLOCK[:left]
        left -= len(piece)
        await stream.send_bytes(piece)


APPLICATIONS: dict[str, Any] = {"hello": hello, "digest": digest, "sink": sink, "source": source}


async def uvicorn(jobs: list[Job]) -> None:
    from uvicorn import Config, Server

    options: dict[str, Any] = {"http": "httptools", "loop": "uvloop", "lifespan": "off", "backlog": BACKLOG}
    options |= {"access_log": False, "log_level": "critical", "timeout_keep_alive": KEPT}
    await asyncio.gather(
        *(Server(Config(APPLICATIONS[job.application], port=job.port, **options)).serve() for job in jobs)
    )


async def hypercorn(jobs: list[Job]) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    async def one(job: Job) -> None:
        config = Config()
        config.bind = [f"127.0.0.1:{job.port}"]
        config.backlog = BACKLOG
        config.errorlog = None
        config.keep_alive_timeout = KEPT
        config.keep_alive_max_requests = sys.maxsize  # the default is 1000
        await serve(APPLICATIONS[job.application], config)

    await asyncio.gather(*map(one, jobs))


def granian(job: Job, interface: str) -> None:
    from granian.constants import HTTPModes, Interfaces, Loops, RuntimeModes
    from granian.server import Server

    suffix = "RSGI" if interface == "rsgi" else ""
    Server(
        f"bench.servers.httpasgi:{job.application}{suffix}",
        port=job.port,
        interface=Interfaces(interface),
        workers=1,
        runtime_threads=1,
        runtime_mode=RuntimeModes.st,
        loop=Loops.uvloop,
        http=HTTPModes.http1,
        backlog=BACKLOG,
        backpressure=1 << 16,  # the default is the backlog, and it holds idle connections back, too
        log_enabled=False,
    ).serve()


def main() -> None:
    server, *arguments = sys.argv[1:]
    jobs = jobsOf(arguments)
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    if server in ("uvicorn", "hypercorn"):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run((uvicorn if server == "uvicorn" else hypercorn)(jobs))
    else:
        granian(forkForEach(jobs), "rsgi" if server == "rsgi" else "asgi")


if __name__ == "__main__":
    main()
