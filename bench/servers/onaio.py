"""Jobs on reactor.aio's streams. LOOP is asyncio or uvloop. STYLE is one of these:

- streams: the coroutines of onasyncio.py unchanged, with reactor.aio's reader and writer;
- batch: coroutines that read all lines that have come.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from bench.servers.common import BACKLOG, PONG, jobsOf, totals
from bench.servers.onasyncio import STREAMS, STYLE, closing, new_event_loop
from reactor.aio import startServer

ANSWER = PONG + b"\r\n"


async def pong(reader: Any, writer: Any) -> None:
    while lines := await reader.readlines():
        writer.write(ANSWER * len(lines))
        await writer.drain()


async def echo(reader: Any, writer: Any) -> None:
    while lines := await reader.readlines():
        writer.writelines(lines)
        await writer.drain()


async def count(reader: Any, writer: Any) -> None:
    lines = size = 0
    while found := await reader.readlines():
        lines += len(found)
        size += sum(map(len, found)) - 2 * len(found)
    writer.write(totals(lines, size))


BATCHES: dict[str, Any] = {"pong": pong, "echo": echo, "count": count}


async def main() -> None:
    for job in jobsOf(sys.argv[3:]):
        handle = (STREAMS | BATCHES if STYLE == "batch" else STREAMS)[job.name]
        await startServer(closing(handle), "127.0.0.1", job.port, backlog=BACKLOG)
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main())
