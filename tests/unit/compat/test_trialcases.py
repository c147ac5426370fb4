"""reactor.compat.unittest beside trial: the same test cases have the same outcomes in both."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import pytest

CASES = """
import warnings
{imports}

def warn(text):
    warnings.warn(text, UserWarning, stacklevel=1)

class Cases(TestCase):
    def test_passes(self):
        pass

    def test_fails(self):
        self.assertEqual(1, 2)

    def test_raises(self):
        raise ValueError("raised")

    def test_loggedErrorFails(self):
        log.err(ValueError("logged"))

    def test_loggedErrorIsFlushed(self):
        log.err(ValueError("logged"))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 0)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_loggedTextIsNoError(self):
        log.err("a text")

    def test_warningsAreFlushed(self):
        warn("one")
        warn("two")
        warnings.warn("three", DeprecationWarning, stacklevel=1)
        self.assertEqual(len(self.flushWarnings([self.test_fails])), 0)
        found = self.flushWarnings([warn])
        self.assertEqual([each["message"] for each in found], ["one", "two"])
        self.assertEqual([each["category"] for each in found], [UserWarning] * 2)
        (own,) = self.flushWarnings([self.test_warningsAreFlushed])
        self.assertEqual(own["category"], DeprecationWarning)
        self.assertEqual(self.flushWarnings(), [])

    def test_theSameWarningTwice(self):
        for _ in range(2):
            warn("again")
        self.assertEqual(len(self.flushWarnings()), 2)

    def test_warningsAreLeft(self):
        warn("left")

    def test_deferred(self):
        later = defer.Deferred()
        reactor.callLater(0, later.callback, None)
        return later

    def test_deferredFails(self):
        return defer.fail(KeyError("no"))

    async def test_coroutine(self):
        await defer.succeed(None)

    async def test_coroutineFails(self):
        await defer.fail(KeyError("no"))

    def test_delayedCallIsLeft(self):
        reactor.callLater(100, lambda: None)

    def test_skips(self):
        raise SkipTest("not today")

    def test_todo(self):
        self.fail("as expected")
    test_todo.todo = "later"

    def test_cleanupsBeforeTearDown(self):
        self.order = []
        self.addCleanup(self.order.append, "cleanup")

    def tearDown(self):
        self.assertEqual(getattr(self, "order", ["cleanup"]), ["cleanup"])

class Synchronous(SynchronousTestCase):
    def test_returnsAFiredDeferred(self):
        return defer.succeed(None)

    def test_notTrue(self):
        self.assertNot(False)
"""
OURS = """
import reactor
from reactor import defer
from reactor.compat import log
from reactor.compat.unittest import SkipTest, SynchronousTestCase, TestCase
"""
THEIRS = """
from twisted.internet import defer, reactor
from twisted.python import log
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase
"""
STATES = {
    "[OK]": "ok",
    "ok": "ok",
    "[FAIL]": "fails",
    "FAIL": "fails",
    "[ERROR]": "fails",
    "ERROR": "fails",
    "[SKIPPED]": "skipped",
    "skipped": "skipped",
    "[TODO]": "todo",
    "expected": "todo",
}


def outcomes(folder: pathlib.Path, imports: str, *command: str) -> dict[str, str]:
    (folder / "test_cases.py").write_text(CASES.format(imports=imports))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", *command], cwd=folder, capture_output=True, text=True, check=False
    )
    found: dict[str, str] = {}
    said = done.stdout + done.stderr
    for name, state in re.findall(r"^ *(test_\w+)(?: \([\w.]+\))? \.\.\. +(\S+)", said, re.MULTILINE):
        if found.get(name) != "fails":
            found[name] = STATES[state]
    return found


def test_theOutcomesAreTrials(tmp_path: pathlib.Path) -> None:
    trial = outcomes(tmp_path, THEIRS, "twisted.trial", "--reporter=verbose", "test_cases")
    ours = outcomes(tmp_path, OURS, "unittest", "-v", "test_cases")
    assert len(trial) == 19
    assert {name: state for name, state in ours.items() if trial[name] != state} == {}
    assert ours.keys() == trial.keys()


def test_warningsThatAreLeftAreRaisedAtTheEnd(tmp_path: pathlib.Path) -> None:
    (tmp_path / "test_cases.py").write_text(CASES.format(imports=OURS))
    for option, code in (("default", 0), ("error", 1)):
        command = [sys.executable, "-W", option, "-m", "unittest", "test_cases.Cases.test_warningsAreLeft"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        assert "UserWarning: left" in done.stderr


@pytest.mark.parametrize("runner", ["pytest -p no:cacheprovider", "unittest"])
def test_aDeferredThatNobodyFiresFailsASynchronousTest(tmp_path: pathlib.Path, runner: str) -> None:
    """trial takes it for a success."""
    (tmp_path / "test_one.py").write_text(
        OURS + "class One(SynchronousTestCase):\n    def test_it(self):\n        return defer.Deferred()\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", *runner.split(), "test_one.py" if "pytest" in runner else "test_one"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "only a TestCase waits for it" in done.stdout + done.stderr
