"""Thousands of messages, read by us and by four other parsers: we accept nothing that a strict one refuses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest

from tests.battery.http import borrowed
from tests.battery.http.corpus import CASES
from tests.battery.http.explained import EXPLAINED
from tests.battery.http.mutations import cuts, messages
from tests.battery.http.others import Reader, Reading, aiohttpReader, byH11, byHttptools, byTwisted
from tests.battery.http.ours import byOurs
from tests.battery.http.quarrel import Quarrel, difference, groupOf, minimised
from tests.battery.sizes import size
from tests.support.cutting import pieces

SEED = 9112
MOST = 20  # explanations
GOOD = [case.raw for case in CASES if case.verdict.end != "refused"]
BAD = [case.raw for case in CASES if case.verdict.end == "refused"]

Parties = dict[str, Reader]


@pytest.fixture
def parties() -> Iterator[Parties]:
    with aiohttpReader() as byAiohttp:
        yield {"h11": byH11, "llhttp": byHttptools, "aiohttp": byAiohttp, "twisted": byTwisted}


class Quarrels:
    """Collects the quarrels: how often each explanation was needed, and one unexplained quarrel of each group."""

    def __init__(self, parties: Parties) -> None:
        self.parties = parties
        self.used: Counter[int] = Counter()
        self.unexplained: dict[tuple[str, str], Quarrel] = {}
        self.accepted = 0

    def over(self, raw: bytes) -> Reading:
        """Compare the readings of a message. Return ours."""
        ours = byOurs([raw])
        self.accepted += bool(ours.requests)
        if not ours.requests and ours.end == "refused":
            return ours  # at the first request, so there is nothing to differ about
        for party, reader in self.parties.items():
            found = difference(ours, reader([raw]))
            if found is None:
                continue
            quarrel = Quarrel(party, found, raw)
            number = next((number for number, each in enumerate(EXPLAINED) if each.covers(quarrel)), None)
            if number is None:
                self.unexplained.setdefault(groupOf(quarrel), quarrel)
            else:
                self.used[number] += 1
        return ours

    def told(self) -> list[str]:
        """The unexplained ones, each as small as it can be."""
        smallest = (minimised(each, byOurs, self.parties[each.party]) for each in self.unexplained.values())
        return [f"{party} {difference}: {raw!r}" for party, difference, raw in smallest]


def withoutStatus(reading: Reading) -> Reading:
    """A reading without the status of a refusal: of two faults, the one that has come whole is told."""
    return reading._replace(error="")


@pytest.mark.parametrize("part", range(size(4, 200)))
def test_quarrel(parties: Parties, part: int) -> None:
    """A program sees only what every strict parser sees, and sees it however the bytes are cut."""
    random = Random(SEED + part)
    quarrels = Quarrels(parties)
    count = 5000
    for number, raw in enumerate(messages(count, GOOD, BAD, SEED + part)):
        ours = quarrels.over(raw)
        assert withoutStatus(byOurs(cuts(random, raw))) == withoutStatus(ours), raw
        if number % 4 == 0:
            assert withoutStatus(byOurs(pieces(raw, 1))) == withoutStatus(ours), raw
    assert quarrels.told() == []
    assert quarrels.accepted > count / 4


def test_explanations(parties: Parties) -> None:
    """There are few, and each is needed: its example shows the quarrel that it explains."""
    assert len(EXPLAINED) <= MOST
    for number, explained in enumerate(EXPLAINED):
        quarrels = Quarrels(parties)
        quarrels.over(explained.example)
        assert quarrels.used[number], explained


@pytest.mark.needs(*map(str, map(borrowed.pathOf, borrowed.ARCHIVES)))
class TestBorrowed:
    """The cases of h11, llhttp, aiohttp and gunicorn."""

    # Cases that their projects refuse and we read, with the reasons.
    READ = (
        ("invalid/003c.http", "gunicorn takes methods of letters"),
        ("invalid/006.http", "gunicorn takes shorter request lines"),
        ("invalid/008.http", "gunicorn takes shorter fields"),
        ("invalid/017.http", "gunicorn takes shorter fields"),
        ("connection.md 2 ", "behind HTTP/1.0 we read nothing; llhttp refuses it"),
        ("connection.md 9", "llhttp leaves HTTP behind an upgrade that is offered"),
        ("connection.md 10", "llhttp leaves HTTP behind an upgrade that is offered"),
        ("invalid.md 3 ", "llhttp takes the method ANNOUNCE for RTSP alone"),
        ("invalid.md 12", "llhttp knows a list of methods"),
        ("method.md", "behind CONNECT we read nothing; llhttp refuses it"),
        ("uri.md 8", "behind CONNECT we read nothing; llhttp refuses it"),
    )

    def test_refused(self) -> None:
        accepted = []
        for name, raw in borrowed.refused():
            reading = byOurs([borrowed.withHost(raw)])
            if reading.end in ("open", "closed") and not any(part in f"{name} " for part, _ in self.READ):
                accepted.append((name, raw, reading))
        assert accepted == []

    def test_quarrel(self, parties: Parties) -> None:
        quarrels = Quarrels(parties)
        for _, raw in borrowed.everything():
            assert byOurs(pieces(raw, 1) if len(raw) < 3000 else pieces(raw, 1000)) == quarrels.over(raw)
        assert quarrels.told() == []
        assert quarrels.accepted > 150
