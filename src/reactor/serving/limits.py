"""From a plan's fields to the limits of a listener."""

from __future__ import annotations

from typing import Any

from reactor.service.limits import Keepalive, Limits
from reactor.serving.plan import ListenPlan

# Fields of the same name and meaning.
SAME = (
    "maxConnections",
    "maxPerAddress",
    "refusal",
    "lineDeadline",
    "idleTimeout",
    "maxOutput",
    "lineRate",
    "byteRate",
    "addressLineRate",
    "addressByteRate",
    "maxPending",
    "userTimeout",
)
IPV4_PREFIX = 32


def keepaliveOf(silence: int) -> Keepalive:
    """Return the probing after so many seconds of silence. Probes are not further apart than that.

    The kernel looks at --user-timeout only when it would probe, so the time between probes is part of it.
    """
    usual = Keepalive(silence)
    return usual._replace(interval=min(silence, usual.interval))


def limitsOf(listener: ListenPlan) -> Limits:
    """Return the Limits of a place to listen. ValueError for values that cannot be."""
    given: dict[str, Any] = {name: getattr(listener, name) for name in SAME}
    if listener.addressPrefix is not None:
        given["addressPrefix"] = (IPV4_PREFIX, listener.addressPrefix)
    if listener.keepalive is not None:
        given["keepalive"] = keepaliveOf(listener.keepalive)
    return Limits(allow=listener.allow or (), deny=listener.deny or (), **given)
