"""Clients whose lines do not end: a program of test_unendedlines.py.

`python -m tests.battery.unendedlines KIND COUNT LENGTH PORT` sends RATE KiB a second in all. With the KIND "endless" it
sends pieces of 1 KiB on all connections in turn, until the server has closed each. With "short" each connection gets
LENGTH bytes, and then nothing more. The program prints the number of bytes that it has sent. It holds the connections
until its standard input ends.
"""

from __future__ import annotations

import resource
import socket
import struct
import sys
import time

LOOPBACK = "127.0.0.1"
PATIENCE = 60.0
AT_ONCE = struct.pack("ii", 1, 0)
PIECE = b"x" * 1024
RATE = 20_000  # what a server can read beside other work; faster clients only wait for each other
MOST = 1 << 20  # bytes on one connection: then the server has no bound


def endless(peers: list[socket.socket]) -> int:
    sent = rounds = 0
    begun = time.monotonic()
    while peers and rounds * len(PIECE) < MOST:
        left = []
        for peer in peers:
            time.sleep(max(0.0, begun + sent / len(PIECE) / RATE - time.monotonic()))
            try:
                peer.sendall(PIECE)
                sent += len(PIECE)
                left.append(peer)
            except OSError:
                peer.close()
        peers, rounds = left, rounds + 1
    assert not peers, f"{len(peers)} connections were not closed"
    return sent


def short(peers: list[socket.socket], length: int) -> int:
    begun = time.monotonic()
    for number, peer in enumerate(peers):
        time.sleep(max(0.0, begun + number * length / len(PIECE) / RATE - time.monotonic()))
        peer.sendall(b"x" * length)
    return length * len(peers)


def main(kind: str, count: int, length: int, port: int) -> None:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    peers = [socket.create_connection((LOOPBACK, port), PATIENCE) for _ in range(count)]
    for peer in peers:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)  # their numbers are free when they have ended
    print(endless(peers) if kind == "endless" else short(peers, length), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
