"""The CPU time of other processes, and the throttling of our own."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter

from app import host
from app.telemetry.cpu import CpuMeter, ThrottlingCollector

BUSY = "while True: pass"


def test_the_time_of_processes_that_come_and_go_adds_up() -> None:
    registry = CollectorRegistry()
    meter = CpuMeter(Counter("cpu_seconds", "CPU time.", registry=registry))

    def total() -> float:
        return registry.get_sample_value("cpu_seconds_total") or 0.0

    with subprocess.Popen([sys.executable, "-c", BUSY]) as busy:
        until = time.monotonic() + 60
        while total() < 0.2 and time.monotonic() < until:
            time.sleep(0.01)
            meter.read([busy.pid])
        before = total()
        assert before >= 0.2
        busy.kill()
    # The process has ended, and nothing that was counted is taken back.
    meter.read([busy.pid])
    assert total() == before
    meter.read([])
    assert total() == before


def test_the_clock_of_a_process_says_the_same_as_the_process_itself() -> None:
    registry = CollectorRegistry()
    meter = CpuMeter(Counter("cpu_seconds", "CPU time.", registry=registry))
    before = time.process_time()
    meter.read([os.getpid()])
    after = time.process_time()
    assert before <= (registry.get_sample_value("cpu_seconds_total") or 0.0) <= after


def test_throttling_is_read_at_each_scrape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = host.throttling
    monkeypatch.setattr(host, "throttling", lambda: read(tmp_path))
    registry = CollectorRegistry()
    registry.register(ThrottlingCollector())
    assert registry.get_sample_value("classifier_cfs_periods_total") is None
    for throttled in (3, 4):
        stat = f"usage_usec 9\nnr_periods 10\nnr_throttled {throttled}\nthrottled_usec 2500000\n"
        (tmp_path / "cpu.stat").write_text(stat)
        assert registry.get_sample_value("classifier_cfs_periods_total") == 10
        assert registry.get_sample_value("classifier_cfs_throttled_periods_total") == throttled
        assert registry.get_sample_value("classifier_cfs_throttled_seconds_total") == 2.5
