"""The HTTP/1.1 client: `request` for a single one, and Client for several, whose connections are kept and reused.

Redirects, cookies, proxies and content codings are the caller's. Requests are not pipelined (RFC 9112, 9.3.2).
"""

from __future__ import annotations

from typing import Any, Self

from reactor import _current
from reactor._arguments import checkCount, checkSeconds
from reactor.defer import Deferred
from reactor.http.clientpool import Pool
from reactor.http.exchange import Exchange
from reactor.http.incoming import MAX_BODY, ClientResponse
from reactor.http.outgoing import BodyLike, HeadersLike, Text, prepare
from reactor.tlsoptions import ContextFactory, checkContext

TIMEOUT = 30.0
CONNECTIONS_PER_HOST = 10
IDLE_CONNECTIONS = 50
# Servers keep idle connections for 5 to 75 seconds. A request must not meet one that the server is just closing.
IDLE_SECONDS = 15.0


class _OfClient:
    """The default of a timeout that the Client decides."""


class Client:
    """Sends requests over connections that are kept, and reused for later requests to the same server.

    - `reactor`: the current one unless given. `context`: the context factory for https, as of connectSSL. None verifies
      with the system's trust. If it has a `hostname`, TLS verifies that one in place of the URL's.
    - `timeout` and `maxBody`: those of each request, see request().
    - `connectionsPerHost`: connections to one server, 10 by default. Beyond it requests wait, in order.
    - `idleConnections`: idle connections to all servers, 50 by default. Beyond it the oldest is closed.
    - `idleSeconds`: an idle connection is closed after that time, 15 s by default.

    `requestCount` is the number of requests. `openedCount`, `reusedCount` and `repeatedCount` are those of connections
    made, of requests on a connection that was kept, and of requests that were sent again. `idleCount` and
    `connectionCount` are the connections that are idle now, and all that are open.

    ValueError and TypeError for arguments of another kind.
    """

    def __init__(
        self,
        reactor: Any = None,
        *,
        context: ContextFactory | None = None,
        timeout: float | None = TIMEOUT,
        maxBody: int = MAX_BODY,
        connectionsPerHost: int = CONNECTIONS_PER_HOST,
        idleConnections: int = IDLE_CONNECTIONS,
        idleSeconds: float = IDLE_SECONDS,
    ) -> None:
        if context is not None:
            checkContext(context, isClient=True)
        _checkTimeout(timeout)
        _checkAtLeast(maxBody, 0, "maxBody")
        _checkAtLeast(connectionsPerHost, 1, "connectionsPerHost")
        _checkAtLeast(idleConnections, 0, "idleConnections")
        checkSeconds(idleSeconds, "idleSeconds")
        if idleSeconds < 0:
            raise ValueError(f"idleSeconds is not negative, as {idleSeconds!r} is")
        self._reactor = reactor
        self._timeout = timeout
        self._maxBody = maxBody
        self._limits = context, connectionsPerHost, idleConnections, idleSeconds
        self._closes = False
        self._isClosed = False
        self._pool: Pool | None = None
        self.requestCount = 0

    def request(
        self,
        method: Text,
        url: Text,
        headers: HeadersLike | None = None,
        body: BodyLike = b"",
        timeout: float | type[_OfClient] | None = _OfClient,
        *,
        maxBody: int | None = None,
    ) -> Deferred[ClientResponse]:
        """Send a request; return a Deferred of the ClientResponse, which fires when its head has come.

        - `method` is sent as it is. `url` is an absolute URL: see urls.parseURL. `headers` are a Headers, a mapping of
          names to a value or a list of values, or pairs.
        - `body`: bytes, or an iterable of bytes, which may be asynchronous. An iterable is asked for more when the peer
          has taken the last pieces. Its length is its attribute `length`, in bytes, or the field Content-Length of the
          caller. Without either it is sent in chunks, with the fields of its attribute `trailers` after them.
        - `timeout`: seconds from now to the end of the head (None: no limit). It begins again while the peer takes more
          of the request's body. Later it is the longest pause in the response's body.
        - `maxBody`: bytes of a body that is awaited whole.

        With the field `Expect: 100-continue`, the body is sent after a 100, or after one second. A request may meet the
        end of a kept connection. It is sent once more then, if its method is idempotent (RFC 9110, 9.2.2) and its body
        is bytes. Cancelling the Deferred gives the request up.

        ValueError at once, and nothing is sent, for a method, URL, name or value that could be read as anything else.
        So it is for contradictions about the body, and for CONNECT. TypeError for other types. RuntimeError after
        close(). The Deferred fails with a ConnectError, DNSLookupError, TimeoutError, NoResponse or BadResponse, or an
        exception of the body.
        """
        if self._isClosed:
            raise RuntimeError("this client was closed")
        if maxBody is None:
            maxBody = self._maxBody
        _checkAtLeast(maxBody, 0, "maxBody")
        seconds: Any = self._timeout if timeout is _OfClient else timeout
        _checkTimeout(seconds)
        outgoing = prepare(method, url, headers, body, self._closes)
        pool = self._pool or self._makePool()
        self.requestCount += 1
        exchange = Exchange(self._reactor, outgoing, seconds, maxBody)
        response = exchange.begin()
        pool.start(exchange)
        return response

    def close(self) -> Deferred[None]:
        """End all connections; return a Deferred that fires when the last has ended.

        Requests under way fail with ClientClosed, and so do bodies. Further requests are a RuntimeError.
        """
        self._isClosed = True
        return (self._pool or self._makePool()).close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _makePool(self) -> Pool:
        if self._reactor is None:
            self._reactor = _current.current()
        self._pool = Pool(self._reactor, *self._limits)
        return self._pool

    @property
    def openedCount(self) -> int:
        """The number of connections that were made."""
        return 0 if self._pool is None else self._pool.openedCount

    @property
    def reusedCount(self) -> int:
        """The number of requests that went out on a connection that had been kept."""
        return 0 if self._pool is None else self._pool.reusedCount

    @property
    def repeatedCount(self) -> int:
        """The number of requests that were sent again, after the server had ended an idle connection."""
        return 0 if self._pool is None else self._pool.repeatedCount

    @property
    def idleCount(self) -> int:
        """The number of connections that wait for a request."""
        return 0 if self._pool is None else self._pool.idleCount

    @property
    def connectionCount(self) -> int:
        """The number of open connections, with those that are being closed."""
        return 0 if self._pool is None else self._pool.connectionCount


def request(
    method: Text,
    url: Text,
    headers: HeadersLike | None = None,
    body: BodyLike = b"",
    timeout: float | None = TIMEOUT,
    context: ContextFactory | None = None,
    reactor: Any = None,
    *,
    maxBody: int = MAX_BODY,
) -> Deferred[ClientResponse]:
    """Send one request over a connection of its own; return a Deferred of the ClientResponse.

    The arguments and errors are those of Client and of its request(). For several requests to a server, a Client is
    faster, since it keeps the connection.
    """
    client = Client(reactor, context=context, timeout=timeout, maxBody=maxBody, idleConnections=0)
    client._closes = True
    return client.request(method, url, headers, body)


def _checkTimeout(timeout: Any) -> None:
    if timeout is not None:
        checkSeconds(timeout, "timeout")
        if not timeout > 0:
            raise ValueError(f"a timeout is more than 0 seconds, or None, not {timeout!r}")


def _checkAtLeast(count: Any, least: int, what: str) -> None:
    checkCount(count, what)
    if count < least:
        raise ValueError(f"{what} is at least {least}, not {count!r}")
