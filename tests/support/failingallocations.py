"""Lets each allocation of the compiled line buffer fail, one after the other. Prints how many failed.

Run in a process of its own: a crash is a result too.
"""

from __future__ import annotations

import _testcapi
from collections.abc import Callable
from typing import Any

from reactor._linebuf import LineBuffer
from tests.support import obviousbuffer

RUNS = 150

Step = Callable[[Any], Any]


def feed(data: bytes) -> Step:
    return lambda buffer: buffer.feed(data)


def cut(buffer: Any) -> Any:
    return buffer.cut(b"\r\n")


def iterate(buffer: Any) -> Any:
    return next(buffer, None)


def batch(buffer: Any) -> Any:
    return buffer.lines()


def skip(buffer: Any) -> Any:
    return buffer.skip()


def take(buffer: Any) -> Any:
    return buffer.take()


LONG = b"x" * 700
SCENARIOS: list[list[Step]] = [
    [feed(b"one line\r\ntwo lines\r\nrest"), iterate, iterate, iterate, feed(b" of it\r\n"), iterate, take],
    [feed(LONG), iterate, feed(LONG), iterate, feed(LONG + b"\r\nnext\r\n"), iterate, iterate, take],
    [feed(b"a\r\n" * 9), iterate, feed(b"more\r\n" * 60), iterate, feed(LONG), *[cut] * 80, take],
    [feed(b"start" + LONG), iterate, feed(LONG + b"\r"), feed(b"\n" + LONG), iterate, iterate, take],
    [feed(b"start\r"), iterate, feed(b"\n" + LONG + b"\r\nline\r\n"), batch, take],
    [feed(b"a line of some length\r\n" * 40), batch, take],
    [feed(b"first" + LONG), iterate, feed(LONG + b"\r\n" + b"a line of some length\r\n" * 40 + b"x"), batch, take],
    [feed(LONG), iterate, skip, feed(LONG), feed(LONG + b"\r"), feed(b"\nnext line\r\n" + LONG), iterate, take],
    [feed(b"read\r\n" * 90), *[iterate] * 80, feed(LONG), *[iterate] * 11, feed(bytes(9)), take],
]


def sweep(steps: list[Step], isOnce: bool) -> int:
    """Run `steps` with the n-th allocation failing, or all from there on, for each n; return how many were noticed.

    There are runs to spare: a failure may go unnoticed, where memory was only to be saved.
    """
    truth = obviousbuffer.LineBuffer()
    expected = flat([step(truth) for step in steps])
    noticed = 0
    for count in range(RUNS):
        buffer = LineBuffer()
        results = []
        for step in steps:
            try:
                _testcapi.set_nomemory(count, count + 1 if isOnce else 0)
                try:
                    result = step(buffer)
                finally:
                    _testcapi.remove_mem_hooks()
            except MemoryError:
                noticed += 1
                # As if nothing had happened, now that there is memory.
                result = step(buffer)
            results.append(result)
            if step is batch:
                results.append(buffer.lines())
        assert flat(results) == expected, (count, flat(results), expected)
    return noticed


def flat(results: list[Any]) -> list[bytes]:
    """The lines of all results, batches and single ones alike."""
    return [
        line for result in results if result is not None for line in (result if isinstance(result, list) else [result])
    ]


if __name__ == "__main__":
    print(sum(sweep(steps, isOnce) for steps in SCENARIOS for isOnce in (True, False)))
