"""Writers of one file, which are killed at random. Arguments: path, kind, seconds, seed. The output is the report.

A writer tells the parent how many of its records are kept. Each record has its writer, its number and a checksum.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import select
import signal
import struct
import sys
import time
from typing import Any

from reactor.serving.collecting.appending import AppendedFile
from reactor.serving.collecting.rotating import Rotation, rotatedFiles, tidy
from reactor.serving.framing import Framing

FRAMING = Framing()
ROTATED = 4_000_000  # bytes
WRITERS = 3
KEPT = struct.Struct("II")


def record(writer: int, number: int, size: int) -> bytes:
    body = b"%d %d %s" % (writer, number, b"x" * size)
    return body + b" " + hashlib.md5(body).hexdigest().encode() + b"\n"


def write(writer: int, path: str, kind: str, inherited: int, report: int) -> None:
    """Append records until killed."""
    rotation = Rotation(size=ROTATED) if kind == "rotated" else None
    file = AppendedFile(path, FRAMING, inherited, shared=True, rotation=rotation)
    file.rotated = lambda: tidy(path, None, True)
    number = 0
    while True:
        count = random.randrange(1, 8)
        data = b"".join(record(writer, number + each, random.randrange(60_000)) for each in range(count))
        while data:
            kept, error = file.append(data)
            assert error is None or isinstance(error, BlockingIOError), error
            data = data[kept:]
        number += count
        os.write(report, KEPT.pack(writer, number))


class Killer:
    """Starts the writers, and kills them."""

    def __init__(self, path: str, kind: str, seed: int) -> None:
        self.path = path
        self.kind = kind
        self.seed = seed
        self.inherited = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT) if kind == "inherited" else -1
        self.running: dict[int, int] = {}
        self.promised: dict[int, int] = {}
        self.started = 0
        self.failed = 0
        self.read, self.report = os.pipe()
        os.set_blocking(self.read, False)

    def start(self) -> None:
        child = os.fork()
        if not child:
            random.seed(self.seed * 1000 + self.started)
            try:
                write(self.started, self.path, self.kind, self.inherited, self.report)
            finally:
                os._exit(1)
        self.running[child] = self.started
        self.started += 1

    def kill(self, child: int) -> None:
        os.kill(child, signal.SIGKILL)
        del self.running[child]
        self.failed += not os.WIFSIGNALED(os.waitpid(child, 0)[1])

    def listen(self) -> None:
        try:
            while data := os.read(self.read, KEPT.size):
                writer, number = KEPT.unpack(data)
                self.promised[writer] = max(self.promised.get(writer, 0), number)
        except BlockingIOError:
            pass

    def run(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            while len(self.running) < WRITERS:
                self.start()
            select.select([self.read], [], [], random.random() * 0.04)
            self.listen()
            if random.random() < 0.5:
                self.kill(random.choice(list(self.running)))
        for child in list(self.running):
            self.kill(child)
        self.listen()
        AppendedFile(self.path, FRAMING, shared=True).close()


def faultsOf(files: list[str], promised: dict[int, int]) -> dict[str, int]:
    """Count what is wrong with the records of all files."""
    counts = {"lines": 0, "torn": 0, "doubled": 0, "disordered": 0}
    seen: dict[int, int] = {}
    for path in files:
        with open(path, "rb") as file:
            for line in file:
                counts["lines"] += 1
                body, _space, checksum = line.rstrip(b"\n").rpartition(b" ")
                if not line.endswith(b"\n") or hashlib.md5(body).hexdigest().encode() != checksum:
                    counts["torn"] += 1
                    continue
                writer, number = map(int, body.split(b" ", 2)[:2])
                counts["doubled"] += number < seen.get(writer, 0)
                counts["disordered"] += number > seen.get(writer, 0)
                seen[writer] = number + 1
    lost = sum(seen.get(writer, 0) < number for writer, number in promised.items())
    return {**counts, "lost": lost}


def main(path: str, kind: str, seconds: float, seed: int) -> dict[str, Any]:
    random.seed(seed)
    killer = Killer(path, kind, seed)
    killer.run(seconds)
    rotated = rotatedFiles(path)
    tidy(path, None, True)
    compressed = rotatedFiles(path)
    for name in compressed:
        os.system(f"gunzip {name}")  # by the tool that users have
    faults = faultsOf([*rotatedFiles(path), path], killer.promised)
    return {**faults, "failed": killer.failed, "killed": killer.started, "files": len(rotated) + 1}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]))))
