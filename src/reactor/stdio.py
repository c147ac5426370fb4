"""StandardIO: standard input and output, or any two descriptors, as the transport of a protocol.

What stands behind the two may be pipes, terminals, sockets, files or devices, each in its own manner:
- O_NONBLOCK belongs to the open file, which a shell and its other children share, and a terminal's input with its
  output: setting it would break them. So pipes and terminals are opened anew, through /proc. Where that is refused (for
  sockets always), the flag is set on the shared file, and set back at the end.
- Files and some devices (/dev/null) are refused by epoll, as they are always ready: they are read one piece a turn, and
  written as it comes.
- The numbers that were given stay open, or the next file that the program opens would be its standard output. At the
  end of the input or output a pipe or socket there gives way to /dev/null, so that its other side sees the end.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from reactor import _current
from reactor.error import ConnectionAborted, ConnectionDone, ConnectionLost, OutputLimitExceeded
from reactor.failure import Failure
from reactor.interfaces import IDelayedCall, IProtocol, ITransportReactor
from reactor.transports.output import OutputStream

READ_SIZE = 64 * 1024

_UNWATCHABLE = frozenset({errno.EPERM, errno.EINVAL})


@dataclass(frozen=True, slots=True)
class PipeAddress:
    """Where the other end of standard input and output is: nobody knows. All are equal."""


class _Descriptor:
    """A private, non-blocking descriptor for what `fd` stands for, and its end."""

    def __init__(self, fd: int, flags: int) -> None:
        self.given = fd
        mode = os.fstat(fd).st_mode
        self._hasPeer = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
        self._wasBlocking = False
        self.fd = -1
        if stat.S_ISFIFO(mode) or os.isatty(fd):
            with suppress(OSError):
                self.fd = os.open(f"/proc/self/fd/{fd}", flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        if self.fd < 0:
            self.fd = os.dup(fd)
            self._wasBlocking = not stat.S_ISREG(mode) and os.get_blocking(fd)
            if self._wasBlocking:
                os.set_blocking(fd, False)

    def close(self, giveWay: bool = True) -> None:
        """Give it back. `giveWay` false: the number that was given is needed still."""
        fd, self.fd = self.fd, -1
        if fd < 0:
            return
        if self._wasBlocking:
            os.set_blocking(fd, True)
        os.close(fd)
        if self._hasPeer and giveWay:
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, self.given, inheritable=self.given <= 2)
            os.close(null)


class _Input:
    """The reading half: whatever it reads or ends with goes to `owner`."""

    def __init__(self, owner: StandardIO, descriptor: _Descriptor) -> None:
        self._owner = owner
        self._reactor = owner.reactor
        self._descriptor = descriptor
        self._watchable = True
        self._next: IDelayedCall | None = None

    def __repr__(self) -> str:
        return f"<input of {self._owner!r}>"

    def fileno(self) -> int:
        return self._descriptor.fd

    def start(self) -> None:
        """Have doRead called, until stop()."""
        if self._watchable:
            try:
                self._reactor.addReader(self)
                return
            except OSError as error:
                if error.errno not in _UNWATCHABLE:
                    raise
                self._watchable = False
        if self._next is None:
            self._next = self._reactor.callLater(0, self._readAgain)

    def stop(self) -> None:
        """Undo start()."""
        if self._watchable:
            self._reactor.removeReader(self)
        elif self._next is not None:
            self._next.cancel()
            self._next = None

    def _readAgain(self) -> None:
        self._next = self._reactor.callLater(0, self._readAgain)
        try:
            self.doRead()
        except BaseException:
            self._owner.failConnection(Failure())

    def doRead(self) -> None:
        try:
            data = os.read(self._descriptor.fd, READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            # EIO is how a terminal whose other side has hung up says that there is no more.
            self._owner.inputEnded(None if error.errno == errno.EIO else error)
            return
        if data:
            self._owner.dataReceived(data)
        else:
            self._owner.inputEnded(None)

    def failConnection(self, failure: Failure) -> None:
        self._owner.failConnection(failure)

    def connectionLost(self, reason: Failure) -> None:
        self._owner.connectionLost(reason)


class StandardIO(OutputStream):
    """Connects `proto`, a protocol, to the descriptors `stdin` and `stdout`, at once.

    The end of the input is the end of the connection, after everything written has been sent, unless the protocol is
    half-closeable: see IHalfCloseableProtocol. A reader of our output that has gone is noticed at the next write.
    `ended`, if set, is called with the reason after the protocol's connectionLost. `reactor` is the current one if it
    is None. OSError if a descriptor is not open.
    """

    __slots__ = ("__weakref__", "_aborting", "_input", "_inputFd", "_outputFd", "_watched", "ended", "protocol")

    bufferSize = READ_SIZE

    def __init__(self, proto: IProtocol, stdin: int = 0, stdout: int = 1, *, reactor: Any = None) -> None:
        # The package stands for the current reactor, but has not what transports ask of one.
        real = cast("ITransportReactor", reactor if hasattr(reactor, "flushSoon") else _current.current())
        super().__init__(real)
        self.protocol: Any = proto
        self.ended: Callable[[Failure], None] | None = None
        self._aborting = False
        self._watched = False
        for fd in (stdin, stdout):
            os.fstat(fd)  # before any is opened, which could get the number of one that is not
        self._inputFd = _Descriptor(stdin, os.O_RDONLY)
        self._outputFd = _Descriptor(stdout, os.O_WRONLY)
        self._input: _Input | None = _Input(self, self._inputFd)
        self._input.start()
        real.opened(self)
        try:
            proto.makeConnection(self)
        except BaseException:
            self.failConnection(Failure())

    def __repr__(self) -> str:
        return f"<StandardIO of {type(self.protocol).__name__}>"

    # For protocols.

    def getHost(self) -> PipeAddress:
        """Return a PipeAddress."""
        return PipeAddress()

    def getPeer(self) -> PipeAddress:
        """Return a PipeAddress."""
        return PipeAddress()

    def logPrefix(self) -> str:
        """Return the protocol's name for log messages."""
        name: str = self.protocol.logPrefix() if hasattr(self.protocol, "logPrefix") else type(self.protocol).__name__
        return name

    def loseConnection(self) -> None:
        """Read no more, send what was written, then end both; connectionLost(ConnectionDone) comes later."""
        if not self.connected or self.disconnecting:
            return
        self.disconnecting = True
        self.pauseProducing()
        if self._outputFd.fd >= 0:
            self._flushSoon()
        else:
            self.connectionLost(Failure(ConnectionDone()))

    def loseWriteConnection(self) -> None:
        """Send what was written, then end the output; writeConnectionLost follows. Later writes are dropped."""
        if self.connected and not self._over:
            self._ending = True
            self._flushSoon()

    def abortConnection(self) -> None:
        """Drop what was not sent. connectionLost(ConnectionAborted) comes on the next turn."""
        self._abort(ConnectionAborted())

    def pauseProducing(self) -> None:
        """Read nothing until resumeProducing."""
        if self._input is not None:
            self._input.stop()

    def resumeProducing(self) -> None:
        """Read again, unless the input is over or the connection is closing."""
        if self._input is not None and not self.disconnecting:
            self._input.start()

    def stopProducing(self) -> None:
        """loseConnection(), in the words of a producer."""
        self.loseConnection()

    # For the input.

    def dataReceived(self, data: bytes) -> None:
        """Deliver what was read, and send what the protocol wrote meanwhile."""
        if self._mark < 0:
            self._mark = self.highWater
        self.protocol.dataReceived(data)
        if self._output:
            self.flush()
        else:
            self._mark = -1

    def inputEnded(self, error: OSError | None) -> None:
        """There is no more to read, or reading failed with `error`."""
        if error is not None:
            self.connectionLost(Failure(ConnectionLost(str(error))))
            return
        self._endInput()
        if _isHalfCloseable(self.protocol):
            self.protocol.readConnectionLost()
            if self._output:
                self.flush()
        else:
            self.loseConnection()

    # For the loop.

    def fileno(self) -> int:
        """Return the descriptor that is written to, -1 once it is closed."""
        return self._outputFd.fd

    def startWriting(self) -> None:
        """Have doWrite called when there is room for more."""
        try:
            self.reactor.addWriter(self)
            self._watched = True
        except OSError as error:
            if error.errno not in _UNWATCHABLE:
                raise
            self._writing = False  # a file is always ready
            self._flushSoon()

    def stopWriting(self) -> None:
        """Undo startWriting."""
        if self._watched:
            self._watched = False
            self.reactor.removeWriter(self)

    def failConnection(self, failure: Failure) -> None:
        """Log `failure`, which a callback of the protocol raised or answered with, and end the connection with it."""
        self.reactor.reportFailure(failure, f"a callback of {self!r}")
        self.connectionLost(failure)

    def connectionLost(self, reason: Failure) -> None:
        """Close both and tell the producer and the protocol. Once only: later calls do nothing."""
        if self.disconnected:
            return
        self.disconnected = True
        self.connected = False
        self._over = True
        self._discardOutput()
        self.reactor.closed(self)
        self._endInput()
        self.stopWriting()
        self._outputFd.close()
        self._inputFd.close()
        producer, self.producer = self.producer, None
        protocol, self.protocol = self.protocol, None
        if producer is not None:
            self._tell(producer.stopProducing)
        self._tell(protocol.connectionLost, reason)
        if self.ended is not None:
            self.ended(reason)

    def _tell(self, callback: Callable[..., object], *arguments: object) -> None:
        try:
            callback(*arguments)
        except BaseException:
            self.reactor.reportFailure(Failure(), "a callback at the end of standard input and output")

    def _endInput(self) -> None:
        reader, self._input = self._input, None
        if reader is not None:
            reader.stop()

    def _abort(self, reason: ConnectionLost) -> None:
        if self.disconnected or self._aborting:
            return
        self._aborting = self._over = self.disconnecting = True
        self._discardOutput()
        self.pauseProducing()
        self.stopWriting()
        self.reactor.callLater(0, self.connectionLost, Failure(reason))

    # OutputStream's questions.

    def _send(self, data: bytearray | memoryview) -> int:
        try:
            return os.write(self._outputFd.fd, data)
        except (BlockingIOError, InterruptedError):
            return 0

    def _sendFailed(self, error: OSError) -> None:
        self.connectionLost(Failure(ConnectionLost(str(error))))

    def _outputOverflowed(self) -> None:
        self._abort(OutputLimitExceeded(f"{self.unsent} bytes"))

    def _outputEnded(self) -> None:
        if self.disconnecting:
            self.connectionLost(Failure(ConnectionDone()))
        elif self._ending:
            self._ending = False
            self._over = True
            self.stopWriting()
            self._outputFd.close(giveWay=self._outputFd.given != self._inputFd.given)
            if _isHalfCloseable(self.protocol):
                self.protocol.writeConnectionLost()


def _isHalfCloseable(protocol: object) -> bool:
    return hasattr(protocol, "readConnectionLost") and hasattr(protocol, "writeConnectionLost")
