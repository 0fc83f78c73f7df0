"""The measurements of each round, and the medians over all rounds.

Efficiency = served images/s / (cores / (decode CPU + engine CPU of one image)), CPU in seconds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from app.bench.measure.baseline import BATCH_SIZES
from app.bench.measure.bulk import BulkRate
from app.bench.measure.runner import Measurement
from app.bench.measure.stats import Latency
from app.host import granted_cores


@dataclass(frozen=True)
class Round:
    """The measurements of one round. All costs are milliseconds of CPU per photo.

    Attributes:
        decode_ms: the cost of decoding.
        plain_decode_ms: the cost of decoding in full size and then shrinking.
        engine_ms: the cost of the engine by batch size, with one worker alone.
        busy_engine_ms: its cost at the best of these sizes, with a worker busy on every core.
        bulk: what `classify` reaches on one machine.
        idle: the load of one client alone.
        peak: the load of the requested number of clients.
        overload: an open loop at twice the rate at which `peak` got right answers.
        probes_s: response times of `/health/live` during `peak`, in seconds.
    """

    decode_ms: float
    plain_decode_ms: float
    engine_ms: dict[int, float]
    busy_engine_ms: float
    bulk: BulkRate
    idle: Measurement
    peak: Measurement
    overload: Measurement
    probes_s: list[float]

    def document(self) -> dict[str, Any]:
        """Return the round's entry in the JSON document."""
        return {
            "decode_ms": self.decode_ms,
            "plain_decode_ms": self.plain_decode_ms,
            "engine_ms": self.engine_ms,
            "busy_engine_ms": self.busy_engine_ms,
            "bulk": self.bulk._asdict(),
            "idle": self.idle.document(),
            "overload": self.overload.document() | {"calm_after_s": _calm_after_s(self.overload)},
        } | self.peak.document()


def medians(rounds: Sequence[Round]) -> dict[str, Any]:
    """Return the medians over all rounds, and the efficiency that follows from them."""
    measurements = [m for r in rounds for m in (r.idle, r.peak, r.overload)]
    others = [m.others_cores for m in measurements if m.others_cores is not None]
    return {
        **_efficiency(rounds),
        **_idle(rounds),
        **_overload([r.peak for r in rounds], [r.overload for r in rounds]),
        "tool_cpu_ms": median(r.peak.tool.cpu_ms_per_request for r in rounds),
        "others_cores": max(others, default=None),
        "wrong": sum(m.summary.wrong for m in measurements),
        "errors": sum(r.peak.summary.errors for r in rounds),
        "rounds": [r.document() for r in rounds],
    }


def _efficiency(rounds: Sequence[Round]) -> dict[str, Any]:
    engine = {size: median(r.engine_ms[size] for r in rounds) for size in BATCH_SIZES}
    decoding, plain = median(r.decode_ms for r in rounds), median(r.plain_decode_ms for r in rounds)
    busy, best = median(r.busy_engine_ms for r in rounds), min(engine.values())
    bound = _bound(decoding, best)
    bulk, bulk_ms = median(r.bulk.per_s for r in rounds), median(r.bulk.cpu_ms for r in rounds)
    served = median(r.peak.summary.right_per_s for r in rounds)
    health = Latency.of(seconds for r in rounds for seconds in r.probes_s)
    cpu_ms = (r.peak.server.cpu_ms_per_answer for r in rounds if r.peak.server)
    return {
        "efficiency": round(served / bound, 3),
        "right_per_s": round(served, 1),
        "bound_per_s": round(bound, 1),
        "busy_bound_per_s": round(_bound(decoding, busy), 1),
        "plain_bound_per_s": round(_bound(plain, best), 1),
        "bulk_per_s": round(bulk, 1),
        "bulk_efficiency": round(bulk / bound, 3),
        "bulk_cpu_ms": round(bulk_ms, 2),
        "bulk_cpu_share": round((decoding + best) / bulk_ms, 3) if bulk_ms else None,
        "cores": granted_cores(),
        "decode_ms": round(decoding, 2),
        "plain_decode_ms": round(plain, 2),
        "busy_engine_ms": round(busy, 2),
        "engine_ms": {str(size): round(ms, 2) for size, ms in engine.items()},
        "p50_ms": _median(latency.p50 for latency in _latencies(r.peak for r in rounds)),
        "p99_ms": _median(latency.p99 for latency in _latencies(r.peak for r in rounds)),
        "health_live_ms": asdict(health) if health else None,
        "server_cpu_ms": _median(cpu_ms),
    }


def _idle(rounds: Sequence[Round]) -> dict[str, Any]:
    """Return the latency of a lone client, and its rest beside decoding and the engine."""
    took = [(r, r.idle.summary.latency_ms.p50) for r in rounds if r.idle.summary.latency_ms]
    return {
        "idle_ms": _median(ms for _, ms in took),
        "idle_beside_ms": _median(ms - r.decode_ms - r.engine_ms[1] for r, ms in took),
    }


def _overload(peaks: Sequence[Measurement], overloads: Sequence[Measurement]) -> dict[str, Any]:
    """Return the share of the peak that is still answered within a second at twice its rate."""
    refusals = [overload.summary.refusal_ms for overload in overloads]
    pairs = zip(peaks, overloads, strict=True)
    return {
        "overload_rate": _median(overload.plan.rate for overload in overloads),
        "overload_goodput": _median(
            overload.summary.goodput_per_s / peak.summary.right_per_s
            for peak, overload in pairs
            if peak.summary.right_per_s
        ),
        "overload_p99_ms": _median(latency.p99 for latency in _latencies(overloads)),
        "overload_refusal_p99_ms": _median(refusal.p99 for refusal in refusals if refusal),
        "overload_calm_after_s": _median(map(_calm_after_s, overloads)),
    }


def _calm_after_s(measurement: Measurement) -> float:
    """Return the seconds from the last intended send time until the last request has ended."""
    last = max((result.intended for result in measurement.results), default=0.0)
    return max((result.finished for result in measurement.results), default=last) - last


def _latencies(measurements: Iterable[Measurement]) -> list[Latency]:
    return [m.summary.latency_ms for m in measurements if m.summary.latency_ms]


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(median(known), 3) if known else None


def _bound(decode_ms: float, engine_ms: float) -> float:
    return granted_cores() * 1000 / (decode_ms + engine_ms)
