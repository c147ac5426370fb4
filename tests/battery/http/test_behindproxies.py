"""The cases through HAProxy and nginx, which keep one connection to us: no case changes the next client's answer."""

from __future__ import annotations

import contextlib
import http.client
import json
import pathlib
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.battery.http.corpus import CASES
from tests.battery.sizes import size
from tests.support.worlds import DEADLINE, LOOPBACK, ROOT, readAll

SOCKET = "front.sock"

HAPROXY = """
global
    nbthread 1
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
    http-reuse always
frontend front
    bind unix@{folder}/front.sock
    default_backend back
backend back
    server back {host}:{port} pool-max-conn 1
"""
NGINX = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    ignore_invalid_headers off;
    merge_slashes off;
    upstream back {{
        server {host}:{port};
        keepalive 1;
        keepalive_requests 1000000;
    }}
    server {{
        listen unix:{folder}/front.sock;
        client_max_body_size 0;
        location / {{
            proxy_pass http://back;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_request_buffering {buffering};
            proxy_ignore_client_abort on;
            proxy_next_upstream off;
        }}
    }}
}}
"""


@contextlib.contextmanager
def program(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as child:
        try:
            yield child
        finally:
            child.terminate()


class Backend:
    """Our server, in a process of its own, and what it has seen."""

    def __init__(self, line: bytes) -> None:
        self.port, log = map(int, line.split())
        self.connection = http.client.HTTPConnection(LOOPBACK, log, timeout=DEADLINE)

    def seen(self) -> list[tuple[int, str, str, int]]:
        """The requests since the last call: number, method, target, port of the proxy's end."""
        self.connection.request("GET", "/log")
        return [tuple(entry) for entry in json.loads(self.connection.getresponse().read())]


@pytest.fixture
def backend() -> Iterator[Backend]:
    with program(sys.executable, "-m", "tests.battery.http.backserver") as child:
        assert child.stdout is not None
        line = child.stdout.readline()
        assert line, "the server does not begin"
        made = Backend(line)
        yield made
        made.connection.close()


@contextlib.contextmanager
def front(folder: pathlib.Path, backend: Backend, configuration: str, *command: str) -> Iterator[str]:
    """A proxy on a UNIX socket, whose path this gives."""
    path = folder / "configuration"
    path.write_text(configuration.format(folder=folder, host=LOOPBACK, port=backend.port))
    with program(*(part.format(folder=folder) for part in command), str(path)) as child:
        end = time.monotonic() + DEADLINE
        while True:
            assert child.poll() is None, "the proxy does not begin"
            assert time.monotonic() < end, "the proxy does not answer"
            with contextlib.suppress(OSError):
                exchange(str(folder / SOCKET), b"")
                break
            time.sleep(0.01)
        yield str(folder / SOCKET)


def exchange(path: str, raw: bytes) -> bytes:
    """Send `raw` on a connection of its own and end our half: all that comes back."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(DEADLINE)
        peer.connect(path)
        with contextlib.suppress(OSError):  # it may have been refused before all of it was sent
            peer.sendall(raw)
            peer.shutdown(socket.SHUT_WR)
        try:
            return readAll(peer)
        except ConnectionResetError:
            return b""


COMMANDS = {
    "haproxy": (HAPROXY, ("haproxy", "-db", "-f")),
    "nginx": (NGINX, ("nginx", "-p", "{folder}", "-e", "{folder}/error.log", "-c")),
}


@pytest.mark.timeout(size(120, 600))
@pytest.mark.parametrize(
    ("proxy", "buffering"),
    [
        pytest.param("haproxy", "", marks=pytest.mark.needs("haproxy")),
        pytest.param("nginx", "off", marks=pytest.mark.needs("nginx")),
        pytest.param("nginx", "on", marks=pytest.mark.needs("nginx")),
    ],
)
def test_canary(proxy: str, buffering: str, backend: Backend, tmp_path: pathlib.Path) -> None:
    """Another client's request follows each case on the proxy's connection to us, and gets its own answer."""
    configuration, command = COMMANDS[proxy]
    reused = passed = 0
    with front(tmp_path, backend, configuration.replace("{buffering}", buffering), *command) as path:
        before = 0
        for number, case in enumerate(CASES):
            output = exchange(path, case.raw)
            target = f"/canary-{number}"
            canary = exchange(path, f"GET {target} HTTP/1.1\r\nHost: canary\r\nConnection: close\r\n\r\n".encode())
            *seen, last = backend.seen()
            head, _, body = canary.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), (case, canary)
            assert target.encode() + b" " in body, (case, canary)
            assert last[1:3] == ("GET", target), (case, seen, last)
            answered = [int(each) for each in re.findall(rb"(?i)\r\nX-Number: (\d+)\r\n", output)]
            # CONNECT is answered by the server itself, with 501, as the program does not take it over.
            unanswered = [each for each in seen if each[0] not in answered and each[1] != "CONNECT"]
            assert not unanswered, (case, output, seen)
            reused += last[3] == before
            passed += bool(seen)
            before = last[3]
    assert passed > 200  # the proxy has let them through
    assert reused > 200  # and our connection has outlived most cases
