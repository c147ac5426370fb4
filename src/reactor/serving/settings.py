"""The table of all options of `serve`: for the command line, the file and the environment."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Any

from reactor.service.configuration import LEAST_WATCHDOG
from reactor.serving import values
from reactor.serving.logformats import LOG_FORMATS
from reactor.serving.logs import LEVELS
from reactor.serving.placesettings import PLACE_SETTINGS
from reactor.serving.setting import CONFIGURATION, GRACE, LISTEN, PLACE, PROCESS, PROCESSES, SIGHT, Setting
from reactor.serving.values import FLAG, NUMBER, WHOLE, WHOLE_OR_TEXT, wholeNumber

CELL = 15  # words of a table's cell in the documents

_count = wholeNumber(1)

SETTINGS: tuple[Setting, ...] = (
    *PLACE_SETTINGS,
    # processes
    Setting(
        "workers",
        PROCESSES,
        "run N processes, or one for each core (auto), below a supervisor (default none, one process)",
        PROCESS,
        values.workers,
        WHOLE_OR_TEXT,
        metavar="N",
    ),
    Setting(
        "threads",
        PROCESSES,
        "run a reactor in each of N threads of a worker (needs a free-threaded Python; means workers)",
        PROCESS,
        wholeNumber(1, 1024),
        WHOLE,
        metavar="N",
    ),
    Setting(
        "loop",
        PROCESSES,
        "the event loop (default epoll, or the application's own)",
        PROCESS,
        choices=("epoll", "asyncio", "uvloop"),
    ),
    Setting(
        "grace",
        PROCESSES,
        "seconds in which connections end in order after a signal (default 5)",
        PROCESS,
        values.positive("seconds", low=0.001),
        NUMBER,
        metavar="S",
        default=GRACE,
    ),
    Setting(
        "watchdog",
        PROCESSES,
        "replace a worker whose loop has not turned for S seconds",
        PROCESS,
        values.positive("seconds", low=LEAST_WATCHDOG),
        NUMBER,
        metavar="S",
    ),
    Setting(
        "max-lines",
        PROCESSES,
        "replace a worker after about N lines",
        PROCESS,
        _count,
        WHOLE,
        metavar="N",
    ),
    Setting(
        "max-lifetime",
        PROCESSES,
        "replace a worker after about S seconds",
        PROCESS,
        values.positive("seconds", low=1.0),
        NUMBER,
        metavar="S",
    ),
    Setting("user", PROCESSES, "become this user when the ports are open", PROCESS, values.filled("a user")),
    Setting("group", PROCESSES, "become this group when the ports are open", PROCESS, values.filled("a group")),
    Setting(
        "reload",
        PROCESSES,
        "for development: reload when a file of the program changes (needs linereactor[reload])",
        PROCESS,
        form=FLAG,
    ),
    # sight
    Setting(
        "admin",
        SIGHT,
        "serve health, metrics and a status page here, for example 127.0.0.1:7070 or unix:PATH",
        PROCESS,
        values.place,
        metavar="PLACE",
    ),
    Setting(
        "slow-callback",
        SIGHT,
        "log and count callbacks that take more than MS milliseconds",
        PROCESS,
        values.positive("milliseconds", low=0.001),
        NUMBER,
        metavar="MS",
    ),
    Setting(
        "log-level",
        SIGHT,
        "lowest level of the log (default warning)",
        PROCESS,
        choices=LEVELS,
        default="warning",
    ),
    Setting(
        "log-format",
        SIGHT,
        "lines of text (the default), or objects of JSON",
        PROCESS,
        choices=LOG_FORMATS,
        default="text",
    ),
    Setting(
        "log-file",
        SIGHT,
        "file for the log, in place of standard error; USR1 opens it anew",
        PROCESS,
        values.filled("a file"),
        metavar="FILE",
    ),
    Setting("log-connections", SIGHT, "log a line for each connection at its end", PROCESS, form=FLAG),
    # configuration
    Setting(
        "config",
        CONFIGURATION,
        "TOML file with these options as keys; the command line and the environment win over it",
        PROCESS,
        values.filled("a file"),
        metavar="FILE",
        inFile=False,
    ),
)

BY_KEY = {setting.key: setting for setting in SETTINGS}

# The keys of a [[listen]] table, and those above the first one.
TABLE_KEYS = tuple(each.key for each in SETTINGS if each.scope in (LISTEN, PLACE))
TOP_KEYS = tuple(each.key for each in SETTINGS if each.scope != PLACE and each.inFile)

# An application is named by one of these. A source that has one of them hides the others of weaker sources.
CHOICE = ("app", "http", "service")


def outsideSettings() -> Iterator[Setting]:
    """Return the settings that the command line and the environment have."""
    return (setting for setting in SETTINGS if setting.outside)


def nearest(name: str, known: Iterable[str], cutoff: float = 0.7) -> str | None:
    """Return the name of `known` that is most like `name`, None if none is."""
    found = difflib.get_close_matches(name, list(known), 1, cutoff)
    return found[0] if found else None


def optionTable() -> list[str]:
    """Return the rows of the table of options in docs/command.md."""
    rows = ["| option, and key of a file | value in a file | where | meaning |", "| - | - | - | - |"]
    for setting in SETTINGS:
        option = f"`{setting.option}`" if setting.outside else f"key `{setting.key}`"
        if setting.key == "app":
            option = "`APP`, key `app`"
        if setting.form is FLAG:
            option += f", `--no-{setting.key}`"
        value = " or ".join(f"`{choice}`" for choice in setting.choices) or setting.form.wanted
        if setting.repeatable or setting.key == "endpoint":
            value = "an array of texts" if setting.repeatable else "a text, or an array of texts"
        where = {PROCESS: "top", LISTEN: "top, table", PLACE: "table"}[setting.scope] if setting.inFile else "no file"
        meaning = setting.help.partition(". ")[0]
        if len(meaning.split()) > CELL:
            meaning = re.split(r"[:;] | \(", meaning)[0]
        rows.append(f"| {option} | {value} | {where} | {meaning} |")
    return rows


def addOptions(parser: argparse.ArgumentParser) -> None:
    """Add every option to `parser`, in groups. Each stays a text; one that is not given is None."""
    groups: dict[str, Any] = {}
    for setting in outsideSettings():
        if setting.key == "app":
            parser.add_argument("app", nargs="?", metavar="APP", help=setting.help)
            continue
        if setting.group not in groups:
            groups[setting.group] = parser.add_argument_group(setting.group)
        add = groups[setting.group].add_argument
        if setting.form is FLAG:
            add(
                setting.option,
                dest=setting.name,
                action=argparse.BooleanOptionalAction,
                default=None,
                help=setting.help,
            )
            continue
        shown = setting.metavar or ("|".join(setting.choices) or setting.key.upper())
        action = "append" if setting.repeatable else "store"
        add(setting.option, dest=setting.name, action=action, metavar=shown, help=setting.help)
