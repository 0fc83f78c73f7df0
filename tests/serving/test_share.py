"""The share of a key: tokens by the clock, places for photos, and both given back in each case."""

import asyncio

import pytest

from app.errors import KeyBusy, KeyRate, Overloaded
from app.serving import share as share_module
from app.serving.admission import Admission
from app.serving.door import Door
from app.serving.share import Bucket, Place, Share
from app.serving.shares import Shares, key_name
from app.settings import Settings
from app.telemetry.metrics import Metrics

pytestmark = pytest.mark.anyio

KEY, OTHER = "the-key-of-one-0123456789", "the-key-of-another-0123456789"
NAME, OTHERS_NAME = key_name(KEY.encode()), key_name(OTHER.encode())


def share_with(**limits: float) -> tuple[Share, Metrics]:
    settings, metrics = Settings.model_validate({"api_keys": KEY, **limits}), Metrics()
    return Share(NAME, 1, settings, metrics), metrics


def refused(metrics: Metrics, reason: str, key: str = NAME) -> float | None:
    labels = {"key": key, "reason": reason}
    return metrics.registry.get_sample_value("classifier_key_refused_total", labels)


def tokens_at(bucket: Bucket, now: float) -> int:
    """Take what there is at `now`, and return how much it was."""
    count = 0
    while not bucket.due_in(now):
        bucket.take()
        count += 1
    return count


def test_a_bucket_begins_full_and_fills_with_time() -> None:
    bucket = Bucket(per_s=2, burst=3, now=100)
    assert tokens_at(bucket, 100) == 3
    assert bucket.due_in(100) == 0.5
    assert tokens_at(bucket, 100.25) == 0
    assert tokens_at(bucket, 100.5) == 1
    assert tokens_at(bucket, 101.5) == 2


def test_a_long_pause_brings_no_more_than_the_burst() -> None:
    bucket = Bucket(per_s=2, burst=3, now=0)
    assert tokens_at(bucket, 1_000_000) == 3


def test_a_clock_that_stands_still_brings_nothing() -> None:
    bucket = Bucket(per_s=1000, burst=1, now=7)
    assert [tokens_at(bucket, 7) for _ in range(3)] == [1, 0, 0]


def test_the_rate_holds_over_any_time() -> None:
    bucket = Bucket(per_s=0.3, burst=5, now=0)
    taken = sum(tokens_at(bucket, second / 10) for second in range(10_001))
    assert taken in (5 + 299, 5 + 300)


def test_debts_are_paid_by_time() -> None:
    bucket = Bucket(per_s=2, burst=1, now=0)
    for _ in range(9):
        bucket.take()
    assert bucket.due_in(0) == 4.5
    assert tokens_at(bucket, 4.25) == 0
    assert tokens_at(bucket, 4.5) == 1


async def test_a_key_has_no_more_photos_inside_than_places() -> None:
    share, metrics = share_with(key_concurrency=2)
    places = [await share.enter(60), await share.enter(60)]
    third = asyncio.create_task(share.enter(60))
    await asyncio.sleep(0.01)
    in_flight = metrics.registry.get_sample_value("classifier_key_in_flight_photos", {"key": NAME})
    assert (third.done(), share.inside, share.waiting, in_flight) == (False, 2, 1, 2)
    places[0].release()
    places[0].release()
    await third
    assert (share.inside, share.waiting) == (2, 0)


async def test_who_waits_too_long_for_a_place_is_refused() -> None:
    share, metrics = share_with(key_concurrency=1)
    await share.enter(60)
    started = asyncio.get_running_loop().time()
    with pytest.raises(KeyBusy) as refusal:
        await share.enter(0.05)
    # uvloop's clock counts whole milliseconds.
    assert asyncio.get_running_loop().time() - started >= 0.04
    assert refusal.value.retry_after_s == 1
    assert (refused(metrics, "key_busy"), refused(metrics, "key_rate")) == (1, 0)
    assert (share.inside, share.waiting) == (1, 0)


async def test_a_token_that_comes_in_time_is_waited_for() -> None:
    share, metrics = share_with(key_photos_per_s=20, key_burst=1)
    started = asyncio.get_running_loop().time()
    for _ in range(4):
        (await share.enter(60)).release()
    assert asyncio.get_running_loop().time() - started >= 0.14
    assert refused(metrics, "key_rate") == 0


async def test_who_would_wait_too_long_for_a_token_is_refused_when_that_is_over() -> None:
    share, metrics = share_with(key_photos_per_s=0.1)
    await share.enter(60)
    started = asyncio.get_running_loop().time()
    with pytest.raises(KeyRate) as refusal:
        await share.enter(0.05)
    assert asyncio.get_running_loop().time() - started >= 0.04
    assert refusal.value.retry_after_s == 10
    assert (refused(metrics, "key_rate"), share.inside, share.waiting) == (1, 1, 0)


async def test_further_photos_of_a_request_make_debts() -> None:
    share, _ = share_with(key_photos_per_s=0.1)
    place = await share.enter(60)
    for _ in range(3):
        await place.share.another()
    with pytest.raises(KeyRate) as refusal:
        await share.enter(0.01)
    assert refusal.value.retry_after_s == 40
    assert share.inside == 4


async def test_whoever_gives_up_waiting_for_a_token_leaves_it_to_others() -> None:
    share, _ = share_with(key_photos_per_s=1)
    await share.enter(60)
    waiting = [asyncio.create_task(share.enter(60)) for _ in range(50)]
    await asyncio.sleep(0.01)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert (share.inside, share.waiting) == (1, 0)
    async with asyncio.timeout(30):
        await share.enter(5)


async def test_whoever_gives_up_waiting_for_a_place_leaves_token_and_place() -> None:
    share, _ = share_with(key_photos_per_s=0.001, key_burst=2, key_concurrency=1)
    place = await share.enter(60)
    waiting = asyncio.create_task(share.enter(60))
    await asyncio.sleep(0.01)
    # The place comes, and the client leaves in the same moment.
    place.release()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert (share.inside, share.waiting) == (0, 0)
    # There would be no other token for a quarter of an hour.
    await share.enter(1)


async def test_the_line_of_a_key_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(share_module, "_LEAST_WAITING", 2)
    monkeypatch.setattr(share_module, "_MAX_WAITING", 2)
    share, metrics = share_with(key_concurrency=1)
    await share.enter(60)
    waiting = [asyncio.create_task(share.enter(60)) for _ in range(2)]
    await asyncio.sleep(0.01)
    async with asyncio.timeout(30):
        with pytest.raises(KeyBusy):
            await share.enter(3600)
    assert refused(metrics, "key_busy") == 1
    for task in waiting:
        task.cancel()


class House:
    """Two keys in front of a door with two places behind it; a key may have one of them."""

    def __init__(self, **limits: float) -> None:
        self.settings = Settings.model_validate(
            {"api_keys": f"{KEY} {OTHER}", "capacity": 2, "longest_wait_s": 0.1, **limits}
        )
        self.metrics = Metrics()
        self.admission = Admission(
            lambda: False, lambda: 0.0, lambda: 4, self.settings, self.metrics
        )
        self.door = Door(self.admission, self.settings, self.metrics)
        self.shares = Shares(self.door, self.settings, self.metrics)

    async def place(self, key: str = NAME) -> Place:
        """Return the place of a request that takes its turn with a key."""
        turn = await self.shares.turn(key, 0, 60)
        assert turn.place
        return turn.place


async def test_one_key_does_not_take_the_other_keys_place() -> None:
    house = House(key_concurrency=1)
    await house.place()
    with pytest.raises(KeyBusy):
        await house.place()
    assert house.door.waiting == 0
    await house.place(OTHERS_NAME)


async def test_without_limits_requests_go_straight_to_the_door() -> None:
    house = House()
    turn = house.shares.ask(NAME, 0, 60)
    assert turn.done()
    assert turn.result().place is None
    assert (await house.shares.turn(NAME, 0, 60)).place is None
    assert 'key="' not in str(list(house.metrics.registry.collect()))


async def test_a_refusal_at_the_door_costs_neither_place_nor_token() -> None:
    house = House(key_concurrency=1, key_photos_per_s=0.001)
    house.admission.in_flight = 2
    for _ in range(2):
        with pytest.raises(Overloaded):
            await house.place()
    house.admission.in_flight = 0
    await house.place()


async def test_whoever_leaves_the_door_leaves_place_and_token() -> None:
    house = House(key_concurrency=1, key_photos_per_s=0.001)
    house.admission.in_flight = 2
    waiting = house.shares.ask(NAME, 0, 60)
    await asyncio.sleep(0.01)
    assert house.door.waiting == 1
    waiting.cancel()
    await asyncio.sleep(0.01)
    house.admission.in_flight = 0
    assert house.door.waiting == 0
    await house.place()


async def test_the_wait_for_a_share_is_a_part_of_the_time_that_the_client_allows() -> None:
    house = House(key_concurrency=1, longest_wait_s=60)
    first = await house.place()
    asyncio.get_running_loop().call_later(0.05, first.release)
    assert (await house.shares.ask(NAME, 0, 60)).waited_s >= 0.04


async def test_the_metrics_begin_at_zero_for_each_key() -> None:
    house = House(key_concurrency=1)
    for key in (NAME, OTHERS_NAME):
        assert [refused(house.metrics, reason, key) for reason in ("key_busy", "key_rate")] == [
            0,
            0,
        ]
