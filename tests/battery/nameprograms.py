"""The programs of test_dns.py: `python -m tests.battery.nameprograms WHAT REACTOR` runs one and prints JSON.

They run in the network that tests.battery.nameserver makes, with its names.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import twisted.internet.endpoints

import reactor.endpoints
from tests.battery.nameserver import MANY
from tests.support.worlds import LOOPS, TWISTED

BAD_NAMES = ["nx.test", "servfail.test", "refuse.test", "empty.test", "garbage.test", "circle.test", "mixed..test"]
LONG_NAME = ".".join(["x" * 61] * 4) + ".tests"
NO_NAMES = [LONG_NAME + "x", "x" * 64 + ".test", "good.test\0.evil.test", "127.0.0.1\0.evil.test", ".good.test"]
NUMBERS = ["0x7f.1", "127.1", "2130706433", "0", "0177.0.0.1", "127.0.0.01", "0x7f000001", "127.0.1", "\u2460.1"]
NUMBERS += ["127\u30020\u30020\u30021", "\uff11\uff12\uff17.0.0.1", "\uff1a\uff1a1"]
LOOKUPS = 200
TIMEOUT = 0.4


class Trial:
    """A reactor with a server on it, a clock that ticks every millisecond, and what is found."""

    def __init__(self, kind: SimpleNamespace) -> None:
        self.kind = kind
        self.reactor = kind.makeReactor()
        self.endpoints = twisted.internet.endpoints if kind is TWISTED else reactor.endpoints
        self.timeout = TIMEOUT
        self.found: dict[str, Any] = {}
        self.stall = 0.0
        self._ticked = 0.0

    def tick(self) -> None:
        now = time.monotonic()
        self.stall = max(self.stall, now - self._ticked - 0.001)
        self._ticked = now
        self.reactor.callLater(0.001, self.tick)

    def run(self, begin: Callable[[], object], signals: bool = False) -> None:
        def start() -> None:
            self._ticked = time.monotonic()
            self.tick()
            begin()

        self.reactor.callWhenRunning(start)
        self.reactor.run(installSignalHandlers=signals)

    def serve(self, host: str = "127.0.0.1", number: int = 0) -> int:
        factory = self.kind.protocol.ServerFactory.forProtocol(self.kind.protocol.Protocol)
        factory.noisy = False
        port: int = self.reactor.listenTCP(number, factory, interface=host).getHost().port
        return port

    # Ways to reach a host. Each returns a Deferred of an address as text.

    def resolve(self, host: str, port: int) -> Any:
        return self.reactor.resolve(host, (self.timeout / 2, self.timeout / 2))

    def resolveAll(self, host: str, port: int) -> Any:
        return self.reactor.resolveAll(host, port).addCallback(lambda targets: targets[0][1][0])

    def connectTCP(self, host: str, port: int) -> Any:
        waiting = self.kind.defer.Deferred()

        class Client(self.kind.protocol.Protocol):  # type: ignore[name-defined,misc]
            def connectionMade(self) -> None:
                waiting.callback(self)

        factory = self.kind.protocol.ClientFactory.forProtocol(Client)
        factory.noisy = False
        factory.clientConnectionFailed = lambda connector, reason: waiting.errback(reason)
        self.reactor.connectTCP(host, port, factory, timeout=self.timeout)
        return waiting.addCallback(self.peerOf)

    def creator(self, host: str, port: int) -> Any:
        creator = self.kind.protocol.ClientCreator(self.reactor, self.kind.protocol.Protocol)
        return creator.connectTCP(host, port, timeout=self.timeout).addCallback(self.peerOf)

    def tcpEndpoint(self, host: str, port: int) -> Any:
        text = f"tcp:host={self.endpoints.quoteStringArgument(host)}:port={port}"
        endpoint = self.endpoints.clientFromString(self.reactor, text)
        endpoint._timeout = self.timeout  # strings have whole seconds
        return self.connect(endpoint)

    def hostname(self, host: str, port: int) -> Any:
        return self.connect(self.endpoints.HostnameEndpoint(self.reactor, host, port, timeout=self.timeout))

    def tcp6(self, host: str, port: int) -> Any:
        return self.connect(self.endpoints.TCP6ClientEndpoint(self.reactor, host, port, timeout=self.timeout))

    def connect(self, endpoint: Any) -> Any:
        protocol = self.kind.protocol.Protocol()
        return self.endpoints.connectProtocol(endpoint, protocol).addCallback(self.peerOf)

    def peerOf(self, protocol: Any) -> str:
        host: str = protocol.transport.getPeer().host
        protocol.transport.loseConnection()
        return host

    def each(self, questions: list[tuple[str, Any]], port: int = 0, begin: Callable[[], object] = list) -> None:
        """Ask all (way, host) at once; note for each what it came to (a type's name or an address) and when."""
        began = 0.0

        def note(result: Any, key: str) -> None:
            if hasattr(result, "type"):
                result = result.type.__name__
            self.found[key] = (result, time.monotonic() - began)
            if len(self.found) == len(questions):
                self.reactor.stop()

        def ask() -> None:
            nonlocal began
            began = time.monotonic()
            begin()
            for way, host in questions:
                getattr(self, way)(host, port).addBoth(note, f"{way} {host}")

        self.run(ask)


WAYS = ["resolve", "resolveAll", "connectTCP", "creator", "tcpEndpoint", "hostname", "tcp6"]
TWISTED_WAYS = ["connectTCP", "creator", "tcpEndpoint", "hostname"]


def ignore(_: object) -> None:
    pass


def ways(trial: Trial) -> list[str]:
    return TWISTED_WAYS if trial.kind is TWISTED else WAYS


def failures(trial: Trial) -> None:
    """Names without an address, and what is no name."""
    names = BAD_NAMES + ([] if trial.kind is TWISTED else NO_NAMES)
    trial.each([(way, name) for name in names for way in ways(trial)], port=1)


def numbers(trial: Trial) -> None:
    port = trial.serve()
    trial.each([(way, name) for name in NUMBERS for way in ways(trial)], port)


def answers(trial: Trial) -> None:
    port = trial.serve()
    trial.serve("::1", port)
    names = ["good.test", "good.test.", "both.test", "b\xfccher.test", LONG_NAME, "localhost"]
    questions = [(way, name) for name in names for way in ways(trial) if way != "tcp6"]
    trial.each([*questions, ("tcp6", "six.test"), ("tcp6", "good.test"), ("resolve", "six.test")], port)


def silence(trial: Trial) -> None:
    """All threads hang, and each caller learns so in time."""
    trial.each([(way, "silent.test") for way in WAYS if way != "resolveAll"], 1, lambda: hang(trial, 10))


def hang(trial: Trial, count: int, kind: str = "silent") -> list[Any]:
    return [trial.reactor.resolve(f"{kind}{number}.test", (30,)).addErrback(ignore) for number in range(count)]


def manyHang(trial: Trial) -> None:
    """Meanwhile the loop serves a connection."""
    port = trial.serve()
    served = 0

    def again() -> None:
        trial.connectTCP("127.0.0.1", port).addCallbacks(count, ignore)

    def count(_: object) -> None:
        nonlocal served
        served += 1
        if len(trial.found) < LOOKUPS:
            trial.reactor.callLater(0.005, again)

    trial.each([("resolve", f"silent{number}.test") for number in range(LOOKUPS)], port, again)
    trial.found["served"] = served
    trial.found["delayed"] = len(trial.reactor.getDelayedCalls())


def recovery(trial: Trial) -> None:
    """A name without a caller is no longer asked: a good name has its turn when the first threads are free again."""
    found: dict[str, Any] = trial.found

    def begin() -> None:
        silent = [trial.reactor.resolve(f"silent{number}.test", (0.1,)) for number in range(LOOKUPS)]
        for number, each in enumerate(silent):
            each.addErrback(ignore)
            if number % 2:
                each.cancel()
        trial.reactor.resolve("good.test", (30,)).addBoth(done, time.monotonic())

    def done(result: Any, began: float) -> None:
        found["good.test"] = (str(result), time.monotonic() - began)
        trial.reactor.stop()

    trial.run(begin)


def ending(trial: Trial, how: str) -> None:
    """The program ends while all threads hang, for ever; the time is when it began to end."""

    def stop() -> None:
        trial.found["stop"] = time.monotonic()
        if how == "stop":
            trial.reactor.stop()
        else:
            os.kill(os.getpid(), signal.SIGTERM)

    def begin() -> None:
        hang(trial, LOOKUPS, "mute")
        trial.connectTCP("mute.test", 1).addErrback(lambda failure: trial.found.update(failed=failure.type.__name__))
        trial.reactor.callLater(0.3, stop)

    trial.run(begin, signals=True)


def race(trial: Trial) -> None:
    """Happy eyeballs, one name after another: (what came of it, after how long, when each address was tried)."""
    port = trial.serve()
    names = ["hole.test", "holes.test", "both.test", "cancel", "nx.test"]
    real = trial.reactor.connectTCP
    tried: list[Any] = []
    began = 0.0

    def connectTCP(host: str, *arguments: Any, **named: Any) -> Any:
        tried.append((host, time.monotonic() - began))
        return real(host, *arguments, **named)

    trial.reactor.connectTCP = connectTCP

    def following() -> None:
        nonlocal began
        if not names:
            trial.reactor.callLater(0.05, trial.reactor.stop)
            return
        name = names.pop(0)
        tried.clear()
        began = time.monotonic()
        host, number = "holes.test" if name == "cancel" else name, 1 if name == "both.test" else port
        connecting = trial.connect(trial.endpoints.HostnameEndpoint(trial.reactor, host, number, timeout=1.2))
        connecting.addBoth(done, name)
        if name == "cancel":
            trial.reactor.callLater(0.4, connecting.cancel)

    def done(result: Any, name: str) -> None:
        what = result.type.__name__ if hasattr(result, "type") else result
        trial.found[name] = (what, time.monotonic() - began, list(tried))
        trial.reactor.callLater(0.01, following)

    trial.run(following)
    trial.found["left"] = [repr(each) for each in trial.reactor.getWriters()]


def inTurn(trial: Trial) -> None:
    """The first address is a hole, or a name server silent about the other family. Each is tried in turn."""
    trial.timeout = 5
    port = trial.serve()
    trial.each([(way, "half.test") for way in ("connectTCP", "creator", "hostname")], port)
    taken, trial.found, trial.timeout = trial.found, {}, 0.4
    port = trial.serve()
    trial.each([(way, "hole.test") for way in ("connectTCP", "creator", "tcpEndpoint")], port)
    trial.found.update(taken)


def manyAddresses(trial: Trial) -> None:
    """512 of them; one listens, or none."""
    trial.timeout = 20
    port = trial.serve(MANY[300])
    trial.each([("connectTCP", "many.test"), ("hostname", "many.test")], port)
    taken, trial.found = trial.found, {}
    trial.each([("connectTCP", "many1.test"), ("hostname", "many1.test")], 1)
    trial.found.update(taken)


def main(what: str, name: str, *arguments: str) -> None:
    (kind,) = (kind for kind in (*LOOPS, TWISTED) if kind.name == name)
    trial = Trial(kind)
    globals()[what](trial, *arguments)
    print(json.dumps({"found": trial.found, "stall": trial.stall}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
