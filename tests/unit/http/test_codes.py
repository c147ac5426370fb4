"""Response codes: Twisted's names, numbers and phrases, and those of the registry that Twisted does not have."""

from __future__ import annotations

from http import HTTPStatus

from twisted.web import _responses
from twisted.web import http as twistedHTTP

from reactor import http
from reactor.http import codes


def test_twistedsNames() -> None:
    names = [name for name in vars(_responses) if name.isupper() and not name.startswith("_")]
    assert len(names) > 40
    for name in names:
        if name != "RESPONSES":
            assert getattr(codes, name) == getattr(_responses, name)
            assert getattr(http, name) == getattr(_responses, name)
    assert http.RESPONSES.items() >= _responses.RESPONSES.items()
    assert http.NO_BODY_CODES == twistedHTTP.NO_BODY_CODES
    assert http.CACHED


def test_everyCodeOfTheRegistry() -> None:
    """The phrases of the codes that Twisted does not have. The registry renamed one after Python 3.11."""
    added = codes.RESPONSES.keys() - _responses.RESPONSES.keys()
    phrases = {status: status.phrase.encode() for status in HTTPStatus} | {422: b"Unprocessable Content"}
    assert codes.RESPONSES.keys() >= phrases.keys()
    assert {code: codes.RESPONSES[code] for code in added} == {code: phrases[code] for code in added}
    named = {value for name, value in vars(codes).items() if name.isupper() and isinstance(value, int)}
    assert named == codes.RESPONSES.keys()
