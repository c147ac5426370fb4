"""HTTPFactory: the factory of HTTP servers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Self
from weakref import WeakKeyDictionary, ref

from reactor import _current
from reactor._logger import getLogger
from reactor.http.accesslog import AccessLogging
from reactor.http.channel import HTTPChannel
from reactor.http.handling import HandledRequest
from reactor.http.waits import Deadlines
from reactor.protocol import ServerFactory

log = getLogger("reactor.http")


class HTTPFactory(AccessLogging, ServerFactory[HTTPChannel]):
    """Serves HTTP/1.1: `forHandler` for a function that answers, `requestFactory` for a subclass of Request.

    Twisted's `twisted.web.http.HTTPFactory`, with the same arguments. Settings of the connections are attributes of
    `protocol`, the HTTPChannel or a subclass.

    - `requestFactory`: called with the channel for each request, a subclass of Request as a rule. None: the channel's.
    - `timeOut`: seconds that a connection may be idle between requests, or None.
    - `handler`: what forHandler has got.
    - `maxBodySize`: bytes of a request's body that a handler may await whole; for more it gets HTTPError 413.
    - `refusedCounts`: how many requests were refused, by the code of the answer.
    """

    protocol: Any = HTTPChannel
    requestFactory: Any = None
    handler: Callable[[Any], Any] | None = None
    timeOut: float | None = 60.0
    maxBodySize = 1024 * 1024

    def __init__(
        self,
        logPath: Any = None,
        timeout: float | None = 60.0,
        logFormatter: Callable[[str, Any], str] | None = None,
        reactor: Any = None,
    ) -> None:
        """Make a factory.

        - `logPath`: the file to which the access log is appended, or None.
        - `timeout`: `timeOut`, in seconds.
        - `logFormatter`: called with the time in brackets and the request, returns the line of the log. TypeError if it
          cannot be called.
        - `reactor`: for the deadlines, and the time in the log; None: the one of each connection's transport.
        """
        self.setLog(logPath, logFormatter)
        self.timeOut = timeout
        self.reactor = reactor
        self.refusedCounts: Counter[int] = Counter()
        self._deadlines: WeakKeyDictionary[Any, Deadlines] = WeakKeyDictionary()
        self._channels = 0
        self._isStopped = False

    @classmethod
    def forHandler(cls, handler: Callable[[Any], Any], *args: Any, **kwargs: Any) -> Self:
        """Return cls(*args, **kwargs) that answers each request with what `handler(request)` gives.

        That is a Response, or bytes, or a Deferred or coroutine with one of these. TypeError if it cannot be called.
        """
        if not callable(handler):
            raise TypeError(f"a handler is called with each request, and {handler!r} cannot be called")
        factory = cls(*args, **kwargs)
        factory.handler = handler
        factory.requestFactory = HandledRequest
        return factory

    def buildProtocol(self, addr: Any) -> HTTPChannel:
        """See Factory."""
        channel: HTTPChannel = self.protocol()
        channel.factory = self
        if self.requestFactory is not None:
            channel.requestFactory = self.requestFactory
        if self.timeOut != channel.timeOut:
            channel.timeOut = self.timeOut
        return channel

    def deadlinesOf(self, channel: HTTPChannel) -> Deadlines:
        """Return the deadlines of the reactor that `channel` has, which all its connections share."""
        if "callLater" in vars(channel) or type(channel).callLater is not HTTPChannel.callLater:
            return Deadlines(channel.callLater)
        reactor = self.reactor or getattr(channel.transport, "reactor", None) or _current.current()
        found = self._deadlines.get(reactor)
        if found is None:
            known: Any = ref(reactor)  # the deadlines are the value, and must not keep their key
            found = self._deadlines[reactor] = Deadlines(lambda *call: known().callLater(*call))
        return found

    def startFactory(self) -> None:
        """See Factory. Opens the access log."""
        if self._isStopped and self._channels:
            self.stopLog()
        self._isStopped = False
        self.startLog()

    def stopFactory(self) -> None:
        """See Factory. Closes the access log, when the last connection has ended."""
        self._isStopped = True
        if not self._channels:
            self.stopLog()

    def channelOpened(self) -> None:
        """Called by each channel when its connection stands."""
        self._channels += 1

    def channelClosed(self) -> None:
        """Called by each channel when its connection has ended, or belongs to another protocol."""
        self._channels -= 1
        if self._isStopped and not self._channels:
            self.stopLog()
