"""The configuration of `serve`: its table of options, their sources, their order, and the mistakes in them."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import reactor.__main__ as command
from reactor.serving import config, sources
from reactor.serving.errors import USAGE, CommandError
from reactor.serving.options import makeParser
from reactor.serving.plan import ListenPlan, Plan
from reactor.serving.setting import LISTEN, PLACE, PROCESS, Setting
from reactor.serving.settings import BY_KEY, CHOICE, SETTINGS
from reactor.serving.supervising import placesOf
from reactor.serving.values import FLAG, NUMBER, TABLE, WHOLE, Delimiter, WrongValue
from tests.support.tlsworlds import certificatePath

# Texts that an option takes, where the form of the option does not tell.
TEXTS = {
    "host": ["127.0.0.1", "::1", "localhost", "0.0.0.0"],
    "listen": ["tcp:1", "tcp:2", "unix:/run/x", "tcp6:4"],
    "delimiter": ["crlf", "lf", "nul", "0d"],
    "workers": ["auto", "2", "3", "4"],
    "user": ["root", "0", "daemon", "nobody"],
    "group": ["0", "1", "2", "3"],
    "allow": ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7/32", "0.0.0.0/0"],
    "admin": ["127.0.0.1:7070", "[::1]:1", "unix:/run/admin", "h:2"],
    "rotate-size": ["1", "64K", "10M", "2G"],
    "rotate-every": ["30", "15m", "1h", "1d"],
}
TEXTS["deny"] = TEXTS["proxy"] = TEXTS["allow"]
FIRST = [f"a{number}" for number in range(4)]
PARSER = makeParser()
SOURCES = ("line", "environment", "table", "top")  # in their order


def samples(setting: Setting) -> list[str]:
    """Four texts that the option takes, different if it has so many values."""
    if setting.choices:
        return list(itertools.islice(itertools.cycle(setting.choices), 4))
    if setting.form is FLAG:
        return ["true", "false", "yes", "0"]
    if setting.form in (WHOLE, NUMBER):
        return ["1", "2", "3", "4"]
    return TEXTS.get(setting.key, FIRST)


def inTOML(setting: Setting, text: str) -> str:
    """The text as a value of a file."""
    if setting.form is FLAG:
        value = json.dumps(setting.fromText(text))
    else:
        value = text if setting.form in (WHOLE, NUMBER) else json.dumps(text)
    return f"[{value}]" if setting.repeatable else value


def kept(setting: Setting, text: str) -> Any:
    value = setting.fromText(text)
    return (value,) if setting.repeatable else value


def onCommandLine(setting: Setting, text: str) -> list[str]:
    if setting.key == "app":
        return [text]
    if setting.form is FLAG:
        return [f"--{setting.key}" if setting.fromText(text) else f"--no-{setting.key}"]
    return [setting.option, text]


def loaded(
    arguments: list[str], environ: Mapping[str, str], text: str, path: pathlib.Path, file: str = "F.toml"
) -> config.Loaded:
    """Read a configuration: a command line, an environment, and a file of this text."""
    (path / file).write_text(f"{text}\n")
    options = PARSER.parse_args(["serve", "--config", str(path / file), *arguments])
    return config.load(vars(options), environ)


def mistakesOf(text: str, path: pathlib.Path, *arguments: str, environ: Mapping[str, str] | None = None) -> list[str]:
    found = loaded(list(arguments), environ or {}, text, path)
    return [str(mistake).replace(f"{path}/", "") for mistake in found.mistakes]


def planFrom(text: str, path: pathlib.Path, *arguments: str, environ: Mapping[str, str] | None = None) -> Plan:
    found = loaded(list(arguments), environ or {}, text, path)
    assert found.mistakes == []
    assert found.plan is not None
    return found.plan


# The table.


def test_thePlanHasAFieldForEachOption() -> None:
    ofListeners = {each.name for each in dataclasses.fields(ListenPlan)} - {
        "endpoints",
        "inherited",
        "places",
        "host",
        "port",
    }
    assert ofListeners == {each.name for each in SETTINGS if each.scope in (LISTEN, PLACE)} - {"endpoint"}
    ofServers = {each.name for each in dataclasses.fields(Plan)} - {"listeners"}
    assert ofServers == {each.name for each in SETTINGS if each.scope == PROCESS} - {"listen", "host", "port"}
    for each in dataclasses.fields(Plan):
        if each.name in ofServers:
            (setting,) = (known for known in SETTINGS if known.name == each.name)
            assert each.default == setting.default


def test_namesAreDerived() -> None:
    setting = BY_KEY["max-per-address"]
    assert (setting.name, setting.option, setting.variable) == (
        "maxPerAddress",
        "--max-per-address",
        "LINEREACTOR_MAX_PER_ADDRESS",
    )
    assert len({setting.variable for setting in SETTINGS}) == len(SETTINGS)


# The order of precedence.


@pytest.mark.parametrize(
    "setting", [each for each in SETTINGS if each.outside and each.key != "config"], ids=lambda each: each.key
)
def test_oneOrderOfPrecedence(setting: Setting, tmp_path: pathlib.Path) -> None:
    """For each option and each set of sources, the strongest of them counts."""
    isOfPlaces = setting.scope == LISTEN
    texts = dict(zip(SOURCES, samples(setting), strict=True))
    # The file's value for `listen` is the array of tables, or an array of texts.
    for chosen in itertools.chain.from_iterable(itertools.combinations(SOURCES, size) for size in range(5)):
        if "table" in chosen and not isOfPlaces:
            continue
        arguments = onCommandLine(setting, texts["line"]) if "line" in chosen else []
        environ = {setting.variable: texts["environment"]} if "environment" in chosen else {}
        top = f"{setting.key} = {inTOML(setting, texts['top'])}\n" if "top" in chosen else ""
        table = f"{setting.key} = {inTOML(setting, texts['table'])}\n" if "table" in chosen else ""
        file = f'{top}[[listen]]\nendpoint = "tcp:1"\n{table}' if isOfPlaces else top
        found = loaded(arguments, environ, file, tmp_path)
        values = found.origins[0] if isOfPlaces else found.process
        key = "endpoint" if setting.key == "listen" else setting.key
        values = found.origins[0] if key == "endpoint" else values
        if not chosen:
            assert key not in values
            continue
        expected = kept(setting, texts[next(source for source in SOURCES if source in chosen)])
        assert values[key].value == expected, chosen


OPTIONS = [each for each in SETTINGS if each.scope == LISTEN and each.outside and each.key not in CHOICE]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_eachOptionByItself(data: st.DataObject, tmp_path: pathlib.Path) -> None:
    """Any mixture of sources for all options of a place: one option does not touch another."""
    where = {each.key: data.draw(st.sets(st.sampled_from(SOURCES)), each.key) for each in OPTIONS}
    texts = {each.key: dict(zip(SOURCES, samples(each), strict=True)) for each in OPTIONS}

    def lines(source: str) -> str:
        chosen = [each for each in OPTIONS if source in where[each.key]]
        return "".join(f"{each.key} = {inTOML(each, texts[each.key][source])}\n" for each in chosen)

    arguments = [
        part for each in OPTIONS if "line" in where[each.key] for part in onCommandLine(each, texts[each.key]["line"])
    ]
    environ = {each.variable: texts[each.key]["environment"] for each in OPTIONS if "environment" in where[each.key]}
    found = loaded(arguments, environ, f'{lines("top")}[[listen]]\nendpoint = "tcp:1"\n{lines("table")}', tmp_path)
    expected = {
        each.key: kept(each, texts[each.key][min(where[each.key], key=SOURCES.index)])
        for each in OPTIONS
        if where[each.key]
    }
    values = found.origins[0]
    assert {key: value.value for key, value in values.items() if key not in ("name", "endpoint")} == expected


def test_theStrongestSourceNamesTheApplication(tmp_path: pathlib.Path) -> None:
    """An application of a weaker source is hidden, with its arguments; so is a handler."""
    file = '[[listen]]\nendpoint = "tcp:1"\napp = "a.b:C"\n[listen.arguments]\nx = 1\n'
    assert planFrom(file, tmp_path).listeners[0].arguments == {"x": 1}
    plan = planFrom(file, tmp_path, "--http", "d:e")
    assert (plan.listeners[0].app, plan.listeners[0].http, plan.listeners[0].arguments) == (None, "d:e", {})
    plan = planFrom(file, tmp_path, environ={"LINEREACTOR_APP": "chat"})
    assert (plan.listeners[0].app, plan.listeners[0].arguments) == ("chat", {})


def test_argumentsOfATableAreForTheApplicationAboveIt(tmp_path: pathlib.Path) -> None:
    file = 'app = "a:b"\n[arguments]\nx = 1\n[[listen]]\nendpoint = "tcp:1"\n[[listen]]\nendpoint = "tcp:2"\n'
    plan = planFrom(f"{file}arguments = {{ y = 2 }}\n[[listen]]\nendpoint = 'tcp:3'\napp = 'c:d'\n", tmp_path)
    assert [each.arguments for each in plan.listeners] == [{"x": 1}, {"y": 2}, {}]


def test_placesOfTheCommandLineReplaceTheTables(tmp_path: pathlib.Path) -> None:
    file = 'max-line = 9\n[[listen]]\nendpoint = "tcp:1"\n[[listen]]\nendpoint = "tcp:2"\n'
    assert [each.endpoints for each in planFrom(file, tmp_path).listeners] == [("tcp:1",), ("tcp:2",)]
    plan = planFrom(file, tmp_path, "--listen", "tcp:3", "--listen", "tcp:4")
    assert [(each.endpoints, each.maxLine) for each in plan.listeners] == [(("tcp:3", "tcp:4"), 9)]
    plan = planFrom(file, tmp_path, environ={"LINEREACTOR_LISTEN": "tcp:5, unix:/x"})
    assert [each.endpoints for each in plan.listeners] == [("tcp:5", "unix:/x")]


def test_hostAndPortAreOnePlaceMore(tmp_path: pathlib.Path) -> None:
    plan = planFrom('[[listen]]\nendpoint = "tcp:1"\n', tmp_path, "--port", "2")
    assert [(each.endpoints, each.host, each.port) for each in plan.listeners] == [
        (("tcp:1",), None, None),
        ((), None, 2),
    ]
    assert [each.name for each in plan.listeners] == ["echo", "echo-2"]
    plan = planFrom("port = 3\n", tmp_path, environ={"LINEREACTOR_HOST": "::1"})
    assert [(each.host, each.port) for each in plan.listeners] == [("::1", 3)]


def test_valuesForAllPlacesAreInherited(tmp_path: pathlib.Path) -> None:
    """A place whose application has no use for them does without; a single place must have one."""
    file = (
        'root = "docs"\nmax-line = 5\n[[listen]]\nendpoint = "tcp:1"\napp = "files"\n[[listen]]\nendpoint = "tcp:2"\n'
    )
    first, second = planFrom(file, tmp_path).listeners
    assert (first.own("maxLine"), first.maxLine, first.root) == (None, 5, "docs")
    assert (second.own("root"), second.own("app")) == (None, None)
    single = planFrom('max-line = 5\n[[listen]]\nendpoint = "tcp:1"\n', tmp_path).listeners[0]
    assert single.own("maxLine") == 5


def test_names(tmp_path: pathlib.Path) -> None:
    tables = '[[listen]]\nendpoint = "tcp:1"\n[[listen]]\nendpoint = "tcp:2"\nname = "echo"\n'
    plan = planFrom(f'{tables}[[listen]]\nendpoint = "tcp:3"\n', tmp_path)
    assert [each.name for each in plan.listeners] == ["echo-2", "echo", "echo-3"]


def test_valuesAreConverted(tmp_path: pathlib.Path) -> None:
    file = """
        grace = 2
        workers = 'auto'
        [[listen]]
        endpoint = ['tcp:1', 'unix:/x']
        delimiter = 'nul'
        idle-timeout = 0.5
        allow = ['10.0.0.0/8', '::1']
        refusal = 'full'
        session-tickets = true
        cert = 'c'
    """
    plan = planFrom(file, tmp_path)
    (place,) = plan.listeners
    assert (plan.grace, plan.workers, place.delimiter) == (2.0, "auto", Delimiter(b"\0"))
    assert (place.idleTimeout, place.allow, place.refusal) == (0.5, ("10.0.0.0/8", "::1/128"), b"full\r\n")
    assert (place.sessionTickets, place.endpoints) == (True, ("tcp:1", "unix:/x"))


def test_theEnvironmentNamesTheFile(tmp_path: pathlib.Path) -> None:
    (tmp_path / "x.toml").write_text("grace = 7")
    found = config.load({}, {"LINEREACTOR_CONFIG": str(tmp_path / "x.toml")})
    assert found.plan is not None
    assert (found.plan.grace, found.plan.config) == (7, str(tmp_path / "x.toml"))


def test_anEmptyVariableIsNotSet(tmp_path: pathlib.Path) -> None:
    assert planFrom("grace = 7", tmp_path, environ={"LINEREACTOR_GRACE": "", "LINEREACTOR_ALLOW": ""}).grace == 7


# Mistakes.


TABLE_BEGINS = '[[listen]]\nendpoint = "tcp:1"\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("max-line = '5'", ["F.toml: max-line (line 1): must be a whole number, not the text '5'"]),
        ("max-line = true", ["F.toml: max-line (line 1): must be a whole number, not true"]),
        ("max-line = 1.5", ["F.toml: max-line (line 1): must be a whole number, not 1.5"]),
        ("max-line = 0", ["F.toml: max-line (line 1): must be a whole number of at least 1, not '0'"]),
        ("grace = 'x'", ["F.toml: grace (line 1): must be a number, not the text 'x'"]),
        ("grace = -1", ["F.toml: grace (line 1): must be a positive number of seconds, not '-1'"]),
        ("grace = nan", ["F.toml: grace (line 1): must be a positive number of seconds, not 'nan'"]),
        ("grace = 2026-01-01", ["F.toml: grace (line 1): must be a number, not a date"]),
        ("app = 5", ["F.toml: app (line 1): must be a text in quotes, not 5"]),
        ("app = ['x']", ["F.toml: app (line 1): must be a text in quotes, not an array"]),
        ("allow = 'x'", ["F.toml: allow (line 1): must be an array, each item a text in quotes, not the text 'x'"]),
        ("allow = [1]", ["F.toml: allow (line 1): must be a text in quotes, not 1"]),
        (
            "allow = ['10.0.0.1/8']",
            ["F.toml: allow (line 1): '10.0.0.1/8' has bits behind its prefix: the network is 10.0.0.0/8"],
        ),
        ("arguments = 1", ["F.toml: arguments (line 1): must be a table, not 1"]),
        ("session-tickets = 'yes'", ["F.toml: session-tickets (line 1): must be true or false, not the text 'yes'"]),
        ("overlong = 'cut'", ["F.toml: overlong (line 1): must be one of close, skip, not 'cut'"]),
        ("max-lien = 1", ["F.toml: max-lien (line 1): no such key; the nearest is max-line"]),
        ("max_line = 1", ["F.toml: max_line (line 1): no such key; the nearest is max-line"]),
        ("qqqqqq = 1", ["F.toml: qqqqqq (line 1): no such key"]),
        ("config = 'x'", ["F.toml: config (line 1): an option that a file does not have"]),
        (
            "endpoint = 'tcp:1'",
            ["F.toml: endpoint (line 1): a key of a [[listen]] table, which does not stand above the tables"],
        ),
        ("[listen]\nendpoint = 'x'", ["F.toml: listen (line 1): one table in single brackets: write [[listen]]"]),
        ("grace = 1\na.b = 1", ["F.toml: a (line 2): no such key"]),
        ("grace = 1\n[graze]\na = 1", ["F.toml: graze (line 2): no such key; the nearest is grace"]),
        (f"{TABLE_BEGINS}[other]\na = 1", ["F.toml: other (line 3): no such key"]),
        (f"{TABLE_BEGINS}a.b = 1", ["F.toml: listen[0].a (line 3): no such key"]),
        (
            f"{TABLE_BEGINS}[listen.argumentz]\na = 1",
            ["F.toml: listen[0].argumentz (line 3): no such key; the nearest is arguments"],
        ),
        (
            "proxy = []",
            ["F.toml: proxy (line 1): an empty array would refuse every client, as it trusts no balancer: leave the"],
        ),
        (
            f"proxy = ['unix']\n{TABLE_BEGINS}proxy = []",
            ["F.toml: listen[0].proxy (line 4): an empty array would refuse every client"],
        ),
        ("listen = []", ["F.toml: listen (line 1): an empty array of endpoints is no place to listen"]),
        ("listen = 5", ["F.toml: listen (line 1): must be an array, each item a text in quotes, not 5"]),
        (
            f"grace = 1\n\n{TABLE_BEGINS}\n{TABLE_BEGINS.replace('1', '2')}max-line = 'x'",
            ["F.toml: listen[1].max-line (line 8): must be a whole number, not the text 'x'"],
        ),
        (
            f"{TABLE_BEGINS}workers = 2",
            ["F.toml: listen[0].workers (line 3): a key for the whole server: write it above the first [[listen]]"],
        ),
        (
            "[[listen]]\napp = 'echo'",
            ['F.toml: listen[0] (line 1): an endpoint is needed, for example endpoint = "tcp:7000"'],
        ),
        (
            "[[listen]]\nendpoint = []",
            ["F.toml: listen[0].endpoint (line 2): an array without an endpoint is of no use"],
        ),
        (
            "[[listen]]\nendpoint = 'tcp:x'",
            ["F.toml: listen[0].endpoint (line 2): the port of a tcp endpoint is a whole number, not 'x'"],
        ),
        (
            f"{TABLE_BEGINS}{TABLE_BEGINS}",
            ["F.toml: listen[1].endpoint (line 4): the endpoint tcp:1 is given twice"],
        ),
        (
            "[[listen]]\nendpoint = ['tcp:1', 'tcp:1:interface=127.0.0.1']",
            ["F.toml: listen[0].endpoint (line 2): the endpoint tcp:1:interface=127.0.0.1 is given twice"],
        ),
        (
            f"port = 1\n{TABLE_BEGINS}",
            ["F.toml: port (line 1): no key beside [[listen]] tables: an endpoint has its address"],
        ),
        (
            f"{TABLE_BEGINS}name = 'a'\n{TABLE_BEGINS.replace('1', '2')}name = 'a'",
            ["F.toml: listen[1].name (line 6): another place has this name"],
        ),
        (
            f"{TABLE_BEGINS}app = 'echo'\nhttp = 'a:b'",
            ["F.toml: listen[0].http (line 4) names the application: leave out F.toml: listen[0].app (line 3)"],
        ),
        (f"{TABLE_BEGINS}app = 'nothing'", ["F.toml: listen[0].app (line 3): no application 'nothing': it is one of"]),
        (
            f"{TABLE_BEGINS}http = 'nothing'",
            ["F.toml: listen[0].http (line 3): no application 'nothing': --http takes"],
        ),
        (f"{TABLE_BEGINS}app = 'collect'", ["F.toml: listen[0].app (line 3): collect needs output, a file"]),
        (f"{TABLE_BEGINS}app = 'files'", ["F.toml: listen[0].app (line 3): files needs root, a directory"]),
        (f"{TABLE_BEGINS}root = 'x'", ["F.toml: listen[0].root (line 3) is for files only"]),
        (
            f"output = 'x'\n{TABLE_BEGINS}{TABLE_BEGINS.replace('1', '2')}",
            ["F.toml: output (line 1) is for collect only"],
        ),
        (
            f"{TABLE_BEGINS}app = 'files'\nroot = '.'\nmax-line = 5",
            [
                "F.toml: listen[0].app (line 3): --delimiter, --max-line and --overlong are for servers of lines, "
                "and files serves HTTP"
            ],
        ),
        (f"{TABLE_BEGINS}arguments = {{ x = 1 }}", ["F.toml: listen[0].arguments (line 3): echo takes no arguments"]),
        (f"{TABLE_BEGINS}key = 'k'", ["F.toml: listen[0].key (line 3): this needs cert, the certificate of TLS"]),
        (
            "[[listen]]\nendpoint = 'ssl:1'\ncert = 'c'",
            ["F.toml: listen[0].cert (line 3): a ssl endpoint has no place for this: take tcp"],
        ),
        (
            f"{TABLE_BEGINS}proxy-before-tls = true",
            ["F.toml: listen[0].proxy-before-tls (line 3): this needs proxy, the networks of the balancers"],
        ),
        ("watchdog = 3", ["F.toml: watchdog (line 1): this needs workers: the supervisor does it"]),
        ("user = 'nosuchuser'", ["F.toml: user (line 1): there is no user 'nosuchuser'"]),
        ("user = 'root'\ngroup = 'nosuchgroup'", ["F.toml: group (line 2): there is no group 'nosuchgroup'"]),
        (
            "workers = 2\nlisten = ['stdio:']",
            ["F.toml: listen (line 2): stdio: is one connection of one process, which workers cannot share"],
        ),
        (
            "workers = 2\napp = 'chat'",
            ["F.toml: app (line 2): chat is one room in one process, which workers cannot share"],
        ),
        (
            "listen = ['tcp:65536']",
            ["F.toml: listen (line 1): the port of a tcp endpoint is from 0 to 65535, not 65536"],
        ),
        (
            "[[listen]]\nendpoint = 'udp:70000'\napp = 'collect'\noutput = 'x'",
            ["F.toml: listen[0].endpoint (line 2): the port of a udp endpoint is from 0 to 65535, not 70000"],
        ),
        (
            "service = 'a.tac'\nmax-connections = 5",
            ["F.toml: max-connections (line 2): an application of services opens its own ports, so this does nothing"],
        ),
        ("a = ", ["F.toml: line 1, column 5: not valid TOML: invalid value"]),
        ("x = 1\ny", ["F.toml: line 2, column 2: not valid TOML: "]),
        ("grace = 1\ngrace = 2", ["F.toml: line 2, column 10: not valid TOML: cannot overwrite a value"]),
        ("a = [1,", ["F.toml: at its end: not valid TOML: "]),
    ],
)
def test_mistakesInAFile(text: str, told: list[str], tmp_path: pathlib.Path) -> None:
    found = mistakesOf(text, tmp_path)
    assert len(found) == len(told), found
    for mistake, expected in zip(found, told, strict=True):
        assert mistake.startswith(expected)
        assert mistake.isprintable()


def test_everyMistakeIsTold(tmp_path: pathlib.Path) -> None:
    """Those of the command line, the environment and the file together."""
    file = f"grace = 'x'\nwatchdog = 3\n{TABLE_BEGINS}max-line = 'y'\nzzzz = 1\n"
    environ = {"LINEREACTOR_MAX_OUTPUT": "z", "LINEREACTOR_MAX_LIEN": "5", "LINEREACTOR_OTHER": "1"}
    assert mistakesOf(file, tmp_path, "--port", "p", environ=environ) == [
        "--port: must be a whole number from 0 to 65535, not 'p'",
        "LINEREACTOR_MAX_LIEN: no such variable; LINEREACTOR_MAX_LINE is one",
        "LINEREACTOR_MAX_OUTPUT: must be a whole number of at least 1, not 'z'",
        "F.toml: listen[0].max-line (line 5): must be a whole number, not the text 'y'",
        "F.toml: listen[0].zzzz (line 6): no such key",
        "F.toml: grace (line 1): must be a number, not the text 'x'",
        "F.toml: watchdog (line 2): this needs workers: the supervisor does it",
    ]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("PROT", "PORT"),  # two neighbours are swapped
        ("PART", "PORT"),  # one letter is wrong
        ("POR", "PORT"),  # one is missing
        ("PORTS", "PORT"),  # one is too many
        ("HSOT", "HOST"),
        ("KYE", "KEY"),
        ("port", "PORT"),
        ("MAX-LINE", "MAX_LINE"),
        ("WORKER", "WORKERS"),  # without a supervisor it is nothing else
    ],
)
def test_aVariableThatIsNearlyRightIsAMistake(name: str, meant: str, tmp_path: pathlib.Path) -> None:
    told = f"LINEREACTOR_{name}: no such variable; LINEREACTOR_{meant} is one"
    assert mistakesOf("", tmp_path, environ={f"LINEREACTOR_{name}": "7200"}) == [told]


def test_otherVariablesAreLeftAlone(tmp_path: pathlib.Path) -> None:
    """Those of Kubernetes for a Service with the name of the program, apart from LINEREACTOR_PORT, and longer ones."""
    port = "PORT_7000_TCP"
    kubernetes = ("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_LINES", port, f"{port}_PROTO", f"{port}_ADDR")
    for name in (*kubernetes, "HOME", "IMAGE", "PROJECT", "GENERATION", "SOCKETS"):
        assert mistakesOf("", tmp_path, environ={f"LINEREACTOR_{name}": "x"}) == [], name


def test_variablesOfASupervisorAreNoOptions(tmp_path: pathlib.Path) -> None:
    environ = {f"LINEREACTOR_{name}": "x" for name in (*sources.INTERNAL, "CONTROL_GRACE")}
    assert mistakesOf("", tmp_path, environ=environ) == []


def test_filesThatCannotBeRead(tmp_path: pathlib.Path) -> None:
    def told(path: pathlib.Path) -> list[str]:
        return [str(each) for each in config.load({"config": str(path)}, {}).mistakes]

    assert told(tmp_path / "none") == [f"cannot read {tmp_path}/none: No such file or directory"]
    assert told(tmp_path) == [f"cannot read {tmp_path}: Is a directory"]
    (tmp_path / "f").write_bytes(b"grace = 1\nx = '\xff'\n")
    assert told(tmp_path / "f") == [f"{tmp_path}/f: line 2: the file is no UTF-8"]
    (tmp_path / "deep").write_text("x = " + "[" * 100_000)
    assert len(told(tmp_path / "deep")) == 1
    (tmp_path / "large").write_text("#" * (sources.LARGEST_FILE + 1))
    assert told(tmp_path / "large") == [f"cannot read {tmp_path}/large: it has more than 1048576 bytes"]
    (tmp_path / "largest").write_text("#" * sources.LARGEST_FILE)
    assert told(tmp_path / "largest") == []
    assert told(pathlib.Path("/dev/zero")) == ["cannot read /dev/zero: it is no regular file"]


def test_aFIFOAsTheFileDoesNotBlock(tmp_path: pathlib.Path) -> None:
    """Its open() would wait for a writer, and with it the supervisor that reloads."""
    os.mkfifo(tmp_path / "fifo")
    found = config.load({"config": str(tmp_path / "fifo")}, {}).mistakes
    assert list(map(str, found)) == [f"cannot read {tmp_path}/fifo: it is no regular file"]


DIGITS = "9" * 5000  # Python converts at most 4,300


@pytest.mark.parametrize("setting", [each for each in SETTINGS if each.inFile], ids=lambda each: each.key)
def test_everyHostileValueIsAMistakeOfItsKey(setting: Setting, tmp_path: pathlib.Path) -> None:
    """One line with the key, for values that make Python or the system fail: no traceback."""
    before = "" if setting.key == "endpoint" else 'endpoint = "tcp:0"\n'
    for value in ('"\\u0000"', "0x" + "F" * 5000, f"[0x{'F' * 5000}]", "nan", "[[1]]", "[{}]", "07:32:00"):
        prefix = f"[[listen]]\n{before}" if setting.scope == PLACE else ""
        found = mistakesOf(f"{prefix}{setting.key} = {value}\n", tmp_path)
        if setting.key == "listen" and value == "[{}]":
            continue  # this is a table without keys
        assert any(f"{setting.key} (line " in each for each in found), (value, found)
        assert all(each.isprintable() for each in found)
    digits = mistakesOf(f"grace = {DIGITS}\n", tmp_path)
    assert len(digits) == 1
    assert digits[0].startswith("F.toml: not valid TOML: ")


@pytest.mark.parametrize(
    ("key", "most"),
    [
        ("backlog", "2147483647"),
        ("keepalive", "32767"),
        ("user-timeout", "2147483"),
        ("max-pending", "9223372036854775807"),
        ("max-connections", "9223372036854775807"),
        ("rotate-size", "9223372036854775807"),
        ("rotate-every", "3153600000"),
    ],
)
def test_theLargestNumbers(key: str, most: str) -> None:
    setting = BY_KEY[key]
    setting.fromText(most)
    for text in (str(int(most) + 1), DIGITS):
        with pytest.raises(WrongValue):
            setting.fromText(text)


def test_aRefusalIsOneLineOfAnyBytes() -> None:
    refusal = BY_KEY["refusal"]
    assert refusal.fromText("\udcff") == b"\xff\r\n"
    for text in ("a\nb", "a\r"):
        with pytest.raises(WrongValue, match="one line"):
            refusal.fromText(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("user = '4294967290'", "F.toml: user (line 1): user 4294967290 has no group of its own here"),
        ("user = '4294967295'", "F.toml: user (line 1): there is no user '4294967295'"),
        (f"user = '{DIGITS}'", "F.toml: user (line 1): there is no user '9999999999'"),
        ("group = '4294967295'", "F.toml: group (line 1): there is no group '4294967295'"),
        (f"user = 'root'\ngroup = '{DIGITS}'", "F.toml: group (line 2): there is no group '9999999999'"),
    ],
)
def test_usersAndGroupsThatCannotBe(text: str, told: str, tmp_path: pathlib.Path) -> None:
    (found,) = mistakesOf(text, tmp_path)
    assert found.startswith(told)


def test_theFirstMistakeIsTheError(tmp_path: pathlib.Path) -> None:
    with pytest.raises(CommandError, match=r"^--port: .*'x' \(and 1 more: linereactor check tells all\)$") as caught:
        config.planOf({"port": "x", "grace": "y"}, {})
    assert caught.value.code == USAGE
    with pytest.raises(CommandError, match=r"not 'x'$"):
        config.planOf({"port": "x"}, {})


# `check`.


def checked(capsys: Any, *arguments: str) -> tuple[int, str, list[str]]:
    code = command.main(["check", *arguments])
    out, said = capsys.readouterr()
    return code, out, said.splitlines()


def test_checkTellsWhatWouldBeServed(tmp_path: pathlib.Path, capsys: Any) -> None:
    path = tmp_path / "F.toml"
    path.write_text(f"workers = 2\n{TABLE_BEGINS}[[listen]]\nendpoint = 'unix:/run/x'\napp = '{__name__}:make'\n")
    code, out, said = checked(capsys, "--config", str(path))
    assert (code, said) == (0, [])
    assert out.splitlines() == [
        "2 workers, the default loop, grace 5 s",
        "echo: echo on tcp:1",
        f"{__name__}:make: {__name__}:make on unix:/run/x",
    ]


def make() -> Any:
    raise AssertionError("check calls no application")


notUsable = 5


def test_checkImportsTheApplications(tmp_path: pathlib.Path, capsys: Any) -> None:
    path = tmp_path / "F.toml"
    names = ["no.such:App", f"{__name__}:nothing", f"{__name__}:notUsable"]
    tables = "".join(f"[[listen]]\nendpoint = 'tcp:{n}'\napp = '{name}'\n" for n, name in enumerate(names, 1))
    path.write_text(tables)
    code, out, said = checked(capsys, "--config", str(path))
    assert (code, out, len(said)) == (2, "", 3)
    assert said[0].startswith(f"{path}: listen[0].app (line 3): no module named 'no'")
    assert said[1] == f"{path}: listen[1].app (line 6): {__name__} has no 'nothing'"
    assert said[2].startswith(f"{path}: listen[2].app (line 9): {__name__}:notUsable is no Protocol class")
    assert checked(capsys, "--config", str(path), "--no-import")[0] == 0


def test_checkLoadsServices(tmp_path: pathlib.Path, capsys: Any) -> None:
    (tmp_path / "good.tac").write_text("from reactor.service import Application\napplication = Application('x')\n")
    (tmp_path / "bad.tac").write_text("application = 5\n")
    assert checked(capsys, "--service", str(tmp_path / "good.tac"))[0] == 0
    code, _out, said = checked(capsys, "--service", str(tmp_path / "bad.tac"))
    assert (code, len(said)) == (2, 1)
    assert said[0].startswith("--service: ")
    assert "bad.tac" in said[0]


def test_checkLooksForTheFiles(tmp_path: pathlib.Path, capsys: Any) -> None:
    """Certificates, directories and outputs; nothing is written."""
    path = tmp_path / "F.toml"
    path.write_text(
        f"{TABLE_BEGINS}app = 'files'\nroot = '{tmp_path}/none'\n"
        f"[[listen]]\nendpoint = 'tcp:2'\napp = 'collect'\noutput = '{tmp_path}/none/x'\n"
        f"[[listen]]\nendpoint = 'tcp:3'\ncert = '{tmp_path}/none.pem'\n"
        f"[[listen]]\nendpoint = 'tcp:4'\ncert = '{certificatePath()}'\nkey = '{path}'\n"
        f"[[listen]]\nendpoint = 'tcp:5'\ncert = '{certificatePath()}'\ntls-minimum = '1.3'\n"
    )
    code, out, said = checked(capsys, "--config", str(path))
    assert (code, out) == (2, "")
    assert [line.removeprefix(f"{path}: ").split(":")[0] for line in said] == [
        "listen[0].root (line 4)",
        "listen[1].output (line 8)",
        "listen[2].cert (line 11)",
        "listen[3].cert (line 14)",
    ]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["F.toml"]


def test_checkOfACommandLine(capsys: Any) -> None:
    assert checked(capsys, "collect", "--output", "x", "--port", "0") == (
        0,
        "one process, the default loop, grace 5 s\ncollect: collect on 127.0.0.1:0\n",
        [],
    )
    code, out, said = checked(capsys, "--port", "x", "--max-line", "0")
    assert (code, out) == (2, "")
    assert said == [
        "--port: must be a whole number from 0 to 65535, not 'x'",
        "--max-line: must be a whole number of at least 1, not '0'",
    ]


def test_theFormOfTables() -> None:
    """A table is a form of the file alone."""
    assert [each.key for each in SETTINGS if each.form is TABLE] == ["arguments"]
    assert not BY_KEY["arguments"].outside


def test_eachPortOfZeroIsAPlaceOfItsOwn(tmp_path: pathlib.Path) -> None:
    """Two listeners on a port of 0 had one socket in common, which both closed."""
    path = tmp_path / "F.toml"
    path.write_text('admin = "127.0.0.1:0"\nworkers = 2\n' + 3 * '[[listen]]\nendpoint = ["tcp:0", "tcp:0"]\n')
    plan = config.planOf({"config": str(path)}, {})
    places = placesOf(plan)
    assert len(places) == len(set(places.values())) == 6
    assert placesOf(plan) == places  # so that a reload keeps the ports
    path.write_text("workers = 2\nlisten = ['tcp:7000', 'tcp:7000:interface=127.0.0.1:backlog=511']\n")
    with pytest.raises(CommandError, match=r"twice"):
        placesOf(config.planOf({"config": str(path)}, {}))
