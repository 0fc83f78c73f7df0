"""Messages over gRPC while they arrive: how many at once, and who has to give way."""

import asyncio

import pytest

from app.api.rpc.arrivals import Arrivals
from app.errors import MalformedBody, Overloaded, UploadTimeout

pytestmark = pytest.mark.anyio


async def never() -> object:
    return await asyncio.Event().wait()


async def quick() -> object:
    await asyncio.sleep(0)
    return b"message"


async def test_what_is_no_message_is_an_error() -> None:
    async def nothing() -> object:
        await asyncio.sleep(0)
        return None

    with pytest.raises(MalformedBody):
        await Arrivals(1, 60).message(nothing)


async def test_only_so_many_arrive_at_once() -> None:
    arrivals, reading = Arrivals(2, 60), list[None]()

    async def read() -> object:
        reading.append(None)
        assert len(reading) <= 2
        await asyncio.sleep(0.01)
        reading.pop()
        return b"message"

    tasks = [asyncio.create_task(arrivals.message(read)) for _ in range(9)]
    assert await asyncio.gather(*tasks) == [b"message"] * 9


async def test_a_slow_message_may_take_its_time_while_nobody_waits() -> None:
    async def slow() -> object:
        await asyncio.sleep(0.3)
        return b"slow"

    arrivals = Arrivals(2, 60)
    task = asyncio.create_task(arrivals.message(slow))
    await asyncio.sleep(0.15)
    assert await arrivals.message(quick) == b"message"
    assert await task == b"slow"


async def test_slow_messages_give_way_to_each_who_waits() -> None:
    arrivals = Arrivals(3, 60)
    slow = [asyncio.create_task(arrivals.message(never)) for _ in range(3)]
    await asyncio.sleep(0.2)
    assert await arrivals.message(quick) == b"message"
    # The oldest one has made room, and nobody else had to.
    assert [task.done() for task in slow] == [True, False, False]
    with pytest.raises(UploadTimeout) as ended:
        await slow[0]
    assert ended.value.retry_after_s == 1
    more = [asyncio.create_task(arrivals.message(never)) for _ in range(4)]
    async with asyncio.timeout(10):
        assert await arrivals.message(quick) == b"message"
    for task in (*slow, *more):
        task.cancel()


async def test_a_hundred_slow_ones_keep_nobody_out_for_long() -> None:
    arrivals = Arrivals(3, 60)
    slow = [asyncio.create_task(arrivals.message(never)) for _ in range(100)]
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        assert await arrivals.message(quick) == b"message"
    for task in slow:
        task.cancel()


async def test_a_message_has_a_limited_time() -> None:
    with pytest.raises(UploadTimeout):
        await Arrivals(1, 0.05).message(never)


async def test_only_so_many_wait() -> None:
    arrivals = Arrivals(1, 60)
    tasks = [asyncio.create_task(arrivals.message(never)) for _ in range(257)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as refused:
        await arrivals.message(quick)
    assert refused.value.retry_after_s == 1
    for task in tasks:
        task.cancel()


async def test_who_leaves_the_line_leaves_nothing_behind() -> None:
    arrivals = Arrivals(1, 60)
    first = asyncio.create_task(arrivals.message(never))
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(arrivals.message(never)) for _ in range(3)]
    await asyncio.sleep(0)
    for task in (*waiting, first):
        task.cancel()
    await asyncio.gather(first, *waiting, return_exceptions=True)
    assert await arrivals.message(quick) == b"message"
