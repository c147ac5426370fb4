"""The history of a soak, and its judge: each line that a client has sent, each answer, and each line that was kept.

A line is a client, a life (one connection of that client), a number that counts from 0 in each life, and a checksum.
The server writes each line to a journal, and then answers with its process and the line. A line may come when a server
that drains has ended its half of the connection. It is kept, marked as late, and no answer is owed.
"""

from __future__ import annotations

import collections
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

# How a connection has ended for its client: by the server's FIN, by a reset that the client has not made, or otherwise.
FIN, RESET, OURS = "FIN", "reset", "ours"

LATE = b"late "  # before a line of a journal

FAULTS = ("foreign", "lost", "doubled", "reordered", "unanswered", "cut", "stalled")


def lineOf(client: int, life: int, number: int) -> bytes:
    """Return a line without its end."""
    text = b"%d %d %d" % (client, life, number)
    return b"%s %08x" % (text, zlib.crc32(text))


def parsed(line: bytes) -> tuple[int, int, int] | None:
    """Return the client, the life and the number of a line; None for anything else."""
    text, _, check = line.rpartition(b" ")
    fields = text.split(b" ")
    if len(fields) != 3 or check != b"%08x" % zlib.crc32(text) or not all(map(bytes.isdigit, fields)):
        return None
    client, life, number = map(int, fields)
    return client, life, number


@dataclass(slots=True)
class Life:
    """One connection of a client."""

    client: int
    number: int
    mayBeCut: bool = False  # the server may have to give it up, for example in a partition
    sent: int = 0
    answered: int = 0
    worker: int | None = None  # the process that has answered
    ended: str = OURS

    def lines(self, count: int) -> bytes:
        """Return the next lines, which are sent now."""
        self.sent += count
        numbers = range(self.sent - count, self.sent)
        return b"".join(lineOf(self.client, self.number, number) + b"\n" for number in numbers)


@dataclass
class History:
    """Every life, and the faults that answers have shown so far."""

    lives: dict[tuple[int, int], Life] = field(default_factory=dict)
    answers: collections.Counter[int] = field(default_factory=collections.Counter)  # by client
    killed: set[int] = field(default_factory=set)  # processes that were not to end in order
    faults: collections.Counter[str] = field(default_factory=collections.Counter)
    examples: list[str] = field(default_factory=list)
    _next: collections.Counter[int] = field(default_factory=collections.Counter)

    def begin(self, client: int, mayBeCut: bool = False) -> Life:
        """Return a new life of a client."""
        life = Life(client, self._next[client], mayBeCut)
        self._next[client] += 1
        self.lives[client, life.number] = life
        return life

    def fault(self, kind: str, example: object) -> None:
        """Count a fault, and keep the first ones."""
        self.faults[kind] += 1
        if len(self.examples) < 20:
            self.examples.append(f"{kind}: {example}")

    def answered(self, life: Life, answer: bytes) -> None:
        """Judge an answer, which has come without its end."""
        worker, _, line = answer.partition(b" ")
        found = parsed(line)
        if found is None or found[:2] != (life.client, life.number) or found[2] >= life.sent or not worker.isdigit():
            self.fault("foreign", (life, answer))
            return
        life.worker = int(worker)
        if found[2] == life.answered:
            life.answered += 1
            self.answers[life.client] += 1
        else:
            self.fault("doubled" if found[2] < life.answered else "reordered", (life, answer))

    def judge(self, journals: Mapping[int, Iterable[bytes]]) -> dict[str, int]:
        """Judge the journals, by process, and what is known of each life. Return the number of faults of each kind."""
        kept: collections.Counter[tuple[int, int]] = collections.Counter()
        late: collections.Counter[tuple[int, int]] = collections.Counter()
        writers: dict[tuple[int, int], int] = {}
        for worker, lines in journals.items():
            for line in lines:
                isLate = line.startswith(LATE)
                key = self._keep(worker, line[isLate * len(LATE) :], kept, writers)
                if key is not None:
                    late[key] += isLate
        for key, life in self.lives.items():
            server = writers.get(key, life.worker)
            isExcused = server is None or server in self.killed or life.mayBeCut
            if life.answered > kept[key]:
                self.fault("lost", (life, kept[key]))
            if kept[key] - late[key] > life.answered and life.ended == FIN and not isExcused:
                self.fault("unanswered", (life, kept[key]))
            if life.ended == RESET and not isExcused:
                self.fault("cut", life)
        return {kind: self.faults[kind] for kind in FAULTS}

    def _keep(
        self,
        worker: int,
        line: bytes,
        kept: collections.Counter[tuple[int, int]],
        writers: dict[tuple[int, int], int],
    ) -> tuple[int, int] | None:
        """Count a line of a journal. Return its client and life; None if it is a fault."""
        found = parsed(line)
        life = None if found is None else self.lives.get(found[:2])
        if found is None or life is None or found[2] >= life.sent:
            self.fault("foreign", (worker, line))
            return None
        key, number = found[:2], found[2]
        if number < kept[key] or writers.setdefault(key, worker) != worker:
            self.fault("doubled", (worker, line))
        elif number > kept[key]:
            self.fault("reordered", (worker, line))  # or the line before it is lost
        else:
            kept[key] += 1
            return key
        return None
