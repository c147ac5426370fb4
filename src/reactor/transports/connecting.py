"""Connector, the client's handle, and ConnectionAttempt, one object per try.

An attempt looks the addresses up, tries them one after another, and on success hands its socket to a fresh Connection.
It never becomes the connection, so there is no half-made transport to guard against.

    disconnected -- connect() --> connecting -- buildProtocol --> connected -- connectionLost --> disconnected
                                      \\-- failure, timeout, stopConnecting() --> disconnected

An attempt never fails inside connect(): a failure found there reaches the factory on the next turn. There is one
exception: without memory for that turn's call, it reaches the factory at once. No code from an attempt's end to the
factory's callback needs memory.
"""

from __future__ import annotations

import errno
import os
import socket
import typing
from collections.abc import Callable
from typing import Any, Literal

from reactor._arguments import checkClientFactory
from reactor._beside import beside, refused
from reactor._closing import mayGoOn
from reactor._numbers import openSocket
from reactor.address import Address
from reactor.defer import Deferred, maybeDeferred
from reactor.defer.chain import cancelQuietly
from reactor.error import ConnectBindError, ConnectError, NotConnectingError, TimeoutError, UserError, getConnectError
from reactor.failure import Failure, failureOf
from reactor.interfaces import IClientFactory, IDelayedCall, IStreamTransport, ITransportReactor
from reactor.interfaces.asking import conform
from reactor.protocol import Protocol, abandon
from reactor.timers import monotonicTime
from reactor.transports.stream import Connection

Target = tuple[int, Any]

# seconds until the next try of an address without room now, such as a UNIX socket with a full queue
CONNECT_REST = 0.01

# An interrupted connect() goes on as well (connect(2), EINTR).
_UNDER_WAY = frozenset({errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EALREADY, errno.EINTR})
_INTERNET = frozenset({socket.AF_INET, socket.AF_INET6})


class ConnectionAttempt:
    """One try to connect: `targets` (address family, socket address) in turn, until one answers.

    A silent address has its share of the time that is left, so it leaves time for the next. The attempt calls exactly
    one of `succeeded(socket)` and `failed(Failure)`, once, and never inside start().
    """

    _isReactorsOwn = True  # see loops.guests

    def __init__(
        self,
        reactor: ITransportReactor,
        bindTo: Callable[[socket.socket], None] | None,
        succeeded: Callable[[socket.socket], None],
        failed: Callable[[Failure], None],
    ) -> None:
        self.reactor = reactor
        self._bindTo = bindTo
        self._succeeded = succeeded
        self._failed = failed
        self._targets: list[Target] = []
        self._socket: socket.socket | None = None
        self._lookup: Deferred[Any] | None = None
        self._rest: IDelayedCall | None = None
        self._timeout: IDelayedCall | None = None
        self._deadline = 0.0
        self._finished = False
        self._failure: Failure | None = None  # why it has failed
        self._told = False

    def __repr__(self) -> str:
        return f"<ConnectionAttempt to {self._targets}>" if self._targets else "<ConnectionAttempt>"

    def start(self, lookup: Deferred[list[Target]], timeout: float | None) -> None:
        """Begin once `lookup` has the addresses. After `timeout` seconds (None: never) it fails with TimeoutError."""
        self.reactor.opened(self)
        if timeout is not None:
            self._timeout = self.reactor.callLater(timeout, self.fail, TimeoutError())
            self._deadline = monotonicTime(self.reactor) + timeout
        self._lookup = lookup
        lookup.addCallback(self._found).addErrback(self._lookupFailed)

    def fail(self, error: BaseException) -> None:
        """Give up: call `failed` with `error`, unless the attempt is over."""
        if self._told:
            return
        failure = self._failure
        if failure is None:
            failure = self._failure = failureOf(error)
        try:
            self._giveUp(failure)
        except BaseException:  # a signal's handler has raised between two steps, each of which can be done again
            self._giveUp(failure)
            raise

    def _giveUp(self, failure: Failure) -> None:
        if not self._told:
            self._finish()
            self._dropSocket()
            self._failed(failure)  # a Connector's goes on if it is called again with the same reason
            self._told = True
            self._failure = None

    def fileno(self) -> int:
        """Return the descriptor of the socket that is being connected, -1 if there is none."""
        return -1 if self._socket is None else self._socket.fileno()

    def doWrite(self) -> None:
        """The kernel has an answer."""
        sock = self._socket
        assert sock is not None, "an attempt without a socket is not watched"
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if not code and not _isConnected(sock):
            return  # woken without a reason
        self.reactor.removeWriter(self)
        if code:
            self._refused(OSError(code, os.strerror(code)))
            return
        self._finish()
        self._told = True
        self._socket = None
        self._succeeded(sock)

    def connectionLost(self, reason: Failure) -> None:
        """The reactor stops."""
        self.fail(ConnectError(string=reason.getErrorMessage()))

    def failConnection(self, failure: Failure) -> None:
        """The attempt itself broke."""
        self.reactor.reportFailure(failure, repr(self))
        self.connectionLost(failure)

    def _found(self, targets: list[Target]) -> None:
        self._lookup = None
        self._targets = list(targets)
        self._tryNext(ConnectError(string="the name has no address"))

    def _lookupFailed(self, failure: Failure) -> None:
        self._lookup = None
        self._failSoon(failure.value)

    def _tryNext(self, last: BaseException) -> None:
        """Connect to the first remaining target; without one, fail with the `last` error."""
        while self._targets and not self._finished:
            family, address = self._targets.pop(0)
            try:
                self._connectTo(family, address)
                return
            except ConnectBindError as error:
                last = error
            except OSError as error:
                last = getConnectError(error)
            self._dropSocket()
        self._failSoon(last)

    def _connectTo(self, family: int, address: Any) -> None:
        sock = self._socket = openSocket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        if self._bindTo is not None:
            try:
                self._bindTo(sock)
            except OSError as error:
                raise ConnectBindError(error.errno, error.strerror) from error
            except (TypeError, OverflowError) as error:  # an address of another family, or a number that is no port
                raise ConnectBindError(string=error) from error
        code = sock.connect_ex(address)
        if code == errno.EAGAIN:
            self._targets.insert(0, (family, address))
            self._rest = self.reactor.callLater(CONNECT_REST, self._tryAgain)
            return
        if code and code not in _UNDER_WAY:
            # The system's text leaves out the path of a UNIX socket.
            where = "" if family in _INTERNET else f": {os.fsdecode(address).replace(chr(0), '@')}"
            raise OSError(code, os.strerror(code) + where)
        # A socket that is connected at once is writable at once, so both cases go on in doWrite.
        self.reactor.addWriter(self)
        if self._targets and self._timeout is not None:
            share = (self._deadline - monotonicTime(self.reactor)) / (len(self._targets) + 1)
            self._rest = self.reactor.callLater(max(0.0, share), self._silent)

    def _silent(self) -> None:
        """The address has had its share of the time."""
        self._goOn(TimeoutError())

    def _tryAgain(self) -> None:
        self._goOn(ConnectError())

    def _goOn(self, last: BaseException) -> None:
        try:
            self._dropSocket()
            self._tryNext(last)
        except Exception as error:  # no memory for the call
            self.failConnection(failureOf(error))

    def _refused(self, error: OSError) -> None:
        self._dropSocket()
        self._tryNext(getConnectError(error))

    def _failSoon(self, error: BaseException) -> None:
        if not self._finished:
            try:
                self.reactor.callLater(0, self.fail, error)
            except MemoryError:
                self.fail(error)

    def _dropSocket(self) -> None:
        rest, self._rest = self._rest, None
        if rest is not None and rest.active():
            rest.cancel()
        sock = self._socket
        if sock is not None:
            self.reactor.removeWriter(self)
            self._socket = None
            self.reactor.closeSoon(sock)

    def _finish(self) -> None:
        self._finished = True
        self.reactor.closed(self)
        timeout, rest = self._timeout, self._rest
        self._timeout = self._rest = None
        if timeout is not None and timeout.active():
            timeout.cancel()
        if rest is not None and rest.active():
            rest.cancel()
        lookup, self._lookup = self._lookup, None
        if lookup is not None:
            cancelQuietly(lookup)


def _isConnected(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError as error:
        # If the peer has accepted and closed meanwhile, SO_ERROR holds the reset for the next call. Any other error is
        # not about that: Connector._peerOf calls getpeername() next, which raises it.
        return error.errno != errno.ENOTCONN
    return True


class IHandshake(typing.Protocol):
    """A step between a connected socket and its protocol, for example TLS."""

    def fail(self, error: BaseException) -> None:
        """Give up: the Connector's connectionFailed gets `error`."""


class Connector:
    """A client's handle on its connection, whatever the socket's family. reactor.connectXXX makes one and connects it.

    `state` is "disconnected", "connecting" or "connected"; `transport` the connection while there is one.
    """

    __conform__ = conform

    def __init__(self, reactor: ITransportReactor, factory: IClientFactory, timeout: float | None) -> None:
        checkClientFactory(factory)
        self.reactor = reactor
        self.factory = factory
        self.timeout = timeout
        self.state: Literal["disconnected", "connecting", "connected"] = "disconnected"
        self.transport: IStreamTransport | None = None
        self._attempt: ConnectionAttempt | IHandshake | None = None
        self._factoryStarted = False
        self._ending: Failure | None = None  # the reason of an end, during the call of the factory
        self._endTold = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} to {self.getDestination()}, {self.state}>"

    # The methods of a family.

    def getDestination(self) -> Address:
        """Return the requested address."""
        raise NotImplementedError

    def _lookUp(self) -> Deferred[list[Target]]:
        """Return the addresses to try."""
        raise NotImplementedError

    def _bind(self) -> Callable[[socket.socket], None] | None:
        """Return a function that binds a socket before it is connected, or None."""
        raise NotImplementedError

    def _peerOf(self, sock: socket.socket) -> Address:
        """Return the address of the other side. OSError if the connection has ended already."""
        raise NotImplementedError

    def _makeConnection(
        self, sock: socket.socket, protocol: Any, peer: Address, ended: Callable[[Failure], None] | None
    ) -> Connection:
        """Return the transport of a connected socket."""
        raise NotImplementedError

    # For programs.

    def connect(self) -> None:
        """Start an attempt: startFactory if need be, then startedConnecting. RuntimeError unless disconnected."""
        if self.state != "disconnected":
            raise RuntimeError(f"can't connect in this state: {self.state}")
        attempt = ConnectionAttempt(self.reactor, self._bind(), self._succeeded, self.connectionFailed)
        self.state = "connecting"
        if not self._factoryStarted:
            try:
                starting: Any = self.factory.doStart()
                if starting is not None:
                    beside(starting, self._startFailed)
            except BaseException:
                self.state = "disconnected"
                raise
            self._factoryStarted = True
        self._attempt = attempt
        try:
            told: Any = self.factory.startedConnecting(self)
            if told is not None:
                self._beside(told, "startedConnecting of")
        finally:
            if attempt is self._attempt:
                self._start(attempt)

    def _start(self, attempt: ConnectionAttempt) -> None:
        try:
            attempt.start(maybeDeferred(self._lookUp), self.timeout)
        except BaseException as error:  # no memory for the call
            attempt.fail(error)
            raise

    def _startFailed(self, failure: Failure) -> None:
        """End the attempt: startFactory was a coroutine and has failed, which is the same as if it had raised."""
        self.reactor.reportFailure(failure, "startFactory of", self.factory)
        self.disconnect()

    def stopConnecting(self) -> None:
        """Stop the attempt: clientConnectionFailed(UserError), at once. NotConnectingError if there is none."""
        if self.state != "connecting" or self._attempt is None:
            raise NotConnectingError("we're not trying to connect")
        self._attempt.fail(UserError())

    def disconnect(self) -> None:
        """Stop the attempt, or close the connection in order, or do nothing, depending on the state."""
        if self.state == "connecting":
            self.stopConnecting()
        elif self.transport is not None:
            self.transport.loseConnection()

    def stopConnection(self) -> None:
        """Do the same as disconnect(): end the session, whatever its state."""
        self.disconnect()

    # For the attempt and the connection.

    def buildProtocol(self, addr: Any) -> Any:
        """Called with the peer's address when the socket is connected; returns the factory's protocol."""
        self.state = "connected"
        return self.factory.buildProtocol(addr)

    def connectionFailed(self, reason: Failure) -> None:
        """Called when the attempt failed. It calls the factory, which may call connect() again.

        Called again with the same `reason`, it goes on where a signal's handler has broken it off. So does
        connectionLost.
        """
        self._disconnected(reason, "clientConnectionFailed of")

    def connectionLost(self, reason: Failure) -> None:
        """Called when the connection is over. It calls the factory, which may call connect() again."""
        self._disconnected(reason, "clientConnectionLost of")

    def _disconnected(self, reason: Failure, what: str) -> None:
        if self._ending is not reason:
            self._ending = reason
            self._endTold = False
            self._attempt = self.transport = None
            self.state = "disconnected"
        factory: Any = self.factory
        if not self._endTold:
            try:
                self._tellFactory(factory, reason, what)
            except BaseException as error:
                self.reactor.reportFailure(failureOf(error), what, factory)
                if not self._endTold or mayGoOn(factory, what.removesuffix(" of")):
                    self._tellFactory(factory, reason, what)
        if self.state == "disconnected" and self._factoryStarted:
            self._factoryStarted = False
            try:
                stopping: Any = factory.doStop()
                if stopping is not None:
                    self._beside(stopping, "stopFactory of")
            except BaseException as error:
                self.reactor.reportFailure(failureOf(error), "doStop of", factory)
        self._ending = None

    def _tellFactory(self, factory: Any, reason: Failure, what: str) -> None:
        # Called by name: a bound method to pass on is an object, for which there may be no memory. Noted before: what a
        # program has been told is not told again.
        told: Any
        if what == "clientConnectionLost of":
            self._endTold = True
            told = factory.clientConnectionLost(self, reason)
        else:
            self._endTold = True
            told = factory.clientConnectionFailed(self, reason)
        if told is not None:
            self._beside(told, what)

    def _beside(self, told: object, what: str) -> None:
        """Handle a callback's result, in a function of its own.

        A function with an inner one needs memory before its first line.
        """
        beside(told, lambda failure: self.reactor.reportFailure(failure, what, self.factory))

    def _succeeded(self, sock: socket.socket) -> None:
        self._attempt = None
        peer = None
        try:
            peer = self._peerOf(sock)
            self._begin(sock, peer)
        except BaseException as error:
            self.transport = None
            if peer is not None or not isinstance(error, OSError):  # otherwise it has ended already
                self.reactor.reportFailure(failureOf(error), "buildProtocol of", self.factory)
            self._notBegun(sock, error)

    def _notBegun(self, sock: socket.socket, error: BaseException) -> None:
        self.reactor.closeSoon(sock)
        try:
            failure = Failure(error if isinstance(error, ConnectError) else ConnectError(string=error))
        except MemoryError:
            failure = failureOf(error)
        self.connectionFailed(failure)

    def _begin(self, sock: socket.socket, peer: Address) -> None:
        """Build a protocol for a connected socket. An exception before the connection starts is a failure."""
        protocol = self.buildProtocol(peer)
        isRefused = protocol is None
        refused(protocol, "buildProtocol")
        try:
            connection = self._makeConnection(sock, Protocol() if isRefused else protocol, peer, self.connectionLost)
            self.transport = connection
            connection.start()
        except BaseException:
            abandon(protocol)
            raise
        if isRefused:
            connection.loseConnection()
