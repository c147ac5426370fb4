"""A dialogue with inlineCallbacks: one side thinks of a number, and the other side guesses until it is right.

python examples/dialogue.py NUMBER [PATIENCE]

After PATIENCE guesses the thinker hangs up.
"""

import sys
from collections.abc import Generator

import reactor
from reactor import ClientFactory, Deferred, Failure, LineReceiver, ServerFactory, inlineCallbacks
from reactor.interfaces import IConnector

SMALLEST, LARGEST = 1, 100


class Thinker(LineReceiver):
    """The server: tells how a guess compares with its number."""

    guesses = 0

    def lineReceived(self, line: bytes) -> None:
        self.guesses += 1
        if self.guesses > self.factory.patience:
            self.transport.loseConnection()
            return
        guess, number = int(line), self.factory.number
        self.sendLine(b"higher" if guess < number else b"lower" if guess > number else b"right")


class Guesser(LineReceiver):
    """The client: ask() returns a Deferred of the answer."""

    def __init__(self) -> None:
        self.answer: Deferred[bytes] | None = None

    def connectionMade(self) -> None:
        self.factory.play(self)

    def ask(self, guess: int) -> Deferred[bytes]:
        self.answer = Deferred()
        self.sendLine(b"%d" % guess)
        return self.answer

    def lineReceived(self, line: bytes) -> None:
        answer, self.answer = self.answer, None
        if answer is not None:
            answer.callback(line)

    def connectionLost(self, reason: Failure) -> None:
        if self.answer is not None:
            self.answer.errback(reason)


class Thinkers(ServerFactory):
    protocol = Thinker

    def __init__(self, number: int, patience: int) -> None:
        self.number = number
        self.patience = patience


class Game(ClientFactory):
    protocol = Guesser

    @inlineCallbacks
    def play(self, guesser: Guesser) -> Generator[Deferred[bytes], bytes, None]:
        low, high = SMALLEST, LARGEST
        try:
            while low <= high:
                guess = (low + high) // 2
                answer = yield guesser.ask(guess)
                print(guess, "is answered with", answer.decode())
                if answer == b"right":
                    return
                low, high = (guess + 1, high) if answer == b"higher" else (low, guess - 1)
            print("that is not possible")
        except Exception as error:
            print("the dialogue broke off:", type(error).__name__)
        finally:
            guesser.transport.loseConnection()

    def clientConnectionLost(self, connector: IConnector, reason: Failure) -> None:
        reactor.stop()

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        print("nobody to talk to:", reason.getErrorMessage())
        reactor.stop()


thinkers = Thinkers(int(sys.argv[1]), int(sys.argv[2]) if sys.argv[2:] else LARGEST)
port = reactor.listenTCP(0, thinkers, interface="127.0.0.1")
reactor.connectTCP("127.0.0.1", port.getHost().port, Game())
reactor.run()
