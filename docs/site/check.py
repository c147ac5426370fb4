"""Looks at the built site: no page loads anything from elsewhere, and every link inside leads to a file and an anchor.

python docs/site/check.py [FOLDER]
"""

from __future__ import annotations

import pathlib
import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

OUTPUT = pathlib.Path(__file__).resolve().parents[2] / "build" / "docs"

# A browser fetches these by itself. A link waits for a click.
LOADING = {
    "audio": ("src",), "embed": ("src",), "iframe": ("src",), "image": ("href", "xlink:href"), "img": ("src", "srcset"),
    "input": ("src",), "link": ("href",), "object": ("data",), "script": ("src",), "source": ("src", "srcset"),
    "track": ("src",), "use": ("href", "xlink:href"), "video": ("src", "poster"),
}  # fmt: skip
FETCHED = re.compile(r"url\(\s*[\"']?([^)\"']+)|@import\s+[\"']([^\"']+)")


class Page(HTMLParser):
    """The addresses that a page loads or leads to, and the anchors that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.anchors = {""}
        self.inStyle = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inStyle = tag == "style"
        for name, value in attrs:
            if value is None:
                continue
            if name in LOADING.get(tag, ()):
                self.loaded.append(value)
            elif name == "href" and tag == "a":
                self.links.append(value)
            elif name == "id" or (name == "name" and tag == "a"):
                self.anchors.add(value)
            elif name == "style":
                self.loaded += fetched(value)

    def handle_data(self, data: str) -> None:
        if self.inStyle:
            self.loaded += fetched(data)


def fetched(css: str) -> list[str]:
    """The addresses that a style sheet makes a browser fetch."""
    return [first or second for first, second in FETCHED.findall(re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL))]


def isElsewhere(address: str) -> bool:
    parts = urlsplit(address)
    return bool(parts.netloc) or parts.scheme not in {"", "data"}


def faults(folder: pathlib.Path) -> Iterator[str]:
    """A line for each fault of the site in `folder`."""
    pages = {path: Page(path.read_text()) for path in sorted(folder.rglob("*.html"))}
    for path, page in pages.items():
        name = path.relative_to(folder)
        for address in page.loaded:
            if isElsewhere(address):
                yield f"{name}: loads {address}"
            elif urlsplit(address).path and not (path.parent / unquote(urlsplit(address).path)).exists():
                yield f"{name}: {address} is missing"
        for address in page.links:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            found = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not found.exists():
                yield f"{name}: a link to {address}, which is not there"
            elif found in pages and unquote(parts.fragment) not in pages[found].anchors:
                yield f"{name}: a link to {address}, which has no such anchor"
    for path in (*folder.rglob("*.css"), *folder.rglob("*.svg")):
        for address in fetched(path.read_text()):
            if isElsewhere(address):
                yield f"{path.relative_to(folder)}: loads {address}"


def main() -> int:
    folder = pathlib.Path(sys.argv[1]) if sys.argv[1:] else OUTPUT
    if not (folder / "index.html").exists():
        print(f"{folder} has no site.", file=sys.stderr)
        return 1
    found = list(faults(folder))
    print("\n".join(found), end="\n" if found else "", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
