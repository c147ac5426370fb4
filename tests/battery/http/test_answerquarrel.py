"""Thousands of answers, read by our client, by h11 and by llhttp: our client takes none that a strict one refuses."""

from __future__ import annotations

from random import Random

import pytest

from tests.battery.http.answers import Answer, answers, byH11Client, byHttptoolsClient, byOurClient, difference
from tests.battery.http.explained import OF_ANSWERS
from tests.battery.http.mutations import cuts
from tests.battery.http.quarrel import Quarrel, groupOf
from tests.battery.sizes import size

SEED = 9110


def quarrelsOver(raw: bytes, method: str) -> tuple[Answer, list[Quarrel]]:
    """Our reading of an answer, and how others differ from it."""
    ours = byOurClient([raw], method)
    found = {"h11": difference(ours, byH11Client([raw], method))}
    if method == "GET":
        found["llhttp"] = difference(ours, byHttptoolsClient([raw]))
    return ours, [Quarrel(party, text, raw) for party, text in found.items() if text is not None]


@pytest.mark.parametrize("part", range(size(1, 40)))
def test_quarrel(part: int) -> None:
    """An answer that our client takes is the same for others, and so is the place where the next one begins."""
    random = Random(SEED + part)
    unexplained: dict[tuple[str, str], Quarrel] = {}
    whole = 0
    count = 5000
    for number, raw in enumerate(answers(count, SEED + part)):
        method = "GET" if number % 4 else "HEAD"
        ours, quarrels = quarrelsOver(raw, method)
        whole += ours.end == "whole"
        assert byOurClient(cuts(random, raw), method)._replace(error="") == ours._replace(error=""), raw
        for quarrel in quarrels:
            if not any(explained.covers(quarrel) for explained in OF_ANSWERS):
                unexplained.setdefault(groupOf(quarrel), quarrel)
    assert [*unexplained.values()] == []
    assert whole > count / 3


@pytest.mark.parametrize("number", range(len(OF_ANSWERS)))
def test_explanations(number: int) -> None:
    """Each explanation is needed: its example shows the quarrel."""
    explained = OF_ANSWERS[number]
    _, quarrels = quarrelsOver(explained.example, "GET")
    assert [explained.covers(quarrel) for quarrel in quarrels] == [True]
