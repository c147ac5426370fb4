"""The files of docs/deploy: the programs that read them take them, and their comments tell the truth."""

from __future__ import annotations

import configparser
import contextlib
import http.client
import http.server
import json
import os
import pathlib
import re
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from contextlib import closing

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "docs" / "deploy"
FILES = {path.name: path.read_text() for path in sorted(DEPLOY.iterdir())}
STREAM = "/usr/lib/nginx/modules/ngx_stream_module.so"
DEADLINE = 30.0
HOST = "127.0.0.1"


def run(*command: str) -> str:
    """Run a program, which must end well; return all that it has printed."""
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=DEADLINE, check=False
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def freePorts(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(socket.create_server((HOST, 0))) for _ in range(count)]
        return [sock.getsockname()[1] for sock in socks]


# systemd


class Unit(configparser.RawConfigParser):
    """A unit's file: a key may stand several times, and then has a line for each."""

    def __init__(self, text: str) -> None:
        super().__init__(strict=False, interpolation=None, delimiters=("=",), comment_prefixes=("#",))
        self.optionxform = str  # type: ignore[assignment, method-assign]
        self.lines = [line.partition("=") for line in text.splitlines() if re.match(r"\w+=", line)]

    def all(self, key: str) -> list[str]:
        return [value for name, _, value in self.lines if name == key]

    def one(self, key: str) -> str:
        (value,) = self.all(key)
        return value


SERVICE = Unit(FILES["linereactor.service"])
SOCKETS = [Unit(FILES[name]) for name in ("linereactor.socket", "linereactor-local.socket")]
SETTINGS = tomllib.loads(FILES["linereactor.toml"])


@pytest.fixture
def units(tmp_path: pathlib.Path) -> list[str]:
    """The paths of the units, with the command of this tree in the place of the installed one."""
    paths = []
    for name in FILES:
        if name.endswith((".service", ".socket")):
            path = tmp_path / name
            path.write_text(FILES[name].replace("/opt/linereactor/bin/linereactor", sys.executable))
            paths.append(str(path))
    return paths


@pytest.mark.needs("systemd-analyze")
def test_systemdTakesTheUnits(units: list[str]) -> None:
    assert run("systemd-analyze", "verify", "--man=no", *units) == ""


@pytest.mark.needs("systemd-analyze")
def test_theServiceIsHardened(units: list[str]) -> None:
    """2.0 of 10 at most, where a service without these lines has 9.6."""
    (path,) = (path for path in units if path.endswith(".service"))
    report = run("systemd-analyze", "security", "--offline=true", "--threshold=20", path)
    assert "CapabilityBoundingSet=~CAP_SYS_ADMIN" in report


def test_theUnitsFitTheConfiguration() -> None:
    """The sockets have the names that the endpoints ask for, and the deadlines leave time for the drain."""
    names = {re.search(r"name=(\w+)$", each["endpoint"])[1] for each in SETTINGS["listen"]}  # type: ignore[index]
    assert {unit.one("FileDescriptorName") for unit in SOCKETS} == names == {"lines", "local"}
    assert SERVICE.one("Sockets") == SERVICE.one("Requires") == "linereactor.socket linereactor-local.socket"
    assert float(SERVICE.one("TimeoutStopSec")) > SETTINGS["grace"] + 5
    assert float(SERVICE.one("WatchdogSec")) > SETTINGS["watchdog"]
    assert (SERVICE.one("Type"), SERVICE.one("KillMode")) == ("notify", "mixed")
    assert SERVICE.all("ExecReload")[-1] == "/bin/kill -HUP $MAINPID"
    assert all("--config /etc/linereactor.toml" in line for line in SERVICE.all("ExecStart"))
    written = SERVICE.one("StateDirectory")
    assert all(each["output"].startswith(f"/var/lib/{written}/") for each in SETTINGS["listen"])
    assert SOCKETS[1].one("ListenStream").startswith(f"/run/{SERVICE.one('RuntimeDirectory')}/")


def test_eachHardeningHasAReason() -> None:
    """A comment stands above each group of them."""
    text = FILES["linereactor.service"].partition("CapabilityBoundingSet=")[2].partition("[Install]")[0]
    groups = re.split(r"^#.*\n", text, flags=re.MULTILINE)
    assert max(group.count("\n") for group in groups) <= 7
    assert len(groups) >= 7


def test_theCommandTakesTheConfiguration(tmp_path: pathlib.Path) -> None:
    (tmp_path / "linereactor.toml").write_text(FILES["linereactor.toml"].replace("/var/lib/linereactor", str(tmp_path)))
    said = run(sys.executable, "-m", "reactor", "check", "--config", str(tmp_path / "linereactor.toml"))
    assert "lines: collect on systemd:domain=INET:name=lines" in said


def allowedCalls() -> set[str]:
    """Return the system calls that the filter of the service lets through."""
    groups: dict[str, list[str]] = {}
    for line in run("systemd-analyze", "--no-pager", "syscall-filter").splitlines():
        if line.startswith("@"):
            groups[line.strip()] = current = []
        elif line.strip() and not line.strip().startswith("#") and groups:
            current.append(line.strip())

    def members(name: str) -> set[str]:
        return {call for each in groups[name] for call in (members(each) if each.startswith("@") else {each})}

    allowed: set[str] = set()
    for name in SERVICE.all("SystemCallFilter"):
        allowed = allowed - members(name[1:]) if name.startswith("~") else allowed | members(name)
    return allowed


@pytest.mark.needs("strace", "systemd-analyze")
def test_theServiceMakesNoForbiddenCall(tmp_path: pathlib.Path) -> None:
    """A supervisor and a worker start, serve a client, and end, while their calls are noted."""
    (port,) = freePorts(1)
    text = FILES["linereactor.toml"].replace("/var/lib/linereactor", str(tmp_path))
    text = text.replace("systemd:domain=INET:name=lines", f"tcp:{port}:interface={HOST}")
    text = text.replace("systemd:domain=UNIX:name=local", f"unix:{tmp_path}/socket")
    text = re.sub(r"^(?:proxy|admin) = .*\n", "", text, flags=re.MULTILINE)
    (tmp_path / "linereactor.toml").write_text(text)
    trace = tmp_path / "trace"
    command = [sys.executable, "-m", "reactor", "serve", "--config", str(tmp_path / "linereactor.toml"), "--workers=1"]
    with subprocess.Popen(
        ["strace", "-D", "-f", "-q", "-o", str(trace), *command], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert "collect on" in process.stderr.readline()
        with closing(dial(port)) as client:
            client.sendall(b"a line\n")
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""
        process.terminate()
        process.communicate(timeout=DEADLINE)
        assert process.returncode == 0
    end = time.monotonic() + DEADLINE
    while f"{process.pid} +++ exited" not in " ".join(trace.read_text().split()):
        assert time.monotonic() < end
    made = set(re.findall(r"^\d+ +(\w+)\(", trace.read_text(), re.MULTILINE))
    assert {"accept4", "recvfrom", "epoll_wait", "write"} <= made
    assert made - allowedCalls() == set()
    assert (tmp_path / "lines.txt").read_text() == "a line\n"


# The image

INSTRUCTIONS = frozenset(
    {
        *("ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "RUN", "SHELL"),
        *("STOPSIGNAL", "USER", "VOLUME", "WORKDIR"),
    }
)


def instructions() -> list[tuple[str, str]]:
    lines = [line for line in FILES["Containerfile"].splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found = [line.partition(" ") for line in joined.splitlines() if line]
    return [(name, rest) for name, _, rest in found]


def test_theImage() -> None:
    """Known instructions in two stages; the second has no compiler's stage in it, and no root."""
    found = instructions()
    assert [name for name, _ in found if name not in INSTRUCTIONS] == []
    stages = [rest for name, rest in found if name == "FROM"]
    assert [stage.partition(" AS ")[2] for stage in stages] == ["build", ""]
    last = found[[name for name, _ in found].index("FROM", 1) :]
    given = dict(last)
    assert given["COPY"] == "--from=build /opt/linereactor /opt/linereactor"
    assert given["USER"] == "10001:10001"
    assert json.loads(given["ENTRYPOINT"]) == ["/opt/linereactor/bin/linereactor"]
    assert json.loads(given["CMD"]) == ["serve", "--config", "/etc/linereactor.toml"]
    assert getattr(signal, given["STOPSIGNAL"]) == signal.SIGTERM
    assert [name for name, _ in last].index("USER") > [name for name, _ in last].index("RUN")
    assert given["EXPOSE"].split() == ["7000", SETTINGS["admin"].partition(":")[2]]


@pytest.mark.parametrize(("code", "isWell"), [(200, True), (503, False), (None, False)])
def test_theImagesHealth(code: int | None, isWell: bool) -> None:
    """Its check succeeds if the admin port says so, and fails if it does not, or is closed."""
    given = dict(instructions())["HEALTHCHECK"]
    command = json.loads(given[given.index("[") :])
    (port,) = freePorts(1)
    with contextlib.nullcontext() if code is None else admin(port, [code]):
        text = command[-1].replace("7070", str(port))
        done = subprocess.run([sys.executable, "-c", text], capture_output=True, timeout=DEADLINE, check=False)
    assert (done.returncode == 0) == isWell


# Balancers


@contextlib.contextmanager
def admin(port: int, code: list[int]) -> Iterator[list[str]]:
    """An admin port, which answers each request with code[0]; the paths that were asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(code[0])
            self.end_headers()
            if self.path == "/":
                self.wfile.write(b"the page")

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer((HOST, port), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def program(*command: str) -> Iterator[None]:
    """Run a program until the end of the block."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield
        finally:
            process.terminate()
            process.communicate(timeout=DEADLINE)


def dial(port: int) -> socket.socket:
    end = time.monotonic() + DEADLINE
    while True:
        try:
            return socket.create_connection((HOST, port), DEADLINE)
        except ConnectionRefusedError:
            assert time.monotonic() < end


def served(listener: socket.socket, front: int) -> tuple[bytes, tuple[str, int]] | None:
    """Connect to the balancer and say hello.

    Return the bytes that the server behind it has read, and the address of the client. None if the client was closed.
    """
    with closing(dial(front)) as client:
        address = client.getsockname()
        try:
            client.sendall(b"hello\n")
            listener.settimeout(DEADLINE if select(listener, client) else 0)
            peer, _ = listener.accept()
        except (BlockingIOError, ConnectionError):
            return None
        with closing(peer):
            peer.settimeout(DEADLINE)
            data = b""
            while not data.endswith(b"hello\n"):
                data += peer.recv(4096)
            return data, address


def select(listener: socket.socket, client: socket.socket) -> bool:
    """Wait for one of the two; whether it is the listener."""
    with selectors.DefaultSelector() as selector:
        for sock in (listener, client):
            selector.register(sock, selectors.EVENT_READ)
        return any(key.fileobj is listener for key, _ in selector.select(DEADLINE))


@pytest.mark.needs("haproxy")
def test_haproxyTakesItsFile() -> None:
    run("haproxy", "-c", "-f", str(DEPLOY / "haproxy.cfg"))


@pytest.mark.needs("haproxy")
def test_haproxy(tmp_path: pathlib.Path) -> None:
    """The server reads the client's address in version 2 of the PROXY protocol. One that drains gets no client."""
    front, adminPort = freePorts(2)
    with socket.create_server((HOST, 0)) as listener:
        text = FILES["haproxy.cfg"]
        for old, new in (
            ("bind :7001\n", f"bind {HOST}:{front}\n"),
            ("port 7070", f"port {adminPort}"),
            (f"{HOST}:7000", f"{HOST}:{listener.getsockname()[1]}"),
            ("inter 1s", "inter 20ms"),
            ("maxconn 20000", "maxconn 100"),  # a test may have fewer descriptors
        ):
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "haproxy.cfg"
        path.write_text(text)
        code = [200]
        with admin(adminPort, code) as asked, program("haproxy", "-db", "-f", str(path)):
            found = served(listener, front)
            assert found is not None
            data, (host, port) = found
            assert data[:12] == b"\r\n\r\n\0\r\nQUIT\n"
            assert data[12:14] == b"\x21\x11"
            assert data[16:20] + data[24:26] == socket.inet_aton(host) + port.to_bytes(2, "big")
            code[0] = 503
            end = time.monotonic() + DEADLINE
            while served(listener, front) is not None:
                assert time.monotonic() < end
            code[0] = 200
            while served(listener, front) is None:
                assert time.monotonic() < end
        assert set(asked) == {"/readyz"}


@pytest.mark.needs("nginx", STREAM)
def test_nginx(tmp_path: pathlib.Path) -> None:
    """nginx takes its file, tells the server the client's address, and shows the admin page."""
    front, web, adminPort = freePorts(3)
    with socket.create_server((HOST, 0)) as listener:
        text = FILES["nginx.conf"]
        for old, new in (
            ("modules/ngx_stream_module.so", STREAM),
            ("user www-data;", "" if os.geteuid() else "user root;"),
            ("listen 7001;", f"listen {HOST}:{front};"),
            ("listen 8080;", f"listen {HOST}:{web};"),
            (f"http://{HOST}:7070", f"http://{HOST}:{adminPort}"),
            (f"{HOST}:7000", f"{HOST}:{listener.getsockname()[1]}"),
            ("/run/nginx.pid", f"{tmp_path}/pid"),
            ("/var/log/nginx", str(tmp_path)),
        ):
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "nginx.conf"
        path.write_text(text)
        run("nginx", "-t", "-q", "-c", str(path))
        with admin(adminPort, [200]), program("nginx", "-g", "daemon off;", "-c", str(path)):
            found = served(listener, front)
            assert found is not None
            data, (host, port) = found
            assert re.fullmatch(rb"PROXY TCP4 %b 127\.0\.0\.1 %d \d+\r\nhello\n" % (host.encode(), port), data)
            with closing(http.client.HTTPConnection(HOST, web, timeout=DEADLINE)) as client:
                client.request("GET", "/")
                assert client.getresponse().read() == b"the page"
    assert "proxy_set_header Host" not in text  # a name, which the pages of a loopback address answer with 421


# Rotation


@pytest.mark.needs("logrotate")
def test_logrotate(tmp_path: pathlib.Path) -> None:
    """The file is moved, the signal sent once behind it, and what was moved before is compressed."""
    text = FILES["logrotate.conf"]
    for old, new in (
        ("/var/lib/linereactor/", f"{tmp_path}/"),
        ("    su linereactor linereactor\n", ""),
        (
            "systemctl kill --kill-whom=main --signal=USR1 linereactor.service",
            f"ls {tmp_path}/*.txt >> {tmp_path}/signals 2>&1; echo USR1 >> {tmp_path}/signals",
        ),
    ):
        assert old in text
        text = text.replace(old, new)
    path, state = tmp_path / "conf", tmp_path / "state"
    path.write_text(text)
    path.chmod(0o644)
    tmp_path.chmod(0o755)
    for number in (1, 2):
        for name in ("lines", "local"):
            (tmp_path / f"{name}.txt").write_text(f"{number}\n")
        run("logrotate", "--debug", "--state", str(state), str(path))
        run("logrotate", "--force", "--state", str(state), str(path))
        # The names have seconds in them. The clock of time(2) is some milliseconds behind ours.
        begun = int(time.time())
        while number == 1 and time.time() < begun + 1.1:
            time.sleep(0.01)
    told = (tmp_path / "signals").read_text()
    assert told.count("USR1") == 2
    assert told.count("No such file") == 2  # at the signal the old names are free
    kept = sorted(each.name for each in tmp_path.iterdir() if each.name.startswith("lines"))
    assert len(kept) == 2
    assert [each.endswith(".gz") for each in kept] == [True, False]
