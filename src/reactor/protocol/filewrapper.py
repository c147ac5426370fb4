"""FileWrapper: a file in the place of a transport."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, BinaryIO

from reactor._arguments import checkProducer
from reactor._logger import getLogger

log = getLogger("reactor.protocol")


class FileWrapper:
    """A transport over a file opened for bytes: the protocol's output goes to the file, at once.

    It reads nothing: the program that has the input calls the protocol's dataReceived. An OSError or ValueError of the
    file calls handleException, and closes nothing by itself. `closed` and `disconnecting` are true after
    loseConnection.
    """

    closed = 0
    connected = 1
    disconnected = 0
    disconnecting = 0
    producer: Any = None
    streamingProducer: bool | int = 0

    _asking = False

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def write(self, data: bytes) -> None:
        """Write `data` to the file. After loseConnection, drop it."""
        if self.closed:
            return
        try:
            self.file.write(data)
        except (OSError, ValueError):
            self.handleException()

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Write the joined pieces of `iovec`."""
        self.write(b"".join(iovec))

    def loseConnection(self) -> None:
        """Close the file. Closing again does nothing."""
        if self.closed:
            return
        self.closed = self.disconnecting = self.disconnected = 1
        self.connected = 0
        try:
            self.file.close()
        except OSError:
            self.handleException()
        producer, self.producer = self.producer, None
        if producer is not None:
            producer.stopProducing()

    def abortConnection(self) -> None:
        """Close the file: nothing waits to be sent."""
        self.loseConnection()

    def getPeer(self) -> tuple[str, str]:
        """Return ("file", "file")."""
        return "file", "file"

    def getHost(self) -> str:
        """Return "file"."""
        return "file"

    def handleException(self) -> None:
        """Log the error of a failed write or close; override to do more. Called inside the except block."""
        log.exception("A file behind a FileWrapper failed")

    def registerProducer(self, producer: Any, streaming: bool | int) -> None:
        """Attach a producer. This asks a pull producer once, and each resumeProducing of the file asks it again."""
        checkProducer(producer)
        if self.producer is not None:
            raise RuntimeError(f"cannot register {producer!r}: {self.producer!r} was never unregistered")
        if self.closed:
            producer.stopProducing()
            return
        self.producer = producer
        self.streamingProducer = streaming
        if not streaming:
            self.resumeProducing()

    def unregisterProducer(self) -> None:
        """Detach the producer."""
        self.producer = None

    def stopConsuming(self) -> None:
        """Detach the producer and close the file."""
        self.unregisterProducer()
        self.loseConnection()

    def pauseProducing(self) -> None:
        """Do nothing: nothing is read from the file."""

    def resumeProducing(self) -> None:
        """Ask a pull producer for its next piece: the file has taken all data.

        This does nothing inside such a call. A protocol that is its own transport's producer, as a LineReceiver may be,
        resumes the transport then.
        """
        if self._asking or self.producer is None or self.streamingProducer:
            return
        self._asking = True
        try:
            self.producer.resumeProducing()
        finally:
            self._asking = False

    _checkProducer = resumeProducing  # the name by which programs for Twisted ask

    def stopProducing(self) -> None:
        """Close the file."""
        self.loseConnection()
