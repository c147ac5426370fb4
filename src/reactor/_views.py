"""Copies of bytes-like objects, through views that are released at once.

While a memoryview of a bytearray exists, the bytearray cannot change its size: BufferError. CPython ends a view with
the last reference to it. A Python without reference counts does so at some later time. So each view is released by
name. A view of bytes harms nobody.
"""

from __future__ import annotations

from reactor import _overwritten as _overwritten

SHORT = 4096  # bytes; up to there a second copy costs less than a view


def content(data: bytes | bytearray | memoryview) -> bytes:
    """Return the content of any bytes-like object. TypeError for anything else."""
    with memoryview(data) as view:
        return bytes(view)


def sizeOf(data: bytes | bytearray | memoryview) -> int:
    """Return the number of bytes of any bytes-like object. TypeError for anything else."""
    with memoryview(data) as view:
        return view.nbytes


def piece(data: bytes | bytearray, start: int, end: int | None = None) -> bytes:
    """Return `data[start:end]` as bytes. `start` and `end` are not negative."""
    if type(data) is bytes:
        return data[start:end]
    if (len(data) if end is None else end) - start <= SHORT:
        return bytes(data[start:end])
    with memoryview(data) as view, view[start:end] as part:
        return bytes(part)
