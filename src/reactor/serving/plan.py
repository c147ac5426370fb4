"""Plan: everything that `serve` does, as values. A configuration is read into one; a program may make its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reactor.serving.setting import GRACE
from reactor.serving.values import AUTO, Delimiter


@dataclass(frozen=True)
class ListenPlan:
    """One application at one or more endpoints, with the limits of these. None: not set.

    - `endpoints` are strings, as for serverFromString. `host` and `port` are one more place, if either is given, or if
      there is no endpoint.
    - One of `app`, `http` and `service` names the application; without any it is `echo`. `arguments` are its keyword
      arguments.
    - `inherited` are names of fields that were set for several places. The ones that do not fit an application are left
      out there. A field that was set for this place must fit.
    - `places` are the places of the configuration by the keys of options, as errors name them: `F: listen[1].endpoint`.

    The fields from `maxLine` on are the command's options; docs/command.md has their units.
    """

    name: str = "echo"
    endpoints: tuple[str, ...] = ()
    host: str | None = None
    port: int | None = None
    app: str | None = None
    http: str | None = None
    service: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    root: str | None = None
    backlog: int | None = None
    keepalive: int | None = None
    userTimeout: float | None = None
    maxLine: int | None = None
    delimiter: Delimiter | None = None
    overlong: str | None = None
    lineDeadline: float | None = None
    idleTimeout: float | None = None
    maxConnections: int | None = None
    maxPerAddress: int | None = None
    addressPrefix: int | None = None
    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] | None = None
    maxOutput: int | None = None
    maxPending: int | None = None
    lineRate: float | None = None
    byteRate: float | None = None
    addressLineRate: float | None = None
    addressByteRate: float | None = None
    refusal: bytes | None = None
    cert: str | None = None
    key: str | None = None
    clientCa: str | None = None
    tlsMinimum: str | None = None
    sessionTickets: bool | None = None
    proxy: tuple[str, ...] | None = None
    proxyBeforeTls: bool | None = None
    output: str | None = None
    outputDelimiter: str | None = None
    format: str | None = None
    prefix: bool | None = None
    frames: str | None = None
    rotateSize: int | None = None
    rotateEvery: float | None = None
    rotateKeep: int | None = None
    rotateGzip: bool | None = None
    fsync: str | None = None
    onFull: str | None = None
    inherited: frozenset[str] = frozenset()
    places: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    @property
    def application(self) -> str:
        """The name of the application."""
        return self.app or self.http or self.service or "echo"

    def own(self, name: str) -> Any:
        """Return the field `name`, or None if it is inherited."""
        return None if name in self.inherited else getattr(self, name)


@dataclass(frozen=True)
class Plan:
    """A server: its places to listen, its processes, and its sight.

    `workers` is None for one process without a supervisor. `threads` is the number of reactors in each worker, None
    for one without the means for more. `config` is the path of the file, if there was one.
    `slowCallback` has milliseconds, all other times seconds.
    """

    listeners: tuple[ListenPlan, ...] = field(default_factory=lambda: (ListenPlan(),))
    workers: int | str | None = None
    threads: int | None = None
    loop: str | None = None
    grace: float = GRACE
    watchdog: float | None = None
    maxLines: int | None = None
    maxLifetime: float | None = None
    user: str | None = None
    group: str | None = None
    reload: bool | None = None
    admin: str | None = None
    slowCallback: float | None = None
    logLevel: str = "warning"
    logFormat: str = "text"
    logFile: str | None = None
    logConnections: bool | None = None
    config: str | None = None

    @property
    def onlyReceives(self) -> bool:
        """Whether no application answers, so that clients may hear at once that the server ends."""
        return bool(self.listeners) and all(each.app == "collect" for each in self.listeners)

    def summary(self) -> list[str]:
        """Return lines that tell what would be served."""
        kind = "one process" if self.workers is None else f"{self.workers} workers"
        if self.workers == AUTO:
            kind = "a worker for each core"
        if self.threads is not None:
            kind += f" with {self.threads} threads each"
        lines = [f"{kind}, {self.loop or 'the default'} loop, grace {self.grace:g} s"]
        lines += [f"{each.name}: {each.application} on {' and '.join(placesOf(each))}" for each in self.listeners]
        if self.admin is not None:
            lines.append(f"admin pages on {self.admin}")
        return lines


def placesOf(listener: ListenPlan) -> list[str]:
    """Return the places of `listener` as the user has given them."""
    places = list(listener.endpoints)
    if not places or listener.host is not None or listener.port is not None:
        host = "127.0.0.1" if listener.host is None else listener.host
        port = 7000 if listener.port is None else listener.port
        places.append(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    return places
