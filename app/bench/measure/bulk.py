"""What `classify` reaches on the same photos after its start, without a server and without a table.

The photos pass the code of `app.bulk.machine`, which `classify` runs on one machine.
"""

import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from app.bench.load.photos import PhotoFile
from app.bench.measure.processes import usage
from app.bulk.machine import Machine, running
from app.bulk.records import Record, Wishes
from app.model.bundle import Bundle
from app.settings import Settings

_WARMUP_S = 1.0


class BulkRate(NamedTuple):
    """The photos that are classified in a second, and the CPU milliseconds of each."""

    per_s: float
    cpu_ms: float


@asynccontextmanager
async def idle_machine(
    bundle: Bundle, settings: Settings, photos: Sequence[PhotoFile]
) -> AsyncIterator[tuple[Machine, list[str]]]:
    """Start what `classify` starts on one machine.

    Yields:
        The idle machine, and the names of the photos, which lie in a folder until the end.

    Raises:
        StartupError: a worker cannot load the bundle, or a decoder cannot start.
    """
    with TemporaryDirectory() as folder:
        files = [Path(folder, str(number)) for number in range(len(photos))]
        for file, photo in zip(files, photos, strict=True):
            file.write_bytes(photo.data)
        async with running(bundle, settings, Wishes()) as machine:
            yield machine, [str(file) for file in files]


async def bulk_rate(machine: Machine, names: Sequence[str], seconds: float) -> BulkRate:
    """Classify photos again and again, and measure this for so long, after a warm-up.

    Raises:
        StartupError: no worker or no decoder can be started any more.
    """
    async with aclosing(machine.records(cycle(names))) as groups:
        await _count(groups, _WARMUP_S)
        cpu_s, start = _cpu_s(), time.perf_counter()
        count = await _count(groups, seconds)
        took, used = time.perf_counter() - start, _cpu_s() - cpu_s
    return BulkRate(count / took, 1000 * used / max(1, count))


async def _count(groups: AsyncIterator[list[Record]], seconds: float) -> int:
    """Return how many photos are classified in this time; those with an error do not count."""
    count, end = 0, time.perf_counter() + seconds
    async for records in groups:
        count += sum(record["error"] is None for record in records)
        if time.perf_counter() >= end:
            break
    return count


def _cpu_s() -> float:
    """Return the CPU seconds that this process, its decoders and its workers have used."""
    used = usage([os.getpid()])
    return used.cpu_s if used else 0.0
