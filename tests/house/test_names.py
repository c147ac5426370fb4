"""The public names: those of the Twisted model stand in the module of the same name and can be called the same way.

Twisted itself is the reference. inspect reads its classes and functions, so that a name, a parameter or a default that
we lack shows. The differences on purpose are written below, each with its reason.
"""

from __future__ import annotations

import ast
import enum
import importlib
import inspect
import pathlib
import pkgutil
import re
import time
import types
from collections.abc import Callable, Iterator
from typing import Any, Generic

import pytest
import twisted.application.internet
import twisted.application.service
import twisted.application.strports
import twisted.internet.address
import twisted.internet.defer
import twisted.internet.endpoints
import twisted.internet.epollreactor
import twisted.internet.error
import twisted.internet.process
import twisted.internet.protocol
import twisted.internet.stdio
import twisted.internet.task
import twisted.internet.tcp
import twisted.internet.testing
import twisted.internet.threads
import twisted.internet.udp
import twisted.internet.unix
import twisted.internet.utils
import twisted.protocols.basic
import twisted.protocols.haproxy
import twisted.protocols.loopback
import twisted.protocols.policies
import twisted.protocols.tls
import twisted.python.failure
import twisted.test.iosim
import twisted.web.http
import twisted.web.http_headers

import reactor
from reactor._defaults import BACKLOG, CONNECT_TIMEOUT, MAX_PACKET_SIZE, SOCKET_MODE
from reactor.loops.epoll import EpollReactor
from reactor.stdio import StandardIO
from reactor.timers import DelayedCall
from reactor.transports.children.process import Process, PTYProcess
from reactor.transports.tcp import TCPClientConnection, TCPConnection, TCPConnector, TCPPort
from reactor.transports.tls.connection import TLSConnection
from reactor.transports.udp import MulticastPort, UDPPort
from reactor.transports.unix.datagram import ConnectedUNIXDatagramPort, UNIXDatagramPort
from reactor.transports.unix.stream import UNIXConnection, UNIXConnector, UNIXPort

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "src" / "reactor").rglob("*.py"))

# Module of ours, Twisted's twin, and the names of the model in it.
MODEL: tuple[tuple[str, Any, str], ...] = (
    (
        "error",
        twisted.internet.error,
        """AlreadyCalled AlreadyCancelled BindError CannotListenError ConnectError ConnectionAborted ConnectionClosed
        ConnectionDone ConnectionLost ConnectionRefusedError DNSLookupError NotConnectingError ReactorAlreadyRunning
        ReactorNotRestartable ReactorNotRunning TimeoutError UserError getConnectError BadFileError ConnectBindError
        ConnectInProgressError ConnectingCancelledError ConnectionFdescWentAway InvalidAddressError MessageLengthError
        NoProtocol NoRouteError NotListeningError ProcessDone ProcessExitedAlready ProcessTerminated
        ReactorAlreadyInstalledError SSLError ServiceNameUnknownError TCPTimedOutError UnknownHostError
        UnsupportedAddressFamily UnsupportedSocketType""",
    ),
    ("address", twisted.internet.address, "IPv4Address IPv6Address UNIXAddress HostnameAddress"),
    ("failure", twisted.python.failure, "Failure NoCurrentExceptionError"),
    (
        "protocol",
        twisted.internet.protocol,
        """ConsumerToProtocolAdapter ProtocolToConsumerAdapter
        BaseProtocol ClientCreator ClientFactory Factory Protocol ServerFactory connectionDone
        AbstractDatagramProtocol ConnectedDatagramProtocol DatagramProtocol FileWrapper ProcessProtocol
        ReconnectingClientFactory""",
    ),
    (
        "defer",
        twisted.internet.defer,
        """AlreadyTryingToLockError DeferredFilesystemLock timeout
        AlreadyCalledError CancelledError Deferred DeferredList fail gatherResults maybeDeferred succeed DeferredLock
        DeferredQueue DeferredSemaphore FAILURE FailureGroup FirstError NotACoroutineError QueueOverflow QueueUnderflow
        SUCCESS TimeoutError ensureDeferred execute getDebugging inlineCallbacks logError passthru race returnValue
        setDebugging""",
    ),
    (
        "task",
        twisted.internet.task,
        "Clock CooperativeTask Cooperator LoopingCall coiterate cooperate deferLater react",
    ),
    (
        "threads",
        twisted.internet.threads,
        "blockingCallFromThread callMultipleInThread deferToThread deferToThreadPool",
    ),
    (
        "endpoints",
        twisted.internet.endpoints,
        """AdoptedStreamServerEndpoint HostnameEndpoint SSL4ClientEndpoint SSL4ServerEndpoint StandardIOEndpoint
        TCP4ClientEndpoint TCP4ServerEndpoint TCP6ClientEndpoint TCP6ServerEndpoint UNIXClientEndpoint
        UNIXServerEndpoint clientFromString connectProtocol quoteStringArgument serverFromString wrapClientTLS
        wrapServerTLS""",
    ),
    ("haproxy", twisted.protocols.haproxy, "proxyEndpoint"),
    ("linereceiver", twisted.protocols.basic, "LineReceiver LineOnlyReceiver"),
    (
        "stringreceivers",
        twisted.protocols.basic,
        """IncompleteNetstring Int16StringReceiver Int32StringReceiver Int8StringReceiver IntNStringReceiver
        NetstringParseError NetstringReceiver StatefulStringProtocol StringTooLongError""",
    ),
    ("filesender", twisted.protocols.basic, "FileSender"),
    ("utils", twisted.internet.utils, "getProcessOutput getProcessOutputAndValue getProcessValue"),
    ("processendpoint", twisted.internet.endpoints, "ProcessEndpoint"),
    (
        "policies",
        twisted.protocols.policies,
        """LimitConnectionsByPeer LimitTotalConnectionsFactory ProtocolWrapper SpewingFactory SpewingProtocol
        ThrottlingFactory ThrottlingProtocol TimeoutFactory TimeoutMixin TimeoutProtocol TrafficLoggingFactory
        TrafficLoggingProtocol WrappingFactory""",
    ),
    (
        "testing",
        twisted.internet.testing,
        """AccumulatingProtocol FakeDatagramTransport LineSendingProtocol MemoryReactor MemoryReactorClock
        NonStreamingProducer RaisingMemoryReactor StringIOWithoutClosing StringTransport
        StringTransportWithDisconnection
        waitUntilAllDisconnected""",
    ),
    (
        "testing",
        twisted.test.iosim,
        """ConnectionCompleter FakeTransport IOPump connect connectableEndpoint connectedServerAndClient makeFakeClient
        makeFakeServer""",
    ),
    (
        "testing",
        twisted.protocols.loopback,
        """LoopbackClientFactory LoopbackRelay collapsingPumpPolicy identityPumpPolicy loopbackAsync loopbackTCP
        loopbackUNIX""",
    ),
    # Their HTTPClient is deprecated: asking for it is a warning.
    ("http", twisted.web.http, "HTTPChannel HTTPFactory Request datetimeToLogString datetimeToString stringToDatetime"),
    ("http", twisted.web.http_headers, "Headers InvalidHeaderName"),
    (
        "service",
        twisted.application.service,
        "Application IProcess IService IServiceCollection MultiService Process Service loadApplication",
    ),
    (
        "service.internet",
        twisted.application.internet,
        """ClientService CooperatorService MulticastServer SSLClient SSLServer StreamServerEndpointService TCPClient
        TCPServer TimerService UDPServer UNIXClient UNIXDatagramClient UNIXDatagramServer UNIXServer backoffPolicy""",
    ),
    ("service.strports", twisted.application.strports, "listen service"),
)

# Modules of Twisted's whose every name is looked at, and ours of that name.
WHOLE: tuple[tuple[Any, str], ...] = (
    (twisted.internet.error, "error"),
    (twisted.internet.address, "address"),
    (twisted.python.failure, "failure"),
    (twisted.internet.protocol, "protocol"),
    (twisted.internet.defer, "defer"),
    (twisted.internet.task, "task"),
    (twisted.internet.threads, "threads"),
    (twisted.internet.endpoints, "endpoints"),
    (twisted.protocols.haproxy, "haproxy"),
    (twisted.protocols.basic, ""),
    (twisted.internet.utils, "utils"),
    (twisted.protocols.policies, "policies"),
    (twisted.internet.testing, "testing"),
    (twisted.test.iosim, "testing"),
    (twisted.protocols.loopback, "testing"),
    (twisted.internet.stdio, "stdio"),
    (twisted.web.http, "http"),
    (twisted.web.http_headers, "http"),
    (twisted.application.service, "service"),
    (twisted.application.internet, "service.internet"),
    (twisted.application.strports, "service.strports"),
)

# Names of those that are not here, each with the reason. README says so too.
ABSENT: dict[str, str] = {
    "P": "a type variable",
    "R": "the same",
    "WP": "the same",
    "DefaultException": "what string exceptions became, in Python 2",
    "format_frames": "the standard traceback module formats",
    "startDebugMode": "a debugger in every failure",
    "EventLoggingObserver": "for twisted.logger; pytest's caplog and unittest's assertLogs read the standard logging",
    "FakeAddress": "a pair's addresses are IPv4Addresses",
    "TLSNegotiation": "there is no pretended TLS",
    "StringTransport": "the one of twisted.web.http; that of twisted.internet.testing is in reactor.testing",
    "PotentialDataLoss": "a Response of ours tells how its body has ended",
    "fromChunk": "the package decodes chunks itself",
    "toChunk": "the same",
    "parseContentRange": "no part of the package reads that field",
    "parse_qs": "urllib.parse has it, and `args` are parsed",
    "urlparse": "urllib.parse has it",
    "timegm": "calendar has it",
    "IServiceMaker": "for plugins of twistd",
    "ServiceMaker": "the same",
}

# The inner parts of Twisted's reactor and transports that show: nothing that an interface promises.
INSIDE = frozenset(
    {
        "doIteration",
        "doPoll",
        "installWaker",
        "mainLoop",
        "runUntilCurrent",
        "sigBreak",
        "sigInt",
        "sigTerm",
        "startRunning",
        "timeout",
        "wakeUp",
        "installed",
        "resolver",
        "threadpool",
        "threadpoolShutdownID",
        "usingThreads",
        "dataBuffer",
        "offset",
        "logstr",
        "writeSomeData",
        "readConnectionLost",
        "writeConnectionLost",
        "addressFamily",
        "createInternetSocket",
        "doConnect",
        "failIfNotConnected",
        "resolveAddress",
        "socketType",
        "stopConnecting",
        "cancelTimeout",
        "factoryStarted",
        "timeoutID",
        "connectionMade",
        "factory",
        "failVerification",
        "maxThroughput",
        "setLogStr",
        "sessionno",
        "transport",
        "lockFile",
        "interface",
        "port",
        "activate_delay",
        "creator",
        "debug",
        "childConnectionLost",
        "childDataReceived",
        "debug_child",
        "lostProcess",
        "maybeCallProcessEnded",
        "processEnded",
        "processReaderFactory",
        "processWriterFactory",
        "reapProcess",
        "connectionFailed",
    }
)
# Members that a class of Twisted's inherits and cannot mean: a port that writes, a terminal that is a plain descriptor.
INHERITED = frozenset(
    {
        "connected",
        "disconnected",
        "SEND_LIMIT",
        "bufferSize",
        "disconnecting",
        "doRead",
        "doWrite",
        "fileno",
        "getPeer",
        "loseWriteConnection",
        "producer",
        "producerPaused",
        "registerProducer",
        "startReading",
        "startWriting",
        "stopConsuming",
        "stopProducing",
        "stopReading",
        "stopWriting",
        "streamingProducer",
        "unregisterProducer",
        "write",
        "writeSequence",
        "connect",
        "getBroadcastAllowed",
        "setBroadcastAllowed",
        "connectionLost",
        "logPrefix",
    }
)

# The methods that the reactor, and the package for it, answers today.
REACTOR_METHODS = """listenTCP connectTCP listenSSL connectSSL listenUNIX connectUNIX listenUNIXDatagram
    connectUNIXDatagram listenUDP listenMulticast spawnProcess adoptDatagramPort adoptStreamPort
    adoptStreamConnection callLater getDelayedCalls seconds callWhenRunning callFromThread
    callInThread suggestThreadPoolSize getThreadPool addReader addWriter removeReader removeWriter
    removeAll getReaders getWriters addSystemEventTrigger removeSystemEventTrigger fireSystemEvent run
    stop crash iterate resolve installResolver installNameResolver"""

# Texts for a person to read: there must be one, in our words.
OWN_WORDS = frozenset({"MESSAGE"})

# Members of a class, or parameters of a call, that are not Twisted's, each with the reason. A key is how the difference
# reads, or begins.
DIFFERENT: dict[str, str] = {
    "service.loadApplication(filename, kind), Twisted's (": "an application is Python, and nothing is encrypted",
    **{
        f"service.internet.{name} has no volatile": "services are not pickled"
        for name in (
            *("TCPServer", "TCPClient", "SSLServer", "SSLClient", "UNIXServer", "UNIXClient", "UDPServer"),
            *("MulticastServer", "UNIXDatagramServer", "UNIXDatagramClient", "TimerService"),
        )
    },
    "http.HTTPChannel.MAX_LENGTH": "8 KiB a line, of 16 KiB a head",
    "http.HTTPChannel.maxHeaders": "100, as a browser sends 20",
    "http.HTTPChannel.timeOut": "a channel without a factory has deadlines, too",
    "http.HTTPChannel.connectionLost(reason=": "as Protocol has it",
    "http.HTTPChannel has no allContentReceived": "a step of its parser, and so are the three that follow",
    "http.HTTPChannel has no allHeadersReceived": "the same",
    "http.HTTPChannel has no headerReceived": "the same",
    "http.HTTPChannel has no length": "the same",
    "http.HTTPChannel has no checkPersistence": "a request's `persistent` tells it, and maxRequests",
    "http.HTTPChannel has no persistent": "the same",
    "http.HTTPChannel has no writeHeaders": "a request makes the head of its answer",
    "http.HTTPChannel is no TimeoutMixin": "it has the methods; a deadline is shared by many connections",
    "http.Request.args is": "they are parsed when they are asked for",
    "http.Request.path is": "the same",
    "EpollReactor.listenUNIX(mode=384)": "0o600, for the owner only",
    "EpollReactor.listenUNIX(wantPID=True)": "a dead owner's path is taken over",
    "EpollReactor.listenUNIXDatagram(mode=384)": "0o600, for the owner only",
    "EpollReactor.connectUNIXDatagram(mode=384)": "0o600, for the owner only",
    "endpoints.UNIXServerEndpoint(mode=384)": "as listenUNIX has it",
    "endpoints.UNIXServerEndpoint(wantPID=True)": "the same",
    "EpollReactor.callFromThread(callable)": "as IReactorFromThreads names it",
    "EpollReactor.callInThread(callable)": "as IReactorInThreads names it",
    "filesender.FileSender.lastSent": "bytes, as all that is sent",
    "policies.ProtocolWrapper.connectionLost(reason=": "as Protocol has it, in both",
    "policies.SpewingProtocol.connectionLost(reason=": "as Protocol has it, in both",
    "policies.ThrottlingProtocol.connectionLost(reason=": "as Protocol has it, in both",
    "policies.TimeoutProtocol.connectionLost(reason=": "as Protocol has it, in both",
    "policies.TrafficLoggingProtocol.connectionLost(reason=": "as Protocol has it, in both",
    "testing.AccumulatingProtocol.connectionLost(reason=": "connectionDone, as Protocol has it, in both",
    "testing.LineSendingProtocol.connectionLost(reason=": "the same",
    "testing.FakeTransport.write: data is positional-only": "it is compiled, and quicker so",
    "testing.FakeTransport has no closed": "`disconnected`, as every transport",
    "testing.FakeTransport.startTLS(contextFactory, normal": "as TCP's has it, in both",
    "testing.FakeTransport has no tls": "there is no pretended TLS",
    "protocol.ConsumerToProtocolAdapter is no Adapter": "zope adapts nothing here",
    "protocol.ProtocolToConsumerAdapter is no Adapter": "the same",
    "protocol.ConsumerToProtocolAdapter has no isuper": "the same",
    "protocol.ProtocolToConsumerAdapter has no isuper": "the same",
    "protocol.ConsumerToProtocolAdapter has no ": "the same",
    "protocol.ProtocolToConsumerAdapter has no ": "the same",
    "testing.IOPump(debug=False)": "may be left out",
    "protocol.ReconnectingClientFactory.clientConnectionLost(connector, reason)": "as ClientFactory has it, in both",
}

MISSING = object()

# Arguments for those whose instances are looked at: where Twisted has a class attribute and we have a slot.
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "http.Request": (types.SimpleNamespace(transport=None, getPeer=lambda: None, getHost=lambda: None),),
    "defer.DeferredList": ([],),
    "testing.LineSendingProtocol": ([],),
    "protocol.ConsumerToProtocolAdapter": (None,),
    "protocol.ProtocolToConsumerAdapter": (None,),
    "testing.FakeTransport": (None, True),
    "policies.ProtocolWrapper": (None, None),
    "policies.SpewingProtocol": (None, None),
    "policies.ThrottlingProtocol": (None, None),
    "policies.TimeoutProtocol": (None, None, None),
    "policies.TrafficLoggingProtocol": (None, None, None),
}

TWINS = [
    pytest.param(ours, theirs, name, id=f"{ours}.{name}") for ours, theirs, names in MODEL for name in names.split()
]


def ourName(module: str, name: str) -> Any:
    return getattr(importlib.import_module(f"reactor.{module}"), name)


def parametersOf(function: Callable[..., Any]) -> list[inspect.Parameter]:
    if function in (time.time, time.monotonic):
        return []
    parameters = list(inspect.signature(function).parameters.values())
    return parameters[1:] if parameters and parameters[0].name in ("self", "cls") else parameters


def isPlain(value: object) -> bool:
    return isinstance(value, int | float | str | bytes | tuple | enum.Enum | None)


def sameDefault(ours: object, theirs: object) -> bool:
    """Defaults that are plain values must be equal; where Twisted's is an object of its own, any default will do."""
    if theirs is inspect.Parameter.empty or isPlain(theirs):
        return ours == theirs
    return ours is not inspect.Parameter.empty


def callDifferences(where: str, ours: Callable[..., Any], theirs: Callable[..., Any]) -> Iterator[str]:
    """How a call that Twisted's takes could go wrong with ours. Ours may take further optional parameters."""
    mine, model = parametersOf(ours), parametersOf(theirs)
    variable = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    for kind in sorted(variable):
        if any(p.kind == kind for p in model) and not any(p.kind == kind for p in mine):
            yield f"{where} takes no {kind.description}"
    mine = [p for p in mine if p.kind not in variable]
    model = [p for p in model if p.kind not in variable]
    if [p.name for p in mine[: len(model)]] != [p.name for p in model]:
        yield f"{where}({', '.join(p.name for p in mine)}), Twisted's ({', '.join(p.name for p in model)})"
        return
    for one, other in zip(mine, model, strict=False):
        if not sameDefault(one.default, other.default):
            yield f"{where}({one.name}={one.default!r}), Twisted's {other.default!r}"
        if one.kind != other.kind and one.kind is not inspect.Parameter.POSITIONAL_OR_KEYWORD:
            yield f"{where}: {one.name} is {one.kind.description}, Twisted's {other.kind.description}"
    for extra in mine[len(model) :]:
        if extra.default is inspect.Parameter.empty:
            yield f"{where}: {extra.name} is required, and Twisted's has no such parameter"


def membersOf(cls: type) -> set[str]:
    """The public members that a class adds to what every object, or every exception, has."""
    common = set(dir(Exception if issubclass(cls, BaseException) else object))
    return {name for name in dir(cls) if not name.startswith("_")} - common


def classDifferences(where: str, ours: type, theirs: type) -> Iterator[str]:
    for name in sorted(membersOf(theirs)):
        mine, model = (inspect.getattr_static(cls, name, MISSING) for cls in (ours, theirs))
        if isPlain(model) and (mine is MISSING or inspect.isdatadescriptor(mine)):
            # Where Twisted has a class attribute to begin with, we may have one of each instance, or a slot.
            arguments = ARGUMENTS.get(where, ())
            mine, model = getattr(ours(*arguments), name, MISSING), getattr(theirs(*arguments), name)
        if mine is MISSING:
            yield f"{where} has no {name}"
        elif isinstance(model, types.FunctionType | classmethod | staticmethod):
            yield from callDifferences(f"{where}.{name}", getattr(ours, name), getattr(theirs, name))
        elif isPlain(model) and mine != model and name not in OWN_WORDS:
            yield f"{where}.{name} is {mine!r}, Twisted's {model!r}"
    if "__init__" in vars(theirs) and inspect.isroutine(vars(theirs)["__init__"]):
        yield from callDifferences(where, ours, theirs)
    for base in theirs.__mro__:
        if base.__module__.startswith("twisted"):
            fits = base.__name__.startswith("_") or base.__name__ in (own.__name__ for own in ours.__mro__)
        else:
            fits = base is Generic or issubclass(ours, base)
        if not fits:
            yield f"{where} is no {base.__name__}"


def differences(where: str, ours: Any, theirs: Any) -> list[str]:
    if isinstance(theirs, type):
        found = classDifferences(where, ours, theirs)
    elif inspect.isroutine(theirs):
        found = callDifferences(where, ours, theirs)
    else:
        found = iter([] if ours == theirs or type(ours).__name__ == type(theirs).__name__ else [f"{where}: {ours!r}"])
    return [text for text in found if not any(text.startswith(known) for known in DIFFERENT)]


# The modules of ours in Python: an attribute that their classes set on `self` is a member, too.
SOURCED = frozenset("reactor." + str(path.relative_to(ROOT / "src/reactor"))[:-3].replace("/", ".") for path in SOURCES)


def namesOf(module: Any) -> list[str]:
    """The public names that a module of Twisted's defines itself."""
    own = {name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__}
    listed = getattr(module, "__all__", ())
    return sorted(name for name in own.union(listed) if not name.startswith("_"))


def test_everyName() -> None:
    """Each public name of these modules is here and compared, or is written down as absent."""
    absent, uncompared = set(), list[str]()
    # An enum.Enum; a transport, which test_everyMember looks at; a name that is deprecated there.
    others = {"StandardErrorBehavior", "StandardIO", "HTTPClient"}
    for twin, ours in WHOLE:
        known = {name for _, module, names in MODEL if module is twin for name in names.split()}
        for name in namesOf(twin):
            module = importlib.import_module("reactor." + ours if ours else "reactor")
            if not hasattr(module, name):
                absent.add(name)
            elif name not in known | others:
                uncompared += differences(f"{ours}.{name}", getattr(module, name), getattr(twin, name))
    assert absent == ABSENT.keys()
    assert uncompared == []


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (twisted.internet.tcp.Server, TCPConnection),
        (twisted.internet.tcp.Client, TCPClientConnection),
        (twisted.internet.tcp.Port, TCPPort),
        (twisted.internet.tcp.Connector, TCPConnector),
        (twisted.internet.udp.Port, UDPPort),
        (twisted.internet.udp.MulticastPort, MulticastPort),
        (twisted.internet.unix.Server, UNIXConnection),
        (twisted.internet.unix.Port, UNIXPort),
        (twisted.internet.unix.Connector, UNIXConnector),
        (twisted.internet.unix.DatagramPort, UNIXDatagramPort),
        (twisted.internet.unix.ConnectedDatagramPort, ConnectedUNIXDatagramPort),
        (twisted.internet.process.Process, Process),
        (twisted.internet.process.PTYProcess, PTYProcess),
        (twisted.protocols.tls.TLSMemoryBIOProtocol, TLSConnection),
        (twisted.internet.stdio.StandardIO, StandardIO),
        (twisted.internet.base.DelayedCall, DelayedCall),
        (twisted.internet.epollreactor.EPollReactor, EpollReactor),
    ],
)
def test_everyMember(theirs: Any, ours: Any) -> None:
    """Each public member of Twisted's transports and of its reactor is here, or is written down."""
    sources = [inspect.getsource(each) for each in ours.__mro__ if each.__module__ in SOURCED]
    made = set(re.findall(r"self\.(\w+)(?:: [^=\n]+)? = ", "".join(sources)))
    passedOn = {"getHandle"} if ours is TLSConnection else set()
    missing = {name for name in dir(theirs) if not name.startswith("_") and not hasattr(ours, name)}
    assert missing - made - passedOn - INSIDE - INHERITED == set()


@pytest.mark.parametrize(("module", "twin", "name"), TWINS)
def test_nameOfTheModel(module: str, twin: Any, name: str) -> None:
    assert differences(f"{module}.{name}", ourName(module, name), getattr(twin, name)) == []


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("defer.DeferredList", ([],)),
        ("defer.DeferredLock", ()),
        ("defer.DeferredQueue", (3, 4)),
        ("defer.DeferredSemaphore", (2,)),
        ("defer.FailureGroup", ([],)),
        ("defer.FirstError", (None, 1)),
        ("task.Clock", ()),
        ("protocol.ClientCreator", (None, object, 1)),
        ("protocol.FileWrapper", (None,)),
        ("failure.Failure", (ValueError("no"),)),
        ("address.IPv4Address", ("TCP", "127.0.0.1", 7)),
        ("address.IPv6Address", ("TCP", "::1", 7)),
        ("address.UNIXAddress", ("/socket",)),
        ("address.HostnameAddress", (b"host", 7)),
        ("error.CannotListenError", ("127.0.0.1", 7, OSError(98, "in use"))),
        ("error.ConnectError", (111, "refused")),
        ("error.ProcessDone", (0,)),
        ("error.ProcessTerminated", (1, 9, 9)),
    ],
)
def test_attributesOfInstances(name: str, arguments: tuple[Any, ...]) -> None:
    """Each attribute that Twisted's sets on a new instance can be read from ours; equal, if it is a plain value.

    A Failure's count is the number of failures before it.
    """
    module, _, cls = name.partition(".")
    (twin,) = (theirs for ours, theirs, _names in MODEL if ours == module)
    mine, model = ourName(module, cls)(*arguments), getattr(twin, cls)(*arguments)
    for attribute, value in vars(model).items():
        if attribute.startswith("_"):
            continue
        assert hasattr(mine, attribute), attribute
        assert not isPlain(value) or attribute == "count" or getattr(mine, attribute) == value, attribute


@pytest.mark.parametrize("name", REACTOR_METHODS.split())
def test_reactorMethod(name: str) -> None:
    theirs = getattr(twisted.internet.epollreactor.EPollReactor, name)
    assert differences(f"EpollReactor.{name}", getattr(EpollReactor, name), theirs) == []


@pytest.mark.parametrize("name", REACTOR_METHODS.split())
def test_reactorFunction(name: str) -> None:
    """The package satisfies the reactor's contract itself, with the very signatures."""
    ours, method = getattr(reactor, name), getattr(EpollReactor, name)
    mine = [(p.name, p.kind, p.default) for p in parametersOf(ours)]
    assert mine == [(p.name, p.kind, p.default) for p in parametersOf(method)]
    assert all(p.annotation is not p.empty for p in parametersOf(ours))
    assert inspect.getdoc(ours)


def test_everyChosenDifferenceIsOne() -> None:
    """A difference that no longer exists leaves the list too."""
    known, found = dict(DIFFERENT), []
    DIFFERENT.clear()
    try:
        for module, twin, names in MODEL:
            for name in names.split():
                found += differences(f"{module}.{name}", ourName(module, name), getattr(twin, name))
        for name in REACTOR_METHODS.split():
            theirs = getattr(twisted.internet.epollreactor.EPollReactor, name)
            found += differences(f"EpollReactor.{name}", getattr(EpollReactor, name), theirs)
    finally:
        DIFFERENT.update(known)
    assert [entry for entry in known if not any(text.startswith(entry) for text in found)] == []


def test_aDifferenceIsSeen() -> None:
    """The comparison itself: it finds each kind of difference."""

    class Model:
        value = 1

        def call(self, one: int, two: int = 2, *args: int) -> None: ...

    class Other:
        value = 2

        def call(self, one: int, deux: int = 2) -> None: ...

    class Longer(Model):
        def call(self, one: int, two: int = 3, *args: int, three: int) -> None: ...  # type: ignore[override]

    assert differences("x", Model, Model) == []
    assert len(differences("x", Other, Model)) == 4
    assert len(differences("x", Longer, Model)) == 2
    assert differences("x", object, Model)[:2] == ["x has no call", "x has no value"]


def test_theReferenceNamesWhatIsPublic() -> None:
    text = (ROOT / "docs" / "reference.md").read_text()
    (table,) = re.findall(r"<!-- names -->(.*?)<!-- /names -->", text, re.DOTALL)
    listed = re.findall(r"`([^`]+)`", table)
    assert sorted(listed) == sorted([*reactor.__all__, *ASKED])


# Attributes that are asked of the current reactor each time. A star import must not ask, as that makes a reactor.
ASKED = ("closeCounts", "nameResolver", "overflowCount", "running", "skippedLineCount")


def test_publicNamesExist() -> None:
    assert len(set(reactor.__all__)) == len(reactor.__all__)
    assert set(reactor.__all__) <= vars(reactor).keys()
    assert not {*reactor.__all__, *vars(reactor)} & {*ASKED}


def test_noNameIsAlsoASubmodule() -> None:
    """Importing a submodule sets an attribute of the package: a function of that name would be gone."""
    submodules = {info.name for info in pkgutil.iter_modules(reactor.__path__)}
    assert {"error", "defer", "protocol", "linecore"} <= submodules
    assert submodules & set(reactor.__all__) == set()
    functions = {name for name, value in vars(reactor).items() if inspect.isroutine(value)}
    assert submodules & functions == set()


def test_noModuleIsCalledAsyncio() -> None:
    """A program started from inside the package's folder would import it for the standard library's."""
    assert not any(path.stem == "asyncio" or path.parent.name == "asyncio" for path in SOURCES)


# Public names of Twisted's that are not in its own camelCase, and names of asyncio's; they are kept.
TWISTED_NAMES = {"line_mode", "exc_value", "exc_type", "exc_tb", "ServerClass", "ClientClass"}
TWISTED_NAMES |= {"code_message", "max_age", "received_cookies", "safe_str", "opt_version", "opt_help"}
ASYNCIO_NAMES = {"connection_made", "data_received", "eof_received", "pause_writing", "resume_writing"}
ASYNCIO_NAMES |= {"connection_lost", "at_eof", "feed_data", "feed_eof", "wait_closed", "is_closing", "can_write_eof"}
ASYNCIO_NAMES |= {"write_eof", "get_extra_info", "add_reader", "add_writer", "remove_reader", "remove_writer"}
ASYNCIO_NAMES |= {"start_tls", "server_hostname", "ssl_handshake_timeout", "ssl_shutdown_timeout"}
ASYNCIO_NAMES |= {"pipe_data_received", "pipe_connection_lost", "process_exited", "send_signal"}
ASYNCIO_NAMES |= {"pause_reading", "resume_reading", "get_write_buffer_size"}
FOREIGN = TWISTED_NAMES | ASYNCIO_NAMES | {"stack_info"}  # of logging
FOREIGN |= {"parse_known_args", "_split_lines", "_fill_text"}  # of argparse
FOREIGN |= {"get_field", "field_name", "generic_visit"}  # of string and ast
CAMEL = re.compile(r"_{0,2}[a-z][a-zA-Z0-9]*_?")


def definedNames(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Functions, methods and their arguments, and the attributes that are set on self."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            yield node.lineno, node.attr


def isOurs(name: str) -> bool:
    return bool(CAMEL.fullmatch(name)) or re.fullmatch(r"__\w+__|_+|[A-Z][A-Z0-9_]*", name) is not None


def test_oneNamingConvention() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in SOURCES
        for line, name in definedNames(ast.parse(path.read_text()))
        if name not in FOREIGN and not isOurs(name)
    ]
    assert found == []


def test_theNamingConvention() -> None:
    assert all(map(isOurs, ("dataReceived", "_buffer", "__init__", "MAX_LENGTH", "_", "f", "_x9", "__private")))
    assert not any(map(isOurs, ("data_received", "_do_read", "Data", "_Buffer")))


def literalDefaults(text: str) -> Iterator[str]:
    """The parameters whose default is written as a number, in the functions of a module's text."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            positional = [*node.args.posonlyargs, *node.args.args]
            defaults = node.args.defaults
            last = positional[len(positional) - len(defaults) :]
            pairs: list[tuple[ast.arg, ast.expr | None]] = [*zip(last, defaults, strict=True)]
            pairs += zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
            for argument, default in pairs:
                if isinstance(default, ast.Constant) and isinstance(default.value, int):
                    yield f"{argument.arg}={default.value}"


def test_defaultsThatSeveralShareStandInOnePlace() -> None:
    """Signatures name them, and show their values."""
    shared = {f"backlog={BACKLOG}", f"timeout={CONNECT_TIMEOUT}"}
    shared |= {f"maxPacketSize={MAX_PACKET_SIZE}", f"mode={SOCKET_MODE}"}
    assert shared == {"backlog=50", "timeout=30", "maxPacketSize=8192", "mode=384"}
    sources = pathlib.Path(reactor.__file__).parent.rglob("*.py")
    assert [(path.name, each) for path in sources for each in literalDefaults(path.read_text()) if each in shared] == []
    assert "mode=384" in literalDefaults("def f(a, backlog=1, *, mode=0o600): ...")
    asked = (reactor.listenTCP, "backlog"), (reactor.connectTCP, "timeout"), (reactor.listenUDP, "maxPacketSize")
    shown = [inspect.signature(function).parameters[name].default for function, name in asked]
    assert shown == [50, 30, 8192]
