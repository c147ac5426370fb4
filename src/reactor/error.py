"""Every exception of the model, and the reasons for which connections end.

Names, bases and attributes are those of `twisted.internet.error`, so `except` clauses and `Failure.check` port
unchanged.
"""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

from reactor import _overwritten as _overwritten

if TYPE_CHECKING:
    from reactor.address import Address


class _Described(Exception):
    """An exception whose text is its class's MESSAGE, followed by its own arguments."""

    MESSAGE = ""

    def __str__(self) -> str:
        detail = " ".join(str(arg) for arg in self.args)
        return f"{self.MESSAGE}: {detail}." if detail else f"{self.MESSAGE}."


class BindError(_Described):
    """A socket could not be bound to its local address."""

    MESSAGE = "An error occurred binding to an interface"


class CannotListenError(BindError):
    """A port could not be opened. `interface` and `port` name it; `socketError` is the OSError."""

    def __init__(self, interface: str, port: int | str, socketError: Exception | str) -> None:
        super().__init__(interface, port, socketError)
        self.interface = interface
        self.port = port
        self.socketError = socketError

    def __str__(self) -> str:
        return f"Couldn't listen on {self.interface or 'any'}:{self.port}: {self.socketError}."


class MulticastJoinError(Exception):
    """A multicast group could not be joined."""


class MessageLengthError(_Described):
    """A datagram is longer than its socket can send."""

    MESSAGE = "Message is too long to send"


class DNSLookupError(_Described, OSError):
    """A host name could not be resolved to an address."""

    MESSAGE = "DNS lookup failed"


class ConnectInProgressError(Exception):
    """A connection attempt was started while another was under way."""


class ConnectError(Exception):
    """A connection attempt failed. `osError` is the errno or the exception behind it, or None."""

    MESSAGE = "An error occurred while connecting"

    def __init__(self, osError: object = None, string: object = "") -> None:
        self.osError = osError
        super().__init__(string)

    def __str__(self) -> str:
        parts = [self.MESSAGE, *(str(part) for part in (self.osError, self.args[0]) if part)]
        return ": ".join(parts) + "."

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(repr(part) for part in (self.osError, self.args[0]) if part)})"


class ConnectBindError(ConnectError):
    """The local address asked for by `bindAddress` could not be bound."""

    MESSAGE = "Couldn't bind"


class UnknownHostError(ConnectError):
    """The host name has no address."""

    MESSAGE = "Hostname couldn't be looked up"


class NoRouteError(ConnectError):
    """The network of the peer cannot be reached (ENETUNREACH)."""

    MESSAGE = "No route to host"


class ConnectionRefusedError(ConnectError):
    """No process listens at the peer's address (ECONNREFUSED)."""

    MESSAGE = "Connection was refused by other side"


class TCPTimedOutError(ConnectError):
    """The kernel gave up on the connection attempt (ETIMEDOUT)."""

    MESSAGE = "TCP connection timed out"


class BadFileError(ConnectError):
    """The path of a UNIX socket does not lead to a usable socket."""

    MESSAGE = "File used for UNIX socket is no good"


class ServiceNameUnknownError(ConnectError):
    """A port was given as a service name that the system does not know."""

    MESSAGE = "Service name given as port is unknown"


class UserError(ConnectError):
    """The connection attempt was stopped by the program itself."""

    MESSAGE = "User aborted connection"


class TimeoutError(UserError):
    """The connection attempt took longer than its `timeout`."""

    MESSAGE = "User timeout caused connection failure"


class SSLError(ConnectError):
    """TLS could not be established."""

    MESSAGE = "An SSL error occurred"


class VerifyError(Exception):
    """A signature or certificate did not verify."""

    MESSAGE = "Could not verify something that was supposed to be signed."


class PeerVerifyError(VerifyError):
    """The peer refused our certificate."""

    MESSAGE = "The peer rejected our verify error."


class CertificateError(Exception):
    """A certificate was missing where one was required."""

    MESSAGE = "We did not find a certificate where we expected to find one."


_CONNECT_ERRORS: dict[int, type[ConnectError]] = {
    errno.ENETUNREACH: NoRouteError,
    errno.ECONNREFUSED: ConnectionRefusedError,
    errno.ETIMEDOUT: TCPTimedOutError,
}


def getConnectError(e: BaseException | tuple[object, ...]) -> ConnectError:
    """Return the ConnectError that stands for `e`, an OSError or its (errno, text) pair."""
    args = e.args if isinstance(e, BaseException) else e
    if len(args) != 2:
        return ConnectError(string=e)
    number, text = args
    if isinstance(e, socket.gaierror):
        return UnknownHostError(number, text)
    kind = _CONNECT_ERRORS.get(number, ConnectError) if isinstance(number, int) else ConnectError
    return kind(number, text)


class ConnectionClosed(Exception):
    """A connection ended, cleanly or not."""


class ConnectionDone(_Described, ConnectionClosed):
    """The connection was closed in order: by us after everything was sent, or by the peer's end of stream."""

    MESSAGE = "Connection was closed cleanly"


class LineLengthExceeded(ConnectionDone):
    """This side closed in order, because a line or string of the peer was too long (not in Twisted)."""

    MESSAGE = "Connection was closed cleanly, as the peer sent too much at once"


class FramingBroken(ConnectionDone):
    """This side closed in order, because the peer's bytes are not framed correctly (not in Twisted)."""

    MESSAGE = "Connection was closed cleanly, as the peer broke the framing"


class IdleTimeout(ConnectionDone):
    """This side closed in order, because the connection was idle for too long (not in Twisted)."""

    MESSAGE = "Connection was closed cleanly, as it was idle"


class LineDeadlineExceeded(ConnectionDone):
    """This side closed in order, because the peer took too long for one line (not in Twisted)."""

    MESSAGE = "Connection was closed cleanly, as a line did not end in time"


class PendingLimitExceeded(ConnectionDone):
    """This side closed in order: all peers' unfinished lines were too much, and this one's among the longest.

    Not in Twisted.
    """

    MESSAGE = "Connection was closed cleanly, as unfinished lines took too much memory"


class ConnectionUnwanted(ConnectionDone):
    """This side closed in order, because the factory refuses this or any further connection (not in Twisted)."""

    MESSAGE = "Connection was closed cleanly, as it was not wanted"


class ConnectionLost(_Described, ConnectionClosed):
    """The connection broke: reset, timed out, or closed without its end of stream."""

    MESSAGE = "Connection to the other side was lost in a non-clean fashion"


class ConnectionAborted(ConnectionLost):
    """This side gave the connection up with abortConnection()."""

    MESSAGE = "Connection was aborted locally using ITCPTransport.abortConnection"


class OutputLimitExceeded(ConnectionLost):
    """The peer did not read, and the unsent output passed the transport's hard limit (not in Twisted)."""

    MESSAGE = "Connection was aborted because its unsent output passed the limit"


class FileDescriptorOverrun(ConnectionLost):
    """More file descriptors were sent over a UNIX socket than bytes to carry them."""

    MESSAGE = "More file descriptors than bytes were sent"


class ConnectionFdescWentAway(ConnectionLost):
    """The file descriptor of a connection was closed without the reactor's knowledge."""

    MESSAGE = "The file descriptor of the connection went away"


class AlreadyCalled(_Described, ValueError):
    """A DelayedCall was cancelled or moved after it had run."""

    MESSAGE = "Tried to cancel an already-called event"


class AlreadyCancelled(_Described, ValueError):
    """A DelayedCall was cancelled or moved after it had been cancelled."""

    MESSAGE = "Tried to cancel an already-cancelled event"


class ProcessDone(ConnectionDone):
    """A child process ended with exit code 0."""

    MESSAGE = "A process has ended without apparent errors"

    def __init__(self, status: int) -> None:
        Exception.__init__(self, "process finished with exit code 0")
        self.exitCode = 0
        self.signal: int | None = None
        self.status = status


class ProcessTerminated(ConnectionLost):
    """A child process ended with an `exitCode` other than 0 or by a `signal`; `status` is the result of wait()."""

    MESSAGE = "A process has ended with a probable error condition"

    def __init__(self, exitCode: int | None = None, signal: int | None = None, status: int | None = None) -> None:
        self.exitCode = exitCode
        self.signal = signal
        self.status = status
        code = "" if exitCode is None else f" with exit code {exitCode}"
        cause = "" if signal is None else f" by signal {signal}"
        Exception.__init__(self, f"process ended{code}{cause}")


class ProcessExitedAlready(Exception):
    """A signal was meant for a child process that has ended."""


class NotConnectingError(_Described, RuntimeError):
    """stopConnecting() was called on a connector that makes no attempt now."""

    MESSAGE = "The Connector was not connecting when it was asked to stop connecting"


class NotListeningError(_Described, RuntimeError):
    """A port was asked to stop listening that was not listening."""

    MESSAGE = "The Port was not listening when it was asked to stop listening"


class ReactorNotRunning(RuntimeError):
    """stop() was called on a reactor that does not run."""


class ReactorNotRestartable(RuntimeError):
    """run() was called on a reactor that close() has ended. One that has only stopped can run again."""


class ReactorAlreadyRunning(RuntimeError):
    """run() was called on a reactor that runs."""


class ReactorAlreadyInstalledError(AssertionError):
    """A default reactor was installed after another had been installed or made."""


class ConnectingCancelledError(Exception):
    """An endpoint's connection attempt was cancelled. `address` is its destination."""

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        self.address = address


class NoProtocol(Exception):
    """A factory given to an endpoint built no protocol."""


class UnsupportedAddressFamily(Exception):
    """A socket's address family is not one that the reactor handles."""


class UnsupportedSocketType(Exception):
    """A socket's type is not one that the reactor handles."""


class AlreadyListened(Exception):
    """A file descriptor that can be listened on only once was used a second time."""


class InvalidAddressError(ValueError):
    """A text is not an address of the expected kind. `address` is the text; `message` says why."""

    def __init__(self, address: str | bytes, message: str) -> None:
        super().__init__(address, message)
        self.address = address
        self.message = message
