"""Clients that ask to be let in, and whether the kernel lets them."""

from __future__ import annotations

import select
import socket
from typing import Any

ESTABLISHED = 1  # linux/tcp_states.h
A_WHILE = 0.1  # seconds; over loopback the kernel lets a client in at once, and tries again a second later


def knock(family: int, address: Any, patience: float = 20.0) -> tuple[socket.socket, bool]:
    """Begin to connect, and return the client, and whether the kernel has let it in, after `patience` at the latest."""
    client = socket.socket(family)
    client.settimeout(0)
    try:
        client.connect(address)
    except BlockingIOError:
        pass
    except (ConnectionRefusedError, FileNotFoundError):  # a supervisor removes the path of a UNIX socket first
        return client, False
    isIn = family == socket.AF_UNIX
    if not isIn:
        select.select([], [client], [], patience)
        isIn = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == ESTABLISHED
    client.settimeout(20)
    return client, isIn


def isLetIn(family: int, address: Any) -> bool:
    """Whether the kernel lets a client in. It is certain if it does, and nearly so if it does not."""
    client, isIn = knock(family, address, A_WHILE)
    client.close()
    return isIn
