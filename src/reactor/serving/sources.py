"""The sources of a configuration: the command line, the environment, and a TOML file.

Each source is a dict from keys to Given values. Mistakes are collected, not raised, so that `check` tells all of them.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from reactor._logger import escaped, shortened
from reactor.serving.errors import reasonOf
from reactor.serving.setting import PLACE, VARIABLE, Setting
from reactor.serving.settings import BY_KEY, TABLE_KEYS, TOP_KEYS, nearest, outsideSettings
from reactor.serving.values import TEXT, WrongValue, checkNoNUL, described

# Variables between a supervisor and its workers, which are no options.
INTERNAL = ("CONTROL", "WORKER", "GENERATION", "SOCKETS")
LARGEST_FILE = 1 << 20  # bytes
TYPING_ERROR = 0.8  # how like a known variable an unknown one is, so that it counts as a mistake


class Given(NamedTuple):
    """A value, and the place where it was given: `--max-line`, `LINEREACTOR_MAX_LINE`, `F: listen[0].max-line`.

    `isOwn` tells whether it stands in a [[listen]] table.
    """

    value: Any
    place: str
    isOwn: bool = False


Source: TypeAlias = dict[str, Given]


class Mistake(NamedTuple):
    """A mistake at a place of the configuration."""

    place: str
    text: str

    def __str__(self) -> str:
        return escaped(f"{self.place}: {self.text}" if self.place else self.text)


@dataclass
class FileSource:
    """A TOML file: the values above the first table, and those of each [[listen]] table."""

    top: Source = field(default_factory=dict)
    tables: list[Source] = field(default_factory=list)


def fromCommandLine(options: Mapping[str, Any], mistakes: list[Mistake]) -> Source:
    """Return the values of the command line. `options` are texts by the settings' names; None: not given."""
    found: Source = {}
    for setting in outsideSettings():
        given = options.get(setting.name)
        if given is None:
            continue
        place = setting.option
        if isinstance(given, bool):
            found[setting.key] = Given(given, place if given else f"--no-{setting.key}")
        else:
            _convert(setting, given if setting.repeatable else [given], place, found, mistakes)
    return found


def fromEnvironment(environ: Mapping[str, str], mistakes: list[Mistake]) -> Source:
    """Return the values of the variables LINEREACTOR_... The values of a repeatable option are between commas.

    An empty variable counts as not set. A variable that is nearly one of ours is a mistake; others are left alone.
    """
    found: Source = {}
    known = {setting.variable: setting for setting in outsideSettings()}
    isOfSupervisor = VARIABLE + INTERNAL[0] in environ
    for variable, text in sorted(environ.items()):
        setting = known.get(variable)
        if setting is not None:
            if text:
                texts = [each.strip() for each in text.split(",")] if setting.repeatable else [text]
                _convert(setting, texts, variable, found, mistakes)
        elif variable.startswith(VARIABLE):
            name = variable.removeprefix(VARIABLE)
            names = [each.removeprefix(VARIABLE) for each in known]
            meant = None if isOfSupervisor and name.startswith(INTERNAL) else _meant(name, names)
            if meant is not None:
                mistakes.append(Mistake(variable, f"no such variable; {VARIABLE}{meant} is one"))
    return found


def _meant(name: str, names: list[str]) -> str | None:
    """Return the name of an option that `name` nearly is, None if there is none."""
    plain = name.upper().replace("-", "_")
    return next((each for each in names if _isOneSlip(plain, each)), None) or nearest(plain, names, TYPING_ERROR)


def _isOneSlip(name: str, known: str) -> bool:
    """Whether both are equal but for one wrong letter, or two neighbours that are swapped.

    A letter more or fewer makes the names so much alike that nearest() finds it. In a short name the others do not.
    """
    if len(name) != len(known):
        return False
    wrong = [at for at, (one, other) in enumerate(zip(name, known, strict=True)) if one != other]
    if len(wrong) == 2:
        first, second = wrong
        return second == first + 1 and name[first] == known[second] and name[second] == known[first]
    return len(wrong) < 2


def _convert(setting: Setting, texts: Iterable[str], place: str, found: Source, mistakes: list[Mistake]) -> None:
    values = []
    for text in texts:
        try:
            values.append(setting.fromText(text))
        except WrongValue as error:
            mistakes.append(Mistake(place, str(error)))
            return
    found[setting.key] = Given(tuple(values) if setting.repeatable else values[0], place)


def fromFile(path: str, mistakes: list[Mistake]) -> FileSource:
    """Return the values of the TOML file at `path`."""
    found = FileSource()
    try:
        data = _contentOf(path)
        text = data.decode()
        document = tomllib.loads(text)
    except (OSError, _Unreadable) as error:
        mistakes.append(Mistake("", f"cannot read {path}: {reasonOf(error)}"))
        return found
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        mistakes.append(Mistake(f"{path}: line {line}", "the file is no UTF-8"))
        return found
    except (ValueError, RecursionError) as error:  # ValueError is also that of a number with too many digits
        mistakes.append(_syntaxMistake(path, str(error)))
        return found
    _Reader(path, Lines(text), mistakes).read(document, found)
    return found


class _Unreadable(Exception):
    """The file of a configuration is none, or too large."""


def _contentOf(path: str) -> bytes:
    """Return the bytes of a regular file. Another one, for example a FIFO, could make a reload wait for ever."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise _Unreadable("it is no regular file")
        data = file.read(LARGEST_FILE + 1)
    if len(data) > LARGEST_FILE:
        raise _Unreadable(f"it has more than {LARGEST_FILE} bytes")
    return data


def _syntaxMistake(path: str, text: str) -> Mistake:
    """Return the mistake for an error of tomllib, whose text ends in the place."""
    at = re.search(r"\(at (?:line (\d+), column (\d+)|(end of document))\)$", text)
    if at is None:
        return Mistake(path, f"not valid TOML: {text}")
    place = "at its end" if at[3] else f"line {at[1]}, column {at[2]}"
    said = text[: at.start()].strip()
    return Mistake(f"{path}: {place}", f"not valid TOML: {said[:1].lower()}{said[1:]}")


class Lines:
    """The lines on which the keys of a file stand, as far as a simple search finds them."""

    def __init__(self, text: str) -> None:
        self._found: dict[tuple[int, str], int] = {}
        table, isInside = -1, True
        for number, line in enumerate(text.split("\n"), 1):
            if re.match(r"\s*\[\[\s*[\"']?listen[\"']?\s*\]\]", line):
                table, isInside = table + 1, True
                self._found[table, ""] = number
            elif other := re.match(r"\s*\[\[?\s*[\"']?([\w-]+)", line):
                isInside = False  # a table of another name, for example of arguments
                self._addTable(line, other[1], table, number)
            elif isInside and (key := re.match(r"\s*[\"']?([\w-]+)[\"']?\s*[=.]", line)):
                self._found.setdefault((table, key[1]), number)

    def _addTable(self, line: str, name: str, table: int, number: int) -> None:
        """Note the line of a table that is no [[listen]]: it may be a key of one, as [listen.arguments] is."""
        inner = re.match(r"\s*\[\[?\s*[\"']?listen[\"']?\s*\.\s*[\"']?([\w-]+)", line)
        if inner is not None and table >= 0:
            self._found.setdefault((table, inner[1]), number)
        else:
            self._found.setdefault((-1, name), number)

    def told(self, table: int, key: str) -> str:
        """Return the line of a key of a table (-1: above the tables) or of the table itself, as text behind a file."""
        number = self._found.get((table, key)) or self._found.get((table, ""))
        return "" if number is None else f" (line {number})"


class _Reader:
    """Reads a document into a FileSource."""

    def __init__(self, path: str, lines: Lines, mistakes: list[Mistake]) -> None:
        self._path = path
        self._lines = lines
        self._mistakes = mistakes

    def read(self, document: Mapping[str, Any], found: FileSource) -> None:
        """Read all."""
        document = dict(document)
        listen = document.get("listen")
        if isinstance(listen, list) and listen and all(isinstance(each, dict) for each in listen):
            del document["listen"]
            for number, table in enumerate(listen):
                found.tables.append(self._table(table, number))
        elif isinstance(listen, dict):
            del document["listen"]
            self._tell(-1, "listen", "one table in single brackets: write [[listen]]")
        for key, value in document.items():
            self._keep(-1, key, value, found.top)

    def _table(self, table: Mapping[str, Any], number: int) -> Source:
        source: Source = {}
        for key, value in table.items():
            self._keep(number, key, value, source)
        if "endpoint" not in table and "service" not in table:
            self._tell(number, "", 'an endpoint is needed, for example endpoint = "tcp:7000"')
        return source

    def _keep(self, table: int, key: str, value: Any, source: Source) -> None:
        known = TOP_KEYS if table < 0 else TABLE_KEYS
        setting = BY_KEY.get(key)
        if setting is None or key not in known:
            self._tell(table, key, _unknown(setting, key, known, table))
            return
        try:
            kept = endpointsFrom(value) if key == "endpoint" else setting.fromFile(value)
        except WrongValue as error:
            self._tell(table, key, str(error))
        else:
            source[key] = Given(kept, self._place(table, key), table >= 0)

    def _place(self, table: int, key: str) -> str:
        told = shortened(key)
        name = told if table < 0 else f"listen[{table}].{told}" if key else f"listen[{table}]"
        return f"{self._path}: {name}{self._lines.told(table, key)}"

    def _tell(self, table: int, key: str, text: str) -> None:
        self._mistakes.append(Mistake(self._place(table, key), text))


def _unknown(setting: Setting | None, key: str, known: Iterable[str], table: int) -> str:
    """Return the text about a key that has no place here."""
    if setting is not None and setting.scope == PLACE:
        return "a key of a [[listen]] table, which does not stand above the tables"
    if setting is not None and setting.inFile and table >= 0:
        return "a key for the whole server: write it above the first [[listen]]"
    if setting is not None:
        return "an option that a file does not have"
    meant = nearest(key.replace("_", "-").lower(), known)
    return "no such key" if meant is None else f"no such key; the nearest is {meant}"


def endpointsFrom(value: Any) -> tuple[str, ...]:
    """Return the endpoints of a table: one, or an array. WrongValue for another type."""
    listed = value if isinstance(value, list) else [value]
    for each in listed:
        if not isinstance(each, str) or not each:
            raise WrongValue(f"must be {TEXT.wanted}, or an array of them, not {described(each)}")
        checkNoNUL(each)
    if not listed:
        raise WrongValue("an array without an endpoint is of no use")
    return tuple(listed)
