"""docs/production.md: its commands run as they stand there, below a stand-in of systemd, and its figures are bench's.

Paths and ports of the page are replaced by those of a folder and by free ones, in the files of docs/deploy too.
"""

from __future__ import annotations

import fcntl
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
import tomllib
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

import reactor.service
from reactor.service.admin.metrics import METRICS
from tests.house.test_deploy import FILES, STREAM, Unit
from tests.house.test_docs import DEADLINE, PAGES, between, connected, freePorts
from tests.support.tlsworlds import certificatePath

PAGE = PAGES["docs/production.md"]
BENCH = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "bench" / "README.md").read_text()
HOST = "127.0.0.1"
MARKS = ["install", "look", "change", "rotate", "stop", "toml", "balancers", "server", "load", "kernel"]
SOCKETS = ["linereactor.socket", "linereactor-local.socket"]

# Sends its arguments to the manager of the test, prints the answer, and ends with 0 if that is "ok".
SYSTEMCTL = """\
import os, shlex, socket, sys
with socket.socket(socket.AF_UNIX) as sock:
    sock.connect(os.environ["MANAGER"])
    sock.sendall(shlex.join(sys.argv[1:]).encode() + b"\\n")
    answer = sock.makefile().read()
print(answer, file=sys.stderr)
sys.exit(answer != "ok")
"""

# Puts the descriptors of its first arguments where systemd has them, and becomes the rest.
ACTIVATE = """\
import os, sys
numbers = [int(sys.argv.pop(1)) for _ in range(2)]
for place, number in enumerate(numbers, 3):
    os.dup2(number, place)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[1], sys.argv[1:])
"""


def block(mark: str) -> str:
    (text,) = re.findall(r"```\w+\n(.*?)```", between(PAGE, f"production-{mark}"), re.DOTALL)
    return str(text)


def until(condition: Callable[[], object]) -> None:
    """Wait for other processes."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)  # of a look at another process, not of a length that matters


class Manager:
    """Does for the units of a folder what systemd would: opens their sockets, starts the service, and sends signals."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.units = folder / "etc" / "systemd" / "system"
        self.path = folder / "manager"
        self.log = folder / "log"
        self.orders: list[str] = []
        self.sockets: dict[str, socket.socket] = {}
        self.notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notified.bind(str(folder / "notify"))
        self.notified.settimeout(DEADLINE)
        self.process: subprocess.Popen[bytes] | None = None

    def unit(self, name: str) -> Unit:
        return Unit((self.units / name).read_text())

    def order(self, *arguments: str) -> None:
        """Do what `systemctl` with these arguments would."""
        self.orders.append(arguments[0])
        match arguments:
            case ["daemon-reload"]:
                pass
            case ["enable", "--now", *names]:
                assert sorted(names) == sorted([*SOCKETS, "linereactor.service"])
                for name in SOCKETS:
                    self.listen(name)
                self.start()
            case ["start", "linereactor.service"]:
                self.start()
            case ["reload", "linereactor"]:
                for command in self.unit("linereactor.service").all("ExecReload"):
                    self.run(command)
                self.wait("READY=1")
            case ["kill", "--kill-whom=main", "--signal=USR1", "linereactor.service"]:
                assert self.process is not None
                self.process.send_signal(signal.SIGUSR1)
            case ["stop", "linereactor.service", *names]:
                self.stop()
                for name in names:
                    self.sockets.pop(name).close()
            case _:
                raise AssertionError(f"systemctl {arguments}")

    def listen(self, name: str) -> None:
        unit = self.unit(name)
        where = unit.one("ListenStream")
        assert unit.one("Service") == "linereactor.service"
        isPath = where.startswith("/")
        sock = self.sockets[name] = socket.socket(socket.AF_UNIX if isPath else socket.AF_INET)
        sock.bind(where if isPath else (HOST, int(where.partition(":")[2])))
        sock.listen(int(unit.one("Backlog")))

    def run(self, command: str) -> None:
        assert self.process is not None
        subprocess.run(shlex.split(command.replace("$MAINPID", str(self.process.pid))), timeout=DEADLINE, check=True)

    def start(self) -> None:
        """Check as ExecStartPre does, start with the sockets, and wait for READY=1."""
        unit = self.unit("linereactor.service")
        subprocess.run(shlex.split(unit.one("ExecStartPre")), timeout=DEADLINE, check=True, stdout=subprocess.DEVNULL)
        with ExitStack() as stack:
            numbers = []
            for name in SOCKETS:  # above the numbers of systemd, which they are copied to
                numbers.append(fcntl.fcntl(self.sockets[name].fileno(), fcntl.F_DUPFD, 50))
                stack.callback(os.close, numbers[-1])
            names = ":".join(self.unit(name).one("FileDescriptorName") for name in SOCKETS)
            with open(self.log, "ab") as log:
                self.process = subprocess.Popen(
                    [sys.executable, "-c", ACTIVATE, *map(str, numbers), *shlex.split(unit.one("ExecStart"))],
                    env={
                        **os.environ,
                        "LISTEN_FDS": "2",
                        "LISTEN_FDNAMES": names,
                        "NOTIFY_SOCKET": self.notified.getsockname(),
                    },
                    pass_fds=numbers,
                    stderr=log,
                )
        self.wait("READY=1")

    def wait(self, state: str) -> None:
        while state not in self.notified.recv(4096).decode().split("\n"):
            pass

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        assert self.process.wait(DEADLINE) == 0, self.log.read_text()

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for sock in (*self.sockets.values(), self.notified):
            sock.close()


class Orders(socketserver.StreamRequestHandler):
    """One call of `systemctl`."""

    manager: Manager

    def handle(self) -> None:
        try:
            self.manager.order(*shlex.split(self.rfile.readline().decode()))
        except (AssertionError, OSError, subprocess.SubprocessError) as error:
            self.wfile.write(repr(error).encode())
        else:
            self.wfile.write(b"ok")


class Machine:
    """A folder in place of the root of a machine, with a checkout, and programs of its own."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.lines, self.admin, *others = freePorts(6)
        names = ("7000", "7070", "7001", "8080", "7002", "7003")
        self.ports = dict(zip(names, (self.lines, self.admin, *others), strict=True))
        for name in ("bin", "docs/deploy", "etc/systemd/system", "etc/logrotate.d", "opt/linereactor/bin", "run"):
            (folder / name).mkdir(parents=True)
        for name in ("run/linereactor", "var/lib/linereactor", "var/log/nginx"):
            (folder / name).mkdir(parents=True)
        self.program("bin/systemctl", f"exec {sys.executable} -c {shlex.quote(SYSTEMCTL)}")
        self.program("bin/logrotate", f"exec {shutil.which('logrotate')} --state {folder}/rotated")
        for name in ("bin/linereactor", "opt/linereactor/bin/linereactor"):
            self.program(name, f"exec {sys.executable} -m reactor")
        for name, text in FILES.items():
            (folder / "docs" / "deploy" / name).write_text(self.placed(text))

    def program(self, name: str, command: str) -> None:
        path = self.folder / name
        path.write_text(f'#!/bin/sh\n{command} "$@"\n')
        path.chmod(0o755)

    def placed(self, text: str) -> str:
        """Return the text with paths of the folder, and ports that are free."""
        text = re.sub(r"(?<![\w/.])/(etc|opt|run|var)/", rf"{self.folder}/\1/", text)
        text = re.sub(r"\b(?:70[07]\d|8080)\b", lambda found: str(self.ports.get(found[0], found[0])), text)
        text = text.replace("    su linereactor linereactor\n", "").replace("modules/ngx_stream_module.so", STREAM)
        return text.replace("user www-data;", "" if os.geteuid() else "user root;")

    def sh(self, mark: str, **environment: str) -> str:
        """Run a block of the page; return what it has printed."""
        done = subprocess.run(
            ["sh", "-e", "-x", "-c", self.placed(block(mark))],
            cwd=self.folder,
            env={**os.environ, "PATH": f"{self.folder}/bin:{os.environ['PATH']}", **environment},
            capture_output=True,
            text=True,
            timeout=2 * DEADLINE,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def statusOf(port: int) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://{HOST}:{port}/status.json", timeout=DEADLINE) as answer:
        status: dict[str, Any] = json.load(answer)
        return status


def isReady(port: int) -> bool:
    """Whether the admin pages have heard of the workers, which takes them a second."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/readyz", timeout=DEADLINE):
            return True
    except OSError:
        return False


@pytest.fixture
def machine(tmp_path: pathlib.Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def manager(machine: Machine) -> Iterator[Manager]:
    manager = Manager(machine.folder)
    handler = type("ItsOrders", (Orders,), {"manager": manager})
    with socketserver.UnixStreamServer(str(manager.path), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield manager
        finally:
            server.shutdown()
            thread.join()
            manager.close()


def test_everyBlockIsRun() -> None:
    assert re.findall(r"<!-- production-(\w+) -->", PAGE) == [*MARKS[:5], "toml", "balancers", "figures", *MARKS[7:]]
    assert len(re.findall(r"^```\w+$", PAGE, re.MULTILINE)) == len(MARKS)


@pytest.mark.timeout(4 * DEADLINE)
@pytest.mark.needs("curl", "logrotate", "netcat-openbsd", "ss", "systemd-analyze")
def test_aLifeOfTheServer(machine: Machine, manager: Manager) -> None:
    """It is installed, looked at, changed, rotated, stopped, started and stopped for good."""
    home = {"MANAGER": str(manager.path)}
    assert "lines: collect on systemd:domain=INET:name=lines" in machine.sh("install", **home)
    assert manager.orders == ["daemon-reload", "enable"]
    until(lambda: isReady(machine.admin))
    said = machine.sh("look", **home)
    for text in ("ready\n", '\nlinereactor_workers{state="ready"} ', f":{machine.lines} "):
        assert text in said
    kept = machine.folder / "var/lib/linereactor/local.txt"
    until(lambda: kept.read_text() == "hello\n")
    until(lambda: isReady(machine.admin))
    said = machine.sh("change", **home)
    assert manager.orders[-1] == "reload"
    assert re.search(r'^"reloads": [01]$', said, re.MULTILINE)
    until(lambda: statusOf(machine.admin)["reloads"] == 1)
    machine.sh("rotate", **home)
    assert manager.orders[-1] == "kill"
    rotated = [path for path in kept.parent.iterdir() if path.name.startswith("local.txt-")]
    assert len(rotated) == 1
    with closing(socket.socket(socket.AF_UNIX)) as client:
        client.connect(str(machine.folder / "run/linereactor/lines"))
        client.sendall(b"after\n")
        until(lambda: kept.exists() and kept.read_text() == "after\n")
    assert "after" not in rotated[0].read_text()
    machine.sh("stop", **home)
    assert manager.orders[-3:] == ["stop", "start", "stop"]
    assert manager.sockets == {}


@pytest.mark.needs("haproxy", "nginx", STREAM)
def test_theBalancers(machine: Machine) -> None:
    machine.sh("balancers")


@pytest.mark.timeout(3 * DEADLINE)
def test_theLoad(machine: Machine) -> None:
    """At a tenth of the rate and the time; the server is the page's."""
    (name, *arguments) = machine.placed(block("server")).split()
    assert name == "linereactor"
    command = [sys.executable, "-m", "reactor", *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as server:
        try:
            connected(server, machine.lines).close()
            text = machine.placed(block("load"))
            (_name, *arguments) = text.replace("20000", "2000").replace("--duration 10", "--duration 1").split()
            assert "2000" in arguments
            assert arguments[-2:] == ["--duration", "1"]
            said = subprocess.run(
                [sys.executable, "-m", "reactor", *arguments],
                capture_output=True,
                text=True,
                timeout=DEADLINE,
                check=True,
            )
            assert "p99" in said.stdout
        finally:
            server.terminate()
            server.communicate(timeout=DEADLINE)
    assert server.returncode == 0


def test_theConfiguration(machine: Machine) -> None:
    """`check` takes it, and each limit has its reason."""
    text = machine.placed(block("toml"))
    (machine.folder / "etc" / "linereactor.pem").write_text(pathlib.Path(certificatePath()).read_text())
    path = machine.folder / "lines.toml"
    path.write_text(text)
    said = subprocess.run(
        [sys.executable, "-m", "reactor", "check", "--config", str(path)],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    assert "devices: collect on tcp:" in said.stdout
    assert "syslog: collect on tcp:" in said.stdout
    for line in text.splitlines():
        if re.match(r"(?:max-|line-|idle-|keepalive|user-|allow)", line):
            assert re.search(r" # \w", line), line


def test_theKeysOfTheCheckList() -> None:
    """Options of the prose exist, and so do metrics and keys of the unit."""
    options = set(tomllib.loads(block("toml"))["listen"][0]) | {"grace", "log-file", "proxy", "proxy-before-tls"}
    options |= {"rotate-size", "rotate-every", "user", "group", "admin", "workers", "slow-callback", "watchdog"}
    command = PAGES["docs/command.md"]
    for name in options - {"name", "endpoint", "app"}:
        assert f"| `--{name}`" in command, name
    known = {metric.sampleName for metric in METRICS}
    assert set(re.findall(r"`(linereactor_\w+)`", PAGE)) <= known
    for key in ("LimitNOFILE", "TimeoutStopSec", "KillMode"):
        assert f"\n{key}=" in FILES["linereactor.service"]


def test_theSettingsOfTheKernel() -> None:
    for line in block("kernel").splitlines()[1:]:
        name, _, value = line.partition(" = ")
        assert pathlib.Path("/proc/sys", *name.split(".")).exists(), name
        assert value.split()[0].isdigit()


def test_theFiguresAreThoseOfBench() -> None:
    rows = re.findall(
        r"^\| (?!for|-)([^|]+) \| ([^|]+) \| ([^|]+) \|$", between(PAGE, "production-figures"), re.MULTILINE
    )
    assert len(rows) == 4
    assert "| memory of an idle connection, idle deadlines on |  | <= 1 KiB | 0.83 KiB |" in BENCH
    assert "About 15 of 22 µs are the\n  kernel's" in BENCH
    assert "| 50 connections, 100 deep | redis-server | <= 0.9x | 0.625 |" in BENCH
    assert "| LineReceiver, 32-byte lines, CRLF | Twisted | >= 12x | 25.1 |" in BENCH
    for row, figures in zip(rows, (["0.83"], ["22", "15"], ["0.625"], ["25.1"]), strict=True):
        assert re.findall(r"\d+(?:\.\d+)?(?= KiB| µs| of the CPU| times| of them)", " ".join(row[1:])) == figures


def test_thePagesLeadToEachOther() -> None:
    assert "(docs/production.md)" in PAGES["README.md"]
    for name in ("command", "service", "services", "admin", "collect", "proxyprotocol"):
        assert f"]({name}.md)" in PAGE, name
        assert "](production.md)" in PAGES[f"docs/{name}.md"], name


def test_referenceNamesAll() -> None:
    table = between(PAGES["docs/reference.md"], "service-names")
    assert sorted(re.findall(r"`(\w+)`", table)) == sorted(reactor.service.__all__)
