"""The command's log in both formats, in a file, and with a line for each connection; whatever a peer sends."""

from __future__ import annotations

import errno
import json
import logging
import os
import pathlib
import re
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from reactor.address import IPv4Address, UNIXAddress
from reactor.service.records import ConnectionRecord
from reactor.serving import logs
from reactor.serving.errors import CommandError
from reactor.serving.logformats import ADMIN, LOG_FORMATS, CleanFormatter, JSONFormatter, formatterOf, momentOf
from reactor.serving.logoutput import LogFile
from tests.support.worlds import OURS, turnUntil
from tests.unit.serving.test_command import DEADLINE, readAll, serving
from tests.unit.serving.test_command_collect import until

MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
FORGED = "x\n2026-01-01T00:00:00.000Z CRITICAL reactor: forged"
# of every kind that a log must not show as it is
HOSTILE = [
    FORGED,
    "\r\n\x85\u2028\u2029",
    "\x1b[2J\x1b]0;title\x07\x9b2J",
    "\u202eright to left\u2066\u200f",
    "\x00\x08\x7f",
    "%s %d {} {0.__class__} %(asctime)s",
    '"}\n{"level": "forged"',
    "\udcff\ud800",
    "x" * 100_000 + "\n",
]


def record(message: Any, *arguments: object, **changes: Any) -> logging.LogRecord:
    made = logging.LogRecord("reactor.x", logging.WARNING, "", 0, message, arguments, None)
    made.created = 1_000_000_000.25
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def raised(text: str, note: str = "") -> Any:
    """The error that a handler raises with a peer's text, with a cause, a note and a group."""
    try:
        try:
            exec(compile("raise ValueError(text)", f"file {text[:20]!a}", "exec"), {"text": text})
        except ValueError as cause:
            error = ExceptionGroup(text, [KeyError(text), type("Odd\nname", (Exception,), {})(text)])
            error.add_note(note or text)
            raise error from cause
    except ExceptionGroup:
        return sys.exc_info()


@pytest.mark.parametrize(
    ("seconds", "text"), [(1_000_000_000.25, "2001-09-09T01:46:40.250Z"), (0, "1970-01-01T00:00:00.000Z")]
)
def test_times(seconds: float, text: str) -> None:
    assert momentOf(seconds) == text


def test_text() -> None:
    line = formatterOf("text").format(record("%s is %d", "a", 5))
    assert line == "2001-09-09T01:46:40.250Z WARNING reactor.x: a is 5"


def test_JSON() -> None:
    formatter = formatterOf("json")
    base = {"time": "2001-09-09T01:46:40.250Z", "level": "WARNING", "logger": "reactor.x"}
    assert json.loads(formatter.format(record("%s is %d", "a", 5))) == {**base, "message": "a is 5"}
    found = json.loads(formatter.format(record("m", exc_info=raised("t"), stack_info="Stack:\n  File")))
    assert found["message"] == "m"
    assert found["stack"] == "Stack:\n  File"
    assert found["traceback"].splitlines()[-1] == "    +------------------------------------"
    assert (
        json.loads(formatter.format(record("m", exc_text="of another's\n\x1b")))["traceback"] == "of another's\n\\x1b"
    )
    said = json.loads(formatter.formatPlain("hello\n"))
    assert (said["level"], said["message"]) == ("INFO", "hello\\n")


@pytest.mark.parametrize(
    ("process", "text", "fields"),
    [(0, "worker 0", {"worker": 0}), (12, "worker 12", {"worker": 12}), (ADMIN, "admin", {"admin": True})],
)
def test_aProcessOfSeveral(
    process: int | str, text: str, fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its records name it, the one for a record that cannot be formatted too, and also without logging.logProcesses."""
    pid = os.getpid()
    base = {"time": "2001-09-09T01:46:40.250Z", "level": "WARNING", "logger": "reactor.x"}
    line = formatterOf("text", process).format(record("%s is %d", "a", 5))
    assert line == f"2001-09-09T01:46:40.250Z WARNING reactor.x [{text}, {pid}]: a is 5"
    formatter = formatterOf("json", process)
    found = json.loads(formatter.format(record("%s is %d", "a", 5)))
    assert found == {**base, "message": "a is 5", **fields, "pid": pid}
    failed = json.loads(formatter.formatFailure(record("%d", "a"), ValueError("b")))
    assert {**failed, **fields, "pid": pid} == failed
    said = formatterOf("text", process).formatPlain("hello\n")
    assert said.endswith(f" INFO reactor.serving [{text}, {pid}]: hello\\n")
    assert formatterOf("text").formatPlain("hello") == "hello"
    monkeypatch.setattr(logging, "logProcesses", False)
    assert formatterOf("text", process).format(record("m")).endswith(f" reactor.x [{text}, None]: m")
    assert json.loads(formatter.format(record("m")))["pid"] == pid


@pytest.mark.parametrize("name", LOG_FORMATS)
@pytest.mark.parametrize("text", HOSTILE, ids=[f"{number}" for number in range(len(HOSTILE))])
def test_hostileTexts(name: str, text: str) -> None:
    """As the message, an argument, a logger's name, an exception, a note and a stack: no control character, one record.

    In JSON nothing unprintable comes back either, when a program has decoded it.
    """
    formatter = formatterOf(name)
    error = raised(text)
    made = [
        record(text.replace("%", "%%")),
        record("%s", text),
        record("%r", text),
        record("m", name=f"reactor.{text}"),
        record("m", exc_info=error),
        record("m", exc_info=raised("t", text)),
        record("m", stack_info=f'Stack:\n  File "{text}"'),
        record("m", levelname=text),
    ]
    for each in made:
        shown = formatter.format(each)
        shown.encode()
        lines = shown.split("\n")
        assert all(line.isprintable() for line in lines)
        assert not [line for line in lines[1:] if line.startswith("2026")]
        if name == "json":
            assert shown.isascii()
            assert len(lines) == 1
            decoded = json.loads(shown)
            assert all(value.replace("\n", "").isprintable() for value in decoded.values())
            assert not [line for value in decoded.values() for line in value.split("\n")[1:] if line.startswith("2026")]


@pytest.mark.parametrize("name", LOG_FORMATS)
def test_recordsThatCannotBeFormatted(name: str, tmp_path: pathlib.Path) -> None:
    """Each is one record all the same, in the log's own format."""

    class Loud:
        def __str__(self) -> str:
            raise ValueError(FORGED)

        __repr__ = __str__

    loop = OURS.makeReactor()
    handler = LogFile(loop, str(tmp_path / "log"))
    handler.setFormatter(formatterOf(name))
    for each in (record("%s", Loud()), record(Loud()), record("%d", "\x1b")):
        handler.handle(each)
    handler.close()
    OURS.close(loop)
    lines = (tmp_path / "log").read_text().splitlines()
    assert all(line.isprintable() for line in lines)
    if name == "json":
        assert ["a record cannot be formatted: " in json.loads(line)["message"] for line in lines] == [True] * 3
        assert "ValueError: x\\n2026" in json.loads(lines[0])["traceback"]
    else:
        assert sum(line.startswith("a record cannot be formatted: ") for line in lines) == 3
        assert not [line for line in lines if line.startswith("2026")]


# The file.


@pytest.fixture
def logging_(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The process's logging and its hooks come back; a loop for the log."""
    loop = OURS.makeReactor()
    monkeypatch.setattr(logging, "root", logging.RootLogger(logging.WARNING))
    monkeypatch.setattr(logging.Logger, "root", logging.root)
    monkeypatch.setattr(logging.Logger, "manager", logging.Manager(logging.root))
    for module, hook in (
        (sys, "unraisablehook"),
        (sys, "excepthook"),
        (threading, "excepthook"),
        (warnings, "showwarning"),
    ):
        monkeypatch.setattr(module, hook, getattr(module, hook))
    yield loop
    for handler in (*logging.root.handlers, *logs._speaker):
        handler.close()
    logs._speaker.clear()
    OURS.close(loop)


def test_aFile(logging_: Any, tmp_path: pathlib.Path) -> None:
    """Reopened after a move: earlier records are in the old file, later ones in the new one."""
    path = tmp_path / "log"
    logs.logTo("info", logging_, "text", str(path))
    logger = logging.getLogger("reactor.x")
    logger.info("one")
    os.rename(path, tmp_path / "old")
    logger.info("two")
    logs.reopen()
    logger.info("three")
    os.unlink(path)
    os.mkdir(path)
    logs.reopen()
    logs.finish()
    (handler,) = logging.root.handlers
    assert isinstance(handler, LogFile)
    told = [line.split(": ", 1)[1] for line in (tmp_path / "old").read_text().splitlines()]
    assert told == ["one", "two"]


def test_aFileThatCannotBeOpened(logging_: Any, tmp_path: pathlib.Path) -> None:
    with pytest.raises(CommandError, match=r"^cannot open /no/such\\n/log: No such file or directory$"):
        logs.logTo("info", logging_, "text", "/no/such\n/log")


def test_aNewFileThatCannotBeOpened(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    loop = OURS.makeReactor()
    handler = LogFile(loop, str(tmp_path / "log"))
    os.rename(tmp_path / "log", tmp_path / "old")
    os.mkdir(tmp_path / "log")
    handler.reopen()
    handler.say("still here")
    handler.close()
    OURS.close(loop)
    assert (tmp_path / "old").read_text() == "still here\n"
    assert caplog.records[0].getMessage().startswith(f"cannot reopen {tmp_path}/log, and go on with the old file: ")


def test_aFullDisk(tmp_path: pathlib.Path) -> None:
    """Records are dropped and counted; the beginning of one is ended before the next: none looks like another's."""
    loop = OURS.makeReactor()
    handler = LogFile(loop, str(tmp_path / "log"))
    handler.setFormatter(CleanFormatter("%(message)s"))
    write = handler._descriptor.write
    room = [8]

    def full(data: Any) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "full")
        size = write(data[: room[0]])
        room[0] -= size
        return size

    handler._descriptor.write = full  # type: ignore[method-assign]
    for text in ("one", "a long one", "another"):
        handler.handle(record(text))
    assert handler.droppedCount == 2
    room[0] = 1000
    handler.handle(record("four"))
    handler.close()
    OURS.close(loop)
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines[:2] == ["one", "a lo"]
    assert lines[2:] == [f"2 records of this log were dropped: nobody took {tmp_path}/log", "four"]


def test_aPipeInPlaceOfAFile(tmp_path: pathlib.Path) -> None:
    """Its reader may stall: records wait, and the loop writes them; those that wait at a reopening are counted."""
    loop = OURS.makeReactor()
    os.mkfifo(tmp_path / "log")
    read = os.open(tmp_path / "log", os.O_RDONLY | os.O_NONBLOCK)
    handler = LogFile(loop, str(tmp_path / "log"))
    while not handler._backlog.size:
        handler.say("x" * 1000)
    turnUntil(loop, lambda: loop.getWriters())
    os.read(read, 1 << 20)
    turnUntil(loop, lambda: not loop.getWriters())
    while not handler._backlog.size:
        handler.say("x" * 1000)
    handler.reopen()
    assert handler.droppedCount >= 1
    handler.finish(0.01)
    handler.close()
    os.close(read)
    OURS.close(loop)


# A line for each connection.

ENDED = ConnectionRecord("lines", IPv4Address("TCP", "192.0.2.1", 5000), "idle", 3, 40, 50, 1.23456789)


@pytest.mark.parametrize("level", ["warning", "debug"])
def test_aConnection(level: str, logging_: Any, tmp_path: pathlib.Path) -> None:
    """It is there whatever the lowest level of the log is."""
    path = tmp_path / "log"
    logs.logTo(level, logging_, "text", str(path))
    logs.logConnection(ENDED)
    logs.logConnection(ENDED._replace(peer=UNIXAddress("/a b\n\x1b"), listener="x\ny"))
    first, second = path.read_text().splitlines()
    shown = "192.0.2.1:5000 on lines: idle, 3 lines, 40 bytes in, 50 bytes out, 1.235 s"
    assert re.fullmatch(f"{MOMENT} INFO reactor.connections: {re.escape(shown)}", first)
    assert r" unix:/a\x20b\n\x1b on x\ny: idle" in second


def test_aConnectionInJSON(logging_: Any, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "log"
    logs.logTo("error", logging_, "json", str(path))
    logs.logConnection(ENDED)
    found = json.loads(path.read_text())
    assert {name: found[name] for name in list(found)[4:]} == {
        "peer": "192.0.2.1:5000",
        "listener": "lines",
        "why": "idle",
        "lines": 3,
        "bytes-in": 40,
        "bytes-out": 50,
        "seconds": 1.234568,
    }
    assert found["message"].startswith("192.0.2.1:5000 on lines: idle")


# The command.

RAISING = """
from reactor import LineReceiver
class App(LineReceiver):
    delimiter = b"\\n"
    def lineReceived(self, line):
        raise ValueError(line.decode("utf-8", "surrogateescape"))
"""


@pytest.mark.parametrize("name", LOG_FORMATS)
def test_hostileLines(name: str, tmp_path: pathlib.Path) -> None:
    """A handler raises with what peers send: in the whole output of the command there is no raw control byte.

    Nothing is a record but what the command has written.
    """
    (tmp_path / "raising.py").write_text(RAISING)
    lines = [text.replace("\n", "\r").encode("utf-8", "surrogatepass") for text in HOSTILE] + [b"\xff\xfe\x9b2J"]
    with serving("raising:App", "--log-format", name, cwd=tmp_path) as served:
        port = int(re.findall(r":(\d+) \(line core", served.said)[0])
        for line in lines:
            with socket.create_connection(("127.0.0.1", port), DEADLINE) as client:
                client.sendall(line[:10_000] + b"\n")
                assert readAll(client) == b""
        served.stop()
        assert served.wait() == 0
    said = (served.said + served.hint).encode() + served.log
    assert all(line.isprintable() for line in said.decode().split("\n"))
    for line in said.splitlines():
        if name == "json":
            assert re.fullmatch(MOMENT, json.loads(line)["time"])
        else:
            assert not line.startswith(b"2026-01-01")


def test_aLogFileOfTheCommand(tmp_path: pathlib.Path) -> None:
    """The texts of the command's start stay on standard error; USR1 opens the file anew."""
    path = tmp_path / "log"
    (tmp_path / "raising.py").write_text(RAISING)
    with serving("raising:App", "--log-file", str(path), "--log-format", "json", cwd=tmp_path) as served:
        for name in ("old", "older"):
            with served.connect() as client:
                client.sendall(b"line\n")
                assert readAll(client) == b""
            until(lambda: path.stat().st_size)
            os.rename(path, tmp_path / name)
            served.process.send_signal(signal.SIGUSR1)
            until(path.exists)
    for name in ("old", "older"):
        found = [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
        assert "ValueError: line" in found[0]["traceback"]
    assert path.read_bytes() == b""


def test_theFormatterForJSONIsAFormatter() -> None:
    assert isinstance(formatterOf("json"), JSONFormatter)


@pytest.mark.parametrize("options", [(), ("--workers", "1")])
def test_connectionsOfTheCommand(options: tuple[str, ...], tmp_path: pathlib.Path) -> None:
    """A line for each, from whichever process; with workers, USR1 reaches the log of each process."""
    path = tmp_path / "log"
    arguments = (*options, "--log-connections", "--log-file", str(path), "--log-format", "json")
    with serving("echo", *arguments) as served:
        peers = []
        for _ in range(2):
            with served.connect() as client:
                peers.append("{}:{}".format(*client.getsockname()))
                client.sendall(b"one\ntwo\n")
                client.shutdown(socket.SHUT_WR)
                assert readAll(client) == b"one\ntwo\n"
        until(lambda: path.read_bytes().count(b"\n") == 2)
        os.rename(path, tmp_path / "old")
        served.process.send_signal(signal.SIGUSR1)
        until(path.exists)
        with served.connect() as client:
            client.sendall(b"x")
        until(lambda: b"reactor.connections" in path.read_bytes())
    found = [json.loads(line) for line in (tmp_path / "old").read_text().splitlines()]
    assert [each["peer"] for each in found] == peers
    for each in found:
        assert (each["listener"], each["why"], each["lines"], each["bytes-in"], each["bytes-out"]) == (
            "echo",
            "done",
            2,
            8,
            8,
        )
        assert 0 <= each["seconds"] < DEADLINE


def test_extraIsInJSON() -> None:
    """The keys of a program's `extra`, as values of JSON, and none of a record's own keys."""

    class Odd:
        def __repr__(self) -> str:
            raise RuntimeError

    extra = {
        "client": FORGED,
        "length": 5,
        "share": 0.5,
        "ok": True,
        "none": None,
        "big": float("inf"),
        "raw": b"\n",
        "odd": Odd(),
        "a\nb": 1,
        "time": "x",
        "level": "x",
        "worker": 7,
    }
    record = logging.LogRecord("mine", logging.INFO, "path", 1, "%s", ("text",), None)
    vars(record).update(extra)
    line = JSONFormatter({"worker": 0}).format(record)
    assert line.isprintable()
    found = json.loads(line, parse_constant=pytest.fail)
    assert re.fullmatch(MOMENT, found.pop("time"))
    odd = found.pop("odd")
    assert "Odd" in odd
    assert found == {
        "level": "INFO",
        "logger": "mine",
        "message": "text",
        "worker": 0,
        "pid": os.getpid(),
        "client": FORGED.replace("\n", "\\n"),
        "length": 5,
        "share": 0.5,
        "ok": True,
        "none": None,
        "big": "inf",
        "raw": "b'\\n'",
        "a\\nb": 1,
    }
