"""Applications: what they are, how they are found, and what is said when they are not."""

from __future__ import annotations

import pathlib
import sys
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from reactor.interfaces import verifyObject
from reactor.service import (
    Application,
    ApplicationError,
    IProcess,
    IService,
    IServiceCollection,
    Process,
    Service,
    loadApplication,
)

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes a file into the current directory, from which modules are imported, too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def write(name: str, text: str) -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return name

    yield write
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if str(tmp_path) in file or not file.startswith("/"):
            del sys.modules[name]


GOOD = "from reactor.service import Application\napplication = Application('good')\n"


def refusal(source: str) -> str:
    with pytest.raises(ApplicationError) as caught:
        loadApplication(source)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_itIsAllOfIt() -> None:
    application: Any = Application("name", 1)
    for interface in (IService, IServiceCollection, IProcess):
        assert verifyObject(interface, application)
        adapt: Any = interface
        assert adapt(application) is application
    assert (application.name, application.uid, application.gid, application.parent) == ("name", 1, None, None)
    assert repr(application) == "<Application 'name'>"
    child = Service()
    child.setServiceParent(application)
    assert list(application) == [child]
    assert verifyObject(IProcess, Process())


def test_files(write: Write, tmp_path: pathlib.Path) -> None:
    for name in ("good.tac", "other.py", "noSuffix"):
        for source in (write(name, GOOD), str(tmp_path / name), tmp_path / name):
            assert loadApplication(source).name == "good"
    assert loadApplication("good.tac", "python").name == "good"
    with pytest.raises(ValueError, match="'pickle'"):
        loadApplication("good.tac", "pickle")


def test_theFileIsLikeAModule(write: Write) -> None:
    """Its variables are like those of a module that `import` never finds: echo.tac may import echo."""
    write("echo.py", "VALUE = 7\n")
    write(
        "echo.tac",
        """
        from __future__ import annotations
        import dataclasses, os
        from echo import VALUE
        from reactor.service import Application

        @dataclasses.dataclass
        class Settings:
            value: int = VALUE

        application = Application(f"{__name__} {os.path.basename(__file__)} {Settings().value}")
        """,
    )
    assert loadApplication("echo.tac").name == "echo.tac echo.tac 7"


def test_encodings(write: Write, tmp_path: pathlib.Path) -> None:
    text = GOOD.replace("'good'", "'gr\u00fcn'")
    (tmp_path / "latin.tac").write_bytes(f"# -*- coding: latin-1 -*-\n{text}".encode("latin-1"))
    assert loadApplication("latin.tac").name == "gr\u00fcn"
    (tmp_path / "bad.tac").write_bytes(text.encode("latin-1"))
    assert "SyntaxError" in refusal("bad.tac")
    (tmp_path / "nul.tac").write_bytes(b"x = 1\0\n")
    assert refusal("nul.tac").startswith("nul.tac")


def test_modules(write: Write) -> None:
    write("package/__init__.py", "")
    write(
        "package/app.py", GOOD + "class Made:\n    other = Application('other')\ndef make():\n    return Made.other\n"
    )
    found = [loadApplication(f"package.app{name}").name for name in ("", ":application", ":Made.other", ":make")]
    assert found == ["good", "good", "other", "other"]


def test_errorsNameTheirPlace(write: Write, tmp_path: pathlib.Path) -> None:
    write("helping.py", "def fail():\n    raise ValueError('two\\nlines')\n")
    write("syntax.py", "def (:\n")
    write("leaving.py", "raise SystemExit('bye')\n")
    helping = tmp_path / "helping.py"
    for text, expected in (
        ("x = 1\ny = z\n", "a.tac, line 2: NameError: name 'z' is not defined"),
        ("x = 1\n\ndef f(:\n", "a.tac, line 3: SyntaxError: invalid syntax"),
        ("import nothing.here\n", "a.tac, line 1: ModuleNotFoundError: No module named 'nothing'"),
        (
            "import helping\n\nhelping.fail()\n",
            rf"a.tac, line 3: ValueError: two\nlines ({helping}, line 2)",
        ),
        ("import syntax\n", f"{tmp_path / 'syntax.py'}, line 1: SyntaxError: invalid syntax"),
        ("open('missing')\n", "a.tac, line 1: FileNotFoundError: No such file or directory: missing"),
        ("raise SystemExit('bye')\n", "a.tac, line 1: SystemExit: bye"),
        ("raise ValueError\n", "a.tac, line 1: ValueError"),
        ("x = 1\n", "a.tac has no 'application': it assigns application = Application(...)"),
        ("application = 5\n", "a.tac: the application is a service, not 5"),
        ("from reactor.service import Service\napplication = Service\n", "a.tac: the application is a service, not <"),
        ("async def application(): pass\n", "a.tac: the application is a service, not <coroutine"),
        ("def application(): raise KeyError('x')\n", "a.tac: KeyError: 'x' (a.tac, line 1)"),
        (
            "from twisted.application.service import Application\napplication = Application('x')\n",
            "a.tac: the application is Twisted's; import Application from reactor.service",
        ),
    ):
        told = refusal(write("a.tac", text))
        assert told.startswith(expected) if expected.endswith("<") or "coroutine" in expected else told == expected


def test_whatIsNotThere(write: Write, tmp_path: pathlib.Path) -> None:
    write("app.py", GOOD)
    write("bad.py", "import nothing\n")
    write("syntax.py", "x = 1\ndef (:\n")
    write("leaving.py", "raise SystemExit('bye')\n")
    assert refusal("none.tac") == "cannot read none.tac: No such file or directory"
    assert refusal("./none") == "cannot read ./none: No such file or directory"
    assert refusal("none") == "there is no file 'none', and no module named 'none'"
    assert refusal("app.none") == "there is no file 'app.none', and no module named 'app.none'"
    assert refusal("app:none") == "app has no 'none'"
    assert refusal("a b") == "no application 'a b': it is a file, package.module or package.module:name"
    assert refusal("") == "no application '': it is a file, package.module or package.module:name"
    assert refusal(str(tmp_path / "a\0b.tac")).startswith("cannot read ")
    place = f"({tmp_path / 'bad.py'}, line 1)"
    assert refusal("bad") == f"bad: ModuleNotFoundError: No module named 'nothing' {place}"
    assert refusal("syntax") == f"{tmp_path / 'syntax.py'}, line 2: SyntaxError: invalid syntax"
    assert refusal("leaving") == f"leaving: SystemExit: bye ({tmp_path / 'leaving.py'}, line 1)"
