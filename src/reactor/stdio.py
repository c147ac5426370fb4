"""StandardIO: standard input and output, or any two descriptors, as the transport of a protocol.

The two may be pipes, terminals, sockets, files or devices, with these rules:

- Other processes share them, so O_NONBLOCK is never set on them. Still, nothing blocks: transports.sharing says how.
- epoll refuses files and some devices (/dev/null), as they are always ready. The loop reads them one piece a turn, and
  writes to them in the callback.
- The given numbers stay open. Otherwise the next file that the program opens would be its standard output. At the end
  of the input or output, /dev/null replaces a pipe or socket there, so that its other side sees the end.
- A pipe without a reader is an error condition for the kernel, which wakes a reader of the descriptor. So the output,
  if it is a pipe, is watched like an input. Readable input comes first, as a peer that closes both pipes may have sent
  something before.
"""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, cast

from reactor import _current
from reactor._arguments import checkProducer, checkProtocol
from reactor._beside import beside
from reactor._numbers import statOpen
from reactor.failure import Failure
from reactor.interfaces import IDelayedCall, IProtocol, ITransportReactor
from reactor.interfaces.asking import implementer
from reactor.interfaces.streams import IAddress
from reactor.transports.children.pipes import hasHungUp
from reactor.transports.duplex import UNWANTED, WANTED, DuplexStream, isHalfCloseable
from reactor.transports.output import ABORTED, ENDED, ENDING
from reactor.transports.sharing import SharedDescriptor

READ_SIZE = 64 * 1024

_UNWATCHABLE = frozenset({errno.EPERM, errno.EINVAL})


@implementer(IAddress)
@dataclass(unsafe_hash=True)
class PipeAddress:
    """The address of the other end of standard input and output, which is unknown. All are equal."""


class _Input:
    """The reading half. Its data and its end go to `owner`."""

    _isReactorsOwn = True  # see loops.guests

    def __init__(self, owner: StandardIO, descriptor: SharedDescriptor) -> None:
        self.isReading = False
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
        """Have the loop call doRead, until stop()."""
        if self.isReading:
            return
        if self._watchable:
            try:
                self._reactor.addReader(self)
            except OSError as error:
                if error.errno not in _UNWATCHABLE:
                    raise
                self._watchable = False
        if not self._watchable:
            self._next = self._reactor.callLater(0, self._readAgain)
        self.isReading = True

    def stop(self) -> None:
        """Undo start()."""
        self.isReading = False
        if self._watchable:
            self._reactor.removeReader(self)
        elif self._next is not None:
            waiting, self._next = self._next, None
            if waiting.active():
                waiting.cancel()

    def mayHaveMore(self) -> bool:
        """Whether the next read brings data, or is put off, so that it is unknown."""
        if not (self.isReading and self._watchable):
            return True
        poll = select.poll()
        poll.register(self._descriptor.fd, select.POLLIN)
        try:
            return bool(poll.poll(0))
        except OSError:  # the kernel has no memory for poll()
            return True

    def _readAgain(self) -> None:
        if self._next is None or not self._next.active():  # else a signal's handler has broken this off, behind it
            self._next = self._reactor.callLater(0, self._readAgain)
        try:
            self.doRead()
        except BaseException:
            self._owner.failConnection(Failure())

    def doRead(self) -> None:
        try:
            data = self._descriptor.read(READ_SIZE)
        except OSError as error:
            # A terminal whose other side has hung up reports its end with EIO.
            self._owner.inputEnded(None if error.errno == errno.EIO else error)
            return
        if data:
            self._owner.dataReceived(data)
        elif data is not None:
            self._owner.inputEnded(None)

    def failConnection(self, failure: Failure) -> None:
        self._owner.failConnection(failure)

    def connectionLost(self, reason: Failure) -> None:
        self._owner.connectionLost(reason)


class StandardIO(DuplexStream):
    """Connects `proto`, a protocol, to the descriptors `stdin` and `stdout`, at once.

    The end of the input ends the connection, after all output has been sent. If the reader of our output closes, the
    connection ends with ConnectionLost, after the readable input. For a half-closeable protocol each is the end of one
    half: see IHalfCloseableProtocol. loseWriteConnection ends a socket's half for all processes that share it. `ended`,
    if set, is called with the reason after the protocol's connectionLost. A `reactor` of None means the current one.
    OSError if a descriptor is not open.
    """

    __slots__ = ("_input", "_inputFd", "_outputFd", "_readerGone", "_watched")

    bufferSize = READ_SIZE

    def __init__(self, proto: IProtocol, stdin: int = 0, stdout: int = 1, *, reactor: Any = None) -> None:
        checkProtocol(proto)
        # If the package is given, it means the current reactor. The package lacks methods that transports need.
        real = cast("ITransportReactor", reactor if hasattr(reactor, "flushSoon") else _current.current())
        super().__init__(real, proto)
        self._watched = False
        self._readerGone = False
        for fd in (stdin, stdout):
            statOpen(fd)  # before any is opened, as that could get the number of a closed one
        with ExitStack() as undo:
            self._inputFd = SharedDescriptor(stdin, os.O_RDONLY)
            undo.callback(self._inputFd.close)
            self._outputFd = SharedDescriptor(stdout, os.O_WRONLY)
            undo.callback(self._outputFd.close)
            self._input: _Input | None = _Input(self, self._inputFd)
            self._input.start()
            undo.callback(self._input.stop)
            if self._outputFd.isWritePipe():
                real.addReader(self)
            undo.pop_all()
        real.opened(self)
        try:
            # A wrapper, or an untyped protocol: its result is known at run time only.
            if (made := cast("Any", proto).makeConnection(self)) is not None:
                self._beside(made)
        except BaseException:
            self.failConnection(Failure())

    def __repr__(self) -> str:
        return f"<StandardIO of {type(self.protocol).__name__}>"

    @property
    def isReading(self) -> bool:
        """Whether the input is read: it is neither paused nor over."""
        return self._input is not None and self._input.isReading

    def _isReading(self) -> bool:
        return self.isReading

    def inputFileno(self) -> int:
        """Return the descriptor that is read from, -1 once it is closed."""
        return self._inputFd.fd

    def readNow(self) -> None:
        """Read once and deliver, if the input is neither paused nor over."""
        if self._input is not None and self._input.isReading:
            self._input.doRead()

    # For protocols.

    def getHost(self) -> PipeAddress:
        """Return a PipeAddress."""
        return PipeAddress()

    def getPeer(self) -> PipeAddress:
        """Return a PipeAddress."""
        return PipeAddress()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """See OutputStream.registerProducer. If only the output is over, it calls stopProducing(), as Twisted does."""
        checkProducer(producer)
        if self._writeHalf >= ENDED and self.producer is None:
            beside(producer.stopProducing())
        else:
            super().registerProducer(producer, streaming)

    # For forks and for the input.

    def _forked(self) -> list[int]:
        """See loops.forks."""
        return [self._inputFd.fd]

    def dataReceived(self, data: bytes) -> None:
        """Deliver `data`, and send the protocol's new output."""
        self._holdRead(data)
        if (result := self.protocol.dataReceived(data)) is not None:
            self._beside(result)
        if self._front() is not None:
            self.flush()
        if self._readerGone:
            self._lostItsReader()

    def inputEnded(self, error: OSError | None) -> None:
        """The input has ended, or reading failed with `error`."""
        if error is not None:
            self._broke(error)
            return
        self._endInput()
        if isHalfCloseable(self.protocol):
            if (told := self.protocol.readConnectionLost()) is not None:
                self._beside(told)
            if self.unsent:
                self.flush()
        else:
            self.loseConnection()
            if self.connected and hasHungUp(self._outputFd.fd):
                self._lostItsReader()

    # For the loop.

    def fileno(self) -> int:
        """Return the descriptor that is written to, -1 once it is closed."""
        return self._outputFd.fd

    def doRead(self) -> None:
        """The output may have lost its reader: check that."""
        if hasHungUp(self._outputFd.fd):
            self.reactor.removeReader(self)
            self._lostItsReader()

    def startReading(self) -> None:
        """Deliver the input from now on, unless it is over."""
        if self._throttled:
            self._throttled = WANTED
        elif self._input is not None:
            try:
                self._input.start()
                if self._readerGone:
                    self.reactor.addReader(self)
            except (OSError, MemoryError) as error:
                self._endSoon(error)

    def stopReading(self) -> None:
        """Undo startReading."""
        if self._throttled:
            self._throttled = UNWANTED
        if self._input is not None:
            self._input.stop()

    def startWriting(self) -> None:
        """Have the loop call doWrite when there is room for more."""
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

    def _endInput(self) -> None:
        reader, self._input = self._input, None
        if reader is not None:
            reader.stop()

    def _close(self) -> None:
        self._endInput()
        self._closeOutput()
        self._inputFd.close(giveWay=True)

    def _closeOutput(self, giveWay: bool = True) -> None:
        self.stopWriting()
        self.reactor.removeReader(self)
        self._outputFd.close(giveWay)

    # The methods that OutputStream calls.

    def _send(self, data: bytes | bytearray | memoryview) -> int:
        return self._outputFd.write(data)

    def _sendFailed(self, error: OSError) -> None:
        self._outputLost(str(error))

    def _tellFollower(self, ended: Callable[[Failure], None], reason: Failure) -> None:
        """See DuplexStream: this is the program's, which counts as told once it is called."""
        self.ended = None
        ended(reason)

    def _lostItsReader(self) -> None:
        """The output has lost its reader, which matters if more output may come."""
        if (self.disconnecting or self._writeHalf == ENDING) and (self.producer is None or self.streamingProducer):
            self.flush()
        else:
            self._outputLost("nobody reads the output")

    def _outputLost(self, why: str) -> None:
        """The output cannot arrive. A protocol without half-close methods first gets the readable input."""
        if self._outputFd.isPipe and self._input is not None and not self.disconnecting:
            if isHalfCloseable(self.protocol):
                self._halfLost()
                return
            if not self.unsent and self._input.mayHaveMore():
                self._readerGone = True
                return
        self._broke(why)

    def _halfLost(self) -> None:
        """End the output alone. The producer or the protocol may close in its callback, which ends everything."""
        self._discardOutput()
        if self.producer is not None:
            self._stopProducer(self.producer)
        if self._writeHalf == ABORTED:
            return  # connectionLost follows soon
        if self.disconnecting:
            self.connectionLost(self._closedInOrder())
        else:
            self._endWriting()

    def _endWriting(self) -> None:
        self._writing = False
        self._writeHalf = ENDED
        self._outputFd.shutdown()
        self._closeOutput(giveWay=self._outputFd.given != self._inputFd.given)
        if isHalfCloseable(self.protocol) and (told := self.protocol.writeConnectionLost()) is not None:
            self._beside(told)
