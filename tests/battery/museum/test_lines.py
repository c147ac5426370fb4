"""Lines and framed strings: a bound on every path, one reading of a line's end, no byte beyond the input."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from reactor import LineOnlyReceiver, LineReceiver
from reactor.aio import LineTooLong, openConnection
from reactor.linecore import LineBuffer
from reactor.stringreceivers import Int32StringReceiver, NetstringReceiver, OctetCountedReceiver
from reactor.testing import StringTransport
from tests.battery.museum.halls import Hall, Keeping, Lines
from tests.support.worlds import DEADLINE, LOOPBACK, dial, turnUntil

MIB = 1 << 20


@pytest.fixture
def hall() -> Iterator[Hall]:
    hall = Hall()
    yield hall
    hall.close()


class OnlyLines(LineOnlyReceiver):
    delimiter = b"\r\n"

    def lineReceived(self, line: bytes) -> None:
        self.sendLine(b"got " + line)


def endless(hall: Hall, protocol: Any, unit: bytes) -> tuple[int, Any]:
    """How much a server takes of an endless line, and its protocol, which must have ended."""
    factory = Keeping(protocol)
    port = hall.listen(factory)
    sent = most = 0
    with dial(port) as sock:
        sock.setblocking(False)
        while sent < 32 * MIB:
            try:
                sent += sock.send(unit)
            except BlockingIOError:
                pass
            except ConnectionError:
                break
            hall.reactor.iterate(0)
            if factory.built and hasattr(factory.built[0], "heldSize"):
                most = max(most, factory.built[0].heldSize)
    port.stopListening()
    hall.settle()
    assert most <= 2 * 16_384 + 65_536
    return sent, factory.built[0]


@pytest.mark.parametrize("protocol", [Lines, OnlyLines])
def test_twisted_12770(hall: Hall, protocol: Any) -> None:
    """A server of lines kept a line without its end, whatever its length."""
    sent, _ = endless(hall, protocol, b"PRIVMSG " + bytes(8000))
    assert sent < 16 * MIB


def test_CVE_2022_21716(hall: Hall) -> None:
    """A first line without its end, as of `nc host port < /dev/zero`, took all memory."""
    sent, protocol = endless(hall, Lines, bytes(65_536))
    assert sent < 16 * MIB
    assert protocol.lines == []
    assert type(protocol.lost.value).__name__ == "LineLengthExceeded"


def test_CVE_2013_1752() -> None:
    """readline() of clients had no limit, so a bad server took all memory."""
    sent = 0

    async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        try:
            while sent < 64 * MIB:
                writer.write(bytes(65_536))
                sent += 65_536
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def ask() -> None:
        server = await asyncio.start_server(flood, LOOPBACK, 0)
        for way in ("readline", "readuntil"):
            reader, writer = await openConnection(*server.sockets[0].getsockname())
            with pytest.raises((LineTooLong, asyncio.LimitOverrunError)):
                await getattr(reader, way)()
            writer.transport.abort()
            await asyncio.sleep(0)
        server.close()
        await server.wait_closed()

    asyncio.run(asyncio.wait_for(ask(), DEADLINE))
    assert sent < 32 * MIB


NEGATIVE = {
    NetstringReceiver: [b"-1:x,", b"-99999999999999:", b"9" * 30 + b":", b"00:,"],
    OctetCountedReceiver: [b"-1 x", b"-99999999999999 ", b"9" * 30 + b" ", b"0 "],
    Int32StringReceiver: [b"\xff\xff\xff\xffx", b"\x80\0\0\0"],
}


@pytest.mark.parametrize("kind", NEGATIVE)
def test_twisted_12763(kind: Any) -> None:
    """A string with a negative length in front was read for ever, and the server stood still."""
    for data in NEGATIVE[kind]:
        for cut in ([data], [bytes([byte]) for byte in data]):
            received: list[bytes] = []
            protocol = kind()
            protocol.stringReceived = received.append
            transport = StringTransport()
            protocol.makeConnection(transport)
            for piece in cut:
                if not transport.disconnecting:
                    protocol.dataReceived(piece)
            assert not received
            assert transport.disconnecting, data


BODY_END = b"\r\n.\r\n"


def endsOf(hall: Hall, stream: bytes) -> list[bytes]:
    """The lines that a server of CRLF lines reads, whole and byte by byte."""
    found = []
    for pieces in ([stream], [stream[at : at + 1] for at in range(len(stream))]):
        factory = Keeping()
        port = hall.listen(factory)
        hall.say(port, *pieces)
        hall.settle()
        port.stopListening()
        found.append(factory.built[0].lines)
    assert found[0] == found[1]
    lines: list[bytes] = found[0]
    return lines


def test_CVE_2023_51764(hall: Hall) -> None:
    """`LF . CR LF` ended a mail, so what follows it was taken for commands."""
    lines = endsOf(hall, b"text\n.\r\nMAIL FROM:<evil>\r\n.\r\n")
    assert lines == [b"text\n.", b"MAIL FROM:<evil>", b"."]
    assert b"." not in lines[:2]


def test_CVE_2023_51765(hall: Hall) -> None:
    """`CR LF . LF` ended a mail."""
    assert endsOf(hall, b"text\r\n.\nMAIL FROM:<evil>\r\n.\r\n") == [b"text", b".\nMAIL FROM:<evil>", b"."]


def test_CVE_2023_51766(hall: Hall) -> None:
    """`LF . LF` ended a mail."""
    assert endsOf(hall, b"text\n.\nMAIL FROM:<evil>\r\n.\r\n") == [b"text\n.\nMAIL FROM:<evil>", b"."]


def test_CVE_2024_27305(hall: Hall) -> None:
    """`CR . CR LF`, `LF . CR LF` and their kind ended a mail: only CR LF ends a line."""
    for end in (b"\r.\r\n", b"\n.\r\n", b"\r.\r", b"\n\r.\r\n", b"\r\r\n.\n"):
        lines = endsOf(hall, b"text" + end + b"EVIL\r\n.\r\n")
        assert lines.count(b".") == 1
        assert lines[-1] == b"."


@pytest.mark.parametrize("delimiter", [b"\r\n", b"\n", b"abcd", b"--end--"])
def test_CVE_2026_49854(delimiter: bytes) -> None:
    """The extension in C looked at bytes beyond the end of its input. Here those bytes would end a line."""
    whole = b"x" * 61 + delimiter + b"y" * 61
    for end in range(len(whole)):
        for begin in range(max(0, end - 70), end, 7):
            buffer = LineBuffer(delimiter, 1000)
            buffer.feed(memoryview(whole)[begin:end])
            expected = whole[begin:end].split(delimiter)
            assert list(buffer) == expected[:-1]
            buffer.feed(memoryview(delimiter + delimiter)[: len(delimiter)])
            assert list(buffer) == (expected[-1] + delimiter).split(delimiter)[:-1]


class Silent(LineReceiver):
    """A server that answers at length, and asks for no password."""

    def lineReceived(self, line: bytes) -> None:
        self.transport.write(b"-NOAUTH " * 2048)


def test_CVE_2025_21605(hall: Hall) -> None:
    """A client that had not logged in, and read nothing, could make the answers to it fill the memory."""
    factory = Keeping(Silent)
    ended: list[Any] = []
    factory.protocol = lambda: type(
        "Ending", (Silent,), {"connectionLost": lambda self, reason: ended.append(reason)}
    )()
    port = hall.listen(factory)
    with dial(port, receiveBuffer=4096) as sock:
        sock.setblocking(False)
        most = 0

        def over() -> bool:
            nonlocal most
            with contextlib.suppress(OSError):
                sock.send(b"GET\r\n" * 100)
            held = [each.unsent for each in hall.reactor.openTransports() if hasattr(each, "unsent")]
            most = max([most, *held])
            return bool(ended)

        turnUntil(hall.reactor, over)
    assert type(ended[0].value).__name__ == "OutputLimitExceeded"
    assert most <= 16 * MIB + 65_536
