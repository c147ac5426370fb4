"""NMEA 0183 sentences, over TCP and UDP, counted by type. The program prints the last position.

A sentence is "$", a type, fields between commas, "*", and the checksum of what stands between "$" and "*".

python examples/nmeaingest.py [PORT]
"""

import re
import sys
from typing import Any

import reactor
from reactor import DatagramProtocol, Factory, Failure, LineReceiver, LoopingCall, TimeoutMixin
from reactor.interfaces import IAddress

MOST_CONNECTIONS = 100
IDLE_SECONDS = 300
LONGEST_SENTENCE = 82  # characters, with "$" and the line's end
MOST_TYPES = 200
PRINT_SECONDS = 1
SENTENCE = re.compile(rb"\$([A-Z]{2}[A-Z]{3}|P[A-Z0-9]{3,})((?:,[ -)+-~]*)?)\*([0-9A-Fa-f]{2})")


def degrees(text: bytes, side: bytes, most: int) -> float:
    """The decimal degrees of, for example, 4807.038 and N. ValueError if they are none."""
    found = re.fullmatch(rb"(\d{1,3})(\d\d(?:\.\d{1,8})?)", text)
    if found is None or side not in ((b"N", b"S") if most == 90 else (b"E", b"W")):
        raise ValueError("not a position")
    value = int(found[1]) + float(found[2]) / 60
    if value > most or float(found[2]) >= 60:
        raise ValueError("not a position")
    return round(-value if side in b"SW" else value, 6)


class Log:
    """The counts and the last position, of all senders together."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.bad = 0
        self.position: tuple[float, float] | None = None
        self.printed = ""

    def add(self, line: bytes) -> None:
        found = SENTENCE.fullmatch(line)
        if found is None or len(line) + 2 > LONGEST_SENTENCE or checksum(line[1:-3]) != int(found[3], 16):
            self.bad += 1
            return
        name = found[1].decode()
        if name not in self.counts and len(self.counts) >= MOST_TYPES:
            name = "other"
        self.counts[name] = self.counts.get(name, 0) + 1
        try:
            self.locate(found[1][2:], found[2].split(b","))
        except (IndexError, ValueError):
            self.bad += 1

    def locate(self, kind: bytes, fields: list[bytes]) -> None:
        if kind == b"GGA" and fields[6] not in (b"", b"0"):  # the quality of the fix
            at = fields[2:6]
        elif kind == b"RMC" and fields[2] == b"A":  # the data is valid
            at = fields[3:7]
        else:
            return
        self.position = degrees(at[0], at[1], 90), degrees(at[2], at[3], 180)

    def show(self) -> None:
        """Print what is known, if it has changed."""
        counts = " ".join(f"{name}={count}" for name, count in sorted(self.counts.items()))
        where = "nowhere" if self.position is None else "{} {}".format(*self.position)
        text = f"{where} bad={self.bad} {counts}".rstrip()
        if text != self.printed and (self.bad or self.counts):
            print(text, flush=True)
            self.printed = text


def checksum(data: bytes) -> int:
    total = 0
    for byte in data:
        total ^= byte
    return total


class SentenceReceiver(LineReceiver, TimeoutMixin):
    delimiter = b"\n"
    MAX_LENGTH = LONGEST_SENTENCE - 1

    def connectionMade(self) -> None:
        self.factory.connections += 1
        self.setTimeout(IDLE_SECONDS)

    def connectionLost(self, reason: Failure) -> None:
        self.factory.connections -= 1
        self.setTimeout(None)

    def timeoutConnection(self) -> None:
        self.transport.abortConnection()

    def lineReceived(self, line: bytes) -> None:
        self.resetTimeout()
        self.factory.log.add(line.removesuffix(b"\r"))

    def lineLengthExceeded(self, line: bytes) -> None:
        self.factory.log.bad += 1
        self.transport.loseConnection()


class SentenceFactory(Factory):
    protocol = SentenceReceiver

    def __init__(self, log: Log) -> None:
        self.log = log
        self.connections = 0

    def buildProtocol(self, addr: IAddress) -> Any:
        if self.connections >= MOST_CONNECTIONS:
            return None
        return Factory.buildProtocol(self, addr)


class Datagrams(DatagramProtocol):
    def __init__(self, log: Log) -> None:
        self.log = log

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        for line in datagram.splitlines():
            self.log.add(line)


if __name__ == "__main__":
    log = Log()
    port = reactor.listenTCP(int(sys.argv[1]) if sys.argv[1:] else 0, SentenceFactory(log), interface="127.0.0.1")
    reactor.listenUDP(port.getHost().port, Datagrams(log), interface="127.0.0.1")
    LoopingCall(log.show).start(PRINT_SECONDS)
    print("listening on", port.getHost().port, flush=True)
    reactor.run()
