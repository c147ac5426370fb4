"""Clients that come and go at a steady rate: a program of test_workers.py.

`python -m tests.battery.visitors HOST PORT RATE` connects RATE times a second, or as often as it can. Each connection
sends a line, reads its answer, and closes. When its standard input ends, it prints as JSON what it has seen.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time

PATIENCE = 20.0


def visit(address: tuple[str, int], generations: set[int]) -> None:
    with socket.create_connection(address, PATIENCE) as peer:
        peer.sendall(b"visit\n")
        answer = b""
        while not answer.endswith(b"\n"):
            chunk = peer.recv(1000)
            assert chunk, f"an end behind {answer!r}"
            answer += chunk
        generations.add(int(answer.split()[1]))


def main(host: str, port: int, rate: float) -> None:
    generations: set[int] = set()
    faults: list[str] = []
    visits, begun = 0, time.monotonic()
    due = begun
    while not select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()))[0]:
        before = len(generations)
        try:
            visit((host, port), generations)
        except Exception as error:
            faults.append(repr(error))
        visits += 1
        due = max(due + 1 / rate, time.monotonic() - 0.1)
        if len(generations) > before:
            print(max(generations), flush=True)
    rate = visits / (time.monotonic() - begun)
    print(json.dumps({"visits": visits, "rate": rate, "faults": faults}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
