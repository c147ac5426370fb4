"""Setting: one option of `serve`, with its names, its converter, and its place in the help."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from reactor._logger import quoted
from reactor.serving import values
from reactor.serving.values import FLAG, TABLE, TEXT, Form, WrongValue

HOST = "127.0.0.1"
PORT = 7000
GRACE = 5.0  # seconds
VARIABLE = "LINEREACTOR_"  # the variables of the environment begin so

# An option of the scope PROCESS counts for the whole server. One of the scope LISTEN counts for a place to listen. At
# the top of a file it is the default of all places. A key of the scope PLACE stands only in a [[listen]] table.
PROCESS, LISTEN, PLACE = "process", "listen", "place"

# The titles of the groups in --help.
APPLICATION = "the application"
PLACES = "places to listen"
LINES = "lines and time"
LIMITS = "limits of each place"
TLS = "TLS"
BALANCER = "behind a balancer (PROXY protocol)"
COLLECT = "collect"
PROCESSES = "processes"
SIGHT = "the log, and what can be seen"
CONFIGURATION = "configuration"


@dataclass(frozen=True)
class Setting:
    """An option. `key` is its name in a file; `option`, `variable` and `name` are derived from it.

    `convert` makes the value from a text, and raises WrongValue. `form` is the type of the value in a file. `default`
    is the value without a source, None if nothing is set then. A `repeatable` option has a tuple of values, which may
    be empty unless `emptyText` tells why not.
    """

    key: str
    group: str
    help: str
    scope: str = LISTEN
    convert: Callable[[str], Any] = str
    form: Form = TEXT
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    default: Any = None
    repeatable: bool = False
    inFile: bool = True
    outside: bool = True  # whether the command line and the environment have it
    emptyText: str | None = None  # the effect of an empty array in a file, if it is refused

    @property
    def option(self) -> str:
        """The option of the command line."""
        return "APP" if self.key == "app" else f"--{self.key}"

    @property
    def variable(self) -> str:
        """The variable of the environment."""
        return VARIABLE + self.key.upper().replace("-", "_")

    @property
    def name(self) -> str:
        """The name in the library, in camelCase."""
        return camelCase(self.key)

    def fromText(self, text: str) -> Any:
        """Return the value that `text` stands for. WrongValue if there is none."""
        if self.choices:
            if text not in self.choices:
                raise WrongValue(f"must be one of {', '.join(self.choices)}, not {quoted(text)}")
            return text
        return values.flag(text) if self.form is FLAG else self.convert(text)

    def fromFile(self, value: Any) -> Any:
        """Return the value for one of a TOML file. WrongValue if it has another type, or is not taken."""
        if self.repeatable:
            if not isinstance(value, list):
                raise WrongValue(f"must be an array, each item {self.form.wanted}, not {values.described(value)}")
            if not value and self.emptyText is not None:
                raise WrongValue(f"an empty array {self.emptyText}: leave the key out")
            return tuple(self._oneFromFile(each) for each in value)
        return self._oneFromFile(value)

    def _oneFromFile(self, value: Any) -> Any:
        if not isinstance(value, self.form.types) or (isinstance(value, bool) and self.form is not FLAG):
            raise WrongValue(f"must be {self.form.wanted}, not {values.described(value)}")
        if self.form in (FLAG, TABLE):
            return value
        text = value if isinstance(value, str) else values.described(value)
        values.checkNoNUL(text)
        return self.fromText(text)


def camelCase(key: str) -> str:
    """Return a name in kebab-case in camelCase."""
    return re.sub(r"-(.)", lambda found: found[1].upper(), key)
