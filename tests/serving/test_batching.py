"""The batcher: which photos share a batch, and that each photo gets an answer or an error."""

import asyncio
import time
from collections.abc import Iterator

import numpy as np
import pytest
from fakes import FakePool

from app.errors import InferenceFailed, NotExplainable, ServiceError, WorkerLost
from app.model.features import Question
from app.serving.batching import Answer, Batcher
from app.telemetry.metrics import Metrics
from app.workers.slots import PixelSlots

pytestmark = pytest.mark.anyio


SLOTS = PixelSlots(16, (2, 2))


@pytest.fixture(autouse=True)
def all_slots_are_given_back() -> Iterator[None]:
    """Check after each test that no photo keeps its room, however its batch has ended."""
    yield
    assert len(SLOTS.free) == 16


def submit(queue: Batcher, number: int, question: Question | None = None) -> asyncio.Future[Answer]:
    """Queue a photo whose bytes are all `number`; from then on only the queue needs its slot."""
    slot = SLOTS.put(np.full((2, 2, 3), number, np.uint8))
    future = queue.submit(slot, question)
    slot.release()
    return future


def batcher(pool: FakePool, max_wait_s: float = 0) -> Batcher:
    return Batcher(pool, max_wait_s, Metrics())


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def winners(futures: list[asyncio.Future[Answer]]) -> list[int]:
    return [int((await future).scores.argmax()) for future in futures]


async def test_an_idle_worker_starts_at_once_on_a_single_photo() -> None:
    pool = FakePool()
    future = submit(batcher(pool), 1)
    assert (await future).scores.tolist() == [0, 1, 0]
    assert pool.batches == [[1]]


async def test_while_the_worker_is_busy_the_next_batch_grows_up_to_the_cap() -> None:
    pool = FakePool(classes=10)
    pool.gate.clear()
    queue = batcher(pool)
    futures = [submit(queue, number) for number in range(7)]
    await settle()
    assert pool.batches == [[0]]
    pool.gate.set()
    assert await winners(futures) == list(range(7))
    assert pool.batches == [[0], [1, 2, 3, 4], [5, 6]]


async def test_a_worker_gets_its_next_batch_before_the_answers_of_the_last_one_are_sent() -> None:
    pool = FakePool()
    pool.gate.clear()
    queue = batcher(pool)
    first, second = submit(queue, 0), submit(queue, 1)
    begun: list[int] = []
    first.add_done_callback(lambda _: begun.append(len(pool.batches)))
    await settle()
    pool.gate.set()
    await second
    assert begun == [2]


async def test_all_idle_workers_are_used() -> None:
    pool = FakePool(workers=2)
    pool.gate.clear()
    queue = batcher(pool)
    futures = [submit(queue, number) for number in range(2)]
    await settle()
    assert pool.batches == [[0], [1]]
    pool.gate.set()
    assert await winners(futures) == [0, 1]


async def test_a_caller_who_left_is_dropped_before_the_batch_and_harms_nobody() -> None:
    pool = FakePool(classes=10)
    pool.gate.clear()
    queue = batcher(pool)
    running, first, gone, last = (submit(queue, number) for number in range(4))
    await settle()
    gone.cancel()
    pool.gate.set()
    assert await winners([running, first, last]) == [0, 1, 3]
    assert pool.batches == [[0], [1, 3]]


async def test_a_caller_who_leaves_during_the_batch_harms_nobody() -> None:
    pool = FakePool(classes=10)
    queue = batcher(pool)
    pool.gate.clear()
    blocker = submit(queue, 0)
    gone, stays = submit(queue, 1), submit(queue, 2)
    await settle()
    pool.gate.set()
    await blocker
    pool.gate.clear()
    await settle()
    assert pool.batches[-1] == [1, 2]
    gone.cancel()
    pool.gate.set()
    assert await winners([stays]) == [2]


async def test_when_all_who_wait_have_left_the_worker_stays_idle() -> None:
    pool = FakePool()
    pool.gate.clear()
    queue = batcher(pool)
    running, gone = submit(queue, 0), submit(queue, 1)
    await settle()
    gone.cancel()
    pool.gate.set()
    await running
    await settle()
    assert pool.batches == [[0]]
    assert len(pool.idle) == 1


@pytest.mark.parametrize(
    ("failure", "expected"),
    [(WorkerLost("lost"), WorkerLost), (ValueError("a bug"), InferenceFailed)],
)
async def test_a_failed_batch_fails_its_callers_and_no_others(
    failure: Exception, expected: type[ServiceError]
) -> None:
    pool = FakePool()
    pool.gate.clear()
    queue = batcher(pool)
    blocker = submit(queue, 0)
    doomed = [submit(queue, 1), submit(queue, 2)]
    await settle()
    # The first photo is answered. The batch fails once as a whole, and then each of its two photos
    # fails alone.
    pool.failures += [None, failure, failure, failure]
    pool.gate.set()
    await blocker
    results = await asyncio.gather(*doomed, return_exceptions=True)
    assert [type(result) for result in results] == [expected, expected]
    pool.failures.clear()
    assert await winners([submit(queue, 2)]) == [2]


async def test_what_waits_is_shared_with_the_workers_that_are_idle_soon() -> None:
    pool = FakePool(workers=2, classes=10)
    pool.gate.clear()
    queue = batcher(pool)
    futures = [submit(queue, number) for number in range(5)]
    await settle()
    assert pool.batches == [[0], [1]]
    pool.gate.set()
    assert await winners(futures) == list(range(5))
    assert pool.batches == [[0], [1], [2, 3], [4]]


async def test_only_the_culprit_of_a_failed_batch_fails() -> None:
    pool = FakePool(classes=10)
    pool.gate.clear()
    queue = batcher(pool)
    blocker = submit(queue, 0)
    good, bad, fine = (submit(queue, number) for number in (1, pool.poison, 3))
    await settle()
    pool.gate.set()
    assert await winners([blocker, good, fine]) == [0, 1, 3]
    with pytest.raises(InferenceFailed):
        await bad
    assert pool.batches == [[0], [1, pool.poison, 3], [1], [pool.poison], [3]]


async def test_an_idle_worker_waits_for_a_batch_to_fill_only_if_told_to() -> None:
    pool = FakePool(workers=2, classes=10)
    queue = batcher(pool, max_wait_s=3600)
    futures = [submit(queue, number) for number in range(3)]
    await settle()
    # The three photos wait for a fourth.
    assert pool.batches == []
    futures.append(submit(queue, 3))
    assert await winners(futures) == [0, 1, 2, 3]
    assert pool.batches == [[0, 1, 2, 3]]


async def test_an_idle_worker_waits_no_longer_than_told_to() -> None:
    pool = FakePool()
    assert await winners([submit(batcher(pool, max_wait_s=0.05), 1)]) == [1]


async def test_who_leaves_while_a_batch_fills_is_not_in_it() -> None:
    pool = FakePool(classes=10)
    queue = batcher(pool, max_wait_s=3600)
    gone, stays = submit(queue, 1), submit(queue, 2)
    gone.cancel()
    others = [submit(queue, number) for number in (3, 4, 5)]
    assert await winners([stays, *others]) == [2, 3, 4, 5]
    assert pool.batches == [[2, 3, 4, 5]]


async def test_rows_that_only_pad_a_batch_are_counted() -> None:
    metrics = Metrics()
    queue = Batcher(FakePool(max_batch_size=4), 0, metrics)
    await submit(queue, 1)
    assert metrics.registry.get_sample_value("classifier_padding_rows_total") == 3


async def test_an_answer_with_a_row_too_few_goes_to_nobody() -> None:
    pool = FakePool()
    pool.rows_missing = 1
    with pytest.raises(InferenceFailed):
        await submit(batcher(pool), 1)


async def test_timings_tell_the_wait_and_the_run() -> None:
    pool = FakePool()
    pool.gate.clear()
    queue = batcher(pool)
    began = time.perf_counter()
    first, second = submit(queue, 0), submit(queue, 1)
    await settle()
    settled_s = time.perf_counter() - began
    await asyncio.sleep(0.02)
    pool.gate.set()
    assert (await first).queue_s < settled_s
    assert (await second).queue_s >= 0.015
    assert (await second).inference_s == 0.002


async def test_a_photo_with_a_question_is_a_batch_of_its_own() -> None:
    pool = FakePool(classes=10, max_batch_size=8)
    pool.gate.clear()
    queue = batcher(pool)
    first = submit(queue, 0)
    await settle()
    plain = [submit(queue, number) for number in (1, 2)]
    asked = [submit(queue, number, Question("vector")) for number in (3, 4)]
    plain += [submit(queue, number) for number in (5, 6)]
    pool.gate.set()
    assert await winners([first, *plain, *asked]) == [0, 1, 2, 5, 6, 3, 4]
    assert pool.batches == [[0], [1, 2], [3], [4], [5, 6]]
    assert [(await future).inspected for future in (first, *plain)] == [None] * 5
    inspected = [(await future).inspected for future in asked]
    assert [one and one.vector.tolist() for one in inspected] == [[3, 4, 3], [3, 4, 4]]


async def test_a_question_without_an_answer_fails_its_photo_alone() -> None:
    pool = FakePool(classes=10)
    queue = batcher(pool)
    pool.failures.append(NotExplainable())
    asked, plain = submit(queue, 1, Question("map")), submit(queue, 2)
    with pytest.raises(NotExplainable):
        await asked
    assert await winners([plain]) == [2]
