"""sd_notify(3): what a service tells systemd, as datagrams to the socket that NOTIFY_SOCKET names.

Nothing here blocks, and nothing fails: without systemd a message is left out. The queue of a busy manager may be full.
Then the newest state waits for `again()`, and other messages are left out.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from reactor._logger import escaped, getLogger
from reactor._numbers import openSocket
from reactor.interfaces import IReactorTime
from reactor.task import LoopingCall

log = getLogger("reactor.service")

SOCKET, WATCHDOG, WATCHDOG_PID = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"
LEAST_BEAT = 0.01  # seconds, whatever the manager asks for
STATES = ("READY=", "RELOADING=", "STOPPING=")
VARIABLES = (SOCKET, WATCHDOG, WATCHDOG_PID)


class Notifier:
    """Tells a service manager the state of this process, in the protocol of systemd.

    `address` is the path of its socket, or a name that begins with "@" for Linux's abstract namespace. None: there is
    no manager, and each call does nothing. `watchdog` is the time in seconds in which the manager expects a sign of
    life, or None.
    """

    def __init__(self, address: str | None = None, watchdog: float | None = None) -> None:
        self._name: Any = None
        self._beating: LoopingCall | None = None
        self._state = ""  # the newest one, if the manager had no room for it
        self.watchdog = watchdog
        if address is None:
            return
        if address.startswith(("/", "@")) and len(address) > 1:
            self._name = "\0" + address[1:] if address.startswith("@") else address
        else:
            log.debug("%s is neither a path nor an abstract name: %r", SOCKET, address)

    @classmethod
    def fromEnvironment(cls, environ: Mapping[str, str] | None = None) -> Notifier:
        """Read NOTIFY_SOCKET, and WATCHDOG_USEC if WATCHDOG_PID is this process or absent; None means os.environ.

        The variables stay. A process that starts others removes `notify.VARIABLES` from their environment.
        """
        environ = os.environ if environ is None else environ
        watchdog = None
        with suppress(KeyError, ValueError):
            isOurs = int(environ.get(WATCHDOG_PID) or os.getpid()) == os.getpid()
            microseconds = int(environ[WATCHDOG])
            watchdog = microseconds / 1e6 if isOurs and microseconds > 0 else None
        return cls(environ.get(SOCKET) or None, watchdog)

    @property
    def isHeard(self) -> bool:
        """Whether there is a manager to tell."""
        return self._name is not None

    def send(self, **fields: object) -> bool:
        """Send fields of sd_notify(3), in this order, and return whether the kernel has taken them.

        Control characters in a value are escaped, so a value cannot become another field.
        """
        if self._name is None:
            return False
        if any(f"{name}=" in STATES for name in fields):
            self._state = ""  # an earlier one is of no interest any more
        return self._sendText("\n".join(f"{name}={escaped(str(value))}" for name, value in fields.items()))

    def again(self) -> None:
        """Send the newest state, if the manager had no room for it. Call it at times, for example each second."""
        state, self._state = self._state, ""
        if state:
            self._sendText(state)

    def _sendText(self, text: str) -> bool:
        try:
            with openSocket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                sock.sendto(text.encode("utf-8", "replace"), self._name)
        except (OSError, ValueError) as error:
            if isinstance(error, BlockingIOError) and text.startswith(STATES):
                self._state = text
            log.debug("the service manager was not told %r: %s", text, error)
            return False
        return True

    def ready(self, status: str = "") -> bool:
        """READY=1: the service serves, for the first time or after a reload. `status` is a line for people."""
        return self.send(READY=1, **_status(status))

    def reloading(self, status: str = "") -> bool:
        """RELOADING=1 with MONOTONIC_USEC, as Type=notify-reload requires. `ready` ends it, whatever its outcome."""
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        return self.send(RELOADING=1, MONOTONIC_USEC=microseconds, **_status(status))

    def stopping(self, status: str = "") -> bool:
        """STOPPING=1: the service has begun to end."""
        return self.send(STOPPING=1, **_status(status))

    def status(self, status: str) -> bool:
        """STATUS=: a line for people."""
        return self.send(STATUS=status)

    def mainProcess(self, pid: int) -> bool:
        """MAINPID=: another process is the main one from now on. This one may tell, as long as it is that."""
        return self.send(MAINPID=pid)

    def startBeating(self, clock: IReactorTime) -> None:
        """Send WATCHDOG=1 at half of `watchdog`, if there is one, from the loop of `clock`. So a stuck loop shows."""
        if self._name is None or self.watchdog is None or self._beating is not None:
            return
        self._beating = LoopingCall(self._beat)
        self._beating.clock = clock
        self._beating.start(max(self.watchdog / 2, LEAST_BEAT))

    def _beat(self) -> None:
        self.again()
        self.send(WATCHDOG=1)

    def stopBeating(self) -> None:
        """Undo startBeating."""
        beating, self._beating = self._beating, None
        if beating is not None and beating.running:
            beating.stop()


def _status(status: str) -> dict[str, object]:
    return {"STATUS": status} if status else {}
