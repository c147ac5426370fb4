"""FileSender: a producer that sends a file to a consumer, as fast as the peer takes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from reactor._arguments import checkCall, checkHas
from reactor.defer import Deferred
from reactor.failure import Failure

if TYPE_CHECKING:
    from reactor.interfaces import IConsumer

__all__ = ["FileSender", "TransferStopped"]


class ReadableFile(Protocol):
    """The part of a binary file that a FileSender uses."""

    def read(self, size: int, /) -> bytes | None:
        """Return up to `size` bytes, none at the end."""


class TransferStopped(Exception):
    """The consumer asked a FileSender to stop before the end of the file: the connection was lost."""


class FileSender:
    """Sends a file in pieces of CHUNK_SIZE bytes, each when the consumer has sent the last one (a pull producer).

    A transform may keep bytes back, for example to compress them. Then the sender reads further pieces until the
    transform gives some, but at most MAX_READS in a turn. A transport of this package asks again soon. Reading blocks
    the reactor for as long as the file system takes. The sender does not close the file.
    """

    CHUNK_SIZE = 2**14
    MAX_READS = 16

    deferred: Deferred[bytes] | None = None
    lastSent = b""

    def beginFileTransfer(
        self, file: ReadableFile, consumer: IConsumer, transform: Callable[[bytes], bytes] | None = None
    ) -> Deferred[bytes]:
        """Send the rest of `file` to `consumer`, each piece passed through `transform` if there is one.

        Return a Deferred that fires when the consumer has got everything, with the last byte (b"" if there was none).
        It fails with an exception of `file`, `transform` or `consumer.write`, and the consumer stays connected. It
        fails with TransferStopped if the consumer stops it. RuntimeError if this sender is busy or the consumer has a
        producer. TypeError for arguments of another kind.
        """
        checkHas(file, "read", "a file")
        checkHas(consumer, "registerProducer", "a consumer")
        if transform is not None:
            checkCall(transform)
        if self.deferred is not None:
            raise RuntimeError("this FileSender has not finished its transfer")
        self.file, self.consumer, self.transform = file, consumer, transform
        self.lastSent = b""
        deferred = self.deferred = Deferred()
        try:
            consumer.registerProducer(self, False)
        except BaseException:
            self.deferred = None
            raise
        return deferred

    def resumeProducing(self) -> None:
        """Called by the consumer: send the next piece."""
        if self.deferred is None:
            return
        try:
            for _ in range(self.MAX_READS):
                chunk = self.file.read(self.CHUNK_SIZE)
                if chunk is None:
                    raise BlockingIOError("the file has nothing to read now, and a FileSender cannot wait for it")
                if not chunk:
                    break
                if self._send(chunk):
                    return
            else:
                return
        except Exception:
            failure = Failure()
            self.consumer.unregisterProducer()
            self._finish().errback(failure)
        else:
            self.consumer.unregisterProducer()
            self._finish().callback(self.lastSent)

    def pauseProducing(self) -> None:
        """Do nothing: a piece is sent only when the consumer asks for it."""

    def stopProducing(self) -> None:
        """Called by the consumer when it will take no more."""
        if self.deferred is not None:
            self._finish().errback(TransferStopped("the consumer asked to stop before the end of the file"))

    def _send(self, chunk: bytes) -> bool:
        """Send a piece. Return False if the transform has given nothing for it."""
        if self.transform is not None:
            chunk = self.transform(chunk)
            if not chunk:
                return False
        self.consumer.write(chunk)
        self.lastSent = chunk[-1:]
        return True

    def _finish(self) -> Deferred[bytes]:
        # All references end before the Deferred fires, because a callback may begin the next transfer.
        deferred = self.deferred
        assert deferred is not None
        self.deferred = None
        del self.file, self.consumer, self.transform
        return deferred
