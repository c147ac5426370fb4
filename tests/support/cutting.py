"""Ways to cut a stream into reads. A test of lines feeds every one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator


def cuttings(stream: bytes, delimiter: bytes = b"\r\n") -> Iterator[list[bytes]]:
    """`stream` whole; byte by byte; in sevens; cut inside each delimiter; and, if it is short, every cut in two."""
    yield [stream]
    yield pieces(stream, 1)
    yield pieces(stream, 7)
    for inside in range(1, len(delimiter)):
        yield cutInside(stream, delimiter, inside)
    if len(stream) <= 64:
        yield from ([stream[:cut], stream[cut:]] for cut in range(1, len(stream)))


def pieces(stream: bytes, size: int) -> list[bytes]:
    return [stream[start : start + size] for start in range(0, len(stream), size)]


def cutInside(stream: bytes, delimiter: bytes, inside: int) -> list[bytes]:
    """Cut `stream` in each of its delimiters, after `inside` bytes of it."""
    first, *rest = stream.split(delimiter)
    reads = [first]
    for part in rest:
        reads[-1] += delimiter[:inside]
        reads.append(delimiter[inside:] + part)
    return reads


KINDS: tuple[Callable[[bytes], bytes | bytearray | memoryview], ...] = (bytes, bytearray, memoryview)
