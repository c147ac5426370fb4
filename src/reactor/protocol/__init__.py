"""Protocols and the factories that build them: the classes that a program subclasses.

Every transport keeps the life of a protocol:

    makeConnection (-> connectionMade), then dataReceived any number of times, then connectionLost exactly once.
"""

from __future__ import annotations

from reactor._closing import closeFor
from reactor._faces import publish
from reactor.protocol.adapters import ConsumerToProtocolAdapter, ProtocolToConsumerAdapter
from reactor.protocol.clients import ClientCreator
from reactor.protocol.clients import _InstanceFactory as _InstanceFactory  # programs of Twisted know it by this name
from reactor.protocol.factories import ClientFactory, Factory, ReconnectingClientFactory, ServerFactory
from reactor.protocol.filewrapper import FileWrapper
from reactor.protocol.protocols import (
    AbstractDatagramProtocol,
    BaseProtocol,
    ConnectedDatagramProtocol,
    DatagramProtocol,
    ProcessProtocol,
    Protocol,
    abandon,
    connectionDone,
)

__all__ = [
    "AbstractDatagramProtocol",
    "BaseProtocol",
    "ClientCreator",
    "ClientFactory",
    "ConnectedDatagramProtocol",
    "ConsumerToProtocolAdapter",
    "DatagramProtocol",
    "Factory",
    "FileWrapper",
    "ProcessProtocol",
    "Protocol",
    "ProtocolToConsumerAdapter",
    "ReconnectingClientFactory",
    "ServerFactory",
    "abandon",
    "closeFor",
    "connectionDone",
]

publish(globals())
