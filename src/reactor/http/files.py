"""Files and directories as answers to GET and HEAD: `serveFile` for one file, `FilesHandler` for a whole directory.

This file joins four others. `rooted` opens what a path names, and nothing outside of the root. `conditions` decides
which answer the request asks for. `mediatypes` names the content's type. `pages` writes listings and errors.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from reactor._numbers import closeNumber
from reactor.http.conditions import Span, Validators, conditionFailed, contentRange, rangesOf, validatorsOf
from reactor.http.dates import datetimeToString
from reactor.http.mediatypes import mediaTypeOf
from reactor.http.pages import PAGE_HEADERS, encoded, entriesOf, errorPage, listingPage
from reactor.http.response import Response
from reactor.http.rooted import Opened, namesOf, openBelow, openFile, openListed

__all__ = ["FileBody", "FileTruncated", "FilesHandler", "serveFile"]

INDEX = b"index.html"
_UNSAFE = re.compile(rb"[^!-~]")  # a channel lets no such byte through, but others may make requests
_ABSOLUTE = re.compile(rb"https?://[^/?]+", re.IGNORECASE)
_METHODS = (b"GET", b"HEAD")
_REASONS = {
    403: ("Forbidden", "The server may not read this file."),
    404: ("Not Found", "There is nothing at this address."),
    405: ("Method Not Allowed", "This address answers GET and HEAD only."),
    412: ("Precondition Failed", "The file is not the one that the request is for."),
    416: ("Range Not Satisfiable", "The file does not have the range that the request asks for."),
    503: ("Service Unavailable", "The server has too many files open."),
}
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
_FORBIDDEN = (errno.EACCES, errno.EPERM)
_EXHAUSTED = (errno.EMFILE, errno.ENFILE)


class FileTruncated(Exception):
    """A file has become shorter while it was sent: the announced length cannot be kept, and the connection ends."""


class FileBody:
    """The body of a response that comes from an open file: an iterable of pieces of at most PIECE bytes.

    `length` is its size in bytes. The iteration raises FileTruncated if the file ends before the announced bytes. If
    the file has grown, only the announced bytes are given. The descriptor is closed at the end of the iteration, by
    `close()`, or with the object, whichever comes first. A body can be iterated once. Reading blocks the reactor for as
    long as the file system takes.
    """

    PIECE = 65536
    IN_A_ROW = 2 * PIECE  # bytes in a turn of the loop, as reading blocks it

    def __init__(self, fd: int, parts: Iterable[Span | bytes]) -> None:
        """Take over `fd`, a file open for reading. `parts` are ranges of it, and bytes to send between them."""
        self._fd = fd
        self._parts = list(parts)
        self.length = sum(part.length if isinstance(part, Span) else len(part) for part in self._parts)

    @property
    def closed(self) -> bool:
        """Whether the descriptor is closed."""
        return self._fd < 0

    def close(self) -> None:
        """Close the descriptor. Later calls do nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            closeNumber(fd)

    def __del__(self) -> None:
        """Close the descriptor of a body that was dropped."""
        self.close()

    def __iter__(self) -> Iterator[bytes]:
        """Return an iterator of the pieces. ValueError if the body is closed."""
        if self.closed:
            raise ValueError("this FileBody is closed: a body is sent once")
        return self._pieces()

    def _pieces(self) -> Iterator[bytes]:
        try:
            for part in self._parts:
                if not isinstance(part, Span):
                    yield part
                    continue
                section = Section(self, part)
                while piece := section.read(self.PIECE):
                    yield piece
        finally:
            self.close()

    def asFile(self) -> Section | None:
        """Return the content as a file for a FileSender, None if it is more than one range. ValueError if closed."""
        if len(self._parts) != 1 or not isinstance(self._parts[0], Span):
            return None
        if self.closed:
            raise ValueError("this FileBody is closed: a body is sent once")
        return Section(self, self._parts[0])

    def readAt(self, size: int, offset: int) -> bytes:
        """Return up to `size` bytes from `offset` on, none at the end of the file. OSError once the body is closed."""
        return os.pread(self._fd, size, offset)


class Section:
    """The bytes of a range of a FileBody, to be read once."""

    __slots__ = ("_body", "_end", "_offset")

    def __init__(self, body: FileBody, span: Span) -> None:
        self._body = body
        self._offset = span.start
        self._end = span.start + span.length

    @property
    def isAtEnd(self) -> bool:
        """Whether all has been read."""
        return self._offset >= self._end

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, none at the end of the range. FileTruncated if the file ends before that."""
        wanted = min(size, self._end - self._offset)
        piece = self._body.readAt(wanted, self._offset) if wanted else b""
        if wanted and not piece:
            raise FileTruncated(f"a file ends at byte {self._offset}, and {self._end} bytes of it were announced")
        self._offset += len(piece)
        return piece


def serveFile(request: Any, path: str | bytes | os.PathLike[Any], contentType: bytes | None = None) -> Response:
    """Return the response to `request` with the regular file at `path`, which the program chooses. Links are followed.

    GET and HEAD are answered, and other methods with 405. Conditional requests and ranges are those of RFC 9110, 13
    and 14. The `contentType` is otherwise the one of the name's ending. The code is 404 if there is no such file, 403
    if it is not readable, and 503 if the process has no descriptor left. Other errors of the system are raised.
    ValueError for a path with NUL.
    """
    name = os.fspath(path)
    if request.method not in _METHODS:
        return _notAllowed()
    return _caught(lambda: _ofFile(request, openFile(name), contentType or mediaTypeOf(name)))


class FilesHandler:
    """A handler of requests that serves the files of a directory, and of the directories in it.

    The request's path is percent-decoded once. It leads to regular files below `root` alone, also through symbolic
    links, and to no name that begins with a dot unless `hidden`. See `serveFile` for the answers. A directory is
    answered with its index.html, or with a page that lists it, or with 404 if not `listing`. A path without the slash
    at its end is redirected first.
    """

    def __init__(
        self,
        root: str | bytes | os.PathLike[Any],
        *,
        prefix: bytes | str = b"/",
        listing: bool = True,
        hidden: bool = False,
    ) -> None:
        """Serve the directory `root`. OSError if it cannot be opened now.

        Only paths below `prefix` are answered, without it. ValueError if it does not begin and end with a slash.
        """
        self.root = os.path.abspath(os.fsdecode(os.fspath(root)))
        self.prefix = prefix.encode("ascii") if isinstance(prefix, str) else bytes(prefix)
        if not (self.prefix.startswith(b"/") and self.prefix.endswith(b"/")) or b"//" in self.prefix:
            raise ValueError(f"a prefix is a path that begins and ends with a slash, not {prefix!r}")
        self.listing = listing
        self.hidden = hidden
        opened = openBelow(self.root, ())
        try:
            os.stat(b".", dir_fd=opened.fd)
            if listing:
                closeNumber(openListed(opened.fd))
        finally:
            closeNumber(opened.fd)

    def __repr__(self) -> str:
        return f"<FilesHandler of {self.root!r}>"

    def __call__(self, request: Any) -> Response:
        """Return the response to `request`."""
        if request.method not in _METHODS:
            return _notAllowed()
        path = _pathOf(request)
        if not path.startswith(self.prefix):
            return self._redirect(request, []) if path + b"/" == self.prefix else _error(404)
        names = namesOf(path[len(self.prefix) - 1 :], self.hidden)
        if names is None:
            return _error(404)
        return _caught(lambda: self._answer(request, names))

    def _answer(self, request: Any, names: list[bytes]) -> Response:
        opened = openBelow(self.root, names)
        if not opened.isDirectory:
            return _ofFile(request, opened, mediaTypeOf(names[-1]))
        try:
            if names[-1] != b"":
                return self._redirect(request, names)
            try:
                index = openBelow(self.root, [*names, INDEX])
            except OSError as error:
                if error.errno not in _ABSENT:
                    raise
            else:
                if not index.isDirectory:
                    return _ofFile(request, index, mediaTypeOf(INDEX))
                closeNumber(index.fd)
            if not self.listing:
                return _error(404)
            entries, isCut = entriesOf(opened, self.hidden, lambda name: self._statusOf([*names, name]))
            return Response(200, listingPage(names[:-1], entries, isCut, len(names) > 1), list(PAGE_HEADERS))
        finally:
            closeNumber(opened.fd)

    def _redirect(self, request: Any, names: list[bytes]) -> Response:
        """Return the redirection to the same directory with a slash.

        The address is made of the names again. So it cannot begin with two slashes, which would name a host.
        """
        _path, mark, query = request.uri.partition(b"?")
        query = _UNSAFE.sub(lambda found: b"%%%02X" % found[0][0], query)
        place = self.prefix + b"".join(encoded(name) + b"/" for name in names) + mark + query
        return Response(301, b"", [(b"Location", place)])

    def _statusOf(self, names: list[bytes]) -> os.stat_result | None:
        try:
            opened = openBelow(self.root, names)
        except OSError:
            return None
        closeNumber(opened.fd)
        return opened.status


def _pathOf(request: Any) -> bytes:
    """Return the path of a request. A target with a host is one for a proxy, and counts (RFC 9112, 3.2.2)."""
    path: bytes = request.path
    absolute = _ABSOLUTE.match(path)
    return path if absolute is None else path[absolute.end() :] or b"/"


def _caught(answer: Callable[[], Response]) -> Response:
    """Return what `answer` returns, and for an error of the system the page that tells it."""
    try:
        return answer()
    except OSError as error:
        if error.errno in _ABSENT:
            return _error(404)
        if error.errno in _FORBIDDEN:
            return _error(403)
        if error.errno in _EXHAUSTED:
            return _error(503)
        raise


def _error(code: int, headers: Iterable[tuple[bytes, bytes]] = ()) -> Response:
    return Response(code, errorPage(code, *_REASONS[code]), [*PAGE_HEADERS, *headers])


def _notAllowed() -> Response:
    return _error(405, [(b"Allow", b", ".join(_METHODS))])


def _ofFile(request: Any, opened: Opened, contentType: bytes) -> Response:
    """Return the response with an open file. Its body, or this function, closes it."""
    size = opened.status.st_size
    parts: list[Span | bytes] = []
    try:
        validators = validatorsOf(opened.status, time.time())
        code = conditionFailed(request, validators)
        if code:
            return Response(304, b"", _validatorHeaders(validators)) if code == 304 else _error(code)
        spans = rangesOf(request, validators, size)
        if spans == []:
            return _error(416, [(b"Content-Range", contentRange(None, size))])
        headers = [
            *_validatorHeaders(validators),
            (b"Accept-Ranges", b"bytes"),
            (b"X-Content-Type-Options", b"nosniff"),
        ]
        if spans is None:
            parts = [Span(0, size)]
        elif len(spans) == 1:
            parts = [*spans]
            headers.append((b"Content-Range", contentRange(spans[0], size)))
        else:
            boundary = os.urandom(16).hex().encode()
            parts = list(_inParts(spans, size, contentType, boundary))
            contentType = b"multipart/byteranges; boundary=" + boundary
        headers.append((b"Content-Type", contentType))
        return Response(200 if spans is None else 206, FileBody(opened.fd, parts), headers)
    finally:
        if not parts:
            closeNumber(opened.fd)


def _inParts(spans: list[Span], size: int, contentType: bytes, boundary: bytes) -> Iterator[Span | bytes]:
    """Yield the parts of a multipart/byteranges body (RFC 9110, 14.6)."""
    for place, span in enumerate(spans):
        lines = (b"--" + boundary, b"Content-Type: " + contentType, b"Content-Range: " + contentRange(span, size))
        yield b"\r\n".join((b"", *lines, b"", b"") if place else (*lines, b"", b""))
        yield span
    yield b"\r\n--" + boundary + b"--\r\n"


def _validatorHeaders(validators: Validators) -> list[tuple[bytes, bytes]]:
    return [(b"ETag", validators.tag), (b"Last-Modified", datetimeToString(validators.modified))]
