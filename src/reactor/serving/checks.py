"""Mistakes between the values of a configuration: keys that need others, and keys that exclude others."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from typing import Any

from reactor._gil import hasGIL
from reactor._logger import shortened
from reactor.service.privileges import PrivilegeError, identityOf
from reactor.serving.apps import BUILT_IN, LINE_OPTIONS, checkHandlerName, splitName
from reactor.serving.collecting.settings import OPTIONS, CollectSettings, checkSettings
from reactor.serving.endpointstrings import LOOPBACK, TWICE, endpointReason, parsed
from reactor.serving.errors import CommandError, isOfCommandLine
from reactor.serving.settings import CHOICE
from reactor.serving.sources import Given, Mistake, Source

# Keys that belong to one built-in application.
OF_COLLECT = ("output", *(name.replace("_", "-") for name in OPTIONS))
OF_APPLICATION = {"root": "files", **dict.fromkeys(OF_COLLECT, "collect")}
OF_LINES = ("delimiter", "max-line", "overlong")
OF_SERVICE = (*CHOICE, "name", "arguments")
OF_TLS = ("key", "client-ca", "tls-minimum", "session-tickets")
OF_WORKERS = ("watchdog", "max-lines", "max-lifetime")
_ECHO = Given("echo", "")
EXTRAS = {"reload": "watchfiles", "uvloop": "uvloop"}  # the extra, and the module that it installs


def whole(process: Source, places: list[Source], mistakes: list[Mistake]) -> None:
    """Check a whole configuration: the values of the process, and of each place to listen."""
    mistakes.extend((*_ofProcess(process, places), *_unused(places)))
    for place in places:
        isOnly = len(places) == 1
        mistakes.extend(_ofApplication(place, isOnly))
        mistakes.extend(_ofEndpoints(place))
        mistakes.extend(_ofTLS(place, isOnly))
    mistakes.extend(_twice(places))


def applicationOf(place: Source) -> str:
    """Return the name of the application of a place to listen."""
    return next((str(place[key].value) for key in CHOICE if key in place), "echo")


def _ofProcess(process: Source, places: list[Source]) -> Iterator[Mistake]:
    hasWorkers = "workers" in process or "threads" in process or ("reload" in process and process["reload"].value)
    for key in OF_WORKERS:
        if key in process and not hasWorkers:
            yield Mistake(process[key].place, "this needs workers: the supervisor does it")
    yield from _ofThreads(process)
    yield from _ofIdentity(process)
    if "loop" in process and process["loop"].value == "uvloop" and _isMissing("uvloop"):
        yield Mistake(process["loop"].place, missingText("uvloop"))
    if "reload" in process and process["reload"].value and _isMissing("watchfiles"):
        yield Mistake(process["reload"].place, missingText("reload"))
    for place in places if hasWorkers else ():
        if place.get("app", _ECHO).value == "chat":
            yield Mistake(place["app"].place, "chat is one room in one process, which workers cannot share")
        if "service" in place:
            text = "an application of services opens its own ports, which workers cannot share"
            yield Mistake(place["service"].place, text)
        if any(each.partition(":")[0] == "stdio" for each in _endpointsOf(place)):
            text = "stdio: is one connection of one process, which workers cannot share"
            yield Mistake(place["endpoint"].place, text)


def _ofThreads(process: Source) -> Iterator[Mistake]:
    if "threads" in process and hasGIL():
        text = "threads need a free-threaded Python with its GIL off, and this one has a GIL: take workers"
        yield Mistake(process["threads"].place, text)


def _ofIdentity(process: Source) -> Iterator[Mistake]:
    """Find a user or a group that is not there."""
    names = [process[key].value if key in process else None for key in ("user", "group")]
    if any(name is not None for name in names):
        try:
            identityOf(*names)
        except PrivilegeError as error:
            isOfGroup = "group" in process and ("user" not in process or "no group " in str(error))
            given = process["group" if isOfGroup else "user"]
            yield Mistake(given.place, str(error))


def missingText(extra: str) -> str:
    """Return the text about an extra that is not installed."""
    return f"{EXTRAS[extra]} is not installed: pip install 'linereactor[{extra}]'"


def _isMissing(module: str) -> bool:
    return importlib.util.find_spec(module) is None


def _unused(places: list[Source]) -> Iterator[Mistake]:
    """Find values for all places that fit none of them. With one place, _ofApplication finds them."""
    if len(places) < 2:
        return
    for key, application in OF_APPLICATION.items():
        given = [place[key] for place in places if key in place and not place[key].isOwn]
        if given and not any(applicationOf(place) == application for place in places):
            yield Mistake("", f"{given[0].place} is for {application} only")


def _ofApplication(place: Source, isOnly: bool) -> Iterator[Mistake]:
    name = applicationOf(place)
    chosen = [place[key] for key in CHOICE if key in place]
    if len(chosen) > 1:
        yield Mistake("", f"{chosen[1].place} names the application: leave out {chosen[0].place}")
        return
    for given in chosen:
        try:
            if "http" in place:
                checkHandlerName(name)
            elif "app" in place and name not in BUILT_IN:
                splitName(name)
        except CommandError as error:
            yield Mistake(_before(given), str(error))
            return
    if "service" in place:
        for key, given in place.items():
            if key not in OF_SERVICE and (isOnly or given.isOwn):
                yield Mistake(given.place, "an application of services opens its own ports, so this does nothing")
        return
    for key, application in OF_APPLICATION.items():
        isGiven = key in place and place[key].value is not False
        if isGiven and name != application and (isOnly or place[key].isOwn):
            yield Mistake("", f"{place[key].place} is for {application} only")
    at = _before(chosen[0]) if chosen else ""
    if name == "collect" and "output" not in place:
        yield Mistake(at, "collect needs --output FILE" if not at else "collect needs output, a file")
    if name == "files" and "root" not in place:
        yield Mistake(at, "files needs --root DIR" if not at else "files needs root, a directory")
    if name == "collect" and "output" in place:
        yield from _ofCollect(place, at)
    isWeb = name == "files" or "http" in place
    if isWeb and any(key in place and (isOnly or place[key].isOwn) for key in OF_LINES):
        yield Mistake(at, f"{LINE_OPTIONS} are for servers of lines, and {name} serves HTTP")
    if "arguments" in place and (name in BUILT_IN or not chosen):
        yield Mistake(place["arguments"].place, f"{name} takes no arguments")


def _ofCollect(place: Source, at: str) -> Iterator[Mistake]:
    """Find settings of collect that exclude each other."""
    delimiter = place["delimiter"].value.delimiter if "delimiter" in place else None
    try:
        checkSettings(collectSettingsOf(place), place["output"].value, delimiter)
    except CommandError as error:
        yield Mistake(at, str(error))


def collectSettingsOf(place: Source) -> CollectSettings:
    """Return the settings of collect of a place to listen."""
    given = {name: place[key].value for name in OPTIONS if (key := name.replace("_", "-")) in place}
    return CollectSettings(**given)


def _before(given: Given) -> str:
    """Return the place of `given` for the beginning of a mistake. The command line needs none."""
    return "" if isOfCommandLine(given.place) else given.place


def _endpointsOf(place: Source) -> tuple[str, ...]:
    return place["endpoint"].value if "endpoint" in place else ()


def _ofEndpoints(place: Source) -> Iterator[Mistake]:
    for endpoint in _endpointsOf(place):
        try:
            found = parsed(endpoint)
        except (OSError, ValueError) as error:
            yield Mistake(place["endpoint"].place, endpointReason(error))
            continue
        if found.isDatagram and applicationOf(place) != "collect":
            yield Mistake(place["endpoint"].place, f"{found.kind} is for collect only")
        if found.isProxied and "proxy" in place:
            yield Mistake(place["endpoint"].place, TWICE)
        if found.kind in ("ssl", "tls", "stdio") and "cert" in place and place["cert"].isOwn:
            yield Mistake(place["cert"].place, f"a {found.kind} endpoint has no place for this: take tcp")


def _ofTLS(place: Source, isOnly: bool) -> Iterator[Mistake]:
    for key in OF_TLS:
        if key in place and "cert" not in place and (isOnly or place[key].isOwn):
            yield Mistake(place[key].place, "this needs cert, the certificate of TLS")
    if "proxy-before-tls" in place and "proxy" not in place and (isOnly or place["proxy-before-tls"].isOwn):
        yield Mistake(place["proxy-before-tls"].place, "this needs proxy, the networks of the balancers")


def _twice(places: Iterable[Source]) -> Iterator[Mistake]:
    """Find endpoints that are given twice. A port of 0 is another one each time."""
    seen: list[tuple[str, dict[str, Any]]] = []
    for place in places:
        for endpoint in _endpointsOf(place):
            try:
                kind, _make, arguments = parsed(endpoint)
            except (OSError, ValueError):
                continue
            where = {key: value for key, value in arguments.items() if key in ("port", "interface", "address")}
            if kind in LOOPBACK:
                where["interface"] = where.get("interface") or LOOPBACK[kind]
            if where and where.get("port") != 0:
                if (kind, where) in seen:
                    yield Mistake(place["endpoint"].place, f"the endpoint {shortened(endpoint)} is given twice")
                seen.append((kind, where))
