"""Host names to addresses, off the loop: the system's resolver in threads of its own."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from reactor.address import isIPAddress, isIPv6Address
from reactor.defer import Deferred, fail, succeed
from reactor.error import DNSLookupError
from reactor.interfaces import IDelayedCall, IResolver

RESOLVER_THREADS = 10
LONGEST_NAME = 253  # RFC 1035, 3.1, as text without the final dot
TIMEOUT = (1, 3, 11, 45)

Targets = list[tuple[int, Any]]


class ThreadedResolver:
    """Asks getaddrinfo in a thread. A hung name server costs one of RESOLVER_THREADS threads, and never the loop."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._pool: ThreadPoolExecutor | None = None

    def getHostByName(self, name: str, timeout: Any = TIMEOUT) -> Deferred[str]:
        """Return a Deferred of one address of `name` as text, IPv4 if it has one."""
        return self.getTargets(name, 0, timeout).addCallback(_preferIPv4)

    def getTargets(self, name: str, port: int, timeout: Any = TIMEOUT) -> Deferred[Targets]:
        """Return a Deferred of every (address family, socket address) of `name`, in the system's order of preference.

        It fails with DNSLookupError if the name has none, is no name, or after the sum of `timeout` (seconds).
        """
        if not 0 < len(name) <= LONGEST_NAME:
            return fail(DNSLookupError(f"a host name has 1 to {LONGEST_NAME} characters, this one {len(name)}"))
        lookup = _Lookup(self._reactor, name, port, _total(timeout))
        if self._pool is None:
            self._pool = ThreadPoolExecutor(RESOLVER_THREADS, thread_name_prefix="reactor-resolver")
        self._pool.submit(lookup.run)
        return lookup.done

    def close(self) -> None:
        """Let the threads end; a later look-up starts new ones."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


class _Lookup:
    """One question: asked in a thread, answered in the loop unless it has been given up meanwhile."""

    def __init__(self, reactor: Any, name: str, port: int, timeout: float) -> None:
        self._reactor = reactor
        self._question = (name, port)
        self._timeout: IDelayedCall = reactor.callLater(timeout, self._timedOut)
        self.done: Deferred[Targets] = Deferred(self._cancelled)

    def run(self) -> None:
        """In a thread: ask."""
        answer: Targets | DNSLookupError
        try:
            found = socket.getaddrinfo(*self._question, type=socket.SOCK_STREAM)
            targets: Targets = [(family, address) for family, _, _, _, address in found]
            answer = targets or DNSLookupError(f"{self._question[0]!r} has no address")
        except Exception as error:  # whatever it is, the one who asked waits for an answer
            answer = DNSLookupError(f"{self._question[0]!r}: {error}")
        self._reactor.callFromThread(self._answered, answer)

    def _answered(self, answer: Targets | DNSLookupError) -> None:
        if self._timeout.active():
            self._timeout.cancel()
            if isinstance(answer, DNSLookupError):
                self.done.errback(answer)
            else:
                self.done.callback(answer)

    def _timedOut(self) -> None:
        self.done.errback(DNSLookupError(f"{self._question[0]!r}: no answer in time"))

    def _cancelled(self, _: Deferred[Targets]) -> None:
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
