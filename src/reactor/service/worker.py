"""A worker's side of a supervisor: its sockets, its orders, and what it tells."""

from __future__ import annotations

import faulthandler
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from typing import Any

from reactor._logger import getLogger
from reactor._numbers import closeNumber
from reactor.defer import maybeDeferred
from reactor.error import ReactorNotRunning, UnsupportedAddressFamily, UnsupportedSocketType
from reactor.failure import Failure
from reactor.interfaces import IProtocolFactory
from reactor.loops.base import ReactorBase
from reactor.service.control import (
    BEAT,
    CONTROL,
    GENERATION,
    GRACE,
    NUMBER,
    SOCKETS,
    VARIABLES,
    Channel,
    checkSocket,
    countIn,
    openChannel,
    parseSockets,
    secondsIn,
)
from reactor.task import LoopingCall

log = getLogger("reactor.service")

BEAT_INTERVAL = 1.0
OWN_GRACE = 5.0  # seconds, if the supervisor has set no other
LEEWAY = 0.2  # seconds that a drain may take longer than its grace
HURRY_INTERVAL = 0.01
JITTER = 0.1
NOT_FOR_WORKERS = ("SIGHUP", "SIGTTIN", "SIGTTOU")


class Worker:
    """One of several processes of a server, started by a Supervisor. `fromEnvironment` makes it, before the ports.

    A program adopts the sockets, calls `ready()`, and runs its reactor:

        worker = Worker.fromEnvironment(reactor)
        worker.listen("echo", factory)
        worker.onDrain(server.stop)
        worker.ready()
        reactor.run()

    - `number` is its position, from 0; `generation` counts the reloads before it; `pid` is its process.
    - `sockets` has the inherited sockets of each name. They close when the worker drains: a port has its own duplicate.
    - `isDraining` tells whether the end has begun, and `sendFin` whether connections that only send should get our FIN
      then.

    It drains by an order, by SIGTERM or SIGINT, and at the end of its supervisor. Then it stops the reactor. SIGUSR1
    is an order to reopen files. It ignores the other signals of a supervisor, as these reach all processes at times.
    Every method is for the reactor's thread.
    """

    def __init__(self, reactor: ReactorBase, environ: Mapping[str, str]) -> None:
        """Read the variables of a supervisor. ValueError, which names the variable, if they are not in order."""
        self.number = countIn(environ, NUMBER, 0)
        self.generation = countIn(environ, GENERATION, 0)
        self.pid = os.getpid()
        self.isDraining = False
        self.sendFin = False
        self.sockets: dict[str, list[socket.socket]] = {}
        self._reactor = reactor
        self._grace = secondsIn(environ, GRACE, OWN_GRACE)
        self._beatInterval = secondsIn(environ, BEAT, BEAT_INTERVAL)
        self._started = time.time()
        self._state = "starting"
        self._stats: Callable[[], Mapping[str, Any]] | None = None
        self._drainCalls: list[Callable[[float], object]] = []
        self._reopenCalls: list[Callable[[], object]] = []
        self._statusCalls: list[Callable[[dict[str, Any]], object]] = []
        self._take: Callable[[str, socket.socket], object] | None = None
        self._factories: dict[str, tuple[IProtocolFactory, list[Any]]] = {}
        self._mostLines: float | None = None
        self._mayBeat: Callable[[], bool] = lambda: True
        self._isRetiring = False
        self._isAlone = False  # the supervisor has ended
        self._beating = LoopingCall(self._beat)
        self._beating.clock = reactor
        control = countIn(environ, CONTROL)
        inherited = parseSockets(environ.get(SOCKETS, ""))
        _checkDescriptors(control, inherited)  # before any is ours: a wrong one belongs to other code
        try:
            self._channel: Channel = openChannel(reactor, control, self._heard, self._left)
        except (OSError, UnsupportedAddressFamily, UnsupportedSocketType) as error:
            raise ValueError(f"{CONTROL} is descriptor {control}, which is no channel of a supervisor") from error
        for name, numbers in inherited.items():
            self.sockets[name] = [self._inherited(fd) for fd in numbers]
        closeNumber(control)
        self._heedSignals()

    @classmethod
    def fromEnvironment(cls, reactor: ReactorBase, environ: MutableMapping[str, str] | None = None) -> Worker | None:
        """Return the Worker of this process, None if no supervisor has started it. None means os.environ.

        It removes the supervisor's variables, so that child processes do not take themselves for workers. ValueError,
        which names the variable, if they are not in order.
        """
        environ = os.environ if environ is None else environ
        if CONTROL not in environ:
            return None
        found = {name: environ.pop(name) for name in VARIABLES if name in environ}
        return cls(reactor, found)

    # For the program.

    def listen(self, name: str, factory: IProtocolFactory) -> list[Any]:
        """Accept for `factory` on each socket of `name`, also on those that come later. Return the list of ports.

        The ports close when the worker drains, after the calls of onDrain have begun. KeyError for a name without
        sockets.
        """
        ports: list[Any] = []
        self._factories[name] = (factory, ports)
        for sock in self.sockets[name]:
            self._accept(name, sock)
        return ports

    def onTake(self, call: Callable[[str, socket.socket], object]) -> None:
        """Have `call(name, socket)` accept on a further socket, which another worker leaves behind. It owns the socket.

        The names of `listen` need no call. Without either, this worker gets no further sockets.
        """
        self._take = call

    def onDrain(self, call: Callable[[float], object]) -> None:
        """Have `call(grace)` end the work in order, in `grace` seconds. When its Deferred fires, the reactor stops."""
        self._drainCalls.append(call)

    def onReopen(self, call: Callable[[], object]) -> None:
        """Have `call()` open the log files and outputs anew: they may have been rotated."""
        self._reopenCalls.append(call)

    def onStatus(self, call: Callable[[dict[str, Any]], object]) -> None:
        """Have `call(status)` get the status of the whole server each second. Only an admin process gets it."""
        self._statusCalls.append(call)

    def reports(self, stats: Callable[[], Mapping[str, Any]]) -> None:
        """Have `stats()` give the counters for each beat, a dictionary that JSON can carry."""
        self._stats = stats

    @property
    def beatInterval(self) -> float:
        """The seconds between two beats."""
        return self._beatInterval

    def beatsWhile(self, call: Callable[[], bool]) -> None:
        """Send a beat only if `call()` is true: a program has more to watch than the reactor of this worker."""
        self._mayBeat = call

    def ready(self) -> None:
        """Tell the supervisor that this worker serves, and begin the beats. Later calls do nothing."""
        if self._state == "starting":
            self._state = "ready"
            self._reactor.callWhenRunning(self._tellReady)

    def failed(self, reason: str) -> None:
        """Tell the supervisor in a line why this worker cannot serve. It should exit then."""
        if self._channel.send({"event": "failed", "reason": reason}):
            self._channel.transport.flush()

    def cannotGoOn(self, reason: str) -> None:
        """Tell the supervisor in a line why no worker can go on: all drain, and the server's exit code is 1.

        This worker should exit then. Before it was ready this is the same as failed().
        """
        if self._channel.send({"event": "cannotGoOn", "reason": reason}):
            self._channel.transport.flush()

    def retire(self) -> None:
        """Ask to be replaced: another worker starts, and then this one drains. Later calls do nothing."""
        if self._isRetiring or self.isDraining:
            return
        self._isRetiring = True
        if not self._channel.send({"event": "retiring"}):
            self._drain(self._grace)

    def limitLife(self, maxLines: int | None = None, maxLifetime: float | None = None, jitter: float = JITTER) -> None:
        """Retire after about `maxLines` lines in all listeners, or `maxLifetime` seconds.

        Each worker has limits of its own, up to the share `jitter` above or below. So they do not all end at once. The
        lines are those of `reports`, and are looked at with each beat.
        """
        share = random.uniform(1 - jitter, 1 + jitter)
        if maxLines is not None:
            self._mostLines = maxLines * share
        if maxLifetime is not None:
            self._reactor.callLater(maxLifetime * share, self.retire)

    # Signals.

    def _heedSignals(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        if not faulthandler.is_enabled():
            with suppress(OSError, ValueError, AttributeError):  # there is no standard error
                faulthandler.enable()  # so the watchdog's SIGABRT shows the stacks
        for name in NOT_FOR_WORKERS:
            signal.signal(getattr(signal, name), signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGINT):
            self._reactor.addSignalHandler(number, self._terminated)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # until the reactor runs, and its files are as new as the process
        self._reactor.addSignalHandler(signal.SIGUSR1, self._reopen)

    def _terminated(self) -> None:
        """A signal asks for the end. A second one counts if there is no supervisor to decide that."""
        if self.isDraining and self._isAlone:
            self._leave()
        else:
            self._drain(self._grace)

    # Orders.

    def _heard(self, message: dict[str, Any]) -> None:
        order = message.get("order")
        if order == "drain":
            self.sendFin = self.sendFin if self.isDraining else bool(message.get("sendFin"))
            self._drain(float(message.get("grace", self._grace)))
        elif order == "now":
            self._leave()
        elif order == "reopen":
            self._reopen()
        elif order == "take":
            self._takeOver(str(message.get("name")))
        elif message.get("event") == "status":
            for call in self._statusCalls:
                self._call(call, message.get("status"))
        else:
            log.error("an unknown message of the supervisor: %r", message)

    def _takeOver(self, name: str) -> None:
        sock = self._inherited(self._channel.descriptors.popleft())
        if self.isDraining:
            sock.close()
        elif name in self._factories:
            with sock:
                self._accept(name, sock)
        elif self._take is not None:
            self._call(self._take, name, sock)
        else:
            sock.close()
            log.error("nobody takes a further socket of %r", name)

    def _accept(self, name: str, sock: socket.socket) -> None:
        factory, ports = self._factories[name]
        ports.append(self._reactor.adoptStreamPort(sock.fileno(), sock.family, factory))

    def _reopen(self) -> None:
        for call in self._reopenCalls:
            self._call(call)

    def _drain(self, grace: float) -> None:
        if self.isDraining:
            return
        self.isDraining = True
        self._state = "draining"
        self._channel.send({"event": "draining"})
        self._closeSockets()
        self._reactor.callWhenRunning(self._drainRunning, grace)

    def _drainRunning(self, grace: float) -> None:
        waiting = [maybeDeferred(call, grace) for call in self._drainCalls]
        waiting += [maybeDeferred(port.stopListening) for _factory, ports in self._factories.values() for port in ports]
        self._reactor.callLater(grace + LEEWAY, self._leave)
        left = len(waiting)

        def over(result: object) -> None:
            nonlocal left
            left -= 1
            if isinstance(result, Failure):
                self._reactor.reportFailure(result, "the drain of a worker")
            if not left:
                self._stop()

        if not waiting:
            self._stop()
        for each in waiting:
            each.addBoth(over)

    def _stop(self) -> None:
        if self._beating.running:
            self._beating.stop()
            self._beat()  # what the last second has counted
        with suppress(ReactorNotRunning):
            self._reactor.stop()

    def _leave(self) -> None:
        """End at once, whatever a shutdown still waits for."""
        self.isDraining = True
        self._closeSockets()
        self._stop()
        self._reactor.callLater(HURRY_INTERVAL, self._hurry)

    def _hurry(self) -> None:
        self._reactor._events.hurry("shutdown")
        self._reactor.callLater(HURRY_INTERVAL, self._hurry)

    def _left(self) -> None:
        """The channel has ended: with the supervisor, or with our own reactor."""
        self._isAlone = True
        if not self.isDraining and (self._reactor._mayStop or not self._reactor.running):
            log.warning("the supervisor has ended, so this worker ends, too")
            self._drain(self._grace)

    # Reports.

    def _tellReady(self) -> None:
        if self.isDraining:
            return
        takes = self._take is not None or bool(self._factories)
        self._channel.send({"event": "ready", "pid": self.pid, "takes": takes})
        self._beating.start(self._beatInterval)

    def _beat(self) -> None:
        if not self._mayBeat():
            return
        snapshot = self.snapshot()
        try:
            self._channel.report({"event": "beat", "snapshot": snapshot})
        except (TypeError, ValueError):
            self._reactor.reportFailure(Failure(), "the counters of a worker")
            self._channel.report({"event": "beat"})  # the loop turns all the same
        if self._mostLines is not None:
            lines = sum(listener.get("linesIn", 0) for listener in snapshot.get("listeners", {}).values())
            if lines >= self._mostLines:
                self.retire()

    def snapshot(self) -> dict[str, Any]:
        """Return the counters of this process, as each beat has them."""
        counted: Mapping[str, Any] = {}
        if self._stats is not None:
            try:
                counted = self._stats()
            except Exception:
                self._reactor.reportFailure(Failure(), "the counters of a worker")
        own = {"pid": self.pid, "worker": self.number, "generation": self.generation, "state": self._state}
        return {"time": time.time(), "started": self._started, **counted, **own}

    # Helpers.

    @staticmethod
    def _inherited(fd: int) -> socket.socket:
        sock = socket.socket(fileno=fd)
        sock.set_inheritable(False)
        sock.setblocking(False)
        return sock

    def _closeSockets(self) -> None:
        while self.sockets:
            for sock in self.sockets.popitem()[1]:
                sock.close()

    def _call(self, call: Callable[..., object], *arguments: object) -> None:
        """Call a function of the program, whose failure costs nothing else."""
        maybeDeferred(call, *arguments).addErrback(self._reactor.reportFailure, "a worker's call of", call)


def _checkDescriptors(control: int, inherited: Mapping[str, list[int]]) -> None:
    """ValueError unless all descriptors are open sockets, each of them another one."""
    checkSocket(control, CONTROL)
    seen = {control}
    for name, numbers in inherited.items():
        for number in numbers:
            checkSocket(number, f"{name!r} in {SOCKETS}")
            if number in seen:
                raise ValueError(f"descriptor {number} is named twice in {CONTROL} and {SOCKETS}")
            seen.add(number)
