"""Checks of an installed linereactor, run by its own interpreter with nothing but the standard library.

    python smoke.py compiled|pure

Not collected by pytest: the wheel's checks run it in environments that hold only the wheel.
"""

from __future__ import annotations

import importlib.metadata
import pathlib
import sys

import reactor
from reactor import linecore
from reactor.linereceiver import LineReceiver


class Collector(LineReceiver):
    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def lineReceived(self, line: bytes) -> None:
        self.lines.append(line)


def main(expected: str) -> None:
    assert expected == linecore.IMPLEMENTATION, f"expected the {expected} core, got the {linecore.IMPLEMENTATION} one"
    assert reactor.__version__ == importlib.metadata.version("linereactor")
    assert (pathlib.Path(reactor.__file__).parent / "py.typed").is_file()

    stream = b"".join(b"line %d\r\n" % number for number in range(1000))
    for size in (1, 7, 4096, len(stream)):
        collector = Collector()
        for start in range(0, len(stream), size):
            collector.dataReceived(stream[start : start + size])
        assert collector.lines == stream.split(b"\r\n")[:-1], f"lines differ when fed {size} bytes at a time"

    print(f"linereactor {reactor.__version__}, {expected} core, works: {reactor.__file__}")


if __name__ == "__main__":
    main(*sys.argv[1:])
