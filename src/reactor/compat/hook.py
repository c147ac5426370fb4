"""Twisted's own protocols on the reactor of this package: install() puts our modules in the place of Twisted's."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from reactor.compat.counterparts import MODULES
from reactor.error import ReactorAlreadyInstalledError

PACKAGE = __name__.partition(".")[0]
TAKEN = {name: counterpart.module for name, counterpart in MODULES.items() if counterpart.taken}

_CLASSES = (
    "protocol.BaseProtocol protocol.Protocol protocol.Factory protocol.ClientFactory protocol.ProcessProtocol",
    "protocol.DatagramProtocol protocol.FileWrapper policies.ProtocolWrapper transports.tcp.TCPConnection",
    "transports.tcp.TCPPort transports.tcp.TCPConnector transports.tls.connection.TLSConnection transports.udp.UDPPort",
    "transports.unix.stream.UNIXConnection transports.unix.stream.UNIXPort transports.children.process.Process",
    "timers.DelayedCall testing.StringTransport loops.base.ReactorBase address.IPv4Address address.IPv6Address",
    "address.UNIXAddress address.HostnameAddress filesender.FileSender linereceiver.LineReceiver",
)


def install() -> None:
    """Have imports of Twisted's reactor, protocol, defer and the like find the modules of this package, from now on.

    Twisted's protocols (mail, words, amp, ftp and others) then run on the reactor here. Its interfaces stay Twisted's,
    and the classes here declare them. Call it before the first import of one of these modules: if one was imported,
    ReactorAlreadyInstalledError names it, and nothing has changed. A second call does nothing. ImportError if Twisted
    is not installed.
    """
    for name in TAKEN:
        found = sys.modules.get(name)
        if found is not None and found.__name__.partition(".")[0] != PACKAGE:
            raise ReactorAlreadyInstalledError(f"{name} was imported before reactor.compat.install() was called")
    modules = {name: import_module(ours) for name, ours in TAKEN.items()}
    sys.modules.update(modules)
    try:
        import_module("twisted")
    except ImportError:
        for name in modules:
            del sys.modules[name]
        raise
    for name, module in modules.items():
        parent, _, last = name.rpartition(".")
        setattr(import_module(parent), last, module)
    _declare()


def _declare() -> None:
    """Declare to zope.interface that classes of this package provide Twisted's interfaces of the same names."""
    theirs: Any = import_module("twisted.internet.interfaces")
    ours: Any = import_module(f"{PACKAGE}.interfaces")
    zope: Any = import_module("zope.interface")
    pairs = [
        (getattr(ours, name), getattr(theirs, name))
        for name in ours.__all__
        if name[:1] == "I" and hasattr(theirs, name)
    ]
    for path in " ".join(_CLASSES).split():
        module, _, name = path.rpartition(".")
        kind = getattr(import_module(f"{PACKAGE}.{module}"), name)
        zope.classImplements(kind, *[their for our, their in pairs if our.implementedBy(kind)])
    package = sys.modules[PACKAGE]
    zope.directlyProvides(package, *[their for our, their in pairs if our.providedBy(package)])
