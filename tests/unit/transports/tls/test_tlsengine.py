"""TLSEngine, and what a peer can do to it with records."""

from __future__ import annotations

import ssl

import pytest

from reactor import error
from reactor.transports.tls.engine import BATCH, IDLE_LIMIT, RECORD, TLSEngine
from tests.support.rawtls import HANDSHAKE, Attacker, peerContext
from tests.support.tlsworlds import HOST, clientOptions, serverOptions


def engines() -> tuple[TLSEngine, TLSEngine]:
    """A server's and a client's, shaken hands."""
    ends = TLSEngine(serverOptions(), False, None), TLSEngine(clientOptions(), True, HOST)
    done = [False, False]
    while not all(done):
        for number, end in enumerate(ends):
            done[number] = end.handshake(ends[1 - number].take()) or done[number]
    ends[1].decrypt(ends[0].take())
    return ends


class TestEngine:
    def test_bothWays(self) -> None:
        server, client = engines()
        assert server.version == client.version == "TLSv1.3"
        assert server.cipher == client.cipher == ("TLS_AES_256_GCM_SHA384", "TLSv1.3", 256)
        assert client.encrypt(b"x" * 100_000) == 100_000
        assert b"".join(server.decrypt(client.take())) == b"x" * 100_000
        assert server.encrypt(memoryview(b"answer")) == 6
        assert client.decrypt(server.take()) == [b"answer"]
        assert server.getPeerCertificate() is None

    def test_eachDirectionEndsOnItsOwn(self) -> None:
        server, client = engines()
        client.close()
        assert server.decrypt(client.take()) == []
        assert isinstance(server.ended, error.ConnectionDone)
        assert client.ended is None
        server.encrypt(b"more")
        assert client.decrypt(server.take()) == [b"more"]
        server.encrypt(b"last")
        server.close()
        assert client.decrypt(server.take()) == [b"last"]
        assert isinstance(client.ended, error.ConnectionDone)
        with pytest.raises(OSError, match="shutdown"):
            client.encrypt(b"too late")
        assert client.decrypt(b"whatever") == []
        client.close()

    def test_aRecordMayArriveInPieces(self) -> None:
        server, client = engines()
        client.encrypt(b"slowly")
        pieces = [server.decrypt(bytes([byte])) for byte in client.take()]
        assert [piece for piece in pieces if piece] == [[b"slowly"]]

    def test_itIsAskedForNoMoreThanThereIs(self) -> None:
        """OpenSSL's error for nothing to read costs as much as some KiB of data."""
        server, client = engines()
        server.decrypt()
        asked: list[int] = []

        class Watched:
            def read(self, size: int) -> bytes:
                asked.append(size)
                return watched.read(size)

        watched: ssl.SSLObject = server._object
        server._object = Watched()  # type: ignore[assignment]
        client.encrypt(b"x" * (3 * RECORD + 1))
        data = client.take()
        assert [*map(len, server.decrypt(data[: 2 * RECORD]))] == [RECORD]
        assert server.decrypt() == []
        assert [*map(len, server.decrypt(data[2 * RECORD :]))] == [RECORD, RECORD, 1]
        assert len(asked) == 4

    def test_whatIsNoTLSIsFoundOutAtOnce(self) -> None:
        """Its header may announce more than ever comes, and a plain text announces up to 64 KiB."""
        for plain in (b"HELO there\r\n", b"\x17\x03\x03\xff\xff", b"\x17\x04\x03\x01\x00"):
            server, client = engines()
            client.encrypt(b"before")
            assert server.decrypt(client.take()) == [b"before"]
            assert server.decrypt(plain) == []
            assert isinstance(server.ended, error.ConnectionLost)

    def test_anUnfinishedHelloStaysOutsideOfOpenSSL(self) -> None:
        """There it would take 40 KiB. Bytes that cannot be a ClientHello are given to it, and are an error, at once."""
        client = TLSEngine(clientOptions(), True, HOST)
        client.handshake()
        hello = client.take()
        for cut in (0, 1, 2, 4, 5, len(hello) - 1):
            server = TLSEngine(serverOptions(), False, None)
            assert not server.handshake(hello[:cut])
            assert server._incoming.pending == 0
            assert server.take() == b""
            assert not server.handshake(hello[cut:])
            assert server.take()[0] == HANDSHAKE
        server = TLSEngine(serverOptions(), False, None)
        assert not any(server.handshake(bytes([byte])) for byte in hello)
        assert server.take()[0] == HANDSHAKE
        for junk in (b"GET / HTTP/1.1", b"\x16\x02\x00\x10\x00", b"\x16\x03\x01\xff\xff"):
            server = TLSEngine(serverOptions(), False, None)
            with pytest.raises(error.SSLError):
                server.handshake(junk)

    def test_closeBeforeTheHello(self) -> None:
        for begun in (b"", b"\x16\x03"):
            server = TLSEngine(serverOptions(), False, None)
            server.handshake(begun)
            server.close()
            assert (server.take(), server.ended) == (b"", None)

    def test_aRecordCutAtTheEndOfTheHandshake(self) -> None:
        """The handshake has taken its beginning, so it must be known of when its end comes."""
        server, client = TLSEngine(serverOptions(), False, None), TLSEngine(clientOptions(), True, HOST)
        client.handshake()
        server.handshake(client.take())
        assert client.handshake(server.take())
        last = client.take()
        client.encrypt(b"first")
        client.encrypt(b"second")
        data = client.take()
        assert server.handshake(last + data[:10])
        assert server.decrypt(data[10:30]) == [b"first"]
        assert server.decrypt(data[30:]) == [b"second"]

    def test_closeWithHalfARecordWaiting(self) -> None:
        """The close reads, and must not lose or mistake what it finds."""
        server, client = engines()
        client.encrypt(b"a message")
        record = client.take()
        server.decrypt(record[:20])
        server.close()
        assert server.decrypt(record[20:]) == [b"a message"]
        assert server.ended is None

    def test_closeWithDataBehindTheHandshake(self) -> None:
        """Data that came with the last of the handshake is there after the close, and no error."""
        server, client = TLSEngine(serverOptions(), False, None), TLSEngine(clientOptions(), True, HOST)
        client.handshake()
        server.handshake(client.take())
        assert client.handshake(server.take())
        client.encrypt(b"early")
        assert server.handshake(client.take())
        server.close()
        assert server.ended is None
        client.decrypt(server.take())
        assert isinstance(client.ended, error.ConnectionDone)
        client.encrypt(b", late")
        assert server.decrypt(client.take()) == [b"early", b", late"]

    def test_anOldHello(self) -> None:
        """OpenSSL takes a ClientHello of SSL 2.0, whose records are others, from clients that also know TLS."""
        hello = b"\x80\x2e\x01\x03\x03\x00\x15\x00\x00\x00\x10" + bytes(37)
        with pytest.raises(error.SSLError, match="no TLS"):
            TLSEngine(serverOptions(), False, None).handshake(hello)

    def test_aForgedRecord(self) -> None:
        server, client = engines()
        client.encrypt(b"good")
        first = client.take()
        client.encrypt(b"forged")
        second = bytearray(client.take())
        second[-1] ^= 1
        assert server.decrypt(first + second) == [b"good"]
        assert isinstance(server.ended, error.ConnectionLost)
        told = str(server.ended).lower().replace("_", " ")
        assert "bad record mac" in told or "record layer failure" in told  # the latter since OpenSSL 3.5
        assert server.take()  # an alert

    def test_wrongName(self) -> None:
        server, client = TLSEngine(serverOptions(), False, None), TLSEngine(clientOptions(), True, "other.test")
        client.handshake()
        assert not server.handshake(client.take())
        with pytest.raises(error.SSLError, match="Hostname mismatch") as caught:
            client.handshake(server.take())
        assert isinstance(caught.value.osError, ssl.SSLCertVerificationError)
        assert client.take()

    @pytest.mark.parametrize("name", [HOST + ".", "127.0.0.1", "::1%lo"])
    def test_waysToNameAHost(self, name: str) -> None:
        server, client = TLSEngine(serverOptions(), False, None), TLSEngine(clientOptions(), True, name)
        client.handshake()
        server.handshake(client.take())
        assert client.handshake(server.take())

    def test_aClientNeedsAName(self) -> None:
        """For ssl.SSLObject no name means no verification of it, and no word about that."""
        for name in (None, ""):
            with pytest.raises(ValueError, match="needs to know the host's name"):
                TLSEngine(clientOptions(), True, name)

    def test_foreignContextsNeverRenegotiate(self) -> None:
        context = peerContext(isClient=False)
        assert not context.options & ssl.OP_NO_RENEGOTIATION
        TLSEngine(context, False, None)
        assert context.options & ssl.OP_NO_RENEGOTIATION


class TestFloods:
    def test_theAttackerIsUnderstood(self) -> None:
        attacker = Attacker()
        attacker.wire.send(attacker.record(b"hello ") + attacker.keyUpdate() + attacker.record(b"world"))
        assert attacker.wire.protocol.received == b"hello world"
        attacker.wire.protocol.transport.write(b"answer")
        assert attacker.wire.hear() == b"answer"  # behind a key update, the one that was asked for

    @pytest.mark.parametrize("requested", [False, True])
    @pytest.mark.parametrize("atOnce", [1, 2000])
    def test_keyUpdates(self, requested: bool, atOnce: int) -> None:
        """However many come in one read, few are taken."""
        attacker = Attacker()
        flood = [attacker.keyUpdate(requested) for _ in range(2000)]
        sent = 0
        while attacker.wire.protocol.events[-1] == "handshake":
            attacker.wire.send(b"".join(flood[sent : sent + atOnce]))
            sent += atOnce
        assert attacker.wire.protocol.events == ["made", "handshake", "ConnectionLost"]
        assert sent == (IDLE_LIMIT + 1 if atOnce == 1 else atOnce)
        assert attacker.wire.raw.ended

    def test_fewAreTaken(self) -> None:
        attacker = Attacker()
        flood = b"".join(attacker.keyUpdate() for _ in range(2000))
        engine = attacker.wire.ours._engine
        engine.take()
        assert engine.decrypt(flood) == []
        assert isinstance(engine.ended, error.ConnectionLost)
        # One answer to each key update that was taken.
        assert 0 < len(engine.take()) <= (IDLE_LIMIT + BATCH) * len(flood) // 2000

    def test_keyUpdatesBehindTheHandshake(self) -> None:
        attacker = Attacker(hold=True)
        engine = attacker.wire.ours._engine
        assert engine.handshake(attacker.finished + b"".join(attacker.keyUpdate() for _ in range(2000)))
        engine.take()
        assert engine.decrypt() == []
        assert isinstance(engine.ended, error.ConnectionLost)
        assert len(engine.take()) < 30 * (IDLE_LIMIT + 2 * BATCH)

    def test_keyUpdatesAmongData(self) -> None:
        attacker = Attacker()
        sent = 0
        while attacker.wire.protocol.events[-1] in ("handshake", "data"):
            sent += 1
            attacker.wire.send(attacker.keyUpdate() + attacker.record(b"x"))
        assert attacker.wire.protocol.events[-1] == "ConnectionLost"
        assert IDLE_LIMIT < sent < 1.1 * IDLE_LIMIT

    def test_aFewKeyUpdatesAreFine(self) -> None:
        attacker = Attacker()
        data = b"".join(attacker.keyUpdate() + b"".join(attacker.record(b"x") for _ in range(64)) for _ in range(500))
        for at in range(0, len(data), 997):  # records cut anywhere, headers too
            attacker.wire.send(data[at : at + 997])
        assert attacker.wire.protocol.received == b"x" * 32_000
        assert attacker.wire.ours._engine._idle <= 2

    def test_oneASecondIsFine(self) -> None:
        """Records without data may keep a connection alive, or hide when somebody talks."""
        attacker = Attacker()
        for _ in range(3):
            attacker.wire.send(b"".join(attacker.keyUpdate() for _ in range(IDLE_LIMIT)))
            for _ in range(2 * IDLE_LIMIT):
                attacker.wire.reactor.clock.advance(1)
                attacker.wire.send(attacker.keyUpdate())
            attacker.wire.reactor.clock.advance(IDLE_LIMIT)
        assert attacker.wire.protocol.events == ["made", "handshake"]
        attacker.wire.send(b"".join(attacker.keyUpdate() for _ in range(2 * IDLE_LIMIT)))
        assert attacker.wire.protocol.events == ["made", "handshake", "ConnectionLost"]

    def test_paddedRecordsAreData(self) -> None:
        """Each as long as a record may be, for one byte."""
        attacker = Attacker()
        for _ in range(2 * IDLE_LIMIT):
            attacker.wire.send(attacker.record(b"x", padding=16_000))
        assert attacker.wire.protocol.received == b"x" * 2 * IDLE_LIMIT

    def test_emptyRecords(self) -> None:
        attacker = Attacker()
        attacker.wire.send(b"".join(attacker.record(b"") for _ in range(5000)))
        assert attacker.wire.protocol.events == ["made", "handshake", "ConnectionLost"]

    def test_recordsOfOneByteAreData(self) -> None:
        attacker = Attacker()
        attacker.wire.send(b"".join(attacker.record(b"x") for _ in range(20_000)))
        assert attacker.wire.protocol.received == b"x" * 20_000
        for byte in b"".join(attacker.record(b"y") for _ in range(2 * IDLE_LIMIT)):
            attacker.wire.ours.dataReceived(bytes([byte]))
        assert attacker.wire.protocol.received == b"x" * 20_000 + b"y" * 2 * IDLE_LIMIT

    def test_handshakeMessagesThatHaveNoPlace(self) -> None:
        attacker = Attacker()
        attacker.wire.send(attacker.record(bytes([1, 0, 0, 1, 0]), HANDSHAKE))  # a ClientHello
        assert attacker.wire.protocol.events[-1] == "ConnectionLost"
