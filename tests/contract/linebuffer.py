"""Tests of every LineBuffer: the oracle, the pure one and the compiled one. A subclass has the fixture `make`."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.support import obviousbuffer
from tests.support.cutting import KINDS, cuttings, pieces

Maker = Callable[..., Any]

ENDLESS = 2**70


def fed(make: Maker, reads: list[bytes], **settings: Any) -> Any:
    buffer = make(**settings)
    for read in reads:
        buffer.feed(read)
    return buffer


def cutAfterEachRead(make: Maker, reads: list[bytes], **settings: Any) -> tuple[list[bytes], Any]:
    buffer = make(**settings)
    lines: list[bytes] = []
    for read in reads:
        buffer.feed(read)
        lines += buffer
    return lines, buffer


class LineBufferContract:
    @pytest.mark.parametrize("delimiter", [b"\r\n", b"\n", b"\0", b"aab", b"abab", b"0123456789abcdef", b"---" * 40])
    def test_splits(self, make: Maker, delimiter: bytes) -> None:
        lines = [b"", b"one", b"", b"t" * 300, b"\r", b"ab", b"a", b"0123456789", b"--", b"last"]
        stream = delimiter.join(lines) + delimiter + b"rest"
        expected = stream.split(delimiter)
        for reads in cuttings(stream, delimiter):
            for cut, buffer in (
                cutAfterEachRead(make, reads, delimiter=delimiter),
                (list(whole := fed(make, reads, delimiter=delimiter)), whole),
                ((batch := fed(make, reads, delimiter=delimiter)).lines(), batch),
            ):
                assert cut == expected[:-1]
                assert {type(line) for line in cut} == {bytes}
                assert (buffer.peek(), len(buffer), buffer.lineCount) == (expected[-1], len(expected[-1]), len(cut))

    def test_theLeftmostDelimiterEndsTheLine(self, make: Maker) -> None:
        for reads in cuttings(b"\r\r\n\n\r\r\n"):
            assert cutAfterEachRead(make, reads)[0] == [b"\r", b"\n\r"]
        for reads in cuttings(b"aaaaa", b"aa"):
            lines, buffer = cutAfterEachRead(make, reads, delimiter=b"aa")
            assert (lines, buffer.take()) == ([b"", b""], b"a")

    @pytest.mark.parametrize("kind", KINDS)
    def test_everyKindOfBytes(self, make: Maker, kind: Callable[[bytes], Any]) -> None:
        buffer = make()
        for read in (b"a\r", b"\nb", b"c\r\nd"):
            buffer.feed(kind(read))
        lines = [next(buffer), next(buffer), buffer.take()]
        assert lines == [b"a", b"bc", b"d"]
        assert {type(line) for line in lines} == {bytes}

    def test_whatWasFedIsCopied(self, make: Maker) -> None:
        read = bytearray(b"abc")
        buffer = make()
        buffer.feed(read)
        read[:] = b"xyz"
        buffer.feed(read)
        read[:] = b"123"
        assert buffer.take() == b"abcxyz"

    @pytest.mark.parametrize("wrong", ["text", 7, None, [1]])
    def test_whatIsNoBytesIsRefused(self, make: Maker, wrong: Any) -> None:
        buffer = make()
        for held in (b"", b"held"):
            buffer.feed(held)
            with pytest.raises(TypeError):
                buffer.feed(wrong)
            with pytest.raises(TypeError):
                buffer.delimiter = wrong
            assert (buffer.peek(), buffer.delimiter) == (held, b"\r\n")

    def test_aMemoryviewOfManyDimensions(self, make: Maker) -> None:
        buffer = fed(make, [b"", b"held"], delimiter=b"\n")
        buffer.feed(memoryview(b"a\nb\n").cast("B", (2, 2)))
        assert buffer.lines() == [b"helda", b"b"]

    @pytest.mark.parametrize("stripCR", [False, True])
    @pytest.mark.parametrize("delimiter", [b"\n", b"\r\n", b"ab"])
    @pytest.mark.parametrize("length", range(5))
    def test_exactLimits(self, make: Maker, length: int, delimiter: bytes, stripCR: bool) -> None:
        """Equal is delivered; without a delimiter in sight, a line and a delimiter may have begun."""
        for text in (b"x" * length, b"x" * length + b"\r"):
            for limit in range(5):
                for reads in cuttings(text + delimiter, delimiter):
                    buffer = fed(make, reads, delimiter=delimiter, maxLength=limit, stripCR=stripCR)
                    shown = text.removesuffix(b"\r") if stripCR else text
                    assert buffer.exceeded is (len(shown) > limit)
                    assert buffer.lines() == ([] if len(shown) > limit else [shown])
                buffer = fed(make, [text], delimiter=delimiter, maxLength=limit, stripCR=stripCR)
                assert buffer.lines() == []
                assert buffer.exceeded is (0 < len(text) >= limit + len(delimiter) + stripCR)

    def test_aLineTooLongStopsTheOthers(self, make: Maker) -> None:
        for reads in cuttings(b"a\r\nlong\r\nb\r\n"):
            buffer = fed(make, reads, maxLength=3)
            assert list(buffer) == [b"a"]
            assert buffer.exceeded
            assert list(buffer) == []
            assert buffer.take() == b"long\r\nb\r\n"
            assert not buffer.exceeded

    def test_aLimitMayChangeAtAnyTime(self, make: Maker) -> None:
        buffer = fed(make, [b"abc\r\nabcd\r\nabcde\r\nabc"], maxLength=3)
        assert list(buffer) == [b"abc"]
        buffer.maxLength = 4
        assert next(buffer) == b"abcd"
        assert buffer.exceeded
        buffer.maxLength = 5
        assert list(buffer) == [b"abcde"]
        buffer.maxLength = -3
        assert buffer.exceeded
        assert make(maxLength=-3).exceeded is False

    @pytest.mark.parametrize("limit", [ENDLESS, 2**63 - 1, 2**31])
    def test_unlimited(self, make: Maker, limit: int) -> None:
        buffer = fed(make, [b"x" * 70000], maxLength=limit)
        assert not buffer.exceeded
        buffer.feed(b"\r\n")
        assert buffer.lines() == [b"x" * 70000]

    def test_belowEveryLimit(self, make: Maker) -> None:
        buffer = fed(make, [b"\r\n"], maxLength=-ENDLESS)
        assert (buffer.lines(), buffer.exceeded) == ([], True)

    def test_aDelimiterMayChangeAtAnyTime(self, make: Maker) -> None:
        for reads in cuttings(b"a\r\nb;c\nd;e\r\nf"):
            buffer = fed(make, reads)
            assert next(buffer) == b"a"
            buffer.delimiter = b";"
            assert next(buffer) == b"b"
            buffer.delimiter = b"\n"
            assert next(buffer) == b"c"
            assert next(buffer) == b"d;e\r"
            buffer.delimiter = bytearray(b"f")
            assert (buffer.delimiter, type(buffer.delimiter)) == (b"f", bytes)
            assert next(buffer) == b""
            assert len(buffer) == 0

    def test_whatWasSearchedIsSearchedForTheNewDelimiter(self, make: Maker) -> None:
        for reads in cuttings(b"a;b"):
            lines, buffer = cutAfterEachRead(make, reads)
            assert lines == []
            buffer.feed(b"x" * 600)
            buffer.delimiter = b";"
            assert list(buffer) == [b"a"]
            assert buffer.take() == b"b" + b"x" * 600

    def test_anEmptyDelimiterNeverComes(self, make: Maker) -> None:
        buffer = fed(make, [b"ab", b"c" * 300], delimiter=b"", maxLength=302)
        assert (list(buffer), buffer.cut(b""), buffer.exceeded) == ([], None, True)
        buffer.maxLength = 303
        assert not buffer.exceeded
        assert (len(buffer.skip()), len(buffer)) == (302, 0)
        buffer.feed(b"a\n")
        buffer.delimiter = b"\n"
        assert list(buffer) == [b"a"]

    def test_cutAsksForNoLimit(self, make: Maker) -> None:
        for reads in cuttings(b"longer\r\r\n;;x"):
            buffer = fed(make, reads, maxLength=1, stripCR=True)
            assert buffer.cut(b"\r\n") == b"longer\r"
            assert buffer.cut(b"\r\n") is None
            assert buffer.cut(b";") == b""
            assert (buffer.delimiter, buffer.lineCount, buffer.peek()) == (b";", 2, b";x")

    def test_stripCR(self, make: Maker) -> None:
        for reads in cuttings(b"a\r\n\r\n\r\r\nb\n\n", b"\r\n"):
            assert cutAfterEachRead(make, reads, delimiter=b"\n", stripCR=True)[0] == [b"a", b"", b"\r", b"b", b""]
        buffer = fed(make, [b"a\r\nb\r\n"], delimiter=b"\n")
        assert next(buffer) == b"a\r"
        assert buffer.stripCR is False
        buffer.stripCR = True
        assert next(buffer) == b"b"

    def test_skip(self, make: Maker) -> None:
        for reads in cuttings(b"x" * 9 + b"\r\nnext\r\n"):
            buffer = make(maxLength=4)
            dropped = []
            lines: list[bytes] = []
            for read in reads:
                buffer.feed(read)
                lines += buffer
                if buffer.exceeded:
                    dropped.append(buffer.skip())
                    lines += buffer
                assert len(buffer) <= 6
            (told,) = dropped
            assert (b"x" * 9 + b"\r").startswith(told)
            assert len(told) >= 6
            assert (lines, buffer.lineCount, len(buffer)) == ([b"next"], 2, 0)

    def test_skipOfACompleteLine(self, make: Maker) -> None:
        buffer = fed(make, [b"ab\r", b"\ncd\r\n"])
        assert (buffer.skip(), buffer.lines(), buffer.skip()) == (b"ab", [b"cd"], b"")

    def test_skipHoldsNothing(self, make: Maker) -> None:
        buffer = fed(make, [b"x" * 1000])
        assert len(buffer.skip()) == 1000
        for read in (b"y" * 70000, b"y", b"", b"\r", b"y" * 300, b"y" * 3000):
            buffer.feed(read)
            assert len(buffer) <= 1
            assert buffer.lines() == []
            assert not buffer.exceeded
        buffer.feed(b"\r\nz\r\n")
        assert (buffer.lines(), buffer.lineCount) == ([b"z"], 2)

    @pytest.mark.parametrize("delimiter", [b"\n", b"\r\n", b"abab", b"0123456789"])
    def test_nothingOfASkippedLineComesBack(self, make: Maker, delimiter: bytes) -> None:
        """Not even what may begin the delimiter: not from take(), with or without a count, and not from peek()."""
        for end in range(1, len(delimiter)):
            for rest in (b"x" + delimiter[:end], b"x" * 300 + delimiter[:end]):
                buffer = fed(make, [b"xxx" + delimiter[:end]], delimiter=delimiter, maxLength=-20)
                assert buffer.exceeded
                assert buffer.skip() == b"xxx" + delimiter[:end]
                for _ in range(2):
                    assert (buffer.skipping, buffer.exceeded, len(buffer), bool(buffer)) == (True, False, 0, False)
                    assert (buffer.peek(), buffer.take(), buffer.take(1), buffer.take(0)) == (b"",) * 4
                    assert (buffer.skip(), buffer.lines(), next(buffer, None)) == (b"", [], None)
                    buffer.feed(rest)
                buffer.feed(delimiter[end:] + b"next" + delimiter)
                assert (buffer.skipping, buffer.cut(delimiter), buffer.take(), buffer.lineCount) == (
                    False,
                    b"next",
                    b"",
                    2,
                )

    def test_clearEndsASkip(self, make: Maker) -> None:
        buffer = fed(make, [b"xxx\r"])
        buffer.skip()
        buffer.clear()
        assert not buffer.skipping
        buffer.feed(b"\nfirst\r\n")
        assert buffer.lines() == [b"\nfirst"]

    def test_aDelimiterThatChangesDuringASkipCountsAtOnce(self, make: Maker) -> None:
        buffer = fed(make, [b"xxx\r"])
        buffer.skip()
        buffer.delimiter = b";"
        buffer.feed(b"x\r\nx;next;")
        assert (buffer.lines(), buffer.lineCount) == ([b"next"], 2)
        buffer.feed(b"yyy")
        buffer.skip()
        buffer.delimiter = b""
        buffer.feed(b"y" * 5000 + b";")
        assert (len(buffer), buffer.skipping) == (0, True)
        buffer.delimiter = b"\n"
        buffer.feed(b"y;\nlast\n")
        assert (buffer.lines(), buffer.lineCount) == ([b"last"], 4)

    def test_takeAndClear(self, make: Maker) -> None:
        for reads in cuttings(b"a\r\nb\r\nc"):
            buffer = fed(make, reads)
            assert next(buffer) == b"a"
            assert buffer.peek() == b"b\r\nc"
            assert (buffer.take(), buffer.take(), len(buffer), bool(buffer)) == (b"b\r\nc", b"", 0, False)
            buffer.feed(b"d\r\n")
            assert buffer.lines() == [b"d"]
            for read in reads:
                buffer.feed(read)
            buffer.clear()
            assert (buffer.peek(), buffer.lines(), buffer.lineCount) == (b"", [], 2)

    def test_takeSome(self, make: Maker) -> None:
        """The first bytes, whatever lines they are part of, and wherever reads and searches ended."""
        text = b"a\r\nbc\r\nd" + b"x" * 100 + b"\r\ne"
        for reads in cuttings(text[:12]):
            for count in range(14):
                buffer = fed(make, reads)
                assert buffer.take(count) == text[:12][:count]
                assert len(buffer) == max(0, 12 - count)
                buffer.feed(text[12:])
                rest = text[count:] if count < 12 else text[12:]
                assert (buffer.lines(), buffer.take()) == (rest.split(b"\r\n")[:-1], rest.split(b"\r\n")[-1])
        with pytest.raises(ValueError, match="-1"):
            buffer.take(-1)

    def test_linesAndBytesInTurn(self, make: Maker) -> None:
        """A length on a line, then that many bytes, as many protocols have it."""
        bodies = [b"\r\n" * size for size in (0, 1, 7, 3000)] * 20
        buffer = fed(make, pieces(b"".join(b"%d\r\n%b" % (len(body), body) for body in bodies), 1000))
        for body in bodies:
            assert buffer.take(int(next(buffer))) == body
        assert len(buffer) == 0

    def test_linesUntilAnEmptyOne(self, make: Maker) -> None:
        text = b"a\r\nb\r\n\r\n\r\nc\r\n\r\nbody"
        buffer = fed(make, [text])
        heads = []
        while lines := buffer.lines(True):
            heads.append(lines)
        assert heads == [[b"a", b"b", b""], [b""], [b"c", b""]]
        assert (buffer.take(2), buffer.take(), buffer.lineCount) == (b"bo", b"dy", 6)
        assert fed(make, [text]).lines(False) == [b"a", b"b", b"", b"", b"c", b""]

    def test_linesUntilAnEmptyOneAreWhatHasCome(self, make: Maker) -> None:
        for size in (1, 2, 5, 100):
            buffer = fed(make, pieces(b"a\r\nlonger\r\n\r\nrest\r\n", size))
            assert buffer.lines(True) == [b"a", b"longer", b""]
            assert buffer.lines(True) == [b"rest"]
        buffer = make(maxLength=3)
        buffer.feed(b"a\r\nlonger\r\n\r\n")
        assert buffer.lines(True) == [b"a"]
        stripping = make(delimiter=b"\n", stripCR=True)
        stripping.feed(b"a\r\n\r\nb\n")
        assert stripping.lines(True) == [b"a", b""]

    def test_itMayBeFedAndClearedWhileIterating(self, make: Maker) -> None:
        buffer = fed(make, [b"1\r\n2\r\n3"])
        lines = []
        for line in buffer:
            lines.append(line)
            if line == b"1":
                buffer.feed(b"0\r\n40\r\n")
            if line == b"30":
                assert buffer.take() == b"40\r\n"
                buffer.feed(b"5\r\n6")
        assert (lines, buffer.take()) == ([b"1", b"2", b"30", b"5"], b"6")

    def test_aLongBacklog(self, make: Maker) -> None:
        """Lines are taken one by one while more is fed than taken, and then less."""
        buffer, model = make(), obviousbuffer.LineBuffer()
        rng = random.Random(4)
        for turn in range(600):
            read = b"".join(b"%d\r\n" % rng.randrange(10**6) for _ in range(rng.randrange(9 if turn < 300 else 2)))
            read = read[: rng.randrange(len(read) + 1)]
            buffer.feed(read)
            model.feed(read)
            for _ in range(3):
                assert next(buffer, None) == next(model, None)
        assert buffer.peek() == model.peek()

    @pytest.mark.parametrize("seed", range(300))
    def test_anyScript(self, make: Maker, seed: int) -> None:
        """Random operations, each answered as the oracle answers it."""
        rng = random.Random(seed)
        size = rng.choice((1, 1, 2, 2, 3, 5, 9))
        delimiters = [bytes(rng.choices(b"ab\r", k=rng.choice((1, 2, 2, 3, 4)))) for _ in range(2)]
        delimiters.append(rng.choice((b"", b"ab" * 5 + b"c", b"\r\n")))
        settings: dict[str, Any] = {"delimiter": delimiters[0], "maxLength": rng.randrange(12)}
        settings["stripCR"] = rng.random() < 0.3
        buffer, model = make(**settings), obviousbuffer.LineBuffer(**settings)
        for _ in range(80):
            step = randomStep(rng, delimiters, size)
            answers = [perform(step, either) for either in (buffer, model)]
            assert answers[0] == answers[1], step
            if rng.random() < 0.7:
                assert (len(buffer), buffer.lineCount) == (len(model), model.lineCount), step


def randomStep(rng: random.Random, delimiters: list[bytes], size: int) -> tuple[str, Any]:
    name = rng.choice(("feed",) * 9 + ("next",) * 5 + ("lines", "lines", "cut", "cut", "exceeded", "rare", "rare"))
    if name == "feed":
        data = b"".join(rng.choice([b"a", b"b", b"\r", b"x", *delimiters]) for _ in range(rng.randrange(size * 3)))
        if rng.random() < 0.04:
            data += b"ax" * rng.randrange(400)
        return name, rng.choice(KINDS)(data)
    if name == "cut":
        return name, rng.choice(delimiters) if rng.random() < 0.2 else None
    if name == "rare":
        name = rng.choice(
            ("take", "takeSome", "clear", "peek", "skip", "skip", "skipping", "delimiter", "maxLength", "stripCR")
        )
        values: dict[str, list[Any]] = {
            "takeSome": list(range(-1, 9)),
            "delimiter": delimiters,
            "maxLength": [*range(12), ENDLESS],
            "stripCR": [False, True],
        }
        return name, rng.choice(values.get(name, [None]))
    return name, None


def perform(step: tuple[str, Any], buffer: Any) -> Any:
    name, value = step
    match name:
        case "feed":
            return buffer.feed(value)
        case "next":
            return next(buffer, None)
        case "cut":
            return buffer.cut(buffer.delimiter if value is None else value)
        case "exceeded" | "skipping":
            return getattr(buffer, name)
        case "delimiter" | "maxLength" | "stripCR":
            return setattr(buffer, name, value)
        case "takeSome":
            try:
                return buffer.take(value)
            except ValueError:
                return "refused"
        case _:
            return getattr(buffer, name)()


__all__ = ["LineBufferContract", "Maker", "pieces"]
