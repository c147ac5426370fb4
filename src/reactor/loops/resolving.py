"""Host names to addresses, off the loop: the system's resolver in threads of its own.

Names wait in a queue. A thread takes one after another and ends when none is left, so there is nothing to close. The
threads are daemons: a thread that hangs in getaddrinfo cannot be stopped, so the program must be able to end without
it.
"""

from __future__ import annotations

import socket
from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import Lock
from time import sleep
from typing import Any

from reactor.address import encodeHostname, fromSocketName, hostText, isIPAddress, isIPv6Address, scopedHost
from reactor.defer import Deferred, fail
from reactor.error import DNSLookupError
from reactor.failure import Failure
from reactor.interfaces import IDelayedCall, IResolutionReceiver
from reactor.loops.names import HostResolution, answer, familyOf, totalOf
from reactor.threads import WAKE_REST, callWhenWoken, startThread

RESOLVER_THREADS = 10
_KINDS = {"TCP": socket.SOCK_STREAM, "UDP": socket.SOCK_DGRAM}
TIMEOUT = (1, 3, 11, 45)

Targets = list[tuple[int, Any]]


class ThreadedResolver:
    """Asks getaddrinfo in a thread. A hung name server costs one of RESOLVER_THREADS threads, and never the loop."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._lock = Lock()
        self._waiting: OrderedDict[_Lookup, None] = OrderedDict()
        self._asked: OrderedDict[_Lookup, None] = OrderedDict()  # in a thread each
        self._threads = 0
        self._unborn = 0  # the threads that have not begun
        self._growing = False  # _grow will be called

    def getHostByName(self, name: str | bytes, timeout: Any = TIMEOUT) -> Deferred[str]:
        """Return a Deferred of one address of `name` as text, IPv4 if it has one."""
        return self.getTargets(name, 0, timeout).addCallback(_preferIPv4)

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str | bytes,
        portNumber: int = 0,
        addressTypes: Sequence[type] | None = None,
        transportSemantics: str = "TCP",
    ) -> HostResolution:
        """See IHostnameResolver. ValueError for unknown `addressTypes` or `transportSemantics`."""
        family, kind = familyOf(addressTypes), _KINDS.get(transportSemantics)
        if kind is None:
            raise ValueError(f"transportSemantics is 'TCP' or 'UDP', not {transportSemantics!r}")
        lookup = self.getTargets(hostName, portNumber, family=family, kind=kind)
        semantics: Any = transportSemantics

        def made(targets: Targets) -> list[Any]:
            return [fromSocketName(found, name, semantics) for found, name in targets]

        return answer(resolutionReceiver, hostText(hostName), lookup.addCallback(made))

    def getTargets(
        self,
        name: str | bytes,
        port: int,
        timeout: Any = TIMEOUT,
        family: int = 0,
        kind: int = socket.SOCK_STREAM,
    ) -> Deferred[Targets]:
        """Return a Deferred of every (address family, socket address) of `name`, in the system's order of preference.

        `family` (0: any) and `kind` are arguments of getaddrinfo. The Deferred fails with DNSLookupError if the name
        has no address or is no name, or after the sum of `timeout` (seconds).
        """
        name = hostText(name)
        try:
            asked = name if isIPAddress(name) or isIPv6Address(name) else encodeHostname(name).decode("ascii")
        except ValueError as error:
            return fail(DNSLookupError(f"{name[:100]!r}: {error}"))
        lookup = _Lookup(self._reactor, (asked, port, family, kind), totalOf(timeout), self._forget)
        try:
            with self._lock:
                self._waiting[lookup] = None
            self._growSoon()
        except OSError as error:  # the reactor cannot be woken, without memory or after its close()
            self._forget(lookup)
            lookup.answered(DNSLookupError(f"{asked!r}: {error}"))
        except MemoryError:
            lookup.withdraw()
            raise
        return lookup.done

    def close(self) -> None:
        """Drop the waiting names, and those that threads look up."""
        with self._lock:
            self._waiting.clear()
            self._asked.clear()

    def forked(self) -> None:
        """In a forked child: forget the parent's threads and their lock.

        The names that these threads look up wait again, before the other waiting names.
        """
        self._lock = Lock()
        self._threads = self._unborn = 0
        self._growing = False
        self._asked.update(self._waiting)
        self._waiting, self._asked = self._asked, OrderedDict()

    def goOn(self) -> None:
        """In a forked child, whose loop can be woken by now: have threads look up the waiting names."""
        if self._waiting:
            self._growSoon()

    def _grow(self) -> None:
        """Start a thread if names wait for one: one a turn, as a start takes long."""
        self._growing = False
        if not self._count(1, ifNeeded=True):
            return
        try:
            startThread(self._work, self._stillborn)
        except Exception as error:  # the system has no thread, or no memory for one
            self._noThread(error)
        else:
            self._growSoon()

    def _count(self, change: int, ifNeeded: bool = False, begun: bool = False) -> bool:
        """Count a thread that will begin (1), never will (-1), or has `begun`. Return False if it is not needed."""
        self._lock.acquire()  # without `with`, which needs memory: the numbers must stay right
        try:
            if ifNeeded and (len(self._waiting) <= self._unborn or self._threads == RESOLVER_THREADS):
                return False
            self._unborn += change
            if not begun:
                self._threads += change
            return True
        finally:
            self._lock.release()

    def _growSoon(self) -> None:
        if not self._growing:
            self._growing = True
            try:
                self._reactor.callFromThread(self._grow)
            except BaseException:
                self._growing = False
                raise

    def _noThread(self, error: Exception) -> None:
        """Handle the lack of threads: if other threads run, they do the work."""
        self._count(-1)
        with self._lock:
            alone = [] if self._threads else list(self._waiting)
        for lookup in alone:
            self._forget(lookup)
            lookup.answered(DNSLookupError(f"no thread to look up a name: {error}"))

    def _forget(self, lookup: _Lookup) -> None:
        with self._lock:
            self._waiting.pop(lookup, None)
            self._asked.pop(lookup, None)

    def _stillborn(self) -> None:
        """In a thread without memory to begin: it does not count, and another is needed."""
        self._count(-1)
        while True:
            try:
                callWhenWoken(self._reactor, self._grow)
                return
            except MemoryError:
                sleep(WAKE_REST)
            except OSError:  # the reactor has been closed meanwhile
                return

    def _work(self) -> None:
        """In a thread: answer the waiting names. Each has a caller, so without memory this waits and tries again."""
        lookup: _Lookup | None = None
        answer: Targets | DNSLookupError | None = None
        self._count(-1, begun=True)
        while True:
            try:
                if lookup is None and (lookup := self._next()) is None:
                    return
                if answer is None:
                    answer = lookup.ask()
                callWhenWoken(self._reactor, lookup.answered, answer)
            except MemoryError:
                sleep(WAKE_REST)
                continue
            except OSError:
                pass  # the reactor has been closed meanwhile
            if lookup is not None:
                self._asked.pop(lookup, None)
            lookup = answer = None

    def _next(self) -> _Lookup | None:
        """In a thread: take the next waiting name. None if there is none; the thread then no longer counts."""
        with self._lock:
            for lookup in self._waiting:
                self._asked[lookup] = None  # first: it takes memory
                del self._waiting[lookup]
                return lookup
            self._threads -= 1
            return None


class _Lookup:
    """One question: asked in a thread, answered in the loop. If it is cancelled before, `over` is called."""

    _isReactorsOwn = True  # see loops.guests

    def __init__(
        self, reactor: Any, question: tuple[str, int, int, int], timeout: float, over: Callable[[_Lookup], None]
    ) -> None:
        self._question = question
        self._over = over
        self._isAnswered = False
        self.done: Deferred[Targets] = Deferred(self._cancelled)
        self._timeout: IDelayedCall = reactor.callLater(timeout, self._timedOut)

    def ask(self) -> Targets | DNSLookupError:
        """In a thread: return the answer."""
        try:
            name, port, family, kind = self._question
            found = socket.getaddrinfo(name, port, family=family, type=kind)
        except Exception as error:  # any exception, as the caller waits for an answer
            return DNSLookupError(f"{self._question[0]!r}: {error}")
        targets: Targets = [(family, address) for family, _, _, _, address in found]
        return targets or DNSLookupError(f"{self._question[0]!r} has no address")

    def answered(self, answer: Targets | DNSLookupError) -> None:
        """In the loop: pass the answer on. Called again, this goes on where a signal's handler has broken it off."""
        if self._timeout.active() or (self._isAnswered and not self.done.called):
            result: Any = Failure(answer) if isinstance(answer, DNSLookupError) else answer  # first, as it needs memory
            self._isAnswered = True
            if self._timeout.active():
                self._timeout.cancel()
            try:
                self.done.callback(result)
            except MemoryError:  # between two callbacks: the remaining ones run now
                self.done.pause()
                self.done.unpause()

    def _timedOut(self) -> None:
        self._over(self)
        if not self.done.called:
            self.done.errback(DNSLookupError(f"{self._question[0]!r}: no answer in time"))

    def _cancelled(self, _: Deferred[Targets]) -> None:
        self.withdraw()

    def withdraw(self) -> None:
        """Cancel it, without a callback."""
        self._over(self)
        if self._timeout.active():
            self._timeout.cancel()


def _preferIPv4(targets: Targets) -> str:
    families = sorted(targets, key=lambda target: target[0] != socket.AF_INET)
    return scopedHost(families[0][1])
