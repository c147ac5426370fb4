"""The media type of a file, by the end of its name. The result is the same on every machine.

`mimetypes.guess_type` reads the tables of the system, so it may answer differently elsewhere.
"""

from __future__ import annotations

import functools
import mimetypes
import os

from reactor import _overwritten as _overwritten

UNKNOWN = b"application/octet-stream"

# Types that some of the supported Pythons do not know, or call by an older name. They win over Python's own.
OWN_TYPES = {
    ".apk": "application/vnd.android.package-archive",
    ".atom": "application/atom+xml",
    ".avif": "image/avif",
    ".bz2": "application/x-bzip2",
    ".css": "text/css",
    ".csv": "text/csv",
    ".epub": "application/epub+zip",
    ".flac": "audio/flac",
    ".gz": "application/gzip",
    ".htm": "text/html",
    ".html": "text/html",
    ".ico": "image/vnd.microsoft.icon",
    ".ics": "text/calendar",
    ".js": "text/javascript",
    ".json": "application/json",
    ".log": "text/plain",
    ".m4a": "audio/mp4",
    ".map": "application/json",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".mkv": "video/matroska",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".otf": "font/otf",
    ".rss": "application/rss+xml",
    ".rst": "text/x-rst",
    ".sh": "text/x-shellscript",
    ".svg": "image/svg+xml",
    ".toml": "application/toml",
    ".ttf": "font/ttf",
    ".txt": "text/plain",
    ".wasm": "application/wasm",
    ".wav": "audio/wav",
    ".webm": "video/webm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".xml": "application/xml",
    ".xz": "application/x-xz",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".zip": "application/zip",
    ".zst": "application/zstd",
}


@functools.cache
def _knownTypes() -> dict[str, str]:
    # An object of its own starts with the types that Python knows by itself, and reads no file of the system.
    return mimetypes.MimeTypes().types_map[True] | OWN_TYPES


def mediaTypeOf(name: str | bytes) -> bytes:
    """Return the Content-Type of a file called `name`: UNKNOWN if its ending is not known.

    Text is declared as UTF-8. The last ending counts: a browser shows no compressed file as its content.
    """
    ending = os.path.splitext(os.fsdecode(name))[1].lower()
    found = _knownTypes().get(ending)
    if found is None:
        return UNKNOWN
    return f"{found}; charset=utf-8".encode() if found.startswith("text/") else found.encode()
