"""Where two parsers read a message in two ways, and the smallest message that shows it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from tests.battery.http.cases import Pairs, Seen
from tests.battery.http.others import Reader, Reading

CODING = b"transfer-encoding"


class Quarrel(NamedTuple):
    """A message that we and another parser read in two ways."""

    party: str
    difference: str
    raw: bytes


class Explained(NamedTuple):
    """Quarrels that are no fault of ours.

    `party`, `difference` and `raw` are patterns of a Quarrel's. `example` is a message that shows it.
    """

    reason: str
    party: str
    difference: str
    raw: bytes
    example: bytes

    def covers(self, quarrel: Quarrel) -> bool:
        return bool(
            re.fullmatch(self.party, quarrel.party)
            and re.search(self.difference, quarrel.difference)
            and re.search(self.raw, quarrel.raw, re.DOTALL)
        )


def plain(seen: Seen) -> Seen:
    """A request without what parsers may write in their own way.

    h11 puts a coding's name into lower case. We replace Host by the authority of a whole URI (RFC 9112, 3.2.2).
    """
    fields = seen.fields
    if b"://" in seen.target:
        fields = tuple(pair for pair in fields if pair[0] != b"host")
    return seen._replace(fields=plainFields(fields))


def plainFields(fields: Pairs) -> Pairs:
    """Fields with the names of codings in lower case."""
    return tuple((name, value.lower() if name == CODING else value) for name, value in fields)


def difference(ours: Reading, theirs: Reading) -> str | None:
    """The difference in words. A request that we alone refuse makes none: a stricter server lets nobody in."""
    for mine, other in zip(ours.requests, theirs.requests, strict=False):
        if mine != other and (mine := plain(mine)) != (other := plain(other)):
            part = next(name for name in Seen._fields if getattr(mine, name) != getattr(other, name))
            return f"reads another {part}"
    if len(ours.requests) > len(theirs.requests):
        return f"refuses: {theirs.error}" if theirs.end == "refused" else f"reads less, and is {theirs.end}"
    if len(ours.requests) < len(theirs.requests) and ours.end not in ("refused", "closed"):
        return f"reads more, and we are {ours.end}"
    return None


def smallest(raw: bytes, shows: Callable[[bytes], bool]) -> bytes:
    """Leave out whatever can be left out, first much and then little, while the message still shows it."""
    size = len(raw) // 2
    while size:
        place = 0
        while place < len(raw):
            shorter = raw[:place] + raw[place + size :]
            if shows(shorter):
                raw = shorter
            else:
                place += size
        size //= 2
    return raw


def minimised(quarrel: Quarrel, ours: Reader, theirs: Reader) -> Quarrel:
    """The same quarrel, with as few bytes as show it."""
    kind = groupOf(quarrel)

    def shows(raw: bytes) -> bool:
        found = difference(ours([raw]), theirs([raw]))
        return found is not None and groupOf(Quarrel(quarrel.party, found, raw)) == kind

    return quarrel._replace(raw=smallest(quarrel.raw, shows))


def groupOf(quarrel: Quarrel) -> tuple[str, str]:
    """Quarrels of one party with the same difference, whatever values its words quote."""
    return quarrel.party, re.sub(r"b?'.*'|\".*\"|\d+|bytearray\(.*\)", "...", quarrel.difference, flags=re.DOTALL)
