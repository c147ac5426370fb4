"""Default values of arguments that several signatures share. Each is Twisted's, but for the mode of UNIX sockets."""

from __future__ import annotations

from typing import Final

from reactor import _overwritten as _overwritten

# Connections that the kernel keeps for a port until the reactor accepts them.
BACKLOG: Final = 50
# Seconds that an attempt to connect may take.
CONNECT_TIMEOUT: Final = 30
# Bytes of a datagram that a port reads; it drops a longer one.
MAX_PACKET_SIZE: Final = 8192
# Permissions of a UNIX socket's file: its owner alone connects. Twisted's default, 0o666, lets everybody.
SOCKET_MODE: Final = 0o600
