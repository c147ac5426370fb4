"""`serve --service` as its users meet it: a process, real clients, a signal, and one line when something is wrong."""

from __future__ import annotations

import os
import pathlib
import pwd
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator

import pytest

from reactor.service.endsignals import SAME_REQUEST
from reactor.serving.errors import CommandError
from reactor.serving.servicefile import changeUser, findService

DEADLINE = 30.0
HOST = "127.0.0.1"

COMMAND = [sys.executable, "-m", "reactor", "serve", "--service"]

ECHO = """
from reactor import Protocol, ServerFactory
from reactor.service import Application, Service, strports

class Echo(Protocol):
    def dataReceived(self, data):
        self.transport.write(data)

application = Application("echo")
listening = strports.service("tcp:0:interface=127.0.0.1", ServerFactory.forProtocol(Echo))
listening.setServiceParent(application)
"""

TELLING = """
class Telling(Service):
    async def startService(self):
        super().startService()
        port = listening._waitingForPort.result
        print(port.getHost().port, flush=True)

    async def stopService(self):
        print("stopping", flush=True)
        await later(STOP)
        print("stopped", flush=True)

from reactor import callLater, Deferred
def later(seconds):
    deferred = Deferred()
    callLater(seconds, deferred.callback, None)
    return deferred

Telling().setServiceParent(application)
"""

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: pathlib.Path) -> Iterator[Start]:
    """Runs a text as app.tac, in a process and a directory of its own."""
    started: list[subprocess.Popen[str]] = []

    def run(text: str, grace: float = 20.0) -> subprocess.Popen[str]:
        (tmp_path / "app.tac").write_text(textwrap.dedent(text))
        started.append(
            subprocess.Popen(
                [*COMMAND, "app.tac", "--grace", str(grace)],
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def test_life(start: Start) -> None:
    """Ports open, clients are served, and the stop that takes its time is waited for."""
    process = start(ECHO + TELLING.replace("STOP", "0.05"))
    assert process.stdout is not None
    with socket.create_connection((HOST, int(process.stdout.readline())), DEADLINE) as client:
        client.sendall(b"hello")
        assert client.recv(9) == b"hello"
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=DEADLINE)
    assert (out, process.returncode) == ("stopping\nstopped\n", 0)
    assert re.fullmatch(r"linereactor \S+: app\.tac \(line core: \w+\)\n", err)


@pytest.mark.parametrize("signals", [1, 2])
def test_aStopWithoutAnEnd(start: Start, signals: int) -> None:
    """The grace ends it, or a second signal does."""
    process = start(ECHO + TELLING.replace("STOP", "1000"), 0.05 if signals == 1 else 1000)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "stopping\n"
    if signals == 2:
        time.sleep(2 * SAME_REQUEST)  # a second one within SAME_REQUEST is the same request
        process.send_signal(signal.SIGTERM)
    _out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0
    assert ("has not stopped within 0.05 seconds" in err) == (signals == 1)


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        ("import nothing", 2, "--service: app.tac, line 1: ModuleNotFoundError: No module named 'nothing'"),
        (
            """
            from reactor.service import Application, Service
            class Broken(Service):
                def startService(self):
                    raise ValueError("two\\nlines")
            application = Application("broken")
            Broken().setServiceParent(application)
            """,
            1,
            r"an application of services cannot start: ValueError: two\nlines",
        ),
    ],
)
def test_errorsAreOneLine(start: Start, text: str, code: int, told: str) -> None:
    process = start(text)
    out, err = process.communicate(timeout=DEADLINE)
    assert (out, process.returncode) == ("", code)
    assert err == f"python -m reactor serve: {told}\n"


def test_portsInUse(start: Start) -> None:
    with socket.create_server((HOST, 0)) as taken:
        number = taken.getsockname()[1]
        process = start(ECHO.replace("tcp:0", f"tcp:{number}"))
        _out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 1
    assert err.count("\n") == 1
    assert f"cannot listen on 127.0.0.1:{number}" in err


def test_modulesLieInTheCurrentDirectory(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    (tmp_path / "servicesHere.py").write_text("from reactor.service import Application as application\n")
    (tmp_path / "app.tac").write_text("import servicesHere\napplication = servicesHere.application('here')\n")
    assert findService("app.tac").name == "here"
    assert sys.path[0] == str(tmp_path)
    sys.modules.pop("servicesHere")


ORDER = """
import os
from reactor.service import Application, Service

class Told(Service):
    def tell(self, call):
        print(call, os.getresuid()[0], sorted(os.getgroups()), flush=True)

    def privilegedStartService(self):
        self.tell("privileged")

    def startService(self):
        self.tell("start")

    def stopService(self):
        self.tell("stop")

application = Application("x", 54321, 54322)
Told().setServiceParent(application)
"""


@pytest.mark.needs("root")
def test_order(start: Start) -> None:
    """The application's user counts behind the ports, and only then the services start."""
    process = start(ORDER)
    assert process.stdout is not None
    told = [process.stdout.readline() for _ in range(2)]
    process.send_signal(signal.SIGTERM)
    rest, _err = process.communicate(timeout=DEADLINE)
    first = f"privileged 0 {sorted(os.getgroups())}\n"
    assert [*told, rest] == [first, "start 54321 [54322]\n", "stop 54321 [54322]\n"]


SHED = """
import os, sys
from reactor.service.endsignals import SAME_REQUEST
from reactor.serving.errors import CommandError
from reactor.serving.servicefile import changeUser
for argument in sys.argv[1:]:
    if os.fork() == 0:
        try:
            changeUser(*(None if part == "-" else int(part) for part in argument.split(":")))
        except CommandError as error:
            print(error, flush=True)
        else:
            print(os.getresuid(), os.getresgid(), sorted(os.getgroups()), flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.mark.needs("root")
def test_anotherUser() -> None:
    nobody = pwd.getpwnam("nobody")
    uid, gid = nobody.pw_uid, nobody.pw_gid
    arguments = [f"{uid}:-", f"{uid}:54321", "54321:54322", "-:54322", "54321:-"]
    done = subprocess.run(
        [sys.executable, "-c", SHED, *arguments], capture_output=True, text=True, timeout=DEADLINE, check=True
    )
    roots = sorted({54322, *os.getgrouplist("root", 54322)})
    assert done.stdout.splitlines() == [
        f"{(uid,) * 3} {(gid,) * 3} {sorted(os.getgrouplist('nobody', gid))}",
        f"{(uid,) * 3} {(54321,) * 3} {sorted(os.getgrouplist('nobody', 54321))}",
        f"{(54321,) * 3} {(54322,) * 3} [54322]",
        f"{(0,) * 3} {(54322,) * 3} {roots}",
        "user 54321 has no group of its own here, so a group must be given",
    ]


def test_sameUser() -> None:
    changeUser(None, None)
    changeUser(os.getuid(), os.getgid())


def test_aUserThatCannotBe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    with pytest.raises(CommandError, match="only root can become another user"):
        changeUser(54322, 54323)
