"""A real Prometheus scrapes the real service and answers every panel's and rule's expression.

The load takes half a minute: good photos, bad ones, bursts above the capacity, and killed workers.
"""

import math
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from expressions import Expression, filled, marks, panels, rules, selectors
from load import GREEDY, KEY, provoke
from prometheus import RunningPrometheus
from running import RunningServer, until
from test_alerts import promtool

SECONDS = 30
CAPACITY = 8
SETTINGS = {
    "workers": 2,
    "max_batch_size": None,
    "capacity": CAPACITY,
    # The bursts are larger than what is answered in this time.
    "longest_wait_s": 0.1,
    "canary_interval_s": 0.5,
    "max_upload_bytes": 1_000_000,
    "api_keys": f"{KEY} {GREEDY}",
    # Of a burst, some photos may be refused by the key's limit, and others at the door.
    "key_concurrency": 2 * CAPACITY,
    # Nobody receives the traces, but the exemplars have their ids.
    "traces": True,
}
RULES = [Expression(rule.get("alert") or rule["record"], rule["expr"]) for rule in rules()]
ALERTS = [Expression(rule["alert"], rule["expr"]) for rule in rules() if "alert" in rule]
PROVOKED = {"ClassifierWorkerCrashLoop", "ClassifierRefuses"}
# Other alerts that this load may cause on a busy machine.
MAY_BE = {
    "ClassifierFailsFast",
    "ClassifierFailsSlowly",
    "ClassifierSlowFast",
    "ClassifierSlowSlowly",
    "ClassifierSaturated",
    "ClassifierKeyLimited",
    "ClassifierWorkersMissing",
    "ClassifierEventLoopStalls",
}


@dataclass(frozen=True)
class Watched:
    """A service, its Prometheus, and the start and end of the load in seconds since the epoch."""

    server: RunningServer
    prometheus: RunningPrometheus
    start: float
    end: float


@pytest.fixture(scope="module")
def watched(default_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("prometheus")
    with (
        RunningServer(default_bundle, folder / "log", **SETTINGS) as server,
        RunningPrometheus(folder, server.port) as prometheus,
    ):
        start = time.time()
        # Under the load, the new worker might be killed before it serves.
        server.process.send_signal(signal.SIGHUP)
        until(lambda: prometheus.now("classifier_last_reload_timestamp_seconds > 0"))
        provoke(server, SECONDS, CAPACITY)
        end = time.time()
        # The load may have ended with a kill. No alert fires for it once all workers are back.
        until(lambda: server.health()["workers_up"] == SETTINGS["workers"])
        until(lambda: prometheus.now("classifier_ready == 1"))
        yield Watched(server, prometheus, start, end)


def values(series: list[dict[str, Any]]) -> list[float]:
    """Return all values of the series except NaN."""
    numbers = (float(value) for one in series for _, value in one["values"])
    return [number for number in numbers if not math.isnan(number)]


def test_the_metrics_are_well_formed(watched: Watched) -> None:
    output = promtool("check", "metrics", given=watched.server.client.get("/metrics").text)
    assert output == ""


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel.name)
def test_no_panel_is_empty(watched: Watched, panel: Expression) -> None:
    assert values(watched.prometheus.lately(panel.text, watched.start, watched.end))


@pytest.mark.parametrize("mark", marks(), ids=lambda mark: mark.name)
def test_a_mark_is_at_a_time_of_this_day(watched: Watched, mark: Expression) -> None:
    times = values(watched.prometheus.lately(mark.text, watched.start, watched.end))
    assert times
    # Grafana reads milliseconds.
    assert all(watched.start - 300 < time / 1000 < watched.end for time in times)


def test_exemplars_reach_prometheus(watched: Watched) -> None:
    series = "classifier_http_request_duration_seconds_bucket"
    found = watched.prometheus.exemplars(series, watched.start, watched.end)
    assert found
    assert all(set(one["labels"]) == {"trace_id", "request_id"} for one in found)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_no_rule_is_built_on_a_series_that_does_not_exist(
    watched: Watched, rule: Expression
) -> None:
    for selector in selectors(rule.text):
        assert watched.prometheus.now(f"last_over_time({selector}[5m])"), selector


def test_just_what_was_provoked_is_seen(watched: Watched) -> None:
    found = {alert.name for alert in ALERTS if watched.prometheus.now(filled(alert.text))}
    print("\nseen:", *sorted(found))
    assert found >= PROVOKED
    assert found <= PROVOKED | MAY_BE


def test_with_the_service_gone_it_is_missed(watched: Watched) -> None:
    watched.server.process.kill()
    expected = {"ClassifierAbsent", "ClassifierTargetDown"}
    ask = watched.prometheus.now
    until(lambda: expected <= {alert.name for alert in ALERTS if ask(filled(alert.text))})
