"""The settings of Sphinx for the site. build.py calls it."""

from __future__ import annotations

import pathlib
import sys
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import docstrings  # these are beside this file
import members
import navigation

import reactor

project = "linereactor"
author = "The linereactor developers"
copyright = "the linereactor developers"
version = release = reactor.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
root_doc = "index"
smartquotes = False  # a quote may be part of a value
nitpicky = False  # signatures name types of the standard library, and nothing here is fetched to link them

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
myst_links_external_new_tab = False
# A name in a signature, such as Process, may be that of two classes here. It then has no link.
suppress_warnings = ["ref.python"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = False  # values, not the names of constants
autodoc_class_signature = "mixed"
autodoc_inherit_docstrings = True
add_module_names = False
maximum_signature_line_length = 80
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = f"linereactor {release}"
html_static_path = [str(pathlib.Path(__file__).parent / "static")]
html_css_files = ["own.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_show_copyright = False
html_use_index = True
html_domain_indices = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b5cad", "color-brand-content": "#0b5cad"},
    "dark_css_variables": {"color-brand-primary": "#6cb6ff", "color-brand-content": "#6cb6ff"},
    "navigation_with_keys": False,
    "top_of_page_buttons": [],
}
pygments_style = "default"
pygments_dark_style = "github-dark"


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", docstrings.process)
    app.connect("autodoc-skip-member", members.skip)
    app.connect("html-page-context", navigation.addTree, priority=100)  # before the theme asks for it
