"""What Deferreds cost, ours against Twisted's, in alternating runs: `python bench/defer.py`.

Each case returns a number that shows that it did its work; the two must agree.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from twisted.internet import defer as theirs

from reactor import defer as ours

COUNT = 20_000
ROUNDS = 9


def plain(m: Any) -> int:
    total = 0
    for number in range(COUNT):
        d = m.Deferred()
        d.addCallback(int.__add__, 1)
        d.callback(number)
        total += d.result
    return total


def handledError(m: Any) -> int:
    total = 0

    def fail(number: int) -> None:
        raise ValueError(number)

    for number in range(COUNT):
        d = m.Deferred()
        d.addCallback(fail).addErrback(lambda failure: failure.trap(ValueError) and failure.value.args[0])
        d.callback(number)
        total += d.result
    return total


def waiting(m: Any) -> int:
    total = 0
    for number in range(COUNT):
        inner, outer = m.Deferred(), m.Deferred()
        outer.addCallback(lambda _, inner=inner: inner)
        outer.callback(None)
        inner.callback(number)
        total += outer.result
    return total


def coroutine(m: Any) -> int:
    async def double(d: Any) -> int:
        return 2 * int(await d)

    total = 0
    for number in range(COUNT):
        d = m.Deferred()
        outcome = m.Deferred.fromCoroutine(double(d))
        d.callback(number)
        total += outcome.result
    return total


def measure(case: Callable[[Any], int], m: Any) -> tuple[float, int]:
    start = time.perf_counter()
    answer = case(m)
    return (time.perf_counter() - start) / COUNT, answer


def main() -> None:
    print(f"Python {sys.version.split()[0]}, Twisted {version('twisted')}; microseconds for one, best of {ROUNDS}")
    for case in (plain, handledError, waiting, coroutine):
        runs = [(measure(case, ours), measure(case, theirs)) for _ in range(ROUNDS)]
        answers = {answer for pair in runs for _, answer in pair}
        if len(answers) != 1:
            raise SystemExit(f"{case.__name__}: the answers differ: {answers}")
        mine, other = (min(pair[which][0] for pair in runs) * 1e6 for which in (0, 1))
        print(f"{case.__name__:12} ours {mine:6.2f}  Twisted {other:6.2f}  ratio {mine / other:.2f}")


if __name__ == "__main__":
    main()
