"""`reactor.compat.usage` beside Twisted's: the same classes parse the same command lines alike."""

from __future__ import annotations

from typing import Any

import pytest
import twisted.python.usage

import reactor.compat.usage

BOTH = pytest.mark.parametrize("usage", [reactor.compat.usage, twisted.python.usage], ids=["ours", "twisted"])


def makeOptions(usage: Any) -> Any:
    class Base(usage.Options):  # type: ignore[misc]
        optFlags: Any = (("fast", "f", "Be fast."),)

    class Sub(usage.Options):  # type: ignore[misc]
        optParameters = (("name", "n", "nobody", "The name."),)

        def parseArgs(self, *args: str) -> None:
            self["args"] = args

    class Options(Base):
        synopsis = "[options]"
        longdesc = "What it does."
        optFlags: Any = (("slow", None, "Be slow."),)
        optParameters = (("port", "p", 80, "The port.", usage.portCoerce), ("host", None, "localhost", "The host."))
        subCommands = (("run", "r", Sub, "Run it."), ("walk", None, Sub, "Walk."))
        defaultSubCommand = "walk"
        level = 0

        def opt_verbose(self) -> None:
            """Say more."""
            self.level += 1

        opt_v = opt_verbose

        def opt_add_to(self, value: str) -> None:
            """Add a value."""
            self.setdefault("added", []).append(value)

        def postOptions(self) -> None:
            if self["port"] == 13:
                raise usage.UsageError("not 13")

    return Options()


@BOTH
@pytest.mark.parametrize(
    "line",
    [
        "",
        "-f --slow -p 8080 --host=there -vv run",
        "--port 1 r --name me a b",
        "--add-to 1 --add-to 2 walk x",
        "run -n you",
        "--ver --po 3 run",
    ],
)
def test_good(usage: Any, line: str) -> None:
    found = []
    for module in (usage, twisted.python.usage):
        options = makeOptions(module)
        if line.startswith("--ver"):  # an abbreviation of two options
            with pytest.raises(module.UsageError):
                options.parseOptions(line.split())
            return
        options.parseOptions(line.split())
        found.append((dict(options), options.level, options.subCommand, dict(options.subOptions)))
        assert options.subOptions.parent is options
    assert found[0] == found[1]


@BOTH
@pytest.mark.parametrize(
    "line", ["--nonsense", "-x", "--port", "--port x run", "--port 70000", "crawl", "--port 13 run"]
)
def test_bad(usage: Any, line: str) -> None:
    with pytest.raises(usage.UsageError):
        makeOptions(usage).parseOptions(line.split())


@BOTH
def test_wrongNumberOfArguments(usage: Any) -> None:
    class Options(usage.Options):  # type: ignore[misc]
        def parseArgs(self, one: str, two: str = "2") -> None:
            self["args"] = (one, two)

    options = Options()
    options.parseOptions(["a"])
    assert options["args"] == ("a", "2")
    for arguments in ([], ["a", "b", "c"]):
        with pytest.raises(usage.UsageError, match=r"Wrong number of arguments\."):
            Options().parseOptions(arguments)
    with pytest.raises(usage.UsageError):
        usage.Options().parseOptions(["a"])


@BOTH
def test_help(usage: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    text = str(makeOptions(usage))
    for part in ("[options]", "-f, --fast", "Be fast.", "-p, --port=", "--slow", "--add-to=", "The host."):
        assert part in text
    for part in ("run", "Run it.", "What it does.", "[default: localhost]", "Say more.", "--verbose", "--help"):
        assert part in text
    with pytest.raises(SystemExit) as caught:
        makeOptions(usage).parseOptions(["--help"])
    assert not caught.value.code
    assert "Be fast." in capsys.readouterr().out


@BOTH
def test_aMethodReplacesAParameter(usage: Any) -> None:
    """An opt_ method is called for a parameter of its name, whose default, short name and text stay."""

    class Options(usage.Options):  # type: ignore[misc]
        optParameters = (("blur-usage", "b", None, "Blur times."),)

        def opt_blur_usage(self, value: str) -> None:
            self["blur-usage"] = int(value)

    for line, value in (("", None), ("--blur-usage 60", 60), ("-b 5", 5)):
        options = Options()
        options.parseOptions(line.split())
        assert options["blur-usage"] == value
    assert "Blur times." in str(Options())
