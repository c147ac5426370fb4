"""Cases: bytes that come over one connection, and the only right reading of them.

Each file of a theme makes its cases with a `Theme`. A case with a refusal ends with it: nothing behind is read.
"""

from __future__ import annotations

from typing import NamedTuple

from tests.battery.http.rules import Rule

CRLF = b"\r\n"
HOST = b"Host: a"
Pairs = tuple[tuple[bytes, bytes], ...]

# A request hidden in what follows a broken one: no program may ever see it.
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"


def pairs(**fields: bytes | tuple[bytes, ...]) -> Pairs:
    """Fields in the order of their names; an underscore stands for a hyphen, a tuple for several lines."""
    found = []
    for name, value in fields.items():
        values = value if isinstance(value, tuple) else (value,)
        found += [(name.replace("_", "-").encode(), each) for each in values]
    return tuple(sorted(found, key=lambda pair: pair[0]))


JUST_HOST = pairs(host=b"a")


class Seen(NamedTuple):
    """One request as a program sees it. Names of fields are in lower case and sorted."""

    method: bytes = b"GET"
    target: bytes = b"/"
    fields: Pairs = JUST_HOST
    body: bytes = b""


class Verdict(NamedTuple):
    """The requests that a program sees, and the end behind them.

    "open": the next request may come. "within": a request is not complete. "closed": the server closes after the last
    answer. "refused": it answers one of `statuses` and closes.
    """

    requests: tuple[Seen, ...]
    end: str
    statuses: tuple[int, ...] = ()


class Case(NamedTuple):
    name: str
    rule: Rule
    raw: bytes
    verdict: Verdict


class Theme:
    """Cases that belong together."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.cases: list[Case] = []

    def refuse(self, name: str, rule: Rule, raw: bytes, *statuses: int, after: tuple[Seen, ...] = ()) -> None:
        """Note that `raw` is refused, with 400 or one of `statuses`, after the requests `after`."""
        self._note(name, rule, raw, Verdict(after, "refused", statuses or (400,)))

    def accept(self, name: str, rule: Rule, raw: bytes, *requests: Seen, end: str = "open") -> None:
        """Note that `raw` is these requests: a plain GET, if none is given."""
        self._note(name, rule, raw, Verdict(requests or (Seen(),), end))

    def wait(self, name: str, rule: Rule, raw: bytes, *requests: Seen) -> None:
        """Note that `raw` is these requests and the beginning of one more."""
        self._note(name, rule, raw, Verdict(requests, "within"))

    def _note(self, name: str, rule: Rule, raw: bytes, verdict: Verdict) -> None:
        self.cases.append(Case(f"{self.name}: {name}", rule, raw, verdict))


def message(line: bytes, *fields: bytes, body: bytes = b"") -> bytes:
    """A request of these lines, each with its CR LF."""
    return CRLF.join([line, *fields, b"", b""]) + body


def get(*fields: bytes) -> bytes:
    """A GET of / with Host and these field lines."""
    return message(b"GET / HTTP/1.1", HOST, *fields)


def post(*fields: bytes, body: bytes = b"") -> bytes:
    """A POST to / with Host and these field lines."""
    return message(b"POST / HTTP/1.1", HOST, *fields, body=body)


def chunked(body: bytes) -> bytes:
    """A POST whose chunked body is `body`, as it stands."""
    return post(b"Transfer-Encoding: chunked", body=body)


def posted(body: bytes, **fields: bytes | tuple[bytes, ...]) -> Seen:
    """The POST that a program sees, with Host and these fields."""
    return Seen(b"POST", b"/", pairs(host=b"a", **fields), body)


def received(body: bytes) -> Seen:
    """The request that a program sees of chunked()."""
    return posted(body, transfer_encoding=b"chunked")


def shown(character: int | bytes) -> str:
    """A name for a byte or some."""
    data = bytes([character]) if isinstance(character, int) else character
    return "".join(chr(each) if 0x20 < each < 0x7F else f"\\x{each:02x}" for each in data)
