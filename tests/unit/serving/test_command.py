"""The command as its users meet it: a process, real clients, signals, and what it prints when something is wrong."""

from __future__ import annotations

import contextlib
import itertools
import os
import pathlib
import re
import select
import signal
import socket
import ssl
import subprocess
import sys
import sysconfig
import time
import tty
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import IO

import pytest

from reactor.linecore import IMPLEMENTATION
from reactor.service.endsignals import SAME_REQUEST
from tests.support.tlsworlds import HOST, TRUST, certificatePath
from tests.support.worlds import LOOPBACK

DEADLINE = 30.0
COMMAND = [sys.executable, "-m", "reactor"]
LINES = 50_000
CLIENTS = 8


def run(*arguments: str, cwd: pathlib.Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=DEADLINE, check=False, cwd=cwd
    )


class Served:
    """A running `serve`, and what it said when it began."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        stderr: IO[bytes] | None = process.stderr
        assert stderr is not None
        self.said = stderr.readline().decode()
        self.hint = stderr.readline().decode()
        self.addresses = [(host, int(port)) for host, port in re.findall(r" \[?([\w.:]+?)\]?:(\d+)(?= )", self.said)]
        self.log = b""
        self.code: int | None = None

    @property
    def address(self) -> tuple[str, int]:
        return self.addresses[0]

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=DEADLINE)

    def stop(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for the end; then `log` has the rest of standard error."""
        _out, self.log = self.process.communicate(timeout=DEADLINE)
        self.code = self.process.returncode
        return self.code


@contextlib.contextmanager
def serving(*arguments: str, cwd: pathlib.Path | None = None, stdout: IO[bytes] | None = None) -> Iterator[Served]:
    """Run `serve` on a free port. At the end it is stopped, if it was not yet, and must exit with 0 and say nothing."""
    port = [] if "--listen" in arguments or "--port" in arguments else ["--port", "0"]
    process = subprocess.Popen(
        [*COMMAND, "serve", *arguments, *port], stdout=stdout or subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=cwd
    )
    with process:
        served = Served(process)
        try:
            yield served
            if served.code is None:
                served.stop()
                assert served.wait() == 0
                assert served.log == b""
        finally:
            if process.poll() is None:
                process.kill()


def readAll(client: socket.socket) -> bytes:
    """Read until the end; a reset raises."""
    parts = []
    while part := client.recv(1 << 20):
        parts.append(part)
    return b"".join(parts)


def isListening(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=DEADLINE).close()
    except ConnectionError:
        return False
    return True


def readLine(client: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        got = client.recv(1)
        assert got, line
        line += got
    return line


# Errors are one line. (tests/unit/serving/test_serving.py has the rest of them.)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "the following arguments are required"),
        (
            ("serve", "nothing"),
            2,
            "no application 'nothing': it is one of echo, chat, collect, files, or package.module:name",
        ),
        (("load", "here"), 2, "must be HOST:PORT or [IPv6]:PORT, not 'here'"),
    ],
)
def test_anErrorIsOneLine(arguments: tuple[str, ...], code: int, message: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1)
    assert done.stderr.startswith("python -m reactor")
    assert message in done.stderr


def test_portInUse() -> None:
    with serving() as served:
        host, port = served.address
        done = run("serve", "--port", str(port))
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"python -m reactor serve: cannot listen on {host}:{port}: Address already in use\n"


def test_helpAndVersion() -> None:
    assert re.fullmatch(
        rf"linereactor \d\S*, line core {IMPLEMENTATION}, Python 3\.\d+\.\d+\n", run("--version").stdout
    )
    assert "package.module:name" in run("serve", "--help").stdout


def test_theScriptIsTheSameCommand() -> None:
    """Both names lead to one function; only the name in messages differs."""
    code = "import sys; sys.argv[0] = 'linereactor'; from reactor.__main__ import main; sys.exit(main(['serve', 'x']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("linereactor serve: no application 'x'")


# Descriptors 0 to 2 that are closed at the start.


def closing(numbers: str) -> Callable[[], None]:
    def close() -> None:
        for number in numbers:
            os.close(int(number))

    return close


@pytest.mark.parametrize("numbers", ["0", "1", "2", "01", "02", "12", "012"])
def test_standardDescriptorsThatAreClosed(numbers: str, tmp_path: pathlib.Path) -> None:
    """All three are filled; nothing of ours gets such a number, and nothing is said where lines go."""
    path, output = tmp_path / "socket", tmp_path / "lines"
    command = [*COMMAND, "serve", "collect", "--output", str(output), "--listen", f"unix:{path}"]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=closing(numbers),
    ) as process:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(DEADLINE)
            connectWhenThere(client, path)
            for number in numbers:
                assert os.readlink(f"/proc/{process.pid}/fd/{number}") == os.devnull
            client.sendall(b"one\ntwo")
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""
        process.terminate()
        out, said = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0
    assert output.read_bytes() == b"one\ntwo\n"
    assert out == b""
    assert said.count(b"\n") == 2 * ("2" not in numbers)


def connectWhenThere(client: socket.socket, path: pathlib.Path) -> None:
    end = time.monotonic() + DEADLINE
    while True:
        try:
            client.connect(str(path))
            return
        except OSError:
            assert time.monotonic() < end
            select.select([], [], [], 0.01)


REFUSED = [
    ("1", ("collect", "--output", "-"), "standard output"),
    ("01", ("collect", "--output", "-"), "standard output"),
    ("1", ("collect", "--output", "/dev/stdout"), "standard output"),
    ("1", ("collect", "--output", "/dev/fd/1"), "standard output"),
    ("1", ("collect", "--output", "/proc/self/fd/1"), "standard output"),
    ("0", ("collect", "--output", "/dev/stdin"), "standard input"),
    ("0", ("echo", "--listen", "stdio:"), "standard input"),
    ("1", ("echo", "--listen", "stdio:"), "standard output"),
    ("01", ("echo", "--listen", "stdio:"), "standard input"),
]


@pytest.mark.parametrize(("numbers", "arguments", "name"), REFUSED)
def test_whatCannotBeMeant(numbers: str, arguments: tuple[str, ...], name: str) -> None:
    """A user who asks for a descriptor that is closed does not mean /dev/null."""
    done = subprocess.run(
        [*COMMAND, "serve", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=closing(numbers),
        timeout=DEADLINE,
    )
    assert done.stderr.decode() == f"python -m reactor serve: cannot open {name}: Bad file descriptor\n"
    assert done.returncode == 1


def test_thePeerOnStandardInputHearsOnlyAnswers() -> None:
    """Nothing that is meant for standard error, which is closed; /dev/stdout that is open is what it was."""
    done = subprocess.run(
        [*COMMAND, "serve", "--listen", "stdio:"],
        input=b"hi\n",
        stdout=subprocess.PIPE,
        preexec_fn=closing("2"),
        timeout=DEADLINE,
    )
    assert (done.stdout, done.returncode) == (b"hi\n", 0)


# Where one message ends in the file.

MESSAGES = [b"failed\nTraceback:\n  line", b"user=eve\nuser=root", b"plain"]


@pytest.mark.parametrize(
    ("delimiter", "end", "options", "kept", "content"),
    [
        ("nul", b"\0", [], b"\0", MESSAGES),
        ("1e", b"\x1e", [], b"\x1e", MESSAGES),
        ("crlf", b"\r\n", [], b"\n", [message.replace(b"\n", b"#012") for message in MESSAGES]),
        ("nul", b"\0", ["--output-delimiter", "lf"], b"\n", [message.replace(b"\n", b"#012") for message in MESSAGES]),
        ("crlf", b"\r\n", ["--output-delimiter", "same"], b"\r\n", MESSAGES),
        ("crlf", b"\r\n", ["--output-delimiter", "nul"], b"\0", MESSAGES),
    ],
)
@pytest.mark.parametrize("output", ["file", "-"])
def test_messagesKeepTheirBounds(
    delimiter: str,
    end: bytes,
    options: list[str],
    kept: bytes,
    content: list[bytes],
    output: str,
    tmp_path: pathlib.Path,
) -> None:
    """As many in the output as were sent, whatever they hold, the last one without its end too."""
    path = tmp_path / "lines"
    with open(path, "wb") as file:
        name = "-" if output == "-" else str(path)
        with serving("collect", "--output", name, "--delimiter", delimiter, *options, stdout=file) as served:
            for _ in range(2):
                with served.connect() as client:
                    client.sendall(end.join(MESSAGES))
                    client.shutdown(socket.SHUT_WR)
                    assert client.recv(1) == b""
    assert path.read_bytes() == b"".join(message + kept for message in content) * 2


# Outputs that stall.


LONG_LINES = b"".join(b"%0999d\n" % number for number in range(3000))


def endOf(process: subprocess.Popen[bytes], *signals: int) -> int:
    for number in signals:
        process.send_signal(number)
    return process.wait(DEADLINE)


@contextlib.contextmanager
def stalled(kind: str, path: pathlib.Path) -> Iterator[tuple[Served, int]]:
    """A collector whose output nobody reads, and the other end of it."""
    if kind == "fifo":
        os.mkfifo(path)
        read = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        write = os.open(os.devnull, os.O_WRONLY)
        output = str(path)
    elif kind == "socket":
        read, write = (each.detach() for each in socket.socketpair())
        output = "-"
    elif kind == "terminal":
        read, write = os.openpty()
        tty.setraw(write)
        output = "-"
    else:
        read, write = os.pipe()
        output = "-"
    process = subprocess.Popen(
        [*COMMAND, "serve", "collect", "--output", output, "--port", "0"], stdout=write, stderr=subprocess.PIPE
    )
    os.close(write)
    with process:
        try:
            yield Served(process), read
        finally:
            process.kill()
            os.close(read)


KINDS = ["stdout", "fifo", "socket", "terminal"]


@pytest.mark.parametrize("kind", KINDS)
def test_aStalledOutput(kind: str, tmp_path: pathlib.Path) -> None:
    """Its senders wait, and nobody else; when it is read again every line is there, once, and the end is in order."""
    with stalled(kind, tmp_path / "fifo") as (served, read), served.connect() as sender:
        assert fill(sender, LONG_LINES * 10) < len(LONG_LINES) * 10, "what is not taken is the sender's"
        with served.connect() as other:
            other.sendall(b"another\n")
        sender.setblocking(True)
        with ThreadPoolExecutor(1) as pool:
            found = bytearray()

            def drain() -> None:
                while not (found.endswith(b"last\n") or b"\nlast\n" in found) or b"another\n" not in found:
                    assert select.select([read], [], [], DEADLINE)[0]
                    found.extend(os.read(read, 1 << 16))

            reading = pool.submit(drain)
            sender.sendall(b"\nlast\n")
            reading.result(DEADLINE)
        assert endOf(served.process, signal.SIGTERM) == 0
        lines = bytes(found).split(b"\n")
        assert {line for line in lines if len(line) == 999} <= set(LONG_LINES.split(b"\n"))
        assert sum(len(line) not in (999, 0, 4, 7) for line in lines) <= 1  # the one that fill() has cut


def test_aStopLosesNothingThatIsSentMeanwhile(tmp_path: pathlib.Path) -> None:
    """Senders that watch nothing, over TCP, a UNIX socket and TLS, go on while the command stops.

    Each loses one line at most: the one that was on its way when it was refused. The log counts those senders.
    """
    path, output = tmp_path / "socket", tmp_path / "lines"
    tls = f"ssl:0:privateKey={certificatePath()}:interface={LOOPBACK}"
    listen = ["--listen", f"tcp:0:interface={LOOPBACK}", "--listen", tls, "--listen", f"unix:{path}"]
    begun = [0] * 6
    context = ssl.create_default_context(cadata=TRUST.decode())

    def connect(number: int) -> socket.socket:
        if number % 3 == 2:
            local = socket.socket(socket.AF_UNIX)
            local.connect(str(path))
            return local
        plain = socket.create_connection(served.addresses[number % 3], timeout=DEADLINE)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what its kernel holds back is not ours to take
        return context.wrap_socket(plain, server_hostname=HOST) if number % 3 else plain

    def send(number: int) -> None:
        with contextlib.suppress(OSError), connect(number) as client:
            for each in itertools.count():
                client.sendall(b"%d %d\n" % (number, each))
                begun[number] = each + 1
                time.sleep(0.002)  # a pace; nothing is waited for

    with serving("collect", "--output", str(output), *listen) as served, ThreadPoolExecutor(6) as pool:
        sending = [pool.submit(send, number) for number in range(6)]
        end = time.monotonic() + DEADLINE
        while min(begun) < 20:
            assert time.monotonic() < end
            time.sleep(0.01)
        served.stop()
        assert served.wait() == 0
        for each in sending:
            each.result(DEADLINE)
    kept = output.read_bytes().splitlines()
    for number in range(6):
        lines = [line for line in kept if line.startswith(b"%d " % number)]
        assert lines == [b"%d %d" % (number, each) for each in range(len(lines))]
        assert begun[number] - len(lines) in (0, 1)
    assert re.search(rb" [1-6] connections still sent when they were closed", served.log)


@pytest.mark.parametrize("signals", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM)])
@pytest.mark.parametrize("kind", KINDS)
def test_signalsEndAStalledCommand(kind: str, signals: tuple[int, int], tmp_path: pathlib.Path) -> None:
    """A second one at once. Data that was read and is lost is counted, and the exit code tells."""
    with stalled(kind, tmp_path / "fifo") as (served, _read), served.connect() as sender:
        fill(sender, LONG_LINES)
        served.stop(signals[0])
        assert served.process.stderr is not None
        assert select.select([served.process.stderr], [], [], 2 * SAME_REQUEST)[0] == []
        served.stop(signals[1])
        assert served.wait() == 1
        said = re.search(
            r"serve: (1 line|\d+ lines), (\d+) bytes: lost, as nobody took them from ", served.log.decode()
        )
        assert said, served.log


@pytest.mark.timing
def test_oneSignalEndsAStalledCommandInTime(tmp_path: pathlib.Path) -> None:
    """After the deadline of connections, which is 5 seconds."""
    with stalled("fifo", tmp_path / "fifo") as (served, _read), served.connect() as sender:
        fill(sender, LONG_LINES)
        begun = time.monotonic()
        served.stop()
        assert served.wait() == 1
        assert 4 < time.monotonic() - begun < 15


def test_aStalledStandardError() -> None:
    """Full before the command begins: it serves, and ends; what it says comes when somebody reads."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(write, b"x" * 4096)
    os.set_blocking(write, True)
    with socket.create_server((LOOPBACK, 0)) as sock:
        port = sock.getsockname()[1]
    command = [*COMMAND, "serve", "--port", str(port), "--log-level", "info", "--max-line", "10"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=write) as process:
        os.close(write)
        try:
            end = time.monotonic() + DEADLINE
            while not isListening((LOOPBACK, port)):
                assert time.monotonic() < end
            for _ in range(200):
                with socket.create_connection((LOOPBACK, port), DEADLINE) as client:
                    client.sendall(b"line\nfar too long a line\n")
                    client.shutdown(socket.SHUT_WR)
                    assert client.recv(100) == b"line\n"
            os.set_blocking(read, False)
            found = b""
            while b"WARNING" not in found:
                assert select.select([read], [], [], DEADLINE)[0]
                found += os.read(read, 1 << 16)
            assert b"echo on " in found
            assert endOf(process, signal.SIGTERM) == 0
        finally:
            process.kill()
            os.close(read)


def test_aStandardErrorThatNobodyReadsAtTheEnd() -> None:
    """Neither the end of a server nor what goes wrong at its start waits for it for long."""
    for arguments in (["--port", "0"], ["--listen", "unix:/no/such/directory/socket"]):
        read, write = os.pipe()
        os.set_blocking(write, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(write, b"x" * 4096)
        os.set_blocking(write, True)
        with subprocess.Popen([*COMMAND, "serve", *arguments], stdout=subprocess.PIPE, stderr=write) as process:
            os.close(write)
            if arguments[0] == "--port":
                awaitListener(process.pid)
                assert endOf(process, signal.SIGTERM, signal.SIGTERM, signal.SIGINT) in (0, -signal.SIGTERM)
            else:
                assert process.wait(DEADLINE) == 1
        os.close(read)


def awaitListener(pid: int) -> None:
    """Wait until the process has an epoll, and handles SIGTERM."""
    end = time.monotonic() + DEADLINE
    while True:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        caught = int(re.search(r"SigCgt:\s*(\w+)", status)[1], 16)  # type: ignore[index]
        if caught >> (signal.SIGTERM - 1) & 1:
            return
        assert time.monotonic() < end
        select.select([], [], [], 0.01)


# Serving.


@pytest.mark.needs("netcat-openbsd")
def test_printfToNc() -> None:
    """As the README shows it, by the very words that the server prints."""
    with serving() as served:
        host, port = served.address
        assert served.said == re.sub(r":\d+ ", f":{port} ", served.said)
        assert re.fullmatch(rf"linereactor \S+: echo on {host}:{port} \(line core: {IMPLEMENTATION}\)\n", served.said)
        assert served.hint == rf"try:  printf 'hello\r\n' | nc -q1 {host} {port}" + "\n"
        shown = served.hint.removeprefix("try:  ").strip()
        done = subprocess.run(["sh", "-c", shown], capture_output=True, timeout=DEADLINE, check=False)
        assert done.stdout == b"hello\r\n"
        done = subprocess.run(["nc", "-N", host, str(port)], input=b"a\nb\n", capture_output=True, timeout=DEADLINE)
        assert (done.returncode, done.stdout) == (0, b"a\nb\n")


def test_onlyLoopbackListens() -> None:
    endpoints = ["--listen", "tcp:0", "--listen", "tcp6:0", "--listen", "tcp:0:interface="]
    with serving(*endpoints) as served:
        assert [host for host, _port in served.addresses] == ["127.0.0.1", "::1", "127.0.0.1"]
    with serving(*endpoints[:2], "--port", "0", "--host", "localhost") as served:
        assert [host for host, _port in served.addresses] == ["127.0.0.1", "127.0.0.1"]
    with serving("--listen", "tcp:0:interface=0.0.0.0") as served:
        assert [host for host, _port in served.addresses] == ["0.0.0.0"]
        assert "nc -q1 127.0.0.1 " in served.hint


@pytest.mark.needs("netcat-openbsd")
def test_listenOnAUnixSocket(tmp_path: pathlib.Path) -> None:
    """The hint works; the idle are closed, and what is owed is sent at the end, as over TCP."""
    path = tmp_path / "lines"
    with serving("--listen", f"unix:{path}", "--idle-timeout", "0.5") as served:
        assert f": echo on {path} (line core" in served.said
        shown = served.hint.removeprefix("try:  ").strip()
        done = subprocess.run(["sh", "-c", shown], capture_output=True, timeout=DEADLINE, check=False)
        assert done.stdout == b"hello\r\n"
        with socket.socket(socket.AF_UNIX) as idle, socket.socket(socket.AF_UNIX) as busy:
            for client in (idle, busy):
                client.settimeout(DEADLINE)
                client.connect(str(path))
            assert idle.recv(1) == b""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(DEADLINE)
            client.connect(str(path))
            client.sendall(b"last\n")
            assert client.recv(100) == b"last\n"
            served.stop()
            assert client.recv(1) == b""
        assert served.wait() == 0
        assert not path.exists()
    refused = run("serve", "--listen", f"unix:{tmp_path}/none/lines")
    assert refused.stderr.endswith(f"cannot listen on {tmp_path}/none/lines: No such file or directory\n")


def test_listenWithTLS() -> None:
    """The hint is for openssl; the idle are closed, and the end is in order: a close_notify, no reset."""
    context = ssl.create_default_context(cadata=TRUST.decode())
    with serving("--listen", f"ssl:0:privateKey={certificatePath()}", "--idle-timeout", "0.5") as served:
        host, port = served.address
        assert host == LOOPBACK
        assert served.hint == rf"try:  printf 'hello\r\n' | openssl s_client -quiet -connect {host}:{port}" + "\n"

        def connected() -> ssl.SSLSocket:
            return context.wrap_socket(
                socket.create_connection(served.address, DEADLINE), server_hostname=HOST, suppress_ragged_eofs=False
            )

        with connected() as idle:
            assert idle.recv(1) == b""
        with connected() as client:
            client.sendall(b"last\n")
            assert client.recv(100) == b"last\n"
            served.stop()
            assert client.recv(1) == b""
        assert served.wait() == 0
    done = run("serve", "--listen", "ssl:0:privateKey=/nowhere.pem")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--listen: No such file or directory" in done.stderr


def fill(client: socket.socket, data: bytes) -> int:
    """Send of `data` as much as the server takes without being read from; return how much that is."""
    sent = 0
    while sent < len(data) and select.select([], [client], [], 0.3)[1]:
        sent += client.send(data[sent : sent + 100_000])
    return sent


def test_anAnswerLargerThanAllBuffers() -> None:
    """A client that reads late is waited for: it gets everything, also what it is owed when it has ended its half."""
    data = b"".join(b"%099d\n" % number for number in range(300_000))
    with serving() as served, served.connect() as client:
        sent = fill(client, data)
        assert 100_000 < sent < len(data)
        half = data[: data.rindex(b"\n", 0, sent + 100) + 1]
        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(readAll, client)
            client.sendall(half[sent:])
            client.shutdown(socket.SHUT_WR)
            assert reading.result(DEADLINE) == half


def test_anOverlongLineCloses() -> None:
    with serving("--max-line", "3") as served:
        with served.connect() as client:
            client.sendall(b"abc\nabcd\n")
            assert readAll(client) == b"abc\n"
        served.stop()
        assert served.wait() == 0
        assert b"sent a line of more than 3 bytes, connection closed" in served.log


@pytest.mark.parametrize("app", ["echo", "collect"])
def test_linesThatAreSkippedAreCounted(app: str, tmp_path: pathlib.Path) -> None:
    """One record when the first one is skipped, and one with their number when the connection ends."""
    output = ("--output", str(tmp_path / "lines")) if app == "collect" else ()
    with serving(app, *output, "--max-line", "3", "--overlong", "skip") as served:
        with served.connect() as client:
            client.sendall(b"abcd\nok\n" * 500)
            client.shutdown(socket.SHUT_WR)
            assert readAll(client) == (b"ok\n" * 500 if app == "echo" else b"")
        served.stop()
        assert served.wait() == 0
        said = [line for line in served.log.decode().splitlines() if "skipped" in line]
        assert len(said) == 2
        assert said[0].endswith("sent a line of more than 3 bytes, skipped")
        assert said[1].endswith("lines that were too long, and skipped: 500")


OWN = """
from reactor import LineReceiver

class Shout(LineReceiver):
    def lineReceived(self, line):
        self.sendLine(line.upper())
"""


def test_anApplicationOfOnesOwn(tmp_path: pathlib.Path) -> None:
    """Its own delimiter stands, unless the command says otherwise."""
    (tmp_path / "own.py").write_text(OWN)
    with serving("own:Shout", cwd=tmp_path) as served, served.connect() as client:
        client.sendall(b"a\nb\r\n")
        assert readLine(client) + readLine(client) == b"A\nB\r\n"
    with serving("own:Shout", "--delimiter", "newline", cwd=tmp_path) as served, served.connect() as client:
        client.sendall(b"a\nb\r\n")
        assert readLine(client) + readLine(client) == b"A\nB\n"


# Stopping.


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_whatWasSentBeforeTheSignalIsAnswered(number: int) -> None:
    """Twenty clients have sent their lines and read nothing. Each gets every answer, and an end that is no reset."""
    with serving() as served, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(served.connect()) for _ in range(20)]
        for number_, client in enumerate(clients):
            client.sendall(b"".join(b"%d %d\r\n" % (number_, line) for line in range(2000)))
        served.stop(number)
        for number_, client in enumerate(clients):
            assert readAll(client) == b"".join(b"%d %d\r\n" % (number_, line) for line in range(2000))
        assert served.wait() == 0
        assert served.log == b""


def test_aClientThatNeverStopsIsCutAtAWholeLine() -> None:
    """It sends as fast as it can, before, during and after the signal. Its answers are a beginning of what it sent."""
    with serving() as served, served.connect() as client:
        chunks = (b"".join(b"%d\n" % line for line in range(first, first + 1000)) for first in itertools.count(0, 1000))
        client.setblocking(False)
        got, sent, chunk = bytearray(), bytearray(), b""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            chunk = chunk or next(chunks)
            with contextlib.suppress(BlockingIOError):
                count = client.send(chunk)
                sent += chunk[:count]
                chunk = chunk[count:]
            with contextlib.suppress(BlockingIOError):
                part = client.recv(1 << 20)
                if not part:
                    break
                if not got:
                    served.stop()
                got += part
        assert served.wait() == 0
        assert got.endswith(b"\n")
        assert sent.startswith(got)


@pytest.mark.timing
def test_idleClientsDoNotHoldItUp() -> None:
    """Far less than the deadline: nothing is owed to them."""
    with serving() as served, served.connect() as first, served.connect() as second:
        first.sendall(b"x\nunfinished")
        assert readLine(first) == b"x\n"
        begun = time.monotonic()
        served.stop()
        assert (readAll(first), readAll(second)) == (b"", b"")
        assert served.wait() == 0
        assert time.monotonic() - begun < 4


@pytest.mark.timing
def test_aSecondSignalHurries() -> None:
    """A client that does not take what it is owed is not waited for."""
    with serving() as served, served.connect() as client:
        fill(client, (b"x" * 999 + b"\n") * 50_000)
        begun = time.monotonic()
        served.stop()
        while isListening(served.address):
            assert time.monotonic() - begun < DEADLINE
        time.sleep(2 * SAME_REQUEST)  # a second one within SAME_REQUEST is the same request
        served.stop()
        assert served.wait() == 0
        assert b"received signal 15 again" in served.log
        assert time.monotonic() - begun < 4


# Idle clients.


def test_slowlorisIsEvictedAndTheActiveClientStays() -> None:
    timeout = 0.4
    with serving("--idle-timeout", str(timeout)) as served, served.connect() as active, served.connect() as slow:
        begun = time.monotonic()
        slow.settimeout(timeout / 10)
        evicted = False
        while not evicted:
            active.sendall(b"x\n")
            assert readLine(active) == b"x\n"
            try:
                evicted = slow.recv(1) == b""
            except TimeoutError:
                with contextlib.suppress(ConnectionError):
                    slow.sendall(b"y")
            except ConnectionResetError:
                evicted = True
            assert time.monotonic() - begun < DEADLINE
        assert time.monotonic() - begun >= timeout
        active.sendall(b"x\n")
        assert readLine(active) == b"x\n"


# Collecting.


def sources() -> Iterator[bytes]:
    """The lines of the Python installation's own sources, without their ends. A CR is a character like any other."""
    for path in sorted(pathlib.Path(sysconfig.get_path("stdlib")).rglob("*.py")):
        if "site-packages" not in path.parts:
            yield from path.read_bytes().split(b"\n")[:-1]


@pytest.mark.needs("netcat-openbsd")
def test_eightNcClientsIntoCollect(tmp_path: pathlib.Path) -> None:
    """Real text, each line marked with its client: the output is those lines, each client's in order."""
    lines = itertools.cycle(sources())
    files = []
    for number in range(CLIENTS):
        files.append(tmp_path / f"{number}.txt")
        files[-1].write_bytes(b"".join(b"%d:%b\n" % (number, next(lines)) for _ in range(LINES + number)))
    output = tmp_path / "collected"
    with serving("collect", "--output", str(output)) as served, contextlib.ExitStack() as stack:
        host, port = served.address
        assert served.hint == f"try:  nc -N {host} {port} < FILE\n"
        inputs = [stack.enter_context(path.open("rb")) for path in files]
        clients = [subprocess.Popen(["nc", "-N", host, str(port)], stdin=file) for file in inputs]
        assert [client.wait(DEADLINE) for client in clients] == [0] * CLIENTS
    collected: list[list[bytes]] = [[] for _ in files]
    for line in output.read_bytes().split(b"\n")[:-1]:
        collected[int(line[:1])].append(line)
    for path, got in zip(files, collected, strict=True):
        assert got == path.read_bytes().split(b"\n")[:-1]


def test_collectWhatWasSentBeforeTheSignal(tmp_path: pathlib.Path) -> None:
    """The clients have closed already. Their lines are kept, the last of them too, which has no end."""
    output = tmp_path / "collected"
    output.write_bytes(b"from before")
    with serving("collect", "--output", str(output)) as served:
        for number in range(30):
            with served.connect() as client:
                client.sendall(b"%d\n%d\r\nend %d" % (number, number, number))
                client.shutdown(socket.SHUT_WR)
                assert readAll(client) == b""
    expected = [b"from before"]
    for number in range(30):
        expected += [b"%d" % number, b"%d\r" % number, b"end %d" % number]
    assert output.read_bytes() == b"\n".join([*expected, b""])


def test_collectToStandardOutput(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "out"
    with path.open("wb") as out, serving("collect", "--output", "-", stdout=out) as served, served.connect() as client:
        client.sendall(b"one\ntwo\n")
        client.shutdown(socket.SHUT_WR)
        assert readAll(client) == b""
    assert path.read_bytes() == b"one\ntwo\n"


def test_twoCollectorsOfOneFile(tmp_path: pathlib.Path) -> None:
    output = str(tmp_path / "collected")
    with serving("collect", "--output", output):
        done = run("serve", "collect", "--output", output, "--port", "0")
        assert done.returncode == 1
        assert f"another program has locked {output}" in done.stderr


@pytest.mark.needs("/dev/full")
def test_aFullDisk() -> None:
    """One clear line, exit code 1; no client is left to think that its lines were taken."""
    with serving("collect", "--output", "/dev/full") as served, served.connect() as client, served.connect() as other:
        client.sendall(b"line\n" * 10)
        for lost in (client, other):
            with pytest.raises(ConnectionResetError):
                lost.recv(100)
        assert served.wait() == 1
        assert served.log == b"python -m reactor serve: cannot write to /dev/full: No space left on device\n"


# Chat.


@pytest.mark.needs("netcat-openbsd")
def test_chatWithNc() -> None:
    with serving("chat") as served, served.connect() as first:
        host, port = served.address
        assert served.hint == f"try:  nc {host} {port}\n"
        assert readLine(first) == b"* your name, please\n"
        first.sendall(b"ann\r\n")
        assert readLine(first).startswith(b"* welcome, ann; here: nobody else")
        done = subprocess.Popen(["nc", "-N", host, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        out, _err = done.communicate(b"bob\nhi \x1b[2Jall\n", timeout=DEADLINE)
        assert out.startswith(b"* your name, please\n* welcome, bob; here: ann; ")
        heard = [readLine(first) for _ in range(3)]
        assert heard == [b"* bob has joined\r\n", b"bob: hi \xef\xbf\xbd[2Jall\r\n", b"* bob has left\r\n"]


def test_aSlowMemberHoldsNobodyUp() -> None:
    """It never reads. The others hear everything, and then that it has left."""
    said = b"x" * 10_000
    with serving("chat", "--log-level", "error") as served, served.connect() as slow:
        slow.sendall(b"slow\n")
        with served.connect() as speaker, served.connect() as listener:
            for client, name in ((speaker, b"speaker"), (listener, b"listener")):
                client.sendall(name + b"\n")
                assert readLine(client) == b"* your name, please\n"
                assert readLine(client).startswith(b"* welcome, " + name)
            buffered = listener.makefile("rb")
            gone = False
            deadline = time.monotonic() + DEADLINE
            while not gone and time.monotonic() < deadline:
                speaker.sendall(said + b"\n")
                line = buffered.readline()
                if line.startswith(b"* slow"):
                    assert line == b"* slow was dropped: did not read\n"
                    gone = True
                    line = buffered.readline()
                assert line == b"speaker: " + said + b"\n"
            buffered.close()
            assert gone


# Load.


def test_loadAgainstServe() -> None:
    with serving() as served:
        host, port = served.address
        where = f"{host}:{port}"
        done = run(
            "load", where, "--connections", "200", "--pipeline", "20", "--lines", "100003", "--line-length", "50"
        )
        assert (done.returncode, done.stderr) == (0, "")
        first, rate, latency = done.stdout.splitlines()
        assert first == "100003 lines of 50 bytes, 200 connections, 20 deep: every reply right"
        assert re.fullmatch(r"[1-9]\d* lines/s \([\d.]+ s\)", rate)
        times = re.fullmatch(r"latency p50 ([\d.]+) ms, p99 ([\d.]+) ms, p99.9 ([\d.]+) ms", latency)
        assert times is not None
        assert 0 < float(times[1]) <= float(times[2]) <= float(times[3])


def test_loadWithNobodyThere() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    done = run("load", f"127.0.0.1:{port}")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"python -m reactor load: cannot connect to 127.0.0.1:{port}: Connection refused\n"


def test_loadInterrupted() -> None:
    """The server takes everything and answers nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        where = f"127.0.0.1:{server.getsockname()[1]}"
        command = [*COMMAND, "load", where, "--connections", "1", "--lines", "10"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            client, _address = server.accept()
            with client:
                client.settimeout(DEADLINE)
                assert client.recv(10)
                process.send_signal(signal.SIGINT)
                _out, said = process.communicate(timeout=DEADLINE)
        assert process.returncode == 1
        assert said == "python -m reactor load: interrupted (0 of 10 replies were right)\n"
