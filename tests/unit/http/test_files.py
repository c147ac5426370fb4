"""Answers with files and directories: codes, headers, bodies, and descriptors that are closed whatever happens."""

from __future__ import annotations

import errno
import gc
import html
import os
import pathlib
import re
import resource
import tempfile
from contextlib import suppress
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactor.http import pages
from reactor.http.conditions import Span
from reactor.http.files import FileBody, FilesHandler, FileTruncated, serveFile
from reactor.http.mediatypes import mediaTypeOf
from reactor.http.response import Response
from tests.support.httprequests import Asked

LONG_AGO = 784111777  # Sun, 06 Nov 1994 08:49:37 GMT
CONTENT = bytes(range(256)) * 4


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / "root"
    (folder / "sub").mkdir(parents=True)
    for name, data in (("file.bin", CONTENT), ("page.html", b"<p>hello"), ("empty.txt", b""), (".hidden", b"hidden")):
        (folder / name).write_bytes(data)
        os.utime(folder / name, (LONG_AGO, LONG_AGO))
    return folder


def headersOf(response: Response) -> dict[bytes, bytes]:
    assert all(len(values) == 1 for values in response.fields.values())
    return {name: values[0] for name, values in response.fields.items()}


def bodyOf(response: Response) -> bytes:
    body: Any = response.body
    if isinstance(body, bytes):
        return body
    length = body.length
    sent = b"".join(body)
    assert len(sent) == length
    assert body.closed
    return sent


def ask(root: pathlib.Path, uri: str | bytes, method: bytes = b"GET", **headers: str) -> Response:
    return FilesHandler(root)(Asked(uri, method, {name.replace("_", "-"): value for name, value in headers.items()}))


def test_aFile(root: pathlib.Path) -> None:
    response = ask(root, "/file.bin?query")
    assert response.code == 200
    assert bodyOf(response) == CONTENT
    assert headersOf(response) == {
        b"content-type": b"application/octet-stream",
        b"x-content-type-options": b"nosniff",
        b"last-modified": b"Sun, 06 Nov 1994 08:49:37 GMT",
        b"etag": b'"%x-400"' % (LONG_AGO * 10**9),
        b"accept-ranges": b"bytes",
    }


def test_absoluteTargets(root: pathlib.Path) -> None:
    """As for a proxy. The host is not ours to check."""
    assert bodyOf(ask(root, "http://any.example/page.html?x")) == b"<p>hello"
    assert bodyOf(ask(root, "HTTPS://any.example:443/page.html")) == b"<p>hello"
    assert b"Index of /" in bodyOf(ask(root, "http://any.example"))
    assert headersOf(ask(root, "http://any.example/sub?x=http://y/"))[b"location"] == b"/sub/?x=http://y/"
    for uri in ("http:///page.html", "ftp://any.example/page.html", "http://any.example/../page.html", "page.html"):
        assert ask(root, uri).code == 404


def test_headHasTheSameHeaders(root: pathlib.Path) -> None:
    """The body knows its length, and is closed unread."""
    got, head = ask(root, "/file.bin"), ask(root, "/file.bin", b"HEAD")
    assert (head.code, headersOf(head), head.body.length) == (200, headersOf(got), len(CONTENT))
    for response in (got, head):
        response.body.close()
        assert response.body.closed


def test_otherMethods(root: pathlib.Path) -> None:
    for method in (b"POST", b"PUT", b"DELETE", b"OPTIONS", b"get"):
        for response in (ask(root, "/file.bin", method), serveFile(Asked(method=method), root / "file.bin")):
            assert (response.code, headersOf(response)[b"allow"]) == (405, b"GET, HEAD")


NOWHERE = """
    /none /file.bin/ /file.bin/x /none/ /.hidden /%2ehidden /sub/../file.bin /../root/file.bin /%2e%2e/root/file.bin
    /sub%2f..%2ffile.bin /sub\\..\\file.bin //file.bin /file.bin%00 * /sub// //evil.example/%2e%2e
"""


@pytest.mark.parametrize("uri", [*NOWHERE.split(), "/" + "x" * 5000])
def test_nothingThere(root: pathlib.Path, uri: str) -> None:
    response = ask(root, uri)
    assert response.code == 404
    assert b"404 Not Found" in bodyOf(response)
    assert headersOf(response)[b"content-type"] == b"text/html; charset=utf-8"


@pytest.mark.needs("root")
def test_unreadable() -> None:
    """Root may read everything, so the test asks as another user, in a directory that this one may pass through."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        root.chmod(0o755)
        for name, mode in (("closed", 0o711), ("locked", 0o700), ("sub", 0o755)):
            (root / name).mkdir()
            (root / name).chmod(mode)
        for name, mode in (("file.bin", 0), ("sub/index.html", 0), ("closed/file", 0o644)):
            (root / name).write_bytes(b"content")
            (root / name).chmod(mode)
        handler = FilesHandler(root)
        os.seteuid(65534)
        try:
            uris = ("/file.bin", "/sub/", "/closed/", "/closed/file", "/locked/x")
            answers = {uri: handler(Asked(uri)) for uri in uris}
            direct = serveFile(Asked(), root / "file.bin")
            for name in ("locked", "closed"):
                with pytest.raises(PermissionError):
                    FilesHandler(root / name)
            FilesHandler(root / "closed", listing=False)
        finally:
            os.seteuid(0)
        assert [answer.code for answer in answers.values()] == [403, 403, 403, 200, 403]
        assert bodyOf(answers["/closed/file"]) == b"content"
        assert direct.code == 403
        assert b"403 Forbidden" in bodyOf(direct)


def test_noDescriptorLeft(root: pathlib.Path) -> None:
    handler = FilesHandler(root)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/dev/fd"))
    held = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 8, hard))
    try:
        with suppress(OSError):
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        codes = [handler(Asked("/file.bin")).code]
        os.close(held.pop())
        codes.append(handler(Asked("/file.bin")).code)
        codes.append(serveFile(Asked(), root / "file.bin").code)
        os.close(held.pop())
        answered = handler(Asked("/file.bin"))
        codes.append(answered.code)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in held:
            os.close(fd)
    assert codes == [503, 503, 200, 200]
    assert bodyOf(answered) == CONTENT


def test_anotherErrorIsRaised(root: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handler = FilesHandler(root)

    def broken(*arguments: object, **named: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fstat", broken)
        with pytest.raises(OSError, match="Input/output"):
            handler(Asked("/file.bin"))


def test_conditionalRequests(root: pathlib.Path) -> None:
    tag = headersOf(ask(root, "/file.bin"))[b"etag"].decode()
    same = ask(root, "/file.bin", if_none_match=tag)
    assert (same.code, same.body) == (304, b"")
    assert sorted(headersOf(same)) == [b"etag", b"last-modified"]
    assert ask(root, "/file.bin", b"HEAD", if_modified_since="Sun, 06 Nov 1994 08:49:37 GMT").code == 304
    changed = ask(root, "/file.bin", if_match='"other"')
    assert changed.code == 412
    assert b"412 Precondition Failed" in bodyOf(changed)
    bodyOf(ask(root, "/file.bin", if_match=tag))
    assert ask(root, "/none", if_match="*").code == 404


def test_oneRange(root: pathlib.Path) -> None:
    response = ask(root, "/file.bin", range="bytes=5-9")
    assert (response.code, bodyOf(response)) == (206, CONTENT[5:10])
    assert headersOf(response)[b"content-range"] == b"bytes 5-9/1024"
    assert headersOf(response)[b"content-type"] == b"application/octet-stream"
    last = ask(root, "/file.bin", range="bytes=-3,5000-")
    assert (last.code, bodyOf(last), headersOf(last)[b"content-range"]) == (206, CONTENT[-3:], b"bytes 1021-1023/1024")


def test_severalRanges(root: pathlib.Path) -> None:
    response = ask(root, "/page.html", range="bytes=0-1,-2")
    headers = headersOf(response)
    assert response.code == 206
    assert b"content-range" not in headers
    message = BytesParser(policy=HTTP).parsebytes(
        b"Content-Type: " + headers[b"content-type"] + b"\r\n\r\n" + bodyOf(response)
    )
    assert message.get_content_type() == "multipart/byteranges"
    assert message.defects == []
    found = [
        (part["Content-Range"], part["Content-Type"].content_type, part.get_payload()) for part in message.iter_parts()
    ]
    kind = "text/html"
    assert found == [("bytes 0-1/8", kind, "<p"), ("bytes 6-7/8", kind, "lo")]
    assert headers != headersOf(ask(root, "/page.html", range="bytes=0-1,-2"))  # a boundary that nobody can know


def test_rangesOutOfTheFile(root: pathlib.Path) -> None:
    response = ask(root, "/file.bin", range="bytes=1024-")
    assert (response.code, headersOf(response)[b"content-range"]) == (416, b"bytes */1024")
    assert b"416 Range" in bodyOf(response)
    empty = ask(root, "/empty.txt", range="bytes=0-")
    assert (empty.code, bodyOf(empty)) == (200, b"")


def test_ifRange(root: pathlib.Path) -> None:
    tag = headersOf(ask(root, "/file.bin", b"HEAD"))[b"etag"].decode()
    assert bodyOf(ask(root, "/file.bin", range="bytes=0-0", if_range=tag)) == CONTENT[:1]
    assert bodyOf(ask(root, "/file.bin", range="bytes=0-0", if_range='"other"')) == CONTENT
    os.utime(root / "file.bin")
    young = ask(root, "/file.bin", range="bytes=0-0", if_range=tag)
    assert (young.code, headersOf(young)[b"etag"][:2]) == (200, b"W/")
    assert bodyOf(young) == CONTENT


# The body.


def opened(path: pathlib.Path, *parts: Span | bytes) -> FileBody:
    return FileBody(os.open(path, os.O_RDONLY), parts)


def test_pieces(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(os.urandom(3 * FileBody.PIECE + 1))
    body = opened(path, Span(0, path.stat().st_size), b"between", Span(1, 2))
    pieces = list(body)
    assert list(map(len, pieces)) == [FileBody.PIECE] * 3 + [1, 7, 2]
    assert body.length == sum(map(len, pieces))
    assert b"".join(pieces[:4]) == path.read_bytes()


def test_closedWhateverHappens(root: pathlib.Path) -> None:
    """The descriptor is closed at the end, in the middle, before the beginning, and with the object."""
    path = root / "file.bin"
    before = set(os.listdir("/dev/fd"))
    ended = opened(path, Span(0, 1024))
    list(ended)
    left = opened(path, Span(0, 4), Span(4, 4))
    pieces = iter(left)
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    unread = opened(path, Span(0, 1024))
    unread.close()
    unread.close()
    assert (ended.closed, left.closed, unread.closed) == (True, True, True)
    dropped, begun = opened(path, Span(0, 1024)), opened(path, Span(0, 1024))
    next(iter(begun))
    del dropped, begun
    gc.collect()
    assert set(os.listdir("/dev/fd")) == before
    for body in (ended, left, unread):
        with pytest.raises(ValueError, match="sent once"):
            iter(body)


def test_closedInTheMiddle(root: pathlib.Path) -> None:
    """A reader that is still there reads no other file that has got the number meanwhile."""
    body = opened(root / "file.bin", Span(0, 4), Span(4, 4))
    pieces = iter(body)
    next(pieces)
    number = body._fd
    body.close()
    other = os.open(root / "page.html", os.O_RDONLY)
    try:
        assert other == number
        with pytest.raises(OSError, match="Bad file descriptor"):
            next(pieces)
    finally:
        os.close(other)


def test_aFileThatShrinks(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * (FileBody.PIECE + 100))
    body = opened(path, Span(0, path.stat().st_size))
    pieces = iter(body)
    next(pieces)
    os.truncate(path, FileBody.PIECE + 10)
    assert next(pieces) == b"x" * 10
    with pytest.raises(FileTruncated, match=r"ends at byte 65546, and 65636 bytes"):
        next(pieces)
    assert body.closed


def test_aFileThatGrows(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"old")
    response = serveFile(Asked(), path)
    with path.open("ab") as file:
        file.write(b"new")
    assert bodyOf(response) == b"old"


# One file.


def test_serveFile(root: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "link").symlink_to(root / "page.html")
    monkeypatch.chdir(root)
    for path in (root / "page.html", str(root / "page.html"), os.fsencode(root / "page.html"), "page.html"):
        response = serveFile(Asked("/anything"), path)
        assert (response.code, bodyOf(response)) == (200, b"<p>hello")
        assert headersOf(response)[b"content-type"] == b"text/html; charset=utf-8"
    response = serveFile(Asked(), root / "link", contentType=b"text/plain")
    assert (bodyOf(response), headersOf(response)[b"content-type"]) == (b"<p>hello", b"text/plain")
    assert bodyOf(serveFile(Asked(), root / ".hidden")) == b"hidden"  # the program's own choice
    for other in (root / "none", root, root / "file.bin" / "x", "/dev/null"):
        assert serveFile(Asked(), other).code == 404
    with pytest.raises(ValueError, match="null"):
        serveFile(Asked(), "a\0")
    with pytest.raises(TypeError):
        serveFile(Asked(), 3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.html", b"text/html; charset=utf-8"),
        ("A.HTML", b"text/html; charset=utf-8"),
        ("a.js", b"text/javascript; charset=utf-8"),
        ("a.mjs", b"text/javascript; charset=utf-8"),
        ("a.css", b"text/css; charset=utf-8"),
        ("a.md", b"text/markdown; charset=utf-8"),
        ("a.svg", b"image/svg+xml"),
        ("a.json", b"application/json"),
        ("a.wasm", b"application/wasm"),
        ("a.woff2", b"font/woff2"),
        ("a.png", b"image/png"),
        ("a.jpeg", b"image/jpeg"),
        ("a.pdf", b"application/pdf"),
        ("a.mp4", b"video/mp4"),
        ("a.html.gz", b"application/gzip"),
        ("a.tar.gz", b"application/gzip"),
        ("a", b"application/octet-stream"),
        ("html", b"application/octet-stream"),
        (".html", b"application/octet-stream"),
        ("a.nothing", b"application/octet-stream"),
        ("a.html/", b"application/octet-stream"),
        (b"\xff.txt", b"text/plain; charset=utf-8"),
    ],
)
def test_mediaTypes(name: str | bytes, expected: bytes) -> None:
    assert mediaTypeOf(name) == expected


# Directories.


def test_redirection(root: pathlib.Path) -> None:
    (root / "a b?").mkdir()
    (root / "sub" / "inner").mkdir()
    for uri, place in (
        ("/sub", b"/sub/"),
        ("/sub?a=b&c", b"/sub/?a=b&c"),
        ("/%73ub", b"/sub/"),
        ("/a%20b%3F?x", b"/a%20b%3F/?x"),
        ("/sub/inner", b"/sub/inner/"),
    ):
        response = ask(root, uri)
        assert (response.code, headersOf(response)[b"location"]) == (301, place)


def test_queriesOfRedirections(root: pathlib.Path) -> None:
    """They stay as they are, but for bytes that no address has."""
    location = headersOf(ask(root, b"/sub?a=%41&b\xc3\xa4 c\r\nX: y\0"))[b"location"]
    assert location == b"/sub/?a=%41&b%C3%A4%20c%0D%0AX:%20y%00"


def test_noRedirectionLeadsToAnotherHost(root: pathlib.Path) -> None:
    for name in ("evil.example", "\tevil", "@evil", ":evil", "http:"):
        (root / name).mkdir()
    handler = FilesHandler(root)
    for uri in (
        "//evil.example",
        "/%2fevil.example",
        "/\\evil.example",
        "/%5cevil.example",
        "///evil.example",
        "/./evil.example",
    ):
        assert handler(Asked(uri)).code == 404
    for uri in ("/evil.example", "/%09evil", "/@evil", "/:evil", "/http:", "/evil.example?//x"):
        location = headersOf(handler(Asked(uri)))[b"location"]
        assert re.fullmatch(rb"/[A-Za-z0-9.%-]+/(\?//x)?", location)


def test_indexPages(root: pathlib.Path) -> None:
    (root / "sub" / "index.html").write_bytes(b"the index")
    response = ask(root, "/sub/")
    assert (response.code, bodyOf(response)) == (200, b"the index")
    assert headersOf(response)[b"content-type"] == b"text/html; charset=utf-8"
    assert bodyOf(ask(root, "/sub/", range="bytes=0-2")) == b"the"
    (root / "sub" / "index.html").unlink()
    (root / "sub" / "index.html").mkdir()
    assert b"Index of /sub/" in bodyOf(ask(root, "/sub/"))
    (root / "sub" / "index.html").rmdir()
    (root / "sub" / "index.html").symlink_to("/etc/passwd")
    assert b"Index of /sub/" in bodyOf(ask(root, "/sub/"))


def listed(page: bytes) -> list[tuple[str, str]]:
    return re.findall(r'<tr><td><a href="([^"]*)">([^<]*)</a></td>', page.decode())


def test_listing(root: pathlib.Path) -> None:
    (root / "Zoo").mkdir()
    (root / "b.txt").write_bytes(b"x" * 2048)
    (root / "A.txt").write_bytes(b"x")
    (root / "out").symlink_to("/etc")
    (root / "broken").symlink_to("nothing")
    (root / "in").symlink_to("sub")
    os.mkfifo(root / "fifo")
    response = ask(root, "/")
    page = bodyOf(response)
    assert response.code == 200
    assert b"default-src 'none'" in headersOf(response)[b"content-security-policy"]
    assert listed(page) == [
        ("in/", "in/"),
        ("sub/", "sub/"),
        ("Zoo/", "Zoo/"),
        ("A.txt", "A.txt"),
        ("b.txt", "b.txt"),
        ("empty.txt", "empty.txt"),
        ("file.bin", "file.bin"),
        ("page.html", "page.html"),
    ]
    assert b"2.0 KiB" in page
    assert b"1994-11-06 08:49" in page
    assert (".hidden", ".hidden") in listed(bodyOf(FilesHandler(root, hidden=True)(Asked("/"))))
    assert listed(bodyOf(ask(root, "/sub/"))) == [("../", "../")]
    assert b"This directory is empty." in bodyOf(ask(root, "/sub/"))
    assert bodyOf(ask(root, "/", b"HEAD")) == page
    assert FilesHandler(root, listing=False)(Asked("/sub/")).code == 404


def test_hostileNames(root: pathlib.Path) -> None:
    """Names are text on the page, and every link leads to the file that it names."""
    names = [b"<script>alert(1)</script>", b'"><b>', b"a&amp;b", b"javascript:alert(1)", b"\xff\xfe", b"a\nb", b"100%"]
    names += [b"?q", b"#f", "\u202etxt.exe".encode(), b"a;b", b"'q'", b"&lt;"]
    for name in names:
        (root / "sub" / os.fsdecode(name.replace(b"/", b"|"))).write_bytes(name)
    (root / "sub" / "back\\slash").write_bytes(b"")
    handler = FilesHandler(root)
    page = bodyOf(handler(Asked("/sub/")))
    assert b"<script" not in page
    assert b"<b>" not in page
    assert "\u202e".encode() not in page
    links = [link for link, _text in listed(page)[1:]]
    assert len(links) == len(names)
    assert all(re.fullmatch(r"[\w.%~-]+", link) for link in links)
    found = {bodyOf(handler(Asked(f"/sub/{html.unescape(link)}"))) for link in links}
    assert found == set(names)


def test_aFileThatIsRemovedMeanwhile(root: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is left out of the page that is being made."""
    (root / "sub" / "link").symlink_to("../file.bin")
    (root / "sub" / "other").write_bytes(b"")

    def gone(self: FilesHandler, names: list[bytes]) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(FilesHandler, "_statusOf", gone)
    assert [name for name, _text in listed(bodyOf(ask(root, "/sub/")))] == ["../", "other"]


def test_aLargeDirectoryIsCut(root: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(12):
        (root / "sub" / f"{number}").write_bytes(b"")
    monkeypatch.setattr(pages, "MAX_LISTED", 10)
    page = bodyOf(ask(root, "/sub/"))
    assert len(listed(page)) == 11
    assert b"more than these 10 entries" in page


def test_sizesAndTimes() -> None:
    shown = [pages._sizeText(size) for size in (0, 1023, 1024, 1024**2 - 1, 1024**2, 10**12, 10**16)]
    assert shown == ["0 B", "1023 B", "1.0 KiB", "1.0 MiB", "1.0 MiB", "931.3 GiB", "9094.9 TiB"]
    assert [pages._timeText(seconds) for seconds in (0, 1e30)] == ["1970-01-01 00:00", ""]


def test_prefixes(root: pathlib.Path) -> None:
    handler = FilesHandler(root, prefix="/static/")
    assert bodyOf(handler(Asked("/static/page.html"))) == b"<p>hello"
    for uri in ("/page.html", "/", "/static//page.html", "/staticpage.html", "/static/../page.html"):
        assert handler(Asked(uri)).code == 404
    assert headersOf(handler(Asked("/static")))[b"location"] == b"/static/"
    assert headersOf(handler(Asked("/static/sub?x")))[b"location"] == b"/static/sub/?x"
    assert "../" not in dict(listed(bodyOf(handler(Asked("/static/")))))
    for prefix in ("static/", "/static", "", "//", "/a//b/"):
        with pytest.raises(ValueError, match="a prefix is a path"):
            FilesHandler(root, prefix=prefix)


def test_rootsThatCannotBeServed(root: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError):
        FilesHandler(root / "none")
    with pytest.raises(NotADirectoryError):
        FilesHandler(root / "file.bin")
    with pytest.raises(TypeError):
        FilesHandler(None)  # type: ignore[arg-type]
    assert repr(FilesHandler(os.fsencode(root))) == f"<FilesHandler of {str(root)!r}>"


def test_theRootStaysWhereItWas(root: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative root is one of the directory in which the handler was made."""
    monkeypatch.chdir(root.parent)
    handler = FilesHandler("root")
    monkeypatch.chdir("/")
    assert bodyOf(handler(Asked("/page.html"))) == b"<p>hello"


def test_noDescriptorIsLeft(root: pathlib.Path) -> None:
    (root / "out").symlink_to("/etc")
    handler = FilesHandler(root)
    before = set(os.listdir("/dev/fd"))
    for uri in ("/", "/sub", "/sub/", "/none", "/sub/none/x", "/file.bin/x", "/out", "/out/passwd", "/.hidden"):
        handler(Asked(uri))
    for headers in ({"If-Match": '"x"'}, {"If-None-Match": "*"}, {"Range": "bytes=5000-"}):
        handler(Asked("/file.bin", headers=dict(headers)))
    assert set(os.listdir("/dev/fd")) == before


# Any request.

SEGMENTS = st.sampled_from(["", ".", "..", "%2e%2e", "sub", "file.bin", "page.html", "link", "%", "%00", "\\", "a%2fb"])
PATHS = st.lists(SEGMENTS, max_size=5).map("/".join).map("/{}".format) | st.binary(max_size=40)
TAGS = st.sampled_from(["*", '"x"', 'W/"x"', "{tag}", "W/{tag}", '"x", {tag}', "{tag}x", "", ",", '"'])
DATES = st.sampled_from(["Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:36 GMT", "never", ""])
RANGES = st.text(alphabet="0123456789-,= bytes", max_size=20).map("bytes={}".format) | st.text("b=1-,", max_size=5)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "If-Match": TAGS,
        "If-None-Match": TAGS,
        "If-Range": TAGS | DATES,
        "If-Modified-Since": DATES,
        "If-Unmodified-Since": DATES,
        "Range": RANGES,
    },
)


@given(PATHS, st.sampled_from([b"GET", b"HEAD", b"POST"]), FIELDS)
def test_anyRequest(uri: str | bytes, method: bytes, fields: dict[str, str]) -> None:
    """Each gets an answer with a code of its own, no byte from outside of the root, and nothing is left open."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder) / "root"
        (root / "sub").mkdir(parents=True)
        (root.parent / "secret").write_bytes(b"secret")
        (root / "link").symlink_to("../secret")
        for name in ("file.bin", "page.html", "sub/page.html"):
            (root / name).write_bytes(b"0123456789")
            os.utime(root / name, (LONG_AGO, LONG_AGO))
        before = set(os.listdir("/dev/fd"))
        tag = '"%x-a"' % (LONG_AGO * 10**9)
        headers: dict[str, Any] = {name: value.replace("{tag}", tag) for name, value in fields.items()}
        response = FilesHandler(root)(Asked(uri, method, headers))
        body = bodyOf(response)
        assert response.code in ({405} if method == b"POST" else {200, 206, 301, 304, 404, 412, 416})
        assert b"secret" not in body
        if response.code == 206:
            assert method == b"GET"
            assert b"content-range" in headersOf(response) or b"multipart" in headersOf(response)[b"content-type"]
        if response.code == 304:
            assert body == b""
            assert {"If-None-Match", "If-Modified-Since"} & headers.keys()
        if response.code == 412:
            assert {"If-Match", "If-Unmodified-Since"} & headers.keys()
        if response.code == 416:
            assert headersOf(response)[b"content-range"] == b"bytes */10"
        assert set(os.listdir("/dev/fd")) == before
