"""Servers in production: ports with limits, several processes, an end in order, and the services of Twisted's programs.

- `Server`, `Listener`: several listeners, their counters, and the end in order.
- `Limits`: what a listener lets in; `Keepalive`: how the kernel probes a silent peer.
- `drain`: the end in order of ports and connections that belong to no Server.
- `ConnectionRecord`: what is known of a connection that has ended.
- `Supervisor`, `Configuration`, `Program`, `Place`: a server of several processes, which are renewed without loss.
- `Worker`: one of these processes. `Totals`: the sum of their snapshots.
- `Notifier`: what a service tells systemd.
- `Identity`, `identityOf`, `PrivilegeError`: giving up root.
- `Service`, `MultiService`: parts of a program that start and stop. `Application` is the one at the top.
- `TCPServer`, `StreamServerEndpointService`, `ClientService`, `TimerService` and the like: services for ports,
  connections and repeated calls. `strports.service` makes one from a text.
- `runService`, `loadApplication`: a program around a service, and the service in a file or module.
"""

from __future__ import annotations

from reactor._faces import publish
from reactor.service import strports
from reactor.service.application import Application, ApplicationError, IProcess, Process, loadApplication
from reactor.service.clientservice import ClientService, backoffPolicy
from reactor.service.configuration import Configuration, ReloadRefused
from reactor.service.draining import drain
from reactor.service.hands import Program
from reactor.service.internet import (
    CooperatorService,
    MulticastServer,
    SSLClient,
    SSLServer,
    StreamServerEndpointService,
    TCPClient,
    TCPServer,
    TimerService,
    UDPServer,
    UNIXClient,
    UNIXDatagramClient,
    UNIXDatagramServer,
    UNIXServer,
)
from reactor.service.limits import Keepalive, Limits
from reactor.service.listener import Listener
from reactor.service.notify import Notifier
from reactor.service.privileges import Identity, PrivilegeError, identityOf
from reactor.service.records import ConnectionRecord
from reactor.service.reuse import Place
from reactor.service.running import ServiceRunner, runService
from reactor.service.server import Server
from reactor.service.services import IService, IServiceCollection, MultiService, Service
from reactor.service.summing import Totals
from reactor.service.supervisor import Supervisor
from reactor.service.worker import Worker

__all__ = [
    "Application",
    "ApplicationError",
    "ClientService",
    "Configuration",
    "ConnectionRecord",
    "CooperatorService",
    "IProcess",
    "IService",
    "IServiceCollection",
    "Identity",
    "Keepalive",
    "Limits",
    "Listener",
    "MultiService",
    "MulticastServer",
    "Notifier",
    "Place",
    "PrivilegeError",
    "Process",
    "Program",
    "ReloadRefused",
    "SSLClient",
    "SSLServer",
    "Server",
    "Service",
    "ServiceRunner",
    "StreamServerEndpointService",
    "Supervisor",
    "TCPClient",
    "TCPServer",
    "TimerService",
    "Totals",
    "UDPServer",
    "UNIXClient",
    "UNIXDatagramClient",
    "UNIXDatagramServer",
    "UNIXServer",
    "Worker",
    "backoffPolicy",
    "drain",
    "identityOf",
    "loadApplication",
    "runService",
    "strports",
]

publish(globals())
