"""Stand-ins: objects that take the place of a protocol, or of a transport, while others go on calling it.

A transport calls its protocol through one attribute, and a protocol its transport. So an object in between can watch or
change the calls. All stand-ins of the package do so in one way:

1. A stand-in derives from StandIn and keeps the object behind it in `wrappedProtocol`. A kind that cannot says in
   `_standsFor` where it keeps the object.
2. It defines the methods that it watches or changes. All other attributes are those of the object behind it.
3. `standBefore` puts a stand-in in the place of a transport's protocol, and `giveWay` takes it out.
4. Code that needs the object behind calls `behind`, and knows no kind of stand-in by name.

    stand-in             where                   in the place of        from, until
    ProtocolWrapper      policies/wrapping.py    a protocol, and of     buildProtocol, connectionLost
                                                 a transport before it
    Introduction         endpoints/streams.py    a protocol             buildProtocol, makeConnection
    Counted              service/watch.py        a protocol             the first look at its reads, connectionLost
    Leaving              service/draining.py        a protocol             the end of our half, connectionLost
    Alias                transports/starttls.py  the plain transport    startTLS, never

ProtocolWrapper is a transport as well, so most attributes that it passes on are its transport's. Alias must keep the
memory layout of a transport, so it has no `wrappedProtocol`, and hides its own attributes too.
"""

from __future__ import annotations

from typing import Any


class StandIn:
    """An object in the place of `wrappedProtocol`, whose attributes it passes on unless it defines them."""

    __slots__ = ()

    wrappedProtocol: Any

    def _standsFor(self) -> Any:
        """Return the object behind this one."""
        return self.wrappedProtocol

    def __getattr__(self, name: str) -> Any:
        if name == "wrappedProtocol":  # not set yet, as in a copy that is being made
            raise AttributeError(name)
        return getattr(self._standsFor(), name)


def standBefore(standIn: StandIn, transport: Any) -> None:
    """Put `standIn` in the place of the protocol of `transport`."""
    standIn.wrappedProtocol = transport.protocol
    transport.protocol = standIn


def giveWay(standIn: StandIn, transport: Any) -> None:
    """Give the place that `standIn` has at `transport` to the protocol behind it."""
    transport.protocol = standIn.wrappedProtocol


def behind(protocol: Any) -> Any:
    """Return the object behind `protocol`, None if `protocol` is no stand-in.

    Wrappers of programs count if they have `wrappedProtocol` themselves, as Twisted's do. An attribute that comes from
    a catch-all `__getattr__` does not count: a mock has every attribute, without an end.
    """
    if isinstance(protocol, StandIn):
        return type(protocol)._standsFor(protocol)
    if hasattr(type(protocol), "wrappedProtocol"):  # a slot or a property
        return protocol.wrappedProtocol
    try:
        # A look into `__dict__` would make CPython build a dict for the protocol, and read its attributes slowly after.
        return object.__getattribute__(protocol, "wrappedProtocol")
    except AttributeError:
        return None
