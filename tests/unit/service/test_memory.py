"""Giving free memory back to the system: when, and that the real allocator does."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from reactor.service import memory
from reactor.service.memory import INTERVAL, WORTHWHILE, Allocator, MemoryReturn, residentBytes
from reactor.task import Clock

MIB = 1 << 20
# In a process of its own: the heap of a long run of tests has room for all of it.
REAL_HEAP = """
from reactor.service.memory import INTERVAL, MemoryReturn, residentBytes
from reactor.task import Clock

clock = Clock()
returning = MemoryReturn(clock)
returning.start()
before = residentBytes()
blocks = [bytearray(16_000) if number % 10 else bytes(600) for number in range(11_000)]
small = blocks[::10]
del blocks
print(residentBytes() - before)
clock.advance(INTERVAL)
print(residentBytes() - before)
"""


class Heap(Allocator):
    """An allocator with numbers of its own: `used` and `spare` bytes are resident."""

    def __init__(self, used: int = 20 * MIB) -> None:
        self.used, self.spare, self.trims = used, 0, 0

    def free(self) -> int:
        return self.spare

    def resident(self) -> int:
        return self.used + self.spare

    def trim(self) -> None:
        self.spare = 0
        self.trims += 1


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def heap() -> Heap:
    return Heap()


@pytest.fixture
def returning(clock: Clock, heap: Heap) -> MemoryReturn:
    found = MemoryReturn(clock, lambda: heap, heap.resident)
    found.start()
    return found


def test_freeMemoryIsGivenBack(clock: Clock, heap: Heap, returning: MemoryReturn) -> None:
    heap.used += WORTHWHILE
    clock.advance(INTERVAL)
    assert heap.trims == 0  # it is in use
    heap.used, heap.spare = 20 * MIB, WORTHWHILE
    clock.advance(INTERVAL)
    assert heap.trims == 1
    clock.advance(10 * INTERVAL)
    assert heap.trims == 1


def test_littleMemoryStays(clock: Clock, heap: Heap, returning: MemoryReturn) -> None:
    heap.spare = WORTHWHILE - 1
    clock.advance(INTERVAL)
    assert heap.trims == 0
    heap.used += 100 * MIB  # of these, less than a half is free
    clock.advance(INTERVAL)
    assert heap.trims == 0


def test_eachFloodIsGivenBack(clock: Clock, heap: Heap, returning: MemoryReturn) -> None:
    for count in range(1, 4):
        heap.spare = 2 * WORTHWHILE
        clock.advance(INTERVAL)
        assert heap.trims == count


def test_whatIsInUseAfterwardsCounts(clock: Clock, heap: Heap, returning: MemoryReturn) -> None:
    """The process has become larger for good: that is no reason to look into the heap for ever."""
    heap.used, heap.spare = 200 * MIB, 200 * MIB
    clock.advance(INTERVAL)
    assert heap.trims == 1
    heap.spare = WORTHWHILE - 1
    clock.advance(INTERVAL)
    assert heap.trims == 1


def test_itStops(clock: Clock, heap: Heap, returning: MemoryReturn) -> None:
    returning.start()
    assert len(clock.getDelayedCalls()) == 1
    returning.stop()
    returning.stop()
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize("error", [ImportError, OSError, AttributeError, TypeError])
def test_withAnotherAllocatorItDoesNothing(clock: Clock, error: type[Exception]) -> None:
    def none() -> Allocator:
        raise error

    returning = MemoryReturn(clock, none)
    returning.start()
    assert clock.getDelayedCalls() == []
    returning.stop()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library's allocator gives memory back itself")
def test_theRealHeap() -> None:
    """10,000 blocks, and small ones between them: freed, they stay with the process until it gives them back."""
    ran = subprocess.run([sys.executable, "-c", REAL_HEAP], capture_output=True, text=True, check=True)
    kept, left = map(int, ran.stdout.split())
    assert left <= 40 * MIB <= kept


def test_residentBytesElsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    assert residentBytes() > MIB

    def missing(*_arguments: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(memory, "open", missing, raising=False)
    assert residentBytes() == 0
