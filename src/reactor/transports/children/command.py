"""The command of a child process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from reactor.interfaces import Environment, Text


class Command(NamedTuple):
    """A program to run: see ReactorBase.spawnProcess."""

    executable: Text
    args: Sequence[Text]
    env: Environment | None
    path: Text | None
    uid: int | None
    gid: int | None
