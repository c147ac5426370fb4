"""docs/admin.md: its programs and dialogues run as they stand there, and its tables are those of the code."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from typing import Any

import pytest

from reactor.service import admin
from reactor.service.admin import RemoteSource, adminFactory
from reactor.service.admin.metrics import METRICS
from tests.house.test_docs import DEADLINE, PAGES, between, connected, freePorts, stop
from tests.support.statuses import snapshotOf, statusOf

PAGE = PAGES["docs/admin.md"]
MARKS = ["program", "prometheus", "expressions", "nginx", "totals", "remote"]

Start = Callable[..., tuple[subprocess.Popen[bytes], dict[str, str]]]


def block(mark: str, language: str) -> str:
    (text,) = re.findall(rf"```{language}\n(.*?)```", between(PAGE, f"admin-{mark}"), re.DOTALL)
    return str(text)


def atPorts(text: str, ports: dict[str, str]) -> str:
    for name, port in ports.items():
        text = text.replace(name, port)
    return text


@pytest.fixture
def start() -> Iterator[Start]:
    """Runs a program of the page at free ports; returns the process, and the ports by those of the page."""
    with ExitStack() as stack:

        def run(mark: str) -> tuple[subprocess.Popen[bytes], dict[str, str]]:
            program = block(mark, "python")
            known = sorted(set(re.findall(r"\b700\d\b", program)))
            ports = dict(zip(known, map(str, freePorts(len(known))), strict=True))
            process = subprocess.Popen(
                [sys.executable, "-c", atPorts(program, ports)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            stack.callback(process.communicate)
            stack.callback(process.kill)
            for port in ports.values():
                with closing(connected(process, int(port))):
                    pass
            return process, ports

        yield run


def test_everyBlockIsRun() -> None:
    assert sorted(re.findall(r"<!-- admin-(\w+) -->", PAGE)) == sorted(MARKS)
    assert len(re.findall(r"^```\w+$", PAGE, re.MULTILINE)) == len(MARKS) + 2  # two of them have a dialogue


@pytest.mark.needs("curl", "nc")
def test_theProgramAndItsDialogue(start: Start, tmp_path: pathlib.Path) -> None:
    process, ports = start("program")
    (tmp_path / ".curlrc").write_text("no-progress-meter\n")
    for exchange in re.split(r"^\$ ", block("program", "sh"), flags=re.MULTILINE)[1:]:
        command, _, expected = exchange.partition("\n")
        done = subprocess.run(
            atPorts(command, ports),
            shell=True,
            env={**os.environ, "CURL_HOME": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=DEADLINE,
            text=True,
            check=False,
        )
        assert (command, done.stdout) == (command, expected)
    stop(process)


def test_referenceNamesAll() -> None:
    table = between(PAGES["docs/reference.md"], "admin-names")
    assert set(re.findall(r"`(\w+)`", table)) == set(admin.__all__)


def test_theTableOfMetrics() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \| ([^|]*) \|$", between(PAGE, "metrics"), re.MULTILINE)
    assert rows == [
        (each.sampleName, each.kind, ", ".join(f"`{label}`" for label in each.labels) or "none", each.help)
        for each in METRICS
    ]


def test_theTableOfPaths() -> None:
    factory = adminFactory(RemoteSource())
    paths = re.findall(r"^\| `(/[\w.]*)` \|", PAGE, re.MULTILINE)
    assert sorted(paths) == sorted(path.decode() for path in factory.paths)


def test_whatPrometheusScrapes(start: Start) -> None:
    """The target and the path of the configuration answer with metrics."""
    _process, ports = start("program")
    configuration = atPorts(block("prometheus", "yaml"), ports)
    (target,) = re.findall(r'targets: \["([^"]+)"\]', configuration)
    (path,) = re.findall(r"metrics_path: (\S+)", configuration)
    with urllib.request.urlopen(f"http://{target}{path}", timeout=DEADLINE) as answer:
        assert b"\nlinereactor_ready 1.0\n" in answer.read()


def test_theExpressionsNameMetrics() -> None:
    named = re.findall(r"linereactor_\w+", block("expressions", "text"))
    assert len(named) == 4
    assert set(named) <= {metric.sampleName for metric in METRICS}


def test_theTotals() -> None:
    program = block("totals", "python")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=DEADLINE, text=True, check=True)
    assert done.stdout == block("totals", "text")


def test_theEntriesOfAStatus() -> None:
    named = re.search(r"The status has (.*?)\.\n", PAGE, re.DOTALL)
    assert named is not None
    assert set(re.findall(r"`(\w+)`", named[1])) == set(statusOf())
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)?) \|", PAGE.partition("## Snapshots")[2], re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == set(snapshotOf())


def test_theServerInOtherProcesses(start: Start) -> None:
    process, ports = start("remote")
    assert process.stdin is not None
    process.stdin.write(json.dumps(statusOf(snapshotOf(accepted=5))).encode() + b"\n")
    process.stdin.flush()
    status: dict[str, Any] = {}
    while status.get("state") != "ready":
        with urllib.request.urlopen(f"http://127.0.0.1:{ports['7001']}/status.json", timeout=DEADLINE) as answer:
            status = json.load(answer)
    assert status["totals"]["syslog"]["accepted"] == 5
    assert process.communicate(timeout=DEADLINE)[0] == b""
    assert process.returncode == 0


@pytest.mark.needs("nginx", "openssl")
def test_behindNginx(start: Start, tmp_path: pathlib.Path) -> None:
    """The page, and events as they come, below a path of nginx that asks for a password."""
    _process, ports = start("program")
    (port,) = freePorts(1)
    passwords = tmp_path / "passwords"
    hashed = subprocess.run(["openssl", "passwd", "-apr1", "secret"], capture_output=True, text=True, check=True)
    passwords.write_text(f"admin:{hashed.stdout}")
    location = atPorts(block("nginx", "nginx"), ports).replace("/etc/nginx/lines.passwords", str(passwords))
    places = "".join(
        f"{kind}_temp_path {tmp_path}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(
        f"daemon off; master_process off; pid {tmp_path}/pid; error_log {tmp_path}/error.log;"
        f"events {{}} http {{ access_log off; {places} server {{ listen 127.0.0.1:{port}; {location} }} }}"
    )
    command = ["nginx", "-p", str(tmp_path), "-e", f"{tmp_path}/error.log", "-c", str(configuration)]
    nginx = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        with closing(connected(nginx, port)):
            pass
        address = f"http://127.0.0.1:{port}/lines/"
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(address, timeout=DEADLINE)
        for path, expected in (("", b"<!doctype html>"), ("readyz", b"ready\n"), ("status.json", b'{"version"')):
            with asked(address + path) as answer:
                assert answer.read().startswith(expected)
        with asked(address + "events") as events:
            lines = [events.readline() for _ in range(2 + 3 + 3 * 4)]
        names = [line for line in lines if line.startswith(b"event: ")]
        assert names == [b"event: history\n"] + [b"event: status\n"] * 3
    finally:
        nginx.terminate()
        with suppress(ProcessLookupError):
            nginx.communicate(timeout=DEADLINE)


def asked(address: str) -> Any:
    """The answer to a request with the password."""
    manager = urllib.request.HTTPPasswordMgrWithPriorAuth()
    manager.add_password(None, address, "admin", "secret", is_authenticated=True)
    return urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(manager)).open(address, timeout=DEADLINE)
