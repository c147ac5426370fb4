"""The rivals: one row each. Every table names the missing requirements of a rival."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from reactor.linecore import IMPLEMENTATION

ROOT = Path(__file__).resolve().parent.parent
FLOOR = Path(__file__).resolve().parent / "servers" / "floor.c"


@dataclass(frozen=True)
class Rival:
    """One rival.

    `server` is the module of bench.servers and its arguments, if there is one. `needs` names the modules that must be
    importable, `program` a program on the PATH.
    """

    name: str
    family: str
    label: str
    server: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    program: str = ""


def asyncioLike(loop: str, needs: tuple[str, ...] = ()) -> list[Rival]:
    """Return rivals of asyncio and of an event loop that replaces its own, in three styles."""
    module = "onasyncio"
    return [
        Rival(loop, loop, loop, (module, loop, "protocol"), needs),
        Rival(f"{loop}-tuned", loop, f"{loop}, tuned by hand", (module, loop, "tuned"), needs),
        Rival(f"{loop}-streams", loop, f"{loop} streams", (module, loop, "streams"), needs),
    ]


def overHTTP() -> list[Rival]:
    """Return rivals with the jobs http-... alone."""
    asgi = "httpasgi"
    process = "reactor.http, Request.process"
    return [
        Rival("ours-http", "ours", "reactor.http", ("httpours", "handler"), ("reactor.http",)),
        Rival("ours-http-uvloop", "ours", "reactor.http on uvloop", ("httpours", "uvloop"), ("reactor.http", "uvloop")),
        Rival("ours-http-request", "ours", process, ("httpours", "request"), ("reactor.http",)),
        Rival("uvicorn", "uvicorn", "uvicorn", (asgi, "uvicorn"), ("uvicorn", "httptools", "uvloop")),
        Rival("granian", "granian", "granian, ASGI", (asgi, "granian"), ("granian", "uvloop")),
        Rival("granian-rsgi", "granian", "granian, RSGI", (asgi, "rsgi"), ("granian", "uvloop")),
        Rival("hypercorn", "hypercorn", "hypercorn", (asgi, "hypercorn"), ("hypercorn", "uvloop")),
        Rival("aiohttp", "aiohttp", "aiohttp.web", ("httpaiohttp",), ("aiohttp", "uvloop")),
        Rival("tornado-web", "tornado", "tornado.web", ("httptornado",), ("tornado",)),
        Rival("twisted-web", "twisted", "twisted.web", ("httptwisted",), ("twisted",)),
        Rival("nginx", "c", "nginx", ("httpnginx",), program="nginx"),
        Rival("h11", "plain", "h11", needs=("h11",)),
        Rival("h11-reader", "plain", "h11, its reader alone", needs=("h11",)),
        Rival("httptools", "plain", "httptools", needs=("httptools",)),
    ]


# docs/bench/README.md says what the program of each row does.
ROWS = [
    Rival("ours", "ours", "linereactor", ("onreactor", "ours")),
    Rival("ours-idle", "ours", "linereactor, idle deadlines"),
    Rival("ours-worker", "ours", "linereactor, one worker"),
    Rival("ours-workers", "ours", "linereactor, two workers"),
    Rival("ours-batch", "ours", "linereactor, linesReceived", ("onreactor", "ours-batch")),
    Rival("ours-only", "ours", "linereactor, LineOnlyReceiver", ("onreactor", "ours-only")),
    Rival("ours-raw", "ours", "linereactor, raw mode", ("onreactor", "ours-raw")),
    Rival("ours-pull", "ours", "linereactor, pull producer", ("onreactor", "ours-pull")),
    Rival("ours-uvloop", "ours", "linereactor on uvloop", ("onreactor", "ours-uvloop"), ("uvloop",)),
    Rival("ours-instance", "ours", "linereactor, set by instance"),
    Rival("ours-asked", "ours", "linereactor, properties"),
    Rival("ours-foreign", "ours", "linereactor, foreign transport"),
    Rival("ours-pure", "ours", "linereactor, pure Python"),
    Rival("aio", "ours", "reactor.aio", ("onaio", "asyncio", "streams")),
    Rival("aio-batch", "ours", "reactor.aio, readlines", ("onaio", "asyncio", "batch")),
    Rival("aio-uvloop", "ours", "reactor.aio on uvloop", ("onaio", "uvloop", "streams"), ("uvloop",)),
    Rival("aio-uvloop-batch", "ours", "reactor.aio on uvloop, readlines", ("onaio", "uvloop", "batch"), ("uvloop",)),
    Rival("twisted", "twisted", "Twisted", ("onreactor", "twisted"), ("twisted",)),
    Rival("twisted-only", "twisted", "Twisted, LineOnlyReceiver", ("onreactor", "twisted-only"), ("twisted",)),
    *asyncioLike("asyncio"),
    *asyncioLike("uvloop", ("uvloop",)),
    Rival("uvloop-two", "uvloop", "uvloop, two processes", ("onasyncio", "uvloop-two", "protocol"), ("uvloop",)),
    *asyncioLike("rloop", ("rloop",)),
    Rival("gevent", "gevent", "gevent", ("ongevent",), ("gevent",)),
    Rival("tornado", "tornado", "Tornado", ("ontornado",), ("tornado",)),
    Rival("trio", "trio", "trio", ("ontrio",), ("trio",)),
    Rival("redis", "c", "redis-server", program="redis-server"),
    Rival("floor", "c", "the floor, in C", program="cc"),
    Rival("floor-two", "c", "the floor, in C, two processes", program="cc"),
    Rival("naive", "plain", "split and a call a line"),
    Rival("split", "plain", "bytes.split alone"),
    Rival("bytesio", "plain", "io.BytesIO, iterated"),
    *overHTTP(),
]
RIVALS = {row.name: row for row in ROWS}
FLOORS = ("floor", "floor-two")
# The options of the rivals that run `linereactor serve`.
SERVE = {
    "ours-idle": ("--idle-timeout", "60"),
    "ours-worker": ("--workers", "1"),
    "ours-workers": ("--workers", "2"),
}
PACKAGES = (
    *("linereactor", "twisted", "uvloop", "rloop", "gevent", "tornado", "trio", "pyOpenSSL"),
    *("uvicorn", "httptools", "granian", "hypercorn", "aiohttp", "h11"),
)


def missing(rival: Rival, tls: bool = False) -> str:
    """Return the parts of this rival that are not installed; "" if none is missing."""
    needs = [*rival.needs, *(["OpenSSL", "service_identity"] if tls and rival.family == "twisted" else [])]
    absent = [name for name in needs if importlib.util.find_spec(name) is None]
    if rival.program and shutil.which(rival.program) is None:
        absent.append(rival.program)
    return ", ".join(absent)


def compileFloor() -> Path:
    """Compile the C server, once a process, and return its path."""
    folder = Path(tempfile.mkdtemp(prefix="linereactor-bench-"))
    subprocess.run(["cc", "-O2", "-o", folder / "floor", FLOOR], check=True)
    return folder / "floor"


def serverCommand(rival: Rival, ports: dict[str, int], floor: Path | None, pem: str) -> list[str]:
    """Return the command that makes this rival do jobs, each at its port."""
    jobs = [f"{job}:{port}" for job, port in ports.items()]
    if rival.name in FLOORS:
        return [str(floor), "2" if rival.name == "floor-two" else "1", *jobs]
    if rival.name in SERVE:
        ((job, port),) = ports.items()
        serve = ["serve", f"bench.servers.onreactor:{job.capitalize()}", "--port", str(port), *SERVE[rival.name]]
        return [sys.executable, "-m", "reactor", *serve, "--log-level", "warning"]
    if rival.name == "redis":
        return redisCommand(ports, pem)
    module, *arguments = rival.server
    return [sys.executable, "-m", f"bench.servers.{module}", *arguments, *jobs]


def redisCommand(ports: dict[str, int], pem: str) -> list[str]:
    quiet = ["--save", "", "--appendonly", "no", "--loglevel", "warning", "--dir", tempfile.gettempdir()]
    command = ["redis-server", "--bind", "127.0.0.1", *quiet, "--tcp-backlog", "4096", "--maxclients", "12000"]
    command += ["--port", str(ports.get("pong", 0))]
    if "tls-pong" in ports:
        command += ["--tls-port", str(ports["tls-pong"]), "--tls-cert-file", pem, "--tls-key-file", pem]
        command += ["--tls-ca-cert-file", pem, "--tls-auth-clients", "no"]
    return command


def firstLine(*command: str) -> str | None:
    """Return the first line of a program's output, or None without the program."""
    if shutil.which(command[0]) is None:
        return None
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).splitlines()[0]


def versionOf(package: str) -> str | None:
    """Return the version of an installed package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def processor() -> str:
    """Return the model of this machine's processor."""
    with open("/proc/cpuinfo") as file:
        models = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    return f"{models[0] if models else platform.machine()}, {len(models)} cores"


def facts() -> dict[str, str | None]:
    """Return all facts that a figure depends on, beside the code. None means that a package is not installed."""
    return {
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "line core": IMPLEMENTATION,
        "system": platform.platform(),
        "processor": processor(),
        **{package: versionOf(package) for package in PACKAGES},
        "redis-server": firstLine("redis-server", "--version"),
        "redis-benchmark": firstLine("redis-benchmark", "--version"),
        "nginx": firstLine("nginx", "-v"),
        "C compiler": firstLine("cc", "--version"),
    }
