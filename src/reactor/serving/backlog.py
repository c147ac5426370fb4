"""Backlog: the waiting output to a pipe, terminal or socket that takes nothing now.

A piece of at most PIPE_BUF bytes is one write, which a pipe takes whole or not at all (pipe(7)). So messages of several
programs to one pipe do not mix.
"""

from __future__ import annotations

from collections import deque

from reactor.transports.sharing import PIPE_BUF, SharedDescriptor


class Backlog:
    """Writes to `descriptor`, without ever waiting. A message ends in `delimiter`; b"": each write is one.

    `size` is the number of waiting bytes, `messages` the number of messages that end in them.
    """

    def __init__(self, descriptor: SharedDescriptor, delimiter: bytes = b"") -> None:
        self.size = 0
        self.messages = 0
        self._descriptor = descriptor
        self._delimiter = delimiter
        self._pieces: deque[tuple[bytes, int]] = deque()

    def write(self, data: bytes) -> None:
        """Write `data` behind the waiting bytes; keep the rest. On an OSError all bytes wait."""
        delimiter = self._delimiter
        start = 0
        while start < len(data):
            end = _cut(data, start, delimiter)
            piece = data[start:end]
            count = piece.count(delimiter) if delimiter else int(end == len(data))
            self._pieces.append((piece, count))
            self.size += len(piece)
            self.messages += count
            start = end
        self.flush()

    def flush(self) -> None:
        """Write as much of the waiting bytes as the descriptor takes. See write."""
        while self._pieces:
            piece, count = self._pieces[0]
            sent = self._descriptor.write(piece)
            self.size -= sent
            if sent < len(piece):
                rest = piece[sent:]
                left = rest.count(self._delimiter) if self._delimiter else count
                self.messages -= count - left
                self._pieces[0] = (rest, left)
                return
            self._pieces.popleft()
            self.messages -= count

    def drop(self) -> tuple[int, int]:
        """Drop the waiting bytes; return the number of messages and bytes."""
        dropped = self.messages, self.size
        self._pieces.clear()
        self.messages = self.size = 0
        return dropped


def _cut(data: bytes, start: int, delimiter: bytes) -> int:
    """Return the end of the piece of `data` that begins at `start`.

    The piece ends after the last whole message in PIPE_BUF bytes, if there is one, and never inside a delimiter.
    """
    limit = start + PIPE_BUF
    if len(data) <= limit or not delimiter:
        return min(limit, len(data))
    last = data.rfind(delimiter, start, limit)
    if last >= 0:
        return last + len(delimiter)
    across = data.find(delimiter, limit - len(delimiter) + 1, limit + len(delimiter) - 1)
    return limit if across < 0 else across
