"""The errors of the client's requests, beside those of connections in reactor.error."""

from __future__ import annotations

import builtins

from reactor import error


class RequestFailed(Exception):
    """A request has failed, and the connection stood. This is the base of the other classes."""


class NoResponse(RequestFailed):
    """The connection ended before the head of the response. The server may or may not have done what it was asked.

    `reason` is the exception with which the connection ended, as in connectionLost.
    """

    def __init__(self, text: str, reason: BaseException | None = None) -> None:
        super().__init__(text)
        self.reason = reason


class BadResponse(RequestFailed):
    """The response breaks the rules of RFC 9112, or a limit of the client. The connection was given up."""


class BodyTooLarge(RequestFailed):
    """The body of a response is longer than the limit for a body that is read whole. The connection was given up."""


class ClientClosed(RequestFailed):
    """The Client was closed, or the response, before this was over."""


class RequestTimedOut(error.TimeoutError, builtins.TimeoutError):
    """The deadline of a request, or of its response's body, has passed. The server may have done what it was asked.

    It is reactor.error.TimeoutError, as where a connection attempt takes too long, and also Python's TimeoutError.
    """

    MESSAGE = "The request took too long"
