"""Attacks on the command with its usual log: fewer bytes in the log than the attacker sends, and no line for each.

The other trials of the battery look at the log too. That of limitedserver.py is measured at the end of each trial.
Under floods of handshakes, resets and tokens a server may write nothing.
"""

from __future__ import annotations

import contextlib
import pathlib
import random
import socket
from collections.abc import Callable

import pytest

from tests.battery.sizes import size
from tests.support.served import freePort, running
from tests.support.tlsworlds import certificatePath
from tests.support.worlds import DEADLINE, LOOPBACK, reset

TIMES = size(100, 5000)
LINES = size(8, 60)  # one for each kind of repeat, and one a second that counts more of them
Attack = Callable[[socket.socket], int]


def sent(peer: socket.socket, data: bytes) -> int:
    """Send, and read until the server has ended the connection, or answered. Return the size."""
    with contextlib.suppress(OSError):  # ENOTCONN of shutdown is no ConnectionError
        peer.sendall(data)
        peer.shutdown(socket.SHUT_WR)
        while peer.recv(1 << 16):
            pass
    return len(data)


def cut(peer: socket.socket, data: bytes) -> int:
    """Send, and reset the connection."""
    with contextlib.suppress(ConnectionError):
        peer.sendall(data)
    reset(peer)
    return len(data)


def never(peer: socket.socket) -> int:
    """The server refuses the client."""
    with contextlib.suppress(ConnectionError):
        peer.recv(100)
    return 60  # bytes: its SYN, without which there is no refusal


JUNK = random.Random(1).randbytes(2000)
ATTACKS: dict[str, tuple[list[str], list[Attack]]] = {
    "lines": (
        ["echo", "--max-line", "64"],
        [lambda peer: sent(peer, b"x" * 1000), lambda peer: sent(peer, JUNK), lambda peer: cut(peer, b"x" * 50)],
    ),
    "clients": (["echo", "--deny", "127.0.0.0/8"], [never]),
    "TLS": (
        ["echo", "--cert", "CERTIFICATE"],
        [
            lambda peer: sent(peer, b"a line\r\n" * 20),
            lambda peer: sent(peer, b"GET / HTTP/1.1\r\nHost: a-host.example\r\n\r\n" * 4),
            lambda peer: sent(peer, b"\x16\x03\x01\x02\x00" + JUNK),
            lambda peer: cut(peer, b"\x16\x03\x01\x02\x00" + JUNK[:100]),
        ],
    ),
    "HTTP": (
        ["files", "--root", "FOLDER"],
        [
            lambda peer: sent(peer, b"GET / HTTP/9.9\r\n\r\n" * 10),
            lambda peer: sent(peer, b"GET /../../x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
            lambda peer: sent(peer, JUNK),
            lambda peer: sent(peer, b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 5000),
        ],
    ),
    "PROXY": (
        ["echo", "--proxy", "127.0.0.1"],
        [lambda peer: sent(peer, b"PROXY TCP4 nonsense\r\n" + JUNK[:100]), lambda peer: sent(peer, JUNK)],
    ),
}


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.timeout(300)
def test_theLogIsSmallerThanTheAttack(name: str, tmp_path: pathlib.Path) -> None:
    arguments, attacks = ATTACKS[name]
    places = {"CERTIFICATE": certificatePath(), "FOLDER": str(tmp_path)}
    port, total = freePort(), 0
    with running(tmp_path, port, 0, *(places.get(each, each) for each in arguments)) as command:
        before = len(command.log())
        for number in range(TIMES):
            with socket.create_connection((LOOPBACK, port), DEADLINE) as peer:
                total += attacks[number % len(attacks)](peer)
        command.end()
        said = command.log()[before:]
    print(f"{len(said)} bytes in {said.count(chr(10))} lines of log for {total} bytes from {TIMES} clients")
    assert len(said) <= total, said[:2000]
    assert said.count("\n") <= LINES, said[:2000]
