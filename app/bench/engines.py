"""The engines on this machine, measured in turn with workers of the service's kind."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, get_args

import numpy as np
from rich.console import Console

from app.bench.load.photos import photos_to_send
from app.bench.measure.baseline import engine_ms, idle_workers
from app.bench.measure.processes import worker_memory
from app.bench.report.tables import engine_table
from app.errors import StartupError
from app.images.decoding import decode
from app.images.preprocessing import Pixels
from app.model.bundle import Bundle, load_bundle
from app.model.engine import Scores
from app.settings import FLOAT32, EngineName, Settings
from app.workers.interfaces import Worker
from app.workers.slots import Slot

_BATCH_SIZE = 4


@dataclass(frozen=True)
class Options:
    """The options of `engines` beside the bundle."""

    photos: Path | None = None
    rounds: int = 3


@dataclass(frozen=True)
class Figures:
    """What was measured of one engine.

    Attributes:
        cpu_ms: {batch size: milliseconds of CPU for each photo}, medians of all rounds.
        start_s: from nothing until all workers are ready.
        memory_mb: of these workers and of the process that they are forks of; None if unknown.
        same_class: the share of photos to which Paddle gives the same likeliest class, and
        difference: the largest difference of a probability from Paddle's; both None without Paddle.
    """

    cpu_ms: Mapping[int, float]
    start_s: float
    memory_mb: float | None
    same_class: float | None
    difference: float | None


class _Running(NamedTuple):
    workers: Sequence[Worker]
    photos: Sequence[Slot]
    start_s: float
    memory_mb: float | None
    scores: Scores


def compare_engines(settings: Settings, options: Options, console: Console) -> dict[str, Any]:
    """Measure each engine and return the JSON document. A table goes to `console`.

    Raises:
        StartupError: no engine can run the bundle, or there are no photos.
        BundleError: the bundle cannot be used.
    """
    bundle = load_bundle(settings.model_dir)
    files = photos_to_send(options.photos)
    pixels = [decode(p.data, bundle.preprocessing, settings.max_pixels).pixels for p in files]
    figures, missing = asyncio.run(_compare(bundle, settings, pixels, options.rounds))
    if not figures:
        raise StartupError(f"no engine can run {bundle.directory}: {'; '.join(missing.values())}")
    document = {
        "engines": {engine: asdict(row) for engine, row in figures.items()},
        "missing": missing,
        "recommended": _recommended(figures),
        "photos": len(pixels),
    }
    console.print(engine_table(document))
    return document


async def _compare(
    bundle: Bundle, settings: Settings, pixels: Sequence[Pixels], rounds: int
) -> tuple[dict[str, Figures], dict[str, str]]:
    """Return the figures of the engines that run here, and for the others the reason."""
    async with AsyncExitStack() as stack:
        running: dict[str, _Running] = {}
        missing: dict[str, str] = {}
        for engine in get_args(EngineName):
            chosen = settings.model_copy(update={"engine": engine})
            try:
                one = await stack.enter_async_context(_started(bundle, chosen, pixels))
            except StartupError as error:
                missing[engine] = str(error)
            else:
                running[engine] = one
        # The engines take turns, because a machine is not equally fast at all times.
        measured = [
            {name: await engine_ms(one.workers[:1], one.photos) for name, one in running.items()}
            for _ in range(rounds)
        ]
    return {
        engine: _figures(one, [times[engine] for times in measured], running.get("paddle"))
        for engine, one in running.items()
    }, missing


@asynccontextmanager
async def _started(
    bundle: Bundle, settings: Settings, pixels: Sequence[Pixels]
) -> AsyncIterator[_Running]:
    others = worker_memory()
    began = time.perf_counter()
    async with idle_workers(bundle, settings, pixels) as (workers, photos):
        start_s = time.perf_counter() - began
        batches = [photos[at : at + _BATCH_SIZE] for at in range(0, len(photos), _BATCH_SIZE)]
        scores = [(await workers[0].infer(batch))[0] for batch in batches]
        grown = {pid: size for pid, size in worker_memory().items() if pid not in others}
        memory_mb = round(sum(grown.values()) / 1e6, 1) if grown else None
        yield _Running(workers, photos, round(start_s, 2), memory_mb, np.concatenate(scores))


def _figures(
    one: _Running, rounds: Sequence[Mapping[int, float]], paddle: _Running | None
) -> Figures:
    cpu_ms = {size: round(median(times[size] for times in rounds), 2) for size in rounds[0]}
    same_class = difference = None
    if paddle:
        same = one.scores.argmax(axis=1) == paddle.scores.argmax(axis=1)
        same_class = round(float(same.mean()), 4)
        difference = float(np.abs(one.scores - paddle.scores).max())
    return Figures(cpu_ms, one.start_s, one.memory_mb, same_class, difference)


def _recommended(figures: Mapping[str, Figures]) -> str | None:
    """Return the quickest engine that computes in float32, at its best batch size."""
    exact = [engine for engine in figures if engine in FLOAT32]
    return min(exact, key=lambda engine: min(figures[engine].cpu_ms.values()), default=None)
