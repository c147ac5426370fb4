"""Parts of a configured server: values, arguments for applications, limits, TLS, help, and the supervisor's view."""

from __future__ import annotations

import argparse
import contextlib
import errno
import functools
import ipaddress
import os
import pathlib
import signal
import socket
import ssl
import sys
from collections.abc import Callable
from typing import Any

import pytest

from reactor.defer import Deferred
from reactor.error import CannotListenError
from reactor.loops.epoll import EpollReactor
from reactor.protocol import Factory, Protocol
from reactor.service import endsignals
from reactor.service.limits import Keepalive
from reactor.serving import apps, reloading, running, serve, supervising, values
from reactor.serving.adminpages import OwnPages
from reactor.serving.errors import USAGE, CommandError
from reactor.serving.limits import limitsOf
from reactor.serving.options import makeParser
from reactor.serving.places import cannotListen, spotsOf
from reactor.serving.plan import ListenPlan, Plan
from reactor.serving.tls import contextFactory
from tests.support.tlsworlds import certificatePath

# Values.


@pytest.mark.parametrize(
    ("convert", "text", "value"),
    [
        (values.workers, "auto", "auto"),
        (values.workers, "3", 3),
        (values.flag, "On", True),
        (values.flag, "0", False),
        (values.network, "::1", "::1/128"),
        (values.balancer, "unix", "unix"),
        (values.balancer, "10.0.0.0/8", "10.0.0.0/8"),
        (values.place, "unix:/run/x", "unix:/run/x"),
        (values.place, "[::1]:70", "[::1]:70"),
        (values.byteCount, "64k", 65536),
        (values.byteCount, "2GB", 2 << 30),
        (values.period, "15m", 900.0),
        (values.answer, "full", b"full\r\n"),
    ],
)
def test_values(convert: Any, text: str, value: Any) -> None:
    assert convert(text) == value


@pytest.mark.parametrize(
    ("convert", "text", "told"),
    [
        (values.workers, "0", "must be a whole number from 1 to 1024, or auto, not '0'"),
        (values.workers, "many", "must be a whole number from 1 to 1024, or auto, not 'many'"),
        (values.flag, "maybe", "must be true or false, not 'maybe'"),
        (values.network, "here", "must be a network such as 192.0.2.0/24 or 2001:db8::/32, not 'here'"),
        (values.balancer, "here", "must be a network such as 192.0.2.0/24 or 2001:db8::/32, not 'here'"),
        (values.place, "unix:", "must have a path behind unix:"),
        (values.place, "7070", "must be HOST:PORT or [IPv6]:PORT, not '7070'"),
        (values.place, "h:99999", "the port in 'h:99999' is no number from 0 to 65535"),
        (values.byteCount, "0", "must be a positive number of bytes, for example 100M, not '0'"),
        (values.period, "1y", "must be a period, for example 3600, 15m, 1h or 1d, not '1y'"),
        (values.filled("a user"), "", "must be a user, not an empty text"),
    ],
)
def test_valuesThatAreNone(convert: Any, text: str, told: str) -> None:
    with pytest.raises(values.WrongValue) as caught:
        convert(text)
    assert str(caught.value) == told


# Arguments for applications.


class Talker(Protocol):
    def __init__(self, word: str = "none", times: int = 1) -> None:
        self.words = [word] * times


class Talkers(Factory[Talker]):
    protocol = Talker

    def __init__(self, word: str = "none") -> None:
        self.word = word


def makeTalkers(word: str = "none") -> Talkers:
    return Talkers(word)


existing = Talkers()


class Handler:
    def __init__(self, word: str) -> None:
        self.word = word

    def __call__(self, request: Any) -> bytes:
        return self.word.encode()


def handle(request: Any, word: str) -> bytes:
    return word.encode()


def test_argumentsOfAProtocolClass() -> None:
    """Each protocol is made with them, and knows its factory."""
    factory = apps.asFactory(Talker, "Talker", {"word": "a", "times": 2})
    protocol = factory.buildProtocol(None)
    assert protocol.words == ["a", "a"]
    assert protocol.factory is factory
    assert apps.asFactory(Talker, "Talker").buildProtocol(None).words == ["none"]


@pytest.mark.parametrize("thing", [Talkers, makeTalkers])
def test_argumentsOfAFactoryOrAFunction(thing: Any) -> None:
    assert apps.asFactory(thing, "it", {"word": "b"}).word == "b"
    assert apps.asFactory(thing, "it").word == "none"


@pytest.mark.parametrize(
    ("thing", "told"),
    [
        (Talker, "it does not take these arguments: got an unexpected keyword argument 'wrong'"),
        (Talkers, r"it failed: TypeError: .*unexpected keyword argument 'wrong'"),
        (makeTalkers, r"it failed: TypeError: .*unexpected keyword argument 'wrong'"),
        (existing, "it is a factory that exists already, so it takes no arguments"),
    ],
)
def test_argumentsThatAreNotTaken(thing: Any, told: str) -> None:
    with pytest.raises(CommandError, match=told):
        apps.asFactory(thing, "it", {"wrong": 1})


@pytest.mark.parametrize("handler", [Handler, handle])
def test_argumentsOfAHandler(handler: Any) -> None:
    assert apps.withArguments(handler, "it", {"word": "c"})(None) == b"c"
    assert apps.withArguments(handle, "it", {}) is handle


def test_builtInApplicationsTakeNone() -> None:
    with pytest.raises(CommandError, match=r"^chat takes no arguments$"):
        apps.makeApplication("chat", {}, None, print, arguments={"x": 1})


def test_inheritedSettingsMustNotFit() -> None:
    """Settings for all places leave a protocol without lines alone; its own are an error."""
    name = f"{__name__}:Talkers"
    application = apps.makeApplication(name, {}, None, print, inherited={"MAX_LENGTH": 5})
    assert application.prepare is not None
    application.prepare(Talker())
    with pytest.raises(CommandError, match="are for LineReceivers"):
        apps.makeApplication(name, {"MAX_LENGTH": 5}, None, print)


# Limits and TLS.


def test_limits() -> None:
    plan = ListenPlan(
        maxConnections=5, addressPrefix=48, allow=("10.0.0.0/8",), keepalive=30, lineDeadline=2.0, refusal=b"x\r\n"
    )
    limits = limitsOf(plan)
    assert (limits.maxConnections, limits.addressPrefix, limits.lineDeadline) == (5, (32, 48), 2.0)
    assert limits.keepalive == Keepalive(30) == (30, 10, 6)  # a dead peer is noticed after 30 + 6 * 10 s
    assert list(limits.allow) == [ipaddress.ip_network("10.0.0.0/8")]
    assert limitsOf(ListenPlan()) == limitsOf(ListenPlan(allow=()))


@pytest.mark.parametrize(("silence", "interval"), [(1, 1), (9, 9), (10, 10), (11, 10), (32767, 10)])
def test_probesAreNotFurtherApartThanTheSilence(silence: int, interval: int) -> None:
    """A user timeout of 2 seconds would be noticed after 11 otherwise, if a second of silence is to be probed."""
    assert limitsOf(ListenPlan(keepalive=silence, userTimeout=2.0)).keepalive == (silence, interval, 6)


def test_contexts() -> None:
    """Tickets are off in every version of TLS unless they are wanted, and a CA demands certificates of clients."""
    path = str(certificatePath())
    plain = contextFactory(path)
    context = plain.getContext()
    assert (context.num_tickets, bool(context.options & ssl.OP_NO_TICKET)) == (0, True)
    assert (context.minimum_version, context.verify_mode) == (ssl.TLSVersion.TLSv1_2, ssl.CERT_NONE)
    strict = contextFactory(path, path, path, "1.3", True).getContext()
    assert (strict.num_tickets > 0, bool(strict.options & ssl.OP_NO_TICKET)) == (True, False)
    assert (strict.minimum_version, strict.verify_mode) == (ssl.TLSVersion.TLSv1_3, ssl.CERT_REQUIRED)


# The help.


@pytest.mark.parametrize("name", ["serve", "check"])
def test_helpIsReadable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal of 80 columns no line is longer, no option is broken, and each has a group."""
    monkeypatch.setenv("COLUMNS", "80")
    (actions,) = (action for action in makeParser()._actions if action.dest == "command")
    assert isinstance(actions.choices, dict)
    text = actions.choices[name].format_help()
    assert max(map(len, text.splitlines())) <= 80
    assert not [line for line in text.splitlines() if line.endswith("-")]
    assert text.count("usage: ") == 1
    head = text.split("options:")[0]
    assert len(head.splitlines()) < 10


# Supervisors.


def test_placesOfWorkers() -> None:
    """One for each endpoint, by a name that a worker derives as well."""
    first = ListenPlan("a", ("tcp:1:interface=127.0.0.2", "unix:/run/x:mode=600"), backlog=9)
    second = ListenPlan("b", ("tcp6:2", "ssl:3:backlog=4", "udp:5", "tls:/certificates:port=6"))
    third = ListenPlan("c", host="127.0.0.1", port=7)
    places = supervising.placesOf(Plan((first, second, third), workers=2))
    assert {name: str(place) for name, place in places.items()} == {
        "a:0": "tcp 127.0.0.2:1",
        "a:1": "unix /run/x",
        "b:0": "tcp [::1]:2",
        "b:1": "tcp 127.0.0.1:3",
        "b:2": "udp 127.0.0.1:5",
        "b:3": "tcp [::1]:6",
        "c:0": "tcp 127.0.0.1:7",
    }
    assert [places[name].backlog for name in ("a:0", "a:1", "b:0", "b:1", "c:0")] == [9, 9, 511, 4, 511]
    assert places["a:1"].mode == 0o600


@pytest.mark.parametrize(("field", "mode"), [("", 0o600), (":mode=660", 0o660)])
@pytest.mark.parametrize("kind", ["unix", "unixgram"])
def test_whoMayUseAUNIXSocket(tmp_path: pathlib.Path, kind: str, field: str, mode: int) -> None:
    """Its owner alone, unless the endpoint says otherwise: of workers and of one process."""
    path = tmp_path / "socket"
    place = ListenPlan(endpoints=(f"{kind}:{path}{field}",), app="collect", output=str(tmp_path / "output"))
    plan = Plan((place,))
    (shared,) = supervising.placesOf(plan).values()
    assert shared.mode == mode
    modes: list[int] = []
    served(plan, lambda loop: modes.append(path.stat().st_mode & 0o777))
    assert modes == [mode]


@pytest.mark.parametrize(
    ("endpoint", "told"),
    [
        ("stdio:", "workers cannot share a stdio endpoint"),
        ("ssl:1:sslmethod=TLSv1_2_METHOD", "workers take --tls-minimum in place of the field sslmethod"),
        ("tcp:70000", "--listen: the port of a tcp endpoint is from 0 to 65535, not 70000"),
        ("systemd:domain=INET:index=0", "cannot listen: 0 sockets were passed"),
    ],
)
def test_placesThatWorkersCannotHave(endpoint: str, told: str) -> None:
    with pytest.raises(CommandError) as caught:
        supervising.placesOf(Plan((ListenPlan(endpoints=(endpoint,)),), workers=2))
    assert str(caught.value).startswith(told)
    assert caught.value.code == USAGE


def test_anInheritedSocketThatIsNone() -> None:
    error = CannotListenError("descriptor 3", 0, OSError(errno.ENOTSOCK, "no socket"))
    assert str(cannotListen(error)) == "cannot listen on descriptor 3: no socket"


def test_serversThatOnlyReceive() -> None:
    collecting = ListenPlan(app="collect", output="x")
    assert Plan((collecting, collecting)).onlyReceives
    assert not Plan((collecting, ListenPlan())).onlyReceives


def test_numbersOfWorkers() -> None:
    assert supervising.workersOf(Plan(workers=3)) == 3
    assert supervising.workersOf(Plan(workers="auto")) == running.coresOf() >= 1


def test_aWorkersCommandLine() -> None:
    assert supervising.commandLine(["serve", "chat"]) == [sys.executable, "-m", "reactor", "serve", "chat"]
    assert supervising.commandLine(None) == [sys.executable, *sys.orig_argv[1:]]


def test_usersThatAreNotThere() -> None:
    with pytest.raises(CommandError, match="there is no user 'nosuchuser'"):
        supervising.Supervising(Plan((), workers=1, user="nosuchuser"), argparse.Namespace(), ["x"], EpollReactor())


# Loops and reloads.


def test_aSecondReactorIsRefused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reactor._current._default", object())
    with pytest.raises(CommandError, match=r"^--loop: this process has a reactor already$"):
        serve.installLoop("epoll")


def makeChanges() -> reloading.Changes:
    return reloading.Changes(EpollReactor(), print)


MISSING = [("uvloop", "uvloop", functools.partial(serve.makeReactor, "uvloop")), ("watchfiles", "reload", makeChanges)]


@pytest.mark.parametrize(("module", "extra", "make"), MISSING)
def test_whatIsNotInstalled(module: str, extra: str, make: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the extra."""
    monkeypatch.setitem(sys.modules, module, None)
    told = rf"^{module} is not installed: pip install 'linereactor\[{extra}\]'$"
    with pytest.raises(CommandError, match=told):
        make()


def test_filesOfAProgram(tmp_path: pathlib.Path) -> None:
    changes = reloading.Changes(EpollReactor(), print, str(tmp_path / "any.conf"))
    assert changes.isProgram(1, str(tmp_path / "any.conf"))
    assert changes.isProgram(1, "/a/b.py")
    for path in ("/a/b.pyc", "/a/.git/x.py", "/a/__pycache__/x.py", "/a/lines.txt"):
        assert not changes.isProgram(1, path)


def test_signalsAreFreeAgain(tmp_path: pathlib.Path) -> None:
    """After the end of one process, the reactor has no handler of it left."""
    loop = EpollReactor()
    plan = Plan((ListenPlan(endpoints=(f"unix:{tmp_path}/socket",)),))
    loop.callWhenRunning(loop.stop)
    assert running.Serving(plan, loop).run() == 0
    assert not loop.removeSignalHandler(signal.SIGHUP)
    assert not loop.removeSignalHandler(signal.SIGUSR1)


def test_aWrongEndpointIsOneLine() -> None:
    with pytest.raises(CommandError, match=r"^--listen: unknown endpoint type 'fly'"):
        list(spotsOf(ListenPlan(endpoints=("fly:1",))))


# One process.


def served(plan: Plan, talk: Callable[[EpollReactor], Any] | None = None) -> None:
    """Serve `plan` until `talk(loop)` has returned in the loop."""
    loop = EpollReactor()

    def begin() -> None:
        try:
            if talk is not None:
                talk(loop)
        finally:
            loop.stop()

    loop.callWhenRunning(begin)
    assert running.Serving(plan, loop).run() == 0


@pytest.mark.parametrize("kind", ["lines", "services"])
def test_oneProcessTellsSystemd(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """As a supervisor does. A unit of Type=notify-reload gets its answer to HUP, too."""
    loop = EpollReactor()
    (tmp_path / "a.tac").write_text("from reactor.service import Application\napplication = Application('a')\n")
    lines, services = ListenPlan(endpoints=(f"unix:{tmp_path}/lines",)), ListenPlan(service=str(tmp_path / "a.tac"))
    told: list[str] = []

    def hear() -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                told.append(manager.recv(1000).decode().replace("\n", " "))

    def look() -> None:
        before = len(told)
        hear()
        if told and not before:
            os.kill(os.getpid(), signal.SIGHUP)
        if any(text.startswith("RELOADING") for text in told) and "WATCHDOG=1" in told[-1:]:
            loop.stop()
        else:
            loop.callLater(0.001, look)

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "manager"))
        manager.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "manager"))
        monkeypatch.setenv("WATCHDOG_USEC", "20000")
        monkeypatch.delenv("WATCHDOG_PID", raising=False)
        loop.callWhenRunning(look)
        assert running.Serving(Plan((lines if kind == "lines" else services,)), loop).run() == 0
        hear()
    states = [text.partition("=")[0] for text in told if text != "WATCHDOG=1"]
    assert states == ["READY", "RELOADING", "READY", "STOPPING"]
    assert told[0] == "READY=1 STATUS=one process is ready"
    assert "MONOTONIC_USEC=" in next(text for text in told if text.startswith("RELOADING"))


def test_theAdminPagesOfOneProcess(tmp_path: pathlib.Path) -> None:
    """Also on a UNIX socket, which is closed to other users."""
    path = tmp_path / "admin"
    modes = []
    place = ListenPlan(endpoints=(f"unix:{tmp_path}/socket",))
    served(Plan((place,), admin=f"unix:{path}"), lambda loop: modes.append(path.stat().st_mode & 0o777))
    assert modes == [0o600]
    assert not path.exists()


def test_anAdminPortInUse(tmp_path: pathlib.Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        place = ListenPlan(endpoints=(f"unix:{tmp_path}/socket",))
        with pytest.raises(
            CommandError, match=rf"^--admin: cannot listen on 127.0.0.1:{port}: Address already in use$"
        ):
            served(Plan((place,), admin=f"127.0.0.1:{port}"))


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("raise ValueError('why')", "an application of services cannot start: ValueError: why"),
        (
            "from reactor.error import CannotListenError; raise CannotListenError('h', 1, OSError(13, 'no'))",
            "cannot listen",
        ),
    ],
)
def test_servicesThatCannotStart(body: str, told: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "bad.tac").write_text(
        "from reactor.service import Application, Service\n"
        f"class Bad(Service):\n    def startService(self):\n        {body}\n"
        "application = Application('bad')\nBad().setServiceParent(application)\n"
    )
    loop = EpollReactor()
    with pytest.raises(CommandError, match=f"^{told}"):
        running.Serving(Plan((ListenPlan(service=str(tmp_path / "bad.tac")),)), loop).run()


def test_aUserThatIsNotThere(tmp_path: pathlib.Path) -> None:
    place = ListenPlan(endpoints=(f"unix:{tmp_path}/socket",))
    with pytest.raises(CommandError, match=r"^there is no user 'nosuchuser'$"):
        served(Plan((place,), user="nosuchuser"))


def test_limitsThatCannotBe(tmp_path: pathlib.Path) -> None:
    """A plan of a program's own is checked, too."""
    place = ListenPlan(endpoints=(f"unix:{tmp_path}/socket",), maxConnections=-1)
    with pytest.raises(CommandError, match="maxConnections"):
        served(Plan((place,)))


def test_datagramsOfOneProcess(tmp_path: pathlib.Path) -> None:
    output = tmp_path / "lines"
    place = ListenPlan(endpoints=(f"unixgram:{tmp_path}/socket",), app="collect", output=str(output))

    def talk(loop: EpollReactor) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"message", str(tmp_path / "socket"))

    served(Plan((place,)), talk)
    assert output.read_bytes() == b"message\n"


def test_onlyCollectOwesNoAnswer(tmp_path: pathlib.Path) -> None:
    """So its clients see our end as soon as the command ends. The listener of another application answers first."""
    place: dict[str, Any] = {"endpoints": ("tcp:0:interface=127.0.0.1",)}
    kept = ListenPlan("kept", **place, app="collect", output=str(tmp_path / "lines"))
    plan = Plan(listeners=(kept, ListenPlan("said", **place, app="echo")))
    reactor = EpollReactor()
    serving = running.Serving(plan, reactor)
    reactor.callWhenRunning(reactor.stop)
    assert serving.run() == 0
    assert {name: each.sendFin for name, each in serving.server.listeners.items()} == {"kept": True, "said": False}


@pytest.mark.parametrize("moment", [1000.0, -1.0])
def test_twoSignalsInAMomentAreOne(
    moment: float, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As timeout(1) sends them. Later ones are two: the second does not wait for the drain."""
    monkeypatch.setattr(endsignals, "SAME_REQUEST", moment)
    ended: list[str] = []

    def send() -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    def talk(reactor: EpollReactor) -> None:
        def begun() -> Deferred[None]:
            waiting: Deferred[None] = Deferred()
            reactor.callLater(0, send)
            late = reactor.callLater(0.2, waiting.callback, None)
            waiting.addCallback(lambda _: ended.append("waited"))
            reactor.addSystemEventTrigger("after", "shutdown", lambda: late.cancel() if late.active() else None)
            return waiting

        reactor.addSystemEventTrigger("before", "shutdown", begun)
        reactor.callLater(0, send)

    served(Plan((ListenPlan(port=0),)), talk)
    assert ended == (["waited"] if moment > 0 else [])
    assert ("received signal 15 again, stopping at once" in caplog.text) == (moment < 0)


def test_thePagesAreReadBeforeRootIsGivenUp(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user may not read the file, and may not bind the port."""
    order: list[str] = []

    class Noted(OwnPages):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            order.append("pages")

    monkeypatch.setattr(running, "OwnPages", Noted)
    monkeypatch.setattr(running.Serving, "_becomeUser", lambda self: order.append("user"))
    reactor = EpollReactor()
    serving = running.Serving(Plan((ListenPlan(port=0),), admin="127.0.0.1:0"), reactor)
    reactor.callWhenRunning(reactor.stop)
    assert serving.run() == 0
    assert order == ["pages", "user"]
