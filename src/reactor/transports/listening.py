"""ListeningPort: a listening stream socket of any family, and the accept loop.

One readiness event accepts at most ACCEPT_BATCH connections, so a storm of connects does not starve open connections.
On a socket that other processes may share, it accepts one. So the others get clients of a burst, too.
The system may have no descriptor or memory (EMFILE, ENFILE, ENOBUFS, ENOMEM), or accept may fail without accepting any.
Then the port rests for ACCEPT_REST seconds, and logs that at most once a LOG_INTERVAL. The clients wait in the kernel's
queue, nothing spins, and no connection is dropped. It also rests when any other step fails for lack of memory, the end
of its own rest included. So a listening port accepts again, sooner or later. Some errors belong to the one connection
that was being accepted, not to the port: ECONNABORTED, EPERM, and the network errors that Linux reports here.

A socket that is closed while clients wait in its queue resets them. So a port that stops accepts the last of them and
closes in one step. It builds their protocols after the close. A client may still come between the two halves of that
step, so the only process that serves a port calls shutOut() before.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from types import CoroutineType
from typing import Any, Protocol

from reactor._arguments import checkCount, checkFactory
from reactor._beside import beside, refused
from reactor._closing import tellClosing, tellStopped
from reactor._logger import getLogger
from reactor._numbers import LOWEST, closeNumber, raised
from reactor.address import Address
from reactor.defer import Deferred
from reactor.error import CannotListenError, ConnectionDone, ConnectionUnwanted
from reactor.failure import Failure, failureOf
from reactor.interfaces import IProtocolFactory, ITransportReactor
from reactor.interfaces.asking import conform
from reactor.protocol import abandon
from reactor.timers import monotonicTime
from reactor.transports.resting import Rest
from reactor.transports.shutting import shutOut
from reactor.transports.stream import Connection

log = getLogger("reactor.transports")

ACCEPT_BATCH = 64
ACCEPT_LAST = 4096
ACCEPT_REST = 0.1
LOG_INTERVAL = 1.0

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class IGate(Protocol):
    """Decides on each client of a port before its protocol is built."""

    def admits(self, sock: socket.SocketType, peer: Address) -> bool:
        """Whether to serve the client. Otherwise the gate owns `sock`, and closes it."""

    def opens(self, connection: Connection) -> None:
        """`connection` will begin."""


class ListeningPort:
    """A listening socket and the factory of its connections. reactor.listenXXX makes one and starts it.

    A subclass knows its family: how to open the socket, the form of the addresses, and the transport of an accepted
    one.
    """

    __conform__ = conform

    _isReactorsOwn = True  # see loops.guests

    acceptBatch = ACCEPT_BATCH  # connections of one readiness event, at most

    def __init__(self, reactor: ITransportReactor, factory: IProtocolFactory, backlog: int) -> None:
        checkFactory(factory)
        checkCount(backlog, "a backlog")
        self.reactor = reactor
        self.factory = factory
        self.backlog = backlog
        self.connected = False
        self.disconnected = False
        self.socket: socket.socket | None = None
        self._kind = (0, 0, 0)  # family, type and protocol of the listening socket, and so of accepted ones
        self._waiting: Callable[[int], object] = bool  # tells, called with the timeout 0, whether a client waits
        self._host: Address | None = None
        self._stopped: Deferred[None] | None = None
        self._rest = Rest(reactor, ACCEPT_REST)
        self._paused = False
        self._accepting = False
        self.gate: IGate | None = None
        self._stopTold = False  # the factory has had the call for the port's end
        self._nextLog = float("-inf")

    def __repr__(self) -> str:
        where = self._host if self.connected else "(not listening)"
        return f"<{type(self).__name__} of {type(self.factory).__name__} on {where}>"

    # The methods of a family.

    def _openSocket(self) -> socket.socket:
        """Return a bound, non-blocking socket. CannotListenError if the system refuses."""
        raise NotImplementedError

    def _listen(self, sock: socket.socket) -> None:
        """Make the kernel queue connections. OSError if the system refuses."""
        sock.listen(self.backlog)

    def _describe(self, sock: socket.socket) -> Address:
        """Return the address that `sock` is bound to."""
        raise NotImplementedError

    def _cannotListen(self, error: OSError) -> CannotListenError:
        """Return the error with the address where listening failed."""
        raise NotImplementedError

    def _peerAddress(self, name: Any) -> Address:
        """Return the address object for an accepted socket's peer."""
        raise NotImplementedError

    def _makeConnection(self, sock: socket.SocketType, protocol: Any, peer: Address) -> Connection:
        """Return the transport of an accepted socket."""
        raise NotImplementedError

    # For programs.

    def startListening(self) -> None:
        """Bind and listen. CannotListenError if the system refuses; the factory is then not started."""
        if self.connected:
            return
        sock = self._openSocket()
        try:
            self._listen(sock)
            self._kind = (int(sock.family), int(sock.type), sock.proto)
            self._waiting = _pollOf(sock)
            self._host = self._describe(sock)
        except BaseException as error:
            sock.close()
            self._released()
            if isinstance(error, OSError):
                raise self._cannotListen(error) from error
            raise
        self.socket = sock
        try:
            starting: Any = self.factory.doStart()
        except BaseException:
            sock.close()
            self._released()
            raise
        self.connected = True
        self.disconnected = False
        self._paused = False
        try:
            self.reactor.opened(self)
            self.startReading()
        except BaseException as error:
            self.connectionLost(failureOf(error))
            raise
        if starting is not None:
            beside(starting, self._startFailed)

    def _startFailed(self, failure: Failure) -> None:
        """Close the port: startFactory was a coroutine and has failed, which is the same as if it had raised."""
        self.reactor.reportFailure(failure, "startFactory of", self.factory)
        self.connectionLost(Failure(ConnectionDone()))

    def stopListening(self) -> Deferred[None] | None:
        """Accept no more. The Deferred fires with None on the next turn, with the socket closed.

        The result is None if the port was closed already. Clients that the kernel has let in already are served,
        ACCEPT_LAST of them at most: their protocols are built before this returns. Two cases differ: while the port is
        paused, and inside a buildProtocol or connectionMade that the port has called. These clients are reset then.
        """
        if not self.connected:
            return None
        if self._stopped is None:
            stopped: Deferred[None] = Deferred()
            self.reactor.callLater(0, self._stop, stopped)  # first, as there may be no memory for it
            self._stopped = stopped
            self._stopReading()
            if not (self._paused or self._accepting):
                self._acceptLast()
        return self._stopped

    loseConnection = stopListening

    def getHost(self) -> Address:
        """Return the address listened on, with the port number that the system chose for port 0."""
        if self._host is None:
            raise RuntimeError("the port has never listened")
        return copy(self._host)

    def logPrefix(self) -> str:
        """Return the factory's name for log messages."""
        name = getattr(self.factory, "logPrefix", None)
        return str(name()) if name is not None else type(self.factory).__name__

    # For the loop.

    def fileno(self) -> int:
        """Return the listening socket's descriptor, -1 if there is none."""
        return -1 if self.socket is None else self.socket.fileno()

    def startReading(self) -> None:
        """Accept connections."""
        self.reactor.addReader(self)

    def pauseProducing(self) -> None:
        """Accept nothing until resumeProducing: clients wait in the kernel's queue."""
        self._paused = True
        self._stopReading()

    def resumeProducing(self) -> None:
        """Accept again."""
        self._paused = False
        if self.connected and self._stopped is None and not self._rest:
            try:
                self.startReading()
            except (OSError, MemoryError) as error:
                self._takeRest(error)

    @property
    def resting(self) -> bool:
        """Whether clients may wait because the system had no descriptor or memory for them."""
        return bool(self._rest)

    def acceptWaiting(self) -> None:
        """Accept, now, the clients that the kernel has let in, ACCEPT_LAST of them at most; go on listening.

        If the system has no descriptor or memory for one, the port rests, as always.
        """
        if self.connected and self._stopped is None and not (self._paused or self._accepting):
            self._serveAll(*self._acceptAll())

    def shutOut(self) -> None:
        """Have the kernel let no new client in, where it can; those that wait are accepted as before. See shutting.py.

        That holds for every process that has the socket. So it is for a port that is about to stop, in the only process
        with its socket. An adopted socket is left alone.
        """
        if self.connected and self._stopped is None:
            shutOut(self._listener())

    def doRead(self) -> None:
        """Accept waiting clients, a bounded batch."""
        outer, self._accepting = self._accepting, True
        try:
            self._acceptBatch()
        finally:
            self._accepting = outer

    def _acceptBatch(self) -> None:
        listening, waiting, accepted, failure = self._listener(), self._waiting, 0, None
        for _ in range(self.acceptBatch):
            try:
                number, name = listening._accept()  # type: ignore[attr-defined]  # see _serve
                if number < LOWEST:
                    number = raised(number)
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                failure = error
                if error.errno in _EXHAUSTED:
                    break
                continue
            accepted += 1
            self._serve(number, name)
            if self.socket is not listening or self._stopped is not None or self._paused:
                return
            if accepted == self.acceptBatch:
                break
            try:
                if not waiting(0):  # an accept() that finds no client costs eight times as much
                    break
            except OSError:  # unknown: the loop will show it
                break
        if failure is not None and (not accepted or failure.errno in _EXHAUSTED):
            self._takeRest(failure)

    def connectionLost(self, reason: Failure) -> None:
        """Close the socket and call the factory's doStop. Later calls do nothing."""
        if not self.connected:
            return
        self.connected = self._stopTold = False
        try:
            self._end()
        except BaseException:  # a signal's handler has raised between two steps, each of which can be repeated
            self._end()
            raise

    def _end(self) -> None:
        self.disconnected = True
        if self.socket is not None:
            self._stopReading()
            self.reactor.closed(self)
            self._released()
            self.reactor.closeSoon(self.socket)
            self.socket = None
        if not self._stopTold:
            try:
                self._stopTold = True
                stopping: Any = self.factory.doStop()
                if stopping is not None:
                    self._besideReported(stopping)
            except BaseException as error:
                self.reactor.reportFailure(failureOf(error), "doStop of", self.factory)
        stopped = self._stopped
        if stopped is not None:
            tellStopped(self, stopped)

    def _besideReported(self, stopping: object) -> None:
        """See DuplexStream._besideReported."""
        beside(stopping, lambda failure: self.reactor.reportFailure(failure, "stopFactory of", self.factory))

    def failConnection(self, failure: Failure) -> None:
        """Rest, and go on: accepting has failed, usually for lack of memory."""
        self._cannotGoOn(failure)

    def _stop(self, stopped: Deferred[None]) -> None:
        if stopped is self._stopped:  # the reactor may have ended before, and the port may listen again by now
            self.connectionLost(Failure(ConnectionDone()))

    def _acceptAll(self) -> tuple[list[tuple[int, Any]], OSError | None]:
        """Accept all waiting clients. Return their numbers and names, and the system's error for the next, if any.

        Nothing else is done meanwhile. accept is much faster than clients are, so the queue is empty then.
        """
        listening, found = self._listener(), list[tuple[int, Any]]()
        for _ in range(ACCEPT_LAST):
            try:
                number, name = listening._accept()  # type: ignore[attr-defined]  # see _serve
                found.append((raised(number), name))
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    return found, error
        return found, None

    def _serveAll(self, accepted: list[tuple[int, Any]], failure: OSError | None) -> None:
        if failure is not None and not self._rest:
            self._takeRest(failure)
        outer, self._accepting = self._accepting, True
        try:
            while accepted:
                self._serve(*accepted.pop(0))
        finally:
            self._accepting = outer
            for number, _name in accepted:
                closeNumber(number)

    def _acceptLast(self) -> None:
        """Accept all waiting clients and close, in one step; then serve them."""
        accepted, failure = self._acceptAll()
        listening = self._listener()
        number = self.reactor.placeholder()
        if number >= 0:
            # The number stays taken until the batch is over, but no longer belongs to the listening socket.
            with suppress(OSError):  # otherwise it is closed a little later
                os.dup2(number, listening.fileno(), inheritable=False)
        if failure is not None:
            log.warning("%r stops, and resets clients that the system lets nobody accept: %s", self, failure)
        elif len(accepted) == ACCEPT_LAST:
            log.warning("%r stops after %d clients at once, and resets the clients behind them", self, ACCEPT_LAST)
        self._serveAll(accepted, None)

    def _released(self) -> None:
        """Release further resources of a family: the port no longer has its socket."""

    def _listener(self) -> socket.socket:
        assert self.socket is not None, "the port is not listening"
        return self.socket

    def _stopReading(self) -> None:
        self._rest.cancel()
        if self.socket is not None:
            self.reactor.removeReader(self)

    def _serve(self, number: int, name: Any) -> None:
        """Build the protocol of one accepted connection and start it; a failure ends that connection only.

        The socket is the interpreter's own, in C. socket.accept() would look up names for its numbers and wrap it, at
        twice the price. Connection.socket does that on request.
        """
        family, kind, protocolNumber = self._kind
        try:
            sock = socket.SocketType(family, kind, protocolNumber, number)
        except BaseException:
            closeNumber(number)
            raise
        protocol = connection = None
        try:
            sock.setblocking(False)
            peer = self._peerAddress(name)
            if self.gate is not None and not self.gate.admits(sock, peer):
                return
            protocol = self.factory.buildProtocol(peer)
            if protocol is not None:
                if type(protocol) is CoroutineType:
                    refused(protocol, "buildProtocol")
                connection = self._makeConnection(sock, protocol, peer)
                if self.gate is not None:
                    self.gate.opens(connection)
                connection.start()
                return
            tellClosing(self.reactor, peer, ConnectionUnwanted(type(self.factory).__name__))
        except BaseException as error:
            self.reactor.reportFailure(failureOf(error), "buildProtocol of", self.factory)
            abandon(protocol)
            if connection is not None and connection.tally is not None:
                connection.tally.ended(connection, failureOf(error))
        self.reactor.closeSoon(sock)

    def _takeRest(self, error: BaseException) -> None:
        self._rest.take(self.startReading, self._cannotGoOn)
        self.reactor.removeReader(self)
        now = monotonicTime(self.reactor)
        if now >= self._nextLog:
            self._nextLog = now + LOG_INTERVAL
            log.warning("%r cannot accept, and tries again every %g s: %s", self, ACCEPT_REST, _described(error))

    def _cannotGoOn(self, failure: Failure) -> None:
        if not self.connected or self._stopped is not None or self._paused:
            self.reactor.reportFailure(failure, "accepting of", self)
            return
        if isinstance(failure.value, (OSError, MemoryError)):
            self._takeRest(failure.value)
            return
        self._rest.take(self.startReading, self._cannotGoOn)
        self.reactor.removeReader(self)
        self.reactor.reportFailure(failure, "accepting of", self)


def _described(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _pollOf(sock: socket.socket) -> Callable[[int], object]:
    """Return a function that says at once, called with 0, whether `sock` may be readable."""
    if not hasattr(select, "poll"):
        return lambda _: True
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return poll.poll
