"""From the sources of a configuration to a Plan, with one order of precedence.

The order is: the command line, the environment, the file, the default. It holds for each option by itself, also over
what a [[listen]] table has. In the file, a table wins over the values above the tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reactor.serving import checks
from reactor.serving.errors import USAGE, CommandError
from reactor.serving.plan import ListenPlan, Plan
from reactor.serving.setting import LISTEN, PROCESS, camelCase
from reactor.serving.settings import CHOICE, SETTINGS
from reactor.serving.sources import (
    FileSource,
    Given,
    Mistake,
    Source,
    fromCommandLine,
    fromEnvironment,
    fromFile,
)

LISTEN_KEYS = tuple(setting.key for setting in SETTINGS if setting.scope == LISTEN)
PROCESS_KEYS = tuple(setting.key for setting in SETTINGS if setting.scope == PROCESS and setting.key != "listen")
OF_PLACE = ("host", "port")  # these have the scope of the process, and make one place


@dataclass
class Loaded:
    """A configuration that was read. `plan` is None if there are mistakes.

    `process` has the values of the whole server, and `origins` those of each of the plan's listeners, with the places
    where they were given.
    """

    plan: Plan | None = None
    mistakes: list[Mistake] = field(default_factory=list)
    process: Source = field(default_factory=dict)
    origins: list[Source] = field(default_factory=list)


def load(options: Mapping[str, Any], environ: Mapping[str, str]) -> Loaded:
    """Read the configuration. `options` are those of the command line, texts by the settings' names (None: not given).

    The file is the one that --config or LINEREACTOR_CONFIG names.
    """
    loaded = Loaded()
    mistakes = loaded.mistakes
    levels = [fromCommandLine(options, mistakes), fromEnvironment(environ, mistakes)]
    config = _first("config", levels)
    file = FileSource() if config is None else fromFile(config.value, mistakes)
    process = {key: found for key in PROCESS_KEYS if (found := _first(key, [*levels, file.top])) is not None}
    loaded.process = process
    loaded.origins = listeners(levels, file, process, mistakes)
    checks.whole(process, loaded.origins, mistakes)
    if not mistakes:
        loaded.plan = _plan(process, loaded.origins)
    return loaded


def planOf(options: Mapping[str, Any], environ: Mapping[str, str]) -> Plan:
    """Return the plan of a configuration. CommandError with the first mistake if there is one."""
    loaded = load(options, environ)
    if loaded.plan is None:
        first, *more = dict.fromkeys(map(str, loaded.mistakes))
        rest = f" (and {len(more)} more: linereactor check tells all)" if more else ""
        raise CommandError(f"{first}{rest}", USAGE)
    return loaded.plan


def _first(key: str, sources: list[Source]) -> Given | None:
    """Return the value of the strongest source that has one."""
    return next((source[key] for source in sources if key in source), None)


def listeners(levels: list[Source], file: FileSource, process: Source, mistakes: list[Mistake]) -> list[Source]:
    """Return the values of each place to listen.

    --listen or its variable replaces the tables of the file. --host and --port are one more place.
    """
    listen = _first("listen", [*levels, file.top])
    isOne = any(key in process for key in OF_PLACE)
    tables = file.tables
    if tables and any(key in file.top for key in OF_PLACE):
        key = next(key for key in OF_PLACE if key in file.top)
        mistakes.append(Mistake(file.top[key].place, "no key beside [[listen]] tables: an endpoint has its address"))
    if listen is not None or not tables:
        one = {} if listen is None else {"endpoint": listen}
        return [_named(_listener(levels, one, file.top, process), set())]
    found = [_listener(levels, table, file.top, {}) for table in tables]
    if isOne:
        found.append(_listener(levels, {}, file.top, process))
    names = {source["name"].value for source in found if "name" in source}
    _checkNames(found, mistakes)
    return [_named(source, names) for source in found]


def _listener(levels: list[Source], table: Source, top: Source, process: Source) -> Source:
    """Return the values of one place to listen."""
    sources = [*levels, table, top]
    found = {key: given for key in LISTEN_KEYS if (given := _first(key, sources)) is not None}
    found.update({key: table[key] for key in ("name", "endpoint") if key in table})
    found.update({key: process[key] for key in OF_PLACE if key in process})
    _chooseApplication(sources, found)
    return found


def _chooseApplication(sources: list[Source], found: Source) -> None:
    """Keep the application of the strongest source that has one, and the arguments of the same or a stronger one."""
    for number, source in enumerate(sources):
        if any(key in source for key in CHOICE):
            for key in CHOICE:
                found.pop(key, None)
            found.update({key: source[key] for key in CHOICE if key in source})
            arguments = _first("arguments", sources[: number + 1])
            found.pop("arguments", None)
            if arguments is not None:
                found["arguments"] = arguments
            return


def _checkNames(found: list[Source], mistakes: list[Mistake]) -> None:
    names: set[str] = set()
    for source in found:
        if "name" in source and source["name"].value in names:
            mistakes.append(Mistake(source["name"].place, "another place has this name"))
        elif "name" in source:
            names.add(source["name"].value)


def _named(source: Source, names: set[str]) -> Source:
    """Give `source` a name that is not in `names`, if it has none: its application's, perhaps with a number."""
    if "name" not in source:
        wanted = next((source[key].value for key in CHOICE if key in source), "echo")
        name, number = wanted, 1
        while name in names:
            number += 1
            name = f"{wanted}-{number}"
        source["name"] = Given(name, "")
        names.add(name)
    return source


def _plan(process: Source, origins: list[Source]) -> Plan:
    values: dict[str, Any] = {key: given.value for key, given in process.items() if key not in OF_PLACE}
    if (values.get("reload") or "threads" in values) and "workers" not in values:
        values["workers"] = 1
    made = tuple(_listenPlan(source, len(origins) > 1) for source in origins)
    return Plan(listeners=made, **{camelCase(key): value for key, value in values.items()})


def _listenPlan(source: Source, isOneOfSeveral: bool) -> ListenPlan:
    values: dict[str, Any] = {camelCase(key): given.value for key, given in source.items() if key != "endpoint"}
    inherited = frozenset(camelCase(key) for key in source if isOneOfSeveral and not source[key].isOwn)
    endpoints = source["endpoint"].value if "endpoint" in source else ()
    places = {key: given.place for key, given in source.items() if given.place}
    return ListenPlan(endpoints=endpoints, inherited=inherited, places=places, **values)
