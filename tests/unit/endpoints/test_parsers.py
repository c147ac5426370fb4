"""Endpoint types of others: registered ones, and Twisted's plugins, which are looked for only when somebody asks."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
import twisted.internet.endpoints

import reactor.endpoints
from reactor.endpoints import clientFromString, registerEndpointParser, serverFromString, unregisterEndpointParser
from reactor.endpoints.strings import serverArguments
from reactor.serving.options import makeParser
from reactor.serving.places import endpointsOf
from tests.support.worlds import runProgram

PLUGIN = """
from zope.interface import implementer
from twisted.plugin import IPlugin
from twisted.internet.interfaces import IStreamClientEndpointStringParserWithReactor, IStreamServerEndpointStringParser

@implementer(IPlugin, IStreamServerEndpointStringParser)
class Server:
    prefix = "tried"
    def parseStreamServer(self, reactor, *args, **kwargs):
        return ("server", reactor, args, kwargs)

@implementer(IPlugin, IStreamClientEndpointStringParserWithReactor)
class Client:
    prefix = "tried"
    def parseStreamClient(self, reactor, *args, **kwargs):
        return ("client", reactor, args, kwargs)

server, client = Server(), Client()
"""


class Both:
    prefix = "mine"

    def parseStreamServer(self, *args: Any, **named: Any) -> Any:
        return ("server", args, named)

    def parseStreamClient(self, *args: Any, **named: Any) -> Any:
        return ("client", args, named)


@pytest.fixture
def parser() -> Iterator[Both]:
    parser = Both()
    registerEndpointParser(parser)
    yield parser
    unregisterEndpointParser(parser)
    unregisterEndpointParser(parser)


def test_registered(parser: Both) -> None:
    """It gets the reactor and the fields: those without a key in order, and the others by key; in any case."""
    expected = (("R", "1", "a:b"), {"x": "2"})
    for text in ("mine:1:a\\:b:x=2", b"MINE:1:a\\:b:x=2"):
        assert serverFromString("R", text) == ("server", *expected)
        assert clientFromString("R", text) == ("client", *expected)
    assert serverArguments("mine:1")[0] == "mine"
    unregisterEndpointParser(parser)
    with pytest.raises(ValueError, match="unknown endpoint type 'mine'"):
        serverFromString("R", "mine:1")


def test_ourOwnStay() -> None:
    """Nobody takes the place of a type of ours; one registered parser takes that of another."""

    class TCP(Both):
        prefix = "tcp"

    class Later(Both):
        def parseStreamServer(self, *args: Any, **named: Any) -> Any:
            return "later"

    parsers = [TCP(), Both(), Later()]
    for each in parsers:
        registerEndpointParser(each)
    assert type(serverFromString(None, "tcp:1")).__name__ == "TCP4ServerEndpoint"
    assert serverFromString(None, "mine:1") == "later"
    for each in parsers:
        unregisterEndpointParser(each)


@pytest.mark.parametrize(
    "wrong", [object(), type("NoPrefix", (Both,), {"prefix": None})(), type("No", (), {"prefix": "x"})()]
)
def test_whatIsNoParser(wrong: Any) -> None:
    with pytest.raises(TypeError, match="a parser has a prefix"):
        registerEndpointParser(wrong)


def test_theCommandTakesThem(parser: Both) -> None:
    """--listen, and its address is the parser's business."""
    options = makeParser().parse_args(["serve", "--listen", "mine:1"])
    loop: Any = "R"
    assert endpointsOf(options, loop) == [("mine", ("server", ("R", "1"), {}))]


def test_pluginsOfTwisted(tmp_path: pathlib.Path) -> None:
    """A plug-in in twisted/plugins of a directory on the path is found, as Twisted finds it."""
    (tmp_path / "twisted" / "plugins").mkdir(parents=True)
    (tmp_path / "twisted" / "plugins" / "tried.py").write_text(PLUGIN)
    program = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
import reactor.endpoints as ours
ours.serverFromString(None, "tcp:1")
assert "twisted" not in sys.modules
import twisted.internet.endpoints as theirs
for module in (ours, theirs):
    print(module.serverFromString("R", "tried:1:x=2"), module.clientFromString("R", "tried:1:x=2"))
"""
    done = runProgram(program)
    first, second = done.stdout.splitlines()
    assert first == second == "('server', 'R', ('1',), {'x': '2'}) ('client', 'R', ('1',), {'x': '2'})"


@pytest.mark.parametrize(
    "hide", ["sys.meta_path.insert(0, Hide())", "sys.modules['twisted.plugin'] = None"], ids=["none", "broken"]
)
def test_withoutTwisted(hide: str) -> None:
    """There is none, or one that cannot be imported: the type is unknown, and says so."""
    done = runProgram(
        f"""
import importlib.util, sys
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name == "twisted":
            raise ModuleNotFoundError(name)
find = importlib.util.find_spec
from reactor.endpoints import serverFromString
if "Hide" in {hide!r}:
    importlib.util.find_spec = lambda name: None if name == "twisted" else find(name)
{hide}
try:
    serverFromString(None, "strange:1")
except ValueError as error:
    print(error)
"""
    )
    assert done.stdout.startswith("unknown endpoint type 'strange', the types here are tcp"), done.stderr


def test_ownTypesComeFirst() -> None:
    """Twisted has a plugin for `haproxy`, too; the endpoint is this package's, and so is what it wraps."""
    theirs = twisted.internet.endpoints.serverFromString(object(), "haproxy:tcp:1")
    assert type(theirs).__module__.startswith("twisted.")
    endpoint = serverFromString(object(), "haproxy:tcp:1")
    assert type(endpoint).__module__ == "reactor.haproxy.listening"
    assert type(endpoint._wrappedEndpoint).__module__.startswith("reactor.")
    assert {"registerEndpointParser", "unregisterEndpointParser"} <= set(reactor.endpoints.__all__)
