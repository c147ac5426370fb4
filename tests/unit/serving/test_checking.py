"""`check` and `serve` refuse the same configurations, and name the same key."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import pathlib
import re
import socket
from typing import Any

import pytest

from reactor._logger import quoted
from reactor.linereceiver import LineReceiver
from reactor.loops.epoll import EpollReactor
from reactor.serving import check as checking
from reactor.serving import config
from reactor.serving.errors import CommandError
from reactor.serving.logoutput import LogFile
from reactor.serving.running import Serving
from reactor.serving.setting import PROCESS
from reactor.serving.settings import BY_KEY, SETTINGS
from reactor.serving.supervising import Supervising, placesOf
from reactor.serving.values import WrongValue
from tests.support.tlsworlds import certificatePath


def needsOne(argument: Any) -> Any:
    raise AssertionError("nobody calls it")


class Strict(LineReceiver):
    def __init__(self, text: str) -> None:
        super().__init__()


FIRST = '[[listen]]\nendpoint = "unix:{tmp}/first"\n'


def table(endpoint: str, rest: str = "") -> str:
    """A second table of [[listen]], with this endpoint."""
    return f"{FIRST}[[listen]]\nendpoint = '{endpoint}'\n{rest}"


COLLECT = "app = 'collect'\noutput = '{tmp}/lines'\n"

# A configuration, the key that errors name, and a part of the text.
BAD = [
    (table("tls:{tmp}/none"), "listen[1].endpoint", "No such file or directory: {tmp}/none"),
    (table("tls:"), "listen[1].endpoint", "the name is empty"),
    (table("tls:{tmp}"), "listen[1].endpoint", "there is no certificate"),
    (table("ssl:0:privateKey={tmp}/none"), "listen[1].endpoint", "{tmp}/none"),
    (table("ssl:0:privateKey={pem}:sslmethod=SSLv3_METHOD"), "listen[1].endpoint", "sslmethod=SSLv3_METHOD"),
    (table("haproxy:tls:{tmp}/none"), "listen[1].endpoint", "{tmp}/none"),
    (table("unix:"), "listen[1].endpoint", "an empty path"),
    (table("unix:" + 108 * "x"), "listen[1].endpoint", "a path of 108 bytes, 107 is the most"),
    (
        table("unix:{tmp}/x:mode=10000"),
        "listen[1].endpoint",
        "the mode of a unix endpoint is from 0 to 7777, not 10000",
    ),
    (table("unix:{tmp}/x:mode=-1"), "listen[1].endpoint", "the mode of a unix endpoint"),
    (table("unix:{tmp}/x:mode=8"), "listen[1].endpoint", "is an octal number, not '8'"),
    (table("unix:{tmp}/x:backlog=-1"), "listen[1].endpoint", "the backlog of a unix endpoint"),
    (table("unix:{tmp}/x:backlog=2147483648"), "listen[1].endpoint", "from 0 to 2147483647, not 2147483648"),
    (table("tcp:0:backlog=-1"), "listen[1].endpoint", "the backlog of a tcp endpoint is from 0 to 2147483647, not -1"),
    (table("tcp6:0:backlog=-1"), "listen[1].endpoint", "the backlog of a tcp6 endpoint"),
    (table("tcp:70000"), "listen[1].endpoint", "the port of a tcp endpoint is from 0 to 65535, not 70000"),
    (table("tcp:x"), "listen[1].endpoint", "is a whole number, not 'x'"),
    (table("tcp:0:interface=256.0.0.1"), "listen[1].endpoint", "cannot listen on 256.0.0.1:0: "),
    (table("fly:1"), "listen[1].endpoint", "unknown endpoint type 'fly'"),
    (table("haproxy:haproxy:tcp:0"), "listen[1].endpoint", "once"),
    (table("haproxy:tcp:0", "proxy = ['127.0.0.1/32']\n"), "listen[1].endpoint", "each expect a PROXY header"),
    (table("udp:0"), "listen[1].endpoint", "udp is for collect only"),
    (table("udp:0:interface=256.0.0.1", COLLECT), "listen[1].endpoint", "the interface of a udp endpoint"),
    (table("udp:70000", COLLECT), "listen[1].endpoint", "the port of a udp endpoint"),
    (table("unixgram:" + 108 * "x", COLLECT), "listen[1].endpoint", "a path of 108 bytes"),
    (table("unixgram:{tmp}/x:mode=10000", COLLECT), "listen[1].endpoint", "the mode of a unixgram endpoint"),
    (table("systemd:domain=MOON:index=0"), "listen[1].endpoint", "not 'MOON'"),
    (table("tcp:0", "cert = '{tmp}/none'\n"), "listen[1].cert", "{tmp}/none"),
    (table("tcp:0", "cert = '{pem}'\nkey = '{tmp}/F.toml'\n"), "listen[1].cert", ""),
    (table("tcp:0", "cert = '{pem}'\nclient-ca = '{tmp}/F.toml'\n"), "listen[1].cert", ""),
    (table("tcp:0", "app = 'os:system'\n"), "listen[1].app", "os:system failed: TypeError"),
    (table("tcp:0", f"app = '{__name__}:needsOne'\n"), "listen[1].app", "needsOne failed: TypeError: "),
    (table("tcp:0", "app = 'math:pi'\n"), "listen[1].app", "math:pi is no Protocol class"),
    (table("tcp:0", "app = 'math:none'\n"), "listen[1].app", "math has no 'none'"),
    (table("tcp:0", "app = 'no.such:name'\n"), "listen[1].app", "no module named 'no'"),
    (table("tcp:0", f"app = '{__name__}:Strict'\narguments = {{ none = 1 }}\n"), "listen[1].app", "argument"),
    (table("tcp:0", "http = 'math:pi'\n"), "listen[1].http", "math:pi is no handler"),
    (table("tcp:0", "http = 'reactor:LineReceiver'\n"), "listen[1].http", "LineReceiver is no handler"),
    (table("tcp:0", "app = 'files'\nroot = '{tmp}/none'\n"), "listen[1].root", "{tmp}/none"),
    (table("tcp:0", "app = 'files'\nroot = ''\n"), "listen[1].root", "a directory is needed"),
    (table("tcp:0", "app = 'collect'\noutput = '{tmp}/none/x'\n"), "listen[1].output", ""),
    (table("tcp:0", "app = 'collect'\noutput = '{tmp}'\n"), "listen[1].output", "Is a directory"),
    (table("tcp:0", "app = 'collect'\noutput = '/dev/null'\nrotate-size = 5\n"), "listen[1].output", "cannot rotate"),
    (table("tcp:0", "app = 'collect'\noutput = '-'\nrotate-size = 5\n"), "listen[1].app", "cannot be rotated"),
    ("log-file = '{tmp}/none/x'\n" + FIRST, "log-file", ""),
    (f"log-file = '{300 * 'x'}'\n" + FIRST, "log-file", "File name too long"),
    ("log-file = '{tmp}'\n" + FIRST, "log-file", "Is a directory"),
    ("admin = 'unix:" + 108 * "x" + "'\n" + FIRST, "admin", "a path of 108 bytes"),
    ("admin = '256.0.0.1:0'\n" + FIRST, "admin", "no address for '256.0.0.1'"),
    ("host = '256.0.0.1'\nport = 0\n", "host", "no address for '256.0.0.1'"),
]


def written(text: str, tmp: pathlib.Path) -> pathlib.Path:
    for name, value in (("tmp", str(tmp)), ("pem", certificatePath())):
        text = text.replace(f"{{{name}}}", value)
    path = tmp / "F.toml"
    path.write_text(text)
    return path


def refusal(path: pathlib.Path) -> str:
    """The error of `serve` in one process; "" if it serves."""
    try:
        plan = config.planOf({"config": str(path)}, {})
    except CommandError as error:
        return str(error)
    loop = EpollReactor()
    loop.callWhenRunning(loop.stop)
    try:
        if plan.logFile is not None:
            LogFile(loop, plan.logFile).close()
        Serving(plan, loop).run()
    except CommandError as error:
        return str(error)
    finally:
        loop.close()
    return ""


def checked(path: pathlib.Path, capsys: Any) -> list[str]:
    capsys.readouterr()
    code = checking.check(argparse.Namespace(config=str(path), no_import=False))
    said = capsys.readouterr().err.splitlines()
    assert code == (2 if said else 0)
    return list(said)


def test_bothRefuseIt(tmp_path: pathlib.Path, capsys: Any) -> None:
    for text, key, told in BAD:
        refusedByBoth(text, key, told, tmp_path, capsys)


def refusedByBoth(text: str, key: str, told: str, tmp_path: pathlib.Path, capsys: Any) -> None:
    path = written(text, tmp_path)
    told = told.replace("{tmp}", str(tmp_path))
    said = checked(path, capsys)
    assert len(said) == 1, said
    assert said[0].startswith(f"{path}: {key} (line "), said
    assert told in said[0]
    error = refusal(path)
    assert told in error, error
    if key.startswith("listen"):
        assert error.startswith(f"{path}: {key} (line "), error
    assert "\n" not in error
    assert sorted(each.name for each in tmp_path.iterdir()) == ["F.toml"], "nothing is left behind"


GOOD = [
    table("unix:{tmp}/x:mode=600:backlog=0"),
    table("tcp:0:backlog=5:interface=127.0.0.1"),
    table("tcp:0:interface=localhost"),
    table("ssl:0:privateKey={pem}"),
    table("haproxy:tcp:0"),
    table("tcp:0", "proxy = ['127.0.0.1/32']\ncert = '{pem}'\n"),
    table("udp:0", COLLECT),
    table("unixgram:{tmp}/g", COLLECT),
    table("tcp:0", "app = 'reactor:LineReceiver'\n"),
    table("tcp:0", "app = 'files'\nroot = '.'\n"),
    "log-file = '{tmp}/log'\nadmin = 'unix:{tmp}/admin'\n" + FIRST,
]


def test_bothTakeIt(tmp_path: pathlib.Path, capsys: Any) -> None:
    for text in GOOD:
        path = written(text, tmp_path)
        assert checked(path, capsys) == [], text
        assert refusal(path) == "", text


OPTIONS = [each for each in SETTINGS if each.inFile and each.key != "listen"]


VALUES = ("[[1]]", "nan", "-1", '""')


def test_bothRefuseABadValueOfEachOption(tmp_path: pathlib.Path, capsys: Any) -> None:
    """The first error of `serve` is one of check's, for each option and several values that it cannot have."""
    for setting, value in itertools.product(OPTIONS, VALUES):
        line = f"{setting.key} = {value}\n"
        endpoint = "" if setting.key == "endpoint" else "endpoint = 'unix:{tmp}/x'\n"
        text = line + FIRST if setting.scope == PROCESS else f"[[listen]]\n{endpoint}{line}"
        if setting.key in ("host", "port"):
            text = line
        path = written(text, tmp_path)
        said = checked(path, capsys)
        error = refusal(path)
        if not said:
            assert value == '""', (value, error)
            assert error == "", value
            continue
        assert any(error.startswith(line) for line in said), (value, said, error)
        assert any(f"{setting.key} (line " in line for line in said), (value, said)


def test_errorsOfAPortNameTheKey(tmp_path: pathlib.Path) -> None:
    """Errors that come only when the port is opened, in one process and in a supervisor."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        path = written(table(f"tcp:{port}"), tmp_path)
        expected = f"{path}: listen[1].endpoint (line 4): cannot listen on 127.0.0.1:{port}: Address already in use"
        assert refusal(path) == expected
        plan = config.planOf({"config": str(written("workers = 1\n" + table(f"tcp:{port}"), tmp_path))}, {})
        loop = EpollReactor()
        with contextlib.closing(loop), pytest.raises(CommandError) as caught:
            Supervising(plan, argparse.Namespace(), ["none"], loop).run()
        assert str(caught.value) == expected.replace("line 4", "line 5")
    taken = tmp_path / "none" / "x"
    path = written(table(f"unix:{taken}"), tmp_path)
    assert refusal(path) == (
        f"{path}: listen[1].endpoint (line 4): cannot listen on {taken}: No such file or directory"
    )
    plan = config.planOf({"config": str(written("workers = 1\n" + table(f"unix:{taken}"), tmp_path))}, {})
    loop = EpollReactor()
    with (
        contextlib.closing(loop),
        pytest.raises(CommandError, match=r"listen\[1\]\.endpoint \(line 5\): cannot listen"),
    ):
        Supervising(plan, argparse.Namespace(), ["none"], loop).run()
    path = written("workers = 1\n" + table("stdio:"), tmp_path)
    with pytest.raises(CommandError, match=r"listen\[1\]\.endpoint"):
        placesOf(config.planOf({"config": str(path)}, {}))


LEAST = {
    "idle-timeout": "0.05",
    "line-deadline": "0.05",
    "user-timeout": "0.001",
    "grace": "0.001",
    "watchdog": "0.1",
    "max-lifetime": "1",
    "slow-callback": "0.001",
    "keepalive": "1",
    "rotate-every": "1",
}


def test_everyTimeHasALeastValue() -> None:
    """A time near 0 would keep the loop busy, or is none of the kernel's."""
    times = {each.key for each in SETTINGS if re.search("seconds|within S|S seconds|multiples of T", each.help)}
    assert times - {"fsync"} == set(LEAST)
    for key, least in LEAST.items():
        setting = BY_KEY[key]
        assert setting.fromText(least) == float(least)
        for text in ("1e-9", "1e-300", "0", "-0.0"):
            with pytest.raises(WrongValue, match=r"^must be a(t least| )"):
                setting.fromText(text)


def test_valuesOfAnyLengthAreCut(tmp_path: pathlib.Path, capsys: Any) -> None:
    """An error is readable, however long the value is that it quotes."""
    long = 5000 * "x"
    for setting in OPTIONS:
        for value in (f'"{long}"', f'["{long}"]', f'"tcp:{long}"', f'["tcp:0:interface={long}"]'):
            line = f"{setting.key} = {value}\n"
            endpoint = "" if setting.key == "endpoint" else "endpoint = 'unix:{tmp}/x'\n"
            text = line + FIRST if setting.scope == PROCESS else f"[[listen]]\n{endpoint}{line}"
            said = checked(written(line if setting.key == "host" else text, tmp_path), capsys)
            assert all(len(each) < 1000 for each in said), (setting.key, [len(each) for each in said])
    said = checked(written(f"{long} = 1\n", tmp_path), capsys)
    assert len(said[0]) < 1000
    assert "xxx..." in said[0]
    assert quoted(100 * "x") == repr(100 * "x")
    assert quoted(101 * "x") == f"'{100 * 'x'}'..."
    assert len(quoted(5000 * "\0")) < 500


def test_socketsOfSystemdAreNotLookedFor(tmp_path: pathlib.Path, capsys: Any) -> None:
    """They are there when systemd starts the server; `check` is run by a person."""
    path = written(table("systemd:domain=INET:index=0"), tmp_path)
    assert checked(path, capsys) == []
    assert "listen[1].endpoint (line 4): 0 sockets were passed" in refusal(path)


def test_errorsOfTheCommandLineAndTheEnvironment(tmp_path: pathlib.Path) -> None:
    """The command line needs no place; a variable is named."""
    error = CommandError("--listen: why", key="endpoint")
    assert str(error.at({"endpoint": "--listen"})) == "--listen: why"
    placed = error.at({"endpoint": "LINEREACTOR_LISTEN"})
    assert str(placed) == "LINEREACTOR_LISTEN: why"
    assert placed.at({"endpoint": "elsewhere"}) is placed
    assert error.at({}) is error
    assert str(CommandError("why").at({"app": "F: app"}, ("http", "app"))) == "F: app: why"
