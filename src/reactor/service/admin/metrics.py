"""Metrics for Prometheus: a table of them, and their text as prometheus_client writes it.

prometheus_client is the extra `[metrics]`. Importing it takes a tenth of a second. So only a process with admin pages
imports it, before it serves.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from reactor.service.summing import Status

PREFIX = "linereactor_"

# Each is there with 0 before it first happens, so that a rate over its first time is right.
REFUSED = ("max-connections", "max-per-address", "denied", "proxy")
ENDED = (
    "done",
    "lost",
    "aborted",
    "idle",
    "line-deadline",
    "max-pending",
    "overlong",
    "output",
    "drained",
    "handler",
    "tls",
    "proxy",
)
LIMITED = ("line-rate", "byte-rate", "max-pending")
STATES = ("starting", "ready", "draining")

Values: TypeAlias = Iterable[tuple[tuple[str, ...], float]]


class Metric(NamedTuple):
    """One metric. A counter's samples get `_total` behind the name."""

    name: str
    kind: str  # "counter" or "gauge"
    labels: tuple[str, ...]
    help: str
    values: Callable[[Status], Values]

    @property
    def sampleName(self) -> str:
        """The name by which Prometheus knows it."""
        return PREFIX + self.name + ("_total" if self.kind == "counter" else "")


def _one(path: str) -> Callable[[Status], Values]:
    """Return the number at `path` of a status, if it is there."""

    def values(status: Status) -> Values:
        found: Any = status
        for part in path.split("/"):
            found = found.get(part) if isinstance(found, dict) else None
        return [] if found is None else [((), found)]

    return values


def _ofListeners(key: str) -> Callable[[Status], Values]:
    def values(status: Status) -> Values:
        return [((name,), total.get(key, 0)) for name, total in status.get("totals", {}).items()]

    return values


def _byReason(key: str, known: Iterable[str]) -> Callable[[Status], Values]:
    zeros = dict.fromkeys(known, 0)

    def values(status: Status) -> Values:
        for name, total in status.get("totals", {}).items():
            for reason, count in {**zeros, **total.get(key, {})}.items():
                yield (name, reason), count

    return values


def _ofWorkers(value: Callable[[Mapping[str, Any]], float], unite: Callable[[Iterable[float]], float]) -> Any:
    """Return one value for each worker number. An old worker and its successor share one for a while."""

    def values(status: Status) -> Values:
        found: dict[str, list[float]] = {}
        for worker in status.get("workers", ()):
            found.setdefault(str(worker.get("worker", 0)), []).append(value(worker))
        return [((number,), unite(all_)) for number, all_ in found.items()]

    return values


def _ofLoops(key: str, unite: Callable[[Iterable[float]], float] = max) -> Any:
    return _ofWorkers(lambda worker: worker.get("loop", {}).get(key, 0), unite)


def _states(status: Status) -> Iterator[tuple[tuple[str, ...], float]]:
    states = [worker.get("state") for worker in status.get("workers", ())]
    for state in STATES:
        yield (state,), states.count(state)


def _application(status: Status) -> Iterator[tuple[tuple[str, ...], float]]:
    for name, counters in status.get("application", {}).items():
        for counter, count in counters.items():
            yield (name, counter), count


_LISTENER = ("listener",)
_WORKER = ("worker",)

METRICS: tuple[Metric, ...] = (
    Metric(
        "build_info",
        "gauge",
        ("version",),
        "The version of the server, as a label.",
        lambda s: [((s.get("version", ""),), 1)],
    ),
    Metric("start_time_seconds", "gauge", (), "When the server started, in unix seconds.", _one("started")),
    Metric(
        "ready", "gauge", (), "1 while the server is ready, else 0.", lambda s: [((), int(s.get("state") == "ready"))]
    ),
    Metric("workers", "gauge", ("state",), "Workers by their state.", _states),
    Metric("worker_restarts", "counter", (), "Workers that died and were replaced.", _one("restarts")),
    Metric("reloads", "counter", (), "Reloads of the configuration.", _one("reloads")),
    Metric("reload_failures", "counter", (), "Reloads that failed; the old workers went on.", _one("reloadFailures")),
    Metric("connections_accepted", "counter", _LISTENER, "Connections accepted.", _ofListeners("accepted")),
    Metric(
        "connections_refused",
        "counter",
        (*_LISTENER, "reason"),
        "Connections refused, by reason.",
        _byReason("refused", REFUSED),
    ),
    Metric(
        "connections_ended",
        "counter",
        (*_LISTENER, "reason"),
        "Connections ended, by reason.",
        _byReason("ended", ENDED),
    ),
    Metric("connections_open", "gauge", _LISTENER, "Connections that are open.", _ofListeners("open")),
    Metric("lines", "counter", _LISTENER, "Lines received.", _ofListeners("linesIn")),
    Metric("received_bytes", "counter", _LISTENER, "Bytes received.", _ofListeners("bytesIn")),
    Metric("sent_bytes", "counter", _LISTENER, "Bytes sent.", _ofListeners("bytesOut")),
    Metric("overlong_lines", "counter", _LISTENER, "Lines longer than the limit.", _ofListeners("overlong")),
    Metric(
        "limit_hits",
        "counter",
        (*_LISTENER, "limit"),
        "How often a rate or a bound of memory was reached.",
        _byReason("limited", LIMITED),
    ),
    Metric("output_overflows", "counter", _LISTENER, "Outputs beyond their limit.", _ofListeners("outputOverflows")),
    Metric("pending_bytes", "gauge", _LISTENER, "Bytes of lines without an end so far.", _ofListeners("pendingBytes")),
    Metric("slow_callbacks", "counter", (), "Callbacks beyond the time allowed.", _one("loop/slowCallbacks")),
    Metric("cpu_seconds", "counter", (), "Processor time of all workers.", _one("loop/cpuSeconds")),
    Metric("loop_lag_seconds", "gauge", _WORKER, "How late the loop last was.", _ofLoops("lag")),
    Metric("loop_lag_max_seconds", "gauge", _WORKER, "The largest lag of the last 10 seconds.", _ofLoops("lagMax")),
    Metric("worker_memory_bytes", "gauge", _WORKER, "Resident memory of the worker.", _ofLoops("rssBytes", sum)),
    Metric(
        "worker_start_time_seconds",
        "gauge",
        _WORKER,
        "When the worker started, in unix seconds.",
        _ofWorkers(lambda worker: worker.get("started", 0), max),
    ),
    Metric(
        "application",
        "counter",
        ("application", "counter"),
        "Counters of applications, by their own names.",
        _application,
    ),
)


class Exposition:
    """The text of the metrics of `status()`, in the format that a client accepts.

    ModuleNotFoundError without prometheus_client.
    """

    def __init__(self, status: Callable[[], Status]) -> None:
        self._status = status
        self._core: Any = importlib.import_module("prometheus_client.core")
        self._chooseEncoder: Any = importlib.import_module("prometheus_client.exposition").choose_encoder
        self._registry = self._core.CollectorRegistry()
        self._registry.register(self)

    def collect(self) -> Iterator[Any]:
        """Yield the families of samples. The registry calls it for each text."""
        status = self._status()
        for metric in METRICS:
            make = self._core.CounterMetricFamily if metric.kind == "counter" else self._core.GaugeMetricFamily
            family = make(PREFIX + metric.name, metric.help, labels=metric.labels)
            for labels, value in metric.values(status):
                family.add_metric([str(label) for label in labels], value)
            yield family

    def text(self, accept: str) -> tuple[bytes, str]:
        """Return the text and its media type. `accept` is the request's Accept field, perhaps empty.

        It is the text format of Prometheus, or OpenMetrics for a client that accepts that.
        """
        encode, mediaType = self._chooseEncoder(accept)
        return encode(self._registry), mediaType
