"""Sources: where the admin pages have the status of the server from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from reactor import _current
from reactor._logger import getLogger
from reactor.service.summing import Snapshot, Status, Totals
from reactor.task import LoopingCall
from reactor.timers import monotonicTime

log = getLogger("reactor.service.admin")

INTERVAL = 1.0  # seconds between two statuses
STALE_AFTER = 5.0  # seconds without a status, after which the server counts as lost

Told = Callable[[Status], object]


class Source(Protocol):
    """Where `adminFactory` has the status from. LocalSource and RemoteSource are two; a program may have its own."""

    def status(self) -> Status:
        """Return the status of now: see `Totals.status`."""

    def isReady(self) -> bool:
        """Whether the server takes new connections and serves them."""

    def reason(self) -> str:
        """Return why the server is not ready, in a few words; "ready" if it is."""

    def subscribe(self, told: Told) -> Callable[[], None]:
        """Call `told` with each new status, about once a second. Return the function that ends it."""


class _Telling:
    """The subscribers of a source. One that fails is logged, and the others are told."""

    def __init__(self) -> None:
        self._subscribers: list[list[Told]] = []  # each in a list of its own: one function may be there twice

    def subscribe(self, told: Told) -> Callable[[], None]:
        """See Source."""
        entry = [told]
        self._subscribers.append(entry)
        if len(self._subscribers) == 1:
            self._begin()

        def end() -> None:
            if entry in self._subscribers:
                self._subscribers = [each for each in self._subscribers if each is not entry]
                if not self._subscribers:
                    self._end()

        return end

    def _tell(self, status: Status) -> None:
        for (told,) in list(self._subscribers):
            try:
                told(status)
            except Exception:
                log.exception("a subscriber of the status has failed")

    def _begin(self) -> None:
        """The first subscriber has come."""

    def _end(self) -> None:
        """The last subscriber has left."""


class LocalSource(_Telling):
    """The status of this process, for a server that is one process.

    `state`, "starting", "ready" or "draining", takes the place of the one that the snapshots have. `reloads` and
    `reloadFailures` are for the program to count up.
    """

    def __init__(
        self,
        stats: Callable[[], Snapshot],
        *,
        version: str = "",
        configuration: str | None = None,
        reactor: Any = None,
    ) -> None:
        """Make a source.

        - `stats`: returns the snapshot of this process, as `Totals.add` takes it.
        - `version`: of the server. `configuration`: the path of its file, or None.
        - `reactor`: whose `callLater` asks for a status each second while there are subscribers. None: the current one.
        """
        super().__init__()
        self.state: str | None = None
        self.reloads = self.reloadFailures = 0
        self._stats = stats
        self._totals = Totals(version, configuration)
        self._reactor = reactor
        self._asking: LoopingCall | None = None

    def status(self) -> Status:
        """See Source."""
        self._totals.add(self._stats())
        return self._totals.status(state=self.state, reloads=self.reloads, reloadFailures=self.reloadFailures)

    def isReady(self) -> bool:
        """See Source."""
        return self._state() == "ready"

    def reason(self) -> str:
        """See Source."""
        return self._state()

    def _state(self) -> str:
        return str(self._stats().get("state")) if self.state is None else self.state

    def _begin(self) -> None:
        self._asking = LoopingCall(self._ask)
        self._asking.clock = _current.current() if self._reactor is None else self._reactor
        self._asking.start(INTERVAL, now=False)

    def _end(self) -> None:
        if self._asking is not None:
            self._asking.stop()

    def _ask(self) -> None:
        try:
            status = self.status()
        except Exception:
            log.exception("the status of this process cannot be told")
            return
        self._tell(status)


class RemoteSource(_Telling):
    """The status of a server in other processes, which `feed` brings here.

    Before the first one, the server is "starting". Without one for STALE_AFTER seconds it is not ready.
    """

    def __init__(self, *, version: str = "", reactor: Any = None) -> None:
        """`version` is for the time before the first status. `reactor` tells the time; None: the current one."""
        super().__init__()
        self._version = version
        self._reactor = reactor
        self._status: Status | None = None
        self._fedAt = 0.0

    def feed(self, status: Status) -> None:
        """Take the newest status of the server, and tell the subscribers. ValueError for what is none."""
        if not (isinstance(status, dict) and isinstance(status.get("totals"), dict) and "state" in status):
            raise ValueError(f"a status is a dictionary with state and totals, not {status!r:.200}")
        self._status = status
        self._fedAt = self._now()
        self._tell(status)

    def status(self) -> Status:
        """See Source."""
        return Totals(self._version).status(state="starting") if self._status is None else self._status

    def isReady(self) -> bool:
        """See Source."""
        return self.reason() == "ready"

    def reason(self) -> str:
        """See Source."""
        if self._status is None:
            return "starting"
        silence = self._now() - self._fedAt
        if silence > STALE_AFTER:
            return f"no status of the server for {silence:.0f} s"
        return str(self._status["state"])

    def _now(self) -> float:
        return monotonicTime(_current.current() if self._reactor is None else self._reactor)
