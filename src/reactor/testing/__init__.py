"""Tools for tests: protocols without sockets, connections without a network, time that stands still.

Names and behaviour are those of `twisted.internet.testing`, `twisted.test.iosim` and `twisted.protocols.loopback`. The
in-memory pair is a real connection, except for its socket, so it behaves like one.

- `StringTransport`: keeps a protocol's output as one string, and sends nothing.
- `connectedServerAndClient`: two protocols, and a pump that carries bytes between them when the test calls it.
- `loopbackAsync`, `loopbackTCP`, `loopbackUNIX`: two protocols talk until one closes. A Deferred fires then.
- `MemoryReactor`: remembers the calls of listenXXX and connectXXX. `task.Clock` is time for tests.
"""

from __future__ import annotations

from reactor._faces import publish
from reactor.task import Clock
from reactor.testing.doubles import (
    AccumulatingProtocol,
    FakeDatagramTransport,
    LineSendingProtocol,
    NonStreamingProducer,
    StringIOWithoutClosing,
    StringTransport,
    StringTransportWithDisconnection,
)
from reactor.testing.loopback import (
    LoopbackClientFactory,
    LoopbackQueue,
    LoopbackRelay,
    collapsingPumpPolicy,
    identityPumpPolicy,
    loopbackAsync,
    loopbackTCP,
    loopbackUNIX,
)
from reactor.testing.memoryreactor import (
    MemoryConnector,
    MemoryPort,
    MemoryReactor,
    MemoryReactorClock,
    RaisingMemoryReactor,
    SynchronousResolver,
    waitUntilAllDisconnected,
)
from reactor.testing.pair import (
    ConnectionCompleter,
    FakeTransport,
    IOPump,
    connect,
    connectableEndpoint,
    connectedServerAndClient,
    makeFakeClient,
    makeFakeServer,
)
from reactor.testing.wire import MemorySocket, PumpReactor

__all__ = [
    "AccumulatingProtocol",
    "Clock",
    "ConnectionCompleter",
    "FakeDatagramTransport",
    "FakeTransport",
    "IOPump",
    "LineSendingProtocol",
    "LoopbackClientFactory",
    "LoopbackQueue",
    "LoopbackRelay",
    "MemoryConnector",
    "MemoryPort",
    "MemoryReactor",
    "MemoryReactorClock",
    "MemorySocket",
    "NonStreamingProducer",
    "PumpReactor",
    "RaisingMemoryReactor",
    "StringIOWithoutClosing",
    "StringTransport",
    "StringTransportWithDisconnection",
    "SynchronousResolver",
    "collapsingPumpPolicy",
    "connect",
    "connectableEndpoint",
    "connectedServerAndClient",
    "identityPumpPolicy",
    "loopbackAsync",
    "loopbackTCP",
    "loopbackUNIX",
    "makeFakeClient",
    "makeFakeServer",
    "waitUntilAllDisconnected",
]

publish(globals())
