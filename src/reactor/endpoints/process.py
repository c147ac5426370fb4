"""ProcessEndpoint: a child process as the peer of an ordinary protocol."""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from reactor._beside import beside, refused
from reactor._closing import tellClosing, tellSkipped
from reactor._logger import getLogger
from reactor.defer import Deferred, fail, succeed
from reactor.error import ConnectionDone, NoProtocol, ProcessDone, ProcessExitedAlready
from reactor.failure import Failure
from reactor.interfaces import NO_ENVIRONMENT, BytesLike, Environment, IProtocolFactory, IReactorProcess, Text
from reactor.interfaces.asking import conform, implementer
from reactor.interfaces.streams import IAddress
from reactor.protocol import ProcessProtocol, abandon

log = getLogger("reactor.endpoints")


class StandardErrorBehavior(enum.Enum):
    """The treatment of a child's standard error: it is logged, or dropped."""

    LOG = enum.auto()
    DROP = enum.auto()


@implementer(IAddress)
@dataclass(unsafe_hash=True)
class ProcessAddress:
    """The address of both sides: a child process has none."""

    __conform__ = conform


class ProcessConnection:
    """The transport of the protocol: writes go to the child's standard input. `process` is the transport below."""

    def __init__(self, process: Any, failed: Callable[[Failure], None] | None = None) -> None:
        self.process = process
        self.closeReason: ConnectionDone | None = None
        self._failed = failed

    @property
    def disconnecting(self) -> bool:
        """Whether loseConnection has been called."""
        return bool(self.process.disconnecting)

    def write(self, data: BytesLike) -> None:
        """Send `data` to the child."""
        self.process.write(data)

    def writeSequence(self, iovec: Iterable[BytesLike]) -> None:
        """Send the pieces of `iovec` to the child, as one write."""
        self.process.writeSequence(iovec)

    def noteClosing(self, reason: ConnectionDone, level: int = logging.INFO) -> None:
        """Make connectionLost get `reason` if the child then exits with 0. See reactor.protocol.closeFor."""
        if self.closeReason is None and not self.disconnecting:
            self.closeReason = reason
            tellClosing(self.process.reactor, self.process, reason, level)

    def loseConnection(self) -> None:
        """Send all output, then close the child's descriptors. connectionLost comes when the child has exited."""
        self.process.loseConnection()

    def abortConnection(self) -> None:
        """Close as loseConnection does, and kill the child."""
        self.process.loseConnection()
        with suppress(ProcessExitedAlready):
            self.process.signalProcess("KILL")

    def failConnection(self, failure: Failure) -> None:
        """Log `failure`, of a callback of the protocol, and end the connection with it."""
        if self._failed is not None:
            self._failed(failure)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Attach a producer for the child's standard input."""
        self.process.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """Detach the producer."""
        self.process.unregisterProducer()

    def pauseProducing(self) -> None:
        """Read nothing until resumeProducing."""
        self.process.pauseProducing()

    def resumeProducing(self) -> None:
        """Read again."""
        self.process.resumeProducing()

    def stopProducing(self) -> None:
        """Call loseConnection(), under the name that a producer has."""
        self.process.loseConnection()

    def getPeer(self) -> ProcessAddress:
        """Return a ProcessAddress."""
        return ProcessAddress()

    def getHost(self) -> ProcessAddress:
        """Return a ProcessAddress."""
        return ProcessAddress()


class _Adapter(ProcessProtocol):
    """Gives the child's standard output to the protocol, and ends the connection when the child exits.

    If a callback of the protocol raises, the connection ends: the child is killed, and connectionLost gets the
    exception.
    """

    def __init__(self, protocol: Any, executable: Any, errFlag: StandardErrorBehavior) -> None:
        self.protocol = protocol
        self.executable = executable
        self.errFlag = errFlag
        self.failure: Failure | None = None
        self.connection: ProcessConnection | None = None

    def makeConnection(self, process: Any) -> None:
        self.transport = process
        self.connection = ProcessConnection(process, self.fail)
        try:
            beside(self.protocol.makeConnection(self.connection), self.fail)
        except BaseException:
            self.fail(Failure())

    def outReceived(self, data: bytes) -> None:
        if self.failure is None:
            try:
                beside(self.protocol.dataReceived(data), self.fail)
            except BaseException:
                self.fail(Failure())

    def errReceived(self, data: bytes) -> None:
        if self.errFlag is StandardErrorBehavior.LOG:
            log.warning("%r wrote to its standard error, for %r: %r", self.executable, self.protocol, data)

    def processEnded(self, reason: Failure) -> Any:
        if reason.check(ProcessDone):
            noted = None if self.connection is None else self.connection.closeReason
            reason = Failure(noted or ConnectionDone())
        process: Any = self.transport
        tellSkipped(process.reactor, process, self.protocol, hasPeer=False)
        return self.protocol.connectionLost(self.failure or reason)

    def fail(self, failure: Failure) -> None:
        process: Any = self.transport
        process.reactor.reportFailure(failure, "a callback of", self.protocol)
        if self.failure is None:
            self.failure = failure
            ProcessConnection(process).abortConnection()


class ProcessEndpoint:
    """A client's endpoint: connect() runs a child process. The parameters are those of spawnProcess."""

    __conform__ = conform

    def __init__(
        self,
        reactor: IReactorProcess,
        executable: Text,
        args: Sequence[Text] = (),
        env: Environment | None = NO_ENVIRONMENT,
        path: Text | None = None,
        uid: int | None = None,
        gid: int | None = None,
        usePTY: Any = 0,
        childFDs: Mapping[int, int | str] | None = None,
        errFlag: StandardErrorBehavior = StandardErrorBehavior.LOG,
    ) -> None:
        self._reactor = reactor
        self._executable = executable
        self._options = (args, env, path, uid, gid, usePTY, childFDs)
        self._errFlag = errFlag

    def __repr__(self) -> str:
        return f"<ProcessEndpoint {self._executable!r}>"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Start the child; return a Deferred of the protocol that `protocolFactory` builds for it.

        The Deferred has failed already in these cases:

        - with an OSError if the child cannot be started;
        - with NoProtocol if the factory builds no protocol, and then no child is started;
        - with the exception of connectionMade or buildProtocol.

        The protocol's connectionLost gets ConnectionDone if the child exits with 0, and otherwise ProcessTerminated. If
        a callback of the protocol raised, and the child was killed for that, it gets the exception.
        """
        protocol = None
        try:
            protocol = protocolFactory.buildProtocol(ProcessAddress())
            if protocol is None:
                raise NoProtocol()
            refused(protocol, "buildProtocol")
            adapter = _Adapter(protocol, self._executable, self._errFlag)
            self._reactor.spawnProcess(adapter, self._executable, *self._options)
        except Exception:
            failed = fail()
            abandon(protocol)
            return failed
        return succeed(protocol) if adapter.failure is None else fail(adapter.failure)


# Pickles, tracebacks and Failure.check name the module in which these classes have always been public.
for _class in (ProcessAddress, ProcessConnection, ProcessEndpoint, StandardErrorBehavior):
    _class.__module__ = "reactor.processendpoint"
