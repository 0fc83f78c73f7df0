"""Admission: which photos get a permit, and that each permit and each byte is given back."""

import asyncio
from contextlib import ExitStack

import pytest

from app.errors import NotReady, Overloaded
from app.serving.admission import Admission
from app.settings import Settings
from app.telemetry.metrics import Metrics


def new_admission(
    photos_a_second: float = 0, failing: bool = False, free_slots: int = 32
) -> Admission:
    settings = Settings(
        capacity=16, capacity_bytes=100_000, max_upload_bytes=1000, longest_wait_s=1
    )
    return Admission(
        lambda: failing, lambda: photos_a_second, lambda: free_slots, settings, Metrics()
    )


async def upload_slowly(admission: Admission, size: int) -> None:
    """Send `size` bytes, and then nothing more."""
    with admission.hold() as upload:
        async with asyncio.timeout(60) as upload.timeout:
            upload.add(size)
            await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("photos_a_second", "permits"), [(0, 16), (0.1, 2), (5, 2), (8, 4), (31, 15), (1000, 16)]
)
def test_half_of_the_longest_wait_is_spent_inside(photos_a_second: float, permits: int) -> None:
    assert new_admission(photos_a_second).capacity == permits


@pytest.mark.anyio
async def test_it_takes_as_many_as_there_are_places() -> None:
    admission = new_admission()
    with ExitStack() as inside:
        for _ in range(15):
            inside.enter_context(admission.admit(admission.begin_turn()))
        turn = admission.begin_turn()
        assert not admission.make_room(0)
        with admission.admit(turn):
            assert not turn.alive
            assert (admission.in_flight, admission.arriving) == (16, 0)
        with pytest.raises(ZeroDivisionError), admission.admit(admission.begin_turn()):
            _ = 1 / 0
        assert admission.make_room(0)
    assert admission.in_flight == 0


@pytest.mark.anyio
async def test_a_photo_that_nobody_waits_for_keeps_its_slot_for_a_while() -> None:
    admission = new_admission(free_slots=1)
    admission.begin_turn()
    assert not admission.make_room(0)


@pytest.mark.anyio
async def test_a_turn_ends_once() -> None:
    admission = new_admission()
    turn = admission.begin_turn()
    admission.begin_turn()
    turn.end()
    turn.end()
    assert admission.arriving == 1


@pytest.mark.anyio
async def test_where_no_worker_starts_nobody_comes_in() -> None:
    with pytest.raises(NotReady), new_admission(failing=True).hold():
        pass


@pytest.mark.anyio
async def test_bytes_count_as_they_come_and_until_the_answer() -> None:
    admission = new_admission()
    turn = admission.begin_turn()
    with admission.hold(turn) as first, admission.hold() as second:
        first.add(60_000)
        second.add(39_000)
        assert admission.bytes_held == 99_000
        assert not admission.make_room(1001)
        with pytest.raises(Overloaded):
            second.add(1001)
    assert (admission.bytes_held, admission.arriving) == (0, 0)
    assert admission.make_room(100_000)


@pytest.mark.anyio
async def test_a_slow_upload_gives_way_to_others_when_bytes_are_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.serving.admission._SLOW_UPLOAD_S", 0.0)
    admission = new_admission()

    slow = asyncio.create_task(upload_slowly(admission, 90_000))
    await asyncio.sleep(0.01)
    with admission.hold() as quick:
        quick.add(50_000)
        with pytest.raises(TimeoutError):
            await slow
        assert admission.bytes_held == 50_000
    assert admission.bytes_held == 0


@pytest.mark.anyio
async def test_no_more_slow_uploads_are_ended_than_bytes_are_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.serving.admission._SLOW_UPLOAD_S", 0.0)
    admission = new_admission()

    slow = [asyncio.create_task(upload_slowly(admission, 30_000)) for _ in range(3)]
    await asyncio.sleep(0.01)
    assert admission.make_room(10_000)
    # The bytes of the first one are enough, however often somebody asks.
    assert not admission.make_room(20_000)
    assert not admission.make_room(40_000)
    with pytest.raises(TimeoutError):
        await slow[0]
    assert admission.make_room(40_000)
    assert not any(upload.done() for upload in slow[1:])
    for upload in slow[1:]:
        upload.cancel()


@pytest.mark.anyio
async def test_bytes_that_come_after_an_upload_was_ended_are_counted_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.serving.admission._SLOW_UPLOAD_S", 0.0)
    admission = new_admission()

    async def upload_on() -> None:
        with admission.hold() as upload:
            async with asyncio.timeout(60) as upload.timeout:
                upload.add(60_000)
                assert not admission.make_room(50_000)
                # The upload does not know yet that it was ended.
                upload.add(10_000)
                await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await upload_on()
    # If bytes were left over, this would end the next upload without need.
    other = asyncio.create_task(upload_slowly(admission, 50_000))
    await asyncio.sleep(0.01)
    assert admission.make_room(50_000)
    await asyncio.sleep(0.01)
    assert not other.done()
    other.cancel()
