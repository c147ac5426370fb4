"""ClientCreator: one connection, one question, one answer.

python examples/oneconnection.py PORT QUESTION
"""

import sys

import reactor
from reactor import ClientCreator, Failure, LineReceiver
from reactor.defer import Deferred


class Asker(LineReceiver):
    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.answer: Deferred[bytes] = Deferred()

    def ask(self, question: bytes) -> Deferred[bytes]:
        self.sendLine(question)
        return self.answer.addTimeout(self.patience, reactor)

    def lineReceived(self, line: bytes) -> None:
        self.transport.loseConnection()
        self.answer.callback(line)

    def connectionLost(self, reason: Failure) -> None:
        if not self.answer.called:
            self.answer.errback(reason)


def connected(asker: Asker) -> Deferred[bytes]:
    print("connected to", asker.transport.getPeer().host, flush=True)
    return asker.ask(sys.argv[2].encode())


status: list[int] = []


def report(answer: bytes) -> None:
    print("answer:", answer.decode(), flush=True)
    status.append(0)


def complain(failure: Failure) -> None:
    print("no answer:", failure.type.__name__, flush=True)
    status.append(1)


d = ClientCreator(reactor, Asker, patience=5).connectTCP("127.0.0.1", int(sys.argv[1]))
d.addCallback(connected)
d.addCallbacks(report, complain)
d.addBoth(lambda _: reactor.stop())
reactor.run()
sys.exit(status[0])
