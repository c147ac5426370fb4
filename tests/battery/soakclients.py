"""The clients of a soak: each lives again and again, and writes down what it sends and hears."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct

from tests.battery.soakhistory import FIN, RESET, History, Life
from tests.support.networks import Network
from tests.support.worlds import LOOPBACK

STALL = 30.0  # seconds without an answer
AT_ONCE = struct.pack("ii", 1, 0)
LINK = "far"
FULL = b"full\r\n"  # what a client is told that is one too many


class Way:
    """The way to the server: over its loopback device, or over the link."""

    def __init__(self, network: Network, port: int) -> None:
        self._network = network
        self._port = port

    async def connect(self, isFar: bool = False, receiveBuffer: int = 0) -> socket.socket:
        """Return a connected socket that does not block. OSError and TimeoutError if it cannot be."""
        link = self._network.links[LINK]
        with (link.far if isFar else self._network.server).inside():
            sock = socket.socket()
        try:
            sock.setblocking(False)
            if receiveBuffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receiveBuffer)
            address = (link.address if isFar else LOOPBACK, self._port)
            async with asyncio.timeout(STALL):
                await asyncio.get_running_loop().sock_connect(sock, address)
        except BaseException:
            sock.close()
            raise
        return sock


class Conversation:
    """A life that is being lived: the lines and answers of one connection."""

    def __init__(self, history: History, life: Life, sock: socket.socket) -> None:
        self.life = life
        self.sock = sock
        self._history = history
        self._loop = asyncio.get_running_loop()
        self._heard = b""

    async def send(self, count: int) -> None:
        """Send so many lines more."""
        await self._loop.sock_sendall(self.sock, self.life.lines(count))

    async def hear(self) -> bool:
        """Take the next answers. Return whether the connection goes on."""
        try:
            async with asyncio.timeout(STALL):
                piece = await self._loop.sock_recv(self.sock, 1 << 16)
        except TimeoutError:
            self._history.fault("stalled", self.life)
            return False
        if not piece:
            self.life.ended = FIN
            if self._heard:
                self._history.fault("foreign", (self.life, self._heard))
            return False
        *answers, self._heard = (self._heard + piece).split(b"\n")
        for answer in answers:
            if answer + b"\n" != FULL or self.life.answered:
                self._history.answered(self.life, answer)
        return True

    async def hearAll(self) -> bool:
        """Take answers until there are as many as lines. Return whether the connection goes on."""
        while self.life.answered < self.life.sent:
            if not await self.hear():
                return False
        return True

    async def leave(self, how: str) -> None:
        """End the connection: in order, by halves, or by a reset, with lines on their way in the last two cases."""
        if how == "whole":
            return
        await self.send(3)
        if how == "half":
            with contextlib.suppress(OSError):  # a reset has come, which the next read tells
                self.sock.shutdown(socket.SHUT_WR)
            while await self.hear():
                pass
        else:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)


class Clients:
    """`count` clients, each tenth of which is at the far end of the link. `stop` them."""

    def __init__(self, way: Way, history: History, count: int, seed: int, pause: float) -> None:
        self.over = asyncio.Event()
        self.refused = 0
        self._way = way
        self._history = history
        self._pause = pause
        self._tasks = [asyncio.create_task(self._live(number, seed)) for number in range(count)]

    async def stop(self) -> None:
        """Have every client finish what it has begun."""
        self.over.set()
        await asyncio.gather(*self._tasks)

    async def _live(self, client: int, seed: int) -> None:
        source = random.Random(seed * 100_000 + client)
        await self._wait(source.uniform(0, self._pause))
        while not self.over.is_set():
            life = self._history.begin(client, mayBeCut=client % 10 == 0)
            try:
                with await self._way.connect(isFar=client % 10 == 0) as sock:
                    await self._talk(Conversation(self._history, life, sock), source)
            except BrokenPipeError:  # the reset has followed the server's FIN
                life.ended = FIN
            except ConnectionResetError:
                life.ended = RESET
            except TimeoutError:
                self._history.fault("stalled", life)
            if not life.answered:
                self.refused += 1
                await self._wait(self._pause)

    async def _talk(self, conversation: Conversation, source: random.Random) -> None:
        for _ in range(source.randrange(2, 10)):
            await conversation.send(source.randrange(1, 4))
            if not await conversation.hearAll() or self.over.is_set():
                return
            await self._wait(source.uniform(0, 2 * self._pause))
        await conversation.leave(source.choice(["whole", "half", "reset"]))

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.over.wait(), seconds)
