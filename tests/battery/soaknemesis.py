"""The nemesis of a soak: what happens to the server, one thing after the other, and what happens to its network.

A fault is a coroutine, which ends when the server is itself again. None of them may hurt the clients of the history,
except for those of a worker that is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pathlib
import random
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence

from tests.battery.soakclients import AT_ONCE, FULL, LINK, Conversation, Way
from tests.battery.soakhistory import History
from tests.support.networks import Network
from tests.support.served import PATIENCE, Command, workersOf

Fault = Callable[[], Awaitable[None]]

WORKERS = 2
REFUSED = "no other worker can take the sockets"  # as none of them is ready yet
STRANGERS = 1_000_000  # the first number of a client that the nemesis sends
GARBAGE = (
    b"\0" * 100,
    b"\xff\xfe" * 500 + b"\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET / HTTP/1.1\r\n\r\n",
)


async def until(condition: Callable[[], object]) -> None:
    """Wait until `condition()` is true."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.02)


class Nemesis:
    """Faults of one server, drawn from `source`. `limit` is the --max-connections of a worker."""

    def __init__(
        self,
        command: Command,
        configuration: pathlib.Path,
        network: Network,
        way: Way,
        history: History,
        source: random.Random,
        limit: int,
    ) -> None:
        self.dealt: list[Fault] = []
        self.refused = 0
        self._command = command
        self._configuration = configuration
        self._link = network.links[LINK]
        self._way = way
        self._history = history
        self._source = source
        self._limit = limit
        self._strangers = STRANGERS

    def processFaults(self) -> Sequence[Fault]:
        """Those that its processes meet."""
        return [self.kill, self.reload, self.reloadBroken, self.freeze, self.moreAndFewer, self.reopen]

    def networkFaults(self) -> Sequence[Fault]:
        """Those that its port meets."""
        return [self.resets, self.fill, self.slowReaders, self.halves, self.garbage, self.partition]

    async def deal(self, faults: Sequence[Fault], seconds: float, pause: float) -> None:
        """Have each happen in a random order, at least once, and again until so many seconds are over."""
        end = asyncio.get_running_loop().time() + seconds
        isFirst = True
        while isFirst or asyncio.get_running_loop().time() < end:
            for fault in self._source.sample(faults, len(faults)):
                if not isFirst and asyncio.get_running_loop().time() > end:
                    break
                self.dealt.append(fault)
                await fault()
                await asyncio.sleep(self._source.uniform(0, 2 * pause))
            isFirst = False

    # Processes.

    def _workers(self) -> set[int]:
        return workersOf(self._command)

    def _victim(self) -> int:
        return self._source.choice(sorted(self._workers()))

    async def kill(self) -> None:
        """Kill a worker; another takes its place."""
        victim = self._victim()
        self._history.killed.add(victim)
        os.kill(victim, signal.SIGKILL)
        await until(lambda: victim not in self._workers() and len(self._workers()) == WORKERS)

    async def reload(self) -> None:
        """Renew all workers; the old ones drain."""
        before = self._workers()
        self._command.process.send_signal(signal.SIGHUP)
        await until(lambda: not before & self._workers() and len(self._workers()) == WORKERS)

    async def reloadBroken(self) -> None:
        """Reload a configuration that cannot work."""
        good, count = self._configuration.read_text(), self._command.log().count("the reload has failed")
        before = self._workers()
        self._configuration.write_text(good + self._source.choice(["no = [", "no = 1\n", "backlog = -1\n"]))
        self._command.process.send_signal(signal.SIGHUP)
        await until(lambda: self._command.log().count("the reload has failed") > count)
        self._configuration.write_text(good)
        await until(lambda: self._workers() == before)

    async def freeze(self) -> None:
        """Stop a worker for a moment."""
        victim = self._victim()
        os.kill(victim, signal.SIGSTOP)
        try:
            await asyncio.sleep(self._source.uniform(0.1, 1.5))
        finally:
            os.kill(victim, signal.SIGCONT)

    async def moreAndFewer(self) -> None:
        """A worker more, and one fewer, which passes its sockets on."""
        self._command.process.send_signal(signal.SIGTTIN)
        await until(lambda: len(self._workers()) == WORKERS + 1)
        while len(self._workers()) > WORKERS:
            await self._fewer()

    async def _fewer(self) -> None:
        """Ask for a worker fewer, which is refused while the others do not serve yet."""
        count = self._command.log().count(REFUSED)
        self._command.process.send_signal(signal.SIGTTOU)
        await until(lambda: len(self._workers()) == WORKERS or self._command.log().count(REFUSED) > count)
        await asyncio.sleep(0.1)

    async def reopen(self) -> None:
        """A storm of signals that reopen logs."""
        for _ in range(20):
            self._command.process.send_signal(signal.SIGUSR1)
            await asyncio.sleep(0.005)

    # The port.

    async def _crowd(self, count: int, receiveBuffer: int = 0) -> list[socket.socket]:
        tasks = [self._way.connect(receiveBuffer=receiveBuffer) for _ in range(count)]
        found = await asyncio.gather(*tasks, return_exceptions=True)
        return [each for each in found if isinstance(each, socket.socket)]

    @staticmethod
    def _send(sock: socket.socket, data: bytes) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            sock.send(data)

    def _end(self, socks: list[socket.socket], isReset: bool) -> None:
        for sock in socks:
            if isReset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
            sock.close()

    async def resets(self) -> None:
        """Connections that are reset in the middle of a line."""
        socks = await self._crowd(self._limit // 3)
        for sock in socks:
            self._send(sock, b"half a li")
        self._end(socks, isReset=True)

    async def fill(self) -> None:
        """Clients that are silent take all places; the newest ones are refused."""
        socks: list[socket.socket] = []
        refused = 0
        try:
            while not refused and len(socks) < 5 * self._limit:  # a reload has four workers for a moment
                socks += await self._crowd(self._limit + 20)
                await asyncio.sleep(self._source.uniform(0.2, 0.4))
                for sock in socks:
                    with contextlib.suppress(BlockingIOError, ConnectionError):
                        refused += sock.recv(100) == FULL
        finally:
            self.refused += refused
            self._end(socks, isReset=False)

    async def slowReaders(self) -> None:
        """Clients that ask for more than the system keeps, and read nothing."""
        socks = await self._crowd(10, receiveBuffer=4096)
        try:
            for _ in range(20):
                for sock in socks:
                    self._send(sock, b"who?\n" * 4000)
                await asyncio.sleep(0.02)
        finally:
            self._end(socks, isReset=self._source.random() < 0.5)

    async def halves(self) -> None:
        """Clients that send all of their lines and half of the connection's end at once, and read then."""
        for sock in await self._crowd(20):
            with sock:
                self._strangers += 1
                life = self._history.begin(self._strangers)
                life.ended = "FIN"
                conversation = Conversation(self._history, life, sock)
                with contextlib.suppress(ConnectionError):
                    await conversation.send(50)
                    await conversation.leave("half")

    async def garbage(self) -> None:
        """Clients that speak something else, or over-long lines."""
        socks = await self._crowd(20)
        for sock in socks:
            self._send(sock, self._source.choice((*GARBAGE, self._source.randbytes(1000))))
        await asyncio.sleep(0.1)
        self._end(socks, isReset=self._source.random() < 0.5)

    async def partition(self) -> None:
        """The link to the far clients loses everything for a moment, and a part after that."""
        self._link.lose(100)
        await asyncio.sleep(self._source.uniform(0.3, 1.0))
        self._link.mend()
        self._link.lose(10)
        await asyncio.sleep(self._source.uniform(0.1, 0.5))
        self._link.mend()
