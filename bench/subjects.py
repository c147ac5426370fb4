"""A subject is one rival at one case, in a process of its own, ready to be measured again and again."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.asking import HTTP_LOADS, Digesting, Download, Greeting, Upload
from bench.cases import Case
from bench.loads import LOADS as LINE_LOADS
from bench.loads import PING, BulkIn, BulkOut, Chat, Connected, Datagrams, Dialogue, Ingest, Load
from bench.processes import CORES, SERVER_CORE, Port, endFamily, memoryOf, onCores, usedBy, waitUntilIdle
from bench.results import Sample
from bench.rivals import FLOORS, ROOT, Rival, compileFloor, serverCommand
from bench.work.task import WrongAnswer

STARTUP_DEADLINE = 20.0
RUN_DEADLINE = 300.0
# Otherwise the C library keeps freed memory up to 32 MiB for the next run, and asks the kernel for larger pieces. That
# step would look like growth.
FRESH_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "131072"}
WARM = 64  # connections that exist before memory is measured
LOADS = LINE_LOADS | HTTP_LOADS

# How to check that a server does its job.
ONE: dict[str, Any] = {"connections": 1}
PROBES: dict[str, tuple[type[Connected], dict[str, Any]]] = {
    "pong": (Dialogue, ONE),
    "async": (Dialogue, ONE),
    "asleep": (Dialogue, ONE),
    "echo": (Dialogue, {**ONE, "answer": PING}),
    "count": (Ingest, ONE),
    "chat": (Chat, ONE),
    "sink": (BulkIn, {}),
    "source": (BulkOut, {}),
    "udp": (Datagrams, {"window": 1}),
    "http-hello": (Greeting, ONE),
    "http-digest": (Digesting, ONE),
    "http-sink": (Upload, {}),
    "http-source": (Download, {}),
}


class Failed(Exception):
    """A subject could not be started, or has ended."""


class Workshop:
    """The common parts of subjects, which a run makes once: the C server and a certificate."""

    def __init__(self) -> None:
        self._floor: Path | None = None
        self._pem: Path | None = None
        self._folder: Path | None = None

    def floor(self) -> Path:
        """Return the path of the C server."""
        if self._floor is None:
            self._floor = compileFloor()
        return self._floor

    def pem(self) -> Path:
        """Return the path of a file with a key and a certificate for localhost."""
        if self._pem is None:
            self._pem = Path(tempfile.mkdtemp(prefix="linereactor-bench-")) / "localhost.pem"
            command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
            command += ["-subj", "/CN=localhost", "-days", "30", "-keyout", "-", "-out", "-"]
            done = subprocess.run(command, capture_output=True, check=True)
            self._pem.write_bytes(done.stdout)
        return self._pem

    def folder(self) -> Path:
        """Return the path of a folder for the files that servers write."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="linereactor-bench-"))
        return self._folder

    def close(self) -> None:
        """Remove them."""
        for path in (self._floor, self._pem):
            if path is not None:
                shutil.rmtree(path.parent)
        if self._folder is not None:
            shutil.rmtree(self._folder)

    def spawn(
        self, command: list[str], variables: dict[str, str] | None = None, spread: bool = False, **pipes: Any
    ) -> subprocess.Popen[bytes]:
        """Start a process to measure, on its core, or on all; with these additional environment variables."""
        ours = {"PYTHONHASHSEED": "0", "BENCH_PEM": str(self._pem or ""), "BENCH_FOLDER": str(self._folder or "")}
        environment = {**os.environ, **ours, **(variables or {})}
        with onCores(CORES if spread else [SERVER_CORE]):
            return subprocess.Popen(command, cwd=ROOT, env=environment, **pipes)


def end(process: subprocess.Popen[bytes] | None) -> None:
    """End a process of ours and its children, and wait for it."""
    if process is None:
        return
    if process.poll() is None:
        endFamily(process.pid)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(BrokenPipeError):  # the output of an order that was not read
                pipe.close()


class Worker:
    """Work inside a process: bench/work does it, and measures itself."""

    def __init__(self, case: Case, rival: Rival, workshop: Workshop) -> None:
        self.case = case
        options = {key: value for key, value in case.options.items() if key != "sizes"}
        command = [sys.executable, "-m", "bench.work", rival.name, case.what, repr(options)]
        variables = FRESH_MEMORY if case.how == "growth" else {}
        self.process = workshop.spawn(command, variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ready(self) -> None:
        """Wait until the process can begin."""
        self._answer(STARTUP_DEADLINE)

    def measure(self, count: int) -> Sample:
        """Do the work once. WrongAnswer if the outcome is wrong, Failed if the process has ended."""
        answer = self._ask(f"run {count}")
        user, system = answer["ticks"]
        return Sample(answer["count"], answer["cpu"] / answer["count"], answer["wall"], (user, system))

    def verify(self) -> None:
        """Check the answers that the runs could not check."""
        self._ask("verify")

    def close(self) -> None:
        """End the process."""
        end(self.process)

    def _ask(self, order: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(order.encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            raise Failed("it has ended") from None
        return self._answer(RUN_DEADLINE)

    def _answer(self, deadline: float) -> dict[str, Any]:
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], deadline)[0]:
            raise Failed(f"no answer for {deadline:g} s")
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f"it has ended with {self.process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WrongAnswer(answer["error"])
        return answer


class Server:
    """A server of its own, and a load in this process. The server's CPU use is measured from outside."""

    def __init__(self, case: Case, rival: Rival, workshop: Workshop, jobs: tuple[str, ...] = ()) -> None:
        self.case = case
        self.rival = rival
        self.workshop = workshop
        jobs = jobs or (case.job,)
        self._held = [Port() for _ in jobs]
        self.ports = {job: port.number for job, port in zip(jobs, self._held, strict=True)}
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start the server's process."""
        tls = any(job.startswith("tls-") for job in self.ports)
        pem = str(self.workshop.pem()) if tls else ""
        floor = self.workshop.floor() if self.rival.name in FLOORS else None
        if self.rival.name == "nginx":
            self.workshop.folder()
        command = serverCommand(self.rival, self.ports, floor, pem)
        self.process = self.workshop.spawn(
            command, spread=self.case.spread, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def ready(self) -> None:
        """Wait until the server gives a right answer."""
        deadline = time.monotonic() + STARTUP_DEADLINE
        for job, port in self.ports.items():
            while not self._answers(job, port):
                if self.pid is None:
                    raise Failed("it does not start")
                if time.monotonic() > deadline:
                    raise Failed("it does not answer")
                time.sleep(0.02)

    @property
    def pid(self) -> int | None:
        """Return the number of the server's process, or None once it has ended."""
        return None if self.process is None or self.process.poll() is not None else self.process.pid

    def _answers(self, job: str, port: int) -> bool:
        try:
            kind, options = PROBES[job.removeprefix("tls-")]
            load = kind(port, job.startswith("tls-"), **options)
            try:
                load.send(load.round(1))
            finally:
                load.close()
        except OSError:
            return False
        return True

    def load(self, case: Case) -> Load:
        """Connect the clients of a case."""
        made: Load = LOADS[case.what](self.ports[case.job], case.job.startswith("tls-"), **case.options)
        return made

    def measure(self, count: int) -> Sample:
        """Run the load once. WrongAnswer if an answer was wrong, Failed if the server has ended."""
        try:
            load = self.load(self.case)
            try:
                count = load.round(count)
                pid = self.pid
                if pid is None:
                    raise Failed("it has ended")
                before = usedBy(pid)
                with onCores(CORES if self.case.spread else os.sched_getaffinity(0)):
                    wall = load.run(count)
                used = usedBy(pid) - before
            finally:
                load.close()
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Failed(f"{type(error).__name__}: {error}") from error
        return Sample(count, used.cpu / count, wall, used.ticks)

    def verify(self) -> None:
        """Check that the server still answers."""
        self.ready()

    def close(self) -> None:
        """End the server."""
        end(self.process)
        for port in self._held:
            port.close()


class Memory(Server):
    """The memory of a server's connections, in bytes each. Each measurement has a process of its own."""

    used = False

    def measure(self, count: int) -> Sample:
        """Open `count` connections, and measure the memory before and after."""
        if self.used:
            end(self.process)
            self.start()
            self.ready()
        self.used = True
        assert self.pid is not None
        load = LOADS[self.case.what](self.ports[self.case.job], False, 0)
        try:
            load.send(WARM)
            waitUntilIdle(self.pid)
            before = memoryOf(self.pid)
            wall = load.run(count)
            waitUntilIdle(self.pid)
            grown = memoryOf(self.pid) - before
            load.finish()
        except OSError as error:
            raise Failed(f"{type(error).__name__}: {error}") from error
        finally:
            load.close()
        return Sample(count, grown / count, wall, (0, 0))


SUBJECTS: dict[str, Any] = {"work": Worker, "growth": Worker, "serve": Server, "memory": Memory}
