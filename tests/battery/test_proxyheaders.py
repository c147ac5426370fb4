"""Headers of the PROXY protocol, good and bad, cut anywhere, from a balancer and from strangers, to a real process.

No byte of a stranger is believed, no byte behind a header is lost, and nothing is guessed.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import socket
import subprocess
import sys
import time
from typing import Any

from reactor.address import IPv4Address, IPv6Address
from reactor.haproxy import encodeV1, encodeV2
from reactor.haproxy.receiving import HEADER_TIMEOUT
from tests.battery.sizes import size
from tests.support.worlds import DEADLINE, ROOT

LIVES = size(400, 20_000)
HESITATING = 20  # clients that send a part of a header, and wait
TIMEOUT = size(1.0, HEADER_TIMEOUT)
TRUSTED, STRANGER = "127.0.0.2", "127.0.0.3"


def addresses(chance: random.Random) -> tuple[Any, Any]:
    ports = [chance.randrange(65536) for _ in range(2)]
    if chance.random() < 0.5:
        hosts = [f"192.0.2.{chance.randrange(256)}" for _ in range(2)]
        source, destination = (IPv4Address("TCP", host, port) for host, port in zip(hosts, ports, strict=True))
        return source, destination
    hosts = [f"2001:db8::{chance.randrange(1, 65536):x}" for _ in range(2)]
    one, other = (IPv6Address("TCP", host, port) for host, port in zip(hosts, ports, strict=True))
    return one, other


def tlvs(chance: random.Random) -> list[tuple[int, bytes]]:
    kinds = [1, 2, 4, 5, 0x30, 0xE0]
    return [(chance.choice(kinds), chance.randbytes(chance.randrange(100))) for _ in range(chance.randrange(4))]


def good(chance: random.Random) -> tuple[bytes, Any]:
    """A header, and the address that the server must know, None for the real one."""
    source, destination = addresses(chance)
    match chance.randrange(5):
        case 0 | 1:
            return encodeV1(source, destination), source
        case 2 | 3:
            return encodeV2(source, destination, tlvs(chance), checksum=chance.random() < 0.5), source
        case _:
            return chance.choice([encodeV1(), encodeV2(), encodeV2(local=True)]), None


def bad(chance: random.Random) -> bytes:
    """Bytes that no header can begin with, or that a header must not hold."""
    source, destination = addresses(chance)
    binary = encodeV2(source, destination, [(1, b"h2")])
    summed = bytearray(encodeV2(source, destination, checksum=True))
    summed[chance.randrange(16, len(summed) - 7)] ^= 1 << chance.randrange(8)
    return chance.choice(
        [
            b"GET / HTTP/1.1\r\n",
            b"\x16\x03\x01\x02\x00",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n",
            b"PROXY UNKNOWN " + b"x" * 100 + b"\r\n",
            encodeV1(source, destination).replace(b" ", b"  ", 1),
            binary[:12] + b"\x22" + binary[13:],
            binary[:13] + b"\x51" + binary[14:],
            binary[:-4] + b"\xff" + binary[-3:],
            binary[:14] + b"\xff\xff" + binary[16:],
            bytes(summed),
        ]
    )


def pieces(chance: random.Random, data: bytes) -> list[bytes]:
    """The data in one piece, in some, or byte by byte."""
    count = chance.choice([0, 0, 1, 3, len(data) - 1])
    cuts = sorted({0, len(data), *chance.sample(range(1, len(data)), min(count, len(data) - 1))})
    return [data[one:other] for one, other in itertools.pairwise(cuts)]


def life(chance: random.Random, port: int, host: str, data: bytes, length: int) -> tuple[bytes, Any]:
    """Send `data` from `host`; return what comes back, up to `length` bytes or the end, and the client's address."""
    with socket.socket() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(DEADLINE)
        sock.bind((host, 0))
        found, own = b"", None
        with contextlib.suppress(ConnectionError):  # a stranger may be reset at once
            sock.connect(("127.0.0.1", port))
            own = sock.getsockname()
            for piece in pieces(chance, data):
                sock.sendall(piece)
            while len(found) < length and (got := sock.recv(65536)):
                found += got
        return found, own


def hesitating(chance: random.Random, port: int) -> socket.socket:
    """A connection from the balancer with half a header."""
    header = good(chance)[0]
    sock = socket.create_connection(("127.0.0.1", port), DEADLINE, source_address=(TRUSTED, 0))
    sock.sendall(header[: chance.randrange(len(header) - 1)])
    return sock


def test_headers() -> None:
    chance = random.Random(11)
    expected = {"untrusted": 0, "invalid": 0, "timeout": HESITATING, "unfinished": 0}
    command = [sys.executable, str(ROOT / "tests" / "battery" / "proxyserver.py"), str(TIMEOUT)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        begun = time.monotonic()
        waiting = [hesitating(chance, port) for _ in range(HESITATING)]
        for number in range(LIVES):
            header, source = good(chance)
            lines = [b"%d %b" % (number, b"x" * chance.randrange(40)) for _ in range(chance.randrange(1, 5))]
            if chance.random() < 0.2:
                lines.insert(0, encodeV1(*addresses(chance))[:-1])  # a second header is a line like others
            kind = chance.choice(["good", "good", "good", "stranger", "bad"])
            if kind == "bad":
                header = bad(chance)
                expected["invalid"] += 1
            elif kind == "stranger":
                expected["untrusted"] += 1
            data = header + b"\n".join([*lines, b""])
            host = STRANGER if kind == "stranger" else TRUSTED
            if kind == "good":
                check(chance, port, data, lines, source)
            else:
                assert life(chance, port, host, data, 1)[0] == b"", (number, header)
        for sock in waiting:
            with sock, contextlib.suppress(ConnectionResetError):
                assert sock.recv(1) == b""
        assert time.monotonic() - begun >= TIMEOUT
        out, _ = process.communicate(timeout=DEADLINE)
    assert json.loads(out) == expected
    assert process.returncode == 0


def test_theUsualTimeoutIsShort() -> None:
    """Short of 3 s, a header that TCP sends again would come too late, says the specification."""
    assert 3.0 <= HEADER_TIMEOUT <= 5.0


def check(chance: random.Random, port: int, data: bytes, lines: list[bytes], source: Any) -> None:
    """One good life: every line comes back, with the right address."""
    # The client's own port has five digits in Linux.
    start = len(f"{TRUSTED} 12345 ") if source is None else len(f"{source.host} {source.port} ")
    found, own = life(chance, port, TRUSTED, data, sum(start + len(line) + 1 for line in lines))
    host, number = own if source is None else (source.host, source.port)
    assert found == b"".join(b"%b %d %b\n" % (host.encode(), number, line) for line in lines)
