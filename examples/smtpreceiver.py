"""An SMTP receiver with STARTTLS (RFC 5321, RFC 3207): it keeps the messages in memory, and prints each one's hash.

    python examples/smtpreceiver.py CERTIFICATE KEY [PORT]

CERTIFICATE and KEY are PEM files. The receiver relays nothing.
"""

import hashlib
import re
import sys
from collections import deque
from typing import Any

import reactor
from reactor import CertificateOptions, Failure, LineReceiver, ServerFactory, TimeoutMixin
from reactor.interfaces import IAddress

MOST_CONNECTIONS = 100
MOST_RECIPIENTS = 100
MOST_ERRORS = 20  # refused commands of one connection
MOST_KEPT = 10  # messages in memory
MESSAGE_SIZE = 1_000_000  # bytes
COMMAND_LENGTH = 512  # bytes, with the line end (RFC 5321, section 4.5.3.1.4)
IDLE = 300  # seconds (section 4.5.3.2.7)
MAIL = re.compile(rb"FROM:<([^<>\s]{0,256})>((?: [^\s]+)*)", re.IGNORECASE)
RCPT = re.compile(rb"TO:<([^<>\s]{1,256})>", re.IGNORECASE)


class Receiver(LineReceiver, TimeoutMixin):
    MAX_LENGTH = 1000  # a line of text has up to 998 bytes, and a dot more in front
    overlong = "skip"
    greeted = False
    secure = False
    sender: bytes | None = None
    inData = False
    leaving = False
    errors = 0

    def connectionMade(self) -> None:
        self.factory.connections += 1
        self.reset()
        self.setTimeout(IDLE)
        self.sendLine(b"220 localhost ESMTP")

    def reset(self) -> None:
        self.sender, self.recipients = None, list[bytes]()
        self.lines, self.size, self.fault = list[bytes](), 0, b""

    def lineReceived(self, line: bytes) -> None:
        self.resetTimeout()
        if self.inData:
            self.dataLine(line)
            return
        verb, _, argument = line.partition(b" ")
        name = verb.decode("latin-1").upper()
        if len(line) + 2 > COMMAND_LENGTH:
            answer = b"500 The line is too long"
        elif name not in COMMANDS:
            answer = b"500 No such command"
        else:
            answer = COMMANDS[name](self, argument.strip())
        self.errors += answer[:1] == b"5"
        self.sendLine(answer)
        if self.errors >= MOST_ERRORS:
            self.sendLine(b"421 Too many errors")
            self.leaving = True
        if self.leaving:
            self.transport.loseConnection()
        elif name == "STARTTLS" and answer.startswith(b"220"):
            self.transport.startTLS(self.factory.options)

    def lineLengthExceeded(self, line: bytes) -> None:
        if self.inData:
            self.fault = b"500 A line is too long"
        else:
            self.lineReceived(line)

    def hello(self, name: bytes) -> bytes:
        if not name:
            return b"501 Your name, please"
        self.reset()
        self.greeted = True
        return b"250 localhost"

    def extendedHello(self, name: bytes) -> bytes:
        answer = self.hello(name)
        if not answer.startswith(b"250"):
            return answer
        offers = [b"PIPELINING", b"8BITMIME", b"SIZE %d" % MESSAGE_SIZE, *([] if self.secure else [b"STARTTLS"])]
        return b"\r\n".join([b"250-localhost", *(b"250-" + offer for offer in offers[:-1]), b"250 " + offers[-1]])

    def startTLS(self, argument: bytes) -> bytes:
        if argument:
            return b"501 STARTTLS takes no argument"
        if self.secure or not self.greeted:
            return b"503 Not now"
        if self.heldSize:
            # Bytes behind STARTTLS were plain. An attacker may have put them there, so they must not count as secure.
            self.leaving = True
            return b"503 Nothing may follow STARTTLS"
        return b"220 Go ahead"

    def handshakeCompleted(self) -> None:
        self.reset()
        self.secure, self.greeted = True, False  # all that was said in plain is forgotten

    def mail(self, argument: bytes) -> bytes:
        if not self.greeted or self.sender is not None:
            return b"503 Not now"
        if not (found := MAIL.fullmatch(argument)):
            return b"501 MAIL FROM:<address>, please"
        for parameter in found[2].upper().split():
            if re.fullmatch(rb"SIZE=\d{1,20}", parameter):
                if int(parameter[5:]) > MESSAGE_SIZE:
                    return b"552 The message is too large"
            elif parameter not in (b"BODY=7BIT", b"BODY=8BITMIME"):
                return b"555 No such parameter"
        self.sender = found[1]
        return b"250 OK"

    def recipient(self, argument: bytes) -> bytes:
        if self.sender is None:
            return b"503 MAIL first"
        if not (found := RCPT.fullmatch(argument)):
            return b"501 RCPT TO:<address>, please"
        if len(self.recipients) >= MOST_RECIPIENTS:
            return b"452 Too many recipients"
        self.recipients.append(found[1])
        return b"250 OK"

    def data(self, argument: bytes) -> bytes:
        if not self.recipients:
            return b"503 RCPT first"
        self.inData = True
        return b"354 End with a dot"

    def dataLine(self, line: bytes) -> None:
        if line == b".":
            self.endOfData()
            return
        line = line.removeprefix(b".")  # dot-stuffing (section 4.5.2)
        self.size += len(line) + 2
        if self.size > MESSAGE_SIZE:
            self.fault = b"552 The message is too large"
        elif b"\r" in line or b"\n" in line:
            # A server behind this one may take a bare line end for a line's end, and read a second message.
            self.fault = b"550 A bare CR or LF"
        if self.fault:
            self.lines.clear()
        else:
            self.lines.append(line)

    def endOfData(self) -> None:
        self.inData = False
        if not self.fault:
            self.factory.keep(self.sender, self.recipients, b"".join(line + b"\r\n" for line in self.lines))
        self.sendLine(self.fault or b"250 OK")
        self.reset()

    def forget(self, argument: bytes) -> bytes:
        self.reset()
        return b"250 OK"

    def nothing(self, argument: bytes) -> bytes:
        return b"250 OK"

    def quit(self, argument: bytes) -> bytes:
        self.leaving = True
        return b"221 Bye"

    def timeoutConnection(self) -> None:
        self.sendLine(b"421 Idle for too long")
        self.transport.loseConnection()

    def readConnectionLost(self) -> None:
        """The peer has sent its last byte; it still gets all answers."""
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure) -> None:
        self.factory.connections -= 1
        self.setTimeout(None)


COMMANDS = {
    "HELO": Receiver.hello,
    "EHLO": Receiver.extendedHello,
    "STARTTLS": Receiver.startTLS,
    "MAIL": Receiver.mail,
    "RCPT": Receiver.recipient,
    "DATA": Receiver.data,
    "RSET": Receiver.forget,
    "NOOP": Receiver.nothing,
    "QUIT": Receiver.quit,
}


class ReceiverFactory(ServerFactory):
    protocol = Receiver

    def __init__(self, options: CertificateOptions) -> None:
        self.options = options
        self.connections = 0
        self.kept: deque[tuple[Any, ...]] = deque(maxlen=MOST_KEPT)

    def buildProtocol(self, addr: IAddress) -> Any:
        if self.connections >= MOST_CONNECTIONS:
            return None
        return ServerFactory.buildProtocol(self, addr)

    def keep(self, sender: bytes, recipients: list[bytes], message: bytes) -> None:
        self.kept.append((sender, recipients, message))
        people = b", ".join(recipients).decode("latin-1")
        print(sender.decode("latin-1"), "to", people, hashlib.sha256(message).hexdigest(), flush=True)


certificate, key, *rest = sys.argv[1:]
factory = ReceiverFactory(CertificateOptions(certificate, key))
port = reactor.listenTCP(int(rest[0]) if rest else 0, factory, interface="127.0.0.1")
print("listening on", port.getHost().port, flush=True)
reactor.run()
