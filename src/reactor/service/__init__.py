"""Servers in production: ports and connections with limits, and an end in order.

- `Server`: ports of one factory, the sweep of idle connections, and the end in order.
- `Supervisor`, `Configuration`, `Program`, `Place`: a server of several processes, which are renewed without loss.
- `Worker`: one of these processes.
- `Notifier`: what a service tells systemd.
- `Identity`, `identityOf`, `PrivilegeError`: giving up root.
- `Server`: several listeners, their counters, and the end in order.
- `Limits`: what a listener lets in; `Keepalive`: how the kernel probes a silent peer.
- `ConnectionRecord`: what is known of a connection that has ended.
"""
"""Services: what a server needs in production."""

from __future__ import annotations

from reactor._faces import publish
from reactor.service.hands import Program
from reactor.service.notify import Notifier
from reactor.service.privileges import Identity, PrivilegeError, identityOf
from reactor.service.reuse import Place
from reactor.service.limits import Keepalive, Limits
from reactor.service.listener import Listener
from reactor.service.records import ConnectionRecord
from reactor.service.server import Server
from reactor.service.supervisor import Configuration, Supervisor
from reactor.service.worker import Worker

__all__ = [
    "Configuration",
    "Identity",
    "Notifier",
    "Place",
    "PrivilegeError",
    "Program",
    "Server",
    "Supervisor",
    "Worker",
    "identityOf",
]
__all__ = ["ConnectionRecord", "Keepalive", "Limits", "Listener", "Server"]
from reactor.service.summing import Totals

__all__ = ["Totals"]

publish(globals())
