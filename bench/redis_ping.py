"""CPU of a server process per request, with redis-benchmark's PING_INLINE as the client.

    python bench/redis_ping.py [--quick] [--rounds N] [--case C:P ...] [--server NAME ...]

A 10-line LineReceiver (pong_server.py) beside redis-server, Twisted, asyncio and uvloop. All servers stand at once,
each pinned to the first core; the client runs on the second, against one server after another, for several rounds, so
that what else the machine does meets all of them alike. The figure is utime + stime of the server, from /proc, for one
run, divided by its requests; the table shows medians, and the ratio to redis-server in the same rounds.

A run counts only if redis-benchmark ended well, reported no error and completed the number of requests asked for, and
if the server answers a plain client exactly, before and after it.

    ours         pong_server.py: sendLine in lineReceived
    ours-write   transport.write in lineReceived
    ours-batch   linesReceived, and one write for all lines of a read
    twisted      as ours, twisted-write as ours-write
    asyncio, uvloop   a protocol that splits, and writes an answer a line
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

HERE = Path(__file__).resolve().parent
TICK = os.sysconf("SC_CLK_TCK")
STARTUP_DEADLINE = 10.0
RUN_DEADLINE = 300.0

SCRIPTS: dict[str, tuple[str, ...]] = {
    "ours": ("pong_server.py",),
    "ours-write": ("pong_write.py", "reactor"),
    "ours-batch": ("pong_batch.py",),
    "twisted": ("pong_twisted.py",),
    "twisted-write": ("pong_write.py", "twisted"),
    "asyncio": ("pong_asyncio.py", "asyncio"),
    "uvloop": ("pong_asyncio.py", "uvloop"),
}
NEEDS = {"twisted": "twisted", "twisted-write": "twisted", "uvloop": "uvloop"}
NAMES = ("redis", *SCRIPTS)


@dataclass(frozen=True)
class Case:
    """`connections` clients, each with `pipeline` requests under way; `requests` in all."""

    connections: int
    pipeline: int
    requests: int


CASES = (
    Case(50, 100, 3_000_000),
    Case(50, 16, 1_000_000),
    Case(50, 1, 200_000),
    Case(1000, 16, 1_000_000),
    Case(1000, 1, 200_000),
)
QUICK_SHARE = 5


@dataclass
class Server:
    name: str
    port: int
    process: subprocess.Popen[bytes]
    perRequest: dict[Case, list[float]] = field(default_factory=dict)
    perSecond: dict[Case, list[float]] = field(default_factory=dict)

    def cpuSeconds(self) -> float:
        """The processor time of the whole process so far."""
        # Fields are counted behind the process's name, which may hold anything.
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def answers(self, count: int = 3) -> bool:
        """Whether a plain client gets exactly one answer a line."""
        want = b"+PONG\r\n" * count
        got = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as client:
            client.sendall(b"PING\r\n" * count)
            while len(got) < len(want) and (part := client.recv(4096)):
                got += part
        return got == want


def pinned(core: int, command: list[str]) -> list[str]:
    cores = sorted(os.sched_getaffinity(0))
    return ["taskset", "-c", str(cores[core]), *command] if len(cores) > 1 else command


def freePort() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def commandOf(name: str, port: int) -> list[str]:
    if name == "redis":
        quiet = ["--save", "", "--appendonly", "no", "--loglevel", "warning", "--dir", tempfile.gettempdir()]
        return ["redis-server", "--port", str(port), "--bind", "127.0.0.1", *quiet]
    script, *arguments = SCRIPTS[name]
    return [sys.executable, str(HERE / script), *arguments, str(port)]


def startServer(name: str) -> Server:
    port = freePort()
    process = subprocess.Popen(pinned(0, commandOf(name, port)), stdout=subprocess.DEVNULL)
    server = Server(name, port, process)
    deadline = time.monotonic() + STARTUP_DEADLINE
    while True:
        try:
            if server.answers():
                return server
            sys.exit(f"{name} does not answer PING with +PONG")
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                sys.exit(f"{name} did not start")
            time.sleep(0.05)


def runClient(server: Server, case: Case) -> float:
    """Run redis-benchmark once; return the requests per second that it saw. Ends the program if anything was wrong."""
    command = ["redis-benchmark", "-h", "127.0.0.1", "-p", str(server.port), "-t", "ping_inline"]
    command += ["-c", str(case.connections), "-P", str(case.pipeline), "-n", str(case.requests)]
    done = subprocess.run(pinned(1, command), capture_output=True, text=True, timeout=RUN_DEADLINE, check=False)
    text = done.stdout + done.stderr
    # A server that is no redis has no CONFIG to show; that is asked before the run, and no part of it.
    text = re.sub(r".*(fetch server CONFIG|Fetching server CONFIG).*", "", text)
    completed = re.search(r"(\d+) requests completed in", text)
    rate = re.search(r"throughput summary: ([\d.]+) requests per second", text)
    if done.returncode or re.search("error", text, re.IGNORECASE) or completed is None or rate is None:
        sys.exit(f"{server.name}: redis-benchmark failed (exit code {done.returncode}):\n{text[-2000:]}")
    if int(completed[1]) != case.requests:
        sys.exit(f"{server.name}: {completed[1]} requests completed, not {case.requests}")
    return float(rate[1])


def measure(server: Server, case: Case) -> None:
    before = server.cpuSeconds()
    rate = runClient(server, case)
    used = server.cpuSeconds() - before
    if not server.answers():
        sys.exit(f"{server.name} no longer answers every line")
    server.perRequest.setdefault(case, []).append(used / case.requests * 1e6)
    server.perSecond.setdefault(case, []).append(rate)


def report(servers: list[Server], case: Case) -> None:
    print(f"\n{case.connections} connections, {case.pipeline} deep, {case.requests} requests a run")
    print(f"  {'server':14} {'CPU us/request':>14} {'(min':>8} {'max)':>8} {'to redis':>9} {'requests/s':>11}")
    redis = next((server for server in servers if server.name == "redis"), None)
    for server in servers:
        costs = server.perRequest[case]
        cost = statistics.median(costs)
        ratio = "-"
        if redis is not None:
            ratio = (
                f"{statistics.median(mine / its for mine, its in zip(costs, redis.perRequest[case], strict=True)):.2f}"
            )
        rate = statistics.median(server.perSecond[case])
        print(
            f"  {server.name:14} {cost:14.3f} {min(costs):8.3f} {max(costs):8.3f} {ratio:>9} {rate:11.0f}", flush=True
        )


def firstLine(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]


def versionOf(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def printVersions() -> None:
    core = "from reactor import linecore; print(linecore.IMPLEMENTATION)"
    print(f"linereactor {versionOf('linereactor')}, line core {firstLine(sys.executable, '-c', core)}")
    print(f"{firstLine('redis-server', '--version')}\n{firstLine('redis-benchmark', '--version')}")
    print(f"twisted {versionOf('twisted')}, uvloop {versionOf('uvloop')}")
    print(f"{platform.python_implementation()} {platform.python_version()}, {platform.platform()}", flush=True)


def parseCase(text: str) -> Case:
    connections, _, pipeline = text.partition(":")
    known = {(case.connections, case.pipeline): case for case in CASES}
    try:
        asked = (int(connections), int(pipeline))
    except ValueError:
        raise argparse.ArgumentTypeError(f"a case is CONNECTIONS:PIPELINE, 50:100 say, not {text!r}") from None
    return known.get(asked) or Case(*asked, 1_000_000 if asked[1] > 1 else 200_000)


def parseArguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="three rounds of a fifth of the requests")
    parser.add_argument("--rounds", type=int, help="runs of each case against each server (default 5, quick 3)")
    parser.add_argument(
        "--case", type=parseCase, action="append", metavar="C:P", help="only this many clients, this deep"
    )
    parser.add_argument("--server", choices=NAMES, action="append", help="only this one (repeat for more)")
    return parser.parse_args()


def main() -> None:
    arguments = parseArguments()
    missing = [tool for tool in ("redis-benchmark", "redis-server", "taskset") if shutil.which(tool) is None]
    if missing:
        sys.exit(f"{' and '.join(missing)} not found: install redis-server, redis-tools and util-linux")
    rounds = arguments.rounds or (3 if arguments.quick else 5)
    cases = arguments.case or CASES
    if arguments.quick:
        cases = [Case(case.connections, case.pipeline, case.requests // QUICK_SHARE) for case in cases]
    names = [name for name in NAMES if name in (arguments.server or NAMES)]
    for name in [name for name in names if versionOf(NEEDS.get(name, "linereactor")) is None]:
        print(f"{name} is left out: {NEEDS.get(name, 'linereactor')} is not installed")
        names.remove(name)
    printVersions()
    servers: list[Server] = []
    try:
        for name in names:
            servers.append(startServer(name))  # noqa: PERF401 - those that did start must be ended
        for case in cases:
            for _ in range(rounds):
                for server in servers:
                    measure(server, case)
            report(servers, case)
    finally:
        for server in servers:
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()


if __name__ == "__main__":
    main()
