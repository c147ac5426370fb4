"""docs/proxyprotocol.md: its programs run, behind a real HAProxy with the configuration that the page shows."""

from __future__ import annotations

import pathlib
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import fields

import pytest

from reactor import haproxy
from reactor.endpoints.strings import serverArguments
from reactor.haproxy import HAProxyWrappingFactory, ProxyHeader
from reactor.protocol import ServerFactory
from reactor.serving.options import makeParser
from tests.house.test_docs import DEADLINE, PAGES, between, connected, freePorts

PAGE = PAGES["docs/proxyprotocol.md"]

Run = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def run() -> Iterator[Run]:
    with ExitStack() as stack:

        def start(*command: str) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            stack.callback(process.communicate)
            stack.callback(process.kill)
            return process

        yield start


def part(mark: str, ports: list[int]) -> str:
    (text,) = re.findall(r"```(?:python)?\n(.*?)```", between(PAGE, f"proxy-{mark}"), re.DOTALL)
    return str(text).replace("7000", str(ports[0])).replace("7001", str(ports[1]))


@pytest.mark.needs("haproxy")
def test_serverBehindHAProxy(run: Run, tmp_path: pathlib.Path) -> None:
    ports = freePorts(2)
    server = run(sys.executable, "-c", part("server", ports))
    connected(server, ports[0]).close()  # a check of the port: it says nothing, and costs nothing
    configuration = tmp_path / "haproxy.cfg"
    configuration.write_text(
        "defaults\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n" + part("haproxy", ports)
    )
    balancer = run("haproxy", "-db", "-q", "-f", str(configuration))
    with closing(connected(balancer, ports[1])) as sock, sock.makefile("rb") as file:
        sock.sendall(b"you\n")
        assert file.readline() == b"hello you\n"
    client = run(sys.executable, "-c", part("client", ports))
    assert client.communicate(timeout=DEADLINE)[0] == b"b'hello world'\n"
    server.send_signal(signal.SIGTERM)
    assert server.communicate(timeout=DEADLINE)[0] == b"client 127.0.0.1 version 2\nclient 192.0.2.1 version 2\n"
    assert server.returncode == 0


def test_reasonsAndAttributes() -> None:
    """The tables name every reason for a refusal, and every part of a header."""
    reasons = re.findall(r"^\| `(\w+)` \| ", PAGE, re.MULTILINE)
    refused = HAProxyWrappingFactory(ServerFactory()).refused
    assert set(refused) <= set(reasons)
    names = {field.name for field in fields(ProxyHeader)} | {"alpn", "authority", "uniqueId", "netns"}
    table = PAGE.partition("| attribute |")[2].partition("## TLS")[0]
    named = set(
        re.findall(r"`(\w+)(?:\(\w+\))?`", "\n".join(row.split("|")[1] for row in table.split("\n") if "| `" in row))
    )
    assert named == names | {"find"}


def test_namesAndStrings() -> None:
    for name in re.findall(r"`(\w+)\(", PAGE):
        assert hasattr(haproxy, name) or name in (
            "wrapServerTLS",
            "wrapClientTLS",
            "getPeer",
            "getHost",
            "find",
            "feed",
        )
    (line,) = re.findall(r"`linereactor ([^`]+)`", PAGE)
    for description in (*makeParser().parse_args(line.split()).listen, *re.findall(r"`(haproxy:tcp:\d[^`]*)`", PAGE)):
        assert serverArguments(description)[0] == "tcp"


def test_referenceNamesAll() -> None:
    table = between(PAGES["docs/reference.md"], "haproxy-names")
    assert set(re.findall(r"`(\w+)`", table)) == set(haproxy.__all__)
