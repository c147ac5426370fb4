"""FileWrapper: a file in the place of a transport."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, BinaryIO

from reactor._arguments import checkProducer
from reactor._logger import getLogger

log = getLogger("reactor.protocol")


class FileWrapper:
    """A transport over a file opened for bytes: what the protocol writes goes to the file, at once.

    It reads nothing: whoever has the input calls the protocol's dataReceived. An OSError or ValueError of the file is
    given to handleException and closes nothing by itself; `closed` and `disconnecting` tell of loseConnection.
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
        """Write `data` to the file. After loseConnection it is dropped."""
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
        """Called inside the except block of a failed write or close. Logs it; override to do more."""
        log.exception("A file behind a FileWrapper failed")

    def registerProducer(self, producer: Any, streaming: bool | int) -> None:
        """Attach a producer. A pull producer is asked once here and again at each resumeProducing of the file."""
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
        """Does nothing: nothing is read from the file."""

    def resumeProducing(self) -> None:
        """Ask a pull producer for its next piece: the file has taken all there was. Nothing while it is being asked: a
        protocol that is its own transport's producer, as a LineReceiver may be, resumes the transport then.
        """
        if self._asking or self.producer is None or self.streamingProducer:
            return
        self._asking = True
        try:
            self.producer.resumeProducing()
        finally:
            self._asking = False

    def stopProducing(self) -> None:
        """Close the file."""
        self.loseConnection()
