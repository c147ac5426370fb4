"""Output: what the two kinds of outputs of collect have in common."""

from __future__ import annotations

from collections.abc import Callable

from reactor.serving.errors import CommandError, reasonOf
from reactor.serving.framing import Framing

STANDARD_OUTPUT = "-"


def nothing() -> None:
    """Do nothing: the callback of an output that nothing waits for."""


class Output:
    """The output called `path`. Every method that can fail raises CommandError with one clear line.

    `taken` is called each time that nothing waits any more. `failed` is called with the error of a later write.
    `waitsFor` names the obstacle while lines wait.
    """

    waitsFor = "its reader"

    def __init__(self, path: str, framing: Framing) -> None:
        self.path = path
        self.framing = framing
        self.name = "standard output" if path == STANDARD_OUTPUT else path
        self.taken: Callable[[], object] = nothing
        self.failed: Callable[[CommandError], object] = lambda error: None

    @property
    def waits(self) -> bool:
        """Whether lines wait until they count as kept."""
        return False

    @property
    def size(self) -> int:
        """The number of bytes that were not written yet."""
        return 0

    def write(self, lines: list[bytes]) -> None:
        """Append each of `lines`, with an end."""
        raise NotImplementedError

    def reopen(self) -> None:
        """Go on with the file that the path names now. Other outputs than files stay as they are."""

    def close(self) -> None:
        """Close the output. Later calls do nothing."""
        raise NotImplementedError

    def kept(self) -> tuple[int, int]:
        """Return the number of lines and bytes that the output has taken."""
        raise NotImplementedError

    def counters(self) -> dict[str, int]:
        """Return the counters of the output, which only grow."""
        lines, size = self.kept()
        return {"keptLines": lines, "keptBytes": size}

    def _error(self, what: str, error: OSError) -> CommandError:
        return CommandError(f"cannot {what} {self.name}: {reasonOf(error)}")

    def _lostError(self, lines: int, size: int, why: str) -> CommandError:
        what = "1 line" if lines == 1 else f"{lines} lines"
        return CommandError(f"{what}, {size} bytes: lost, as {why}")
