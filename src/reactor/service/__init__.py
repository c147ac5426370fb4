"""Servers in production: ports and connections with limits, several processes, and an end in order.

- `Server`, `Listener`: several listeners, their counters, and the end in order.
- `Limits`: what a listener lets in; `Keepalive`: how the kernel probes a silent peer.
- `ConnectionRecord`: what is known of a connection that has ended.
- `Supervisor`, `Configuration`, `Program`, `Place`: a server of several processes, which are renewed without loss.
- `Worker`: one of these processes. `Totals`: the sum of their snapshots.
- `Notifier`: what a service tells systemd.
- `Identity`, `identityOf`, `PrivilegeError`: giving up root.
"""

from __future__ import annotations

from reactor._faces import publish
from reactor.service.hands import Program
from reactor.service.limits import Keepalive, Limits
from reactor.service.listener import Listener
from reactor.service.notify import Notifier
from reactor.service.privileges import Identity, PrivilegeError, identityOf
from reactor.service.records import ConnectionRecord
from reactor.service.reuse import Place
from reactor.service.server import Server
from reactor.service.summing import Totals
from reactor.service.supervisor import Configuration, Supervisor
from reactor.service.worker import Worker

__all__ = [
    "Configuration",
    "ConnectionRecord",
    "Identity",
    "Keepalive",
    "Limits",
    "Listener",
    "Notifier",
    "Place",
    "PrivilegeError",
    "Program",
    "Server",
    "Supervisor",
    "Totals",
    "Worker",
    "identityOf",
]

publish(globals())
