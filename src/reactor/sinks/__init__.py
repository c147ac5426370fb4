"""Sinks: places for lines that say when they have them for good, and lines with acknowledgements.

- `QueuedSink`: batches, order, retries and bounds in front of an engine: `NATSEngine`, `RedisEngine`, `KafkaEngine`, or
  `RelayEngine` for another server of lines.
- `CopySink`, `SplitSink`: several sinks at once.
- `AcknowledgingFactory`: a server that tells its clients when a sink has their lines. `Sender` is the client.
- `ISink`, `IEngine`, `Batch`, `Piece`, `Entry`, `Numbers`: the contracts, for sinks and engines of a program's own.
- `SinkError` and `LinesRefused`, `SinkFull`, `SinkClosed`: the errors.
"""

from __future__ import annotations

from reactor._faces import publish
from reactor.sinks.acknowledging import AcknowledgedLines, AcknowledgingFactory
from reactor.sinks.contract import (
    Batch,
    Entry,
    IEngine,
    ISink,
    LinesRefused,
    Numbers,
    Piece,
    SinkClosed,
    SinkError,
    SinkFull,
)
from reactor.sinks.kafka import KafkaEngine
from reactor.sinks.nats import NATSEngine
from reactor.sinks.queued import QueuedSink
from reactor.sinks.redis import RedisEngine
from reactor.sinks.relay import RelayEngine
from reactor.sinks.sender import Sender
from reactor.sinks.several import CopySink, SplitSink

__all__ = [
    "AcknowledgedLines",
    "AcknowledgingFactory",
    "Batch",
    "CopySink",
    "Entry",
    "IEngine",
    "ISink",
    "KafkaEngine",
    "LinesRefused",
    "NATSEngine",
    "Numbers",
    "Piece",
    "QueuedSink",
    "RedisEngine",
    "RelayEngine",
    "Sender",
    "SinkClosed",
    "SinkError",
    "SinkFull",
    "SplitSink",
]

publish(globals())
