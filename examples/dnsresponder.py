"""A name server for one small zone, over UDP and TCP (RFC 1035), with EDNS (RFC 6891).

An answer over UDP has at most three times the bytes of its query, because the sender's address may be forged. A longer
one is cut, and its TC bit tells the client to ask again over TCP.

python examples/dnsresponder.py [PORT]
"""

import ipaddress
import struct
import sys
from typing import Any, NamedTuple

import reactor
from reactor import DatagramProtocol, Factory, Failure, Int16StringReceiver, TimeoutMixin

MOST_CONNECTIONS = 100
IDLE_SECONDS = 10
LONGEST_QUERY = 512  # bytes
LARGEST_UDP = 1232  # bytes, for clients of EDNS; without it 512
MOST_RATIO = 3  # of an answer over UDP to its query
TTL = 300  # seconds

ZONE = "example.test"
A, NS, SOA, TXT, AAAA, OPT, IN = 1, 2, 6, 16, 28, 41, 1
FORMERR, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 1, 3, 4, 5, 16
QR, OPCODE, AA, TC, RD = 0x8000, 0x7800, 0x0400, 0x0200, 0x0100


def wireName(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def text(*parts: bytes) -> bytes:
    return b"".join(bytes([len(part)]) + part for part in parts)


def address(text: str) -> bytes:
    return ipaddress.ip_address(text).packed


START_OF_ZONE = wireName(ZONE) + wireName(f"admin.{ZONE}") + struct.pack("!5L", 1, 3600, 600, 86400, TTL)
RECORDS: dict[str, list[tuple[int, bytes]]] = {
    ZONE: [(SOA, START_OF_ZONE), (NS, wireName(f"ns.{ZONE}")), (A, address("192.0.2.1")), (TXT, text(b"hello"))],
    f"ns.{ZONE}": [(A, address("192.0.2.53")), (AAAA, address("2001:db8::53"))],
    f"www.{ZONE}": [(A, address("192.0.2.80")), (A, address("192.0.2.81")), (AAAA, address("2001:db8::80"))],
    f"large.{ZONE}": [(TXT, text(*[b"%d" % number * 50 for number in range(100, 130)]))],
}


class Query(NamedTuple):
    """A query. `question` is its bytes, with the letters' case as it came. `size` is what EDNS allows, or None."""

    number: int
    flags: int
    question: bytes
    name: str
    kind: int
    family: int
    size: int | None
    version: int


class NotAQuery(Exception):
    """No answer is due, or none but FORMERR, if there is a `number`."""

    def __init__(self, number: int | None = None, flags: int = 0) -> None:
        super().__init__("not a query")
        self.number = number
        self.flags = flags


def parse(data: bytes) -> Query:
    if len(data) < 12:
        raise NotAQuery
    number, flags, questions, answers, authorities, additionals = struct.unpack("!6H", data[:12])
    if flags & QR:
        raise NotAQuery  # an answer: two servers must not answer each other for ever
    try:
        if (questions, answers, authorities) != (1, 0, 0) or additionals > 1:
            raise ValueError("not one question")
        name, at = nameAt(data, 12)
        kind, family = struct.unpack_from("!2H", data, at)
        question, at, size, version = data[12 : at + 4], at + 4, None, 0
        if additionals:
            root, option, size, _, version, _, length = struct.unpack_from("!BHHBBHH", data, at)
            at += 11 + length
            if root or option != OPT:
                raise ValueError("not EDNS")
        if at != len(data):
            raise ValueError("more behind it")
    except (ValueError, IndexError, struct.error):
        raise NotAQuery(number, flags) from None
    return Query(number, flags, question, name.lower(), kind, family, size, version)


def nameAt(data: bytes, at: int) -> tuple[str, int]:
    """A name without pointers, which a question cannot need, and the place behind it. ValueError if it is none."""
    labels = []
    start = at
    while length := data[at]:
        if length > 63 or at - start + length > 253:
            raise ValueError("not a name")
        labels.append(data[at + 1 : at + 1 + length].decode("latin-1"))
        at += 1 + length
    return ".".join(labels), at + 1


def answerTo(data: bytes, isUDP: bool) -> bytes:
    """The answer to a message; nothing if there is none."""
    try:
        query = parse(data)
    except NotAQuery as error:
        if error.number is None:
            return b""
        return struct.pack("!6H", error.number, QR | error.flags & (OPCODE | RD) | FORMERR, 0, 0, 0, 0)
    code, answers, authorities = lookUp(query)
    answer = packed(query, code, answers, authorities)
    if isUDP and len(answer) > min(max(query.size or 512, 512), LARGEST_UDP, MOST_RATIO * len(data)):
        answer = packed(query, code, [], [], TC)
    return answer


def lookUp(query: Query) -> tuple[int, list[tuple[int, bytes]], list[tuple[int, bytes]]]:
    """The code of the answer, its records, and those of the zone."""
    isOurs = query.name == ZONE or query.name.endswith(f".{ZONE}")
    if query.version:
        return BADVERS, [], []
    if query.flags & OPCODE:
        return NOTIMP, [], []
    if not isOurs or query.family != IN:
        return REFUSED, [], []
    if query.name not in RECORDS:
        return NXDOMAIN, [], [(SOA, START_OF_ZONE)]
    found = [record for record in RECORDS[query.name] if record[0] == query.kind]
    return 0, found, [] if found else [(SOA, START_OF_ZONE)]


def packed(
    query: Query, code: int, answers: list[tuple[int, bytes]], authorities: list[tuple[int, bytes]], flags: int = 0
) -> bytes:
    flags |= QR | query.flags & (OPCODE | RD) | (0 if code in (NOTIMP, REFUSED, BADVERS) else AA)
    parts = [query.question]
    for kind, data in answers:
        parts.append(struct.pack("!3HLH", 0xC00C, kind, IN, TTL, len(data)) + data)  # the question's name
    zone = 0xC00C + len(query.name) - len(ZONE)
    for kind, data in authorities:
        parts.append(struct.pack("!3HLH", zone, kind, IN, TTL, len(data)) + data)
    if query.size is not None:
        parts.append(struct.pack("!BHHBBHH", 0, OPT, LARGEST_UDP, code >> 4, 0, 0, 0))
    counts = 1, len(answers), len(authorities), query.size is not None
    return struct.pack("!6H", query.number, flags | code & 15, *counts) + b"".join(parts)


class Datagrams(DatagramProtocol):
    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        if len(datagram) <= LONGEST_QUERY and (answer := answerTo(datagram, isUDP=True)):
            self.transport.write(answer, addr)


class Stream(Int16StringReceiver, TimeoutMixin):
    MAX_LENGTH = LONGEST_QUERY

    def connectionMade(self) -> None:
        self.factory.connections += 1
        self.setTimeout(IDLE_SECONDS)

    def stringReceived(self, string: bytes) -> None:
        self.resetTimeout()
        if answer := answerTo(string, isUDP=False):
            self.sendString(answer)

    def connectionLost(self, reason: Failure) -> None:
        self.factory.connections -= 1
        self.setTimeout(None)


class StreamFactory(Factory):
    protocol = Stream
    connections = 0

    def buildProtocol(self, addr: Any) -> Any:
        if self.connections >= MOST_CONNECTIONS:
            return None
        return Factory.buildProtocol(self, addr)


if __name__ == "__main__":
    port = reactor.listenTCP(int(sys.argv[1]) if sys.argv[1:] else 0, StreamFactory(), interface="127.0.0.1")
    reactor.listenUDP(port.getHost().port, Datagrams(), interface="127.0.0.1")
    print("listening on", port.getHost().port, flush=True)
    reactor.run()
