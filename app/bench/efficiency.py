"""How much of two cores' worth is served: the service against decode and network alone.

All is measured in turns in one run, since a machine is not equally fast at all times: the costs
alone, one client, as many as are asked for, and then twice as many requests as were served.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from app.bench.load.generator import LoadPlan
from app.bench.load.photos import MEGAPIXELS, PhotoFile, find_photos
from app.bench.load_test import prepared, run_loop
from app.bench.measure.baseline import decode_ms, engine_ms, idle_workers, plain_decode_ms
from app.bench.measure.launch import running_server
from app.bench.measure.probe import probed_run
from app.bench.measure.runner import Measurement
from app.bench.report.tables import costs
from app.bench.rounds import Round, figures
from app.images.decoding import decode
from app.model.bundle import Bundle, load_bundle
from app.settings import Settings

_IDLE = LoadPlan(concurrency=1, seconds=3, warmup_seconds=1)
_TOO_MUCH = 2


@dataclass(frozen=True)
class Options:
    """What is asked for beside the server's settings."""

    images: Path | None = None
    megapixels: float = MEGAPIXELS
    concurrency: int = 32
    seconds: float = 8
    rounds: int = 3


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
    bundle: Bundle, settings: Settings, photos: Sequence[PhotoFile], options: Options
) -> list[Round]:
    decoded = [decode(p.data, bundle.preprocessing, settings.max_pixels).pixels for p in photos]
    plan = LoadPlan(concurrency=options.concurrency, seconds=options.seconds)
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
            idle = await ready.run(_IDLE)
            run, probes_s = await probed_run(ready, plan)
            overload = await ready.run(_overload(run))
            costs = (decoding, plain, engine, busy)
            rounds.append(Round(*costs, idle, run, overload, probes_s))
            if ready.stop.is_set():
                break
    return rounds


def _overload(peak: Measurement) -> LoadPlan:
    """Return twice of what was just served."""
    return LoadPlan(rate=max(1.0, _TOO_MUCH * peak.summary.right_per_s), seconds=peak.plan.seconds)
