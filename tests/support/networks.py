"""Networks to test in: hosts that are network namespaces, each with a link of its own to the one with the server.

A socket belongs to the namespace of the thread that makes it, so one process can have sockets at both ends of a link.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import itertools
import os
import re
import subprocess
from collections.abc import Callable, Iterator

NAMES = "linereactor-{}-{}"  # the process that made a namespace, and its number
NET = 0x40000000  # CLONE_NEWNET of sched.h
KEPT = "/run/netns"
MTU = 1500

_numbers = itertools.count()
_libc = ctypes.CDLL(None, use_errno=True)


def run(*command: object, given: str | None = None) -> None:
    """Run a command to its end; its output is part of the error if it fails."""
    done = subprocess.run([*map(str, command)], input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(map(str, command))}: {done.stderr.strip() or done.returncode}")


def enter(fd: int) -> None:
    """Move this thread to a network namespace: os.setns(), which Python 3.11 does not have."""
    if _libc.setns(fd, NET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class Host:
    """A network namespace. `close` it; the processes in it are to have ended."""

    def __init__(self) -> None:
        self.name = NAMES.format(os.getpid(), next(_numbers))
        run("ip", "netns", "add", self.name)

    def run(self, *command: object, given: str | None = None) -> None:
        """Run a command in it, to its end."""
        run("ip", "netns", "exec", self.name, *command, given=given)

    def write(self, path: str, value: object) -> None:
        """Set one of its parameters, which is a file below /proc/sys/net."""
        with self.inside(), open(path, "w") as file:
            file.write(f"{value}")

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Sockets that this thread makes meanwhile, and programs that it starts, belong to the host."""
        with contextlib.ExitStack() as opened:
            home, here = (
                opened.enter_context(open(path)) for path in ("/proc/thread-self/ns/net", f"{KEPT}/{self.name}")
            )
            enter(here.fileno())
            try:
                yield
            finally:
                enter(home.fileno())

    def close(self) -> None:
        """Remove it, and what is left of its links."""
        run("ip", "netns", "del", self.name)


class Link:
    """A link from `near`, where a server is, to a `far` host of its own, which are at `address` and `farAddress`."""

    def __init__(self, near: Host, far: Host, number: int) -> None:
        self.near, self.far = near, far
        self.address, self.farAddress = f"10.77.{number}.1", f"10.77.{number}.2"
        self._device = f"link{number}"
        self._faults: dict[str, Callable[[], None]] = {}  # and how each is mended
        run("ip", "link", "add", self._device, "netns", near.name, "type", "veth", "peer", "far", "netns", far.name)
        for host, device, address in self._ends():
            host.run("ip", "address", "add", f"{address}/24", "dev", device)
            host.run("ip", "link", "set", device, "up")

    def _ends(self) -> list[tuple[Host, str, str]]:
        return [(self.near, self._device, self.address), (self.far, "far", self.farAddress)]

    def pull(self, atServer: bool = True) -> None:
        """Take one end down; the other loses its carrier."""
        host, device, _ = self._ends()[not atServer]
        host.run("ip", "link", "set", device, "down")
        self._faults[f"pull {device}"] = lambda: host.run("ip", "link", "set", device, "up")

    def lose(self, percent: int) -> None:
        """Drop so many of the packets in both directions, at random, from now on. 100 is a partition.

        They are dropped on arrival: TCP learns when its own host sends nothing, and counts no probe then.
        """
        drops = "drop" if percent == 100 else f"numgen random mod 100 < {percent} drop"
        for host, device, _ in self._ends():
            chain = f"chain {device} {{\ntype filter hook input priority 0\niifname {device} {drops}\n}}\n"
            host.run("nft", "-f", "-", given=f"table inet {device} {{\n{chain}}}\n")
            self._faults[f"lose {device}"] = functools.partial(host.run, "nft", "delete", "table", "inet", device)

    def narrow(self, rate: str) -> None:
        """Send no faster than `rate` (in the words of tc) from the server, from now on."""
        shape = ["rate", rate, "burst", "4kb", "latency", "400ms"]
        self.near.run("tc", "qdisc", "replace", "dev", self._device, "root", "tbf", *shape)
        self._faults["narrow"] = lambda: self.near.run("tc", "qdisc", "del", "dev", self._device, "root")

    def shrink(self, most: int) -> None:
        """Packets have at most so many bytes, in both directions."""
        for host, device, _ in self._ends():
            host.run("ip", "link", "set", device, "mtu", most)
        if most != MTU:
            self._faults["shrink"] = lambda: self.shrink(MTU)

    def mend(self) -> None:
        """End all of these faults."""
        while self._faults:
            self._faults.popitem()[1]()


class Network:
    """A host `server`, and the links to its far hosts by name."""

    def __init__(self, server: Host, links: dict[str, Link]) -> None:
        self.server = server
        self.links = links


@contextlib.contextmanager
def networkOf(*names: str) -> Iterator[Network]:
    """A Network with a link for each of `names`, which is removed at the end, also when something has failed."""
    sweep()
    with contextlib.ExitStack() as made:

        def host() -> Host:
            added = made.enter_context(contextlib.closing(Host()))
            added.run("ip", "link", "set", "lo", "up")
            return added

        server = host()
        yield Network(server, {name: Link(server, host(), number) for number, name in enumerate(names)})


def sweep() -> None:
    """Remove the namespaces of processes that were killed before they could."""
    for name in os.listdir(KEPT) if os.path.isdir(KEPT) else ():
        made = re.fullmatch(NAMES.format(r"(\d+)", r"\d+"), name)
        if made and not os.path.exists(f"/proc/{made[1]}"):
            with contextlib.suppress(OSError):  # another run does the same
                run("ip", "netns", "del", name)
