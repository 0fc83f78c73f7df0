"""The efficiency: the served rate, compared with the rate that decoding and network alone allow.

Each round measures everything in turn, because a machine is not equally fast at all times: the
costs alone, photos in bulk, one client, the requested number of clients, and then twice the rate of
these clients.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from app.bench.load.generator import LoadPlan
from app.bench.load.photos import MEGAPIXELS, PhotoFile, photos_to_send
from app.bench.load_test import prepared, run_loop
from app.bench.measure.baseline import decode_ms, engine_ms, idle_workers, plain_decode_ms
from app.bench.measure.bulk import bulk_rate, idle_machine
from app.bench.measure.launch import running_server
from app.bench.measure.probe import probed_run
from app.bench.measure.runner import Measurement
from app.bench.report.tables import costs
from app.bench.rounds import Round, medians
from app.images.decoding import decode
from app.model.bundle import Bundle, load_bundle
from app.settings import Settings

_IDLE = LoadPlan(concurrency=1, seconds=3, warmup_seconds=1)
_OVERLOAD_FACTOR = 2


@dataclass(frozen=True)
class Options:
    """The options of `bench-efficiency` beside the server's settings."""

    images: Path | None = None
    megapixels: float = MEGAPIXELS
    concurrency: int = 32
    seconds: float = 8
    rounds: int = 3


def measure_efficiency(settings: Settings, options: Options, console: Console) -> dict[str, Any]:
    """Start a server, measure it, and return the JSON document. A table goes to `console`.

    Raises:
        StartupError: the server does not start, or there are no photos.
        BundleError: the bundle cannot be used.
    """
    bundle = load_bundle(settings.model_dir)
    photos = photos_to_send(options.images, options.megapixels)
    rounds = run_loop(_rounds(bundle, settings, photos, options))
    document = medians(rounds) | {"photos": len(photos), "concurrency": options.concurrency}
    console.print(costs(document))
    return document


async def _rounds(
    bundle: Bundle, settings: Settings, photos: Sequence[PhotoFile], options: Options
) -> list[Round]:
    decoded = [decode(p.data, bundle.preprocessing, settings.max_pixels).pixels for p in photos]
    plan = LoadPlan(concurrency=options.concurrency, seconds=options.seconds)
    rounds: list[Round] = []
    async with (
        idle_workers(bundle, settings, decoded) as (workers, in_slots),
        idle_machine(bundle, settings, photos) as (machine, names),
        running_server(settings) as target,
        prepared(target, photos) as runner,
    ):
        for _ in range(options.rounds):
            engine = await engine_ms(workers[:1], in_slots)
            best = min(engine, key=engine.__getitem__)
            busy = (await engine_ms(workers, in_slots, [best]))[best]
            decoding = decode_ms(photos, bundle, settings)
            plain = plain_decode_ms(photos, bundle, settings)
            bulk = await bulk_rate(machine, names, options.seconds)
            idle = await runner.run(_IDLE)
            peak, probes_s = await probed_run(runner, plan)
            overload = await runner.run(_overload(peak))
            alone = (decoding, plain, engine, busy)
            rounds.append(Round(*alone, bulk, idle, peak, overload, probes_s))
            if runner.stop.is_set():
                break
    return rounds


def _overload(peak: Measurement) -> LoadPlan:
    """Return a plan with twice the rate at which `peak` got right answers."""
    rate = max(1.0, _OVERLOAD_FACTOR * peak.summary.right_per_s)
    return LoadPlan(rate=rate, seconds=peak.plan.seconds)
