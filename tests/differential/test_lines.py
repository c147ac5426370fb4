"""Our line receivers beside Twisted's: random scripts, and every small input there is. Each process tests its own core.

REACTOR_SCRIPTS says how many scripts there are (default 200,000), REACTOR_SEED with which seed they begin (default 0).
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterator

import pytest

from reactor.linereceiver import LineReceiver
from tests.differential.linescripts import BASES, Writer, check, describe, isEqual, minimise, traceOf

SCRIPTS = int(os.environ.get("REACTOR_SCRIPTS", "200000"))
SEED = int(os.environ.get("REACTOR_SEED", "0"))
PARTS = 10


@pytest.mark.parametrize("part", range(PARTS))
def test_lineReceiverIsTwisteds(part: int) -> None:
    for seed in range(SEED + part, SEED + SCRIPTS, PARTS):
        check("lines", seed)


@pytest.mark.parametrize("part", range(PARTS))
def test_lineOnlyReceiverIsTwisteds(part: int) -> None:
    for seed in range(SEED + part, SEED + SCRIPTS // 20, PARTS):
        check("linesOnly", seed)


def test_theScriptsReachEverything() -> None:
    """The scripts are worth something: each kind of event comes often, and traces are seldom empty."""
    seen: dict[str, int] = {}
    _ours, theirs = BASES["lines"]
    for seed in range(500):
        events = {event[0] for event in traceOf(Writer(seed).script("lines"), theirs)}
        for name in events:
            seen[name] = seen.get(name, 0) + 1
    assert min(seen[name] for name in ("line", "raw", "exceeded", "raised", "get", "pause", "resume", "lose")) >= 10
    assert seen["line"] > 250


class Careless(LineReceiver):
    """A line receiver with a fault, planted: it loses the empty lines that follow a change of the delimiter."""

    def dataReceived(self, data: bytes) -> object:
        return None if "delimiter" in vars(self) and data == b"x" else super().dataReceived(data)


def test_aFaultIsFoundAndMinimised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BASES, "lines", (Careless, BASES["lines"][1]))
    for seed in range(5000):
        script = Writer(seed).script("lines")
        if not isEqual(script):
            break
    with pytest.raises(AssertionError, match=f"linescripts lines {seed}"):
        check("lines", seed)
    small = minimise(script)
    assert [bytes(read) for read in small.reads] == [b"x"]
    assert "ours" in describe(small)


Outcome = tuple[list[bytes | tuple[bytes]], bytes]


def reference(reads: tuple[bytes, ...], delimiter: bytes, limit: int) -> Outcome:
    """The lines of `reads`, what was too long, in a tuple, and what is left."""
    out: list[bytes | tuple[bytes]] = []
    held = b""
    for read in reads:
        held += read
        while held:
            line, found, rest = held.partition(delimiter)
            if not found and len(held) < limit + len(delimiter):
                break
            if not found or len(line) > limit:
                out.append((held,))
                held = b""
                break
            out.append(line)
            held = rest
    return out, held


class Recorder(LineReceiver):
    def __init__(self) -> None:
        self.out: list[bytes | tuple[bytes]] = []

    def lineReceived(self, line: bytes) -> None:
        self.out.append(line)

    def lineLengthExceeded(self, line: bytes) -> None:
        self.out.append((line,))


def outcomeOf(kind: type[Recorder], reads: tuple[bytes, ...]) -> Outcome:
    recorder = kind()
    for read in reads:
        recorder.dataReceived(read)
    return recorder.out, recorder.clearLineBuffer()


def words(longest: int, shortest: int = 1) -> Iterator[bytes]:
    for size in range(shortest, longest + 1):
        yield from map(bytes, itertools.product(b"ab", repeat=size))


def smallReads() -> Iterator[tuple[bytes, ...]]:
    """Every string over {a, b} of up to 7 bytes in every three parts, and every one of 8 bytes in every two."""
    for word in words(7):
        for first in range(len(word) + 1):
            for second in range(first, len(word) + 1):
                yield word[:first], word[first:second], word[second:]
    for word in words(8, 8):
        for cut in range(len(word) + 1):
            yield word[:cut], word[cut:]


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_everySmallInput(size: int) -> None:
    """Every delimiter of up to 4 bytes over {a, b}, every MAX_LENGTH from 0 to 6."""
    for reads in smallReads():
        for delimiter, kinds in KINDS[size].items():
            for limit, kind in enumerate(kinds):
                assert outcomeOf(kind, reads) == reference(reads, delimiter, limit), (reads, delimiter, limit)


KINDS = {
    size: {
        delimiter: [type("Kind", (Recorder,), {"delimiter": delimiter, "MAX_LENGTH": limit}) for limit in range(7)]
        for delimiter in words(size, size)
    }
    for size in range(1, 5)
}


def test_longPeriodicDelimiters() -> None:
    """Delimiters of 5 to 40 bytes that overlap themselves, in streams made of their beginnings."""
    rng = random.Random(5)
    for _ in range(3000):
        period = bytes(rng.choices(b"ab", k=rng.randrange(1, 5)))
        delimiter = (period * 40)[: rng.randrange(4, 39)] + rng.choice((b"a", b"b", b"c"))
        parts = [delimiter[: rng.randrange(len(delimiter) + 2)] for _ in range(12)]
        stream = b"".join(parts)
        cuts = sorted(rng.randrange(len(stream) + 1) for _ in range(rng.randrange(12)))
        reads = tuple(stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True))
        limit = rng.choice((3, 30, 300))
        kind = type("Kind", (Recorder,), {"delimiter": delimiter, "MAX_LENGTH": limit})
        assert outcomeOf(kind, reads) == reference(reads, delimiter, limit), (reads, delimiter, limit)
