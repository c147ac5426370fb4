"""The admin pages: health, status, metrics, and a page to look at, for the process that has them.

- `adminFactory(source)`: a factory to listen with.
- `LocalSource`: the status of this process. `RemoteSource`: the status that other processes send.
"""

from __future__ import annotations

from reactor._faces import publish
from reactor.service.admin.handler import AdminFactory, adminFactory
from reactor.service.admin.sources import LocalSource, RemoteSource, Source

__all__ = ["AdminFactory", "LocalSource", "RemoteSource", "Source", "adminFactory"]

publish(globals())
