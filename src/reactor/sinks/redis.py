"""Redis Streams, by redis-py: a line is an entry of a stream, in its field `line`.

Durable means that Redis has answered. With `appendfsync always` its disk has the lines then. With another policy,
`waitForDisk` waits for it (WAITAOF, Redis 7.2).

Redis itself does not know a line again. So the lines of an append go in one call of a script, which is atomic. The
script keeps the last number of each session beside the stream, and skips the numbers up to it. Lines without numbers
may be stored twice, if Redis stored them and its answer was lost.
"""

from __future__ import annotations

from typing import Any

from reactor.sinks._eventloop import AsyncioEngine, needed
from reactor.sinks.contract import Batch, Piece, SinkError

SESSION_TIME = 7 * 86400  # seconds that Redis remembers a session after its last line
MAX_LENGTH = 0  # entries of a stream: no limit
CONNECT_TIMEOUT = 5.0  # seconds

# KEYS: the key of the session, or none; then the stream of each line. ARGV: the number of the first line, the seconds
# to remember, the greatest length; then the lines.
_APPEND = """
local streams = #KEYS - #ARGV + 3
local first, skip = tonumber(ARGV[1]), 0
if streams == 1 then
  local last = redis.call('GET', KEYS[1])
  if last then skip = tonumber(last) - first + 1 end
end
for i = 4, #ARGV do
  if i - 3 > skip then
    if ARGV[3] == '0' then
      redis.call('XADD', KEYS[streams + i - 3], '*', 'line', ARGV[i])
    else
      redis.call('XADD', KEYS[streams + i - 3], 'MAXLEN', '~', ARGV[3], '*', 'line', ARGV[i])
    end
  end
end
if streams == 1 and #ARGV - 3 > skip then
  redis.call('SET', KEYS[1], string.format('%.0f', first + #ARGV - 4), 'EX', ARGV[2])
end
return skip
"""
LARGEST_CALL = 4000  # lines: Lua's own limit of arguments is above it


class RedisEngine(AsyncioEngine):
    """The engine for Redis Streams. It needs redis-py (the extra `redis`).

    `url` is like redis://127.0.0.1:6379/0. `stream` is the key of lines without a route. `maxLength` is the number of
    entries at which Redis drops the oldest ones, roughly; 0 keeps all. `waitForDisk` is a number of seconds, or 0.
    """

    def __init__(
        self,
        url: str,
        stream: str,
        *,
        maxLength: int = MAX_LENGTH,
        sessionTime: int = SESSION_TIME,
        waitForDisk: float = 0.0,
        options: dict[str, Any] | None = None,
    ) -> None:
        """ImportError, with the name of the extra, if redis-py is not installed. ValueError for a bad URL."""
        self._redis = needed("redis.asyncio", "redis")
        given = {"socket_connect_timeout": CONNECT_TIMEOUT, "single_connection_client": True, **(options or {})}
        self._client = self._redis.from_url(url, **given)
        self._append = self._client.register_script(_APPEND)
        self._stream = stream
        self._maxLength = maxLength
        self._sessionTime = sessionTime
        self._waitForDisk = waitForDisk

    async def opens(self) -> None:
        """See IEngine."""
        await self._client.ping()

    async def sends(self, batch: Batch) -> None:
        """See IEngine."""
        async with self._client.pipeline(transaction=False) as pipeline:
            for piece in batch.pieces:
                await self._add(pipeline, piece)
            if self._waitForDisk:
                pipeline.execute_command("WAITAOF", 1, 0, int(self._waitForDisk * 1000))
            results = await pipeline.execute()
        if self._waitForDisk and results[-1][0] < 1:
            raise SinkError(f"the disk of Redis did not have the lines after {self._waitForDisk:g} s")

    async def _add(self, pipeline: Any, piece: Piece) -> None:
        numbers, routes = piece.numbers, piece.routes
        for start in range(0, len(piece.lines), LARGEST_CALL):
            lines = piece.lines[start : start + LARGEST_CALL]
            keys = [] if numbers is None else [f"{{{self._stream}}}:sender:{numbers.session}"]
            if isinstance(routes, str):
                keys += [routes or self._stream] * len(lines)
            else:
                keys += [route or self._stream for route in routes[start : start + LARGEST_CALL]]
            first = 1 if numbers is None else numbers.first + start
            await self._append(keys, [first, self._sessionTime, self._maxLength, *lines], client=pipeline)

    async def closes(self) -> None:
        """See IEngine."""
        await self._client.aclose()
