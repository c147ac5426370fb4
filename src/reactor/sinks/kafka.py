"""Kafka, by aiokafka: a line is a record of a topic.

Durable means that all replicas in sync have the record (acks=all). The origin of a line is the record's key. So lines
of one origin are in one partition, in their order. The producer is idempotent: its own retries store no record twice. A
batch that failed after that is sent again, and then lines may be stored twice. Kafka does not know them again.
"""

from __future__ import annotations

from typing import Any

from reactor._later import later
from reactor.sinks._eventloop import AsyncioEngine, needed
from reactor.sinks.contract import Batch, LinesRefused

asyncio: Any = later("asyncio", globals())

REQUEST_TIMEOUT = 5.0  # seconds


class KafkaEngine(AsyncioEngine):
    """The engine for a topic. It needs aiokafka (the extra `kafka`).

    `servers` is like 127.0.0.1:9092, several between commas. `topic` is that of all lines. The route of a line is its
    record's key, in place of the origin. `options` go to AIOKafkaProducer: compression and TLS, for example.
    """

    def __init__(self, servers: str, topic: str, *, options: dict[str, Any] | None = None) -> None:
        """ImportError, with the name of the extra, if aiokafka is not installed."""
        self._kafka = needed("aiokafka", "kafka")
        self._errors = needed("aiokafka.errors", "kafka")
        self._servers = servers
        self._topic = topic
        self._options = options or {}
        self._producer: Any = None

    async def opens(self) -> None:
        """See IEngine."""
        if self._producer is not None:
            return
        given = {"acks": "all", "enable_idempotence": True, "request_timeout_ms": int(REQUEST_TIMEOUT * 1000)}
        producer = self._kafka.AIOKafkaProducer(bootstrap_servers=self._servers, **{**given, **self._options})
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        self._producer = producer

    async def sends(self, batch: Batch) -> None:
        """See IEngine."""
        producer = self._producer
        futures = []
        try:
            for entry in batch.entries():
                key = (entry.route or entry.origin).encode() or None
                futures.append(await producer.send(self._topic, entry.line, key=key))
            await asyncio.gather(*futures)
        except (self._errors.MessageSizeTooLargeError, self._errors.RecordTooLargeError) as error:
            raise LinesRefused(f"a line is longer than the limit of the topic {self._topic}: {error}") from None
        finally:
            for future in futures:
                if future.done() and not future.cancelled():
                    future.exception()  # each is seen, also those behind the first

    async def closes(self) -> None:
        """See IEngine."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()
