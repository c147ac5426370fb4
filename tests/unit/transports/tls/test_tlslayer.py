"""TLSLayer and TLSConnection over memory: the handshake, what is said when, every way to end, deadlines."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import ssl
from collections.abc import Callable
from typing import Any

import pytest

from reactor import error
from reactor.failure import Failure
from reactor.interfaces import IHandshakeListener, ISSLTransport
from reactor.testing import PumpReactor, connect, makeFakeClient, makeFakeServer
from reactor.tlsoptions import CLOSE_TIMEOUT, HANDSHAKE_TIMEOUT, CertificateOptions, optionsForClientTLS
from reactor.transports.duplex import tellStop
from reactor.transports.output import OUTPUT_LIMIT
from reactor.transports.tls.connection import TLSConnection
from reactor.transports.tls.layer import undelivered
from reactor.transports.tls.output import CIPHERTEXT_MARK, CIPHERTEXT_STEP
from tests.support.rawtls import RawEnd, RawHalves, Recorder, RecordingHalves, Wire, peerContext
from tests.support.tlsworlds import CA, CERTIFICATE, HOST, TRUST, certificatePath, clientOptions, pemOf, write
from tests.support.worlds import Producer, World

DEAF = 1 << 20  # more than two buffers in memory hold


def defaults() -> CertificateOptions:
    return CertificateOptions(certificatePath())


class TestHandshake:
    def test_order(self) -> None:
        wire = Wire()
        assert wire.protocol.events == []
        wire.handshake()
        assert wire.protocol.events == ["made", "handshake"]
        wire.say(b"hello")
        wire.protocol.transport.write(b"answer")
        assert wire.hear() == b"answer"
        assert wire.protocol.received == b"hello"

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    @pytest.mark.parametrize("weAreClient", [False, True])
    def test_versionsAndSides(self, version: ssl.TLSVersion, weAreClient: bool) -> None:
        context = peerContext(not weAreClient)
        context.minimum_version = context.maximum_version = version
        wire = Wire(context=context, weAreClient=weAreClient).handshake()
        assert wire.ours.getTLSVersion() == version.name.replace("_", ".")
        assert wire.ours.getCipher()[1].startswith("TLSv1.")  # type: ignore[index]
        wire.say(b"hello")
        wire.ours.write(b"answer")
        assert (wire.protocol.received, wire.hear()) == (b"hello", b"answer")
        wire.closeNotify()
        assert wire.hear().endswith(b"<end>")
        assert wire.protocol.events[-1] == "ConnectionDone"
        assert wire.raw.ended

    def test_dataRightBehindTheHandshake(self) -> None:
        """The client's last flight and its first words in one packet."""
        wire = Wire()
        with pytest.raises(ssl.SSLWantReadError):
            wire.peer.do_handshake()
        wire.send()
        wire.peer.do_handshake()
        wire.peer.write(b"early words")
        wire.send()
        assert wire.protocol.events == ["made", "handshake", "data"]
        assert wire.protocol.received == b"early words"

    def test_inSingleBytes(self) -> None:
        wire = Wire()
        for _ in range(4):
            with contextlib.suppress(ssl.SSLWantReadError):
                wire.peer.do_handshake()
            for byte in wire._out.read():
                wire.send(bytes([byte]))
        assert wire.protocol.events == ["made", "handshake"]

    def test_alpn(self) -> None:
        context = peerContext(isClient=True)
        context.set_alpn_protocols(["h9", "smtp"])
        options = CertificateOptions(certificatePath(), acceptableProtocols=[b"smtp", "imap"])
        wire = Wire(options=options, context=context)
        assert wire.ours.negotiatedProtocol is None
        wire.handshake()
        assert wire.ours.negotiatedProtocol == b"smtp"

    def test_certificates(self) -> None:
        wire = Wire(weAreClient=True).handshake()
        der = ssl.PEM_cert_to_DER_cert(CERTIFICATE.cert_chain_pems[0].bytes().decode())
        assert wire.ours.getPeerCertificate() == der
        assert ("DNS", HOST) in wire.ours.getPeerCertificate(True)["subjectAltName"]  # type: ignore[index]
        assert Wire().handshake().ours.getPeerCertificate(True) is None

    def test_theConnectionOffersWhatIsBelow(self) -> None:
        wire = Wire()
        assert "nobody" not in repr(wire.ours)
        wire.handshake()
        assert wire.ours.getHandle() is wire.lower.wire  # type: ignore[attr-defined]
        wire.ours.setTcpNoDelay(True)  # type: ignore[attr-defined]
        assert wire.ours.getTcpNoDelay()  # type: ignore[attr-defined]
        assert (wire.ours.getHost(), wire.ours.getPeer()) == (wire.lower.getHost(), wire.lower.getPeer())
        assert wire.ours.logPrefix() == "Recorder"
        with pytest.raises(AttributeError):
            wire.ours.nonsense  # type: ignore[attr-defined]  # noqa: B018
        with pytest.raises(AttributeError):
            wire.ours._fd  # type: ignore[attr-defined]  # noqa: B018
        with pytest.raises(RuntimeError):
            wire.ours.startTLS(defaults())
        transport: ISSLTransport = wire.ours
        listener: IHandshakeListener = wire.protocol
        assert transport is listener.transport  # type: ignore[attr-defined]

    def test_beforeItIsConnected(self) -> None:
        layer = TLSConnection(PumpReactor(), defaults(), False, None, None, None)
        assert "nobody yet" in repr(layer)

    @pytest.mark.parametrize("weAreClient", [False, True])
    def test_deadline(self, weAreClient: bool) -> None:
        options = optionsForClientTLS(HOST, TRUST) if weAreClient else defaults()
        wire = Wire(options=options, weAreClient=weAreClient)
        wire.send(b"\x16\x03\x01")  # the beginning of something
        wire.advance(HANDSHAKE_TIMEOUT - 0.1)
        assert wire.failures == []
        wire.advance(0.1)
        assert [type(failure.value) for failure in wire.failures] == [error.TimeoutError]
        assert wire.raw.ended
        assert wire.protocol.events == []
        assert wire.reactor.getDelayedCalls() == []

    @pytest.mark.parametrize("weAreClient", [False, True])
    def test_deadlineOfALateLoop(self, weAreClient: bool) -> None:
        """A part that had come before the deadline counts, though the loop reads it after it.

        The peer has the time anew for its answer. A part that is not whole does not count.
        """
        for isWhole in (True, False):
            wire = Wire(weAreClient=weAreClient)
            if weAreClient:
                wire.flush()
            with contextlib.suppress(ssl.SSLWantReadError):
                wire.peer.do_handshake()
            part = wire._out.read()
            wire.other.write(part if isWhole else part[:-1])
            wire.other.flush()
            wire.reactor.clock.advance(HANDSHAKE_TIMEOUT + 1)
            wire.flush()
            assert [type(failure.value) for failure in wire.failures] == ([] if isWhole else [error.TimeoutError])
            if isWhole:
                wire.advance(HANDSHAKE_TIMEOUT - 1)
                wire.handshake()
                assert wire.protocol.events == ["made", "handshake"]
                assert wire.reactor.getDelayedCalls() == []

    def test_deadlineThatWasChosen(self) -> None:
        wire = Wire(options=CertificateOptions(certificatePath(), handshakeTimeout=3))
        wire.advance(3)
        assert len(wire.failures) == 1

    def test_noDeadlineIsLeft(self) -> None:
        wire = Wire().handshake()
        assert wire.reactor.getDelayedCalls() == []
        wire.closeNotify()
        wire.hear()
        assert wire.protocol.events[-1] == "ConnectionDone"
        assert wire.reactor.getDelayedCalls() == []

    @pytest.mark.parametrize(
        "junk", [b"GET / HTTP/1.1\r\n\r\n", b"hello there\r\n", bytes(65536), b"\x16\x03\x01\x00\x05hello"]
    )
    def test_whatIsNoTLS(self, junk: bytes) -> None:
        """Crossed wires (and CVE-2023-40217: bytes before the handshake never count as protected)."""
        wire = Wire()
        wire.send(junk)
        assert [type(failure.value) for failure in wire.failures] == [error.SSLError]
        assert wire.raw.ended
        assert wire.protocol.events == []

    def test_plainBytesAndTheEnd(self) -> None:
        """CVE-2023-40217, as it was: bytes, then the end of the stream, before any handshake."""
        wire = Wire()
        wire.other.write(b"sudo")
        wire.other.loseWriteConnection()
        wire.flush()
        assert [type(failure.value) for failure in wire.failures] == [error.SSLError]
        assert wire.protocol.events == []

    @pytest.mark.parametrize("how", ["loseConnection", "abortConnection"])
    def test_thePeerLeaves(self, how: str) -> None:
        wire = Wire()
        getattr(wire.other, how)()
        wire.flush()
        wire.advance(0)
        assert [type(failure.value) for failure in wire.failures] == [error.SSLError]
        assert "during the TLS handshake" in str(wire.failures[0].value)
        assert wire.lower.disconnected

    def test_theReactorStops(self) -> None:
        wire = Wire()
        wire.reactor.disconnectAll()
        assert [type(failure.value) for failure in wire.failures] == [error.SSLError]

    def test_clientsWithoutAndWithWrongCertificates(self) -> None:
        """No callback before the client's certificate is verified, though TLS 1.3 clients think they are done."""
        options = CertificateOptions(certificatePath(), trustRoot=TRUST)
        wire = Wire(options=options).handshake()
        wire.say(b"words")
        assert wire.protocol.events == []
        assert "PEER_DID_NOT_RETURN_A_CERTIFICATE" in str(wire.failures[0].value)
        context = peerContext(isClient=True)
        write("mine.pem", pemOf(CA.issue_cert("client.test")))
        context.load_cert_chain(write("mine.pem", pemOf(CA.issue_cert("client.test"))))
        wire = Wire(options=options, context=context).handshake()
        assert wire.protocol.events == ["made", "handshake"]
        assert wire.ours.getPeerCertificate() is not None

    def test_aRefusedClientLearnsWhy(self) -> None:
        """Our client's handshake is done before the server has looked at its certificate (TLS 1.3)."""
        context = peerContext(isClient=False)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=TRUST.decode())
        wire = Wire(context=context, weAreClient=True)
        for _ in range(3):
            try:
                wire.peer.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                wire.send()
                break
            wire.send()
        assert wire.protocol.events == ["made", "handshake", "ConnectionLost"]
        assert "CERTIFICATE_REQUIRED" in str(wire.protocol.lost.value)

    def test_buildProtocolRaises(self, caplog: pytest.LogCaptureFixture) -> None:
        wire = Wire()
        wire.ours._build = lambda _: 1 / 0
        wire.handshake()
        assert [type(failure.value) for failure in wire.failures] == [error.ConnectError]
        assert [type(record.exc_info[1]) for record in caplog.records if record.exc_info] == [ZeroDivisionError]
        assert wire.raw.ended

    def test_aConnectErrorOfBuildProtocol(self, caplog: pytest.LogCaptureFixture) -> None:
        raised = error.ConnectError(string="not today")

        def build(_: object) -> None:
            raise raised

        wire = Wire()
        wire.ours._build = build
        wire.handshake()
        assert [failure.value for failure in wire.failures] == [raised]
        assert [record.exc_info[1] for record in caplog.records if record.exc_info] == [raised]

    def test_endedByBuildProtocol(self) -> None:
        """The code that waits for the connection has heard that there is none: no protocol hears of it."""
        wire = Wire()
        wire.ours._build = lambda _: (wire.reactor.disconnectAll(), wire.protocol)[1]  # type: ignore[func-returns-value]
        wire.handshake()
        assert [type(failure.value) for failure in wire.failures] == [error.ConnectionLost]
        assert wire.protocol.events == []

    def test_noProtocol(self) -> None:
        wire = Wire()
        wire.ours._build = lambda _: None
        wire.handshake()
        assert wire.hear() == b"<end>"
        wire.closeNotify()
        assert wire.raw.ended
        assert wire.failures == []

    @pytest.mark.parametrize("where", ["connectionMade", "handshakeCompleted"])
    @pytest.mark.parametrize("what", ["loseConnection", "abortConnection"])
    def test_endedAtOnce(self, where: str, what: str) -> None:
        protocol = Recorder()
        kind = type("Ending", (Recorder,), {where: lambda self: getattr(self.transport, what)()})
        protocol = kind()
        wire = Wire(protocol=protocol)
        wire.handshake()
        if what == "loseConnection":
            assert wire.hear() == b"<end>"
            wire.closeNotify()
        wire.advance(0)
        assert protocol.events[-1] == ("ConnectionDone" if what == "loseConnection" else "ConnectionAborted")
        assert "handshake" not in protocol.events or where == "handshakeCompleted"

    def test_aPausedProtocol(self) -> None:
        kind = type("Pausing", (Recorder,), {"connectionMade": lambda self: self.transport.pauseProducing()})
        wire = Wire(protocol=kind()).handshake()
        wire.say(b"later")
        assert wire.protocol.events == ["handshake"]
        wire.ours.resumeProducing()
        wire.flush()
        assert wire.protocol.received == b"later"


class TestEnds:
    def test_closeNotifyIsAnswered(self) -> None:
        wire = Wire().handshake()
        wire.say(b"bye")
        wire.closeNotify()
        assert wire.protocol.events[-2:] == ["data", "ConnectionDone"]
        assert wire.hear() == b"<end>"
        assert wire.raw.ended

    @pytest.mark.parametrize("how", ["end", "reset"])
    def test_truncation(self, how: str) -> None:
        """An end that TLS did not announce may be an attacker's: never "done"."""
        wire = Wire().handshake()
        wire.say(b"half a li")
        wire.other.loseConnection() if how == "end" else wire.other.abortConnection()
        wire.flush()
        wire.advance(0)
        assert wire.protocol.events[-2:] == ["data", "ConnectionLost"]
        assert ("close_notify" in str(wire.protocol.lost.value)) is (how == "end")

    def test_truncationOfAHalfCloseableProtocol(self) -> None:
        wire = Wire(protocol=RecordingHalves()).handshake()
        wire.other.loseWriteConnection()
        wire.flush()
        assert wire.protocol.events[-1] == "ConnectionLost"

    def test_anEndOfStreamBehindCloseNotify(self) -> None:
        """It says nothing new: the protocol may go on writing."""
        wire = Wire(protocol=RecordingHalves(), raw=RawHalves()).handshake()
        wire.closeNotify()
        wire.other.loseWriteConnection()
        wire.flush()
        assert wire.protocol.events == ["made", "handshake", "readLost"]
        wire.ours.write(b"still here")
        wire.ours.loseConnection()
        assert wire.hear() == b"still here<end>"
        assert wire.protocol.events[-1] == "ConnectionDone"
        assert wire.lower.disconnected

    def test_bytesBehindCloseNotifyAreDropped(self) -> None:
        wire = Wire(protocol=RecordingHalves()).handshake()
        wire.closeNotify()
        wire.send(b"an attacker's words")
        assert wire.protocol.events == ["made", "handshake", "readLost"]

    def test_halves(self) -> None:
        wire = Wire(protocol=RecordingHalves()).handshake()
        wire.ours.write(b"all I have")
        wire.ours.loseWriteConnection()
        assert wire.hear() == b"all I have<end>"
        wire.ours.write(b"dropped")
        wire.say(b"and I")
        assert wire.protocol.events == ["made", "handshake", "writeLost", "data"]
        wire.closeNotify()
        assert wire.protocol.events[-1] == "readLost"
        wire.ours.loseConnection()
        assert wire.protocol.events[-1] == "ConnectionDone"
        wire.flush()
        assert wire.raw.ended
        assert wire.reactor.getDelayedCalls() == []

    def test_aForgedRecordEndsIt(self) -> None:
        wire = Wire().handshake()
        wire.peer.write(b"good")
        good = wire._out.read()
        wire.peer.write(b"forged")
        forged = wire._out.read()
        wire.send(good + forged[:-1] + bytes([forged[-1] ^ 1]))
        assert wire.protocol.events[-2:] == ["data", "ConnectionLost"]
        assert wire.protocol.received == b"good"
        assert wire.raw.ended

    def test_theAnswerIsAwaitedAndDataBeforeItDropped(self) -> None:
        wire = Wire().handshake()
        wire.ours.write(b"last")
        wire.ours.loseConnection()
        assert wire.hear() == b"last<end>"
        wire.say(b"not read")
        assert wire.protocol.events == ["made", "handshake"]
        assert not wire.lower.disconnected
        wire.closeNotify()
        assert wire.protocol.events == ["made", "handshake", "ConnectionDone"]
        assert wire.lower.disconnected

    @pytest.mark.parametrize("how", ["end", "reset"])
    def test_anAnswerWithoutCloseNotifyWillDo(self, how: str) -> None:
        wire = Wire().handshake()
        wire.ours.loseConnection()
        wire.flush()
        wire.other.loseConnection() if how == "end" else wire.other.abortConnection()
        wire.flush()
        wire.advance(0)
        assert wire.protocol.events == ["made", "handshake", "ConnectionDone"]
        assert wire.lower.disconnected

    def test_aPeerThatDoesNotAnswer(self) -> None:
        wire = Wire(options=defaults()).handshake()
        wire.ours.write(b"last")
        wire.ours.loseConnection()
        assert wire.hear() == b"last<end>"
        wire.advance(CLOSE_TIMEOUT - 0.1)
        assert wire.protocol.events == ["made", "handshake"]
        wire.advance(0.1)
        assert wire.protocol.events == ["made", "handshake", "ConnectionDone"]
        assert wire.lower.disconnected
        assert wire.reactor.getDelayedCalls() == []

    def test_aPeerThatTalksAndDoesNotAnswer(self) -> None:
        wire = Wire(options=defaults()).handshake()
        wire.ours.loseConnection()
        wire.flush()
        for _ in range(99):
            wire.advance(CLOSE_TIMEOUT / 100)
            wire.say(b"x")
        assert not wire.lower.disconnected
        wire.advance(CLOSE_TIMEOUT / 50)
        assert wire.protocol.events == ["made", "handshake", "ConnectionDone"]
        assert wire.lower.disconnected

    def test_aPeerThatDoesNotRead(self) -> None:
        wire = Wire(options=defaults()).handshake()
        wire.other.pauseProducing()
        wire.ours.write(b"x" * DEAF)
        wire.ours.loseConnection()
        wire.flush()
        wire.advance(CLOSE_TIMEOUT * 0.9)
        assert wire.protocol.events == ["made", "handshake"]
        wire.advance(CLOSE_TIMEOUT * 0.1)
        assert wire.protocol.events == ["made", "handshake", "ConnectionLost"]
        assert "took nothing" in str(wire.protocol.lost.value)
        assert wire.lower.disconnected
        assert wire.reactor.getDelayedCalls() == []

    def test_aSlowPeerIsGivenTime(self) -> None:
        wire = Wire(options=defaults()).handshake()
        wire.other.pauseProducing()
        wire.ours.write(b"x" * DEAF)
        wire.ours.loseConnection()
        heard = 0
        for _ in range(60):
            wire.advance(CLOSE_TIMEOUT * 0.9)
            assert not wire.lower.disconnected
            wire.other.resumeProducing()
            wire.pump.pump()
            wire.other.pauseProducing()
            answer = wire.hear()
            heard += len(answer)
            if answer.endswith(b"<end>"):
                break
        assert heard == DEAF + len(b"<end>")

    def test_aPeerThatDoesNotReadOurAnswer(self) -> None:
        """Its close_notify ends the connection for the protocol; what is below follows at the latest in time."""
        wire = Wire(options=defaults()).handshake()
        wire.other.pauseProducing()
        wire.ours.write(b"x" * DEAF)
        wire.flush()
        wire.closeNotify()
        assert wire.protocol.events[-1] == "ConnectionDone"
        assert not wire.lower.disconnected
        wire.advance(CLOSE_TIMEOUT)
        wire.advance(0)
        assert wire.lower.disconnected
        assert wire.reactor.getDelayedCalls() == []

    def test_closingWaitsForAProducerOfOurOwn(self) -> None:
        wire = Wire(options=defaults()).handshake()
        producer = Producer()
        wire.ours.registerProducer(producer, False)
        wire.ours.loseConnection()
        for _ in range(5):
            wire.advance(CLOSE_TIMEOUT)
        assert wire.protocol.events == ["made", "handshake"]
        wire.ours.write(b"at last")
        wire.ours.unregisterProducer()
        assert wire.hear() == b"at last<end>"

    def test_abortWhileTheAnswerIsAwaited(self) -> None:
        wire = Wire().handshake()
        wire.ours.loseConnection()
        wire.flush()
        wire.ours.abortConnection()
        wire.advance(0)
        assert wire.protocol.events == ["made", "handshake", "ConnectionAborted"]
        assert wire.reactor.getDelayedCalls() == []

    def test_exceptionsOfDataReceivedLater(self, caplog: pytest.LogCaptureFixture) -> None:
        """Data that was held is delivered from a delayed call; that changes nothing about the side that pays."""
        kind = type("Failing", (Recorder,), {"dataReceived": lambda self, data: 1 / 0})
        wire = Wire(protocol=kind()).handshake()
        wire.ours._paused = True
        wire.say(b"x")
        wire.ours.resumeProducing()
        wire.flush()
        assert wire.protocol.events[-1] == "ZeroDivisionError"
        assert wire.lower.disconnected
        assert len([record for record in caplog.records if record.exc_info]) == 1

    def test_aFailureAfterTheEnd(self, caplog: pytest.LogCaptureFixture) -> None:
        """It is reported, and what the transport below still sends is not cut off."""
        wire = Wire().handshake()
        wire.ours._finish(Failure(error.ConnectionDone()))
        assert wire.lower.connected
        wire.ours.failConnection(Failure(ZeroDivisionError()))
        assert wire.lower.connected
        assert [type(record.exc_info[1]) for record in caplog.records if record.exc_info] == [ZeroDivisionError]
        with contextlib.suppress(SystemExit):
            wire.ours.failConnection(Failure(SystemExit()))
            wire.reactor.iterate()
            raise AssertionError("it has not left the reactor")
        assert wire.protocol.events[-1] == "ConnectionDone"

    def test_exceptionsOfTheLastCalls(self, caplog: pytest.LogCaptureFixture) -> None:
        kind = type("Failing", (Recorder,), {"connectionLost": lambda self, reason: 1 / 0})
        wire = Wire(protocol=kind()).handshake()
        wire.ours.registerProducer(Producer(stop=lambda: [][1]), True)
        wire.closeNotify()
        kinds = [type(record.exc_info[1]) for record in caplog.records if record.exc_info]
        assert kinds == [IndexError, ZeroDivisionError]
        assert wire.lower.disconnected

    def test_afterTheEndNothingHappens(self) -> None:
        wire = Wire().handshake()
        assert wire.ours.logPrefix() == "Recorder"
        wire.ours.loseConnection()
        for method in ("pauseProducing", "resumeProducing", "stopProducing", "loseConnection"):
            getattr(wire.ours, method)()
        wire.closeNotify()
        assert wire.protocol.events == ["made", "handshake", "ConnectionDone"]
        for method in ("loseWriteConnection", "pauseProducing", "resumeProducing", "stopProducing", "abortConnection"):
            getattr(wire.ours, method)()
        wire.flush()
        assert wire.protocol.events == ["made", "handshake", "ConnectionDone"]
        assert wire.reactor.getDelayedCalls() == []

    def test_heldDataThenTheEnd(self) -> None:
        """All in one packet, to a protocol that pauses at each call."""
        kind = type("Pausing", (Recorder,), {"dataReceived": pauseEachTime})
        wire = Wire(protocol=kind()).handshake()
        wire.ours.pauseProducing()
        wire.peer.write(b"words")
        wire.closeNotify()
        assert wire.protocol.events == ["made", "handshake"]
        wire.ours.resumeProducing()
        wire.flush()
        assert wire.protocol.events == ["made", "handshake", "data"]
        wire.ours.resumeProducing()
        wire.flush()
        assert wire.protocol.events == ["made", "handshake", "data", "ConnectionDone"]

    def test_truncationWhileOutputIsStillSent(self) -> None:
        wire = Wire(raw=RawHalves()).handshake()
        wire.other.pauseProducing()
        wire.ours.write(b"x" * DEAF)
        wire.ours.loseConnection()
        wire.other.loseWriteConnection()
        wire.flush()
        wire.other.resumeProducing()
        heard = wire.hear()
        assert len(heard) == DEAF + len(b"<end>")
        assert wire.protocol.events[-1] == "ConnectionDone"

    def test_whatTheEndBelowMeans(self) -> None:
        """A transport below that knows no halves tells of the peer's end in this way."""
        wire = Wire().handshake()
        wire.ours.connectionLost(Failure(error.ConnectionDone()))
        assert wire.protocol.events[-1] == "ConnectionLost"
        wire.ours.connectionLost(Failure(error.ConnectionDone()))
        wire.ours.dataReceived(b"nobody is left")
        wire.ours.flush()
        wire.ours.fail(ValueError("no more"))
        assert wire.protocol.events.count("ConnectionLost") == 1

    def test_goodbyeBeforeTheTransportIsClosed(self) -> None:
        wire = Wire().handshake()
        wire.ours.write(b"last words")
        wire.ours.flush()
        tellStop(wire.ours)
        tellStop(wire.ours)
        assert wire.hear() == b"last words<end>"
        assert wire.protocol.events == ["made", "handshake"]

    def test_noGoodbyeThatWouldBeALie(self) -> None:
        """close_notify says that there was no more; nor is there one before the handshake, or without TLS."""
        wire = Wire().handshake()
        wire.ours.write(b"not encrypted yet")
        tellStop(wire.ours)
        assert wire.hear() == b"not encrypted yet"
        tellStop(Wire().ours)

    def test_tlsMayHaveToReadBeforeItWrites(self) -> None:
        class Waiting:
            def write(self, data: object) -> int:
                raise ssl.SSLWantReadError

        wire = Wire().handshake()
        works = wire.ours._engine._object
        wire.ours._engine._object = Waiting()  # type: ignore[assignment]
        wire.ours.write(b"x")
        wire.ours.flush()
        assert wire.ours.unsent == 1
        wire.ours._engine._object = works
        assert wire.hear() == b"x"

    def test_tlsFailsToWrite(self) -> None:
        wire = Wire().handshake()
        wire.ours._engine.close()
        wire.ours.write(b"x")
        wire.flush()
        assert wire.protocol.events[-1] == "ConnectionLost"
        assert "shutdown" in str(wire.protocol.lost.value)


def pauseEachTime(self: Any, data: bytes) -> None:
    self.transport.pauseProducing()
    Recorder.dataReceived(self, data)


class TestBounds:
    def test_ciphertextIsBoundedToo(self) -> None:
        wire = Wire().handshake()
        wire.other.pauseProducing()
        wire.ours.write(b"x" * (8 << 20))
        wire.flush()
        assert wire.ours.unsent > 7 << 20
        assert wire.lower.unsent <= CIPHERTEXT_MARK + CIPHERTEXT_STEP + 100
        wire.other.resumeProducing()
        assert len(wire.hear()) == 8 << 20

    def test_aProducerGetsItsTurnsLikeOthers(self) -> None:
        """A flush resumes it, and what it writes asks for the next flush: for one, however fast the peer reads."""
        wire = Wire().handshake()
        wire.lower.socket.send = len  # type: ignore[assignment, method-assign]
        written: list[int] = []

        class Blocks(Producer):
            def resumeProducing(self) -> None:
                for _ in range(2):
                    written.append(65536)
                    wire.ours.write(bytes(65536))

        wire.ours.registerProducer(producer := Blocks(), True)
        producer.resumeProducing()
        for _ in range(12):
            wire.ours.dataReceived(b"")
            before = len(written)
            wire.reactor.turn()
            assert 0 < len(written) - before <= 8

    def test_theHardCap(self, caplog: pytest.LogCaptureFixture) -> None:
        wire = Wire().handshake()
        wire.other.pauseProducing()
        wire.ours.setOutputLimits(1000, 100_000)
        for _ in range(1000):
            wire.ours.write(b"x" * 1000)
            wire.flush()
            if wire.ours.disconnecting:
                break
        assert wire.ours.unsent == 0
        wire.advance(0)
        assert wire.protocol.events[-1] == "OutputLimitExceeded"
        assert [record.levelno for record in caplog.records] == [logging.WARNING]

    def test_aLowerTransportWithHigherMarks(self) -> None:
        """Encryption goes on by itself, piece by piece, where nothing below says stop."""
        wire = Wire().handshake()
        wire.lower.setOutputLimits(64 << 20, 64 << 20)
        wire.ours.write(b"x" * (3 << 20))
        assert len(wire.hear()) == 3 << 20

    def test_pausedReadingHoldsThePeerUp(self) -> None:
        wire = Wire().handshake()
        wire.ours.pauseProducing()
        digest = hashlib.sha256()
        for number in range(64):
            piece = bytes([number]) * 16384
            digest.update(piece)
            wire.peer.write(piece)
        wire.send()
        assert sum(map(len, wire.ours._held)) <= 2 * 65536
        assert wire.other.unsent > 700_000
        assert wire.protocol.received == b""
        while len(wire.protocol.received) < 64 * 16384:
            wire.ours.resumeProducing()
            wire.ours.pauseProducing()
            wire.ours.resumeProducing()
            wire.flush()
        assert hashlib.sha256(wire.protocol.received).digest() == digest.digest()

    def test_manyAtOnce(self) -> None:
        """Pairs share a reactor and nothing else."""
        reactor = PumpReactor()
        ends = []

        def always(protocol: Any) -> Callable[[Any], Any]:
            return lambda _: protocol

        for _ in range(20):
            protocols = Recorder(), Recorder()
            layers = [
                TLSConnection(reactor, defaults(), False, None, always(protocols[0]), None),
                TLSConnection(reactor, optionsForClientTLS(HOST, TRUST), True, HOST, always(protocols[1]), None),
            ]
            pump = connect(
                layers[0], makeFakeServer(layers[0]), layers[1], makeFakeClient(layers[1]), greet=False, clock=reactor
            )
            ends.append((protocols, pump))
        ends[0][1].flush()
        for number, ((_, client), _) in enumerate(ends):
            client.transport.write(b"%d" % number)
        ends[0][1].flush()
        assert [server.received for (server, _), _ in ends] == [b"%d" % number for number in range(20)]


class TestUndelivered:
    def test_whoIsAsked(self) -> None:
        class Keeps:
            def takeUndelivered(self) -> bytes:
                return b"kept"

        class Lines:
            def clearLineBuffer(self) -> bytes:
                return b"lines"

        class Wrapper:
            def __init__(self, wrapped: Any) -> None:
                self.wrappedProtocol = wrapped

        assert undelivered(Keeps()) == b"kept"
        assert undelivered(Wrapper(Wrapper(Lines()))) == b"lines"
        assert undelivered(RawEnd()) == b""


def test_aBacklogAboveTheLimitIsSentBeforeTLSBegins() -> None:
    """It was written under a higher limit, which the layer's own does not undo."""
    size = 2 * OUTPUT_LIMIT
    world = World()
    try:
        server, client = world.pair()
        client.transport.setOutputLimits(outputLimit=2 * size)
        client.transport.write(bytes(size))
        client.transport.startTLS(clientOptions())
        world.until(lambda: len(server.received) > size)
        assert client.lost is None
        assert server.received[:size] == bytes(size)
    finally:
        world.close()
