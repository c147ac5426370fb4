"""`twisted.python.usage`: options of a command line, on getopt.

A subclass of Options declares `optFlags`, rows of (long, short, text), and `optParameters`, rows of (long, short,
default, text, coerce). It may have methods `opt_name`, which are called with the value, or with nothing if they take no
argument. The parsed options are the items of the object, which is a dict.
"""

from __future__ import annotations

import getopt
import inspect
import os
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

OPT_PREFIX = "opt_"
INDENT = 30  # columns of the texts in a help page
WIDTH = 80


class UsageError(Exception):
    """The command line is wrong. Its text is for the user."""


error = getopt.error


class Completions:
    """Kept for programs that declare how a shell completes their options. Nothing here reads it."""

    def __init__(self, **kw: Any) -> None:
        self.__dict__.update(kw)


class CompleteFiles(Completions):
    """See Completions."""

    def __init__(self, globPattern: str = "*", **kw: Any) -> None:
        super().__init__(globPattern=globPattern, **kw)


class CompleteDirs(Completions):
    """See Completions."""


class _Option(NamedTuple):
    longs: tuple[str, ...]
    shorts: tuple[str, ...]
    text: str
    takesValue: bool
    call: Callable[[str], None]
    default: Any = None


class Options(dict[str, Any]):
    """Options of a command, or of one of its subCommands. See the module.

    `synopsis` and `longdesc` are texts of the help page. `subCommands` are rows of (name, short, class, text);
    `defaultSubCommand` is a name, or None. After parseOptions, `subCommand` is the name that was given and `subOptions`
    are its options. `parent` are the options of the command around it, or None.
    """

    subCommand: str | None = None
    defaultSubCommand: str | None = None
    parent: Options | None = None
    subOptions: Options | None = None

    def __init__(self) -> None:
        super().__init__()
        self.opts = self
        self.defaults: dict[str, Any] = {}
        self._options: list[_Option] = []
        for row in self._rows("optFlags"):
            self._addFlag(*_padded(row, 3))
        for row in self._rows("optParameters"):
            self._addParameter(*_padded(row, 5))
        self._addMethods()

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)

    def _rows(self, name: str) -> list[Sequence[Any]]:
        found: list[Sequence[Any]] = []
        for kind in reversed(type(self).__mro__):
            found += vars(kind).get(name, ())
        return found

    def _addFlag(self, long: str, short: str | None, text: str | None) -> None:
        def setFlag(_: str) -> None:
            self[long] = 1

        self[long] = self.defaults[long] = 0
        self._options.append(_Option((long,), (short,) if short else (), text or "", False, setFlag))

    def _addParameter(self, long: str, short: str | None, default: Any, text: str | None, coerce: Any) -> None:
        def setValue(value: str) -> None:
            try:
                self[long] = value if coerce is None else coerce(value)
            except ValueError as wrong:
                raise UsageError(f"Parameter type enforcement failed: {wrong}") from wrong

        self[long] = self.defaults[long] = default
        self._options.append(_Option((long,), (short,) if short else (), text or "", True, setValue, default))

    def _addMethods(self) -> None:
        """Add the opt_ methods. Two names of one method are one option; a name of one character is a short option.

        A method takes the place of a flag or a parameter of its name, whose default stays.
        """
        names: dict[Any, list[str]] = {}
        for name in dir(type(self)):
            if name.startswith(OPT_PREFIX) and callable(getattr(type(self), name)):
                names.setdefault(getattr(type(self), name), []).append(name[len(OPT_PREFIX) :])
        for found in names.values():
            method = getattr(self, OPT_PREFIX + found[0])
            count = len(inspect.signature(method).parameters)
            if count > 1:
                raise TypeError(f"{method!r} takes an option's value, or nothing, and no more")
            text = (getattr(method, "coverage", None) or inspect.getdoc(method) or "").split("\n\n")[0]
            longs = tuple(name.replace("_", "-") for name in found if len(name) > 1)
            shorts = tuple(name for name in found if len(name) == 1)
            call = method if count else _withoutValue(method)
            replaced = [each for each in self._options if set(each.longs) & set(longs)]
            shorts += tuple(short for each in replaced for short in each.shorts if short not in shorts)
            text = text or "".join(each.text for each in replaced)
            self._options = [each for each in self._options if each not in replaced]
            self._options.insert(0, _Option(longs, shorts, " ".join(text.split()), bool(count), call))

    def opt_version(self) -> NoReturn:
        """Display the version and exit."""
        print(f"{os.path.basename(sys.argv[0])} on Python {sys.version.split()[0]}")
        sys.exit(0)

    def opt_help(self) -> NoReturn:
        """Display this help and exit."""
        print(self)
        sys.exit(0)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse `options`, by default the arguments of the process. UsageError if they are wrong.

        The rest of the arguments goes to parseArgs, and then postOptions is called, from the innermost command outward.
        """
        arguments = list(sys.argv[1:] if options is None else options)
        found = {f"--{name}": option for option in self._options for name in option.longs}
        found |= {f"-{name}": option for option in self._options for name in option.shorts}
        longs = [name[2:] + "=" * option.takesValue for name, option in found.items() if name.startswith("--")]
        shorts = "".join(name[1:] + ":" * option.takesValue for name, option in found.items() if name[1] != "-")
        parse = getopt.getopt if self._hasSubCommands() else getopt.gnu_getopt
        try:
            pairs, rest = parse(arguments, shorts, longs)
        except getopt.error as wrong:
            raise UsageError(str(wrong)) from None
        for name, value in pairs:
            found[name].call(value)
        if self._hasSubCommands() and (rest or self.defaultSubCommand is not None):
            self._parseSubCommand(*(rest or [str(self.defaultSubCommand)]))
            return
        try:
            inspect.signature(self.parseArgs).bind(*rest)
        except TypeError:
            raise UsageError("Wrong number of arguments.") from None
        self.parseArgs(*rest)
        self.postOptions()

    def _hasSubCommands(self) -> bool:
        return bool(getattr(self, "subCommands", None))

    def _parseSubCommand(self, name: Any, *rest: str) -> None:
        for command, short, parser, _ in getattr(self, "subCommands", ()):
            if name in (command, short):
                self.subCommand = command
                self.subOptions = parser()
                self.subOptions.parent = self
                self.subOptions.parseOptions(rest)
                break
        else:
            raise UsageError(f"Unknown command: {name}")
        self.postOptions()

    def parseArgs(self, *args: str) -> None:
        """Take the arguments that are no options. A subclass names those that it takes; here none may be there."""
        if args:
            raise UsageError("Wrong number of arguments.")

    def postOptions(self) -> None:
        """Look at the options together; for subclasses. UsageError if they do not fit."""

    def getSynopsis(self) -> str:
        """Return the line that shows how the command is called, with those of the commands around it."""
        default = f"{os.path.basename(sys.argv[0])}{' [options]' if self._options else ''}"
        if self.parent is None:
            return f"Usage: {getattr(self, 'synopsis', default)}".replace("Usage: Usage:", "Usage:")
        own = getattr(self, "synopsis", "[options]")
        return f"{self.parent.getSynopsis()} {self.parent.subCommand} {own}".rstrip()

    def getUsage(self, width: int | None = None) -> str:
        """Return the help page without its first line, in lines of `width` columns."""
        columns = width or int(os.environ.get("COLUMNS") or WIDTH)
        parts = []
        if self._options:
            parts.append("Options:\n" + "".join(_shown(option, columns) for option in self._options))
        if self._hasSubCommands():
            rows = "".join(f"    {row[0]:<16}{row[3]}\n" for row in getattr(self, "subCommands", ()))
            parts.append(f"Commands:\n{rows}")
        description = getattr(self, "longdesc", None) or ""
        if description:
            parts.append(textwrap.fill(" ".join(description.split()), columns))
        return "\n".join(parts) + "\n"

    def __str__(self) -> str:
        return f"{self.getSynopsis()}\n{self.getUsage()}"


def _padded(row: Sequence[Any], count: int) -> list[Any]:
    return [*row, *[None] * (count - len(row))]


def _withoutValue(method: Callable[[], Any]) -> Callable[[str], None]:
    def call(_: str) -> None:
        method()

    return call


def _shown(option: _Option, columns: int) -> str:
    names = [f"-{name}" for name in option.shorts] + [f"--{name}" for name in option.longs]
    head = "  " + ", ".join(names) + ("=" if option.takesValue and option.longs else "")
    text = option.text + (f" [default: {option.default}]" if option.default not in (None, "") else "")
    lines = textwrap.wrap(text, max(columns - INDENT, 20)) or [""]
    if len(head) >= INDENT:
        lines.insert(0, "")
    return "".join(f"{head if index == 0 else '':<{INDENT}}{line}".rstrip() + "\n" for index, line in enumerate(lines))


def portCoerce(value: str) -> int:
    """Return a port number. ValueError if it is none, 0 to 65535."""
    port = int(value)
    if not 0 <= port <= 65535:
        raise ValueError(f"Port number not in range: {port}")
    return port


portCoerce.coerceDoc = "Must be an int between 0 and 65535."  # type: ignore[attr-defined]

__all__ = ["CompleteDirs", "CompleteFiles", "Completions", "Options", "UsageError", "error", "portCoerce"]
