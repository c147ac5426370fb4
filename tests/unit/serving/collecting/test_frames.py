"""Frames: both framings of RFC 6587 on one connection, however the bytes are cut, and what a hostile peer sends."""

from __future__ import annotations

import random
from typing import Any

import pytest

from reactor.serving.collecting.frames import AUTO, COUNTED, FrameError, Frames, TooLongError
from reactor.serving.framing import Framing

SIZES = (1, 2, 3, 7, 1000)


def counted(*messages: bytes) -> bytes:
    return b"".join(b"%d %s" % (len(each), each) for each in messages)


def results(data: bytes, size: int = 0, **options: Any) -> tuple[list[bytes], str, tuple[bytes, bool]]:
    """Feed `data` in pieces of `size` bytes; return the messages, the error, and the unfinished rest."""
    mode = options.pop("mode", AUTO)
    options = {"delimiter": b"\n", "maxLength": 100, **options}
    frames = Frames(mode, **options)
    found: list[bytes] = []
    for at in range(0, len(data), size or max(len(data), 1)):
        messages, error = frames.feed(data[at : at + (size or len(data))])
        found += messages
        if error is not None:
            return found, str(error), (b"", False)
    assert frames.messageCount == len(found) + frames.overlongCount
    held = len(frames)
    rest = frames.take()
    assert held == len(rest[0])
    assert len(frames) == 0
    return found, "", rest


CASES = [
    # bytes, messages, the unfinished rest
    (b"", [], (b"", False)),
    (b"one\ntwo\n", [b"one", b"two"], (b"", False)),
    (b"one\ntw", [b"one"], (b"tw", False)),
    (counted(b"<1>a", b"<2>b\nc"), [b"<1>a", b"<2>b\nc"], (b"", False)),
    (b"one\n" + counted(b"<1>a") + b"two\n" + counted(b"<2>b"), [b"one", b"<1>a", b"two", b"<2>b"], (b"", False)),
    (b"5 <1>\n\n\nx\n", [b"<1>\n", b"", b"x"], (b"", False)),  # the last LF of the count is left out, and no other
    (b"4 <1>a\n\nx\n", [b"<1>a", b"", b"x"], (b"", False)),  # an LF directly behind it is no message
    (b"10 <1>abc", [], (b"<1>abc", True)),
    (b"10 green bottles\n10\n10 \n", [b"10 green bottles", b"10", b"10 "], (b"", False)),
    (b"0 <1>\n007 <1>abcd\n", [b"0 <1>", b"007 <1>abcd"], (b"", False)),
    (b"12345678901 <1>a\n", [b"12345678901 <1>a"], (b"", False)),
    (b"x\n12", [b"x"], (b"12", False)),
    (b"x\n12 ", [b"x"], (b"12 ", False)),
    (b"x\n3 <1>", [b"x", b"<1>"], (b"", False)),
    (b" 4 <1>a\n", [b" 4 <1>a"], (b"", False)),
    (b"\n\n4 <1>a\n", [b"", b"", b"<1>a"], (b"", False)),
]


@pytest.mark.parametrize(("data", "messages", "rest"), CASES)
@pytest.mark.parametrize("size", [0, *SIZES])
def test_eachMessageHasItsFraming(data: bytes, messages: list[bytes], rest: tuple[bytes, bool], size: int) -> None:
    assert results(data, size) == (messages, "", rest)


@pytest.mark.parametrize("size", [0, *SIZES])
def test_onlyCounted(size: int) -> None:
    data = counted(b"a", b"b\nc") + b"\n" + counted(b"d\n")
    assert results(data, size, mode=COUNTED) == ([b"a", b"b\nc", b"d"], "", (b"", True))


@pytest.mark.parametrize("data", [b"x", b"0 a", b"-1 a", b"1a", b"12345678901", b" 1 a", b"1  ", b"\xff", b"3 abcx"])
@pytest.mark.parametrize("size", [0, 1])
def test_bytesThatAreNoFrame(data: bytes, size: int) -> None:
    """With counts only, nothing can be told apart behind them. Whole messages before it are kept."""
    if data == b"1  ":
        data += b"x"  # a frame of one space, and then no count
    found, error, _rest = results(data, size, mode=COUNTED)
    assert "no octet count before a message: " in error
    assert found == {b"3 abcx": [b"abc"], b"1  x": [b" "]}.get(data, [])


def test_messagesBeforeAnErrorAreKept() -> None:
    assert results(counted(b"a", b"b") + b"x", mode=COUNTED)[0] == [b"a", b"b"]
    found, error, _rest = results(b"one\n" + b"x" * 200)
    assert found == [b"one"]
    assert error == "a message of more than 100 bytes"


@pytest.mark.parametrize("size", [0, *SIZES])
def test_theLimit(size: int) -> None:
    """It is the same for both framings; a delimiter at the end of a counted message does not count."""
    line = b"<" + b"x" * 99
    assert results(line + b"\n" + counted(line, line + b"\n"), size)[:2] == ([line] * 3, "")
    for data in (line + b"y\n", counted(line + b"y"), counted(line + b"y\n")):
        assert results(b"a\n" + data + b"b\n", size)[:2] == ([b"a"], "a message of more than 100 bytes")
        assert results(b"a\n" + data + b"b\n", size, skips=True)[:2] == ([b"a", b"b"], "")


def test_hostileLengths() -> None:
    """Nothing is allocated for a length: what has not come costs nothing."""
    frames = Frames(COUNTED, b"\n", 1 << 40)
    assert frames.feed(b"9999999999 a") == ([], None)
    assert len(frames) == 1
    frames = Frames(AUTO, b"\n", 1000, skips=True)
    assert frames.feed(b"9999999999 <" + b"x" * 100_000) == ([], None)
    assert (len(frames), frames.overlongCount) == (0, 1)
    _messages, error = Frames(AUTO, b"\n", 1000).feed(b"9999999999 <")
    assert isinstance(error, TooLongError)
    assert isinstance(error, FrameError)


def test_otherDelimiters() -> None:
    assert results(b"a\0" + counted(b"<b\0c") + b"\0d\0", delimiter=b"\0")[0] == [b"a", b"<b\0c", b"d"]
    assert results(b"a\r\n" + counted(b"<b\r\n", b"<c\r"), stripCR=True)[0] == [b"a", b"<b", b"<c\r"]
    assert results(counted(b"a\r\n", b"b"), mode=COUNTED, delimiter=b"\r\n")[0] == [b"a", b"b"]
    with pytest.raises(ValueError, match="a delimiter of one byte is needed"):
        Frames(AUTO, b"\r\n", 10)


def test_whatIsInsideIsEscaped() -> None:
    """A counted message may hold the end of the file's lines: a line never does."""
    escape = Framing().escape
    assert results(b"a\n" + counted(b"<b\nc\n"), escape=escape)[0] == [b"a", b"<b#012c"]


def test_randomStreams() -> None:
    """Against the list that was sent: random messages, framings and cuts."""
    source = random.Random(1)
    for _ in range(300):
        sent, stream = [], b""
        for _ in range(source.randrange(30)):
            size = source.choice((0, 1, 5, 30, 90))
            text = bytes(source.choice(b"<12 3\nab\0\xff") for _ in range(size))
            if source.random() < 0.5:
                message = b"<" + text.rstrip(b"\n")
                stream += counted(message) + b"\n" * source.randrange(2)
            else:
                message = b"l" + text.replace(b"\n", b"")
                stream += message + b"\n"
            sent.append(message)
        assert results(stream, source.choice((0, *SIZES))) == (sent, "", (b"", False))
