"""Other people's TLS programs against a reactor of the test's, and the servers that they talk to."""

from __future__ import annotations

import subprocess
import tempfile
from contextlib import closing
from typing import Any

from reactor import LineReceiver, ServerFactory
from tests.support.tlsworlds import HOST
from tests.support.worlds import LOOPBACK, World


class Echo(LineReceiver):
    delimiter = b"\n"

    def lineReceived(self, line: bytes) -> None:
        self.sendLine(b"you said " + line)
        if line == b"bye":
            self.transport.loseConnection()


class Echoes(ServerFactory[Echo]):
    """Notes what its protocols were and how they ended."""

    noisy = False

    def __init__(self) -> None:
        self.ends: list[str] = []
        self.made: list[Any] = []

    def buildProtocol(self, addr: Any) -> Echo:
        factory = self

        class Noting(Echo):
            def connectionMade(self) -> None:
                factory.made.append(self.transport)

            def connectionLost(self, reason: Any = None) -> None:
                factory.ends.append(type(reason.value).__name__)

        return Noting()


def run(world: World, *command: str, say: bytes = b"", quits: bool = True) -> tuple[int, bytes]:
    """Run a program to its end, with `say` as its input, while the reactor turns. Return its code and all it said."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT)
        assert process.stdin is not None
        try:
            with closing(process.stdin) as talk:
                talk.write(say)
                talk.flush()
                if not quits:
                    world.until(lambda: process.poll() is not None)
            world.until(lambda: process.poll() is not None)
        finally:
            process.kill()
            process.wait()
        output.seek(0)
        return process.returncode, output.read()


def sClient(world: World, port: Any, *more: str, say: bytes = b"hello\nbye\n") -> tuple[int, bytes]:
    """Have s_client connect to `port` and say something."""
    where = f"{LOOPBACK}:{port.getHost().port}"
    return run(world, "openssl", "s_client", "-connect", where, "-servername", HOST, *more, say=say, quits=False)
