"""CPU time, read at each scrape: that of other processes, and how long the kernel throttled us."""

import time
from collections.abc import Iterable

from prometheus_client import Counter
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from app import host


class CpuMeter:
    """Adds the CPU time of processes that come and go to one counter.

    What a process used between the last scrape and its end is not counted.
    """

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._used: dict[int, float] = {}

    def read(self, pids: Iterable[int]) -> None:
        """Add what these processes have used since the last call."""
        used = {pid: _cpu_seconds(pid) for pid in pids}
        # A process id may be used again by a new process, which has used less.
        grown = (max(0.0, now - self._used.get(pid, 0.0)) for pid, now in used.items())
        self._counter.inc(sum(grown))
        self._used = used


def _cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process; 0 if it has ended, or if the system cannot tell.

    Linux has a clock for each process. To read it takes less than a microsecond, and to read the
    file in /proc twenty.
    """
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


class ThrottlingCollector(Collector):
    """Reads from the cgroup how often and how long the kernel stopped us at the CPU limit."""

    def collect(self) -> Iterable[CounterMetricFamily]:
        """Return three counters; they have no values if the system has no such cgroup."""
        read = host.throttling()
        periods, throttled, seconds = (
            CounterMetricFamily(f"classifier_cfs_{name}", text)
            for name, text in (
                ("periods", "Periods of the kernel's CPU limit, usually 0.1 s each."),
                ("throttled_periods", "Periods in which the container used up its CPU limit."),
                ("throttled_seconds", "Time for which processes were stopped at the CPU limit."),
            )
        )
        if read:
            periods.add_metric((), read.periods)
            throttled.add_metric((), read.throttled)
            seconds.add_metric((), read.seconds)
        return periods, throttled, seconds
