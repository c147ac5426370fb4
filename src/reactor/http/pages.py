"""The pages that a server of files writes itself: the names in a directory, and errors."""

from __future__ import annotations

import html
import os
import stat
import time
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple
from urllib.parse import quote_from_bytes

from reactor._logger import escaped
from reactor._numbers import closeNumber
from reactor.http.rooted import Opened, openListed

MAX_LISTED = 2000

# The page needs no script and nothing from elsewhere, so a browser need not accept any.
PAGE_HEADERS = [
    (b"Content-Type", b"text/html; charset=utf-8"),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Content-Security-Policy", b"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"),
]

_STYLE = "\n".join(
    (
        ":root{color-scheme:light dark;--ink:#1d2329;--dim:#68727d;--line:#e3e7eb;--link:#0b5cad}",
        ":root{--over:#f4f7fa;--back:#fff}",
        "@media (prefers-color-scheme:dark){",
        ":root{--ink:#e3e7eb;--dim:#98a3ae;--line:#30363d;--link:#7ab7ff;--over:#1d232a;--back:#14181d}}",
        "*{box-sizing:border-box}",
        "body{margin:0 auto;padding:1.5rem 1rem 3rem;max-width:60rem;background:var(--back);color:var(--ink);",
        "font:1rem/1.5 system-ui,sans-serif}",
        "h1{margin:0 0 1rem;padding:0 .5rem;font-size:1.25rem;font-weight:600;overflow-wrap:anywhere}",
        "a{color:var(--link);text-decoration:none}",
        "a:hover,a:focus-visible{text-decoration:underline}",
        "h1 i{color:var(--dim);font-style:normal;font-weight:400;padding:0 .3em}",
        "table{width:100%;border-collapse:collapse}",
        "th,td{padding:.45rem .5rem;text-align:left;border-bottom:1px solid var(--line);vertical-align:baseline}",
        "th{color:var(--dim);font-size:.85rem;font-weight:500}",
        "tbody tr:hover{background:var(--over)}",
        "td:first-child{width:100%;overflow-wrap:anywhere}",
        "td a{display:block}",
        ".size,.time{color:var(--dim);font-size:.9rem;white-space:nowrap;font-variant-numeric:tabular-nums}",
        ".size{text-align:right}",
        "th.size,th.time{font-size:.85rem}",
        "p{padding:0 .5rem;color:var(--dim)}",
        "td.time,th.time{padding-left:1.5rem}",
        "@media (max-width:36rem){.time{display:none}}",
    )
)


class Entry(NamedTuple):
    """A line of a listing."""

    name: bytes
    isDirectory: bool
    size: int
    modified: float


def errorPage(code: int, reason: str, told: str) -> bytes:
    """Return a small page for an error: its code, its reason phrase, and a sentence for the reader."""
    title = html.escape(f"{code} {reason}")
    return _page(title, f"<h1>{title}</h1>\n<p>{html.escape(told)}</p>\n")


def listingPage(names: list[bytes], entries: list[Entry], isCut: bool, hasParent: bool) -> bytes:
    """Return the page of a directory. `names` is its path below the root; `isCut`: it has more than these entries."""
    rows = ['<tr><td><a href="../">../</a></td><td class="size"></td><td class="time"></td></tr>'] if hasParent else []
    rows += map(_row, entries)
    if not entries:
        rows.append('<tr><td>This directory is empty.</td><td class="size"></td><td class="time"></td></tr>')
    head = '<tr><th>Name</th><th class="size">Size</th><th class="time">Changed (UTC)</th></tr>'
    table = f"<table>\n<thead>{head}</thead>\n<tbody>\n" + "\n".join(rows) + "\n</tbody>\n</table>\n"
    more = f"<p>The directory has more than these {len(entries)} entries.</p>\n" if isCut else ""
    title = html.escape("Index of /" + "".join(f"{_shown(name)}/" for name in names))
    return _page(title, f"<h1>{_trail(names)}</h1>\n{table}{more}")


def entriesOf(
    directory: Opened, hidden: bool, follow: Callable[[bytes], os.stat_result | None]
) -> tuple[list[Entry], bool]:
    """Return at most MAX_LISTED entries of an open directory, in the order of the page, and whether there are more.

    `follow` tells the status of what a link leads to, or None. OSError if the directory cannot be read. Entries that
    are neither files nor directories are left out, and names with a dot in front too, unless `hidden`.
    """
    fd = openListed(directory.fd)
    try:
        with os.scandir(fd) as scan:
            listed = (each for each in scan if hidden or not each.name.startswith("."))
            found = list(islice(listed, MAX_LISTED + 1))
            entries = [entry for each in found[:MAX_LISTED] if (entry := _entryOf(each, follow)) is not None]
    finally:
        closeNumber(fd)
    return sorted(entries, key=_order), len(found) > MAX_LISTED


def _entryOf(each: os.DirEntry[str], follow: Callable[[bytes], os.stat_result | None]) -> Entry | None:
    name = os.fsencode(each.name)
    if b"\\" in name:
        return None  # no path names it
    try:
        status = follow(name) if each.is_symlink() else each.stat(follow_symlinks=False)
    except OSError:  # it was removed meanwhile
        return None
    if status is None or not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        return None
    return Entry(name, stat.S_ISDIR(status.st_mode), status.st_size, status.st_mtime)


def _order(entry: Entry) -> tuple[bool, str, bytes]:
    return not entry.isDirectory, os.fsdecode(entry.name).casefold(), entry.name


def _row(entry: Entry) -> str:
    slash = "/" if entry.isDirectory else ""
    size = "" if entry.isDirectory else _sizeText(entry.size)
    changed = _timeText(entry.modified)
    link = f'<a href="{encoded(entry.name).decode()}{slash}">{html.escape(_shown(entry.name))}{slash}</a>'
    return f'<tr><td>{link}</td><td class="size">{size}</td><td class="time">{changed}</td></tr>'


def _trail(names: list[bytes]) -> str:
    """Return the path as links to each directory above."""
    steps: list[str] = []
    for place, name in enumerate([b"", *names]):
        text = html.escape(_shown(name)) if place else "Index"
        up = "../" * (len(names) - place)
        steps.append(f'<a href="{up}">{text}</a>' if up else text)
    return "<i>/</i>".join(steps)


def _shown(name: bytes) -> str:
    """Return a name as text: bytes that are no UTF-8 are marked, unprintable characters are escaped."""
    return escaped(name.decode("utf-8", "replace"))


def _sizeText(size: int) -> str:
    if size < 1024:
        return f"{size} B"
    amount, units = size / 1024, ["TiB", "GiB", "MiB", "KiB"]
    while amount >= 1000 and len(units) > 1:
        amount /= 1024
        units.pop()
    return f"{amount:.1f} {units[-1]}"


def _timeText(seconds: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds))
    except (OverflowError, ValueError, OSError):  # a file system may hold any number
        return ""


def _page(title: str, parts: str) -> bytes:
    head = (
        '<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    )
    return f"{head}<title>{title}</title>\n<style>{_STYLE}</style>\n<body>\n{parts}</body>\n</html>\n".encode()


def encoded(name: bytes) -> bytes:
    """Return a name for an address: every byte with a meaning there is percent-encoded."""
    return quote_from_bytes(name, safe="").encode()
