"""Programs of Twisted's, moved to this package: their imports are written anew, and the names that are left are told.

`portSource` is for the bytes of one file, `portPaths` for files and directories. `linereactor port` is the command.
"""

from __future__ import annotations

from reactor._faces import publish
from reactor.porting.files import filesOf
from reactor.porting.paths import Report, portPaths
from reactor.porting.rewriting import Finding, Ported, portSource
from reactor.porting.source import UnreadableError

__all__ = ["Finding", "Ported", "Report", "UnreadableError", "filesOf", "portPaths", "portSource"]

publish(globals())
