"""Imports of Twisted's, written anew: each layout, each binding, and the names that are left."""

from __future__ import annotations

import ast
import codecs
import textwrap

import pytest

from reactor import _current
from reactor.porting import UnreadableError, portSource

DECLARED = "@implementer(IProtocol)\nclass A: pass"
FROM, INTO = "from twisted.internet import ", "from reactor import "


def ported(text: str) -> str:
    return portSource(text.encode()).after.decode()


def left(text: str) -> list[tuple[int, str]]:
    return [(finding.line, finding.name) for finding in portSource(text.encode()).findings]


PAIRS = {
    "reactor": (FROM + "reactor", "import reactor"),
    "renamed reactor": (FROM + "reactor as r  # yes", "import reactor as r  # yes"),
    "modules": (FROM + "defer, protocol as p", INTO + "defer, protocol as p"),
    "both": (FROM + "reactor, protocol as p", "import reactor\n" + INTO + "protocol as p"),
    "three homes": (
        FROM + "defer, ssl, reactor, task  # all",
        "from reactor.compat import ssl\nimport reactor\nfrom reactor import defer, task  # all",
    ),
    "names": (
        "from twisted.internet.defer import Deferred as D, succeed",
        "from reactor.defer import Deferred as D, succeed",
    ),
    "strange spaces": ("from  twisted.internet.defer  import (Deferred)", "from reactor.defer import Deferred"),
    "receivers": ("from twisted.protocols.basic import LineReceiver", "from reactor import LineReceiver"),
    "receivers as a module": ("from twisted.protocols import basic", "from reactor.compat import basic"),
    "another last name": ("from twisted.python import compat", "from reactor.compat import pycompat as compat"),
    "import reactor": (
        "import twisted.internet.reactor\ntwisted.internet.reactor.run()",
        "import reactor\nreactor.run()",
    ),
    "import as": (
        "import os, twisted.internet.defer as d\nd.succeed(1)",
        "import os, reactor.defer as d\nd.succeed(1)",
    ),
    "import dotted": (
        "import twisted.internet.defer, sys\nx = twisted.internet . defer.succeed(1)",
        "import reactor.defer, sys\nx = reactor.defer.succeed(1)",
    ),
    "import of the package": (
        "import twisted\nimport twisted.python.log\ntwisted.python.log.msg(1)\ntwisted.internet.reactor.run()",
        "import reactor, reactor.compat.log\nimport reactor.compat.log\nreactor.compat.log.msg(1)\nreactor.run()",
    ),
    "the name is taken": (
        "import twisted.internet.defer\ndef f(reactor):\n    return twisted.internet.defer.succeed(reactor)",
        "import reactor.defer as reactor_defer\ndef f(reactor):\n    return reactor_defer.succeed(reactor)",
    ),
    "in a function": (
        "def f():\n\tfrom twisted.internet import reactor, defer\n\treturn reactor",
        "def f():\n\timport reactor\n\tfrom reactor import defer\n\treturn reactor",
    ),
    "on one line": ("if 1: " + FROM + "reactor, task", "if 1: import reactor; " + INTO + "task"),
    "behind a statement": ("x = 1; " + FROM + "reactor, task; y = 2", "x = 1; import reactor; " + INTO + "task; y = 2"),
    "if it is there": (
        "try:\n    from twisted.internet import reactor\nexcept ImportError:\n    reactor = None",
        "try:\n    import reactor\nexcept ImportError:\n    reactor = None",
    ),
    "star": ("from twisted.internet.protocol import *", "from reactor.protocol import *"),
    "continued": ("from twisted.internet import defer, \\\n    task", "from reactor import defer, \\\n    task"),
    "continued, with a name that leaves": (
        "from twisted.internet import defer, \\\n    reactor",
        "import reactor\nfrom reactor import defer",
    ),
    "zope": (
        "from zope.interface import implementer\nfrom twisted.internet.interfaces import IProtocol\n" + DECLARED,
        "from reactor.interfaces import implementer\nfrom reactor.interfaces import IProtocol\n" + DECLARED,
    ),
    "service": (
        "from twisted.application import internet, service",
        "from reactor import service\nfrom reactor.service import internet",
    ),
    "trial": ("from twisted.trial import unittest", "from reactor.compat import unittest"),
}


@pytest.mark.parametrize("kind", PAIRS)
def test_imports(kind: str) -> None:
    before, after = PAIRS[kind]
    assert ported(before) == after
    ast.parse(after)
    assert portSource(after.encode()).after == after.encode()
    assert left(before) == []


def test_severalLines() -> None:
    """Comments and layout of what stays are kept; a name that leaves goes with its line."""
    before = """\
    from twisted.internet import (  # the parts
        defer,
        reactor,  # the loop
        task,

        ssl as tls,
        error, )   # end
    """
    after = """\
    from reactor.compat import ssl as tls
    import reactor
    from reactor import (  # the parts
        defer,
          # the loop
        task,

        error, )   # end
    """
    text = textwrap.dedent(before)
    found = ported(text)
    ast.parse(found)
    lines = [line.rstrip() for line in found.split("\n")]
    assert sorted(lines[:2]) == ["from reactor.compat import ssl as tls", "import reactor"]
    assert lines[2:] == [line.rstrip() for line in textwrap.dedent(after).split("\n")][2:]


@pytest.mark.parametrize(
    "names",
    ["defer, # a\n reactor # b\n", "defer, # a\n reactor, # b\n", "reactor, # a\n defer\n", "defer, reactor,\n"],
)
def test_severalLinesWithComments(names: str) -> None:
    found = ported(f"from twisted.internet import ({names})\n")
    tree = ast.parse(found)
    assert [ast.unparse(each) for each in tree.body] == ["import reactor", "from reactor import defer"]
    assert found.count("#") == names.count("#")


def test_onlyTheReactorOnSeveralLines() -> None:
    found = ported("from twisted.internet import (\n    reactor,  # noqa\n)\n")
    assert found == "# noqa\nimport reactor\n"


LEFT = {
    "a module": ("from twisted.web import client", [(1, "twisted.web.client")]),
    "some of a statement": ("x = 1\n" + FROM + "reactor, tksupport", [(2, "twisted.internet.tksupport")]),
    "a name": ("from twisted.internet.defer import Deferred, nonsense", [(1, "twisted.internet.defer.nonsense")]),
    "an attribute": (FROM + "defer\n\nx = defer.nonsense", [(3, "twisted.internet.defer.nonsense")]),
    "an attribute of the reactor": (
        FROM + "reactor\nreactor.running\nreactor.nonsense()",
        [(3, "twisted.internet.reactor.nonsense")],
    ),
    "a dotted attribute": (
        "import twisted.internet.defer\ntwisted.internet.defer.nonsense",
        [(2, "twisted.internet.defer.nonsense")],
    ),
    "an import": ("import twisted.names.client", [(1, "twisted.names.client")]),
    "an import as": ("import twisted.names.client as c", [(1, "twisted.names.client")]),
    "a version": ("import twisted\nprint(twisted.__version__)\ntwisted.version", [(3, "twisted.version")]),
    "an import by a text": (
        "import importlib\nimportlib.import_module('twisted.internet.gtk3reactor')",
        [(2, "twisted.internet.gtk3reactor")],
    ),
    "an argument of the same name": (FROM + "defer\ndef f(defer):\n    return defer.nonsense", []),
    "another module's": ("from .twisted import defer\ndefer.nonsense", []),
    "a class does not hide": (
        FROM + "defer\nclass A:\n    defer = 1\n    def f(self): return defer.nonsense",
        [(4, "twisted.internet.defer.nonsense")],
    ),
    "a service maker": (
        "from twisted.application.service import IServiceMaker",
        [(1, "twisted.application.service.IServiceMaker")],
    ),
}


@pytest.mark.parametrize("kind", LEFT)
def test_left(kind: str) -> None:
    text, names = LEFT[kind]
    assert left(text) == names
    assert all(finding.advice for finding in portSource(text.encode()).findings)
    again = portSource(portSource(text.encode()).after)
    assert again.after == portSource(text.encode()).after


def test_aStatementIsDivided() -> None:
    after = "import reactor\n" + INTO + "defer\n" + FROM + "tksupport"
    assert sorted(ported(FROM + "reactor, tksupport, defer").split("\n")) == sorted(after.split("\n"))
    assert left(FROM + "reactor, tksupport, defer") == [(1, "twisted.internet.tksupport")]


def test_notesAreTexts() -> None:
    """Texts stay, and those that name a module are noted."""
    texts = 'from x import look\nlook("twisted.internet.reactor.callLater", "reactor.listenSSL")\n'
    text = '"""twisted.internet.defer"""\n' + texts
    found = portSource(text.encode())
    assert found.after == text.encode()
    assert [note.name for note in found.notes if note.line == 3] == ["twisted.internet.reactor.callLater"]
    assert found.findings == []


PATCHED = {
    "twisted.internet.reactor.callLater": "reactor.callLater",
    "twisted.internet.defer.Deferred.callback": "reactor.defer.Deferred.callback",
    "twisted.protocols.basic.LineReceiver": "reactor.compat.basic.LineReceiver",
    "twisted.internet.defer.nonsense": None,
    "twisted.internet.reactor": None,
    "twisted.web.client.Agent": None,
}


@pytest.mark.parametrize("name", PATCHED)
@pytest.mark.parametrize("call", ["patch", "mock.patch", "monkeypatch.setattr"])
def test_textsOfPatch(call: str, name: str) -> None:
    """A text for mock.patch names what the program imports now; without a counterpart it is noted."""
    text = f"with {call}('{name}', 1): pass\n"
    found = portSource(text.encode())
    assert found.after.decode() == text.replace(name, PATCHED[name] or name)
    assert [note.name for note in found.notes] == ([] if PATCHED[name] else [name])
    assert found.findings == []
    again = portSource(found.after)
    assert again.after == found.after


STAR = "from twisted.internet.protocol import *\n"
STARS = {
    "a name that is there": (STAR + "class P(Protocol): pass", []),
    "a name of Twisted's": (STAR + "x = 1\nlog.msg(x)\nlog.err()", [(3, "log")]),
    "in a function": (STAR + "def f(a): return a, implements, len", [(2, "implements")]),
    "two stars": (STAR + "from twisted.internet.defer import *\nsucceed(Factory), nonsense", [(3, "nonsense")]),
    "bound later": (STAR + "def f(): return g\ndef g(): return __name__", []),
    "bound in a class": (STAR + "class A:\n    b = 1\n    c = b", []),
    "not a star": ("from twisted.internet.protocol import Factory\nnonsense", []),
    "another's star": (STAR + "from tkinter import *\nlog.msg(1)", []),
    "no counterpart": ("from twisted.web.client import *\nAgent(1)", [(1, "twisted.web.client.*")]),
}


@pytest.mark.parametrize("kind", STARS)
def test_stars(kind: str) -> None:
    text, names = STARS[kind]
    assert left(text) == names
    notes = [note.name for note in portSource(text.encode()).notes]
    assert notes == (["log"] if kind == "another's star" else [])


BODIES = "x = 'Grüße'\n" + FROM + "reactor, defer  # ü\ny = 1\n"


@pytest.mark.parametrize(
    "data",
    [
        BODIES.encode(),
        BODIES.replace("\n", "\r\n").encode(),
        codecs.BOM_UTF8 + BODIES.encode(),
        ("# -*- coding: latin-1 -*-\n" + BODIES).encode("latin-1"),
        BODIES.removesuffix("\n").encode(),
        ("\n\f\n" + BODIES).encode(),
        BODIES.replace("# ü", "# ü\u2028 x").encode(),
    ],
    ids=["utf-8", "crlf", "bom", "latin-1", "no end", "form feed", "line separator"],
)
def test_otherBytesStay(data: bytes) -> None:
    newline = b"\r\n" if b"\r" in data else b"\n"
    assert portSource(data).after == data.replace(
        FROM.encode() + b"reactor, ", b"import reactor" + newline + INTO.encode()
    )


@pytest.mark.parametrize("data", [b"def", b"x = '\xff'", b"# coding: nonsense\n", b"x\0", b"print 'x'", b"(" * 5000])
def test_noPython(data: bytes) -> None:
    with pytest.raises(UnreadableError) as caught:
        portSource(data)
    assert "\n" not in str(caught.value)
    assert str(caught.value)


def test_ownInterfacesKeepZope() -> None:
    """zope's functions take interfaces of both packages; ours take ours only."""
    own = "class IA(Interface): pass\n@implementer(IA)\nclass A: pass\n"
    text = "from zope.interface import Interface, implementer\n" + own
    assert ported(text) == text
    mixed = "from zope.interface import implementer\nfrom other import IB\n@implementer(IB)\nclass A: pass\n"
    assert ported(mixed) == mixed


def test_noReactorIsMade() -> None:
    """Reading what the package has must not make a reactor."""
    before = _current._default
    ported(FROM + "reactor\nreactor.running\nreactor.nameResolver")
    assert _current._default is before
