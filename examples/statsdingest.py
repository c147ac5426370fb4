"""Metrics in the format of StatsD, over UDP and TCP. Each interval the program prints a summary of each name.

A metric is a line "NAME:VALUE|TYPE", and "|@RATE" behind it for a sample. The types are c (counter), g (gauge, with a
sign: a change), ms and h (timings) and s (a set: the number of different values).

python examples/statsdingest.py [PORT [SECONDS]]
"""

import re
import sys
from typing import Any

import reactor
from reactor import DatagramProtocol, Factory, Failure, LineReceiver, LoopingCall, TimeoutMixin

MOST_CONNECTIONS = 100
IDLE_SECONDS = 300
LONGEST_LINE = 1024  # bytes
MOST_NAMES = 10_000
MOST_VALUES = 1000  # different values of a set, or timings of a name, in one interval
METRIC = re.compile(
    rb"([A-Za-z0-9_./-]{1,200}):([^|\r\n]{1,100})\|(c|g|ms|h|s)"
    rb"(?:\|@(0\.\d{1,9}|1(?:\.0)?))?(?:\|#[^|]*)?"
)
NUMBER = re.compile(rb"[+-]?\d{1,15}(?:\.\d{1,15})?")


class Metrics:
    """All metrics of one interval. Gauges stay for the next one."""

    def __init__(self) -> None:
        self.gauges: dict[str, float] = {}
        self.begin()

    def begin(self) -> None:
        self.counters: dict[str, float] = {}
        self.timings: dict[str, list[float]] = {}
        self.timed: dict[str, int] = {}
        self.sets: dict[str, set[bytes]] = {}
        self.bad = 0

    def add(self, line: bytes) -> None:
        """Add a line. A line that is no metric, and a name or value too many, are counted in `bad`."""
        found = METRIC.fullmatch(line)
        if found is None or (found[3] != b"s" and not NUMBER.fullmatch(found[2])):
            self.bad += 1
            return
        name, kind = found[1].decode(), found[3]
        rate = float(found[4] or 1)
        kept: Any = {b"c": self.counters, b"g": self.gauges, b"s": self.sets}.get(kind, self.timings)
        if rate == 0 or (name not in kept and len(kept) >= MOST_NAMES):
            self.bad += 1
        elif kind == b"s":
            values = self.sets.setdefault(name, set())
            if len(values) < MOST_VALUES:
                values.add(found[2])
            else:
                self.bad += found[2] not in values
        elif kind == b"c":
            self.counters[name] = self.counters.get(name, 0) + float(found[2]) / rate
        elif kind == b"g":
            isChange = found[2][:1] in b"+-"
            self.gauges[name] = float(found[2]) + (self.gauges.get(name, 0) if isChange else 0)
        else:
            self.timed[name] = self.timed.get(name, 0) + round(1 / rate)
            timings = self.timings.setdefault(name, [])
            if len(timings) < MOST_VALUES:
                timings.append(float(found[2]))

    def flush(self) -> list[str]:
        """Return the lines of the interval's summary, and begin the next interval."""
        lines = [f"count {name} {value:g}" for name, value in sorted(self.counters.items())]
        lines += [f"gauge {name} {value:g}" for name, value in sorted(self.gauges.items())]
        for name, values in sorted(self.timings.items()):
            mean = sum(values) / len(values)
            lines.append(f"timing {name} {self.timed[name]} min {min(values):g} mean {mean:g} max {max(values):g}")
        lines += [f"set {name} {len(values)}" for name, values in sorted(self.sets.items())]
        if self.bad:
            lines.append(f"bad {self.bad}")
        self.begin()
        return lines


class MetricReceiver(LineReceiver, TimeoutMixin):
    delimiter = b"\n"
    MAX_LENGTH = LONGEST_LINE
    overlong = "skip"

    def connectionMade(self) -> None:
        self.factory.connections += 1
        self.setTimeout(IDLE_SECONDS)

    def lineReceived(self, line: bytes) -> None:
        self.resetTimeout()
        self.factory.metrics.add(line.removesuffix(b"\r"))

    def lineLengthExceeded(self, line: bytes) -> None:
        self.factory.metrics.bad += 1

    def connectionLost(self, reason: Failure) -> None:
        self.factory.connections -= 1
        self.setTimeout(None)


class Datagrams(DatagramProtocol):
    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        for line in datagram.splitlines():
            self.metrics.add(line)


class MetricFactory(Factory):
    protocol = MetricReceiver

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self.connections = 0

    def buildProtocol(self, addr: Any) -> Any:
        if self.connections >= MOST_CONNECTIONS:
            return None
        return Factory.buildProtocol(self, addr)


def show(metrics: Metrics) -> None:
    for line in metrics.flush():
        print(line, flush=True)


if __name__ == "__main__":
    metrics = Metrics()
    port = reactor.listenTCP(int(sys.argv[1]) if sys.argv[1:] else 0, MetricFactory(metrics), interface="127.0.0.1")
    reactor.listenUDP(port.getHost().port, Datagrams(metrics), interface="127.0.0.1")
    LoopingCall(show, metrics).start(float(sys.argv[2]) if sys.argv[2:] else 10, now=False)
    print("listening on", port.getHost().port, flush=True)
    reactor.run()
