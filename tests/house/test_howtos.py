"""docs/howto and other pages: a reader who writes their files and types their commands sees what they show."""

from __future__ import annotations

import asyncio
import pathlib
import re
import shlex
import socket
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from reactor import Deferred, EpollReactor, LineReceiver, Protocol, ServerFactory
from reactor.error import CannotListenError
from reactor.service.members import CHANGES
from reactor.serving.logs import CONNECTIONS
from reactor.testing import MemoryReactor, StringTransport
from tests.house.test_docs import PAGES, between
from tests.support.walkthroughs import DEADLINE, Walk

ROOT = pathlib.Path(__file__).resolve().parents[2]
WALKED = sorted(name for name in PAGES if name.startswith("docs/howto/"))
PAGES_TOO = ["docs/faq.md", "docs/model.md", "docs/running.md"]


def until(condition: Callable[[], object]) -> None:
    """Wait for another process."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)  # of a look, not of a length that matters


def socketIsThere(walk: Walk, text: str) -> None:
    names = shlex.split(text)[1:]
    until(lambda: all((walk.folder / name).exists() for name in names))


def verifyUnits(walk: Walk, text: str) -> None:
    """systemd takes the files; the program that they name is not on this machine, so another is named."""
    for path in walk.folder.glob("chat.s*"):
        unit = path.read_text().replace("/opt/linereactor/bin/linereactor", "/bin/true")
        path.write_text(unit.replace("/srv/chat", "/"))
    assert walk.run(text) == ""


def throughHAProxy(walk: Walk, text: str) -> None:
    """HAProxy starts with the file of the page, and a client behind it is greeted as the page shows."""
    background, _, dialogue = text.partition("&\n")
    command = shlex.split(background.removeprefix("$ "))
    process = subprocess.Popen(command, cwd=walk.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        walk.awaitPort(int(walk.ports["7001"]))
        walk.type(dialogue)
    finally:
        process.kill()
        process.wait()


def slowIsNamed(walk: Walk, text: str) -> None:
    until(lambda: "Slow" in walk.run(text))


def logHas(walk: Walk, text: str) -> None:
    found = (walk.folder / "server.log").read_text()
    assert text.strip() in found, found


CHECKS = {
    "socket": socketIsThere,
    "verify": verifyUnits,
    "haproxy": throughHAProxy,
    "slow": slowIsNamed,
    "log": logHas,
}


@pytest.mark.timeout(2 * DEADLINE)
@pytest.mark.needs("bash", "curl", "haproxy", "logger", "netcat-openbsd", "openssl", "systemd-analyze")
@pytest.mark.parametrize("page", [*WALKED, *(page for page in PAGES_TOO if page in PAGES)])
def test_thePage(page: str, tmp_path: pathlib.Path) -> None:
    with Walk(PAGES[page], tmp_path, CHECKS) as walk:
        walk.go()


def test_everyLoggerIsInTheTable() -> None:
    rows = re.findall(r"^\| `([\w.]+)` \|", between(PAGES["docs/howto/logging.md"], "loggers"), re.MULTILINE)
    assert len(rows) == len(set(rows))
    found = set()
    for path in (ROOT / "src").rglob("*.py*"):
        if path.suffix in {".py", ".pyx"}:
            found.update(re.findall(r"getLogger\(\"(reactor[\w.]*)\"\)", path.read_text()))
    found |= {CHANGES, CONNECTIONS}  # names of constants, which the search does not find
    assert found == set(rows)


def test_theErrorsOfTheMistakes() -> None:
    """docs/faq.md has the words that a user sees, so that a search finds them."""
    receiver = LineReceiver()
    receiver.makeConnection(StringTransport())
    with pytest.raises(TypeError) as told:
        receiver.sendLine("text")  # type: ignore[arg-type]
    assert f"TypeError: {str(told.value).partition(':')[0]}" in PAGES["docs/faq.md"]
    with pytest.raises(TypeError, match=r"give ServerFactory\.forProtocol"):
        MemoryReactor().listenTCP(7000, Protocol)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(CannotListenError) as refused:
        EpollReactor().listenTCP(taken.getsockname()[1], ServerFactory.forProtocol(Protocol), interface="127.0.0.1")
    assert str(refused.value).endswith("Address already in use.")
    assert "## `CannotListenError: ... Address already in use`" in PAGES["docs/faq.md"]

    async def wait() -> None:
        await asyncio.sleep(1)

    failures: list[Any] = []
    Deferred.fromCoroutine(wait()).addErrback(failures.append)
    assert failures[0].check(RuntimeError)
