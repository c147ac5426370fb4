"""The three line buffers under one contract, and what only the shipped ones promise: cost, memory, which one it is."""

from __future__ import annotations

import gc
import importlib
import importlib.util
import os
import pathlib
import runpy
import subprocess
import sys
import time
import tracemalloc
import types
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from reactor import linecore
from reactor._gil import hasGIL
from reactor.linecore import _locked, _pure
from reactor.linereceiver import LineReceiver
from tests.contract.linebuffer import LineBufferContract, Maker
from tests.support import obviousbuffer
from tests.support.cutting import pieces

ROOT = pathlib.Path(__file__).resolve().parents[3]
BUILT = importlib.util.find_spec("reactor._linebuf") is not None
SHIPPED: dict[str, Maker] = {"pure": _pure.LineBuffer, "locked": _locked.LineBuffer}
PURE = SHIPPED["pure" if hasGIL() else "locked"]  # the pure core of this interpreter
if BUILT:
    from reactor import _linebuf

    SHIPPED["compiled"] = _linebuf.LineBuffer


class TestOracle(LineBufferContract):
    @pytest.fixture
    def make(self) -> Maker:
        return obviousbuffer.LineBuffer


class TestShipped(LineBufferContract):
    @pytest.fixture(params=SHIPPED)
    def make(self, request: pytest.FixtureRequest) -> Maker:
        return SHIPPED[request.param]


@pytest.fixture(params=SHIPPED)
def make(request: pytest.FixtureRequest) -> Maker:
    return SHIPPED[request.param]


# The methods and attributes that LineReceiver uses.


class Owner:
    pass


def test_whileBusyOrWaitingItOnlyCollects(make: Maker) -> None:
    buffer, owner = make(), Owner()
    assert (buffer.busy, buffer.waiting) == (False, False)
    assert buffer.receive(owner, b"a", None) != linecore.KEPT
    assert buffer.busy
    assert buffer.receive(owner, b"b", None) == linecore.KEPT
    buffer.busy = False
    buffer.waiting = True
    assert buffer.receive(owner, bytearray(b"c"), None) == linecore.KEPT
    assert (buffer.busy, buffer.waiting, buffer.peek()) == (False, True, b"abc")
    buffer.waiting = False
    assert buffer.receive(owner, b"", None) != linecore.KEPT
    buffer.busy = False
    with pytest.raises(TypeError):
        buffer.receive(owner, "text", None)
    assert not buffer.busy


def test_theOwnerIsNotKept(make: Maker) -> None:
    buffer, owner = make(), Owner()
    before = sys.getrefcount(owner)
    for _ in range(10):
        buffer.receive(owner, b"x\r\n", None)
        assert list(buffer) in ([], [b"x"])
        buffer.busy = False
    assert sys.getrefcount(owner) == before
    buffer.receive(owner, b"", None)
    del buffer
    assert sys.getrefcount(owner) == before


# Cost.


class Quiet(LineReceiver):
    MAX_LENGTH = 2**40
    count = 0

    def lineReceived(self, line: bytes) -> None:
        self.count += 1


class Pausing(Quiet):
    def lineReceived(self, line: bytes) -> None:
        self.count += 1
        self.paused = True


class Flipping(Quiet):
    def lineReceived(self, line: bytes) -> None:
        self.count += 1
        self.setRawMode()

    def rawDataReceived(self, data: bytes) -> None:
        self.setLineMode(data)


class Skipping(Quiet):
    MAX_LENGTH = 10
    overlong = "skip"


class Refeeding(Quiet):
    def lineReceived(self, line: bytes) -> None:
        self.count += 1
        if line == b"again":
            self.dataReceived(b"x\r\n")


def feedAll(protocol: Any, reads: list[bytes]) -> None:
    for read in reads:
        protocol.dataReceived(read)


def resumeToTheEnd(protocol: Any, reads: list[bytes]) -> None:
    feedAll(protocol, reads)
    while protocol.paused:
        protocol.paused = False
        protocol.dataReceived(b"")


Scenario = tuple[type[Quiet], int, Callable[[int], list[bytes]], Callable[[int], int]]

SCENARIOS: dict[str, Scenario] = {
    "tiny lines in one read": (Quiet, 2**18, lambda n: [b"a\r\n" * (n // 3)], lambda n: n // 3),
    "byte by byte, one line": (Quiet, 2**15, lambda n: pieces(b"x" * n + b"\r\n", 1), lambda n: 1),
    "byte by byte, many lines": (Quiet, 2**15, lambda n: pieces(b"a\r\n" * (n // 3), 1), lambda n: n // 3),
    "one long line in 64s": (Quiet, 2**20, lambda n: pieces(b"x" * n + b"\r\n", 64), lambda n: 1),
    "one long line in 4096s": (Quiet, 2**24, lambda n: pieces(b"x" * n + b"\r\n", 4096), lambda n: 1),
    "a flood of CR": (Quiet, 2**19, lambda n: [*pieces(b"\r" * n, 4096), b"\n"], lambda n: 1),
    "a flood of CR, trickling": (Quiet, 2**15, lambda n: [*pieces(b"\r" * n, 1), b"\n"], lambda n: 1),
    "a flood of LF": (Quiet, 2**18, lambda n: [*pieces(b"\n" * n, 4096), b"\r\n"], lambda n: 1),
    "modes flip in 64 KiB reads": (Flipping, 2**16, lambda n: pieces(b"a\r\n" * (n // 3), 65536), lambda n: n // 3),
    "a pause after each line": (Pausing, 2**17, lambda n: [b"a\r\n" * (n // 3)], lambda n: n // 3),
    "the same, read in 1000s": (Pausing, 2**17, lambda n: pieces(b"a\r\n" * (n // 3), 1000), lambda n: n // 3),
    "skipped in 64s": (Skipping, 2**19, lambda n: [*pieces(b"x" * n, 64), b"\r\na\r\n"], lambda n: 1),
    "fed again from each line": (Refeeding, 2**16, lambda n: [b"again\r\n" * (n // 7)], lambda n: 2 * (n // 7)),
}


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.timing
def test_theCostIsLinear(make: Maker, scenario: str) -> None:
    """Eight times the bytes take about eight times as long. A quadratic cost would make it 64 times."""
    kind, size, readsOf, countOf = SCENARIOS[scenario]
    kind = type("Kind", (kind,), {"_bufferClass": make})

    def seconds(size: int) -> float:
        reads = readsOf(size)
        protocol = kind()
        begin = time.process_time()
        resumeToTheEnd(protocol, reads)
        spent = time.process_time() - begin
        assert (protocol.count, protocol.clearLineBuffer()) == (countOf(size), b"")
        return spent

    gc.collect()
    small = max(min(seconds(size // 8) for _ in range(3)), 0.002)
    assert min(seconds(size) for _ in range(2)) < small * 8 * 3


def test_aLongDelimiterThatKeepsBeginning(make: Maker) -> None:
    delimiter = b"ab" * 7 + b"c"
    buffer = make(delimiter=delimiter, maxLength=2**40)
    count = 0
    for read in [*pieces(b"ab" * 50_000, 1), b"abc", b"x" + delimiter]:
        buffer.feed(read)
        count += len(list(buffer))
    assert count == 2


# Memory.


def test_aReadIsAdoptedAndLetGo(make: Maker) -> None:
    """bytes are not copied; a small rest does not hold a large read, nor does a buffer that was stopped at its end."""
    read = bytes(bytearray(b"line\r\n" * 10_000))
    for rest in (b"", b"rest"):
        whole = read + rest
        before = sys.getrefcount(whole)
        buffer = make()
        buffer.feed(whole)
        assert sys.getrefcount(whole) == before + 1
        assert buffer.take() is whole
        buffer.feed(whole)
        assert sum(1 for _ in buffer) == 10_000
        assert sys.getrefcount(whole) == before
        assert buffer.take() == rest

    whole = read + b""
    before = sys.getrefcount(whole)
    protocol: Any = type("Stopped", (LineReceiver,), {"_bufferClass": make, "lineReceived": lambda self, line: True})()
    protocol.dataReceived(whole)
    for _ in range(9_999):
        assert protocol.dataReceived(b"") is True
    assert sys.getrefcount(whole) == before


def test_halfALineHoldsLittleMore(make: Maker) -> None:
    """A client that sits on half a line, sent in pieces: not twice its size, and nothing of what was before."""
    count = 10
    tracemalloc.start()
    try:
        held = halfLines(make, count)
        gc.collect()
        memory, _peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [len(buffer) for buffer in held] == [16_000] * count
    assert memory < count * (16_000 * 1.2 + 1000)


def halfLines(make: Maker, count: int) -> list[Any]:
    buffers = [make() for _ in range(count)]
    for buffer in buffers:
        for read in [b"x\r\n" * 3_000, *pieces(b"x" * 16_000, 1000)]:
            buffer.feed(bytes(bytearray(read)))
            assert buffer.lines() == [b"x"] * read.count(b"\r\n")
    return buffers


# Which one it is.


def choice(monkeypatch: pytest.MonkeyPatch, environment: str | None, extension: types.ModuleType | None) -> Any:
    """Return the package's choice in this environment, with this extension, or none."""
    if environment is None:
        monkeypatch.delenv("REACTOR_PURE", raising=False)
    else:
        monkeypatch.setenv("REACTOR_PURE", environment)
    monkeypatch.setitem(sys.modules, "reactor._linebuf", extension)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        chosen = runpy.run_path(str(linecore.__file__))
    return chosen["IMPLEMENTATION"], chosen["LineBuffer"], [warning.category for warning in caught]


def working() -> types.ModuleType:
    extension = types.ModuleType("reactor._linebuf")
    vars(extension).update(
        LineBuffer=Owner,
        Lines=Owner,
        OutputBuffer=Owner,
        Tally=Owner,
        Disconnectable=Owner,
        announces=None,
        announcingFromTheStart=None,
    )
    return extension


@pytest.mark.parametrize("environment", [None, "", "0"])
def test_theCompiledOneIsChosen(monkeypatch: pytest.MonkeyPatch, environment: str | None) -> None:
    assert choice(monkeypatch, environment, working()) == ("compiled", Owner, [])


def test_thePureOneIsChosenByTheEnvironment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choice(monkeypatch, "1", working()) == ("pure", PURE, [])


def test_aPureBuildIsSilent(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choice(monkeypatch, None, None) == ("pure", PURE, [])


def test_anExtensionThatCannotBeImportedIsWarnedOf(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = types.ModuleType("reactor._linebuf")
    vars(broken).update(LineBuffer=Owner)
    assert choice(monkeypatch, None, broken) == ("pure", PURE, [RuntimeWarning])


def test_anExtensionThatLacksAModuleIsWarnedOf(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lacking(types.ModuleType):
        def __getattr__(self, name: str) -> Any:
            raise ModuleNotFoundError("no module of that name", name="elsewhere")

    extension = Lacking("reactor._linebuf")
    extension.__path__ = []
    assert choice(monkeypatch, None, extension) == ("pure", PURE, [RuntimeWarning])


def test_thisProcessHasWhatItAskedFor() -> None:
    pure = os.environ.get("REACTOR_PURE") == "1" or not BUILT
    assert ("pure" if pure else "compiled") == linecore.IMPLEMENTATION
    assert linecore.LineBuffer is (PURE if pure else SHIPPED["compiled"])
    assert set(linecore.__all__) <= set(vars(linecore))


if BUILT:

    def test_anIdleBufferIsSmall() -> None:
        buffer = _linebuf.LineBuffer()
        assert sys.getsizeof(buffer) < (100 if hasGIL() else 116)  # each object's head is longer without the GIL
        assert not gc.is_tracked(buffer)

    def test_memoryMayRunOutAtAnyPoint() -> None:
        """Each allocation fails once, and then all from some point on: nothing is lost, nothing comes twice."""
        result = subprocess.run(
            [sys.executable, "-m", "tests.support.failingallocations"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (result.returncode, result.stderr) == (0, "")
        assert int(result.stdout) > 50
