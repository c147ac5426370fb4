"""Random scripts for LineReceiver and LineOnlyReceiver, run on ours and on Twisted's, their traces compared.

A script is data: settings and how they are set, reads, what each callback does, and what is done between the reads.

    python -m tests.differential.linescripts lines SEED     runs one script, prints both traces, minimises a mismatch
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from twisted.protocols import basic

from reactor.linecore import Disconnectable
from reactor.linereceiver import LineOnlyReceiver, LineReceiver

Action = tuple[Any, ...]
NOTHING: Action = ("nothing",)


class Recording:
    """Records what it is asked for. Like Twisted's, it closes in order, and an abort announces nothing."""

    __slots__ = ()
    disconnecting: Any

    def __init__(self, trace: list[Any], name: str = "") -> None:
        self.trace = trace  # type: ignore[misc]  # each subclass has a place for both
        self.name = name  # type: ignore[misc]
        self.disconnecting = False

    def write(self, data: bytes) -> str:
        self.trace.append(("write", self.name, type(data), data))
        return "written"

    def writeSequence(self, parts: tuple[bytes, ...]) -> str:
        self.trace.append(("write", self.name, parts))
        return "written"

    def loseConnection(self) -> None:
        self.trace.append(("lose", self.name))
        self.disconnecting = True

    def abortConnection(self) -> None:
        self.trace.append(("abort", self.name))

    def pauseProducing(self) -> None:
        self.trace.append(("pause", self.name))

    def resumeProducing(self) -> None:
        self.trace.append(("resume", self.name))

    def stopProducing(self) -> None:
        self.trace.append(("stop", self.name))


class Transport(Recording):
    __slots__ = ("disconnecting", "name", "trace")


class TellingTransport(Recording, Disconnectable):
    """Like our own, one that says so when it begins to close."""

    __slots__ = ("name", "trace")


class FalseTransport(Transport):
    __slots__ = ()

    def __bool__(self) -> bool:
        return False


class MuteTransport:
    """Has no `disconnecting`."""


TRANSPORTS: dict[str, Callable[[list[Any]], Any]] = {
    "usual": Transport,
    "other": lambda trace: Transport(trace, "other"),
    "false": FalseTransport,
    "mute": lambda trace: MuteTransport(),
    "none": lambda trace: None,
    "telling": TellingTransport,
    "otherTelling": lambda trace: TellingTransport(trace, "other"),
}

# Transports that a script may put in place of each other. A change from the second kind to the first is one of the
# differences.
COMPANIES = ("usual", "other", "false", "mute", "none"), ("telling", "otherTelling")


class Body:
    """The common part of every receiver: it records each callback, and does the next action."""

    trace: list[Any]
    actions: list[Action]
    calls = 0

    def act(self, name: str, data: bytes) -> Any:
        self.trace.append((name, data if type(data) is bytes else (type(data), data)))
        count = self.calls
        self.calls = count + 1
        return perform(self, self.actions[count]) if count < len(self.actions) else None

    def lineReceived(self, line: bytes) -> Any:
        return self.act("line", line)

    def rawDataReceived(self, data: bytes) -> Any:
        return self.act("raw", data)

    def lineLengthExceeded(self, line: bytes) -> Any:
        result = self.act("exceeded", line)
        return super().lineLengthExceeded(line) if result == "default" else result  # type: ignore[misc]


def otherLine(self: Any, line: bytes) -> Any:
    return Body.act(self, "otherLine", line)


def recordedProperty(name: str) -> property:
    """A setting that is a property; each look at it is in the trace, and a value that is an exception is raised."""

    def get(self: Any) -> Any:
        self.trace.append(("get", name))
        value = self.values[name]
        if isinstance(value, Exception):
            raise value
        return value

    def put(self: Any, value: Any) -> None:
        self.values[name] = value

    return property(get, put)


PROPERTIES = {name: recordedProperty(name) for name in ("delimiter", "MAX_LENGTH", "line_mode", "paused")}


def changeInstance(self: Any, name: str, value: Any) -> None:
    setattr(self, name, value)


def changeClass(self: Any, name: str, value: Any) -> None:
    setattr(type(self), name, value)


def changeBase(self: Any, name: str, value: Any) -> None:
    """Set an attribute of the mixin, or of the class that stands between, if there is one."""
    base = type(self).__mro__[1]
    setattr(type(self) if base is Body else base, name, value)


def dropOwn(self: Any, name: str) -> None:
    if name in vars(self):
        delattr(self, name)


def pauseAndResume(self: Any) -> None:
    self.pauseProducing()
    self.resumeProducing()


def swapTransport(self: Any, kind: str) -> None:
    self.transport = TRANSPORTS[kind](self.trace)


def swapClass(self: Any) -> None:
    self.__class__ = type("Swapped", (type(self),), {"MAX_LENGTH": 3, "lineReceived": otherLine})


def replaceHandler(self: Any) -> None:
    self.lineReceived = otherLine.__get__(self)


def answer(self: Any, value: Any) -> Any:
    return value


def fail(self: Any, error: type[Exception]) -> None:
    raise error("as the script says")


def feed(self: Any, data: bytes) -> None:
    self.trace.append(("fed", self.dataReceived(data)))


def useLineMode(self: Any, extra: bytes) -> None:
    self.trace.append(("extra", self.setLineMode(extra)))


def send(self: Any, line: bytes) -> None:
    self.trace.append(("sent", self.sendLine(line)))


def clear(self: Any) -> None:
    self.trace.append(("cleared", self.clearLineBuffer()))


def ask(self: Any, method: str) -> None:
    getattr(self.transport, method)()


def call(self: Any, method: str) -> None:
    self.trace.append((method, getattr(self, method)()))


DO: dict[str, Callable[..., Any]] = {
    "nothing": lambda self: None,
    "answer": answer,
    "fail": fail,
    "feed": feed,
    "lineMode": useLineMode,
    "send": send,
    "clear": clear,
    "ask": ask,
    "call": call,
    "instance": changeInstance,
    "class": changeClass,
    "base": changeBase,
    "dropOwn": dropOwn,
    "pauseAndResume": pauseAndResume,
    "transport": swapTransport,
    "swapClass": swapClass,
    "handler": replaceHandler,
}


def perform(self: Any, action: Action) -> Any:
    result = None
    for name, *arguments in action if type(action[0]) is tuple else (action,):
        result = DO[name](self, *arguments)
    return result


@dataclass
class Script:
    receiver: str
    style: str
    settings: dict[str, Any]
    transport: str
    reads: list[bytes | bytearray | memoryview]
    actions: list[Action]
    between: list[Action] = field(default_factory=list)


def classOf(base: type, style: str, settings: dict[str, Any]) -> type:
    """A receiver that has its settings in the way `style` says."""
    match style:
        case "class":
            return type("ClassStyle", (Body, base), dict(settings))
        case "base":
            return type("BaseStyle", (type("Between", (Body, base), dict(settings)),), {})
        case "mixinBefore":
            return type("MixinStyle", (type("Mixin", (), dict(settings)), Body, base), {})
        case "mixinAfter":
            return type("MixinStyle", (Body, base, type("Mixin", (), dict(settings))), {})
        case "property":
            return type("PropertyStyle", (Body, base), {name: PROPERTIES[name] for name in settings})
        case _:
            return type("InstanceStyle", (Body, base), {})


def traceOf(script: Script, base: type) -> list[Any]:
    trace: list[Any] = []
    protocol: Any = classOf(base, script.style, script.settings)()
    protocol.trace = trace
    protocol.actions = script.actions
    if script.style == "property":
        protocol.values = dict(script.settings)
    elif script.style == "instance":
        for name, value in script.settings.items():
            setattr(protocol, name, value)
    protocol.transport = TRANSPORTS[script.transport](trace)
    for number, read in enumerate(script.reads):
        guarded(trace, protocol.dataReceived, read)
        if number < len(script.between):
            guarded(trace, perform, protocol, script.between[number])
    trace.append(("left", leftIn(protocol)))
    return trace


def guarded(trace: list[Any], function: Callable[..., Any], *arguments: Any) -> None:
    try:
        trace.append(("returned", function(*arguments)))
    except Exception as error:
        trace.append(("raised", type(error)))


def leftIn(protocol: Any) -> bytes:
    if isinstance(protocol, LineOnlyReceiver):
        left: bytes = protocol._LineOnlyReceiver__buffer.peek()  # type: ignore[attr-defined]
        return left
    if isinstance(protocol, LineReceiver):
        return protocol.clearLineBuffer()
    return bytes(protocol._buffer)


DELIMITERS = (b"\r\n", b"\r\n", b"\n", b"\0", b"aa", b"aab", b"abab", b"ab" * 7 + b"c", b"\r\n\r\n")
ODD_DELIMITERS = (b"", bytearray(b"\n"), "\r\n", 3)
LIMITS = (0, 1, 2, 3, 4, 5, 7, 9, 12, 16, 16, 33, 64, 16384, 16384, 16384, 10**30)
ODD_LIMITS = (-1, -5, float("inf"), 4.5, True, "many", ValueError("as the property says"))
STYLES = ("class",) * 6 + ("instance",) * 5 + ("base",) * 2 + ("mixinBefore", "mixinAfter", "property", "property")
KINDS = (bytes,) * 6 + (bytearray, memoryview)


class Writer:
    """Writes random scripts."""

    def __init__(self, seed: int | str) -> None:
        self.rng = random.Random(seed)
        self.delimiter: Any = self.rng.choice(DELIMITERS)
        self.letters = [b"a", b"b", b"\r", b"\n", b"x", b"xyz", self.marker()]

    def marker(self) -> bytes:
        return self.delimiter if isinstance(self.delimiter, bytes) else b"\n"

    def stream(self, size: int) -> bytes:
        rng = self.rng
        lines = [
            b"".join(rng.choices(self.letters, k=int(rng.expovariate(0.4)))) for _ in range(rng.randrange(size + 1))
        ]
        return self.marker().join(lines) + (self.marker() if rng.random() < 0.6 else b"")

    def value(self, name: str) -> Any:
        rng = self.rng
        match name:
            case "delimiter":
                return rng.choice(ODD_DELIMITERS if rng.random() < 0.05 else DELIMITERS)
            case "MAX_LENGTH":
                return rng.choice(ODD_LIMITS[:-1] if rng.random() < 0.1 else LIMITS)
            case "line_mode":
                return rng.choice((0, 1, 1, True, False))
            case _:
                return rng.choice((False, False, True, 0, 1))

    def change(self) -> Action:
        rng = self.rng
        name = rng.choice(("delimiter", "delimiter", "MAX_LENGTH", "MAX_LENGTH", "line_mode", "paused"))
        how = rng.choice(("instance",) * 6 + ("class", "class", "base", "dropOwn"))
        return (how, name) if how == "dropOwn" else (how, name, self.value(name))

    def action(self) -> Action:
        rng = self.rng
        match rng.choice(CHOICES):
            case "change":
                return self.change()
            case "raw":
                return ("call", "setRawMode")
            case "lineMode":
                return ("lineMode", self.stream(2))
            case "feed":
                return ("feed", rng.choice(KINDS)(self.stream(2)))
            case "answer":
                return ("answer", rng.choice((True, 1, "why", 0, "", False, [], "default")))
            case "fail":
                return ("fail", rng.choice((ValueError, RuntimeError, StopIteration, MemoryError)))
            case "pause":
                return ("call", rng.choice(("pauseProducing", "resumeProducing", "stopProducing")))
            case "ask":
                return ("ask", rng.choice(("loseConnection", "loseConnection", "abortConnection")))
            case "transport":
                return ("transport", rng.choice(self.transports))
            case "send":
                return ("send", rng.choice((b"", b"line", b"line", bytearray(b"line"), "text")))
            case name:
                return (name,)

    def step(self) -> Action:
        return (self.action(), self.action()) if self.rng.random() < 0.1 else self.action()

    def reads(self) -> list[Any]:
        rng = self.rng
        stream = self.stream(rng.choice((3, 9, 9, 30)))
        cuts = sorted(rng.randrange(len(stream) + 1) for _ in range(rng.choice((0, 1, 2, 3, 5, len(stream) // 2))))
        return [
            rng.choice(KINDS)(stream[start:end]) for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)
        ]

    def settings(self, style: str) -> dict[str, Any]:
        rng = self.rng
        settings: dict[str, Any] = {"delimiter": self.delimiter}
        if rng.random() < 0.8:
            limit = self.value("MAX_LENGTH")
            settings["MAX_LENGTH"] = 16384 if isinstance(limit, str) else limit  # as below
        if rng.random() < 0.15:
            settings[rng.choice(("line_mode", "paused"))] = rng.choice((True, False))
        if rng.random() < 0.02:
            # Ours refuses sooner what is no bytes, before there is a trace to compare; callbacks set that, too.
            settings["delimiter"] = rng.choice([odd for odd in ODD_DELIMITERS if not isinstance(odd, str | int)])
        if style == "property" and rng.random() < 0.1:
            settings["MAX_LENGTH"] = ODD_LIMITS[-1]
        return settings

    def script(self, receiver: str) -> Script:
        rng = self.rng
        style = rng.choice(STYLES)
        busy = rng.choice((0.05, 0.2, 0.5))
        self.transports = rng.choice(COMPANIES)
        transport = self.transports[0] if rng.random() < 0.9 else rng.choice(self.transports)
        settings = self.settings(style)
        reads = self.reads()
        actions = [self.step() if rng.random() < busy else NOTHING for _ in range(12)]
        between = [self.step() if rng.random() < busy / 2 else NOTHING for _ in reads]
        return Script(receiver, style, settings, transport, reads, actions, between)


CHOICES = (
    ["change"] * 8
    + ["raw"] * 3
    + ["lineMode"] * 4
    + ["feed"] * 4
    + ["answer"] * 3
    + ["pause"] * 4
    + ["fail", "fail", "ask", "ask", "transport", "send", "clear", "clear", "handler", "swapClass", "pauseAndResume"]
)

BASES: dict[str, tuple[type, type]] = {
    "lines": (LineReceiver, basic.LineReceiver),
    "linesOnly": (LineOnlyReceiver, basic.LineOnlyReceiver),
}


def isEqual(script: Script) -> bool:
    ours, theirs = BASES[script.receiver]
    return traceOf(script, ours) == traceOf(script, theirs)


def minimise(script: Script) -> Script:
    """A script that still differs, of which no read, action or setting can be left out."""
    found = True
    while found:
        found = False
        for smaller in smallerThan(script):
            if not isEqual(smaller):
                script, found = smaller, True
                break
    return script


def smallerThan(script: Script) -> list[Script]:
    reads, actions, between, settings = script.reads, script.actions, script.between, script.settings
    smaller = [
        replace(script, reads=reads[:number] + reads[number + 1 :], between=between[:number] + between[number + 1 :])
        for number in range(len(reads))
    ]
    smaller += [replace(script, actions=actions[:-1])] if actions else []
    for name, steps in (("actions", actions), ("between", between)):
        for number, step in enumerate(steps):
            if step != NOTHING:
                for simpler in step if type(step[0]) is tuple else (NOTHING,):
                    changed: dict[str, Any] = {name: [*steps[:number], simpler, *steps[number + 1 :]]}
                    smaller.append(replace(script, **changed))
    smaller += [replace(script, settings={k: v for k, v in settings.items() if k != name}) for name in settings]
    for number, read in enumerate(reads):
        for at in range(len(read)):
            shorter = bytes(read)[:at] + bytes(read)[at + 1 :]
            smaller.append(replace(script, reads=[*reads[:number], shorter, *reads[number + 1 :]]))
        if type(read) is not bytes:
            smaller.append(replace(script, reads=[*reads[:number], bytes(read), *reads[number + 1 :]]))
    return smaller


def describe(script: Script) -> str:
    ours, theirs = BASES[script.receiver]
    return f"{script}\n  ours:   {traceOf(script, ours)}\n  theirs: {traceOf(script, theirs)}"


def check(receiver: str, seed: int | str) -> None:
    """Run the script of this seed; AssertionError with all that is needed to find out why, if the traces differ."""
    script = Writer(seed).script(receiver)
    if not isEqual(script):
        again = f"python -m tests.differential.linescripts {receiver} {seed}"
        raise AssertionError(f"traces differ; to see it again: {again}\n{describe(minimise(script))}")


if __name__ == "__main__":
    print(describe(Writer(int(sys.argv[2])).script(sys.argv[1])))
    check(sys.argv[1], int(sys.argv[2]))
