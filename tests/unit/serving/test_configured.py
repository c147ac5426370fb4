"""Servers with a configuration: real processes, with several places to listen, workers, loops and reloads."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pathlib
import select
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import pytest

from tests.support.tlsworlds import HOST, TRUST, certificatePath

DEADLINE = 60.0
OWN = '''\
import json

import reactor
from reactor import LineReceiver


class Teller(LineReceiver):
    """Answers each line with what it was given, and the client's address."""

    delimiter = b"\\n"

    def __init__(self, text="nothing", number=0):
        super().__init__()
        self.text = f"{text} {number}"

    def lineReceived(self, line):
        kind = type(self.transport.reactor).__name__
        loop = type(getattr(self.transport.reactor, "eventloop", None)).__module__.partition(".")[0]
        told = {"line": line.decode(), "text": self.text, "peer": self.transport.getPeer().host}
        self.sendLine(json.dumps({**told, "reactor": kind, "loop": loop, "max": self.MAX_LENGTH}).encode())


def makeFactory(text):
    return reactor.Factory.forProtocol(lambda: Teller(text))


def handler(request, greeting="none"):
    return greeting.encode()
'''


def freePorts(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in found:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in found]


class Server:
    """A running `serve` in a directory with the module `own`, and its log in the file `log`."""

    def __init__(
        self,
        directory: pathlib.Path,
        *arguments: str,
        environ: Mapping[str, str] | None = None,
        before: str = "",
        module: str = OWN,
    ) -> None:
        """`before` is Python code that the process runs first; then it becomes the command."""
        self.directory = directory
        command = ["-m", "reactor", "serve"]
        if before:
            become = "os.execv(sys.executable, [sys.executable, '-m', 'reactor', 'serve', *sys.argv[1:]])"
            command = ["-c", f"{before}; {become}"]
        (directory / "own.py").write_text(module)
        self._log = open(directory / "log", "wb")  # noqa: SIM115  closed by end()
        self.process = subprocess.Popen(
            [sys.executable, *command, *arguments],
            stderr=self._log,
            cwd=directory,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **(environ or {})},
        )

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text()

    def until(self, condition: Callable[[], Any]) -> Any:
        """Return the condition's first true value. AssertionError if the process ends before, or it takes too long."""
        end = time.monotonic() + DEADLINE
        while not (found := condition()):
            assert self.process.poll() is None, self.log
            assert time.monotonic() < end, self.log
            time.sleep(0.02)  # a pace; the condition decides
        return found

    def says(self, text: str) -> None:
        """Wait until the log has `text`."""
        self.until(lambda: text in self.log)

    def connect(self, port: int) -> socket.socket:
        """Connect as soon as the port is open."""

        def dialled() -> socket.socket | None:
            try:
                return socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
            except ConnectionRefusedError:
                return None

        connection: socket.socket = self.until(dialled)
        return connection

    def ask(self, port: int, line: bytes, before: bytes = b"") -> dict[str, Any]:
        """Return the answer of a Teller."""
        with self.connect(port) as client, client.makefile("rb") as file:
            client.sendall(before + line + b"\n")
            answer: dict[str, Any] = json.loads(file.readline())
            return answer

    def get(self, port: int, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
        with contextlib.closing(connection):
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()

    def children(self) -> set[int]:
        path = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        return set(map(int, pathlib.Path(path).read_text().split()))

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE)


ServerType = TypeVar("ServerType", bound=Server)


@contextlib.contextmanager
def serving(
    directory: pathlib.Path, *arguments: str, environ: Mapping[str, str] | None = None, before: str = ""
) -> Iterator[Server]:
    """Run `serve`. At the end it gets SIGTERM, and must exit with 0."""
    with ending(Server(directory, *arguments, environ=environ, before=before)) as server:
        yield server


@contextlib.contextmanager
def ending(server: ServerType) -> Iterator[ServerType]:
    """At the end `server` gets SIGTERM, and must exit with 0."""
    try:
        yield server
        assert server.end() == 0, server.log
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()
        server._log.close()


def write(directory: pathlib.Path, text: str) -> str:
    path = directory / "lines.toml"
    path.write_text(text)
    return str(path)


def test_severalApplicationsInOneServer(tmp_path: pathlib.Path) -> None:
    """Each place has its application, arguments and limits; the environment wins over the file."""
    echo, own, web, secure, proxied, admin = freePorts(6)
    config = write(
        tmp_path,
        f"""
        admin = "127.0.0.1:{admin}"
        line-deadline = 20
        [[listen]]
        endpoint = ["tcp:{echo}", "unix:{tmp_path}/socket"]
        overlong = "skip"
        max-line = 100
        [[listen]]
        endpoint = "tcp:{own}"
        app = "own:Teller"
        arguments = {{ text = "given", number = 7 }}
        max-connections = 1
        refusal = "full"
        [[listen]]
        endpoint = "tcp:{web}"
        http = "own:handler"
        arguments = {{ greeting = "welcome" }}
        [[listen]]
        endpoint = "tcp:{secure}"
        app = "own:makeFactory"
        arguments = {{ text = "secret" }}
        cert = "{certificatePath()}"
        tls-minimum = "1.3"
        [[listen]]
        endpoint = "tcp:{proxied}"
        app = "own:Teller"
        name = "proxied"
        proxy = ["127.0.0.0/8"]
        """,
    )
    with serving(tmp_path, "--config", config, environ={"LINEREACTOR_MAX_LINE": "90"}) as server:
        server.says("try: ")
        answer = server.ask(own, b"hello")
        assert (answer["line"], answer["text"], answer["max"]) == ("hello", "given 7", 90)
        with server.connect(own), server.connect(own) as second:
            assert second.recv(100) == b"full\r\n"
        with server.connect(echo) as client, client.makefile("rb") as file:
            client.sendall(b"x" * 95 + b"\nshort\n")
            assert file.readline() == b"short\n"
        with socket.socket(socket.AF_UNIX) as local:
            local.connect(str(tmp_path / "socket"))
            local.sendall(b"hi\n")
            assert local.recv(100) == b"hi\n"
        assert server.get(web, "/") == (200, b"welcome")
        context = ssl.create_default_context(cadata=TRUST.decode())
        with context.wrap_socket(server.connect(secure), server_hostname=HOST) as client:
            client.sendall(b"a\n")
            assert b'"text": "secret 0"' in client.recv(1000)
            assert client.version() == "TLSv1.3"
        header = b"PROXY TCP4 192.0.2.1 127.0.0.1 1000 7000\r\n"
        assert server.ask(proxied, b"x", header)["peer"] == "192.0.2.1"
        assert server.get(admin, "/readyz") == (200, b"ready\n")
        totals = json.loads(server.get(admin, "/status.json")[1])["totals"]
        assert set(totals) == {"echo", "own:Teller", "own:handler", "own:makeFactory", "proxied"}
        assert totals["own:Teller"]["refused"] == {"max-connections": 1}


def test_oneProcessHearsSignals(tmp_path: pathlib.Path) -> None:
    """HUP is no reload there, and no end; USR1 has the log and the output of collect opened anew."""
    (port,) = freePorts(1)
    arguments = ["collect", "--output", "lines", "--port", str(port), "--log-file", "messages"]
    with serving(tmp_path, *arguments) as server:
        server.says("try: ")
        for name in ("lines", "messages"):
            (tmp_path / name).rename(tmp_path / f"{name}.1")
        server.process.send_signal(signal.SIGUSR1)
        server.until(lambda: (tmp_path / "lines").exists() and (tmp_path / "messages").exists())
        server.process.send_signal(signal.SIGHUP)
        server.until(lambda: "--workers 1" in (tmp_path / "messages").read_text())
        with server.connect(port) as client:
            client.sendall(b"one\n")
    assert (tmp_path / "lines").read_bytes() == b"one\n"


def test_nohup(tmp_path: pathlib.Path) -> None:
    """A HUP that was ignored at the start stays ignored."""
    (port,) = freePorts(1)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        server = Server(tmp_path, "--port", str(port))
    finally:
        signal.signal(signal.SIGHUP, before)
    try:
        server.says("try: ")
        status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
        (ignored,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigIgn"))
        assert int(ignored, 16) & 1 << (signal.SIGHUP - 1)
        assert server.end() == 0
    finally:
        if server.process.poll() is None:
            server.process.kill()
        server._log.close()


def test_workersReloadTheConfiguration(tmp_path: pathlib.Path) -> None:
    """HUP brings a changed file, places that are new in it, and fresh code. A mistake leaves all as it was."""
    first, second, admin = freePorts(3)
    text = f"workers = 2\nadmin = '127.0.0.1:{admin}'\n[[listen]]\nendpoint = 'tcp:{first}'\napp = 'own:makeFactory'\n"
    config = write(tmp_path, f"{text}arguments = {{ text = 'old' }}\n")
    with serving(tmp_path, "--config", config) as server:
        server.says("try: ")
        assert server.ask(first, b"x")["text"] == "old 0"
        server.until(lambda: server.get(admin, "/readyz")[0] == 200)
        before = server.children()
        write(tmp_path, f"{text}arguments = {{ text = 'new' }}\nmax-lien = 1\n")
        server.process.send_signal(signal.SIGHUP)
        server.says("listen[0].max-lien (line 7): no such key; the nearest is max-line")
        assert "Traceback" not in server.log
        write(tmp_path, f"{text}arguments = {{ txt = 'new' }}\n")
        server.process.send_signal(signal.SIGHUP)
        server.says("own:makeFactory failed: TypeError")
        assert server.ask(first, b"x")["text"] == "old 0"
        more = f"[[listen]]\nendpoint = 'tcp:{second}'\nmax-line = 5\n"
        write(tmp_path, f"{text}arguments = {{ text = 'new' }}\n{more}")
        server.process.send_signal(signal.SIGHUP)
        server.until(lambda: server.ask(first, b"x")["text"] == "new 0")
        with server.connect(second) as client:
            client.sendall(b"hi\n")
            assert client.recv(10) == b"hi\n"
        server.until(lambda: server.children().isdisjoint(before) and len(server.children()) == 3)
        status: dict[str, Any] = {}

        def isTold() -> bool:  # the supervisor tells the new admin process each second
            status.update(json.loads(server.get(admin, "/status.json")[1]))
            return status["configuration"] is not None and status["reloads"] > 0

        server.until(isTold)
        assert (status["reloads"], status["reloadFailures"], status["configuration"]) == (1, 2, config)


def test_codeThatCannotBeImportedUnderLoad(tmp_path: pathlib.Path) -> None:
    """HUP leaves the workers as they are, and the log tells the reason, while clients ask without a pause."""
    (port,) = freePorts(1)
    config = write(
        tmp_path, f"workers = 2\n[[listen]]\nendpoint = 'tcp:{port}'\napp = 'own:makeFactory'\narguments.text = 'old'\n"
    )
    broken = [
        ("import nothing_of_that_name\n", "cannot import own: ModuleNotFoundError"),
        ("def\n", "SyntaxError"),
        ("makeFacory = None\n", "own has no 'makeFactory'"),
        ("raise SystemExit(3)\n", "exit code"),
    ]
    over = threading.Event()
    texts: set[str] = set()
    faults: list[BaseException] = []
    answers = [0] * 3

    def load(number: int) -> None:
        while not over.is_set():
            try:
                texts.add(server.ask(port, b"x")["text"])
                answers[number] += 1
            except BaseException as error:
                faults.append(error)

    with serving(tmp_path, "--config", config) as server:
        server.says("try: ")
        server.process.send_signal(signal.SIGHUP)
        server.says("reloaded: 2 workers ready")  # so no worker reads the code from now on
        clients = [threading.Thread(target=load, args=(number,)) for number in range(len(answers))]
        for client in clients:
            client.start()
        try:
            for count, (code, reason) in enumerate(broken, 1):
                before = list(answers)
                (tmp_path / "own.py").write_text(code)
                server.process.send_signal(signal.SIGHUP)
                text = "the reload has failed, the old workers stay: "
                server.until(lambda count=count, text=text: server.log.count(text) == count)  # type: ignore[misc]
                assert reason in server.log.rpartition(text)[2], server.log
                server.until(lambda before=before: all(now > was for now, was in zip(answers, before, strict=True)))  # type: ignore[misc]
            assert texts == {"old 0"}
            (tmp_path / "own.py").write_text(OWN.replace("{text}", "new"))
            server.process.send_signal(signal.SIGHUP)
            server.until(lambda: "new 0" in texts)
        finally:
            over.set()
            for client in clients:
                client.join()
    assert faults == []
    assert "Traceback" not in server.log


def test_changesAreTold(tmp_path: pathlib.Path) -> None:
    """One record each, whatever the log's level is by default: for TTIN, TTOU and HUP, also one behind the other."""
    port, admin = freePorts(2)
    more, fewer = "worker 1 of generation 0 is ready, one more: 2 workers\n", "worker 1 leaves, one fewer: 1 worker\n"
    with serving(tmp_path, "--workers", "1", "--port", str(port), "--admin", f"127.0.0.1:{admin}") as server:
        server.says("try: ")
        for number in (signal.SIGTTIN, signal.SIGTTOU):  # before the first worker is ready
            server.process.send_signal(number)
        server.says(fewer)
        early = server.log.count(more)  # the second worker may have been ready before the first
        server.process.send_signal(signal.SIGTTIN)
        server.until(lambda: server.log.count(more) == early + 1)
        server.process.send_signal(signal.SIGTTOU)
        server.until(lambda: server.log.count(fewer) == 2)
        server.process.send_signal(signal.SIGHUP)
        server.says("reloaded: 1 worker ready, the old ones drain\n")
        server.until(lambda: server.get(admin, "/readyz")[0] == 200)
    records = server.log.splitlines()[2:]
    assert len(records) == 4 + early, server.log
    assert early <= 1
    assert all(" INFO reactor.service.changes: " in each for each in records)


def test_ownConnectionsAreNoNews(tmp_path: pathlib.Path) -> None:
    """At the level "info", the log tells of the application, and not of the links between the server's processes."""
    port, admin = freePorts(2)
    more = ("--log-level", "info", "--log-format", "json")
    with serving(tmp_path, "--workers", "2", "--port", str(port), "--admin", f"127.0.0.1:{admin}", *more) as server:
        server.says("2 workers ready")
        server.until(lambda: server.get(admin, "/readyz")[0] == 200)
        children = server.children()
    records = [json.loads(line) for line in server.log.splitlines()]
    assert not [each for each in records if "AdminFactory" in each["message"] or "UNIXAddress" in each["message"]]
    told = [each for each in records if each["message"].startswith("Starting factory ")]
    assert sorted(each["worker"] for each in told) == [0, 1]
    assert {each["pid"] for each in told} < children
    (ready,) = (each for each in records if each["message"] == "2 workers ready")
    assert "worker" not in ready
    assert "pid" not in ready


def test_USR1ReachesEveryProcess(tmp_path: pathlib.Path) -> None:
    """The supervisor, the workers and the admin process write to the new log."""
    port, admin = freePorts(2)
    arguments = ["--workers", "1", "--port", str(port), "--admin", f"127.0.0.1:{admin}", "--log-file", "messages"]
    with serving(tmp_path, *arguments) as server:
        server.says("try: ")
        server.connect(admin).close()
        server.until(lambda: server.get(admin, "/readyz")[0] == 200)
        (tmp_path / "messages").rename(tmp_path / "old")
        server.process.send_signal(signal.SIGUSR1)

        def hasOld(pid: int) -> bool:
            descriptors = pathlib.Path(f"/proc/{pid}/fd")
            return any(os.readlink(each) == str(tmp_path / "old") for each in descriptors.iterdir())

        processes = [server.process.pid, *server.children()]
        assert len(processes) == 3
        server.until(lambda: not any(map(hasOld, processes)))


@pytest.mark.parametrize("loop", ["epoll", "asyncio", "uvloop"])
def test_loops(loop: str, tmp_path: pathlib.Path) -> None:
    (port,) = freePorts(1)
    with serving(tmp_path, "own:Teller", "--loop", loop, "--port", str(port)) as server:
        answer = server.ask(port, b"x")
        assert (answer["reactor"], answer["loop"]) == {
            "epoll": ("EpollReactor", "builtins"),
            "asyncio": ("AsyncioReactor", "asyncio"),
            "uvloop": ("AsyncioReactor", "uvloop"),
        }[loop]


def test_anApplicationMayInstallItsOwnReactor(tmp_path: pathlib.Path) -> None:
    """When it is imported, before any reactor is needed."""
    (port,) = freePorts(1)
    text = "import reactor\nreactor.install(reactor.AsyncioReactor())\nfrom own import Teller\n"
    (tmp_path / "installs.py").write_text(text)
    with serving(tmp_path, "installs:Teller", "--port", str(port)) as server:
        assert server.ask(port, b"x")["reactor"] == "AsyncioReactor"


def test_servicesBesideAPlace(tmp_path: pathlib.Path) -> None:
    """An application of services runs in the same process; its end is part of the drain."""
    first, second = freePorts(2)
    (tmp_path / "own.tac").write_text(
        "import own, reactor\n"
        "from reactor.service import Application, Service, TCPServer\n"
        "class Last(Service):\n"
        "    def stopService(self):\n"
        "        super().stopService()\n"
        "        open('stopped', 'w').close()\n"
        "application = Application('own')\n"
        f"TCPServer({second}, own.makeFactory('service'), interface='127.0.0.1').setServiceParent(application)\n"
        "Last().setServiceParent(application)\n"
    )
    config = write(
        tmp_path, f"[[listen]]\nendpoint = 'tcp:{first}'\napp = 'own:Teller'\n[[listen]]\nservice = 'own.tac'\n"
    )
    with serving(tmp_path, "--config", config) as server:
        assert server.ask(first, b"x")["text"] == "nothing 0"
        assert server.ask(second, b"x")["text"] == "service 0"
    assert (tmp_path / "stopped").exists()


def test_reloadOnChange(tmp_path: pathlib.Path) -> None:
    """--reload: a changed module is served soon, by a new worker."""
    (port,) = freePorts(1)
    with serving(tmp_path, "own:Teller", "--reload", "--port", str(port)) as server:
        assert server.ask(port, b"x")["text"] == "nothing 0"
        (tmp_path / "own.py").write_text(OWN.replace('text="nothing"', 'text="changed"'))
        server.until(lambda: server.ask(port, b"x")["text"] == "changed 0")
        assert "a reload, as these files have changed: own.py" in server.log


@pytest.mark.parametrize("workers", [(), ("--workers", "2")])
def test_socketsOfSystemd(workers: tuple[str, ...], tmp_path: pathlib.Path) -> None:
    """A socket that was opened by a manager is served, in one process and by workers."""
    (port,) = freePorts(1)
    before = (
        "import os, socket, sys; "
        f"opened = socket.create_server(('127.0.0.1', {port})); "
        "os.dup2(opened.fileno(), 3); os.set_inheritable(3, True); "
        "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES='lines')"
    )
    listen = ("--listen", "systemd:domain=INET:name=lines")
    with serving(tmp_path, "own:Teller", *listen, *workers, before=before) as server:
        server.says(f"127.0.0.1:{port}")
        assert server.ask(port, b"x")["line"] == "x"


@pytest.mark.parametrize("workers", [(), ("--workers", "1")])
def test_sendersThatHeedTheEndLoseNothing(workers: tuple[str, ...], tmp_path: pathlib.Path) -> None:
    """A server that only collects ends its half when its end begins. A sender that stops then has lost no line."""
    (port,) = freePorts(1)
    with serving(tmp_path, "collect", "--output", "lines", "--port", str(port), *workers) as server:
        server.says("try: ")
        with server.connect(port) as client:
            server.until((tmp_path / "lines").exists)  # a worker that has not begun yet has not let the client in
            count = 0
            while not select.select([client], [], [], 0.002)[0]:
                client.sendall(b"%d\n" % count)
                count += 1
                if count == 50:
                    server.process.send_signal(signal.SIGTERM)
                assert count < DEADLINE * 500
            assert client.recv(1) == b""
        assert server.process.wait(DEADLINE) == 0
    assert count >= 50
    assert (tmp_path / "lines").read_bytes().split() == [b"%d" % number for number in range(count)]


@pytest.mark.parametrize("workers", [(), ("--workers", "2")])
def test_datagramsAndAFreeAdminPort(workers: tuple[str, ...], tmp_path: pathlib.Path) -> None:
    """Workers share a path for datagrams. The log has the free port of the pages, and their status each address."""
    path, pages = tmp_path / "log.sock", "admin pages on 127.0.0.1:"
    listen = ("--listen", f"unixgram:{path}", "--listen", "udp:0")
    arguments = ("collect", "--output", "lines", *listen, "--admin", "127.0.0.1:0")
    with serving(tmp_path, *arguments, *workers) as server:
        server.says("line core: ")
        admin, port = (
            int(server.log.partition(text)[2].split()[0]) for text in (pages, f"collect on {path} and 127.0.0.1:")
        )
        server.until(lambda: isListening(admin) and server.get(admin, "/readyz")[0] == 200)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            for number in range(20):
                sender.sendto(b"%d" % number, str(path))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"udp", ("127.0.0.1", port))

        def isCounted() -> bool:
            status = json.loads(server.get(admin, "/status.json")[1])
            addresses = {tuple(each["listeners"]["collect"]["addresses"]) for each in status["workers"]}
            assert addresses == {(f"unixgram {path}", f"udp 127.0.0.1:{port}")}
            return bool(status["application"]["collect"]["datagrams"] == 21)

        server.until(isCounted)
    assert not path.exists()
    lines = (tmp_path / "lines").read_bytes().split()
    assert sorted(lines) == sorted([b"udp", *(b"%d" % number for number in range(20))])


def isListening(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.timing
def test_aNewWorkerIsQuick(tmp_path: pathlib.Path) -> None:
    """From kill -9 to the first answer of the next worker: half a second at most, with compiled Python files."""
    (port,) = freePorts(1)
    environ = {"PYTHONPYCACHEPREFIX": str(tmp_path / "compiled"), "PYTHONDONTWRITEBYTECODE": ""}
    with serving(tmp_path, "--workers", "1", "--port", str(port), environ=environ) as server:
        server.says("try: ")
        taken = []
        for _ in range(2):  # FIRST_DELAY counts for the second
            with server.connect(port) as client:
                client.sendall(b"x\n")
                assert client.recv(10) == b"x\n"
            (pid,) = server.children()
            os.kill(pid, signal.SIGKILL)
            begun = time.monotonic()
            with server.connect(port) as client:
                client.sendall(b"x\n")
                assert client.recv(10) == b"x\n"
            taken.append(time.monotonic() - begun)
        assert min(taken) <= 0.5, taken


def test_handMadeVariables(tmp_path: pathlib.Path) -> None:
    """Variables that a supervisor or systemd sets, in disorder: a line that names them, and the code 2."""
    with socket.socket() as deaf, open(os.devnull) as file, contextlib.ExitStack() as stack:
        ours, theirs = map(stack.enter_context, socket.socketpair())
        control, descriptors = str(theirs.fileno()), [theirs.fileno(), deaf.fileno(), file.fileno()]
        listening = f"echo:0={deaf.fileno()}"
        cases: list[tuple[dict[str, str], str]] = [
            ({"LINEREACTOR_CONTROL": "x"}, "LINEREACTOR_CONTROL is a whole number from 0, and not 'x'"),
            ({"LINEREACTOR_CONTROL": "999"}, "LINEREACTOR_CONTROL is descriptor 999: Bad file descriptor"),
            ({"LINEREACTOR_CONTROL": str(file.fileno())}, "which is no socket"),
            ({"LINEREACTOR_CONTROL": control, "LINEREACTOR_SOCKETS": "x"}, "LINEREACTOR_SOCKETS has the form"),
            ({"LINEREACTOR_CONTROL": control, "LINEREACTOR_WORKER": "x"}, "LINEREACTOR_WORKER is a whole number"),
            (
                {"LINEREACTOR_CONTROL": control, "LINEREACTOR_SOCKETS": listening},
                "for echo:0 is not a listening socket",
            ),
            ({"LISTEN_FDS": "many", "LISTEN_PID": "me"}, "0 sockets were passed to this process"),
            ({"LISTEN_FDS": "1", "LISTEN_PID": "me"}, "cannot listen: "),
        ]
        begin = "import os, sys; e = os.environ; e.get('LISTEN_PID') and e.update(LISTEN_PID=str(os.getpid())); "
        become = "os.execv(sys.executable, [sys.executable, '-m', 'reactor', 'serve', *sys.argv[1:]])"
        started = []
        for variables, _told in cases:
            arguments = ["--listen", "systemd:domain=INET:index=0"] if "LISTEN_FDS" in variables else ["--port", "0"]
            started.append(
                subprocess.Popen(
                    [sys.executable, "-c", begin + become, *arguments],
                    env={**os.environ, **variables},
                    cwd=tmp_path,
                    pass_fds=descriptors,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
        for (_variables, told), process in zip(cases, started, strict=True):
            with process:
                _out, err = process.communicate(timeout=DEADLINE)
            assert told in err
            assert (process.returncode, err.count("\n")) == (2, 1), err
        ours.close()
