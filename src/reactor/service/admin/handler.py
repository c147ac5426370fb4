"""AdminFactory: the paths of the admin pages, and their answers."""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Callable, Iterable
from typing import Any

from reactor.http.factory import HTTPFactory
from reactor.http.handling import HandledRequest
from reactor.http.response import Response
from reactor.service.admin.guarding import FIELDS, mayAsk, pagePolicy
from reactor.service.admin.history import History
from reactor.service.admin.metrics import Exposition
from reactor.service.admin.sources import Source
from reactor.service.admin.streams import EventStreams, eventOf
from reactor.service.summing import Status

MAX_SUBSCRIBERS = 32  # of server-sent events
TEXT = "text/plain; charset=utf-8"
NEEDS_EXTRA = "/metrics needs prometheus_client: pip install 'linereactor[metrics]'\n"


def adminFactory(source: Source, *, hosts: Iterable[str] = (), maxSubscribers: int = MAX_SUBSCRIBERS) -> AdminFactory:
    """Return a factory that shows the status of `source` by HTTP.

    - `/`: the status page, in one file.
    - `/healthz`: 200 while this process lives. `/readyz`: 200 while the server is ready, else 503 and the reason.
    - `/status.json`: the status, see `Totals.status`.
    - `/metrics`: the same for Prometheus. 501 without prometheus_client, the extra `[metrics]`.
    - `/events`: server-sent events, with the recent past, then each new status.

    The arguments:

    - `hosts`: names by which clients may ask on a loopback address, beside addresses and localhost. Others get 421.
    - `maxSubscribers`: of `/events`, at a time. Further ones get 503.

    Nothing is asked for a password: listen on a loopback address or a UNIX socket, or put a proxy in front. TypeError
    and ValueError for arguments that cannot be.
    """
    for name in ("status", "isReady", "reason", "subscribe"):
        if not callable(getattr(source, name, None)):
            raise TypeError(f"a source has a method {name}(), and {source!r} has none")
    if isinstance(hosts, str):
        raise TypeError(f"hosts are several names, not the text {hosts!r}")
    if type(maxSubscribers) is not int or maxSubscribers < 0:
        raise ValueError(f"maxSubscribers is a number of 0 or more, not {maxSubscribers!r}")
    return AdminFactory(source, frozenset(host.lower().rstrip(".") for host in hosts), maxSubscribers)


class AdminFactory(HTTPFactory):
    """Serves the admin pages: see adminFactory, which makes one.

    From the start of its first port to the end of its last one it listens to its source. At the end, event streams end
    in order.
    """

    noisy = False

    def __init__(self, source: Source, hosts: frozenset[str], maxSubscribers: int) -> None:
        super().__init__()
        self.requestFactory = HandledRequest
        self.handler = self._answer
        self.streams = EventStreams(maxSubscribers)
        self._source = source
        self._hosts = hosts
        self._history = History()
        self._number = 0
        self._exposition = _expositionOf(source)
        self._unsubscribe: Callable[[], None] | None = None
        page = importlib.resources.files("reactor.service.admin").joinpath("status.html").read_bytes()
        self._page = _answerOf(200, page, "text/html; charset=utf-8", {b"Content-Security-Policy": pagePolicy(page)})
        self.paths: dict[bytes, Callable[[Any], Response | None]] = {
            b"/": lambda _: self._page,
            b"/healthz": lambda _: _answerOf(200, "alive\n"),
            b"/readyz": self._readiness,
            b"/status.json": self._status,
            b"/metrics": self._metrics,
            b"/events": self._events,
        }

    def startFactory(self) -> None:
        """See Factory."""
        super().startFactory()
        self._unsubscribe = self._source.subscribe(self._told)

    def stopFactory(self) -> None:
        """See Factory."""
        unsubscribe, self._unsubscribe = self._unsubscribe, None
        if unsubscribe is not None:
            unsubscribe()
        self.streams.close()
        super().stopFactory()

    def _told(self, status: Status) -> None:
        """Called by the source with each status. The text of the event is made once for all subscribers."""
        self._history.add(status)
        self._number += 1
        if self.streams:
            self.streams.publish(eventOf("status", status, self._number))

    def _answer(self, request: Any) -> Response | None:
        if not mayAsk(request, self._hosts):
            return _answerOf(421, "this address is asked as localhost, or by its number\n")
        page = self.paths.get(request.path)
        if page is None:
            return _answerOf(404, "there is no such page\n")
        if request.method not in (b"GET", b"HEAD"):
            return _answerOf(405, "GET and HEAD alone are allowed\n", fields={b"Allow": b"GET, HEAD"})
        return page(request)

    def _readiness(self, _request: Any) -> Response:
        isReady = self._source.isReady()
        return _answerOf(200 if isReady else 503, f"{self._source.reason()}\n")

    def _status(self, _request: Any) -> Response:
        return _answerOf(200, json.dumps(self._source.status()) + "\n", "application/json")

    def _metrics(self, request: Any) -> Response:
        if self._exposition is None:
            return _answerOf(501, NEEDS_EXTRA)
        text, mediaType = self._exposition.text(request.getHeader("Accept") or "")
        return _answerOf(200, text, mediaType)

    def _events(self, request: Any) -> Response | None:
        if request.method == b"HEAD":
            return _answerOf(200, b"", "text/event-stream")
        if self._unsubscribe is None:
            return _answerOf(503, "this server ends\n")
        if self.streams.isFull:
            text = f"{self.streams.most} subscribers are here already\n"
            return _answerOf(503, text, fields={b"Retry-After": b"30"})
        history = eventOf("history", self._history.samples())
        status = eventOf("status", self._source.status(), self._number)
        # nginx does not gather what it is told to pass on at once
        for name, value in {**FIELDS, b"Content-Type": b"text/event-stream", b"X-Accel-Buffering": b"no"}.items():
            request.setHeader(name, value)
        self.streams.open(request, history + status)
        return None


def _expositionOf(source: Source) -> Exposition | None:
    try:
        return Exposition(source.status)
    except ModuleNotFoundError:
        return None


def _answerOf(
    code: int, body: bytes | str, mediaType: str = TEXT, fields: dict[bytes, bytes] | None = None
) -> Response:
    data = body.encode("utf-8", "replace") if isinstance(body, str) else body
    return Response(code, data, {**FIELDS, b"Content-Type": mediaType.encode(), **(fields or {})})
