"""Builds the one extension, the line core. REACTOR_PURE=1 builds none, nor does a Python that is not CPython."""

import hashlib
import os
import pathlib
import sys

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SOURCE = "src/_linebuf.pyx"


class BuildLineCore(build_ext):
    def build_extension(self, ext):
        try:
            super().build_extension(ext)
        except Exception as error:
            hint = "The line core could not be compiled. REACTOR_PURE=1 in the environment builds without it."
            raise SystemExit(f"{error}\n\n{hint}") from error


def lineCore():
    digest = hashlib.sha256(pathlib.Path(__file__).with_name("src").joinpath("_linebuf.pyx").read_bytes()).hexdigest()
    return Extension("reactor._linebuf", [SOURCE], define_macros=[("LINEBUF_SOURCE_HASH", f'"{digest}"')])


pure = os.environ.get("REACTOR_PURE") == "1" or sys.implementation.name != "cpython"
setup(ext_modules=[] if pure else [lineCore()], cmdclass={"build_ext": BuildLineCore})
