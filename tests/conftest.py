"""Rules for every test: it ends in time, leaves no file open and no thread running, and draws the same examples.

pyproject.toml says how long a test may take. `make test` says which line core it means to test, and CI takes no skipped
test.
"""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import gc
import os
import pathlib
import shutil
import signal
import subprocess
import threading
from collections.abc import Generator, Iterator

import coverage
import hypothesis
import pytest

import reactor
from reactor import _logger, linecore

ROOT = pathlib.Path(__file__).resolve().parent.parent
EXPECTED_CORE = os.environ.get("REACTOR_EXPECT_CORE")
NO_SKIPS = os.environ.get("CI") == "true"
AGAIN = os.environ.get("REACTOR_AGAIN")  # the file for the names of timing tests that have failed
UNMEASURED = {ROOT / "tests" / "differential", ROOT / "tests" / "house"}
IN_CHILDREN = "COVERAGE_PROCESS_CONFIG"  # with it in the environment, a child process measures itself
FILES = "/dev/fd"
THREAD_DEADLINE = 5.0
EXIT_DEADLINE = 120.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)

_failedTiming: dict[str, int] = {}  # and the failures of each: what a failed test holds may be one, at its teardown

hypothesis.settings.register_profile("deterministic", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("deterministic")


def pytest_configure() -> None:
    """Heed the signals that a program at a terminal heeds, however this run was started.

    `nohup` ignores SIGHUP, and a shell that starts a job in the background ignores SIGINT and SIGQUIT. The programs
    that tests start inherit it.
    """
    pytest.register_assert_rewrite("tests.contract", "tests.support")  # a failure there shows its values, too
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """A process that cannot end, since a thread of it waits, shows its stacks, and fails."""
    faulthandler.dump_traceback_later(EXIT_DEADLINE, exit=True, file=2)


def pytest_report_header() -> str:
    return f"line core: {linecore.IMPLEMENTATION}, from {reactor.__path__[0]}"


def pytest_sessionstart() -> None:
    if EXPECTED_CORE is None:
        return
    if EXPECTED_CORE != linecore.IMPLEMENTATION:
        pytest.exit(f"this run is for the {EXPECTED_CORE} core, and the {linecore.IMPLEMENTATION} one was imported", 1)
    if pathlib.Path(reactor.__path__[0]) != ROOT / "src" / "reactor":
        pytest.exit(f"this run is for the tree at {ROOT}, and {reactor.__path__[0]} was imported", 1)


def refuseSkip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if NO_SKIPS and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not accept: {report.longrepr}"


@functools.cache
def isThere(what: str) -> bool:
    """Whether this machine has a command or a file, or lets us be "root", or make "namespaces".

    A file is given by its whole path. "netcat-openbsd" is that nc: the others have other options. "link-local" is a
    network namespace for any user, whose loopback takes an IPv6 address with a scope. "networks" are several with links
    between them.
    """
    if what.startswith("/"):
        return os.path.exists(what)
    if what == "root":
        return os.geteuid() == 0
    if what == "namespaces":
        tried = ["unshare", "--net", "--mount", "--time", "true"]
        return isThere("unshare") and subprocess.run(tried, capture_output=True, check=False).returncode == 0
    if what == "networks":
        tried = ["sh", "-c", "ip netns add linereactor-$$-0 && ip netns del linereactor-$$-0"]
        return isThere("ip") and subprocess.run(tried, capture_output=True, check=False).returncode == 0
    if what == "link-local":
        setup = "ip link set lo up && ip -6 addr add fe80::1/64 dev lo nodad"
        tried = ["unshare", "--map-root-user", "--net", "sh", "-c", setup]
        return isThere("unshare") and subprocess.run(tried, capture_output=True, check=False).returncode == 0
    if what == "netcat-openbsd":
        tried = ["nc", "-h"]
        return isThere("nc") and b"OpenBSD" in subprocess.run(tried, capture_output=True, check=False).stderr
    return shutil.which(what) is not None


def pytest_runtest_setup(item: pytest.Item) -> None:
    lacking = [what for mark in item.iter_markers("needs") for what in mark.args if not isThere(what)]
    if lacking:
        pytest.skip(f"not here: {', '.join(lacking)}")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    refuseSkip(report)
    again = report.when == "call" or item.nodeid in _failedTiming
    if report.failed and again and item.get_closest_marker("timing"):
        _failedTiming[item.nodeid] = _failedTiming.get(item.nodeid, 0) + 1
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """If only timing tests have failed, the run is no failure yet: `make` runs them again when nothing else runs."""
    if AGAIN is not None and _failedTiming and sum(_failedTiming.values()) == session.testsfailed:
        pathlib.Path(AGAIN).write_text("".join(f"{name}\n" for name in _failedTiming))
        session.exitstatus = pytest.ExitCode.OK


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if AGAIN is not None:
        for name in _failedTiming:
            terminalreporter.write_line(f"needs a quiet machine: {name}")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    refuseSkip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Coverage looks away from tests whose point is their number, and from tests of the tree; children do so, too.

    They would take minutes, and show nothing that the others do not.
    """
    measuring = None if UNMEASURED.isdisjoint(item.path.parents) else coverage.Coverage.current()
    if measuring is None:
        return (yield)
    measuring.stop()
    inChildren = os.environ.pop(IN_CHILDREN, None)
    try:
        return (yield)
    finally:
        if inChildren is not None:
            os.environ[IN_CHILDREN] = inChildren
        measuring.start()


def openFiles() -> dict[int, str]:
    """The open file descriptors and what they stand for; the listing's own is closed by then."""
    found = {}
    for name in os.listdir(FILES):
        try:
            found[int(name)] = os.readlink(f"{FILES}/{name}")
        except OSError:
            continue
    return found


@pytest.fixture(autouse=True)
def _nothingRepeated() -> None:
    """Records that are limited in number begin anew."""
    for logger in list(_logger._loggers.values()):
        logger._repeats.over(everything=True)


def childProcesses() -> dict[int, str]:
    """The child processes of every thread, and the command of each; none where the kernel does not list them."""
    found = {}
    for task in pathlib.Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # the thread has ended
            for pid in map(int, (task / "children").read_text().split()):
                with contextlib.suppress(OSError):
                    command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
                    found[pid] = command.decode(errors="replace") or "(has ended, and was not waited for)"
    return found


def endChildren(pids: set[int]) -> None:
    """Kill what a test has left, so that it is no fault of the tests that follow."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


@pytest.fixture(autouse=True)
def _nothingLeft() -> Iterator[None]:
    threads = set(threading.enumerate())
    files = openFiles()
    children = childProcesses().keys()
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)  # a reactor of Twisted's leaves its own behind
    for thread in set(threading.enumerate()) - threads:
        thread.join(THREAD_DEADLINE)
        assert not thread.is_alive(), f"the test left a thread running: {thread}"
    started = {pid: command for pid, command in childProcesses().items() if pid not in children}
    endChildren(set(started))
    assert not started, f"the test left child processes: {started}"
    if openFiles().keys() - files.keys():
        gc.collect()
    left = {number: what for number, what in openFiles().items() if number not in files}
    assert not left, f"the test left files open: {left}"
