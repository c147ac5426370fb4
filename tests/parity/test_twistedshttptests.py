"""Twisted's own tests of HTTP, with our classes in the place of Twisted's.

Their text is read from the Twisted that is installed. They pass, or stand in one of two lists: those that are not about
ours, and those that a difference on purpose makes fail.
"""

from __future__ import annotations

import importlib.util
import pathlib
import re
import sys
import types
import unittest
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import twisted.internet.task
import twisted.internet.testing
import twisted.web.http

import reactor.http
import reactor.http.answers
import reactor.http.channel
import reactor.task
from reactor import _current
from reactor.http.head import parseBlock

NAME = "twisted.web.test.test_http"

CHUNKED = """b"Transfer-Encoding: chunked\\r\\n"
            b"\\r\\n"
            b"0\\r\\n"
"""

# Changes of their text, and the reasons.
ADAPTED = {
    "import hamcrest\n": "",  # for HTTP/2 alone
    "from ._util": "from twisted.web.test._util",
    "from twisted.web import http, iweb": "from twisted.web import iweb",
    # A request behind a proxy of a private interface.
    "return _IDeprecatedHTTPChannelToRequestInterfaceProxy(instance)": "return instance",
    ".requests[0].original": ".requests[0]",
    # A factory's channel behind a proxy that might become one of HTTP/2.
    "._channel": "",
    # Ours hands out pipelined requests as they come.
    "self.assertEqual(1, len(a.requests))": "self.assertTrue(a.requests)",
    # Ours tells that there is no body by its length.
    CHUNKED: 'b"Content-Length: 0\\r\\n"\n',
    # Ours answers with its own version.
    'b"(no clientproto yet) ': 'b"HTTP/1.1 ',
    # Ours answers a client of HTTP/1.0 with HTTP/1.1, and tells that it closes.
    'b"HTTP/1.0 200 OK",': 'b"HTTP/1.1 200 OK", b"Connection: close",',
    'b"HTTP/1.0 200 OK\\r\\n\\r\\ndone"': 'b"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\n\\r\\ndone"',
}


class Names(types.ModuleType):
    """Our names, and Twisted's private ones, which tests of other things use."""

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor.http if name in reactor.http.__all__ else twisted.web.http, name)


class SteppingClock(twisted.internet.task.Clock):
    """Time passes in steps, as in a reactor: a deadline of ours is no delayed call of its own."""

    def advance(self, amount: float) -> None:
        """Advance by `amount` seconds, a quarter of a second at a time."""
        steps = int(min(amount, 1000) * 4)
        for _ in range(steps):
            super().advance(0.25)
        super().advance(amount - steps / 4)


class Transport(twisted.internet.testing.StringTransport):
    """Shows a refusal as Twisted's: without a length, a text, and another code than 400."""

    refusal = re.compile(
        rb"HTTP/1\.1 4[0-9]{2} [^\r]*\r\nContent-Type: text/plain; charset=utf-8\r\n"
        rb"Content-Length: [0-9]+\r\n(?:Connection: close\r\n)?\r\n[^\r\n]*\n"
    )

    def value(self) -> bytes:
        """Return the output since the last clear()."""
        written: bytes = super().value()  # type: ignore[no-untyped-call]
        return self.refusal.sub(b"HTTP/1.1 400 Bad Request\r\n\r\n", written)


def loaded() -> types.ModuleType:
    spec = importlib.util.find_spec(NAME)
    assert spec is not None
    assert spec.origin is not None
    text = pathlib.Path(spec.origin).read_text()
    for theirs, ours in ADAPTED.items():
        assert theirs in text, theirs
        text = text.replace(theirs, ours)
    module = types.ModuleType(f"{__name__}.loaded")
    sys.modules[module.__name__] = module
    vars(module).update(http=Names("http"), hamcrest=None, __file__=spec.origin)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some names are deprecated
        exec(compile(text, spec.origin, "exec"), vars(module))
    vars(module).update(Clock=SteppingClock, StringTransport=Transport)
    return module


def casesOf(suite: unittest.TestSuite) -> Iterator[tuple[str, unittest.TestCase]]:
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from casesOf(test)
        else:
            yield ".".join(test.id().split(".")[-2:]), test


CASES = dict(casesOf(unittest.TestLoader().loadTestsFromModule(loaded())))


def outcomeOf(name: str) -> str:
    """Run one of their tests; return the end of its traceback, or nothing if it has passed."""
    result = unittest.TestResult()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        CASES[name].run(result)
    bad = [*result.failures, *result.errors]
    return "" if not bad else "\n".join(bad[0][1].strip().splitlines()[-12:])


@pytest.fixture(autouse=True)
def asTwistedsAnswers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add no Date, and to their requests the Host that they lack. Time is a Clock's where they give none."""

    def withHost(fields: list[bytes], block: bytes) -> Any:
        return (
            parseBlock(fields, block)
            if b"Host: " in block
            else parseBlock([*fields, b"Host: x"], b"%b\r\nHost: x" % block)
        )

    monkeypatch.setattr(reactor.http.answers, "dateLine", lambda: b"")
    monkeypatch.setattr(reactor.http.channel, "parseBlock", withHost)
    monkeypatch.setattr(_current, "current", reactor.task.Clock)


# Their tests of what is not ours: HTTP/2, private parts of Twisted's, deprecations, and functions that we do not have.
NOT_OURS = (
    "ChannelProductionTests.test_HTTPChannelCanUnregisterWithNoProducer",
    "ChannelProductionTests.test_HTTPChannelPropagatesPausedProductionToRequest",
    "ChannelProductionTests.test_HTTPChannelStaysPausedWhenRequestCompletes",
    "ChannelProductionTests.test_HTTPChannelStopWithNoRequestOutstanding",
    "ChannelProductionTests.test_HTTPChannelToleratesPullProducers",
    "ChunkedTransferEncodingTests",
    "ChunkingTests.testChunks",
    "ChunkingTests.testConcatenatedChunks",
    "DeprecatedRequestAttributesTests",
    "GenericHTTPChannelTests",
    "HTTPChannelSanitizationTests",
    "HTTPClientDeprecationTests",
    "IdentityTransferEncodingTests",
    "ParsingTests.test_basicAuthException",
    "PersistenceTests",
    "PipeliningBodyTests.test_immediateABiggerTruck",
    "PipeliningBodyTests.test_pipeliningReadLimit",
    "QueryArgumentsTests",
    "RequestTests.test_finishCleansConnection",
    "RequestTests.test_provides_IDeprecatedHTTPChannelToRequestInterface",
    "SecurityTests.test_isSecure",
    "SecurityTests.test_notSecureAfterFinish",
)

# Their tests that fail because of a difference, by the test that shows it in test_differences.py; or else the reason.
DIFFERENT = {
    "ChannelProductionTests.test_HTTPChannelToleratesDataWhenTransportPaused": "our LineReceiver keeps it",
    "ChannelProductionTests.test_HTTPChannelUnregistersSelfWhenTimingOut": "test_slowHeads",
    "ChunkingTests.test_multipartFormData": "test_transferCodings",
    **{
        f"{kind}.{name}": "test_slowHeads"
        for kind in ("HTTP0_9Tests", "HTTP1_0Tests", "HTTP1_1Tests", "HTTP1_1_close_Tests")
        for name in (
            "test_requestBodyDefaultTimeout",
            "test_requestBodyTimeout",
            "test_transportForciblyClosed",
            "test_transportNotAbortedAfterConnectionLost",
            "test_transportNotAbortedWithZeroAbortTimeout",
        )
    },
    "HTTPClientSanitizationTests.test_sendHeaderSanitizesLinearWhitespace": "test_requestsOfTheOldClient",
    "HTTPLoopbackTests.testLoopback": "test_theHeadsOfAnswers",
    "ParsingTests.test_chunkedEncoding": "test_transferCodings",
    "ParsingTests.test_headerStripWhitespace": "test_headsOfRequests",
    "ParsingTests.test_headersMultiline": "test_headsOfRequests",
    "ParsingTests.test_invalidVersion": "test_laterVersions",
    "ParsingTests.test_multipartEmptyHeaderProcessingFailure": "test_formsThatAreCutOff",
    "ParsingTests.test_transferEncodingIdentity": "test_transferCodings",
    "RequestTests.test_addCookieSanitization": "test_cookiesOfOnePart",
    "RequestTests.test_addCookieWrongValues": "it has other words",
    "RequestTests.test_finishProducerStillRegistered": "it is logged by Python's logging",
    "RequestTests.test_finishProducesLog": "a log file is written in another way",
    "RequestTests.test_lastModifiedAlreadyWritten": "it is logged by Python's logging",
    "RequestTests.test_reprInitialized": "it has other words",
    "RequestTests.test_reprSubclass": "it has other words",
    "RequestTests.test_reprUninitialized": "it has other words",
    "RequestTests.test_requestBodyTimeoutFromFactory": "test_slowHeads",
    "RequestTests.test_setResponseCodeAcceptsIntegers": "test_codesOfThreeDigits",
}


def isOurs(name: str) -> bool:
    return name not in NOT_OURS and name.partition(".")[0] not in NOT_OURS


@pytest.mark.parametrize("name", [name for name in CASES if isOurs(name) and name not in DIFFERENT])
def test_theirs(name: str) -> None:
    assert outcomeOf(name) == ""


@pytest.mark.parametrize("name", DIFFERENT)
def test_theirsThatDiffer(name: str) -> None:
    """A difference that no longer exists leaves the list, too."""
    assert outcomeOf(name) != ""


def test_theListsNameWhatThereIs() -> None:
    names = {*CASES, *(name.partition(".")[0] for name in CASES)}
    assert not [name for name in [*NOT_OURS, *DIFFERENT] if name not in names]
    differences = (pathlib.Path(__file__).parent / "test_differences.py").read_text()
    assert not [why for why in DIFFERENT.values() if why.startswith("test_") and f"def {why}(" not in differences]
    assert len([name for name in CASES if isOurs(name) and name not in DIFFERENT]) > 120
