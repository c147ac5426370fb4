"""The levels of `twisted.logger`, each with its number in `logging`."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import ClassVar


class InvalidLogLevelError(Exception):
    """There is no level of this name."""


@functools.total_ordering
class LogLevel:
    """A level: `name` is a text, `number` is that of `logging`. The levels are attributes of the class."""

    debug: ClassVar[LogLevel]
    info: ClassVar[LogLevel]
    warn: ClassVar[LogLevel]
    error: ClassVar[LogLevel]
    critical: ClassVar[LogLevel]

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.number = number

    def __repr__(self) -> str:
        return f"<LogLevel={self.name}>"

    def __lt__(self, other: LogLevel) -> bool:
        return self.number < other.number

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return hash(self.name)

    @classmethod
    def levelWithName(cls, name: str) -> LogLevel:
        """Return the level `name`. InvalidLogLevelError if there is none."""
        for level in LEVELS:
            if level.name == name:
                return level
        raise InvalidLogLevelError(name)

    @classmethod
    def lookupByName(cls, name: str) -> LogLevel:
        """Return the level `name`. ValueError if there is none."""
        for level in LEVELS:
            if level.name == name:
                return level
        raise ValueError(name)

    @classmethod
    def iterconstants(cls) -> Iterable[LogLevel]:
        """Return all levels, from debug to critical."""
        return iter(LEVELS)


LogLevel.debug = LogLevel("debug", 10)
LogLevel.info = LogLevel("info", 20)
LogLevel.warn = LogLevel("warn", 30)
LogLevel.error = LogLevel("error", 40)
LogLevel.critical = LogLevel("critical", 50)
LEVELS = (LogLevel.debug, LogLevel.info, LogLevel.warn, LogLevel.error, LogLevel.critical)


def levelOf(number: int) -> LogLevel:
    """Return the highest level whose number in `logging` is no higher than `number`, at least debug."""
    found = [level for level in LEVELS if level.number <= number]
    return found[-1] if found else LogLevel.debug
