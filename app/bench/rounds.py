"""What was measured in each round beside each other, and what its medians come to.

Efficiency = served images/s / (cores / (decode CPU + engine CPU of one image)).
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from app.bench.measure.baseline import BATCH_SIZES
from app.bench.measure.runner import Measurement
from app.bench.measure.stats import Latency
from app.host import granted_cores


@dataclass(frozen=True)
class Round:
    """Everything measured once.

    Attributes:
        engine_ms: of one worker alone, by batch size.
        busy_engine_ms: of the best of these sizes, with a worker busy on every core.
        idle: one client alone.
        run: as many clients as were asked for.
        overload: an open loop at twice the rate that `run` was served.
        probes_s: answers of `/health/live` during `run`, in seconds.
    """

    decode_ms: float
    plain_decode_ms: float
    engine_ms: dict[int, float]
    busy_engine_ms: float
    idle: Measurement
    run: Measurement
    overload: Measurement
    probes_s: list[float]

    def document(self) -> dict[str, Any]:
        """Return it as it stands in the JSON document."""
        return {
            "decode_ms": self.decode_ms,
            "plain_decode_ms": self.plain_decode_ms,
            "engine_ms": self.engine_ms,
            "busy_engine_ms": self.busy_engine_ms,
            "idle": self.idle.document(),
            "overload": self.overload.document() | {"calm_after_s": _calm_after_s(self.overload)},
        } | self.run.document()


def figures(rounds: Sequence[Round]) -> dict[str, Any]:
    """Return the medians, and what follows from them."""
    every = [run for r in rounds for run in (r.idle, r.run, r.overload)]
    others = [run.others_cores for run in every if run.others_cores is not None]
    return {
        **_efficiency(rounds),
        **_idle(rounds),
        **_overload([r.run for r in rounds], [r.overload for r in rounds]),
        "tool_cpu_ms": median(r.run.tool.cpu_ms_per_request for r in rounds),
        "others_cores": max(others, default=None),
        "wrong": sum(run.summary.wrong for run in every),
        "errors": sum(r.run.summary.errors for r in rounds),
        "rounds": [r.document() for r in rounds],
    }


def _efficiency(rounds: Sequence[Round]) -> dict[str, Any]:
    engine = {size: median(r.engine_ms[size] for r in rounds) for size in BATCH_SIZES}
    decoding, plain = median(r.decode_ms for r in rounds), median(r.plain_decode_ms for r in rounds)
    busy, best = median(r.busy_engine_ms for r in rounds), min(engine.values())
    bound = _bound(decoding, best)
    served = median(r.run.summary.right_per_s for r in rounds)
    health = Latency.of(seconds for r in rounds for seconds in r.probes_s)
    cpu_ms = (r.run.server.cpu_ms_per_answer for r in rounds if r.run.server)
    return {
        "efficiency": round(served / bound, 3),
        "right_per_s": round(served, 1),
        "bound_per_s": round(bound, 1),
        "busy_bound_per_s": round(_bound(decoding, busy), 1),
        "plain_bound_per_s": round(_bound(plain, best), 1),
        "cores": granted_cores(),
        "decode_ms": round(decoding, 2),
        "plain_decode_ms": round(plain, 2),
        "busy_engine_ms": round(busy, 2),
        "engine_ms": {str(size): round(ms, 2) for size, ms in engine.items()},
        "p50_ms": _median(latency.p50 for latency in _answered(r.run for r in rounds)),
        "p99_ms": _median(latency.p99 for latency in _answered(r.run for r in rounds)),
        "health_live_ms": asdict(health) if health else None,
        "server_cpu_ms": _median(cpu_ms),
    }


def _idle(rounds: Sequence[Round]) -> dict[str, Any]:
    """Return what one request takes that waits for nobody, and how much of it is our own."""
    took = [(r, r.idle.summary.latency_ms.p50) for r in rounds if r.idle.summary.latency_ms]
    return {
        "idle_ms": _median(ms for _, ms in took),
        "idle_beside_ms": _median(ms - r.decode_ms - r.engine_ms[1] for r, ms in took),
    }


def _overload(peaks: Sequence[Measurement], overloads: Sequence[Measurement]) -> dict[str, Any]:
    """Return how much of the peak is still answered within a second at twice its rate."""
    refusals = [run.summary.refusal_ms for run in overloads]
    pairs = zip(peaks, overloads, strict=True)
    return {
        "overload_rate": _median(run.plan.rate for run in overloads),
        "overload_goodput": _median(
            over.summary.goodput_per_s / peak.summary.right_per_s
            for peak, over in pairs
            if peak.summary.right_per_s
        ),
        "overload_p99_ms": _median(latency.p99 for latency in _answered(overloads)),
        "overload_refusal_p99_ms": _median(refused.p99 for refused in refusals if refused),
        "overload_calm_after_s": _median(_calm_after_s(run) for run in overloads),
    }


def _calm_after_s(run: Measurement) -> float:
    """Return the seconds from the last request's due time until nobody waits any more."""
    last = max((sample.intended for sample in run.samples), default=0.0)
    return max((sample.finished for sample in run.samples), default=last) - last


def _answered(runs: Iterable[Measurement]) -> list[Latency]:
    return [run.summary.latency_ms for run in runs if run.summary.latency_ms]


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(median(known), 3) if known else None


def _bound(decode_ms: float, engine_ms: float) -> float:
    return granted_cores() * 1000 / (decode_ms + engine_ms)
