"""Limits: what one listener lets in, and what it does with the rest."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Any, NamedTuple

from reactor._arguments import checkCount, checkDelimiter, checkSeconds
from reactor.service.networks import networksOf

MOST_KEEPALIVE = 32767  # seconds or probes; Linux refuses a larger TCP_KEEPIDLE
MOST_BACKLOG = (1 << 31) - 1
LEAST_TIMEOUT = 0.05  # seconds; the sweep for a shorter one would keep the loop busy
MOST_USER_TIMEOUT = ((1 << 31) - 1) // 1000  # seconds; Linux takes milliseconds in an int


class Keepalive(NamedTuple):
    """How the kernel probes a silent peer (RFC 1122, 4.2.3.6): seconds of silence, seconds between probes, probes.

    With a `userTimeout` Linux does not count probes. It ends the connection at the first probe that would be later.
    """

    idle: int = 60
    interval: int = 10
    probes: int = 6


@dataclass(frozen=True)
class Limits:
    """The limits of one listener. None means no limit, or the system's own value. ValueError for what cannot be.

    - `maxConnections`: open connections at a time, those in a TLS handshake included. The newest is refused.
    - `maxPerAddress`: the same of one address, or of one network. `addressPrefix` has the prefix lengths of these
      networks in bits, for IPv4 and IPv6: (32, 64) unless set.
    - `deny`, `allow`: networks as text or of `ipaddress`, empty unless set. `deny` is looked at first. An `allow` that
      is not empty then names everyone that may come in. Peers without an IP address (UNIX sockets) pass.
    - `refusal`: bytes that a refused peer gets before its connection is closed; None for none. With TLS from the first
      byte there is none, as the handshake has not begun.
    - `lineDeadline`: seconds from the first byte of a line to its end, for LineReceivers. HTTP has deadlines of its
      own.
    - `idleTimeout`: seconds without a completed line (or a read, for other protocols).
    - `maxOutput`: bytes of unsent output at which a connection is reset; None for the transport's 16 MiB.
    - `lineRate`, `byteRate`: lines and bytes a second that one connection is read at. `addressLineRate` and
      `addressByteRate` are those of one address, by `addressPrefix`. Above, reading pauses, and nothing is dropped.
    - `burst`: seconds of each rate that may come at once, 1 unless set.
    - `maxPending`: bytes of unfinished and undelivered lines in all connections. Above, the connections that hold the
      most are closed, until three quarters are left.
    - `backlog`: connections that wait in the kernel's queue; None for the endpoint's own.
    - `keepalive`: a Keepalive, or three numbers of seconds, seconds and probes; TCP only.
    - `userTimeout`: seconds after which the kernel gives up on sent data without an acknowledgement (RFC 5482); TCP.
    """

    maxConnections: int | None = None
    maxPerAddress: int | None = None
    addressPrefix: tuple[int, int] = (32, 64)
    allow: Any = ()
    deny: Any = ()
    refusal: bytes | None = None
    lineDeadline: float | None = None
    idleTimeout: float | None = None
    maxOutput: int | None = None
    lineRate: float | None = None
    byteRate: float | None = None
    addressLineRate: float | None = None
    addressByteRate: float | None = None
    burst: float = 1.0
    maxPending: int | None = None
    backlog: int | None = None
    keepalive: Keepalive | tuple[int, int, int] | None = None
    userTimeout: float | None = None

    def __post_init__(self) -> None:
        for name, least in (("maxConnections", 0), ("maxPerAddress", 0), ("maxOutput", 1), ("maxPending", 1)):
            _checkWhole(getattr(self, name), name, least)
        _checkWhole(self.backlog, "backlog", 0, MOST_BACKLOG)
        for name in ("lineDeadline", "idleTimeout", "userTimeout", "burst"):
            _checkPositive(getattr(self, name), name, "seconds")
        for name in ("lineDeadline", "idleTimeout"):
            value = getattr(self, name)
            if value is not None and value < LEAST_TIMEOUT:
                raise ValueError(f"{name} is at least {LEAST_TIMEOUT:g} seconds, not {value}")
        for name in ("lineRate", "addressLineRate"):
            _checkPositive(getattr(self, name), name, "lines a second")
        for name in ("byteRate", "addressByteRate"):
            _checkPositive(getattr(self, name), name, "bytes a second")
        if self.userTimeout is not None and self.userTimeout > MOST_USER_TIMEOUT:
            raise ValueError(f"userTimeout is at most {MOST_USER_TIMEOUT} seconds, not {self.userTimeout}")
        if self.burst is None:
            raise TypeError("burst is a number of seconds, not None")
        if self.refusal is not None:
            checkDelimiter(self.refusal, "refusal")
        _set(self, "addressPrefix", _prefixesOf(self.addressPrefix))
        _set(self, "allow", networksOf(self.allow, "allow"))
        _set(self, "deny", networksOf(self.deny, "deny"))
        if self.keepalive is not None:
            _set(self, "keepalive", _keepaliveOf(self.keepalive))

    @property
    def hasRates(self) -> bool:
        """Whether one of the four rates is set."""
        rates = (self.lineRate, self.byteRate, self.addressLineRate, self.addressByteRate)
        return any(rate is not None for rate in rates)

    @property
    def hasGroups(self) -> bool:
        """Whether connections are counted by address."""
        return any(each is not None for each in (self.maxPerAddress, self.addressLineRate, self.addressByteRate))


_set = object.__setattr__


def _checkWhole(value: Any, name: str, least: int, most: int = sys.maxsize) -> None:
    if value is None:
        return
    checkCount(value, name)
    if value < least:
        raise ValueError(f"{name} is at least {least}, not {value}")
    if value > most:
        raise ValueError(f"{name} is at most {most}, not {value}")


def _checkPositive(value: Any, name: str, unit: str) -> None:
    if value is None:
        return
    checkSeconds(value, name) if unit == "seconds" else _checkNumber(value, name, unit)
    if not 0 < value < math.inf:
        raise ValueError(f"{name} is more than 0 {unit}, and finite, not {value}")


def _checkNumber(value: Any, name: str, unit: str) -> None:
    if not isinstance(value, int | float):
        raise TypeError(f"{name} is a number of {unit}, not {value!r}")


def _prefixesOf(given: Any) -> tuple[int, int]:
    try:
        four, six = given
        checkCount(four, "a prefix length")
        checkCount(six, "a prefix length")
    except (TypeError, ValueError):
        raise TypeError(f"addressPrefix is two lengths, for IPv4 and IPv6, not {given!r}") from None
    if not (0 <= four <= 32 and 0 <= six <= 128):
        raise ValueError(f"addressPrefix is at most 32 bits for IPv4, and 128 for IPv6, not {given!r}")
    return int(four), int(six)


def _keepaliveOf(given: Any) -> Keepalive:
    try:
        found = Keepalive(*given)
        for number in found:
            checkCount(number, "keepalive")
    except TypeError:
        raise TypeError(f"keepalive is three whole numbers: idle, interval and probes, not {given!r}") from None
    if min(found) < 1 or max(found) > MOST_KEEPALIVE:
        raise ValueError(f"the numbers of keepalive are from 1 to {MOST_KEEPALIVE}, not {tuple(found)}")
    return found
