"""Our ends of a child's pipes, and of its terminal.

Each end calls `ended` of its process once, when it is closed, and the process calls the protocol. A pipe's end can hang
up while there is nothing to send. The kernel reports that as an error condition, which wakes the reader of the
descriptor too. So a ChildWriter is a reader as well, and then looks for the cause.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from io import FileIO
from typing import Any

from reactor._beside import beside
from reactor._logger import getLogger
from reactor._numbers import closeNumber
from reactor.error import ConnectionDone, ConnectionLost, OutputLimitExceeded
from reactor.failure import Failure, failureOf
from reactor.interfaces import ITransportReactor
from reactor.transports.output import ENDED, ENDING, OutputStream

log = getLogger("reactor.transports")

READ_SIZE = 64 * 1024
_ABANDONED = Failure(ConnectionDone())  # made beforehand, as it may be needed when there is no memory


class ChildReader:
    """Our end of a pipe that the child writes to. `received` is called with its data, `ended` last.

    `ended` is called again if a signal's handler raises in it.
    """

    __slots__ = ("__weakref__", "_ended", "_file", "_lost", "_received", "disconnected", "disconnecting", "reactor")

    _isReactorsOwn = True  # see loops.guests

    def __init__(
        self, reactor: ITransportReactor, fd: int, received: Callable[[bytes], object], ended: Callable[[], None]
    ) -> None:
        os.set_blocking(fd, False)
        self.reactor = reactor
        self.disconnecting = False
        self.disconnected = False
        self._lost = False
        self._file = FileIO(fd, "rb")
        self._received = received
        self._ended = ended

    def start(self) -> None:
        """Begin to read."""
        self.reactor.opened(self)
        self.reactor.addReader(self)

    def fileno(self) -> int:
        """Return the descriptor, -1 once it is closed."""
        return -1 if self.disconnected else self._file.fileno()

    def doRead(self) -> None:
        """The child has written, or closed its end."""
        data = self._file.read(READ_SIZE)
        if data:
            result = self._received(data)
            if result is not None:
                beside(result, self.failConnection)
        elif data is not None:
            self.connectionLost(Failure(ConnectionDone()))

    def pauseProducing(self) -> None:
        """Read nothing until resumeProducing."""
        self.reactor.removeReader(self)

    def resumeProducing(self) -> None:
        """Read again, unless the end is closing. If the system refuses to watch it, it closes."""
        if not self.disconnecting and not self.disconnected:
            _watch(self)

    def loseConnection(self) -> None:
        """Read no more, and close on the next turn."""
        if not self.disconnecting:
            self.reactor.callLater(0, self.connectionLost, Failure(ConnectionDone()))
            self.disconnecting = True
            self.reactor.removeReader(self)

    def abandon(self) -> None:
        """Close without a call to the process: there is no child."""
        self._ended = _nothing
        self.connectionLost(_ABANDONED)

    def failConnection(self, failure: Failure) -> None:
        """Log `failure`, of the protocol, and close."""
        try:
            self.reactor.reportFailure(failure, "childDataReceived")
        finally:
            self.connectionLost(failure)

    def connectionLost(self, reason: Failure) -> None:
        """Close. Once only: later calls do nothing."""
        if self._lost:
            return
        self._lost = True
        try:
            self._end()
        except BaseException:
            self._lost = False  # see OutputStream._endOnce
            self._end()
            self._lost = True
            raise

    def _end(self) -> None:
        if not self.disconnected:
            self.reactor.removeReader(self)
            self.disconnected = True
        self.reactor.closed(self)
        self.reactor.closeSoon(self._file)
        self._ended()


class ChildWriter(OutputStream):
    """Our end of a pipe that the child reads. `ended` is called when it is closed: see ChildReader."""

    __slots__ = ("__weakref__", "_child", "_ended", "_file")

    def __init__(
        self,
        reactor: ITransportReactor,
        fd: int,
        ended: Callable[[], None],
        mode: str = "wb",
        child: object = "a child",
    ) -> None:
        super().__init__(reactor)
        self._child = child
        os.set_blocking(fd, False)
        self._file = FileIO(fd, mode)
        self._ended = ended

    def start(self) -> None:
        """Begin to watch."""
        self.reactor.opened(self)
        self.reactor.addReader(self)

    def fileno(self) -> int:
        """Return the descriptor, -1 once it is closed."""
        return -1 if self.disconnected else self._file.fileno()

    def doRead(self) -> None:
        """The child may have closed its end."""
        if hasHungUp(self._file.fileno()):
            self.connectionLost(Failure(ConnectionLost()))

    def startWriting(self) -> None:
        """Have the loop call doWrite when the child takes more."""
        self.reactor.addWriter(self)

    def stopWriting(self) -> None:
        """Undo startWriting."""
        self.reactor.removeWriter(self)

    def loseConnection(self) -> None:
        """Send all output, then close. A pull producer, or a paused push producer, may finish first."""
        if not self.disconnecting and not self.disconnected:
            self._flushSoon()
            self._writeHalf = max(self._writeHalf, ENDING)
            self.disconnecting = True

    def abandon(self) -> None:
        """Close without a call to the process: there is no child."""
        self._ended = _nothing
        self.connectionLost(_ABANDONED)

    def failConnection(self, failure: Failure) -> None:
        """Log `failure`, of a callback, and close."""
        try:
            self.reactor.reportFailure(failure, "a callback of a child's descriptor")
        finally:
            self.connectionLost(failure)

    def connectionLost(self, reason: Failure) -> None:
        """Drop unsent output, close, and call the producer. Once only: later calls do nothing."""
        self._endOnce(reason)

    def _end(self, reason: Failure) -> None:
        """See OutputStream._end."""
        if not self.disconnected:
            self.reactor.removeReader(self)
            self.reactor.removeWriter(self)
            self.disconnected = True
        self._writeHalf = ENDED
        self._discardOutput()
        self._stopAsking()
        self.reactor.closed(self)
        self.reactor.closeSoon(self._file)
        if self.producer is not None:
            self._stopProducer(self.producer)
        self._ended()

    def _stopProducer(self, producer: Any) -> None:
        try:
            self.producer = None
            if (told := producer.stopProducing()) is not None:
                beside(told, lambda failure: self.reactor.reportFailure(failure, "stopProducing of", producer))
        except BaseException as error:
            self.reactor.reportFailure(failureOf(error), "stopProducing of", producer)

    # The methods that OutputStream calls.

    def _send(self, data: bytes | bytearray | memoryview) -> int:
        return self._file.write(data) or 0  # None: the child has not read yet

    def _sendFailed(self, error: OSError) -> None:
        self.connectionLost(Failure(ConnectionLost(str(error))))

    def _outputOverflowed(self) -> None:
        log.warning("%s does not read; closed its descriptor at %d unsent bytes", self._child, self.unsent)
        failure = Failure(OutputLimitExceeded(f"{self.unsent} bytes"))
        self._writeHalf = ENDED
        self.disconnecting = True
        self._discardOutput()
        self._stopAsking()
        self.stopWriting()
        self.reactor.callLater(0, self.connectionLost, failure)

    def _outputEnded(self) -> None:
        if self.disconnecting:
            self.connectionLost(self._closedInOrder())


class _Lent(FileIO):
    """A file over the number `fd`, which its close() closes only if `isOurs` has been set."""

    def __init__(self, fd: int) -> None:
        self.isOurs = False
        super().__init__(fd, "r+b", closefd=False)

    def close(self) -> None:
        if not self.closed:
            fd = self.fileno()
            super().close()
            if self.isOurs:
                closeNumber(fd)


class ChildTerminal(ChildWriter):
    """Our end of a child's terminal, for both directions. `received` is called with the child's output.

    With `lent` the descriptor stays open at the end, unless keep() has been called.
    """

    __slots__ = ("_received",)

    def __init__(
        self,
        reactor: ITransportReactor,
        fd: int,
        received: Callable[[bytes], object],
        ended: Callable[[], None],
        child: object = "a child",
        lent: bool = False,
    ) -> None:
        OutputStream.__init__(self, reactor)
        os.set_blocking(fd, False)
        self._file: _Lent = _Lent(fd)
        self._file.isOurs = not lent
        self._ended = ended
        self._child = child
        self._received = received

    def keep(self) -> None:
        """Take over the lent descriptor, which is then closed at the end."""
        self._file.isOurs = True

    def doRead(self) -> None:
        """The child has written, or no process has the terminal any more, which Linux reports as EIO."""
        try:
            data = self._file.read(READ_SIZE)
        except OSError as error:
            self.connectionLost(Failure(ConnectionLost(str(error))))
            return
        if data:
            result = self._received(data)
            if result is not None:
                self._beside(result)
        elif data is not None:
            self.connectionLost(Failure(ConnectionDone()))

    def loseConnection(self) -> None:
        """Read no more, send all output, then close: the kernel sends SIGHUP to the child's session."""
        self.reactor.removeReader(self)
        super().loseConnection()

    def pauseProducing(self) -> None:
        """Read nothing until resumeProducing."""
        self.reactor.removeReader(self)

    def resumeProducing(self) -> None:
        """Read again, unless the terminal is closing. If the system refuses to watch it, it closes."""
        if self.connected and not self.disconnecting:
            _watch(self)


def _watch(end: ChildReader | ChildTerminal) -> None:
    try:
        end.reactor.addReader(end)
    except (OSError, MemoryError) as error:
        log.warning("the system refuses to watch a child's descriptor, which is closed: %r", error)
        end.reactor.callLater(0, end.connectionLost, Failure(ConnectionLost(str(error))))


def hasHungUp(fd: int) -> bool:
    """Whether the kernel reports an error or a hang-up of `fd`. A pipe without a reader has one."""
    poll = select.poll()
    poll.register(fd, 0)
    try:
        return bool(poll.poll(0))
    except OSError:  # the kernel has no memory for poll(), and the loop will wake the caller again
        return False


def _nothing() -> None:
    pass
