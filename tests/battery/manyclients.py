"""Many clients of a server of lines: a program of test_manyconnections.py.

`python -m tests.battery.manyclients SOURCE COUNT TURNS INTERVAL PORT` connects COUNT times from the address SOURCE, and
prints "open". It goes on at a line on its standard input. Each connection then sends a line every INTERVAL seconds,
TURNS times, and reads the answer; the lines of all are spread over that time. The program prints as JSON what it has
seen, and holds the connections until its standard input ends.
"""

from __future__ import annotations

import json
import resource
import select
import socket
import struct
import sys
import time

LOOPBACK = "127.0.0.1"
PATIENCE = 60.0
IP_BIND_ADDRESS_NO_PORT = 24  # linux/in.h
AT_ONCE = struct.pack("ii", 1, 0)
LAST = 10.0  # seconds in which the last answers have to come


def connected(source: str, port: int) -> socket.socket:
    """A connection whose number is free at once when it has ended: there are 28,000 of them."""
    sock = socket.socket()
    sock.settimeout(PATIENCE)
    sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
    sock.bind((source, 0))
    sock.connect((LOOPBACK, port))
    return sock


class Clients:
    """The connections. `took` has the seconds of each answer."""

    def __init__(self, source: str, count: int, port: int) -> None:
        self.peers = [connected(source, port) for _ in range(count)]
        self.sentAt = [0.0] * count
        self.expected = [b""] * count
        self.took: list[float] = []
        self.wrong = 0
        self.numbers = {peer.fileno(): number for number, peer in enumerate(self.peers)}
        self.poll = select.epoll()
        for peer in self.peers:
            self.poll.register(peer.fileno(), select.EPOLLIN)

    def ask(self, number: int, turn: int) -> None:
        self.expected[number] = line = b"%d %d\n" % (turn, number)
        self.sentAt[number] = time.monotonic()
        self.peers[number].sendall(line)

    def hear(self, timeout: float) -> None:
        """Read the answers that are there, or that come in `timeout` seconds."""
        for fileno, _ in self.poll.poll(max(0.0, timeout)):
            number = self.numbers[fileno]
            answer = self.peers[number].recv(1 << 16)
            if answer == self.expected[number]:
                self.took.append(time.monotonic() - self.sentAt[number])
            else:
                self.wrong += 1
                if not answer:
                    self.poll.unregister(fileno)
            self.expected[number] = b""

    def run(self, turns: int, interval: float) -> dict[str, float]:
        """Ask at a steady rate. A line waits for the answer to the last one of its connection."""
        count, asked, begun = len(self.peers), 0, time.monotonic()
        while asked < count * turns and self.wrong < count:
            number, due = asked % count, begun + interval * asked / count
            if self.expected[number] or time.monotonic() < due:
                self.hear(due - time.monotonic())
            else:
                self.ask(number, asked // count)
                asked += 1
                if asked % 32 == 0:
                    self.hear(0)
        lasted = time.monotonic() - begun
        end = time.monotonic() + LAST
        while any(self.expected) and time.monotonic() < end:
            self.hear(0.1)
        took = sorted(self.took)
        return {
            "asked": asked,
            "lost": asked - len(took),
            "wrong": self.wrong,
            "rate": asked / lasted,
            "p50": took[len(took) // 2],
            "p99": took[int(len(took) * 0.99)],
        }


def main(source: str, count: int, turns: int, interval: float, port: int) -> None:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    clients = Clients(source, count, port)
    print("open", flush=True)
    sys.stdin.readline()
    print(json.dumps(clients.run(turns, interval)), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]))
