"""How much of two cores' worth is served: the service against decode and network alone.

Efficiency = served images/s / (cores / (decode CPU + engine CPU of one image)). All is measured in
turns in one run, and medians count, since a machine is not equally fast at all times.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console

from app.bench.alone import BATCH_SIZES, decode_ms, engine_ms, idle_workers, plain_decode_ms
from app.bench.load import Plan
from app.bench.measure import Run
from app.bench.photos import MEGAPIXELS, Photo, find_photos
from app.bench.probe import probed_run
from app.bench.report import costs
from app.bench.run import prepared, run_loop
from app.bench.server import running_server
from app.bench.summary import Latency
from app.bundle import Bundle, load_bundle
from app.cores import granted_cores
from app.images import decode
from app.settings import Settings


@dataclass(frozen=True)
class Options:
    """What is asked for beside the server's settings."""

    images: Path | None = None
    megapixels: float = MEGAPIXELS
    concurrency: int = 32
    seconds: float = 8
    rounds: int = 3


@dataclass(frozen=True)
class Round:
    """Everything measured once.

    Attributes:
        engine_ms: of one worker alone, by batch size.
        busy_engine_ms: of the best of these sizes, with a worker busy on every core.
        probes_s: answers of `/health/live` under load, in seconds.
    """

    decode_ms: float
    plain_decode_ms: float
    engine_ms: dict[int, float]
    busy_engine_ms: float
    run: Run
    probes_s: list[float]


def measure_efficiency(settings: Settings, options: Options, console: Console) -> dict[str, Any]:
    """Start a server, measure it, and return the JSON document; a table goes to `console`.

    Raises:
        StartupError: the server does not start, or there are no photos.
        BundleError: the bundle cannot be used.
    """
    bundle = load_bundle(settings.model_dir)
    photos = find_photos(options.images, options.megapixels)
    rounds = run_loop(_rounds(bundle, settings, photos, options))
    document = figures(rounds) | {"photos": len(photos), "concurrency": options.concurrency}
    console.print(costs(document))
    return document


async def _rounds(
    bundle: Bundle, settings: Settings, photos: Sequence[Photo], options: Options
) -> list[Round]:
    decoded = [decode(p.data, bundle.preprocessing, settings.max_pixels).pixels for p in photos]
    plan = Plan(concurrency=options.concurrency, seconds=options.seconds)
    rounds: list[Round] = []
    async with (
        idle_workers(bundle, settings) as workers,
        running_server(settings) as target,
        prepared(target, photos) as ready,
    ):
        for _ in range(options.rounds):
            engine = await engine_ms(workers[:1], decoded)
            best = min(engine, key=engine.__getitem__)
            busy = (await engine_ms(workers, decoded, [best]))[best]
            decoding = decode_ms(photos, bundle, settings)
            plain = plain_decode_ms(photos, bundle, settings)
            rounds.append(Round(decoding, plain, engine, busy, *await probed_run(ready, plan)))
            if ready.stop.is_set():
                break
    return rounds


def figures(rounds: Sequence[Round]) -> dict[str, Any]:
    """Return the medians, and what follows from them."""
    engine = {size: median(r.engine_ms[size] for r in rounds) for size in BATCH_SIZES}
    decoding = median(r.decode_ms for r in rounds)
    plain = median(r.plain_decode_ms for r in rounds)
    busy = median(r.busy_engine_ms for r in rounds)
    bound = _bound(decoding, min(engine.values()))
    runs = [r.run for r in rounds]
    served = median(run.summary.right_per_s for run in runs)
    latencies = [run.summary.latency_ms for run in runs if run.summary.latency_ms]
    server = [cost for run in runs if run.server and (cost := run.server.cpu_ms_per_answer)]
    others = [run.others_cores for run in runs if run.others_cores is not None]
    health = Latency.of(seconds for r in rounds for seconds in r.probes_s)
    return {
        "efficiency": round(served / bound, 3),
        "right_per_s": round(served, 1),
        "bound_per_s": round(bound, 1),
        "busy_bound_per_s": round(_bound(decoding, busy), 1),
        "plain_bound_per_s": round(_bound(plain, min(engine.values())), 1),
        "cores": granted_cores(),
        "decode_ms": round(decoding, 2),
        "plain_decode_ms": round(plain, 2),
        "busy_engine_ms": round(busy, 2),
        "engine_ms": {str(size): round(ms, 2) for size, ms in engine.items()},
        "p50_ms": median(latency.p50 for latency in latencies) if latencies else None,
        "p99_ms": median(latency.p99 for latency in latencies) if latencies else None,
        "health_live_ms": asdict(health) if health else None,
        "server_cpu_ms": median(server) if server else None,
        "tool_cpu_ms": median(run.tool.cpu_ms_per_request for run in runs),
        "others_cores": max(others, default=None),
        "wrong": sum(run.summary.wrong for run in runs),
        "errors": sum(run.summary.errors for run in runs),
        "rounds": [
            {
                "decode_ms": r.decode_ms,
                "plain_decode_ms": r.plain_decode_ms,
                "engine_ms": r.engine_ms,
                "busy_engine_ms": r.busy_engine_ms,
            }
            | r.run.document()
            for r in rounds
        ],
    }


def _bound(decode_ms: float, engine_ms: float) -> float:
    return granted_cores() * 1000 / (decode_ms + engine_ms)
