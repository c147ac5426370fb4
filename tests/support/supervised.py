"""A server of several processes to test with, and the code that runs it.

As a program it is the supervisor, and its workers. `settings.json` in the folder of its argument says what they do; a
reload reads it again. A worker answers each line with its process, its generation and the line. Some lines are orders.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from reactor.linereceiver import LineOnlyReceiver
from reactor.loops.asyncioloop import AsyncioReactor
from reactor.loops.base import ReactorBase
from reactor.loops.epoll import EpollReactor
from reactor.protocol import DatagramProtocol, Factory
from reactor.service.configuration import Configuration
from reactor.service.control import CONTROL
from reactor.service.hands import Program
from reactor.service.privileges import Identity
from reactor.service.reuse import Place
from reactor.service.server import Server
from reactor.service.supervisor import Supervisor
from reactor.service.worker import Worker

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEADLINE = 20.0
LOOPBACK = "127.0.0.1"

Settings = dict[str, Any]


# The program.


class Answering(LineOnlyReceiver):
    """Answers lines, and obeys some."""

    delimiter = b"\n"
    worker: Worker
    reactor: ReactorBase

    def lineReceived(self, line: bytes) -> None:
        """Answer."""
        worker = self.worker
        self.sendLine(b"%d %d %s" % (worker.pid, worker.generation, line))
        if line == b"stall":
            self.reactor.callLater(0.01, stallForEver)  # the answer leaves first
        elif line == b"retire":
            worker.retire()
        elif line == b"exit":
            os._exit(3)
        elif line == b"environment":
            self.sendLine(json.dumps(dict(os.environ)).encode())


class AnsweringDatagrams(DatagramProtocol):
    """Sends datagrams back, with the process in front."""

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """Answer."""
        assert self.transport is not None
        self.transport.write(b"%d %s" % (os.getpid(), datagram), addr)


def stallForEver() -> None:
    """Keep the loop from turning, and show this name in the stacks."""
    while True:
        time.sleep(60)


def work(reactor: ReactorBase, worker: Worker, settings: Settings) -> None:
    """Be a worker."""
    if settings.get("fails"):
        worker.failed("the settings want it so")
        sys.exit(4)
    if settings.get("crashes"):
        os._exit(5)
    if settings.get("hangs"):
        stallForEver()
    if "waitsFor" in settings:
        waitUntil(pathlib.Path(settings["waitsFor"]).exists)
    server = Server(reactor)
    factory = Factory.forProtocol(type("Bound", (Answering,), {"worker": worker, "reactor": reactor}))
    factory.noisy = False

    def accept(name: str, sock: socket.socket) -> None:
        if sock.type == socket.SOCK_DGRAM:
            with sock:
                reactor.adoptDatagramPort(sock.fileno(), sock.family, AnsweringDatagrams())
        else:
            known = server.listeners.get(name)
            with sock:
                (known or server.makeListener(factory, name=name)).adopt(sock)

    for name, sockets in worker.sockets.items():
        for sock in sockets:
            accept(name, sock)
    worker.onTake(accept)
    worker.onDrain(lambda grace: logging.info("sendFin %s", worker.sendFin))
    worker.onDrain(server.drain)
    if "closesWith" in settings:
        closeLate(reactor, settings["closesWith"])
    worker.onReopen(lambda: logging.getLogger("test").warning("reopened by %d", worker.pid))
    worker.reports(server.stats)
    worker.limitLife(settings.get("maxLines"), settings.get("maxLifetime"))


def closeLate(reactor: ReactorBase, path: str) -> None:
    """Have a moment between the last accept of a port and its close: a file says that it is here, another ends it."""
    placeholder = reactor.placeholder

    def between() -> int:
        pathlib.Path(f"{path}.{os.getpid()}").touch()
        waitUntil(pathlib.Path(path).exists)
        return placeholder()

    reactor.placeholder = between  # type: ignore[method-assign]


def administrate(worker: Worker, folder: pathlib.Path) -> None:
    """Be the admin process: keep the newest status in a file."""

    def keep(status: dict[str, Any]) -> None:
        scratch = folder / "status.new"
        scratch.write_text(json.dumps({**status, "admin": worker.pid}))
        scratch.replace(folder / "status.json")

    worker.onStatus(keep)


def configured(folder: pathlib.Path, settings: Settings) -> Configuration:
    """The configuration that `settings` describe."""
    if "exit" in settings:
        raise SystemExit(settings["exit"])
    arguments = settings.get("command") or [sys.executable, __file__, str(folder)]
    places = {name: Place(**place) for name, place in settings["places"].items()}
    admin = Program([*arguments, "admin"]) if settings.get("admin") else None
    environment = {**os.environ, "SETTING": str(settings.get("setting", ""))}
    program = Program(arguments, places, environment, settings.get("sendFin", False))
    times = settings.get("grace", 2.0), settings.get("watchdog")
    return Configuration(program, settings.get("workers", 2), *times, admin)


def main() -> int:
    """Run as the supervisor, or as one of its processes."""
    folder = pathlib.Path(sys.argv[1])
    logging.basicConfig(level=logging.INFO, format="%(process)d %(levelname)s %(message)s")

    def read() -> Settings:
        settings: Settings = json.loads((folder / "settings.json").read_text())
        return settings

    settings = read()
    inWorker = CONTROL in os.environ
    reactor = AsyncioReactor() if inWorker and settings.get("loop") == "asyncio" else EpollReactor()
    worker = Worker.fromEnvironment(reactor)
    if worker is not None:
        if "admin" in sys.argv:
            administrate(worker, folder)
        else:
            work(reactor, worker, settings)
        worker.ready()
        reactor.callWhenRunning(logging.info, "serves")
        reactor.run()
        return 0
    found = configured(folder, settings)
    supervisor = Supervisor(
        reactor,
        found.program.arguments,
        found.program.sockets,
        workers=found.workers,
        grace=found.grace,
        watchdog=found.watchdog,
        environment=found.program.environment,
        admin=found.admin,
        reconfigure=lambda before: configured(folder, read()),
        identity=Identity(*settings["identity"]) if "identity" in settings else None,
        startTimeout=settings.get("startTimeout", 60.0),
        sendFin=found.program.sendFin,
    )
    supervisor.open()
    addresses = {name: supervisor.addressOf(name) for name in settings["places"]}
    with contextlib.suppress(PermissionError):  # it is another user by now
        (folder / "address.json").write_text(json.dumps(addresses, default=os.fsdecode))
    return supervisor.run()


# The code that runs it.


def waitUntil(condition: Callable[[], object], deadline: float = DEADLINE) -> None:
    """Wait until `condition()` is true; fail after `deadline` seconds."""
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end, "the condition has not come true in time"
        time.sleep(0.005)


class Supervised:
    """The program above, as a process. `tcp()` is the address of its port "echo"."""

    def __init__(self, folder: pathlib.Path, environment: dict[str, str] | None = None, **settings: Any) -> None:
        self.folder = folder
        settings.setdefault("places", {"echo": {"kind": "tcp", "host": LOOPBACK}})
        self.settings: Settings = settings
        self.configure()
        self._log = (folder / "log.txt").open("wb")
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})}
        self.process: subprocess.Popen[bytes]

    def configure(self, **settings: Any) -> None:
        """Write the settings, with these changes."""
        self.settings = {**self.settings, **settings}
        (self.folder / "settings.json").write_text(json.dumps(self.settings))

    def start(self, *before: str, **options: Any) -> Supervised:
        """Start it, below the command `before`, and do not wait."""
        command = [*before, sys.executable, __file__, str(self.folder)]
        self.process = subprocess.Popen(command, stderr=self._log, env=self._environment, **options)
        return self

    def log(self) -> str:
        """Return its log."""
        return (self.folder / "log.txt").read_text(errors="replace")

    def until(self, *texts: str) -> None:
        """Wait until each of `texts` is in its log."""

        def seen() -> bool:
            assert self.process.poll() is None or all(text in self.log() for text in texts), self.log()
            return all(text in self.log() for text in texts)

        waitUntil(seen)

    def signal(self, number: int) -> None:
        """Send a signal to the supervisor."""
        self.process.send_signal(number)

    def end(self, deadline: float = DEADLINE) -> int:
        """Wait for its end, and return its exit code."""
        return self.process.wait(deadline)

    def untilReady(self, text: str = r"\d workers? ready") -> None:
        """Wait until it says that its workers are ready."""
        waitUntil(lambda: re.search(text, self.log()) or self.process.poll() is not None)
        assert self.process.poll() is None, self.log()

    def serves(self, pid: int) -> bool:
        """Whether a worker has begun to serve."""
        return f"{pid} INFO serves\n" in self.log()

    def workers(self) -> list[int]:
        """The processes that it has started, the oldest first."""
        text = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in text.split()]

    def tcp(self, name: str = "echo") -> tuple[str, int]:
        """The address of its port `name`."""
        host, port = json.loads((self.folder / "address.json").read_text())[name][:2]
        return host, port

    def connect(self, name: str = "echo") -> socket.socket:
        """Return a connection to it."""
        return socket.create_connection(self.tcp(name), DEADLINE)

    def ask(self, line: bytes = b"hi") -> tuple[int, int]:
        """Connect anew; return the process and the generation that answer."""
        with self.connect() as peer:
            return answered(peer, line)

    def close(self) -> None:
        """Kill what is left."""
        self._log.close()
        process = getattr(self, "process", None)
        if process is None:
            return
        left = self.workers() if process.poll() is None else []
        process.kill()
        process.wait()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def answered(peer: socket.socket, line: bytes = b"hi") -> tuple[int, int]:
    """Send a line on a connection; return the process and the generation that answer."""
    peer.sendall(line + b"\n")
    with peer.makefile("rb") as lines:
        pid, generation, echoed = lines.readline().split(b" ", 2)
    assert echoed == line + b"\n"
    return int(pid), int(generation)


@contextlib.contextmanager
def supervised(folder: pathlib.Path, waits: bool = True, **settings: Any) -> Iterator[Supervised]:
    """A running server of two workers, whose last process is killed at the end. It is ready if `waits`."""
    server = Supervised(folder, **settings)
    try:
        server.start()
        if waits:
            server.untilReady()
        yield server
    finally:
        server.close()


if __name__ == "__main__":
    sys.exit(main())
