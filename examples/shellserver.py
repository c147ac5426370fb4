"""A shell for telnet, with commands of its own: it runs nothing of the system.

The options that a client offers or asks for (RFC 854) are refused, and each of them once only.

python examples/shellserver.py [PORT]
"""

import sys
import time
from typing import Any

import reactor
from reactor import Factory, Failure, LineReceiver, TimeoutMixin
from reactor.interfaces import IAddress

MOST_CONNECTIONS = 100
IDLE_SECONDS = 300
LONGEST_LINE = 400
IAC, DONT, DO, WONT, WILL, SB, SE = 255, 254, 253, 252, 251, 250, 240
HELP = b"help, time, echo WORDS, who, quit"


class Shell(LineReceiver, TimeoutMixin):
    delimiter = b"\n"
    MAX_LENGTH = LONGEST_LINE
    line_mode = 0  # all data is raw, until the telnet commands are taken out of it
    hasEnded = False  # whether the peer sends no more

    def connectionMade(self) -> None:
        self.factory.shells.add(self)
        peer = self.transport.getPeer()
        self.name = f"{peer.host}:{peer.port}".encode()
        self.state = 0  # a telnet command that has begun: IAC, the verb before an option, or SB
        self.wasIAC = False  # inside of a subnegotiation
        self.refused: set[tuple[int, int]] = set()
        self.line, self.input = bytearray(), bytearray()
        # While much output is unsent, the transport pauses this protocol, and so it makes no more.
        self.transport.registerProducer(self, True)
        self.setTimeout(IDLE_SECONDS)
        self.transport.write(b"Try help.\r\n> ")

    def connectionLost(self, reason: Failure) -> None:
        self.factory.shells.discard(self)
        self.setTimeout(None)

    def timeoutConnection(self) -> None:
        self.transport.abortConnection()

    def readConnectionLost(self) -> None:
        self.hasEnded = True
        if not self.paused:
            self.close()

    def writeConnectionLost(self) -> None:
        self.close()

    def resumeProducing(self) -> None:
        self.paused = False
        self.work()
        if not self.paused:
            LineReceiver.resumeProducing(self)
        if self.hasEnded and not self.paused:
            self.close()

    def close(self) -> None:
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def rawDataReceived(self, data: bytes) -> None:
        self.input += data
        self.work()

    def work(self) -> None:
        """Take the input byte by byte, until this protocol is paused."""
        done = 0
        while done < len(self.input) and not self.paused and not self.transport.disconnecting:
            byte = self.input[done]
            done += 1
            if self.state:
                self.command(byte)
            elif byte == IAC:
                self.state = IAC
            else:
                self.character(byte)
        del self.input[:done]

    def command(self, byte: int) -> None:
        """The next byte of a telnet command."""
        if self.state == SB:
            if self.wasIAC and byte == SE:
                self.state = 0
            self.wasIAC = byte == IAC and not self.wasIAC
        elif self.state == IAC:
            self.state = byte if SB <= byte < IAC else 0
            if byte == IAC:
                self.character(byte)
        else:
            verb, self.state = self.state, 0
            if verb in (DO, WILL) and (verb, byte) not in self.refused:
                self.refused.add((verb, byte))
                self.transport.write(bytes([IAC, WONT if verb == DO else DONT, byte]))

    def character(self, byte: int) -> None:
        if byte in b"\r\0":  # the end of a line is CR LF, CR NUL or LF
            if byte == 0 and self.line[-1:] == b"\r":
                self.end()
            elif byte == 13:
                self.line.append(byte)
        elif byte == 10:
            self.end()
        else:
            self.line.append(byte)
        if len(self.line) > LONGEST_LINE:
            self.sendLine(b"That line is too long.\r")
            self.close()

    def end(self) -> None:
        words, self.line = bytes(self.line).replace(b"\r", b"").split(None, 1), bytearray()
        self.resetTimeout()
        if words:
            answer = self.obey(words[0].lower(), words[1] if words[1:] else b"")
            self.transport.write(answer.replace(b"\xff", b"\xff\xff") + b"\r\n")
        if words and words[0].lower() == b"quit":
            self.close()
        else:
            self.transport.write(b"> ")

    def obey(self, name: bytes, rest: bytes) -> bytes:
        if name == b"help":
            return HELP
        if name == b"time":
            return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()).encode()
        if name == b"echo":
            return rest
        if name == b"who":
            return b", ".join(sorted(shell.name for shell in self.factory.shells))
        if name == b"quit":
            return b"Bye."
        return b"No such command. Try help."


class ShellFactory(Factory):
    protocol = Shell

    def __init__(self) -> None:
        self.shells: set[Shell] = set()

    def buildProtocol(self, addr: IAddress) -> Any:
        if len(self.shells) >= MOST_CONNECTIONS:
            return None
        return Factory.buildProtocol(self, addr)


if __name__ == "__main__":
    port = reactor.listenTCP(int(sys.argv[1]) if sys.argv[1:] else 0, ShellFactory(), interface="127.0.0.1")
    print("listening on", port.getHost().port, flush=True)
    reactor.run()
