"""No door for debuggers: nothing of a peer's is run or unpickled, no peer sees a traceback, and no shell listens."""

from __future__ import annotations

import ast
import logging
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from reactor import LineReceiver, ServerFactory
from reactor.http import HTTPFactory, Request
from tests.support.worlds import LOOPS, ROOT, World, dial

SOURCES = {path.relative_to(ROOT / "src").as_posix(): path.read_text() for path in sorted((ROOT / "src").rglob("*.py"))}

# Modules that open a door, or read a form of data that runs code.
DOORS = frozenset(
    {
        *(
            "bdb",
            "code",
            "codeop",
            "cProfile",
            "dbm",
            "imp",
            "marshal",
            "pdb",
            "pickle",
            "profile",
            "shelve",
            "telnetlib",
        ),
        *("debugpy", "manhole", "rlcompleter", "runpy", "xmlrpc", "yaml", "ctypes", "gdb", "trace", "tracemalloc"),
    }
)
CALLS = frozenset({"eval", "exec", "compile", "breakpoint", "__import__", "input"})

# Each with its reason.
ALLOWED = {
    ("reactor/compat/inotify.py", "ctypes"): "three calls of the C library, with paths that the program names",
    ("reactor/service/application.py", "compile"): "a .tac file that the user of the command names",
    ("reactor/service/application.py", "exec"): "the same",
    ("reactor/service/memory.py", "ctypes"): "two calls of the C library, without a word of a peer's",
}


def findingsOf(path: str, text: str) -> Iterator[tuple[str, str]]:
    """Yield the file and what it imports or calls that it should not."""
    for node in ast.walk(ast.parse(text)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name.split(".")[0] for alias in node.names if alias.name.split(".")[0] in DOORS]
        elif isinstance(node, ast.ImportFrom):
            names = [part for part in [(node.module or "").split(".")[0]] if not node.level and part in DOORS]
        elif isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in CALLS:
                names = [node.func.id]
            elif any(each.arg == "shell" and ast.unparse(each.value) != "False" for each in node.keywords):
                names = ["shell="]
        yield from ((path, name) for name in names)


def test_noDoorInTheSource() -> None:
    found = {finding for path, text in SOURCES.items() for finding in findingsOf(path, text)}
    assert found == ALLOWED.keys()


@pytest.mark.parametrize(
    "text",
    [
        "import pdb",
        "import os, pickle",
        "from code import interact",
        "import xmlrpc.server",
        "def f():\n    eval('1')",
        "breakpoint()",
        "import subprocess\nsubprocess.run('ls', shell=True)",
    ],
)
def test_aDoorIsSeen(text: str) -> None:
    assert len(list(findingsOf("file.py", text))) == 1


def test_noDoorIsImported() -> None:
    """Neither the package nor the command brings one in with a module of the standard library, for all to use."""
    program = "import sys, reactor.__main__, reactor.http, reactor.service; print(*sys.modules)"
    command = [sys.executable, "-I", "-c", program]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.split()
    assert "reactor.http" in loaded
    assert {"pdb", "code", "pickle", "shelve", "telnetlib", "debugpy"}.isdisjoint(loaded)


class Raising(LineReceiver):
    def lineReceived(self, line: bytes) -> None:
        raise ValueError("secret of the handler")


class RaisingRequest(Request):
    def process(self) -> None:
        raise ValueError("secret of the handler")


def handler(request: Any) -> Any:
    raise ValueError("secret of the handler")


@pytest.fixture(params=[pytest.param(side, id=side.name) for side in LOOPS])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    world = World(request.param)
    yield world
    world.close()


def saidBy(world: World, factory: Any, sent: bytes) -> bytes:
    """Return all that a server of `factory` answers to `sent`."""
    factory.noisy = False
    port = world.reactor.listenTCP(0, factory, interface="127.0.0.1")
    said = b""
    with dial(port) as peer:
        peer.sendall(sent)
        peer.shutdown(socket.SHUT_WR)
        peer.setblocking(False)
        isOpen = True

        def hasEnded() -> bool:
            nonlocal said, isOpen
            try:
                piece = peer.recv(1 << 16)
                said += piece
                isOpen = bool(piece)
            except BlockingIOError:
                pass
            except ConnectionError:
                isOpen = False
            return not isOpen

        world.until(hasEnded)
    return said


@pytest.mark.parametrize("kind", ["lines", "request", "handler"])
def test_noTracebackForThePeer(world: World, caplog: pytest.LogCaptureFixture, kind: str) -> None:
    """A fault is told to the log, with its traceback, and not to the peer."""
    caplog.set_level(logging.ERROR)
    requests: Any = HTTPFactory()
    requests.requestFactory = RaisingRequest
    factory, sent = {
        "lines": (ServerFactory.forProtocol(Raising), b"a line\r\n"),
        "request": (requests, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
        "handler": (HTTPFactory.forHandler(handler), b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
    }[kind]
    said = saidBy(world, factory, sent)
    assert said.startswith(b"HTTP/1.1 500 ") if kind != "lines" else said == b""
    for part in (b"secret", b"Traceback", b"ValueError", b".py", b"line "):
        assert part not in said
    assert "secret of the handler" in caplog.text
    assert "Traceback" in caplog.text
