"""Services by Twisted's names: parts of a program that start and stop, in a tree.

A service has three methods: privilegedStartService, startService and stopService. A MultiService calls them on its
children. Each may return a Deferred or a coroutine. The caller of the whole tree waits for it; the siblings do not.

Services are not pickled: a program makes them anew when it starts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

from reactor._arguments import checkHas
from reactor._beside import started
from reactor.defer import CancelledError, Deferred, DeferredList, FirstError, maybeDeferred, succeed
from reactor.defer.chain import logFailure
from reactor.failure import Failure
from reactor.interfaces import Interface


@runtime_checkable
class IService(Interface, Protocol):
    """A part of a program that starts and stops. `name` is a text or None, `parent` its collection or None."""

    name: str | None
    running: Any
    parent: Any

    def setName(self, name: str | None) -> None:
        """Set the name. RuntimeError if the service has a parent."""

    def setServiceParent(self, parent: Any) -> Any:
        """Join `parent`, an IServiceCollection. RuntimeError if it has a service of this name."""

    def disownServiceParent(self) -> Any:
        """Leave the parent. The result is a Deferred of the stop, or None if there is nothing to wait for."""

    def privilegedStartService(self) -> Any:
        """Do the part of the start that needs the rights of root, for example binding a low port."""

    def startService(self) -> Any:
        """Start. It may return a Deferred or a coroutine, which the caller waits for."""

    def stopService(self) -> Any:
        """Stop. It may return a Deferred or a coroutine, which the caller waits for."""


@runtime_checkable
class IServiceCollection(Interface, Protocol):
    """Services by order, and by name if they have one."""

    def getServiceNamed(self, name: str) -> Any:
        """Return the service `name`. KeyError if there is none."""

    def __iter__(self) -> Iterator[Any]:
        """Iterate over all services, in the order in which they were added."""

    def addService(self, service: Any) -> Any:
        """Called by setServiceParent. RuntimeError if there is a service of this name."""

    def removeService(self, service: Any) -> Any:
        """Called by disownServiceParent. ValueError if `service` is no child."""


def inSteps(call: Callable[[], Any], *others: Callable[[], Any]) -> Deferred[Any] | None:
    """Make the calls one after the other. Each waits for the Deferred or coroutine of the one before.

    Return None if no call has anything to wait for, else a Deferred of the last. An exception of a call before the
    first wait is raised here.
    """
    result = call()
    waiting = result if isinstance(result, Deferred) else started(result)
    if not others:
        return waiting
    return inSteps(*others) if waiting is None else waiting.addCallback(lambda _: inSteps(*others))


def allOf(waiting: Iterable[Deferred[Any] | None]) -> Deferred[None]:
    """Return a Deferred that fires when all of `waiting` have. It fails with the first failure; others are logged."""
    failed: list[Failure] = []

    def note(failure: Failure) -> Failure:
        if failed and not failure.check(CancelledError):
            logFailure("Another service has failed to start", failure)
        failed.append(failure)
        return failure

    def first(failure: Failure) -> Failure:
        error = failure.value
        return error.subFailure if isinstance(error, FirstError) else failure

    pending = [each.addErrback(note) for each in waiting if each is not None]
    if not pending:
        return succeed(None)
    joined = DeferredList(pending, fireOnOneErrback=True, consumeErrors=True)
    return joined.addCallbacks(lambda _: None, first)


class Service:
    """The base of services: it has a name, a parent, and `running`, which is 1 from startService to stopService.

    Subclasses extend the three methods, and call the ones here.
    """

    running: Any = 0
    name: str | None = None
    parent: Any = None

    def setName(self, name: str | None) -> None:
        """Set the name, by which a collection finds the service. RuntimeError if it has a parent."""
        if self.parent is not None:
            raise RuntimeError("a service that has a parent keeps its name")
        self.name = name

    def setServiceParent(self, parent: Any) -> Any:
        """Leave the present parent, if there is one, and join `parent`, an IServiceCollection.

        RuntimeError if it has a service of this name; TypeError if it is no collection. The result is that of
        addService: a Deferred of the start, or None.
        """
        adapt: Any = IServiceCollection
        collection = adapt(parent, parent)
        checkHas(collection, "addService", "a parent of services, such as a MultiService or an Application,")
        if self.parent is not None:
            self.disownServiceParent()
        self.parent = collection
        return collection.addService(self)

    def disownServiceParent(self) -> Any:
        """Leave the parent. The result is that of removeService: a Deferred of the stop, or None.

        AttributeError if there is no parent.
        """
        if self.parent is None:
            raise AttributeError(f"{self!r} has no parent that it could leave", name="parent", obj=self)
        stopped = self.parent.removeService(self)
        self.parent = None
        return stopped

    def privilegedStartService(self) -> Any:
        """Do nothing. Subclasses do here what needs the rights of root."""

    def startService(self) -> Any:
        """Set `running`."""
        self.running = 1

    def stopService(self) -> Any:
        """Clear `running`."""
        self.running = 0


class MultiService(Service):
    """A service of services: it starts them in order and stops them in the reverse order, without waits between.

    `services` lists them, and `namedServices` has those with a name.
    """

    def __init__(self) -> None:
        self.services: list[Any] = []
        self.namedServices: dict[str, Any] = {}
        self.parent = None

    def privilegedStartService(self) -> Deferred[None]:
        """Call privilegedStartService of each service, in order.

        An exception ends the calls and is raised. The Deferred waits for Deferreds and coroutines of the services. It
        fails with the first failure; further ones are logged.
        """
        super().privilegedStartService()
        return allOf([inSteps(service.privilegedStartService) for service in self])

    def startService(self) -> Deferred[None]:
        """Call startService of each service, in order. The Deferred is as of privilegedStartService."""
        super().startService()
        return allOf([inSteps(service.startService) for service in self])

    def stopService(self) -> Deferred[Any]:
        """Call stopService of each service, the last one first. An exception of one does not keep the others.

        The Deferred fires when all have stopped, with a DeferredList's (success, result) for each, in that order.
        """
        super().stopService()
        return DeferredList([maybeDeferred(service.stopService) for service in reversed(list(self))])

    def getServiceNamed(self, name: str) -> Any:
        """Return the service `name`. KeyError if there is none."""
        return self.namedServices[name]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.services)

    def addService(self, service: Any) -> Deferred[Any] | None:
        """Add a service; for setServiceParent. If this one runs, start it: the result is the Deferred to wait for.

        RuntimeError if there is a service of this name; TypeError if `service` is none.
        """
        checkHas(service, "privilegedStartService", "a service")
        if service.name is not None:
            if service.name in self.namedServices:
                raise RuntimeError(f"there is a service named {service.name!r} already")
            self.namedServices[service.name] = service
        self.services.append(service)
        return inSteps(service.privilegedStartService, service.startService) if self.running else None

    def removeService(self, service: Any) -> Deferred[Any] | None:
        """Remove a service; for disownServiceParent. If this one runs, stop it: the result is the Deferred of that.

        ValueError if it is not here.
        """
        if service not in self.services:
            raise ValueError(f"{service!r} is no service of this collection")
        if service.name is not None:
            self.namedServices.pop(service.name, None)
        self.services.remove(service)
        return inSteps(service.stopService) if self.running else None
