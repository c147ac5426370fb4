"""A server of several processes with admin pages: the supervisor, its workers and the admin process, by one command.

It answers lines with the pid of a worker, at a port that it writes on standard output. The argument is the port of the
pages.
"""

from __future__ import annotations

import os
import sys

from reactor import EpollReactor, Factory, LineReceiver
from reactor.service import Place, Program, Supervisor, Totals, Worker
from reactor.service.admin import RemoteSource, adminFactory

lines = 0


class Naming(LineReceiver):
    def lineReceived(self, line: bytes) -> None:
        global lines
        lines += 1
        self.sendLine(b"%d" % os.getpid())


def main() -> int:
    reactor = EpollReactor()
    worker = Worker.fromEnvironment(reactor)
    if worker is not None:
        if "admin" in sys.argv:
            source = RemoteSource(version="1.2.3", reactor=reactor)
            worker.onStatus(source.feed)
            worker.listen("admin", adminFactory(source))
        else:
            worker.listen("echo", Factory.forProtocol(Naming))
            worker.reports(lambda: {"listeners": {"echo": {"linesIn": lines}}})
        worker.ready()
        reactor.run()
        return 0
    command = [sys.executable, "-m", "tests.support.administered", sys.argv[1]]
    admin = Program([*command, "admin"], {"admin": Place.tcp(int(sys.argv[1]), "127.0.0.1")})
    places = {"echo": Place.tcp(0, "127.0.0.1")}
    supervisor = Supervisor(reactor, command, places, workers=2, grace=600.0, admin=admin, totals=Totals("1.2.3"))
    supervisor.open()
    reactor.callWhenRunning(os.write, 1, b"%d\n" % supervisor.addressOf("echo")[1])
    return supervisor.run()


if __name__ == "__main__":
    sys.exit(main())
