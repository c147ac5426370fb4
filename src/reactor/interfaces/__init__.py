"""The contracts between the rooms of the house, as ``typing.Protocol`` classes.

Nothing registers with them: an object that has the methods satisfies the contract, for type checkers and at run time.
Names are those of ``twisted.internet.interfaces``. Unless a docstring says otherwise, every method is for the thread
that runs the reactor, and may be called from inside any callback.
"""

from __future__ import annotations

from reactor.interfaces.datagrams import (
    IDatagramPort,
    IDatagramProtocol,
    IMulticastTransport,
    IUDPTransport,
    IUNIXDatagramConnectedTransport,
    IUNIXDatagramTransport,
)
from reactor.interfaces.loops import (
    IClosable,
    IDelayedCall,
    IFileDescriptor,
    IFlushable,
    IReactorCore,
    IReactorFDSet,
    IReactorFromThreads,
    IReactorThreads,
    IReactorTime,
    IReadDescriptor,
    IResolver,
    IWriteDescriptor,
)
from reactor.interfaces.protocols import (
    IClientFactory,
    IConnector,
    IHalfCloseableProtocol,
    IHandshakeListener,
    IListeningPort,
    IProcessProtocol,
    IProcessTransport,
    IProtocol,
    IProtocolFactory,
)
from reactor.interfaces.reactors import (
    IReactor,
    IReactorMulticast,
    IReactorNames,
    IReactorProcess,
    IReactorSocket,
    IReactorSSL,
    IReactorTCP,
    IReactorUDP,
    IReactorUNIX,
    IReactorUNIXDatagram,
    ITransportReactor,
)
from reactor.interfaces.streams import (
    NO_ENVIRONMENT,
    BytesLike,
    Environment,
    IConsumer,
    IContextFactory,
    ILowerTransport,
    IProducer,
    IPullProducer,
    IPushProducer,
    ISSLTransport,
    IStreamTransport,
    ITCPTransport,
    ITLSTransport,
    ITransport,
    IUNIXTransport,
    Text,
)

__all__ = [
    "NO_ENVIRONMENT",
    "BytesLike",
    "Environment",
    "IClientFactory",
    "IClosable",
    "IConnector",
    "IConsumer",
    "IContextFactory",
    "IDatagramPort",
    "IDatagramProtocol",
    "IDelayedCall",
    "IFileDescriptor",
    "IFlushable",
    "IHalfCloseableProtocol",
    "IHandshakeListener",
    "IListeningPort",
    "ILowerTransport",
    "IMulticastTransport",
    "IProcessProtocol",
    "IProcessTransport",
    "IProducer",
    "IProtocol",
    "IProtocolFactory",
    "IPullProducer",
    "IPushProducer",
    "IReactor",
    "IReactorCore",
    "IReactorFDSet",
    "IReactorFromThreads",
    "IReactorMulticast",
    "IReactorNames",
    "IReactorProcess",
    "IReactorSSL",
    "IReactorSocket",
    "IReactorTCP",
    "IReactorThreads",
    "IReactorTime",
    "IReactorUDP",
    "IReactorUNIX",
    "IReactorUNIXDatagram",
    "IReadDescriptor",
    "IResolver",
    "ISSLTransport",
    "IStreamTransport",
    "ITCPTransport",
    "ITLSTransport",
    "ITransport",
    "ITransportReactor",
    "IUDPTransport",
    "IUNIXDatagramConnectedTransport",
    "IUNIXDatagramTransport",
    "IUNIXTransport",
    "IWriteDescriptor",
    "Text",
]

# Pickles and tracebacks name this package; the file that a contract is in is of no interest.
for _name in __all__:
    if isinstance(globals()[_name], type):
        globals()[_name].__module__ = __name__
