"""bench/: every case gives right answers with the rivals that the tests' environment has, and wrong ones are seen."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import __main__ as command
from bench import guard
from bench.cases import CASES, Case
from bench.figures import FIGURES
from bench.guarded import WORKS
from bench.loads import OurLoad, RedisBenchmark, runTogether
from bench.marks import MARKS, judge
from bench.page import BEGIN, END, fillPage
from bench.processes import Port, clockOf, familyOf, usedBy
from bench.report import marksText, pageOf, textOf
from bench.results import CaseResult, Results, Row, Sample, loadResults
from bench.rivals import RIVALS, facts, missing
from bench.runner import CaseRun, Pace, Progress
from bench.servers.common import JOBS
from bench.subjects import LOADS, Failed, Memory, Server, Worker, Workshop, end
from bench.work import growth, lines, parsing
from bench.work.__main__ import TASKS
from bench.work.lines import Naive
from bench.work.task import WrongAnswer

ROOT = Path(__file__).resolve().parents[2]
FEW = 8  # connections, where a case has more
WORK = [case for case in CASES.values() if case.how in ("work", "growth")]
SERVED = [case for case in CASES.values() if case.how in ("serve", "memory")]
LOOPS = ("timers", "turns", "threads")
TINY = Pace(share=0.02, countShare=0.001, repetitions=2)
UNITS = {"in": 300_000, "out": 300_000}  # of a load; else 20


@pytest.fixture(scope="module")
def workshop() -> Iterator[Workshop]:
    made = Workshop()
    yield made
    made.close()


def small(case: Case) -> Case:
    """The case with few connections."""
    options = dict(case.options)
    if "connections" in options:
        options["connections"] = min(options["connections"], FEW)
    return dataclasses.replace(case, options=options)


def installed(tls: bool = False) -> list[str]:
    return [name for name, rival in RIVALS.items() if not missing(rival, tls)]


def jobsOf(name: str) -> dict[str, list[Case]]:
    """Return the jobs that the server of a rival has to do, and the cases that each job is for."""
    found: dict[str, list[Case]] = {}
    for case in SERVED:
        if name in case.rivals and not missing(RIVALS[name], case.job.startswith("tls-")):
            found.setdefault(case.job, []).append(small(case))
    return found


@pytest.mark.parametrize("name", [name for name in installed() if jobsOf(name)])
def test_servers(name: str, workshop: Workshop) -> None:
    """Each server, given all its jobs at once, answers what each case asks."""
    jobs = jobsOf(name)
    cases = [case for found in jobs.values() for case in found]
    server = Server(cases[0], RIVALS[name], workshop, tuple(jobs))
    try:
        server.ready()
        for case in cases:
            if case.how == "memory":
                continue
            server.case = case
            sample = server.measure(UNITS.get(case.what, 20))
            assert sample.count >= UNITS.get(case.what, 20)
            assert sample.cost > 0
        server.verify()
    finally:
        server.close()


@pytest.mark.parametrize(("case", "rival"), [("memory", "asyncio"), ("http-memory", "twisted-web")])
def test_memory(case: str, rival: str, workshop: Workshop) -> None:
    """Each measurement has a process of its own; a connection holds something."""
    memory = Memory(CASES[case], RIVALS[rival], workshop)
    try:
        memory.ready()
        pids = set()
        for _ in range(2):
            assert memory.measure(200).cost > 100
            pids.add(memory.pid)
        assert len(pids) == 2
        memory.verify()
    finally:
        memory.close()


@pytest.mark.parametrize("case", [case for case in WORK if case.what not in LOOPS], ids=lambda case: case.name)
def test_work(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece of work, in this process."""
    monkeypatch.setattr(parsing, "STREAM", 1 << 16)
    monkeypatch.setattr(growth, "LEAST", 1)
    options = {key: value for key, value in case.options.items() if key != "sizes"}
    for name in set(case.rivals) & set(installed()):
        task = TASKS[case.what](name, **options)
        count = 20 if case.what != "growth" else 1 << 13 if "trickle" in case.name else 1 << 16
        assert task.run(count) >= count
        task.verify()


def test_workers(workshop: Workshop) -> None:
    """The event loops, each in its own process, as all work is when it is measured."""
    found = [(case, name) for case in WORK if case.what in LOOPS for name in set(case.rivals) & set(installed())]
    workers = [Worker(case, RIVALS[name], workshop) for case, name in found]
    try:
        for worker in workers:
            worker.ready()
            assert worker.measure(200).count == 200
            worker.verify()
    finally:
        for worker in workers:
            worker.close()


class Forgetful(Naive):
    """Loses each line that follows a seven."""

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(re.sub(rb"7\r\n[^\r]*\r\n", b"7\r\n", data))


def test_aLostLineIsSeen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(lines.PLAIN, "naive", Forgetful)
    with pytest.raises(WrongAnswer, match="the lines"):
        parsing.Parse("naive", 8).verify()


OK = b"HTTP/1.1 200 OK\r\n"


class Wrong:
    """A server that answers every read with the same bytes."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self) -> None:
        sock, _ = self.listener.accept()
        with sock:
            while sock.recv(1 << 20):
                sock.sendall(self.answer)
            with contextlib.suppress(OSError):  # the client has reset it
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.thread.join()
        self.listener.close()


@pytest.mark.parametrize(
    ("what", "answer", "options"),
    [
        ("dialogue", b"+PANG\r\n", {"connections": 1}),
        ("paced", b"+PANG\r\n", {"connections": 1}),
        ("ingest", b"19 lines 5 bytes\r\n", {"connections": 1, "length": 32}),
        ("in", b"5 bytes\r\n", {}),
        ("out", b"what nobody asked for", {}),
        ("http", OK + b"Content-Length: 13\r\n\r\nHello, earth!", {"connections": 1}),
        ("http", OK + b"Content-Length: 12\r\n\r\nHello, world", {"connections": 1}),
        ("http", OK + b"Content-Length: 13\r\n\r\nHello, world!!", {"connections": 1}),
        ("http", OK + b"\r\nHello, world!", {"connections": 1}),
        ("http", OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nHello\r\n0\r\n\r\n", {"connections": 1}),
        ("http", b"HTTP/1.1 404 Not Found\r\nContent-Length: 13\r\n\r\nHello, world!", {"connections": 1}),
        ("http", (OK + b"Content-Length: 13\r\n\r\nHello, world!") * 2, {"connections": 1}),
        ("http-up", OK + b"Content-Length: 9\r\n\r\n5 bytes\r\n", {}),
        ("http-down", OK + b"Content-Length: 1\r\n\r\n?", {}),
    ],
)
def test_aWrongAnswerIsSeen(what: str, answer: bytes, options: dict[str, Any]) -> None:
    wrong = Wrong(answer)
    try:
        load = LOADS[what](wrong.port, False, **options)
        with pytest.raises(WrongAnswer):
            load.run(load.round(1))
        load.close()
    finally:
        wrong.close()


def test_aLoadThatFails() -> None:
    """A complaint of `linereactor load` ends a run."""
    port = Port()
    try:
        with pytest.raises(WrongAnswer, match="failed with 1"):
            OurLoad(port.number, False, 1, 1).run(10)
    finally:
        port.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"content-LENGTH:13\r\n\r\nHello, world!",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nHello\r\n8\r\n, world!\r\n0\r\n\r\n",
    ],
)
def test_aRightAnswerOverHTTP(answer: bytes) -> None:
    """A body of a given length, and one in chunks."""
    right = Wrong(OK + answer)
    try:
        load = LOADS["http"](right.port, False, connections=1)
        assert load.run(3) > 0
    finally:
        right.close()


def test_theWorkOfChildrenCounts(workshop: Workshop) -> None:
    """A server may leave its work to another process, which ends with it."""
    work = "import os, signal; os.fork() or [sum(range(3 * 10**7)), print(flush=True)]; signal.pause()"
    process = workshop.spawn([sys.executable, "-c", work], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"\n"
        assert len(familyOf(process.pid)) == 2
        assert usedBy(process.pid).cpu > 2 * clockOf(process.pid)
    finally:
        stdout = os.dup(process.stdout.fileno())
        end(process)
    with open(stdout, "rb") as file:
        assert file.read() == b""  # nobody holds the other end


SHARED = {"ours-worker": 2, "ours-workers": 3, "uvloop-two": 2, "floor-two": 2}


@pytest.mark.parametrize("name", sorted(set(SHARED) & set(installed())))
def test_theWorkOfWorkersCounts(name: str, workshop: Workshop) -> None:
    """Each process that serves has a part of the load, and is one of the family whose cost counts."""
    server = Server(CASES["workers-paced"], RIVALS[name], workshop)
    try:
        server.ready()
        assert server.pid is not None
        server.measure(1000)  # so each of them has started
        family = familyOf(server.pid)
        assert len(family) == SHARED[name]
        before = [clockOf(each) for each in family]
        server.measure(1000)
        used = [clockOf(each) - past for each, past in zip(family, before, strict=True)]
        serving = used[1:] if name.startswith("ours") else used
        assert min(serving) > sum(used) / 10
    finally:
        server.close()


def test_severalClients(workshop: Workshop) -> None:
    """They share the connections and the work, and each of them tells how it has ended."""
    server = Server(small(CASES["workers-16"]), RIVALS["floor"], workshop)
    try:
        server.ready()
        assert server.measure(1000).count >= 1000
    finally:
        server.close()
    failing = [sys.executable, "-c", "import sys; print('no'); sys.exit(3)"]
    assert runTogether([failing, [sys.executable, "-c", ""]]) == [(3, "no\n"), (0, "")]
    benchmark = RedisBenchmark(0, False)
    assert benchmark.secondsOf(0, "10 requests completed in 1 s\nthroughput summary: 5 requests per second", 10) == 2
    for code, text in ((1, "10 requests completed in 1 s\nthroughput summary: 5 requests per second"), (0, "")):
        with pytest.raises(WrongAnswer):
            benchmark.secondsOf(code, text, 10)


def test_withoutRedisBenchmark(workshop: Workshop) -> None:
    """`linereactor load` takes its place, and servers echo."""
    server = Server(dataclasses.replace(CASES["requests-50x16"], job="echo"), RIVALS["floor"], workshop)
    try:
        server.ready()
        load = OurLoad(server.ports["echo"], False, 5, 4)
        assert load.run(load.round(100)) > 0
    finally:
        server.close()


def test_aRunOfACase(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody is measured in turn; who is not installed, who fails and who is wrong is said, and the others go on."""
    monkeypatch.setitem(RIVALS, "gevent", dataclasses.replace(RIVALS["gevent"], needs=("nosuchmodule",)))
    monkeypatch.setitem(RIVALS, "twisted", dataclasses.replace(RIVALS["twisted"], server=("nosuchserver",)))
    names = ["ours", "asyncio", "gevent", "twisted"]
    result = CaseRun(small(CASES["requests-50x1"]), names, workshop, TINY, Progress()).run()
    assert list(result.measured()) == ["ours", "asyncio"]
    assert [len(result.rows[name].samples) for name in names] == [2, 2, 0, 0]
    assert result.rows["gevent"].problem == "not installed: nosuchmodule"
    assert not result.rows["gevent"].failed
    assert result.rows["twisted"].failed
    table = textOf(result)
    assert "not installed: nosuchmodule" in table
    assert "failed: it does not start" in table
    results = Results(facts(), "now", False, {"requests-50x1": result})
    assert command.failuresOf(results) == ["requests-50x1: twisted: failed: it does not start"]
    verdicts = {verdict.mark.rival: verdict.word for verdict in judge(results)}
    assert verdicts["twisted"] == "not measured"


def test_aRunOfGrowth(workshop: Workshop) -> None:
    """Sizes are measured in turn, and an exponent is found."""
    case = dataclasses.replace(
        CASES["growth-floodOfCR"], options={"how": "floodOfCR", "sizes": [65536, 131072, 262144]}
    )
    result = CaseRun(case, ["ours"], workshop, TINY, Progress()).run()
    assert [sample.count for sample in result.rows["ours"].samples] == [1 << 19] * 6
    assert result.rows["ours"].sizes == case.options["sizes"]
    assert isinstance(result.rows["ours"].exponent, float)


def test_aWorkerThatIsWrongOrEnds(workshop: Workshop) -> None:
    worker = Worker(CASES["dispatch-turn"], RIVALS["asyncio"], workshop)
    try:
        worker.ready()
        with pytest.raises(WrongAnswer, match="turns: 1, not -1"):
            worker.measure(-1)
        worker.process.kill()
        with pytest.raises(Failed, match="it has ended"):
            worker.measure(1)
    finally:
        worker.close()


def rowOf(*costs: float) -> Row:
    return Row([Sample(100, cost, 1.0, (3, 1)) for cost in costs])


def test_ratiosArePaired() -> None:
    """A repetition in which everything was slow counts as the others do."""
    case = CaseResult(
        "", "line", "work", {"ours": rowOf(1, 50, 3), "naive": rowOf(2, 100, 6), "split": Row(problem="?")}
    )
    assert case.ratio("ours", "naive") == 0.5
    assert case.ratio("ours", "split") is None
    assert case.rows["ours"].cost == 3
    assert case.rows["ours"].rate == 100


def test_exponents() -> None:
    for power in (1, 2):
        sizes = [100, 200, 400]
        samples = [Sample(size, float(size) ** (power - 1), 1.0, (0, 0)) for size in sizes * 2]
        assert Row(samples, sizes).exponent == pytest.approx(power)


def test_verdicts() -> None:
    """Each kind of mark, on either side of its bound."""
    parsed = CaseResult("", "line", "work", {"ours": rowOf(1.0), "naive": rowOf(0.95), "twisted": rowOf(11.0)})
    held = CaseResult("", "connection", "memory", {"ours": rowOf(900.0), "uvloop": rowOf(899.0), "floor": rowOf(1.0)})
    secret = CaseResult("", "request", "serve", {"ours": rowOf(1.0), "asyncio": rowOf(1.0), "uvloop": rowOf(0.96)})
    grown = CaseResult("", "byte", "growth", {"ours": Row([Sample(n, n**0.1, 1, (0, 0)) for n in (1, 2)], [1, 2])})
    cases = {"parse-crlf-8": parsed, "memory": held, "tls-lines": secret, "growth-pauses": grown}
    verdicts = judge(Results({}, "", False, cases))
    found = {
        (verdict.mark.case, verdict.mark.ours, verdict.mark.rival, verdict.mark.kind): verdict for verdict in verdicts
    }
    words = {key: verdict.word for key, verdict in found.items() if verdict.word != "not measured"}
    assert words == {
        ("parse-crlf-8", "ours", "naive", "quicker"): "met (next: 1)",
        ("parse-crlf-8", "ours", "twisted", "quicker"): "missed",
        ("memory", "ours", "", "bytes"): "met (next: 800)",
        ("memory", "ours", "", "least"): "missed",
        ("tls-lines", "ours", "asyncio", "below"): "missed",
        ("tls-lines", "ours", "uvloop", "cost"): "met",
        ("growth-pauses", "ours", "", "exponent"): "missed",
    }
    assert "3 met, 4 missed" in marksText(verdicts)


def test_marksNameWhatIsMeasured() -> None:
    for mark in MARKS:
        assert mark.ours in CASES[mark.case].rivals, mark
        assert RIVALS[mark.ours].family == "ours"
        assert not mark.rival or mark.rival in CASES[mark.case].rivals, mark
    assert len({(mark.case, mark.ours, mark.rival, mark.kind) for mark in MARKS}) == len(MARKS)


def test_casesNameWhatThereIs() -> None:
    for case in CASES.values():
        assert set(case.rivals) <= set(RIVALS), case
        assert case.what in (TASKS if case in WORK else LOADS), case
        assert (case.job in JOBS) is (case in SERVED), case
    for figure in FIGURES:
        assert set(figure.cases) <= set(CASES), figure
        assert set(figure.rivals) <= set(RIVALS), figure
        assert not figure.xs or len(figure.xs) == len(figure.cases), figure
    assert len({figure.name for figure in FIGURES}) == len(FIGURES)


def test_aQuickRunIsAboutTheMarks() -> None:
    """Each of its cases has every rival that its marks name, and there is one of every kind of case."""
    cases = command.chosen(command.parseArguments(["--quick"]))
    assert {case.how for case, _ in cases} == {case.how for case in CASES.values()}
    named = {case.name: set(rivals) for case, rivals in cases}
    for mark in MARKS:
        assert mark.case not in named or {mark.ours, mark.rival} - {""} <= named[mark.case]
    everything = command.chosen(command.parseArguments([]))
    assert [(case.name, tuple(rivals)) for case, rivals in everything] == [
        (case.name, case.rivals) for case in CASES.values()
    ]


def test_whatTheCommandRefuses(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--case", "nosuch"], ["--rival", "nosuch"]):
        with pytest.raises(SystemExit):
            command.parseArguments(arguments)
    assert "no case is called nosuch" in capsys.readouterr().err


def test_theCommand(tmp_path: Path) -> None:
    """It prints tables, and keeps figures that can be read again and put into a page."""
    arguments = ["--quick", "--case", "parse-crlf-8", "--rival", "ours", "--rival", "naive", "--output", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "bench", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "parse: 8-byte lines" in done.stdout
    assert "Marks" in done.stdout
    (folder,) = tmp_path.iterdir()
    results = loadResults(folder / "results.jsonl")
    assert list(results.cases["parse-crlf-8"].measured()) == ["ours", "naive"]
    verdicts = judge(results)
    assert (folder / "tables.md").read_text() == pageOf(results, verdicts)
    results.save(tmp_path / "again.jsonl")
    kept = (folder / "results.jsonl").read_text()
    assert (tmp_path / "again.jsonl").read_text() == kept
    assert [json.loads(line).get("case") for line in kept.splitlines()] == [None, "parse-crlf-8"]
    page = tmp_path / "README.md"
    page.write_text(f"above\n\n{BEGIN}\n\nold\n\n{END}\nbelow\n")
    for _ in range(2):
        fillPage(page, {folder.name: (results, verdicts)})
        text = page.read_text()
        assert text.startswith("above\n\n<!-- runs -->\n\n## CPython")
        assert text.endswith("<!-- /runs -->\nbelow\n")
        assert "old" not in text


def test_thePageNamesEverybody() -> None:
    """docs/bench/README.md has each rival's label, and leads somewhere."""
    text = (ROOT / "docs" / "bench" / "README.md").read_text()
    for name, rival in RIVALS.items():
        if not name.startswith(("uvloop", "rloop")):  # they are said to be as asyncio
            assert f"| {rival.label} |" in text, rival.label
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if not target.endswith(".jsonl") or (ROOT / ".git").exists():  # the raw figures are not in the sdist
            assert (ROOT / "docs" / "bench" / target).exists(), target


def test_keptRunsMakeTheirTables() -> None:
    """From the figures that are kept beside them, in a small file, so that each page can be made again."""
    folders = [path.parent for path in (ROOT / "docs" / "bench").glob("*/tables.md")]
    for folder in folders if (ROOT / ".git").exists() else []:
        results = loadResults(folder / "results.jsonl")
        assert (folder / "tables.md").read_text() == pageOf(results, judge(results))
        assert (folder / "results.jsonl").stat().st_size < 300_000


DUMP = "events: Ir\nsummary: {0}\n\ntotals: {0}\n"


def test_instructionsAreFoundBetweenTheMarks() -> None:
    said = "naive-32 10\nlines-32 20\n"
    totals = [9999, 100, 5, 300, 5, 110, 5, 120, 5, 90, 7777, 800, 5, 400, 5, 410, 5, 390, 5, 1]
    assert guard.countsOf([DUMP.format(total) for total in totals], said) == {"naive-32": 11, "lines-32": 20}
    with pytest.raises(SystemExit, match="20 counts for 3 pieces"):
        guard.countsOf([DUMP.format(total) for total in totals], said + "more 1\n")


def test_theGuardFailsWhereItIsWorse() -> None:
    kept = {"naive-32": 1.0, "lines-32": 1.0, "batch-32": 0.5}
    lines, well = guard.compare({"naive-32": 1.0, "lines-32": 1.03, "batch-32": 0.4, "new": 1.0}, kept)
    assert well
    assert ["as before" in line for line in lines] == [True, True, False, False]
    assert "better" in lines[2]
    lines, well = guard.compare({"lines-32": 1.05}, kept)
    assert not well
    assert "FAILED" in lines[0]


def test_theGuardKnowsItsWork() -> None:
    """guard.json has every piece of work, for each version in it."""
    kept = json.loads(guard.KEPT.read_text())
    assert "3.11" in kept
    for ratios in kept.values():
        assert list(ratios) == list(WORKS)
