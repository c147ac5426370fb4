"""Of `twisted.python.runtime`: the platform, and the wall clock."""

from __future__ import annotations

import os
import sys
from time import time as seconds

platformType = os.name
shortPythonVersion = ".".join(map(str, sys.version_info[:3]))


class Platform:
    """Answers about the platform, as methods."""

    type: str | None = {"posix": "posix", "nt": "win32"}.get(os.name)
    seconds = staticmethod(seconds)

    def isKnown(self) -> bool:
        """Whether the platform is known."""
        return self.type is not None

    def getType(self) -> str | None:
        """Return "posix" or "win32"."""
        return self.type

    def isWindows(self) -> bool:
        """Whether this is Windows."""
        return self.type == "win32"

    def isLinux(self) -> bool:
        """Whether this is Linux."""
        return sys.platform.startswith("linux")

    def isMacOSX(self) -> bool:
        """Whether this is macOS."""
        return sys.platform == "darwin"

    def supportsThreads(self) -> bool:
        """Return True: every Python of today has threads."""
        return True

    def supportsINotify(self) -> bool:
        """Whether `reactor.compat.inotify` works here."""
        return self.isLinux()


platform = Platform()

__all__ = ["Platform", "platform", "platformType", "seconds", "shortPythonVersion"]
