"""The cap on batches: what it learns from simulated machines, and from real batches."""

import asyncio
import random
from collections.abc import Mapping
from pathlib import Path

import pytest
from real_pools import BLACK, pool_of, put, taken, until

from app.model.bundle import Bundle, load_bundle
from app.settings import Settings
from app.telemetry.metrics import Metrics
from app.workers.batch_cap import BatchCap
from app.workers.batch_size import best_batch_size
from app.workers.pool import WorkerPool

pytestmark = pytest.mark.anyio

QUIET = {1: 0.013, 2: 0.0206, 4: 0.036, 8: 0.08}
# Beside a process that takes the caches away, only small batches are quick.
BUSY = {1: 0.02, 2: 0.06, 4: 0.16, 8: 0.4}


class Machine:
    """A machine on which batches take the seconds in `costs`, more or less."""

    def __init__(self, costs: Mapping[int, float], seed: int = 0, budget_s: float = 0.15) -> None:
        self.now = 0.0
        self.costs = costs
        self.caps: set[int] = set()
        self.tried: set[int] = set()
        self._random = random.Random(seed)  # noqa: S311  (only noise)
        self.cap = BatchCap(1, tuple(QUIET), budget_s, lambda: self.now)

    def start(self) -> None:
        """Measure as the start does: no size over the budget."""
        budget_s = 0.15
        self.cap.start({size: s for size, s in self.costs.items() if size == 1 or s <= budget_s})

    def serve(self, seconds: float) -> None:
        """Run the wanted batches, and small ones while none is wanted; record the cap."""
        end = self.now + seconds
        while self.now < end:
            wanted = self.cap.wanted()
            if wanted:
                self.tried.add(wanted)
            self.cap.learn(wanted or 1, self._noisy(self.costs[wanted or 1]))
            self.caps.add(self.cap.size)
            self.now += 0.1

    def _noisy(self, seconds: float) -> float:
        """A few percent longer, and sometimes three times as long."""
        disturbed = 3 if self._random.random() < 0.1 else 1
        return seconds * disturbed * self._random.uniform(1, 1.06)


def test_a_start_beside_a_busy_process_is_forgotten_within_a_minute() -> None:
    machine = Machine(BUSY)
    machine.start()
    machine.serve(60)
    assert machine.cap.size == 1
    machine.costs = QUIET
    machine.serve(60)
    assert machine.cap.size == 4
    assert list(machine.cap.seconds) == [1, 2, 4, 8]
    for size, seconds in machine.cap.seconds.items():
        assert seconds == pytest.approx(QUIET[size], rel=0.07)


def test_a_neighbour_that_comes_is_noticed_within_a_minute() -> None:
    machine = Machine(QUIET)
    machine.start()
    assert machine.cap.size == 4
    machine.costs = BUSY
    machine.serve(60)
    assert machine.cap.size == 1


@pytest.mark.parametrize("seed", range(10))
def test_noise_does_not_change_the_cap_and_two_pods_end_up_alike(seed: int) -> None:
    machine = Machine(QUIET, seed)
    machine.start()
    machine.serve(1800)
    assert machine.caps == {4}


def test_the_present_size_stays_where_two_are_almost_equally_good() -> None:
    almost = {4: 0.038, 8: 0.075}
    assert best_batch_size(almost, 4) == 4
    assert best_batch_size(almost, 8) == 8
    assert best_batch_size({4: 0.038, 8: 0.065}, 4) == 8
    assert best_batch_size({4: 0.038, 8: 0.079}, 8) == 4
    assert best_batch_size({4: 0.038}, 8) == 4


def test_a_size_over_the_budget_is_neither_tried_nor_chosen() -> None:
    # Here, the larger a batch, the better.
    machine = Machine({1: 0.02, 2: 0.03, 4: 0.045, 8: 0.07}, budget_s=0.065)
    machine.cap.start({1: 0.02})
    machine.serve(60)
    assert machine.tried == {1, 2, 4}
    assert machine.cap.size == 4
    machine.costs = {size: 3 * seconds for size, seconds in machine.costs.items()}
    machine.serve(60)
    assert machine.cap.size == 1


def test_batches_of_sizes_that_were_not_wanted_do_not_count() -> None:
    now = 10.0
    cap = BatchCap(1, tuple(QUIET), 0.15, lambda: now)
    cap.start(QUIET)
    assert cap.wanted() is None
    cap.learn(1, 0.0001)
    now += 6
    assert cap.wanted() == 1
    cap.learn(8, 0.0001)
    assert cap.seconds == QUIET


def test_a_round_ends_without_a_size_for_which_too_few_photos_come() -> None:
    now = 0.0
    cap = BatchCap(1, tuple(QUIET), 0.15, lambda: now)
    cap.start(BUSY)
    for _ in range(600):
        now += 0.1
        size = cap.wanted() or 1
        cap.learn(min(size, 4), QUIET[min(size, 4)])
    assert list(cap.seconds) == [1, 2, 4]
    assert cap.size == 4


def test_a_cap_that_is_fixed_learns_nothing() -> None:
    cap = BatchCap(3)
    assert cap.wanted() is None
    cap.learn(1, 0.0001)
    assert cap.size == 3
    assert cap.seconds == {}


@pytest.fixture
def bundle(small_bundle: Path) -> Bundle:
    return load_bundle(small_bundle)


@pytest.mark.slow
async def test_an_idle_pool_forgets_a_wrong_first_guess_but_not_what_it_has_learned(
    bundle: Bundle,
) -> None:
    settings = Settings(workers=1, batch_budget_s=30)
    async with WorkerPool(bundle, settings, Metrics()) as pool:
        # A batch of the small bundle takes a second on no machine that runs these tests.
        pool.batch_cap.start({1: 1.0})
        assert pool.batch_cap.size == 1
        await until(lambda: list(pool.batch_cap.seconds) == [1, 2, 4])
        assert pool.batch_cap.seconds[1] < 0.5
        pool.grow(2)
        await until(lambda: pool.up == 2)
        assert list(pool.batch_cap.seconds) == [1, 2, 4]


@pytest.mark.slow
async def test_a_batch_after_a_pause_says_nothing_about_its_size(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned = []
    async with pool_of(bundle, max_batch_size=4) as pool:
        monkeypatch.setattr(
            pool.batch_cap, "learn", lambda size, seconds: learned.append((size, seconds > 0))
        )
        worker = await taken(pool)
        await worker.infer(put(pool, BLACK, BLACK))
        assert learned == []
        await worker.infer(put(pool))
        assert learned == [(1, True)]
        await asyncio.sleep(1.1)
        await worker.infer(put(pool))
        assert learned == [(1, True)]
        pool.give_back(worker)


@pytest.mark.slow
async def test_where_the_size_is_fixed_nothing_is_tried(bundle: Bundle) -> None:
    async with pool_of(bundle, max_batch_size=3) as pool:
        worker = await taken(pool)
        pool.give_back(worker)
        await asyncio.sleep(1)
        assert worker.batches == 0
        assert pool.batch_cap.seconds == {}
        assert pool.batch_cap.size == 3
