"""`linereactor serve --workers 2 --proxy` behind a real HAProxy: the peers in its log are the clients."""

from __future__ import annotations

import pathlib
import re
import signal
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest

from reactor.address import IPv4Address
from tests.support.worlds import DEADLINE, LOOPBACK
from tests.unit.haproxy.test_balancers import CLIENT, balancer, client

pytestmark = pytest.mark.needs("haproxy")


def test_theLogHasTheClientsOfTheBalancer(tmp_path: pathlib.Path) -> None:
    """Each with its own address and port, and nobody else."""
    command = [sys.executable, "-m", "reactor", "serve", "--workers", "2", "--port", "0", "--log-connections"]
    command += ["--proxy", "127.0.0.1/32", "echo"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            found = re.search(r"127\.0\.0\.1:(\d+)", process.stderr.readline())
            assert found is not None
            address = IPv4Address("TCP", LOOPBACK, int(found[1]))
            peers = []
            with balancer(tmp_path, SimpleNamespace(getHost=lambda: address), "send-proxy-v2") as port:
                for number in range(8):
                    with client(port) as sock, sock.makefile("rb") as answers:
                        sock.sendall(b"hello\r\n" * number)
                        assert [answers.readline() for _ in range(number)] == [b"hello\r\n"] * number
                        sock.shutdown(socket.SHUT_WR)
                        assert answers.read() == b""
                        peers.append((f"{CLIENT}:{sock.getsockname()[1]}", str(number)))
            process.send_signal(signal.SIGTERM)
            _out, log = process.communicate(timeout=DEADLINE)
            assert process.returncode == 0
        finally:
            process.kill()
    assert sorted(re.findall(r"(\S+) on .*: \w+, (\d+) lines", log)) == sorted(peers)
