"""A connection without a network: two sockets that are buffers, and a reactor that polls them.

A protocol gets the package's own Connection, on a MemorySocket. That is a stream with a bounded buffer each way,
half-closing and resets, as between two processes of one machine. So there is no second implementation of a transport,
which could behave in another way. PumpReactor is a ReactorBase whose descriptors are such sockets. Its time is a
Clock's: it does not sleep, but moves on to the next deadline.
"""

from __future__ import annotations

import errno
import socket
import struct
import threading
from collections.abc import Iterable
from typing import Any

from reactor._views import piece
from reactor.failure import Failure
from reactor.interfaces import IReactorTime
from reactor.loops.base import ReactorBase
from reactor.task import Clock
from reactor.timers import monotonicTime

IN_FLIGHT = 64 * 1024


class MemorySocket:
    """One end of a stream in memory, with as much of a socket's methods as a Connection needs.

    At most IN_FLIGHT bytes wait each way. Bytes sent before join() have no bound, and the peer gets them then.
    """

    def __init__(self) -> None:
        self.incoming = bytearray()
        self.outgoing = bytearray()
        self.joined = False
        self.closed = False
        self._peer: MemorySocket | None = None
        self._inputEnded = False
        self._outputEnded = False
        self._reset = False
        self._options: dict[tuple[int, int], Any] = {}

    def join(self, other: MemorySocket) -> None:
        """Connect two ends, neither of which has been connected before."""
        for one, peer in ((self, other), (other, self)):
            one._peer = peer
            one.joined = True
            peer.incoming = one.outgoing

    def isReadable(self) -> bool:
        """Whether recv() would not block."""
        return bool(self.incoming) or self._inputEnded or self._reset

    def isWritable(self) -> bool:
        """Whether send() would not block."""
        return not self.joined or len(self.outgoing) < IN_FLIGHT or self._reset or self._peer is None

    def recv(self, size: int) -> bytes:
        """Return up to `size` bytes, b"" at the end; ConnectionResetError and BlockingIOError as of sockets."""
        if self.incoming:
            data = piece(self.incoming, 0, size)
            del self.incoming[:size]
            return data
        if self._reset:
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
        if self._inputEnded:
            return b""
        raise BlockingIOError(errno.EAGAIN, "nothing has been sent")

    def send(self, data: bytes | bytearray | memoryview) -> int:
        """Take as much of `data` as there is room for, and return its length; errors as of sockets."""
        if self._reset:
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
        if self._outputEnded or (self.joined and self._peer is None):
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")
        room = IN_FLIGHT - len(self.outgoing) if self.joined else len(data)
        if room <= 0:
            raise BlockingIOError(errno.EAGAIN, "the peer does not read")
        with memoryview(data) as view, view[:room] as taken:
            self.outgoing += taken
        return min(room, len(data))

    def sendmsg(self, pieces: Iterable[bytes | bytearray | memoryview]) -> int:
        """Take as much of the pieces, in order, as there is room for."""
        return self.send(b"".join(pieces))

    def shutdown(self, how: int) -> None:
        """End our half (SHUT_WR is the only use): the peer reads the rest, then b""."""
        self._outputEnded = True
        if self._peer is not None:
            self._peer._inputEnded = True

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        """Keep the option. SO_LINGER with 0 seconds makes close() a reset."""
        self._options[level, option] = value

    def getsockopt(self, level: int, option: int) -> Any:
        """Return the value that was set, else 0."""
        return self._options.get((level, option), 0)

    def fileno(self) -> int:
        """Return -1: there is no descriptor."""
        return -1

    def close(self) -> None:
        """Close. The peer sees the end, or a reset if there is unread input or SO_LINGER is 0."""
        if self.closed:
            return
        self.closed = True
        peer, self._peer = self._peer, None
        if peer is None:
            return
        peer._peer = None
        lingering = self._options.get((socket.SOL_SOCKET, socket.SO_LINGER))
        if self.incoming or lingering == struct.pack("ii", 1, 0):
            peer._reset = True
        else:
            peer._inputEnded = True
        self.incoming.clear()


class PumpReactor(ReactorBase):
    """A reactor for FakeTransports, any number of pairs. It opens no sockets.

    `clock` tells its time. iterate() and run() do not sleep. With nothing else to do they advance the clock to the next
    deadline, by at most the delay of iterate(). Without a deadline they wait for calls of other threads.
    """

    def __init__(self, clock: Any = None) -> None:
        """Make a reactor with the time of `clock`, an IReactorTime with `advance`; None for a new Clock.

        Another reactor is good enough if only turn() is called.
        """
        self.clock: Any = Clock() if clock is None else clock
        self._readers: dict[Any, MemorySocket] = {}
        self._writers: dict[Any, MemorySocket] = {}
        self._called = threading.Event()
        self.moved = False
        super().__init__()

    def seconds(self) -> float:
        """Return the clock's time."""
        clock: IReactorTime = self.clock
        return clock.seconds()

    def monotonic(self) -> float:
        """Return the time for delayed calls: the clock's, or, if it has two, the one that never jumps."""
        return monotonicTime(self.clock)

    def turn(self) -> bool:
        """Turn once, with no time passing; return whether there was anything to do."""
        due = self._timers.nextTime()
        waiting = bool(self._threadCalls or self._toFlush) or (due is not None and due <= self.monotonic())
        self._turn(0)
        return waiting or self.moved

    def _loop(self) -> None:
        while self._looping:
            try:
                self._turn(None)
            except (KeyboardInterrupt, SystemExit):
                self.reportFailure(Failure(), "the loop")

    def _turn(self, longest: float | None) -> None:
        sleep = self._beginTurn()
        if longest is not None and (sleep is None or sleep > longest):
            sleep = longest
        ready = self._ready()
        self.moved = bool(ready)
        if not ready:
            self._sleep(sleep)
            return
        self._serve(ready)
        self._finishTurn()

    def _catchUp(self) -> None:
        self._serve(self._ready())

    def _serve(self, ready: list[tuple[Any, bool, bool]]) -> None:
        outer, self._inBatch = self._inBatch, True
        try:
            self._dispatch(ready)
        finally:
            self._inBatch = outer

    def _ready(self) -> list[tuple[Any, bool, bool]]:
        readable = {owner for owner, sock in self._readers.items() if sock.isReadable()}
        writable = {owner for owner, sock in self._writers.items() if sock.isWritable()}
        owners = dict.fromkeys([*self._readers, *self._writers])
        return [(o, o in readable, o in writable) for o in owners if o in readable or o in writable]

    def _dispatch(self, ready: list[tuple[Any, bool, bool]]) -> None:
        for owner, readable, writable in ready:
            try:
                if readable and owner in self._readers:
                    owner.doRead()
                if writable and owner in self._writers:
                    owner.doWrite()
            except BaseException:
                self._ownerFailed(owner, Failure())

    def _sleep(self, sleep: float | None) -> None:
        if sleep is None:
            self._called.wait()
        elif sleep > 0:
            self.clock.advance(sleep)
        self._called.clear()

    def _wake(self) -> None:
        self._called.set()

    def _wakeupFd(self) -> int:
        return -1

    def _closeLoop(self) -> None:
        pass

    def addReader(self, reader: Any) -> None:
        """See ReactorBase.addReader. TypeError unless it is on a MemorySocket."""
        self._readers[reader] = _socketOf(reader)

    def addWriter(self, writer: Any) -> None:
        """See ReactorBase.addWriter. TypeError unless it is on a MemorySocket."""
        self._writers[writer] = _socketOf(writer)

    def removeReader(self, reader: Any) -> None:
        """See ReactorBase.removeReader."""
        self._readers.pop(reader, None)

    def removeWriter(self, writer: Any) -> None:
        """See ReactorBase.removeWriter."""
        self._writers.pop(writer, None)

    def getReaders(self) -> list[Any]:
        """See ReactorBase.getReaders."""
        return list(self._readers)

    def getWriters(self) -> list[Any]:
        """See ReactorBase.getWriters."""
        return list(self._writers)

    def isReading(self, reader: Any) -> bool:
        """See ReactorBase.isReading."""
        return reader in self._readers


def _socketOf(owner: Any) -> MemorySocket:
    sock = getattr(owner, "socket", None)
    if not isinstance(sock, MemorySocket):
        raise TypeError(f"{owner!r} is not in memory: a PumpReactor has no descriptors")
    return sock
