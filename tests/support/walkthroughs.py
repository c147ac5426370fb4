"""Pages that a test walks through as a reader would: it writes the files, starts the programs, types the commands.

A mark before each block says what the block is. Ports 7000 to 7009 of the page are free ones in the test.

    <!-- file NAME -->          the contents of a file
    <!-- start PORT... -->      commands that go on running; each port is one that then listens
    <!-- also PORT... -->       the same, beside the programs that run already
    <!-- try -->                commands behind a `$`, and below each its output
    <!-- talk PORT [CA] -->     a dialogue: `ann> text` is sent by ann, `ann< text` comes to her; with CA over TLS
    <!-- stop -->               (without a block) the programs get SIGTERM, and must end with 0
    <!-- check NAME -->         checked by the test that walks through this page
"""

from __future__ import annotations

import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import NamedTuple

DEADLINE = 60.0
MARK = re.compile(r"<!-- (file|start|also|try|talk|stop|check)((?: [^ \n>]+)*) -->\n+(?:```\w*\n(.*?)```)?", re.DOTALL)
PORTS = re.compile(r"\b700\d\b")
DURATION = re.compile(r"\b\d+\.\d+s\b")
BINARIES = str(pathlib.Path(sys.executable).parent)


class Step(NamedTuple):
    kind: str
    arguments: list[str]
    text: str


def stepsOf(page: str) -> Iterator[Step]:
    for kind, arguments, text in MARK.findall(page):
        yield Step(kind, arguments.split(), text)


def freePorts(count: int) -> list[int]:
    with ExitStack() as stack:
        socks = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [sock.getsockname()[1] for sock in socks]


def isOpen(port: int) -> bool:
    """Whether a TCP socket listens at the port, or a UDP socket is bound to it. Linux tells."""
    for table, state in (("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")):
        for row in pathlib.Path("/proc/net", table).read_text().splitlines()[1:]:
            _, local, _, found, *_ = row.split()
            if found == state and int(local.rpartition(":")[2], 16) == port:
                return True
    return False


class Walk:
    """A folder, in which a page is walked through. Use it in a `with` statement."""

    def __init__(self, page: str, folder: pathlib.Path, checks: Mapping[str, Callable[[Walk, str], None]] = {}) -> None:
        names = sorted(set(PORTS.findall(page)))
        self.ports = dict(zip(names, map(str, freePorts(len(names))), strict=True))
        self.steps = list(stepsOf(page))
        self.folder = folder
        self.checks = checks
        self.environment = {**os.environ, "PATH": f"{BINARIES}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}
        self.running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Walk:
        return self

    def __exit__(self, *_exception: object) -> None:
        for process in self.running:
            process.kill()
            process.communicate()

    def placed(self, text: str) -> str:
        """The text with the ports of this walk."""
        return PORTS.sub(lambda found: self.ports[found.group()], text)

    def go(self) -> None:
        for step in self.steps:
            text = self.placed(step.text)
            if step.kind == "check":
                self.checks[step.arguments[0]](self, text)
            elif step.kind == "file":
                (path := self.folder / step.arguments[0]).parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            elif step.kind in ("start", "also"):
                if step.kind == "start":
                    self.stop()
                self.start(text, [int(self.ports[name]) for name in step.arguments])
            elif step.kind == "try":
                self.type(text)
            elif step.kind == "talk":
                port, *authority = step.arguments
                self.talk(text, int(self.ports[port]), str(self.folder / authority[0]) if authority else None)
            else:
                self.stop()
        self.stop()

    def start(self, text: str, ports: list[int]) -> None:
        for line in text.strip().splitlines():
            process = subprocess.Popen(
                ["bash", "-c", f"exec {line}"],
                cwd=self.folder,
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            self.running.append(process)
        for port in ports:
            self.awaitPort(port)

    def stop(self) -> None:
        while self.running:
            process = self.running.pop()
            process.send_signal(signal.SIGTERM)
            try:
                said = process.communicate(timeout=DEADLINE)[0].decode()
            finally:
                process.kill()
            assert process.returncode == 0, said
            assert "Traceback" not in said, said

    def awaitPort(self, port: int) -> None:
        """Wait until a program listens at the port. A connection would show whether it does, and be a client."""
        end = time.monotonic() + DEADLINE
        while not isOpen(port):
            assert time.monotonic() < end, f"nothing listens at {port}"
            for process in self.running:
                assert process.poll() is None, process.communicate()[0].decode()
            time.sleep(0.02)  # of a look at another process, not of a length that matters

    def connected(self, port: int) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", port), DEADLINE)
        sock.settimeout(DEADLINE)
        return sock

    def run(self, command: str) -> str:
        """Run a command of a shell, and return its output, errors too."""
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=DEADLINE,
            check=False,
        )
        return done.stdout.decode()

    def type(self, text: str) -> None:
        """Run each command behind a `$`, and compare its output."""
        parts = re.split(r"^\$ ", text, flags=re.MULTILINE)
        assert not parts[0].strip(), f"an output before the first command: {parts[0]!r}"
        for part in parts[1:]:
            command, expected = re.fullmatch(r"((?:[^\n]*\\\n)*[^\n]*)\n(.*)", part, re.DOTALL).groups()  # type: ignore[union-attr]
            output = self.run(command)
            if output and not output.endswith("\n"):
                output += "\n"  # a terminal shows the next prompt behind it
            expected = expected.rstrip("\n") + "\n" * bool(expected.strip())
            assert DURATION.sub("0.1s", output) == DURATION.sub("0.1s", expected), command

    def talk(self, text: str, port: int, authority: str | None) -> None:
        with ExitStack() as stack:
            members: dict[str, socket.socket] = {}
            files = {}
            for line in text.strip().splitlines():
                found = re.fullmatch(r"(\w+)([<>]) ?(.*)", line.partition("  # ")[0].rstrip())
                assert found, line
                name, way, words = found.groups()
                if name not in members:
                    sock = self.connected(port)
                    if authority is not None:
                        context = ssl.create_default_context(cafile=authority)
                        sock = context.wrap_socket(sock, server_hostname="localhost")
                    members[name] = stack.enter_context(sock)
                    files[name] = stack.enter_context(sock.makefile("rb"))
                if way == ">":
                    members[name].sendall(words.encode() + b"\n")
                else:
                    assert files[name].readline().rstrip(b"\r\n").decode() == words
