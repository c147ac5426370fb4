"""The state of an HTTPChannel: its settings, the phase of its input, and the causes to read nothing. See channel.py."""

from __future__ import annotations

from typing import Any

from reactor.http.bodies import Decoder
from reactor.http.errors import HTTPError
from reactor.http.head import MAX_FIELDS, MAX_HEAD, MAX_LINE
from reactor.http.requests import Request
from reactor.http.waits import Deadlines
from reactor.linereceiver import LineReceiver

IDLE, HEAD, BODY, BUSY, ENDING, TAKEN = range(6)

# Causes to read nothing.
OUTPUT, QUEUE, CONTENT, TUNNEL = 1, 2, 4, 8


class ChannelState(LineReceiver):
    """The settings and the state of an HTTPChannel, which describes them."""

    MAX_LENGTH = MAX_LINE
    batchEndsAtEmptyLine = True
    maxHeaders = MAX_FIELDS
    totalHeadersSize = MAX_HEAD
    maxPipelined = 16
    maxRequests: int | None = None
    maxContentLength = 1024 * 1024
    timeOut: float | None = 60.0
    headTimeOut: float = 10.0
    stallTime: float = 60.0
    lingerTime: float = 5.0
    abortTimeout: float | None = 15.0

    requestFactory: Any = Request
    #: Whether the peer takes less than is written.
    isFull = False
    _deadlines: Deadlines | None = None
    _skipped = False
    _isOver = False
    _advances = False
    _decoder: Decoder | None = None
    receiving: Any = None  # the request whose body is coming
    _received = 0
    _owesContinue = False
    _mayUpgrade = False
    _upgrading: Any = None
    _stalledAt: int | None = None
    _producer: Any = None
    _pulls = False
    _lastChance = False
    _inRead = False
    _idle: Any = None

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.requestCount = 0
        self.waitsIn: set[Any] | None = None
        self._phase = IDLE
        self._holds = 0
        self._lines: list[bytes] | None = None

    # Supplied by a subclass.

    def _refuse(self, error: HTTPError) -> None:
        """Answer what cannot be understood, after the answers of earlier requests; then the connection ends."""
        raise NotImplementedError

    def _refuseRequest(self, request: Any, error: HTTPError) -> None:
        """Answer a request whose body is refused, unless the program has answered already."""
        raise NotImplementedError
