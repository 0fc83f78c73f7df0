"""The search for the highest sustained rate."""

import asyncio

import pytest

from app.bench.sweep import highest_rate


@pytest.mark.parametrize("limit", [0.9, 1, 7, 16, 130, 5000])
@pytest.mark.parametrize("first", [1, 16, 400])
def test_a_sweep_finds_the_limit(limit: float, first: float) -> None:
    tried: list[float] = []

    async def sustains(rate: float) -> bool:
        tried.append(rate)
        return rate <= limit

    found = asyncio.run(highest_rate(sustains, first))
    if len(tried) < 14:
        assert 0.95 * limit <= found <= limit
    assert found == max((rate for rate in tried if rate <= limit), default=0)
    assert len(tried) == len(set(tried)) <= 14


def test_a_sweep_ends_where_nothing_stands_and_where_everything_does() -> None:
    async def found(always: bool) -> float:
        async def sustains(_: float) -> bool:
            return always

        return await highest_rate(sustains, 10)

    assert asyncio.run(found(False)) == 0
    assert asyncio.run(found(True)) == 10 * 2**13
