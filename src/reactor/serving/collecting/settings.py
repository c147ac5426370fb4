"""From the options of collect to its parts, with one-line errors for combinations that make no sense."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from reactor.serving.collect import Collection
from reactor.serving.collecting.formats import JSON, Format, asJSON, asText, prefixed
from reactor.serving.collecting.frames import AUTO, COUNTED, LINES
from reactor.serving.collecting.rotating import Rotation
from reactor.serving.collecting.syncing import NEVER
from reactor.serving.errors import USAGE, CommandError
from reactor.serving.framing import LF, Framing
from reactor.serving.linefile import WAIT, Keeping, openOutput
from reactor.serving.output import STANDARD_OUTPUT

SAME = "same"
ENDS = {"lf": LF, "crlf": b"\r\n", "nul": b"\0"}

# The options of collect besides --output, by their names in the parsed arguments.
OPTIONS = (
    "output_delimiter",
    "format",
    "prefix",
    "frames",
    "fsync",
    "on_full",
    "rotate_size",
    "rotate_every",
    "rotate_keep",
    "rotate_gzip",
)


class CollectSettings(NamedTuple):
    """The way in which collect keeps its lines. Each field has the value of its option; None or false: not given."""

    output_delimiter: str | None = None
    format: str | None = None
    prefix: bool = False
    frames: str | None = None
    fsync: str | None = None
    on_full: str | None = None
    rotate_size: int | None = None
    rotate_every: float | None = None
    rotate_keep: int | None = None
    rotate_gzip: bool = False


def checkSettings(settings: CollectSettings, output: str, delimiter: bytes | None) -> None:
    """CommandError if settings exclude each other. `delimiter` ends the clients' lines; None: it was not chosen."""
    if settings.format == JSON and settings.prefix:
        raise CommandError("--prefix is for --format text: JSON has the time and the peer", USAGE)
    if settings.format == JSON and settings.output_delimiter == SAME:
        raise CommandError("--format json takes --output-delimiter lf, crlf or nul", USAGE)
    rotates = settings.rotate_size is not None or settings.rotate_every is not None
    if not rotates and (settings.rotate_keep is not None or settings.rotate_gzip):
        name = "--rotate-gzip" if settings.rotate_gzip else "--rotate-keep"
        raise CommandError(f"{name} needs --rotate-size or --rotate-every", USAGE)
    if rotates and output == STANDARD_OUTPUT:
        raise CommandError("standard output cannot be rotated: --output needs the name of a file", USAGE)
    if settings.frames == COUNTED and delimiter is not None:
        raise CommandError("--delimiter is for lines, and with --frames counted there are none", USAGE)
    if settings.frames == AUTO and len(delimiter or LF) != 1:
        raise CommandError("--frames auto needs a --delimiter of one byte", USAGE)


def framesOf(settings: CollectSettings, delimiter: bytes) -> str:
    """Return the mode of frames: "auto" where it is possible, unless another was chosen."""
    return settings.frames or (AUTO if len(delimiter) == 1 else LINES)


def framingOf(settings: CollectSettings, incoming: bytes) -> Framing:
    """Return the ends of the file's lines; `incoming` ends those of the clients."""
    chosen = settings.output_delimiter
    # A prefix and an object of JSON are no bytes of the client's, so the end of its lines may stand inside them.
    escapes = bool(settings.prefix)
    if chosen is not None:
        return Framing(incoming, incoming if chosen == SAME else ENDS[chosen], escapes)
    return Framing(LF if settings.format == JSON else incoming, None, escapes)


def formatOf(settings: CollectSettings) -> Format:
    """Return the format of the file's lines."""
    if settings.format == JSON:
        return asJSON()
    return prefixed() if settings.prefix else asText


def keepingOf(settings: CollectSettings, shared: bool) -> Keeping:
    """Return how the file keeps its lines. The command waits for room on a full disk, unless told otherwise."""
    rotation = None
    if settings.rotate_size is not None or settings.rotate_every is not None:
        rotation = Rotation(
            settings.rotate_size, settings.rotate_every, settings.rotate_keep, bool(settings.rotate_gzip)
        )
    return Keeping(settings.fsync or NEVER, settings.on_full or WAIT, rotation, shared)


def makeCollection(
    reactor: Any,
    output: str,
    settings: CollectSettings,
    delimiter: bytes | None,
    fail: Callable[[CommandError], object],
    shared: bool = False,
    listener: str = "",
) -> Collection:
    """Return the factory of collect for one output. CommandError for bad settings, or an output that cannot be opened.

    `delimiter` ends the clients' lines; None: LF. `shared`: other processes of the server have the same output.
    `listener` is the name in JSON. The caller gives the factory's protocol its settings for lines, and closes its
    `output`.
    """
    checkSettings(settings, output, delimiter)
    incoming = LF if delimiter is None else delimiter
    file = openOutput(output, framingOf(settings, incoming), reactor, keepingOf(settings, shared))
    return Collection(file, fail, formatOf(settings), framesOf(settings, incoming), listener, reactor)
