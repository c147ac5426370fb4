"""The list of pages at the side of each page.

Sphinx makes it from the headings and objects of all pages, for each page anew, which takes longer than all else. The
theme needs the pages' titles alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape
from typing import Any

from sphinx.addnodes import toctree


def addTree(app: Any, name: str, _template: str, context: dict[str, Any], _doctree: Any) -> None:
    """Sphinx calls this for each page. `toctree` of the context is what the theme calls."""
    env = app.env
    pathto: Callable[[str], str] = context["pathto"]

    def isWithin(page: str) -> bool:
        return page == name or any(isWithin(child) for child in env.toctree_includes.get(page, ()))

    def entries(pages: list[str], level: int) -> Iterator[str]:
        yield "<ul>"
        for page in pages:
            classes = f"toctree-l{level}" + (" current" if isWithin(page) else "")
            current = " current-page" if page == name else ""
            title = escape(env.titles[page].astext())
            yield f'<li class="{classes}{current}">'
            yield f'<a class="reference internal{current and " current"}" href="{pathto(page)}">{title}</a>'
            if env.toctree_includes.get(page):
                yield from entries(env.toctree_includes[page], level + 1)
            yield "</li>"
        yield "</ul>"

    def tree(**_options: Any) -> str:
        parts = []
        for node in env.get_doctree(env.config.root_doc).findall(toctree):
            parts.append(
                f'<p class="caption" role="heading"><span class="caption-text">{escape(node["caption"])}</span></p>'
            )
            parts.extend(entries(list(node["includefiles"]), 1))
        return "".join(parts)

    context["toctree"] = tree
