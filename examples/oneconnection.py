"""ClientCreator: one connection, one question, one answer.

python examples/oneconnection.py PORT QUESTION
"""

import sys

import reactor
from reactor import ClientCreator, LineReceiver
from reactor.defer import Deferred


class Asker(LineReceiver):
    def __init__(self, patience):
        self.patience = patience
        self.answer = Deferred()

    def ask(self, question):
        self.sendLine(question)
        return self.answer.addTimeout(self.patience, reactor)

    def lineReceived(self, line):
        answer, self.answer = self.answer, None
        self.transport.loseConnection()
        answer.callback(line)

    def connectionLost(self, reason):
        if self.answer is not None:
            self.answer.errback(reason)


def connected(asker):
    print("connected to", asker.transport.getPeer().host, flush=True)
    return asker.ask(sys.argv[2].encode())


status = []


def report(answer):
    print("answer:", answer.decode(), flush=True)
    status.append(0)


def complain(failure):
    print("no answer:", failure.type.__name__, flush=True)
    status.append(1)


d = ClientCreator(reactor, Asker, patience=5).connectTCP("127.0.0.1", int(sys.argv[1]))
d.addCallback(connected)
d.addCallbacks(report, complain)
d.addBoth(lambda _: reactor.stop())
reactor.run()
sys.exit(status[0])
