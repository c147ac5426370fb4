"""Shutting clients out of a listening socket, before the last of them are accepted and it is closed.

The kernel goes on letting clients in until the last descriptor of a socket is closed. A process may lose its core
between its last accept and the close. Clients that the kernel lets in meanwhile are reset, although their connect() has
succeeded.

- TCP on Linux: a filter (SO_ATTACH_FILTER, socket(7)) drops SYN segments that no ACK accompanies. So no new handshake
  begins. Those under way go on, and so does every connection. The client's kernel tries again a second later, and is
  refused then. An accepted socket inherits the filter if its handshake ended behind that, and it does no harm there.
- UNIX on Linux: the reading half is shut down. The kernel refuses new clients at once, and those that wait can still be
  accepted. Until the close, poll() then always reports a client.

Not chosen for TCP: shutdown(), which resets the clients that wait; a filter that drops everything, which would cost
clients whose handshake is nearly over.
"""

from __future__ import annotations

import socket
import struct
import sys
from array import array

from reactor import _overwritten as _overwritten

SO_ATTACH_FILTER = 26  # asm-generic/socket.h; the module socket does not have it

_FLAGS = 13  # where the flags are in a TCP header (RFC 9293, section 3.1); a filter sees it from its beginning
_SYN, _ACK = 0x02, 0x10
_ALL = 0xFFFFFFFF
_LOAD, _AND, _IF_EQUAL, _RETURN = 0x30, 0x54, 0x15, 0x06  # linux/bpf_common.h: LD|B|ABS, ALU|AND|K, JMP|JEQ|K, RET|K
_NO_SYN = (
    (_LOAD, 0, 0, _FLAGS),
    (_AND, 0, 0, _SYN | _ACK),
    (_IF_EQUAL, 0, 1, _SYN),
    (_RETURN, 0, 0, 0),
    (_RETURN, 0, 0, _ALL),
)


def shutOut(sock: socket.socket) -> bool:
    """Have the kernel let no new client in at the listening stream socket `sock`. Return whether it obeys.

    That holds for the socket in all processes that have it, until it is closed. Clients that wait can be accepted.
    """
    if sys.platform != "linux":
        return False
    try:
        if sock.family == socket.AF_UNIX:
            sock.shutdown(socket.SHUT_RD)
        else:
            program = array("B", b"".join(struct.pack("HBBI", *step) for step in _NO_SYN))
            address, _size = program.buffer_info()
            sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(_NO_SYN), address))
    except OSError:  # a sandbox may forbid it, or there is no memory
        return False
    return True
