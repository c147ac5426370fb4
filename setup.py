"""Builds the extensions of the line core. REACTOR_PURE=1 builds none, nor does a Python that is not CPython."""

import hashlib
import os
import pathlib
import sys

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

HERE = pathlib.Path(__file__).parent
MODULES = ("_announcing", "_sending", "_linebuf")
# All that the extensions are made from. Cython looks for a .pxd where the package has its module.
SOURCES = [path for pattern in ("src/*.pyx", "src/*.h", "src/reactor/*.pxd") for path in sorted(HERE.glob(pattern))]

# Symbols for a debugger are three quarters of an extension. REACTOR_SYMBOLS=1 keeps them.
STRIP = {"linux": ["-Wl,--strip-all"], "darwin": ["-Wl,-S,-x"]}.get(sys.platform, [])


class BuildLineCore(build_ext):
    def build_extension(self, ext):
        try:
            super().build_extension(ext)
        except Exception as error:
            hint = "The line core could not be compiled. REACTOR_PURE=1 in the environment builds without it."
            raise SystemExit(f"{error}\n\n{hint}") from error


def lineCore():
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in SOURCES)).hexdigest()
    return [
        Extension(
            f"reactor.{name}",
            [f"src/{name}.pyx"],
            include_dirs=["src"],
            extra_link_args=[] if os.environ.get("REACTOR_SYMBOLS") == "1" else STRIP,
            define_macros=[("LINE_SOURCE_HASH", f'"{digest}"')],
            depends=[str(path.relative_to(HERE)) for path in SOURCES],
        )
        for name in MODULES
    ]


pure = os.environ.get("REACTOR_PURE") == "1" or sys.implementation.name != "cpython"
setup(ext_modules=[] if pure else lineCore(), cmdclass={"build_ext": BuildLineCore})
