"""A program on a system that lacks something: it hides names, then imports the package, echoes, and shows the help.

    python -m tests.support.elsewhere [HIDDEN ...]

HIDDEN is a module, or MODULE:ATTRIBUTE; the attribute may end in `*`. With WINDOWS, all that Windows lacks is hidden.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import selectors
import sys
from typing import Any

# A Python that was built without a library lacks these. Each row is one library's.
BUILT_WITHOUT = (
    ("ssl", "_ssl"),
    ("gzip", "zlib"),
    ("bz2", "_bz2"),
    ("lzma", "_lzma"),
    ("sqlite3", "_sqlite3"),
    ("ctypes", "_ctypes"),
    ("curses", "_curses"),
    ("readline",),
    ("multiprocessing", "_multiprocessing"),
    ("mmap",),
    ("_hashlib",),
    ("uuid", "_uuid"),
    ("decimal", "_decimal"),
)
MODULES = ("fcntl", "grp", "pty", "pwd", "resource", "termios", "tty")
SIGNALS = ("SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGTTIN", "SIGTTOU", "SIGUSR*", "SIGWINCH")
ATTRIBUTES = (
    "os:O_CLOEXEC",
    "os:O_DIRECTORY",
    "os:O_NOCTTY",
    "os:O_NOFOLLOW",
    "os:O_NONBLOCK",
    "os:fork*",
    "os:get*id",
    "os:initgroups",
    "os:kill*",
    "os:pidfd_open",
    "os:posix_*",
    "os:readv",
    "os:register_at_fork",
    "os:sched_*",
    "os:sendfile",
    "os:set*id",
    "os:setgroups",
    "os:sysconf",
    "os:wait*",
    "os:writev",
    "select:epoll",
    "select:poll",
    "select:EPOLL*",
    "signal:pthread_*",
    "signal:set*timer",
    "signal:sigwait*",
    "signal:sigtimedwait",
    "socket:AF_UNIX",
    "socket:CMSG_*",
    "socket:SCM_*",
    "socket:SO_PEERCRED",
    "socket:SO_REUSEPORT",
    "socket:TCP_KEEP*",
    "socket:TCP_USER_TIMEOUT",
    "socket:recv_fds",
    "socket:send_fds",
    *(f"signal:{name}" for name in SIGNALS),
)
WINDOWS = (*MODULES, *ATTRIBUTES)
NEEDED_HERE = {"os": {"fork_exec", "getpid"}, "select": set(), "signal": set(), "socket": set()}


def hide(what: str) -> None:
    module, _, attribute = what.partition(":")
    if not attribute:
        sys.modules[module] = None  # type: ignore[assignment]
        return
    owner = importlib.import_module(module)
    for name in list(vars(owner)):
        found = name == attribute or (attribute.endswith("*") and name.startswith(attribute[:-1]))
        if (found or matches(name, attribute)) and name not in NEEDED_HERE[module]:
            delattr(owner, name)


def tcpPair() -> tuple[Any, Any]:
    """socket.socketpair as Windows has it: it takes TCP."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listening:
        one = socket.create_connection(listening.getsockname())
        other, _ = listening.accept()
        return one, other


def matches(name: str, pattern: str) -> bool:
    start, star, end = pattern.partition("*")
    return bool(star and end) and name.startswith(start) and name.endswith(end)


def echo() -> bytes:
    """Send a line to an echo server, both on one AsyncioReactor, and return what comes back."""
    import asyncio

    import reactor
    from reactor.protocol import ClientFactory, ServerFactory

    runs = reactor.AsyncioReactor(asyncio.SelectorEventLoop(selectors.SelectSelector()))
    answers: list[bytes] = []

    class Server(reactor.LineReceiver):
        def lineReceived(self, line: bytes) -> None:
            self.sendLine(line)

    class Client(reactor.LineReceiver):
        def connectionMade(self) -> None:
            self.sendLine(b"a line")

        def lineReceived(self, line: bytes) -> None:
            answers.append(line)
            self.transport.loseConnection()

        def connectionLost(self, reason: Any = None) -> None:
            runs.stop()

    port = runs.listenTCP(0, ServerFactory.forProtocol(Server), interface="127.0.0.1")
    runs.connectTCP("127.0.0.1", port.getHost().port, ClientFactory.forProtocol(Client))
    runs.callLater(20, runs.stop)
    runs.run()
    runs.close()
    return answers[0]


def shown(*arguments: str) -> str:
    """Run the command, and return what it writes and its exit code."""
    from reactor.__main__ import main

    output = io.StringIO()
    sys.argv = ["linereactor", *arguments]
    code: object = 0
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            code = main()
        except SystemExit as end:
            code = end.code
    return f"{output.getvalue()}{code}"


def main() -> None:
    hidden = WINDOWS if sys.argv[1:] == ["WINDOWS"] else sys.argv[1:]
    if tuple(hidden) in BUILT_WITHOUT:
        for what in hidden:
            hide(what)
    import asyncio  # not ours: what it needs of this system is hidden from us alone

    asyncio.SelectorEventLoop().close()
    if "socket:AF_UNIX" in hidden:
        sys.modules["socket"].socketpair = lambda *_: tcpPair()  # type: ignore[attr-defined]
    for what in hidden:
        hide(what)
    print(echo().decode())
    print(shown("--help"))
    print(shown("serve", "--help"))
    if "fcntl" in hidden:
        print(shown("serve"))
    if "ssl" in hidden:
        print(shown("serve", "--cert", "cert.pem"))


if __name__ == "__main__":
    main()
