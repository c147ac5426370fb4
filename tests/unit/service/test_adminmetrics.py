"""Metrics, read by prometheus_client's own parsers."""

from __future__ import annotations

import re
from typing import Any

import pytest
from prometheus_client import openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openMetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus
from prometheus_client.samples import Sample

from reactor.service.admin.metrics import ENDED, LIMITED, METRICS, REFUSED, Exposition
from reactor.service.records import _WORDS
from tests.support.statuses import listenerOf, snapshotOf, statusOf

HOSTILE = 'a"b\\c\nd{e="f"} <script>'


def expositionOf(status: dict[str, Any]) -> Exposition:
    return Exposition(lambda: status)


def samplesOf(status: dict[str, Any], accept: str = "") -> dict[tuple[str, tuple[str, ...]], float]:
    """The value of each sample, by its name and the values of its labels, in the order of the labels' names."""
    text, _ = expositionOf(status).text(accept)
    parse = openMetrics if "openmetrics" in accept else prometheus
    samples: list[Sample] = [sample for family in parse(text.decode()) for sample in family.samples]
    found = {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value for sample in samples
    }
    assert len(found) == len(samples)
    return found


def test_everyMetricHasItsValue() -> None:
    listeners = {"syslog": listenerOf(5, overlong=6, outputOverflows=7, limited={"line-rate": 8})}
    samples = samplesOf(
        statusOf(
            snapshotOf(accepted=5, listeners=listeners),
            snapshotOf(101, 2, worker=2, state="draining", listeners={}),
            restarts=1,
            reloads=2,
            reloadFailures=3,
        )
    )
    refused, ended = {"denied": 10.0}, {"done": 15.0}
    expected: dict[tuple[str, tuple[str, ...]], float] = {
        ("linereactor_build_info", ("1.2.3",)): 1,
        ("linereactor_start_time_seconds", ()): 900,
        ("linereactor_ready", ()): 1,
        ("linereactor_workers", ("starting",)): 0,
        ("linereactor_workers", ("ready",)): 1,
        ("linereactor_workers", ("draining",)): 1,
        ("linereactor_worker_restarts_total", ()): 1,
        ("linereactor_reloads_total", ()): 2,
        ("linereactor_reload_failures_total", ()): 3,
        ("linereactor_connections_accepted_total", ("syslog",)): 5,
        **{("linereactor_connections_refused_total", ("syslog", why)): refused.get(why, 0) for why in REFUSED},
        **{("linereactor_connections_ended_total", ("syslog", why)): ended.get(why, 0) for why in ENDED},
        ("linereactor_connections_open", ("syslog",)): 1,
        ("linereactor_lines_total", ("syslog",)): 50,
        ("linereactor_received_bytes_total", ("syslog",)): 500,
        ("linereactor_sent_bytes_total", ("syslog",)): 5000,
        ("linereactor_overlong_lines_total", ("syslog",)): 6,
        **{("linereactor_limit_hits_total", (limit, "syslog")): 8 * (limit == "line-rate") for limit in LIMITED},
        ("linereactor_output_overflows_total", ("syslog",)): 7,
        ("linereactor_pending_bytes", ("syslog",)): 5,
        ("linereactor_slow_callbacks_total", ()): 7,
        ("linereactor_cpu_seconds_total", ()): 1,
        **{("linereactor_loop_lag_seconds", (worker,)): 0.001 for worker in "12"},
        **{("linereactor_loop_lag_max_seconds", (worker,)): 0.01 for worker in "12"},
        **{("linereactor_worker_memory_bytes", (worker,)): 1000 for worker in "12"},
        **{("linereactor_worker_start_time_seconds", (worker,)): 900 for worker in "12"},
        ("linereactor_application_total", ("collect", "kept")): 7,
    }
    assert samples == expected
    assert {name for name, _labels in samples} == {metric.sampleName for metric in METRICS}


def test_theReasonsAreThoseOfConnections() -> None:
    assert {word for _kind, word in _WORDS} | {"drained", "handler", "proxy"} == set(ENDED)


@pytest.mark.parametrize(
    ("accept", "mediaType"),
    [
        ("", "text/plain; version=0.0.4"),
        ("*/*", "text/plain; version=0.0.4"),
        ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0"),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4", "application/openmetrics"),
    ],
)
def test_theFormatIsTheOneThatTheClientAccepts(accept: str, mediaType: str) -> None:
    status = statusOf(snapshotOf(accepted=5))
    text, found = expositionOf(status).text(accept)
    assert found.startswith(mediaType)
    assert text.endswith(b"# EOF\n") == ("openmetrics" in mediaType)
    assert samplesOf(status, accept) == samplesOf(status)


def test_whatPrometheusAsks() -> None:
    """The Accept field of Prometheus 3 gets a format of its own choice, which both sides understand."""
    accept = (
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
        "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,*/*;q=0.2"
    )
    _text, mediaType = expositionOf(statusOf(snapshotOf())).text(accept)
    assert mediaType.startswith(openmetrics.exposition.CONTENT_TYPE_LATEST.partition(";")[0])


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text"])
def test_namesThatWouldBeMarkupStayNames(accept: str) -> None:
    counts = listenerOf(3, refused={HOSTILE: 4})
    samples = samplesOf(statusOf(snapshotOf(listeners={HOSTILE: counts}, application={HOSTILE: {HOSTILE: 5}})), accept)
    assert samples["linereactor_connections_accepted_total", (HOSTILE,)] == 3
    assert samples["linereactor_connections_refused_total", (HOSTILE, HOSTILE)] == 4
    assert samples["linereactor_application_total", (HOSTILE, HOSTILE)] == 5


def test_oldAndNewWorkerShareTheirNumber() -> None:
    """A label that is there twice would be refused as a whole by Prometheus."""
    old = snapshotOf(100, state="draining", loop={"lag": 0.3, "lagMax": 0.4, "rssBytes": 10})
    new = snapshotOf(101, started=950.0, loop={"lag": 0.1, "lagMax": 0.5, "rssBytes": 20})
    samples = samplesOf(statusOf(old, new))
    assert samples["linereactor_loop_lag_seconds", ("1",)] == 0.3
    assert samples["linereactor_loop_lag_max_seconds", ("1",)] == 0.5
    assert samples["linereactor_worker_memory_bytes", ("1",)] == 30
    assert samples["linereactor_worker_start_time_seconds", ("1",)] == 950


def test_aServerWithoutWorkers() -> None:
    samples = samplesOf(statusOf())
    assert samples["linereactor_ready", ()] == 0
    assert ("linereactor_start_time_seconds", ()) not in samples
    assert samples["linereactor_cpu_seconds_total", ()] == 0


def test_aStatusWithTheLeast() -> None:
    """Of a supervisor that tells less: nothing fails, and what is missing is left out or 0."""
    samples = samplesOf({"state": "ready", "totals": {"a": {}}, "workers": [{}]})
    assert samples["linereactor_lines_total", ("a",)] == 0
    assert ("linereactor_cpu_seconds_total", ()) not in samples


def test_namesFollowPrometheussRules() -> None:
    """https://prometheus.io/docs/practices/naming/: base units, no unit in front, one word for one thing."""
    for metric in METRICS:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", metric.name)
        assert not metric.name.endswith(("_total", "_count", "_sum", "_bucket", "_created"))
        assert not re.search(r"(^|_)(ms|milliseconds|kilobytes|percent|counter|gauge)(_|$)", metric.name)
        assert all(re.fullmatch(r"[a-z]+", label) for label in metric.labels)
        assert metric.kind in ("counter", "gauge")
        assert metric.help.endswith(".")
    assert len({metric.name for metric in METRICS}) == len(METRICS)
