"""The examples of known protocols, each driven by a public client of that protocol, and by a hostile peer."""

from __future__ import annotations

import hashlib
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from tests.house.test_examples import DEADLINE, EXAMPLES, Peer, Program
from tests.support.tlsworlds import HOST, TRUST, certificatePath


@pytest.fixture
def left() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


class Server:
    """A running example, and the port on which it listens."""

    def __init__(self, left: ExitStack, name: str, *arguments: object) -> None:
        path = EXAMPLES / f"{name}.py"
        self.left = left
        self.program = left.enter_context(closing(Program(path, "twisted", arguments)))
        self.port = self.program.port()

    def peer(self) -> Peer:
        return self.left.enter_context(closing(Peer(self.port)))

    def answersOf(self, sent: bytes, byByte: bool = False) -> list[str]:
        """The lines of all answers to a peer that sends `sent` and ends its half."""
        peer = self.peer()
        for piece in [sent[at : at + 1] for at in range(len(sent))] if byByte else [sent]:
            peer.socket.sendall(piece)
        peer.socket.shutdown(1)
        return peer.file.read().decode("latin-1").split("\r\n")

    def stop(self) -> None:
        """End it. It has printed nothing that was not read, for example no traceback."""
        assert self.program.stop() == (0, [])


def mailServer(left: ExitStack) -> Server:
    return Server(left, "smtpreceiver", certificatePath(), certificatePath())


def codesOf(answers: list[str]) -> str:
    """The codes of the last lines of the answers."""
    return " ".join(answer[:3] for answer in answers if answer[3:4] == " ")


def test_smtpClient(left: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages in plain and in TLS, with dots at line starts and bytes beyond ASCII, come whole."""
    server = mailServer(left)
    body = b"Subject: dots\r\n\r\n.\r\n..\r\n.a\r\n\xc3\xa9\r\n" + b"x" * 998 + b"\r\n"
    message = hashlib.sha256(body).hexdigest()
    with smtplib.SMTP("127.0.0.1", server.port, timeout=DEADLINE) as client:
        client.ehlo("me")
        assert sorted(client.esmtp_features) == ["8bitmime", "pipelining", "size", "starttls"]
        client._host = HOST  # type: ignore[attr-defined]
        client.sendmail("a@x", ["b@x", "c@x"], body, ["BODY=8BITMIME"])
        assert server.program.line() == f"a@x to b@x, c@x {message}"
        client.starttls(context=ssl.create_default_context(cadata=TRUST.decode()))
        assert client.mail("a@x")[0] == 503  # the earlier greeting was plain
        client.ehlo("me")
        assert "starttls" not in client.esmtp_features
        client.sendmail("d@x", "e@x", body)
        assert server.program.line() == f"d@x to e@x {message}"
        with pytest.raises(smtplib.SMTPSenderRefused) as refused:
            client.sendmail("d@x", "e@x", b"y\r\n" * 400_000)
        assert refused.value.smtp_code == 552
        assert client.mail("d@x")[0] == 250
    server.stop()


@pytest.mark.parametrize("byByte", [False, True])
def test_smtpPipelined(left: ExitStack, byByte: bool) -> None:
    """A burst gets all its answers, however it is cut. The peer ends its half at once."""
    server = mailServer(left)
    sent = b"EHLO me\r\nMAIL FROM:<>\r\nRCPT TO:<a@x>\r\nDATA\r\n..\r\n.\r\n"
    sent += b"MAIL FROM:<b@x>\r\nNOOP\r\nRSET\r\nQUIT\r\n"
    assert codesOf(server.answersOf(sent, byByte)) == "220 250 250 250 354 250 250 250 250 221"
    assert server.program.line() == " to a@x " + hashlib.sha256(b".\r\n").hexdigest()
    server.stop()


LETTER = b"EHLO me\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\n"


def test_smtpRefuses(left: ExitStack) -> None:
    server = mailServer(left)
    for sent, codes in [
        (b"MAIL FROM:<a@x>\r\nRCPT TO:<a@x>\r\nDATA\r\nSTARTTLS\r\nEHLO\r\n", "503 503 503 503 501"),
        (b"EHLO me\r\nMAIL FROM:<a@x>\r\nMAIL FROM:<a@x>\r\nDATA\r\n", "250 250 503 503"),
        (b"EHLO me\r\nMAIL FROM:a@x\r\nMAIL FROM:<a@x> X=1\r\nMAIL FROM:<a@x> SIZE=1000001\r\n", "250 501 555 552"),
        (b"EHLO me\r\nSTARTTLS now\r\n\xff\xfe\r\n\0\r\n", "250 501 500 500"),
        (b"NOOP " + b"x" * 600 + b"\r\n" + b"x" * 100_000 + b"\r\nNOOP\r\n", "500 500 250"),
        (LETTER + b"x" * 1001 + b"\r\n.\r\nNOOP\r\n", "250 250 250 354 500 250"),
        (LETTER + b"x\n.\nMAIL FROM:<c@x>\r\n.\r\nNOOP\r\n", "250 250 250 354 550 250"),
        (LETTER + b"x\r\n" * 400_000 + b".\r\nNOOP\r\n", "250 250 250 354 552 250"),
        (b"EHLO me\r\nMAIL FROM:<a@x>\r\n" + b"RCPT TO:<b@x>\r\n" * 101, "250 250" + " 250" * 100 + " 452"),
        (b"what\r\n" * 30, "500 " * 20 + "421"),
        (b"EHLO me\r\nSTARTTLS\r\nMAIL FROM:<a@x>\r\n", "250 503"),
        (b"EHLO me\r\nSTARTTLS\r\nM", "250 503"),
    ]:
        assert codesOf(server.answersOf(sent)) == f"220 {codes}", sent[:100]
    server.stop()
