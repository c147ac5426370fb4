"""Our server reads every case in the one right way, however the bytes are cut, and closes after an error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from reactor.http import Response
from tests.battery.http import rules
from tests.battery.http.cases import Case, Seen, post, posted
from tests.battery.http.corpus import CASES
from tests.battery.http.mutations import cuts
from tests.battery.http.ours import CANARIES, CANARY, PortedServer, Server, answersIn, seenOf
from tests.support.cutting import pieces
from tests.support.worlds import ROOT

ENOUGH = 600
SHORT = 3000  # bytes of a case that also comes byte by byte


def ways(raw: bytes) -> Iterator[list[bytes]]:
    yield [raw]
    yield pieces(raw, 1) if len(raw) <= SHORT else pieces(raw, 4096)
    yield list(cuts(Random(0), raw))


def nameOf(case: Case) -> str:
    return case.name


@pytest.mark.parametrize("case", CASES, ids=nameOf)
def test_case(case: Case) -> None:
    for cut in ways(case.raw):
        check(case, Server(), cut)
        check(case, PortedServer(), cut)
    check(case, Server(delays=True), [case.raw])
    checkIgnored(case)


def check(case: Case, server: Server, cut: list[bytes]) -> None:
    """The program sees the requests of the verdict, the peer gets their answers, and the end is as it must be."""
    requests, end, statuses = case.verdict
    server.feed(cut)
    server.answerAll()
    assert tuple(server.found) == requests
    output = server.transport.value()
    answers = answersIn(output)
    # A Response to CONNECT promises no tunnel, whatever its code. A program of Twisted's kind writes its own answer.
    connected = 200 if isinstance(server, PortedServer) else 501
    wanted = [connected if request.method == b"CONNECT" else 200 for request in requests]
    assert [status for status, _ in answers[: len(requests)]] == wanted
    assert server.isClosed == (end in ("refused", "closed"))
    if end == "refused":
        assert len(answers) == len(requests) + 1
        status, head = answers[-1]
        assert status in statuses
        assert b"\r\nconnection: close" in head.lower()
    else:
        assert len(answers) == len(requests)
    server.feed([CANARIES])
    if end == "open":
        assert server.found[len(requests) :] == [Seen(target=CANARY, fields=((b"host", b"canary"),))]
    elif end != "within":
        assert tuple(server.found) == requests
        assert server.transport.value() == output
    server.end()


def checkIgnored(case: Case) -> None:
    """A program that reads no body sees the same requests, and no part of a body is one."""
    requests, end, _ = case.verdict
    server = Server(ignores=True)
    server.feed([case.raw])
    if end == "open":
        server.feed([CANARIES])
    wanted = [each._replace(body=b"") for each in requests]
    if end == "open" and not server.isClosed:
        wanted.append(Seen(target=CANARY, fields=((b"host", b"canary"),)))
    # A request with a body that is refused, or does not come, is seen as soon as its head is there.
    more = server.found[len(wanted) :] if end in ("refused", "within") else []
    assert server.found == wanted[: len(server.found)] + more
    assert len(more) <= 1
    assert b"/hidden" not in [each.target for each in more]
    server.end()


def test_enoughCases() -> None:
    """There are enough cases, none twice, and of all ends."""
    assert len(CASES) >= ENOUGH
    assert [name for name, count in Counter(case.name for case in CASES).items() if count > 1] == []
    assert {case.verdict.end for case in CASES} == {"open", "closed", "within", "refused"}


def test_rulesAreDocumented() -> None:
    """Each rule has a case, and docs/smuggling.md has each rule."""
    page = " ".join((ROOT / "docs" / "smuggling.md").read_text().split())
    known = {each for each in vars(rules).values() if isinstance(each, rules.Rule)}
    assert known == {case.rule for case in CASES}
    assert [each for each in known if f"- {each.section}: {each.text}" not in page] == []


@pytest.mark.parametrize("cut", [1, 1000])
def test_whatAProgramChanges(cut: int) -> None:
    """A program that changes what it has got changes it for no later request, however often the same bytes come."""
    raw = post(b"X: y", b"Cookie: a=b", b"Content-Length: 5", body=b"hello")
    seen = []

    async def handle(request: Any) -> Response:
        seen.append(seenOf(request, await request.body))
        request.requestHeaders.setRawHeaders(b"Host", [b"b"])
        request.requestHeaders.addRawHeader(b"X", b"z")
        request.requestHeaders.removeHeader(b"Cookie")
        request.getAllHeaders().clear()
        request.received_cookies.clear()
        return Response(200)

    server = Server()
    server.channel.factory.handler = handle
    server.feed(pieces(raw * 5, cut))
    assert seen == [posted(b"hello", x=b"y", cookie=b"a=b", content_length=b"5")] * 5
    server.end()
