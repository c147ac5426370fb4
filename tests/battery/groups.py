"""Groups and broadcast between two network namespaces, each with a process.

Ours (or Twisted's) runs in one, plain sockets in the other. Two pairs of interfaces join them, east and west, so that
there is something to choose from.

    unshare --net python -c "... groups.main(side)"  ->  the trace of a script, as JSON

Namespaces and interfaces end with the processes.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.support.datagrams import DatagramWorld, worldOf
from tests.support.worlds import DEADLINE, LOOPS, ROOT, TWISTED

PROGRAM = "import sys; from tests.battery import groups; getattr(groups, sys.argv[1])(*sys.argv[2:])"
ADDRESSES = {"east": ("10.9.1.", "fd09:1::"), "west": ("10.9.2.", "fd09:2::")}
GROUPS = {4: "239.255.42.7", 6: "ff15::4207"}
OTHERS = {4: "239.255.42.8", 6: "ff15::4208"}
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
PORT = 9999  # of the plain sockets; nobody else is in their namespace
IP_PKTINFO, IP_RECVTTL = 8, 12  # linux/in.h


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def setUp(number: str) -> None:
    """Give this namespace's ends of both pairs their addresses, and a way to the groups."""
    for name, prefixes in ADDRESSES.items():
        for prefix, bits in zip(prefixes, ("24", "64"), strict=True):
            ip("address", "add", f"{prefix}{number}/{bits}", "dev", name, *(["nodad"] if ":" in prefix else []))
        ip("link", "set", name, "up")
    ip("link", "set", "lo", "up")
    ip("route", "add", "default", "via", "10.9.1." + str(3 - int(number)))


def waitForGroups() -> None:
    """Wait until groups of IPv6 are reached through both interfaces, which is a moment after they are up."""
    end, wanted = time.monotonic() + DEADLINE, set(ADDRESSES)
    while wanted:
        assert time.monotonic() < end, f"no way to groups through {wanted}"
        with open("/proc/net/ipv6_route") as routes:
            wanted -= {line.split()[-1] for line in routes if line.startswith("ff00")}


# The plain side.


def peer() -> None:
    """Carry out the commands in the lines of standard input, and print an answer to each."""
    sockets = dict[int, socket.socket]()
    print(json.dumps("here"), flush=True)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        print(json.dumps(globals()["peer" + name](sockets, *arguments)), flush=True)


def peerOpen(sockets: dict[int, socket.socket]) -> None:
    """Open a socket of each family, which tells the TTL and the interface of what comes, and is in both groups."""
    setUp("2")
    for version, family in FAMILIES.items():
        sock = sockets[version] = socket.socket(family, socket.SOCK_DGRAM)
        sock.settimeout(DEADLINE)
        if version == 4:
            sock.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
            sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        sock.bind(("", PORT))
        for name in ADDRESSES:
            index = socket.if_nametoindex(name)
            packed = socket.inet_pton(family, GROUPS[version])
            if version == 4:
                option = packed + bytes(4) + struct.pack("@i", index)
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, option)
            else:
                option = packed + struct.pack("@i", index)
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, option)


def peerWait(_: dict[int, socket.socket]) -> None:
    """See waitForGroups."""
    waitForGroups()


def peerSend(sockets: dict[int, socket.socket], version: int, text: str, host: str, port: int, way: str) -> None:
    """Send `text`; a datagram to a group leaves by interface `way`."""
    index = socket.if_nametoindex(way)
    if version == 4:
        sockets[4].setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, bytes(8) + struct.pack("@i", index))
    else:
        sockets[6].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    sockets[version].sendto(text.encode(), (host, port))


def peerReceive(sockets: dict[int, socket.socket], version: int) -> list[Any]:
    """Return the next datagram: its text, sender, TTL and interface."""
    data, ancillary, _, sender = sockets[version].recvmsg(1000, 1000)
    found = {kind: value for _, kind, value in ancillary}
    if version == 4:
        ttl, (index,) = found[socket.IP_TTL], struct.unpack_from("@i", found[IP_PKTINFO])
    else:
        ttl, (index,) = found[socket.IPV6_HOPLIMIT], struct.unpack_from("@i", found[socket.IPV6_PKTINFO], 16)
    return [data.decode(), sender[0], struct.unpack("@i", ttl)[0], socket.if_indextoname(index)]


# The side that is tried.


class Peer:
    """The process in the other namespace."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self._child = child

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return functools.partial(self._ask, name)

    def _ask(self, *words: Any) -> Any:
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(words) + "\n")
        self._child.stdin.flush()
        return self.answer()

    def answer(self) -> Any:
        assert self._child.stdout is not None
        assert select.select([self._child.stdout], [], [], DEADLINE)[0]
        return json.loads(self._child.stdout.readline())


@contextlib.contextmanager
def otherNamespace() -> Iterator[Peer]:
    """Two namespaces joined twice, this one and a new one, with a peer in it."""
    command = ["unshare", "--net", sys.executable, "-c", PROGRAM, "peer"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            peer = Peer(child)
            assert peer.answer() == "here"
            for name in ADDRESSES:
                ip("link", "add", name, "type", "veth", "peer", "name", name, "netns", str(child.pid))
            setUp("1")
            peer.Open()
            waitForGroups()
            peer.Wait()
            yield peer
        finally:
            child.kill()


class Trial:
    """One side's world, and the peer. `trace` is what has happened."""

    def __init__(self, world: DatagramWorld, peer: Peer, version: int) -> None:
        self.world = world
        self.peer = peer
        self.version = version
        self.group = GROUPS[version]
        self.here = {name: prefixes[version == 6] + "1" for name, prefixes in ADDRESSES.items()}
        self.there = {name: prefixes[version == 6] + "2" for name, prefixes in ADDRESSES.items()}
        self.wildcard = "" if version == 4 else "::"
        self.trace: list[Any] = []

    def listen(self, port: int = 0, interface: str | None = None) -> tuple[Any, Any]:
        """A protocol and its port, for groups."""
        protocol = self.world.protocol()
        where = self.wildcard if interface is None else interface
        return protocol, self.world.reactor.listenMulticast(port, protocol, interface=where, listenMultiple=True)

    def interface(self, name: str) -> str:
        """Return the interface in the form that joinGroup takes."""
        return self.here[name] if self.version == 4 else name

    def done(self, deferred: Any) -> None:
        """Wait for a Deferred; note its result, or the kind of its failure."""
        results = list[Any]()
        deferred.addBoth(lambda result: results.append(getattr(getattr(result, "type", None), "__name__", result)))
        self.world.until(lambda: results)
        self.trace += results

    def arrives(self, protocol: Any, port: Any, text: str, host: str, way: str) -> None:
        """Have the peer send `text` to `host`, and then a mark to the port itself: note whether the first has come."""
        number = port.getHost().port
        self.peer.Send(self.version, text, host, number, way)
        self.peer.Send(self.version, "mark", self.here["east"], number, "east")
        self.world.until(lambda: b"mark" in protocol.received)
        self.trace.append(
            [[data.decode(), addr[0]] for data, addr in zip(protocol.received, protocol.senders, strict=True)]
        )
        protocol.received.clear()
        protocol.senders.clear()

    def sent(self, port: Any, text: str, host: str | None = None) -> None:
        """Send `text` to the group, and then a mark to the peer itself: note what has come."""
        found = list[Any]()
        port.write(text.encode(), (host or self.group, PORT))
        port.write(b"mark", (self.there["east"], PORT))
        while not found or found[-1][0] != "mark":
            found.append(self.peer.Receive(self.version))
        self.trace.append(found[:-1])


def groups(trial: Trial) -> None:
    """Join, leave, interfaces, TTL, loopback."""
    protocol, port = trial.listen()
    trial.arrives(protocol, port, "before", trial.group, "east")
    trial.done(port.joinGroup(trial.group, trial.interface("east")))
    trial.done(port.joinGroup(trial.group, trial.interface("east")))  # already
    trial.arrives(protocol, port, "joined", trial.group, "east")
    trial.arrives(protocol, port, "another interface", trial.group, "west")
    trial.arrives(protocol, port, "another group", OTHERS[trial.version], "east")
    trial.done(port.joinGroup(trial.group, trial.interface("west")))
    trial.arrives(protocol, port, "both", trial.group, "west")
    trial.done(port.leaveGroup(trial.group, trial.interface("east")))
    trial.arrives(protocol, port, "left", trial.group, "east")
    trial.arrives(protocol, port, "still there", trial.group, "west")
    trial.done(port.leaveGroup(trial.group, trial.interface("west")))
    trial.done(port.leaveGroup(trial.group, trial.interface("west")))  # no longer
    trial.arrives(protocol, port, "left both", trial.group, "west")
    trial.done(port.joinGroup(trial.here["east"], trial.interface("east")))  # no group


def outgoing(trial: Trial) -> None:
    """Send to a group: through which interface, how far, and whether this machine gets it too."""
    listener, listening = trial.listen(PORT)
    trial.done(listening.joinGroup(trial.group, trial.interface("east")))
    _, port = trial.listen()
    for name in ("east", "west", "east"):
        where = trial.here[name] if trial.version == 4 else socket.if_nametoindex(name)
        trial.done(port.setOutgoingInterface(where))
        trial.trace.append(port.getOutgoingInterface() == where)
        trial.sent(port, f"by {name}")
    for ttl in (1, 7, 0, 255):
        port.setTTL(ttl)
        trial.trace.append(port.getTTL())
        trial.sent(port, f"as far as {ttl}")
    for mode in (False, True):
        port.setLoopbackMode(mode)
        trial.trace.append(port.getLoopbackMode())
        trial.sent(port, f"loopback {mode}")
    port.write(b"mark", (trial.here["east"], PORT))
    trial.world.until(lambda: b"mark" in listener.received)
    trial.trace.append([data.decode() for data in listener.received])


def broadcast(trial: Trial) -> None:
    """Of IPv4: to everybody, and to everybody in one network."""
    protocol, port = trial.world.protocol(), None
    port = trial.world.reactor.listenUDP(0, protocol)
    for host in ("<broadcast>", "10.9.1.255", "10.9.2.255"):
        try:
            port.write(b"forbidden", (host, PORT))
        except PermissionError as error:
            trial.trace.append(type(error).__name__)
    port.setBroadcastAllowed(True)
    trial.sent(port, "to everybody", "<broadcast>")
    trial.sent(port, "to the east", "10.9.1.255")
    trial.sent(port, "to the west", "10.9.2.255")
    trial.arrives(protocol, port, "from the east", "10.9.1.255", "east")
    trial.arrives(protocol, port, "from the west", "10.9.2.255", "west")
    port.setBroadcastAllowed(False)
    try:
        port.write(b"forbidden", ("<broadcast>", PORT))
    except PermissionError as error:
        trial.trace.append(type(error).__name__)


def main(script: str, version: str) -> None:
    """Run a script on every side; print the trace of each, as JSON."""
    traces = {}
    with otherNamespace() as peer:
        # Twisted's joinGroup does not know interfaces of IPv6 from addresses, and its setTTL is for IPv4.
        for side in (*LOOPS, TWISTED) if version == "4" else LOOPS:
            with worldOf(side) as world:
                trial = Trial(world, peer, int(version))
                globals()[script](trial)
                traces[side.name] = trial.trace
    print(json.dumps(traces))


def run(script: str, version: int) -> dict[str, list[Any]]:
    """The trace of each side, from a process in a network namespace of its own."""
    command = ["unshare", "--net", sys.executable, "-c", PROGRAM, "main", script, str(version)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
    assert result.returncode == 0, result.stderr
    traces: dict[str, list[Any]] = json.loads(result.stdout)
    return traces
