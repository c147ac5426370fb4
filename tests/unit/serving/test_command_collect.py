"""collect as its users run it: options, signals, full disks, syslog's own clients."""

from __future__ import annotations

import contextlib
import functools
import gzip
import json
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from reactor import __main__ as command
from reactor.serving import serve
from reactor.serving.collecting.rotating import rotatedFiles
from reactor.serving.collecting.settings import CollectSettings, framesOf, framingOf
from reactor.serving.values import byteCount, period
from tests.unit.serving.test_command import COMMAND, DEADLINE, Served, isListening, serving

STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"


def until(condition: Callable[[], Any]) -> None:
    """Wait for another process."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "the condition has not come true in time"
        time.sleep(0.005)  # of a look at another process, not of a length that matters


def holds(path: pathlib.Path, text: bytes) -> bool:
    return text in path.read_bytes()


def send(served: Served, data: bytes) -> None:
    """Send data, end in order, and wait for the server's end."""
    with served.connect() as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""


MISTAKES = [
    # options, message
    (("echo", "--format", "json"), "--format is for collect only"),
    (("echo", "--rotate-keep", "0"), "--rotate-keep is for collect only"),
    (("chat", "--prefix"), "--prefix is for collect only"),
    (("echo", "--listen", "udp:0"), "udp is for collect only"),
    (("collect", "--output", "x", "--listen", "udp:x"), "the port of a udp endpoint is a whole number"),
    (("collect", "--output", "x", "--format", "json", "--prefix"), "--prefix is for --format text"),
    (
        ("collect", "--output", "x", "--format", "json", "--output-delimiter", "same"),
        "--format json takes --output-del",
    ),
    (("collect", "--output", "x", "--rotate-keep", "3"), "--rotate-keep needs --rotate-size or --rotate-every"),
    (("collect", "--output", "x", "--rotate-gzip"), "--rotate-gzip needs --rotate-size or --rotate-every"),
    (("collect", "--output", "-", "--rotate-size", "1M"), "standard output cannot be rotated: --output needs the name"),
    (("collect", "--output", "x", "--frames", "counted", "--delimiter", "lf"), "--delimiter is for lines, and with"),
    (
        ("collect", "--output", "x", "--frames", "auto", "--delimiter", "crlf"),
        "--frames auto needs a --delimiter of one",
    ),
    (
        ("collect", "--output", "x", "--rotate-size", "0"),
        "must be a positive number of bytes, for example 100M, not '0'",
    ),
    (("collect", "--output", "x", "--rotate-every", "soon"), "must be a period, for example 3600, 15m, 1h or 1d"),
    (("collect", "--output", "x", "--fsync", "often"), "must be one of never, interval, always, not 'often'"),
    (("collect", "--output", "x", "--on-full", "stop"), "must be one of wait, exit, not 'stop'"),
]


@pytest.mark.parametrize(("options", "message"), MISTAKES)
def test_mistakesAreOneLine(
    options: tuple[str, ...], message: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """And nothing is opened before all is right."""
    monkeypatch.setattr(serve, "logTo", lambda *arguments: None)
    monkeypatch.setattr(serve, "allowDescriptors", lambda: None)
    monkeypatch.setattr(command, "current", lambda: None)
    monkeypatch.chdir(tmp_path)
    try:
        code: Any = command.main(("serve", *options, "--port", "0"))
    except SystemExit as leaving:
        code = leaving.code
    (line,) = capsys.readouterr().err.splitlines()
    assert code == 2
    assert message in line
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "number"),
    [("512", 512), ("1k", 1024), ("64KB", 65536), ("100M", 100 << 20), ("2G", 2 << 30), ("1t", 1 << 40)],
)
def test_bytes(text: str, number: int) -> None:
    assert byteCount(text) == number


@pytest.mark.parametrize(
    ("text", "number"), [("30", 30), ("30s", 30), ("15m", 900), ("1h", 3600), ("1d", 86400), ("2W", 1209600)]
)
def test_periods(text: str, number: int) -> None:
    assert period(text) == number


@pytest.mark.parametrize("text", ["", "K", "-1", "1.5G", "1X", "M1", "½"])
def test_whatIsNoNumber(text: str) -> None:
    for convert in (byteCount, period):
        with pytest.raises(Exception, match=r"^must be .*for example"):
            convert(text)


def test_settings() -> None:
    plain = CollectSettings()
    assert [framesOf(plain, end) for end in (b"\n", b"\0", b"\r\n")] == ["auto", "auto", "lines"]
    assert framesOf(CollectSettings(frames="lines"), b"\n") == "lines"
    assert framingOf(CollectSettings(format="json"), b"\0").delimiter == b"\n"
    assert framingOf(CollectSettings(prefix=True), b":").join([b"12:00"]) == b"12#07200:"


def test_aPrefixAndJSON(tmp_path: pathlib.Path) -> None:
    """With the client's own address, over TCP and a UNIX socket; a datagram has its sender's."""
    for form in ("text", "json"):
        output, path, log = tmp_path / form, tmp_path / f"{form}.sock", tmp_path / f"{form}.log"
        kind = ("--format", "json") if form == "json" else ("--prefix",)
        listen = ("--listen", "tcp:0", "--listen", f"unix:{path}", "--listen", f"unixgram:{log}", "--listen", "udp:0")
        with serving("collect", "--output", str(output), *kind, *listen) as served, served.connect() as client:
            client.sendall(b"one\n\xff\n")
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""
            name = "{}:{}".format(*client.getsockname())
            with socket.socket(socket.AF_UNIX) as local:
                local.connect(str(path))
                local.sendall(b"two\n")
                local.shutdown(socket.SHUT_WR)
                assert local.recv(1) == b""
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as local:
                local.sendto(b"three\n", str(log))
            until(functools.partial(holds, output, b"three"))
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as remote:
                remote.sendto(b"four\nx", served.addresses[-1])
                sender = "{}:{}".format(*remote.getsockname()).replace("0.0.0.0", "127.0.0.1")
        expected = [(name, b"one"), (name, b"\xff"), ("unix:", b"two"), ("unix:", b"three"), (sender, b"four#012x")]
        lines = output.read_bytes().splitlines()
        assert len(lines) == 5
        for (peer, text), line in zip(expected, lines, strict=True):
            if form == "text":
                assert re.fullmatch(f"{STAMP} {re.escape(peer)} ".encode() + re.escape(text), line)
                continue
            found = json.loads(line)
            assert found["peer"] == peer
            assert re.fullmatch(STAMP, found["time"])
            assert (found.get("line"), found.get("base64")) == (
                (None, "/w==") if text == b"\xff" else (text.decode(), None)
            )


@pytest.mark.parametrize("how", ["move", "copytruncate"])
def test_rotationFromOutside(how: str, tmp_path: pathlib.Path) -> None:
    """As logrotate does it, under load: moved, and USR1; or copied and emptied. No line is lost or cut by a move."""
    output, log = tmp_path / "lines", tmp_path / "log"
    old = list[pathlib.Path]()
    with serving("collect", "--output", str(output), "--log-file", str(log), "--log-level", "info") as served:
        count = 0
        with served.connect() as client:
            for round_ in range(5):
                lines = [b"line %d\n" % number for number in range(count, count + 2000)]
                count += 2000
                client.sendall(b"".join(lines))
                old.append(tmp_path / f"lines.{round_}")
                if how == "move":
                    until(lambda: output.exists() and output.stat().st_size)
                    os.rename(output, old[-1])
                    os.rename(log, tmp_path / f"log.{round_}")
                    served.process.send_signal(signal.SIGUSR1)
                    until(lambda: output.exists() and log.exists())
                else:
                    until(functools.partial(holds, output, lines[-1]))
                    old[-1].write_bytes(output.read_bytes())
                    os.truncate(output, 0)
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""
    content = b"".join(each.read_bytes() for each in [*old, output])
    assert content == b"".join(b"line %d\n" % number for number in range(count))
    assert len([each for each in old if each.stat().st_size]) == 5


def test_rotationByItself(tmp_path: pathlib.Path) -> None:
    """By size, with compressed files, of which only a few stay."""
    output = tmp_path / "lines"
    options = ("--rotate-size", "64K", "--rotate-keep", "3", "--rotate-gzip")
    with serving("collect", "--output", str(output), *options) as served:
        for round_ in range(10):
            send(served, b"".join(b"%d %099d\n" % (round_, number) for number in range(500)))
        until(lambda: [each[-3:] for each in rotatedFiles(str(output))] == [".gz"] * 3)
    parts = [gzip.decompress(pathlib.Path(each).read_bytes()) for each in rotatedFiles(str(output))]
    content = b"".join([*parts, output.read_bytes()])
    whole = b"".join(b"%d %099d\n" % (round_, number) for round_ in range(10) for number in range(500))
    assert whole.endswith(content)
    assert max(map(len, parts)) <= 64 * 1024
    assert len(content) > 2 * 64 * 1024


def test_aDiskThatIsFull(tmp_path: pathlib.Path) -> None:
    """The sender waits, whole lines are there, one record says so; when there is room, every line comes, once."""
    output = tmp_path / "lines"
    text = b"".join(b"%099d\n" % number for number in range(1000))
    with serving("collect", "--output", str(output)) as served, served.connect() as client:
        pid = served.process.pid
        limit = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (50_050, limit[1]))
        client.sendall(text)
        client.shutdown(socket.SHUT_WR)
        until(lambda: output.stat().st_size == 50_000)
        client.settimeout(0.1)
        with pytest.raises(TimeoutError):
            client.recv(1)
        assert output.read_bytes() == text[:50_000]
        client.settimeout(DEADLINE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)
        assert client.recv(1) == b""
        assert output.read_bytes() == text
        served.stop()
        assert served.wait() == 0
        full, room = served.log.decode().splitlines()
        assert re.fullmatch(
            rf"[\dT:.-]+Z WARNING reactor\.serving: {output}: File too large; the senders wait .*", full
        )
        assert re.search(r": there is room again, after \d\.\d s$", room)


@pytest.mark.parametrize("onFull", ["wait", "exit"])
def test_aDiskThatStaysFull(onFull: str, tmp_path: pathlib.Path) -> None:
    """With "exit" the command ends at once; else at the end it counts what it could not keep. Both exit with 1."""
    output = tmp_path / "lines"
    options = ("--on-full", onFull)
    with serving("collect", "--output", str(output), *options) as served, served.connect() as client:
        limit = resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, (10, limit[1]))
        client.sendall(b"first\nsecond\nthird\n")
        until(lambda: output.read_bytes() == b"first\n")
        if onFull == "wait":
            served.stop()
            until(lambda: not isListening(served.address))
            served.stop()  # the second one: it does not wait for the deadline
        assert served.wait() == 1
        last = served.log.decode().splitlines()[-1]
        what = f"cannot write to {output}: File too large"
        if onFull == "wait":
            what = f"2 lines, 13 bytes: lost, as {output} took no more: File too large"
        assert last == f"python -m reactor serve: {what}"
    assert output.read_bytes() == b"first\n"


def test_aDiskThatIsFullEndsAllWorkers(tmp_path: pathlib.Path) -> None:
    """With "exit" no worker is replaced: the others drain, the log says why, and the exit code is 1."""
    output = tmp_path / "lines"
    options = ("--on-full", "exit", "--workers", "2")
    with serving("collect", "--output", str(output), *options) as served:
        children = pathlib.Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children")
        until(lambda: len(children.read_text().split()) == 2)
        send(served, b"first\n")
        for worker in map(int, children.read_text().split()):
            hard = resource.prlimit(worker, resource.RLIMIT_FSIZE)[1]
            resource.prlimit(worker, resource.RLIMIT_FSIZE, (10, hard))
        with served.connect() as client:
            client.sendall(b"second\n")
            assert served.wait() == 1
        why = f"cannot go on: cannot write to {output}: File too large"
        assert re.search(
            f"ERROR reactor.service: the server ends: worker [01] of generation 0 {why}", served.log.decode()
        )
    assert output.read_bytes() == b"first\n"


@pytest.mark.parametrize("policy", ["never", "interval", "always"])
def test_onTheDisk(policy: str, tmp_path: pathlib.Path) -> None:
    """Every policy keeps every line, also if many clients end at once."""
    output = tmp_path / "lines"
    with serving("collect", "--output", str(output), "--fsync", policy) as served, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(served.connect()) for _ in range(20)]
        for number, client in enumerate(clients):
            client.sendall(b"%d a\n%d b\n%d c" % (number, number, number))
            client.shutdown(socket.SHUT_WR)
        for client in clients:
            assert client.recv(1) == b""
        lines = output.read_bytes().splitlines()
    assert sorted(lines) == sorted(b"%d %s" % (number, text) for number in range(20) for text in (b"a", b"b", b"c"))


def test_whatWasSentToDatagramsBeforeTheSignal(tmp_path: pathlib.Path) -> None:
    """The kernel has it: it is kept, however many there are."""
    output, log = tmp_path / "lines", tmp_path / "log"
    with serving("collect", "--output", str(output), "--listen", f"unixgram:{log}:mode=666") as served:
        assert served.said.startswith("linereactor ")
        assert f"collect on {log} " in served.said
        assert log.stat().st_mode & 0o777 == 0o666
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
            peer.connect(str(log))
            served.process.send_signal(signal.SIGSTOP)
            peer.setblocking(False)
            sent = 0
            with contextlib.suppress(BlockingIOError):
                while True:
                    peer.send(b"%d" % sent)
                    sent += 1
            served.process.send_signal(signal.SIGTERM)
            served.process.send_signal(signal.SIGCONT)
            assert served.wait() == 0
    assert sent > 1
    assert output.read_bytes().split() == [b"%d" % number for number in range(sent)]
    assert not log.exists()


# The clients of syslog.


@pytest.mark.needs("logger")
@pytest.mark.parametrize("how", ["tcp", "counted", "udp", "unix"])
def test_logger(how: str, tmp_path: pathlib.Path) -> None:
    """Each message of logger(1) is one line without its frame, whichever way it comes."""
    output, log = tmp_path / "lines", tmp_path / "log"
    listen = {"udp": ("--listen", "udp:0"), "unix": ("--listen", f"unixgram:{log}")}.get(how, ())
    with serving("collect", "--output", str(output), *listen) as served:
        to = ["-u", str(log)]
        if how != "unix":
            to = ["-n", "127.0.0.1", "-P", str(served.address[1]), "-d" if how == "udp" else "-T"]
        if how == "counted":
            to.append("--octet-count")
        for text in ("one", "two words", "three " + "x" * 900):
            subprocess.run(["logger", "-t", "trial", *to, "--", text], check=True, timeout=DEADLINE)
        until(lambda: output.read_bytes().count(b"\n") == 3)
    lines = output.read_bytes().splitlines()
    ends = [b"one", b"two words", b"three " + b"x" * 900]
    for line, end in zip(sorted(lines, key=len), ends, strict=True):
        assert re.fullmatch(rb"<13>.*trial.*" + end, line), line


RSYSLOG = """\
global(workDirectory="{folder}")
module(load="imuxsock" sysSock.use="off")
input(type="imuxsock" socket="{folder}/in" ratelimit.interval="0")
template(name="bare" type="string" string="<%PRI%>%msg%")
action(type="omfwd" target="127.0.0.1" port="{port}" protocol="tcp" template="bare" TCP_Framing="{framing}")
"""


@contextlib.contextmanager
def rsyslog(folder: pathlib.Path, port: int, framing: str) -> Iterator[str]:
    """A running rsyslogd that sends to the port; the path of its socket."""
    (folder / "rsyslog.conf").write_text(RSYSLOG.format(folder=folder, port=port, framing=framing))
    command = ["rsyslogd", "-n", "-f", str(folder / "rsyslog.conf"), "-i", str(folder / "pid")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            until((folder / "in").exists)
            yield str(folder / "in")
        finally:
            process.terminate()
            process.wait(DEADLINE)


@pytest.mark.needs("rsyslogd")
@pytest.mark.parametrize("framing", ["traditional", "octet-counted"])
def test_rsyslog(framing: str, tmp_path: pathlib.Path) -> None:
    """Both of its framings, which it chooses by itself, on the port of collect as it is."""
    output = tmp_path / "lines"
    with (
        serving("collect", "--output", str(output)) as served,
        rsyslog(tmp_path, served.address[1], framing) as path,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer,
    ):
        peer.connect(path)
        for number in range(300):
            peer.send(b"<13>Jan  1 00:00:00 trial: %d %s" % (number, b"x" * (number % 100)))
        until(lambda: output.read_bytes().count(b"\n") == 300)
    lines = output.read_bytes().splitlines()
    assert lines == [b"<13> %d %s" % (number, b"x" * (number % 100)) for number in range(300)]


def test_twoPlacesOfOneFile(tmp_path: pathlib.Path) -> None:
    """Each has its name in the lines; the lines of both are whole, and the file rotates for both."""
    output = tmp_path / "lines"
    (tmp_path / "c.toml").write_text(
        f"""
        output = "{output}"
        format = "json"
        rotate-size = "20K"
        [[listen]]
        name = "one"
        app = "collect"
        endpoint = "tcp:0"
        [[listen]]
        name = "two"
        app = "collect"
        endpoint = "tcp:0"
        """
    )
    arguments = [*COMMAND, "serve", "--config", str(tmp_path / "c.toml")]
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        served = Served(process)
        try:
            ports = [int(each) for each in re.findall(r":(\d+) ", served.said + served.hint)]
            clients = [socket.create_connection(("127.0.0.1", port), DEADLINE) for port in ports]
            for round_ in range(20):
                for client in clients:
                    client.sendall(b"".join(b"%d\n" % (round_ * 50 + each) for each in range(50)))
            for client in clients:
                with client:
                    client.shutdown(socket.SHUT_WR)
                    assert client.recv(1) == b""
            served.stop()
            assert served.wait() == 0
        finally:
            process.kill()
    files = [*rotatedFiles(str(output)), str(output)]
    lines = [json.loads(line) for each in files for line in pathlib.Path(each).read_bytes().splitlines()]
    for name in ("one", "two"):
        assert [int(line["line"]) for line in lines if line["listener"] == name] == list(range(1000))
    assert len(files) > 1


def test_workersOfOneFile(tmp_path: pathlib.Path) -> None:
    """Two processes below a supervisor; the file is moved, and USR1 reaches both. One is killed, and one replaced."""
    output = tmp_path / "lines"
    arguments = [*COMMAND, "serve", "--workers", "2", "--port", "0", "collect", "--output", str(output)]
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        served = Served(process)
        try:
            for round_ in range(3):
                clients = [served.connect() for _ in range(8)]
                for number, client in enumerate(clients):
                    text = b"".join(b"%d %d %d %s\n" % (round_, number, each, b"x" * 500) for each in range(200))
                    client.sendall(text)
                    client.shutdown(socket.SHUT_WR)
                for client in clients:
                    with client:
                        assert client.recv(1) == b""
                if round_ == 0:
                    os.rename(output, tmp_path / "old")
                    process.send_signal(signal.SIGUSR1)
                    until(output.exists)
                if round_ == 1:
                    workers = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
                    os.kill(int(workers[0]), signal.SIGKILL)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=DEADLINE)
            assert process.returncode == 0
        finally:
            process.kill()
    lines = [line.split() for path in (tmp_path / "old", output) for line in path.read_bytes().splitlines()]
    for round_ in range(3):
        for number in range(8):
            found = [
                int(each)
                for one, two, each, rest in lines
                if (int(one), int(two), rest) == (round_, number, b"x" * 500)
            ]
            assert found == list(range(200))
    assert len(lines) == 3 * 8 * 200
