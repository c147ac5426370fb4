"""For tests of programs that use this package: protocols without sockets, connections without a network, time that
stands still. Names and behaviour are those of ``twisted.internet.testing``, ``twisted.test.iosim`` and
``twisted.protocols.loopback``; the in-memory pair behaves as a connection does, for it is one, but for its socket.

- `StringTransport`: what a protocol wrote, as one string; nothing is sent.
- `connectedServerAndClient`: two protocols and a pump that carries bytes from one to the other, when told to.
- `loopbackAsync`, `loopbackTCP`, `loopbackUNIX`: two protocols talk until one closes; a Deferred says when.
- `MemoryReactor`: remembers who wanted to listen and connect. `task.Clock` is time for tests.
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
