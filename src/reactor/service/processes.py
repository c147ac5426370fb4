"""A process that a supervisor runs: its start, its channel, and its end."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from reactor._logger import getLogger
from reactor._numbers import openPair
from reactor.failure import Failure
from reactor.loops.base import ReactorBase
from reactor.service.control import CONTROL, SOCKETS, Channel, Message, formatSockets, openChannel
from reactor.transports.children.process import ExitWatch

log = getLogger("reactor.service")


class ManagedProcess:
    """A program that was started with a control channel, and with sockets.

    `heard(message)` is called with each of its messages. `ended(how)` is called once, after its last message; `how` is
    "exit code 1" or "signal 9 (SIGKILL)", for example.

    It leads a process group of its own, so a terminal's interrupt reaches the supervisor alone.
    """

    def __init__(
        self,
        reactor: ReactorBase,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        sockets: Mapping[str, list[int]],
        heard: Callable[[dict[str, Any]], None],
        ended: Callable[[str], None],
    ) -> None:
        """Start it with `environment` as its whole environment, and the descriptors of `sockets` by name.

        It inherits these by their numbers. OSError if the system cannot start it.
        """
        self._ended = ended
        ours, theirs = openPair()
        with ours, theirs:
            self._channel: Channel = openChannel(reactor, ours.fileno(), heard, self._channelLost)
            numbers = [theirs.fileno(), *(fd for fds in sockets.values() for fd in fds)]
            variables = {CONTROL: str(theirs.fileno()), SOCKETS: formatSockets(sockets)}
            try:
                child = subprocess.Popen(
                    list(arguments), env={**environment, **variables}, pass_fds=numbers, process_group=0
                )
            except BaseException as error:
                self._channel.transport.abortConnection()
                if isinstance(error, subprocess.SubprocessError):
                    raise OSError(str(error)) from error
                raise
        child.returncode = 0  # the watch below waits for it, and not subprocess
        self.pid: int = child.pid
        self.isAlive = True
        self.takes = False  # whether it accepts further sockets
        self.slots: dict[str, set[int]] = {}  # the slots of the sockets that it has, by their name
        ExitWatch(reactor, self.pid, self._exited).start()

    def order(self, message: Message, descriptor: int | None = None) -> None:
        """Send an order, with a duplicate of `descriptor` if it is given. A process that has ended gets nothing."""
        self._channel.send(message, descriptor)

    def report(self, message: Message) -> None:
        """Send a message that the next one replaces. A process that does not read gets nothing."""
        self._channel.report(message)

    def signal(self, number: int) -> None:
        """Send a signal to it, if it has not ended."""
        if self.isAlive:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _channelLost(self) -> None:
        """Its end, most likely: the watch tells that."""

    def _exited(self, status: int | None, reason: Failure) -> None:
        if not self.isAlive:
            return
        self.isAlive = False
        self._channel.readRest()
        if self._channel.isOpen:
            self._channel.transport.abortConnection()  # children of its own may have a copy of its end
        self._ended(describe(status))


def describe(status: int | None) -> str:
    """Return a wait status in words."""
    if status is None:
        return "its exit code is not known"
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {-code} ({signal.Signals(-code).name})"
    except ValueError:
        return f"signal {-code}"
