"""Servers in production: ports and connections with limits, and an end in order.

- `Server`: ports of one factory, the sweep of idle connections, and the end in order.
"""

from __future__ import annotations

from reactor._faces import publish
from reactor.service.server import Server

__all__ = ["Server"]

publish(globals())
