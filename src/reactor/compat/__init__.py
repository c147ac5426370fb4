"""Twisted's other names, for programs that were written for it: log, logger, ssl, usage, a TestCase, and more.

Each module here has the name of Twisted's, and the names in it that public programs use most. `linereactor port` writes
the imports. `install()` has Twisted's own protocols run on the reactor of this package. The rest of the package never
imports it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from reactor.compat.hook import install

if TYPE_CHECKING:
    from reactor.compat import abstract as abstract
    from reactor.compat import adbapi as adbapi
    from reactor.compat import asyncioreactor as asyncioreactor
    from reactor.compat import base as base
    from reactor.compat import basic as basic
    from reactor.compat import components as components
    from reactor.compat import context as context
    from reactor.compat import epollreactor as epollreactor
    from reactor.compat import inotify as inotify
    from reactor.compat import log as log
    from reactor.compat import logger as logger
    from reactor.compat import main as main
    from reactor.compat import procutils as procutils
    from reactor.compat import pycompat as pycompat
    from reactor.compat import reflect as reflect
    from reactor.compat import runtime as runtime
    from reactor.compat import ssl as ssl
    from reactor.compat import tcp as tcp
    from reactor.compat import udp as udp
    from reactor.compat import unittest as unittest
    from reactor.compat import unix as unix
    from reactor.compat import usage as usage
    from reactor.compat import util as util

_NAMES = """
abstract adbapi asyncioreactor base basic components context epollreactor inotify log logger main procutils pycompat
reflect runtime ssl tcp udp unittest unix usage util
"""
MODULES = frozenset(_NAMES.split())


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return import_module(f"{__name__}.{name}")


__all__ = ["MODULES", "install"]
