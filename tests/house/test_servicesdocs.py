"""The programs of docs/services.md: they run as they stand there, and as a .tac file."""

from __future__ import annotations

import pathlib
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from reactor import service
from tests.house.test_docs import DEADLINE, PAGES, between, connected, freePorts

PAGE = PAGES["docs/services.md"]
SERVE = ("-m", "reactor", "serve", "--service")


def program(mark: str) -> str:
    (text,) = re.findall(r"```python\n(.*?)```", between(PAGE, f"services-{mark}"), re.DOTALL)
    return str(text)


Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(tmp_path: pathlib.Path) -> Iterator[Start]:
    """Starts Python with arguments, in a directory of its own."""
    with ExitStack() as stack:

        def run(*arguments: str) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(
                [sys.executable, *arguments], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            stack.callback(process.communicate)
            stack.callback(process.kill)
            return process

        yield run


@pytest.mark.parametrize("isFile", [False, True])
def test_services(start: Start, tmp_path: pathlib.Path, isFile: bool) -> None:
    """The server counts the lines of the client, whichever of them starts first. It tells their number at the end."""
    (port,) = freePorts(1)
    client = start("-c", program("client").replace("7000", str(port)))
    text = program("program").replace("7000", str(port))
    (tmp_path / "counter.tac").write_text(text)
    server = start(*SERVE, "counter.tac") if isFile else start("-c", text)
    assert client.communicate(timeout=DEADLINE) == (b"b'2'\n", b"")
    assert client.returncode == 0
    with closing(connected(server, port)) as sock:
        sock.sendall(b"hello\n")
        assert sock.recv(9) == b"3\n"
    server.send_signal(signal.SIGTERM)
    out, err = server.communicate(timeout=DEADLINE)
    assert (out, server.returncode) == (b"minute\nlines: 3\n", 0)
    assert (b": counter.tac (line core: " in err) == isFile


def test_everyServiceIsOnThePage() -> None:
    public = [getattr(service, name) for name in service.__all__]
    kinds = [each.__name__ for each in public if isinstance(each, type) and issubclass(each, service.Service)]
    assert len(kinds) > 15
    assert [name for name in kinds if f"`{name}" not in PAGE] == []


def test_theMistake(start: Start, tmp_path: pathlib.Path) -> None:
    """The page's example of an error is what is said."""
    (told,) = re.findall(r"^linereactor (serve: --service: .*)$", PAGE, re.MULTILINE)
    lines = [
        "from reactor.service import Application",
        "application = Application('x')",
        "strports.service('tcp:0', None)",
    ]
    (tmp_path / "counter.tac").write_text("\n".join(lines))
    _out, err = start(*SERVE, "counter.tac").communicate(timeout=DEADLINE)
    assert err.decode().splitlines()[-1] == f"python -m reactor {told}"
