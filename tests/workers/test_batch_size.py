"""The choice of the batch size: from times that a real worker measures, and from given times."""

from pathlib import Path

import pytest
from real_pools import put, taken

from app.model.bundle import Bundle, load_bundle
from app.settings import Settings
from app.telemetry.metrics import Metrics
from app.workers.batch_size import best_batch_size
from app.workers.pool import WorkerPool

pytestmark = pytest.mark.anyio


@pytest.fixture
def bundle(small_bundle: Path) -> Bundle:
    return load_bundle(small_bundle)


async def test_where_no_batch_size_is_set_it_is_measured(bundle: Bundle) -> None:
    settings = Settings(workers=1, batch_budget_s=30)
    async with WorkerPool(bundle, settings, Metrics()) as pool:
        assert list(pool.batch_cap.seconds) == [1, 2, 4]
        assert all(seconds > 0 for seconds in pool.batch_cap.seconds.values())
        assert pool.batch_cap.size == best_batch_size(pool.batch_cap.seconds)
        scores, _ = await (await taken(pool)).infer(put(pool) * pool.batch_cap.size)
        assert len(scores) == pool.batch_cap.size


async def test_a_batch_over_the_budget_ends_the_measuring(bundle: Bundle) -> None:
    settings = Settings(workers=1, batch_budget_s=1e-9)
    async with WorkerPool(bundle, settings, Metrics()) as pool:
        assert list(pool.batch_cap.seconds) == [1]
        assert pool.batch_cap.size == 1


@pytest.mark.parametrize(
    ("milliseconds", "best"),
    [
        ({1: 14, 2: 24, 4: 45, 8: 92, 16: 186}, 4),
        ({1: 100, 2: 200, 4: 400}, 1),
        # The time per photo is flat here too, but each batch costs four milliseconds more.
        ({1: 9, 2: 18, 4: 37}, 4),
        ({1: 10, 2: 15, 4: 20, 8: 30}, 8),
        ({1: 10}, 1),
    ],
)
def test_the_smallest_batch_that_is_as_good_as_the_best_is_taken(
    milliseconds: dict[int, float], best: int
) -> None:
    assert best_batch_size({size: ms / 1000 for size, ms in milliseconds.items()}) == best
