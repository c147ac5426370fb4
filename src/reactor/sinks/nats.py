"""NATS JetStream, by nats-py: a line is a message of a stream.

Durable means that the stream has stored the message. Whether that outlives a crash of the machine is the server's own
setting (`sync_interval: always`).

Lines go in atomic batches of JetStream: all lines of a batch are stored in a row, or none is. So a batch can be sent
again without a doubt about its order. A numbered line carries its id in `Nats-Msg-Id`. The stream drops a line whose id
it has seen within its duplicate window. It refuses a whole batch for one such line; the lines then go one by one.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

from reactor._logger import getLogger
from reactor.sinks._eventloop import AsyncioEngine, needed
from reactor.sinks.contract import Batch, Entry, LinesRefused, SinkError

log = getLogger("reactor.sinks")

LARGEST_BATCH = 1000  # messages: JetStream's own limit
DUPLICATE_WINDOW = 3600.0  # seconds, of a stream that this engine makes
SHORTEST_WINDOW = 120.0  # seconds: a shorter one is told in the log
REQUEST_TIMEOUT = 5.0  # seconds

_DUPLICATE = 10201  # JetStream's code for a batch that has an id which the stream has
_BATCH, _SEQUENCE, _COMMIT, _ID = "Nats-Batch-Id", "Nats-Batch-Sequence", "Nats-Batch-Commit", "Nats-Msg-Id"


class NATSEngine(AsyncioEngine):
    """The engine for a JetStream stream. It needs nats-py (the extra `nats`) and nats-server 2.12 or newer.

    `servers` are URLs like nats://127.0.0.1:4222. `subject` is that of lines without a route. `stream` names the
    stream. If it does not exist, it is made for `subject` and all subjects below it. Then its duplicate window has
    `duplicateWindow` seconds. `options` go to nats.connect: credentials and TLS, for example.
    """

    def __init__(
        self,
        servers: str | Sequence[str],
        subject: str,
        stream: str,
        *,
        duplicateWindow: float = DUPLICATE_WINDOW,
        options: dict[str, Any] | None = None,
    ) -> None:
        """ImportError, with the name of the extra, if nats-py is not installed."""
        self._nats = needed("nats", "nats")
        self._servers = [servers] if isinstance(servers, str) else list(servers)
        self._subject = subject
        self._stream = stream
        self._window = duplicateWindow
        self._options = options or {}
        self._client: Any = None
        self._names = (f"{prefix}{number}" for prefix in [os.urandom(8).hex()] for number in itertools.count())

    async def opens(self) -> None:
        """See IEngine. SinkError if the stream cannot take atomic batches."""
        if self._client is None or self._client.is_closed:
            self._client = await self._nats.connect(
                self._servers,
                connect_timeout=REQUEST_TIMEOUT,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                error_cb=_untold,
                **self._options,
            )
        await self._findStream()

    async def _findStream(self) -> None:
        api = needed("nats.js.api", "nats")
        errors = needed("nats.js.errors", "nats")
        context = self._client.jetstream(timeout=REQUEST_TIMEOUT)
        try:
            config = (await context.stream_info(self._stream)).config
        except errors.NotFoundError:
            wanted = api.StreamConfig(
                name=self._stream,
                subjects=[self._subject, f"{self._subject}.>"],
                allow_atomic=True,
                duplicate_window=self._window,
            )
            config = (await context.add_stream(wanted)).config
        if not config.allow_atomic:
            raise SinkError(
                f"the stream {self._stream} does not take atomic batches: it needs nats-server 2.12 and allow_atomic"
            )
        if config.duplicate_window is not None and config.duplicate_window < SHORTEST_WINDOW:
            text = "the stream %s forgets ids after %g s, so lines that are sent again later are stored twice"
            log.warning(text, self._stream, config.duplicate_window)

    async def sends(self, batch: Batch) -> None:
        """See IEngine."""
        entries = list(batch.entries())
        self._check(entries)
        for start in range(0, len(entries), LARGEST_BATCH):
            await self._sendAtomically(entries[start : start + LARGEST_BATCH])

    def _check(self, entries: list[Entry]) -> None:
        longest = self._client.max_payload - 512  # the headers count
        for entry in entries:
            if len(entry.line) > longest:
                raise LinesRefused(f"a line of {len(entry.line)} bytes is longer than the server's limit, {longest}")

    async def _sendAtomically(self, entries: list[Entry]) -> None:
        client = self._client
        *first, (last, headers) = self._numbered(entries)
        for entry, own in first:
            await client.publish(entry.route or self._subject, entry.line, headers=own)
        headers[_COMMIT] = "1"
        error = await self._ask(last, headers)
        if error is None:
            return
        if error.get("err_code") != _DUPLICATE:
            raise SinkError(f"the stream {self._stream} refuses a batch: {error.get('description')}")
        for entry in entries:
            error = await self._ask(entry, {} if entry.id is None else {_ID: entry.id})
            if error is not None:
                raise SinkError(f"the stream {self._stream} refuses a line: {error.get('description')}")

    def _numbered(self, entries: list[Entry]) -> Iterator[tuple[Entry, dict[str, str]]]:
        name = next(self._names)
        for number, entry in enumerate(entries, 1):
            headers = {_BATCH: name, _SEQUENCE: str(number)}
            if entry.id is not None:
                headers[_ID] = entry.id
            yield entry, headers

    async def _ask(self, entry: Entry, headers: dict[str, str]) -> dict[str, Any] | None:
        """Publish a message, wait for the answer of the stream, and return its error."""
        subject = entry.route or self._subject
        answer = await self._client.request(subject, entry.line, timeout=REQUEST_TIMEOUT, headers=headers or None)
        error: dict[str, Any] | None = json.loads(answer.data).get("error")
        return error

    async def closes(self) -> None:
        """See IEngine."""
        client, self._client = self._client, None
        if client is not None and not client.is_closed:
            await client.close()


async def _untold(_: Exception) -> None:
    """The failing request tells the same."""
