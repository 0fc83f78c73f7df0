"""Bulk classification, measured with real processes and with a machine of known speed."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from itertools import islice
from pathlib import Path
from typing import cast

import pytest
from drawn import draw

from app.bench.load.photos import photos_to_send
from app.bench.measure import bulk
from app.bench.measure.bulk import BulkRate, bulk_rate, idle_machine
from app.bulk.machine import Machine
from app.bulk.records import Record, answered, failed
from app.bulk.sources import contents
from app.model.bundle import load_bundle
from app.settings import read_settings


@pytest.fixture(autouse=True)
def _short_warmup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "_WARMUP_S", 0.1)


@pytest.mark.slow
def test_a_machine_is_measured_again_and_again(small_bundle: Path, tmp_path: Path) -> None:
    for number in range(3):
        draw(tmp_path / f"{number}.png", (200, 30, 40), number)
    bundle, photos = load_bundle(small_bundle), photos_to_send(tmp_path)
    settings = read_settings(model_dir=small_bundle, workers=1, max_batch_size=4)

    async def measured() -> list[BulkRate]:
        async with idle_machine(bundle, settings, photos) as (machine, names):
            assert contents(names, 10**6) == [photo.data for photo in photos]
            return [await bulk_rate(machine, names, 0.5) for _ in range(2)]

    for rate in asyncio.run(measured()):
        assert rate.per_s > 0
        assert rate.cpu_ms > 0


class Scripted:
    """A machine that classifies two of each three photos, and needs 10 ms for the three."""

    def __init__(self) -> None:
        self.ended = False

    async def records(self, names: Iterable[str]) -> AsyncIterator[list[Record]]:
        endless = iter(names)
        try:
            while group := list(islice(endless, 3)):
                await asyncio.sleep(0.01)
                good = [answered(name, (), None) for name in group[1:]]
                yield [failed(group[0], "broken_image", "It is broken"), *good]
        finally:
            self.ended = True


def test_only_classified_photos_count() -> None:
    machine = Scripted()
    rate = asyncio.run(bulk_rate(cast(Machine, machine), ["a", "b"], 0.3))
    # A busy machine sleeps for longer.
    assert 0 < rate.per_s <= 200
    assert machine.ended
