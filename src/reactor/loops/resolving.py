"""Host names to addresses, off the loop: the system's resolver in threads of its own.

Names wait in a queue. A thread takes one after another and ends when there is none left, so there is nothing to close.
The threads are daemons: one that hangs in getaddrinfo cannot be stopped, so the program must be able to end without it.
"""

from __future__ import annotations

import socket
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from threading import Lock, Thread
from typing import Any

from reactor.address import encodeHostname, isIPAddress, isIPv6Address
from reactor.defer import Deferred, fail, succeed
from reactor.error import DNSLookupError
from reactor.interfaces import IDelayedCall, IResolver

RESOLVER_THREADS = 10
TIMEOUT = (1, 3, 11, 45)

Targets = list[tuple[int, Any]]


class ThreadedResolver:
    """Asks getaddrinfo in a thread. A hung name server costs one of RESOLVER_THREADS threads, and never the loop."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._lock = Lock()
        self._waiting: OrderedDict[_Lookup, None] = OrderedDict()
        self._threads = 0
        self._growing = False  # _grow is to be called

    def getHostByName(self, name: str, timeout: Any = TIMEOUT) -> Deferred[str]:
        """Return a Deferred of one address of `name` as text, IPv4 if it has one."""
        return self.getTargets(name, 0, timeout).addCallback(_preferIPv4)

    def getTargets(self, name: str, port: int, timeout: Any = TIMEOUT) -> Deferred[Targets]:
        """Return a Deferred of every (address family, socket address) of `name`, in the system's order of preference.

        It fails with DNSLookupError if the name has none, is no name, or after the sum of `timeout` (seconds).
        """
        try:
            asked = name if isIPAddress(name) or isIPv6Address(name) else encodeHostname(name).decode("ascii")
        except ValueError as error:
            return fail(DNSLookupError(f"{name[:100]!r}: {error}"))
        lookup = _Lookup(self._reactor, asked, port, _total(timeout), self._forget)
        with self._lock:
            self._waiting[lookup] = None
        self._growSoon()
        return lookup.done

    def close(self) -> None:
        """Forget the names that wait."""
        with self._lock:
            self._waiting.clear()

    def forked(self) -> None:
        """In a forked child: the threads are the parent's, and one may have had the lock. Names that wait, wait on."""
        self._lock = Lock()
        self._threads = 0
        self._growing = False

    def _grow(self) -> None:
        """Start a thread if names wait: one a turn, as to start it is to wait until the system has it run."""
        self._growing = False
        with self._lock:
            if not self._waiting or self._threads == RESOLVER_THREADS:
                return
            self._threads += 1
        try:
            Thread(target=self._work, name="reactor-resolver", daemon=True).start()
        except RuntimeError as error:
            self._noThread(error)
        else:
            self._growSoon()

    def _growSoon(self) -> None:
        if not self._growing:
            self._growing = True
            self._reactor.callFromThread(self._grow)

    def _noThread(self, error: RuntimeError) -> None:
        """The system has no thread left: if there are others, they will do."""
        with self._lock:
            self._threads -= 1
            alone = [] if self._threads else list(self._waiting)
        for lookup in alone:
            self._forget(lookup)
            lookup.answered(DNSLookupError(f"no thread to look up a name: {error}"))

    def _forget(self, lookup: _Lookup) -> None:
        with self._lock:
            self._waiting.pop(lookup, None)

    def _work(self) -> None:
        """In a thread: answer what waits."""
        while True:
            with self._lock:
                if not self._waiting:
                    self._threads -= 1
                    return
                lookup, _ = self._waiting.popitem(last=False)
            answer = lookup.ask()
            with suppress(OSError):  # the reactor has been closed meanwhile
                self._reactor.callFromThread(lookup.answered, answer)


class _Lookup:
    """One question: asked in a thread, answered in the loop, unless it was given up before, which `over` is told."""

    def __init__(self, reactor: Any, name: str, port: int, timeout: float, over: Callable[[_Lookup], None]) -> None:
        self._question = (name, port)
        self._over = over
        self._timeout: IDelayedCall = reactor.callLater(timeout, self._timedOut)
        self.done: Deferred[Targets] = Deferred(self._cancelled)

    def ask(self) -> Targets | DNSLookupError:
        """In a thread: return the answer."""
        try:
            found = socket.getaddrinfo(*self._question, type=socket.SOCK_STREAM)
        except Exception as error:  # whatever it is, the one who asked waits for an answer
            return DNSLookupError(f"{self._question[0]!r}: {error}")
        targets: Targets = [(family, address) for family, _, _, _, address in found]
        return targets or DNSLookupError(f"{self._question[0]!r} has no address")

    def answered(self, answer: Targets | DNSLookupError) -> None:
        """In the loop: pass the answer on."""
        if self._timeout.active():
            self._timeout.cancel()
            if isinstance(answer, DNSLookupError):
                self.done.errback(answer)
            else:
                self.done.callback(answer)

    def _timedOut(self) -> None:
        self._over(self)
        self.done.errback(DNSLookupError(f"{self._question[0]!r}: no answer in time"))

    def _cancelled(self, _: Deferred[Targets]) -> None:
        self._over(self)
        if self._timeout.active():
            self._timeout.cancel()


def lookUpAll(resolver: IResolver | ThreadedResolver, name: str, port: int) -> Deferred[Targets]:
    """Return a Deferred of the targets of `name`, from our resolver or from one that gives a single address."""
    if isinstance(resolver, ThreadedResolver):
        return resolver.getTargets(name, port)
    found: Deferred[str] = resolver.getHostByName(name)
    return found.addCallback(lambda address: [_target(address, port)])


def lookUp(resolver: IResolver | ThreadedResolver, name: str, timeout: Any = TIMEOUT) -> Deferred[str]:
    """Return a Deferred of one address of `name`; a literal address is its own answer, and "" means every interface."""
    if not name:
        return succeed("0.0.0.0")
    if isIPAddress(name) or isIPv6Address(name):
        return succeed(name)
    answer: Deferred[str] = resolver.getHostByName(name, timeout)
    return answer


def _target(address: str, port: int) -> tuple[int, Any]:
    if isIPAddress(address):
        return (socket.AF_INET, (address, port))
    if isIPv6Address(address):
        return (socket.AF_INET6, (address, port, 0, 0))
    raise DNSLookupError(f"the resolver's answer {address!r} is not an address")


def _preferIPv4(targets: Targets) -> str:
    families = sorted(targets, key=lambda target: target[0] != socket.AF_INET)
    return str(families[0][1][0])


def _total(timeout: Any) -> float:
    return float(sum(timeout)) if isinstance(timeout, (tuple, list)) else float(timeout)
