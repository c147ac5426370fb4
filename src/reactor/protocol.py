"""Protocols and the factories that build them: what a program subclasses. The public face of the modules they are in.

The life of a protocol, which every transport keeps:

    makeConnection (-> connectionMade), then dataReceived any number of times, then connectionLost exactly once.
"""

from __future__ import annotations

from reactor._adapters import ConsumerToProtocolAdapter, ProtocolToConsumerAdapter
from reactor._clients import ClientCreator
from reactor._closing import closeFor
from reactor._factories import ClientFactory, Factory, ReconnectingClientFactory, ServerFactory
from reactor._filewrapper import FileWrapper
from reactor._protocols import (
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

# Pickles and tracebacks name this module; the file that a class is in is of no interest.
for _name in __all__:
    if getattr(globals()[_name], "__module__", "").startswith("reactor._"):
        globals()[_name].__module__ = __name__
