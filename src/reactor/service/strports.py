"""Services for endpoints that a text describes, as in `twisted.application.strports`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reactor import _current
from reactor._logger import quoted
from reactor.endpoints.strings import serverFromString
from reactor.failure import Failure
from reactor.service.internet import StreamServerEndpointService

if TYPE_CHECKING:
    from reactor.interfaces import IProtocolFactory

__all__ = ["listen", "service"]


def service(description: str, factory: IProtocolFactory, reactor: Any = None) -> StreamServerEndpointService:
    """Return a service that listens on the endpoint `description`, for example `tcp:8080`, with `factory`.

    Its start raises an error that the endpoint has at once, for example CannotListenError. ValueError if `description`
    names no endpoint (see serverFromString). `reactor` is the current one by default.
    """
    made = StreamServerEndpointService(
        serverFromString(_current.current() if reactor is None else reactor, description), factory
    )
    made._raiseSynchronously = True
    return made


def listen(description: str, factory: IProtocolFactory) -> Any:
    """Listen on the endpoint `description` of the current reactor, now, and return the port.

    The errors are those of the reactor's method, for example CannotListenError, and ValueError if `description` names
    no endpoint. RuntimeError for an endpoint that takes its time, as one of a plugin may.
    """
    ports: list[Any] = []
    failures: list[Failure] = []
    waiting = serverFromString(_current.current(), description).listen(factory)
    waiting.addCallbacks(ports.append, failures.append)
    for failure in failures:
        failure.raiseException()
    if not ports:
        waiting.cancel()
        raise RuntimeError(f"the endpoint {quoted(description)} takes its time to listen: use strports.service")
    return ports[0]
