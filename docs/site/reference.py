"""The pages of the reference: for each public module a page, on which Sphinx puts signatures and docstrings."""

from __future__ import annotations

import importlib
import inspect
import pathlib
import re
import types
from collections.abc import Iterator
from typing import Any

import reactor

TABLES = (pathlib.Path(__file__).resolve().parents[1] / "reference.md").read_text()
MODULES = (
    "reactor.defer", "reactor.task", "reactor.threads", "reactor.protocol", "reactor.linereceiver",
    "reactor.stringreceivers", "reactor.filesender", "reactor.policies", "reactor.error", "reactor.failure",
    "reactor.address", "reactor.tlsoptions", "reactor.endpoints", "reactor.utils", "reactor.stdio", "reactor.timers",
    "reactor.aio", "reactor.testing", "reactor.http", "reactor.haproxy", "reactor.service", "reactor.service.admin",
    "reactor.service.internet", "reactor.service.strports", "reactor.interfaces", "reactor.linecore",
)  # fmt: skip

# Attributes of the current reactor, which has no docstring for each.
ATTRIBUTES = {
    "running": ("bool", "True from startup to shutdown."),
    "closeCounts": (
        "Counter[type[ConnectionDone]]",
        "The number of connections that this side closed for a reason, by the reason's class.",
    ),
    "overflowCount": ("int", "The number of connections that were reset for their unsent output."),
    "skippedLineCount": ("int", "The number of lines that were too long and were skipped."),
    "nameResolver": ("IHostnameResolver", "Answers for host names; installNameResolver changes it."),
}

# Programs get these objects from functions of the package, and never make them.
TRANSPORTS = (
    ("Streams", ("tcp.TCPConnection", "tls.connection.TLSConnection", "unix.stream.UNIXConnection")),
    ("Ports and connectors", ("tcp.TCPPort", "tcp.TCPConnector", "unix.stream.UNIXPort", "unix.stream.UNIXConnector")),
    ("Datagrams", ("udp.UDPPort", "udp.MulticastPort", "unix.datagram.UNIXDatagramPort")),
    ("Child processes", ("children.process.Process", "children.process.PTYProcess")),
)


def heading(text: str, mark: str) -> str:
    return f"{text}\n{mark * len(text)}\n"


def directive(kind: str, name: str, **options: str) -> str:
    rows = "".join(f"   :{option.replace('_', '-')}: {value}".rstrip() + "\n" for option, value in options.items())
    return f".. {kind}:: {name}\n{rows}\n"


def signatureOf(method: types.MethodType) -> str:
    """The signature of a function of the package, which is a method of one object.

    autodoc would take its first argument for that object.
    """
    shown = inspect.signature(method)
    parts = []
    for parameter in shown.parameters.values():
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
        parts.append(f"{stars}{parameter.name}: {parameter.annotation}{default}")
    return f"({', '.join(parts)}) -> {shown.return_annotation}"


def hasHiddenBase(cls: type) -> bool:
    """Whether a class has a base of this package that no page describes. Its methods are then shown with the class."""
    shown = {"reactor", *MODULES}
    return any(base.__module__.startswith("reactor") and base.__module__ not in shown for base in cls.__mro__[1:])


def documented(full: str, thing: Any, isWhole: bool = False) -> str:
    """The directive for a thing of a module. With `isWhole` a class has the members of its bases, too."""
    if isinstance(thing, type):
        more = (
            {"inherited_members": "object", "exclude_members": "transport"} if isWhole or hasHiddenBase(thing) else {}
        )
        if issubclass(thing, BaseException):
            return directive("autoexception", full, show_inheritance="")
        return directive("autoclass", full, members="", undoc_members="", show_inheritance="", **more)
    if isinstance(thing, types.MethodType):
        return directive("autofunction", full + signatureOf(thing))
    if inspect.isroutine(thing):
        return directive("autofunction", full)
    return directive("autodata", full, no_value="")


def attribute(name: str) -> str:
    """An attribute of the package that is one of the current reactor."""
    kind, text = ATTRIBUTES[name]
    return f".. py:data:: {name}\n   :type: {kind}\n\n   {text}\n\n"


def ofPackage() -> str:
    (table,) = re.findall(r"<!-- names -->(.*?)<!-- /names -->", TABLES, re.DOTALL)
    parts = [heading("reactor", "="), directive("automodule", "reactor")]
    for title, names in re.findall(r"^\| ([^|]+) \| (`[^|]+) \|$", table, re.MULTILINE):
        parts.append(heading(title.strip(), "-"))
        for name in re.findall(r"`(\w+)`", names):
            isAttribute = name not in vars(reactor)
            parts.append(attribute(name) if isAttribute else documented(f"reactor.{name}", getattr(reactor, name),
                                                                        isWhole=name == "ReactorBase"))  # fmt: skip
    return "\n".join(parts)


def publicNames(module: types.ModuleType) -> list[str]:
    if hasattr(module, "__all__"):
        return list(module.__all__)
    return [
        name
        for name, thing in vars(module).items()
        if not name.startswith("_") and getattr(thing, "__module__", None) == module.__name__
    ]


def ofModule(full: str) -> str:
    module = importlib.import_module(full)
    parts = [heading(full, "="), directive("automodule", full)]
    own, also, numbers = [], [], []
    for name in sorted(publicNames(module), key=str.lower):
        thing = getattr(module, name)
        if isinstance(thing, types.ModuleType):
            continue
        if vars(reactor).get(name) is thing and full != "reactor":
            also.append(f":py:obj:`~reactor.{name}`")
        elif (
            full.startswith("reactor.service.") and vars(importlib.import_module("reactor.service")).get(name) is thing
        ):
            also.append(f":py:obj:`~reactor.service.{name}`")
        elif isinstance(thing, int) and name.isupper():
            numbers.append(f"   * - :code:`{name}`\n     - {int(thing)}\n")
        else:
            own.append(documented(f"{full}.{name}", thing))
    if also:
        parts.append("These names are described elsewhere: " + ", ".join(also) + ".\n")
    parts += own
    if numbers:
        parts += [heading("Numbers", "-"), ".. list-table::\n\n" + "".join(numbers)]
    return "\n".join(parts)


def ofTransports() -> str:
    parts = [heading("Transports", "=")]
    parts.append("Functions such as listenTCP return these. A protocol's :code:`transport` is one of them.\n")
    for title, names in TRANSPORTS:
        parts.append(heading(title, "-"))
        for name in names:
            module, _, last = f"reactor.transports.{name}".rpartition(".")
            parts.append(documented(f"{module}.{last}", getattr(importlib.import_module(module), last), isWhole=True))
    return "\n".join(parts)


def pages() -> Iterator[tuple[str, str]]:
    yield "api/reactor.rst", ofPackage()
    for full in MODULES:
        yield f"api/{full}.rst", ofModule(full)
    yield "api/transports.rst", ofTransports()


def linked(text: str) -> str:
    """docs/reference.md, each name of its tables a link to where it is described; and the list of those pages."""

    for mark, package in (
        ("names", "reactor"),
        ("haproxy-names", "reactor.haproxy"),
        ("service-names", "reactor.service"),
        ("admin-names", "reactor.service.admin"),
        ("http-names", "reactor.http"),
    ):
        before, opened, rest = text.partition(f"<!-- {mark} -->")
        table, closed, after = rest.partition(f"<!-- /{mark} -->")
        text = before + opened + re.sub(r"`(\w+)`", rf"{{py:obj}}`\1 <{package}.\1>`", table) + closed + after
    names = "\n".join(["api/reactor", *(f"api/{full}" for full in MODULES), "api/transports"])
    return f"{text}\n```{{toctree}}\n:caption: Modules\n:maxdepth: 1\n\n{names}\n```\n"
