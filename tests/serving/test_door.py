"""The door: who waits there, who is let in next, and who is refused."""

import asyncio
from contextlib import suppress

import pytest

from app.errors import DeadlineUnreachable, NotReady, Overloaded
from app.serving import admission as admission_module
from app.serving import door as door_module
from app.serving.admission import Admission, Turn
from app.serving.door import Door
from app.settings import Settings
from app.telemetry.metrics import Metrics

pytestmark = pytest.mark.anyio


class House:
    """A door with two places behind it. The test sets how quick the service seems to be."""

    def __init__(self, longest_wait_s: float = 60) -> None:
        settings = Settings(
            capacity=2, capacity_bytes=100_000, max_upload_bytes=1000, longest_wait_s=longest_wait_s
        )
        metrics = Metrics()
        self.failing = False
        self.photos_a_second = 0.0
        self.admission = Admission(
            lambda: self.failing, lambda: self.photos_a_second, lambda: 4, settings, metrics
        )
        self.door = Door(self.admission, settings, metrics)

    def fill(self) -> list[Turn]:
        """Take both places."""
        return [self.door.ask().result(), self.door.ask().result()]


@pytest.fixture(autouse=True)
def _turns_do_not_end_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_module, "_TURN_S", 60)


def release(turn: Turn, house: House) -> None:
    """Classify the photo whose turn it is."""
    with house.admission.admit(turn):
        pass


async def test_while_there_is_room_nobody_waits() -> None:
    house = House()
    first, second = house.fill()
    assert first.alive
    assert second.waited_s == 0
    assert house.door.waiting == 0


async def test_the_others_come_in_by_their_order() -> None:
    house = House()
    first, second = house.fill()
    waiting = [house.door.ask() for _ in range(3)]
    assert house.door.waiting == 3
    release(first, house)
    assert [turn.done() for turn in waiting] == [True, False, False]
    # Who leaves the line keeps nobody waiting.
    waiting[1].cancel()
    release(second, house)
    assert waiting[2].done()
    await asyncio.sleep(0)
    assert house.door.waiting == 0


async def test_uploads_that_have_arrived_take_turns_with_those_that_have_not() -> None:
    house = House()
    first, second = house.fill()
    unread = [house.door.ask(), house.door.ask()]
    read = [house.door.ask(read=True), house.door.ask(read=True)]
    release(first, house)
    release(second, house)
    assert [turn.done() for turn in (*read, *unread)] == [True, False, True, False]


async def test_who_sends_slowly_loses_the_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_module, "_TURN_S", 0.01)
    house = House()
    house.fill()
    async with asyncio.timeout(30):
        assert (await house.door.ask()).waited_s > 0


async def test_a_large_upload_waits_until_there_are_bytes_for_it() -> None:
    house = House()
    with house.admission.hold(house.door.ask().result()) as upload:
        upload.add(60_000)
        large = house.door.ask(size=50_000)
        assert not large.done()
    assert large.done()


async def test_who_cannot_be_answered_in_time_is_refused_when_the_time_is_over() -> None:
    house = House(longest_wait_s=0.05)
    house.fill()
    started = asyncio.get_running_loop().time()
    with pytest.raises(Overloaded) as refused:
        await house.door.ask()
    # uvloop's clock counts whole milliseconds.
    assert asyncio.get_running_loop().time() - started >= 0.04
    assert refused.value.retry_after_s == 1
    assert house.door.waiting == 0


async def test_a_patient_one_waits_as_long_as_its_client() -> None:
    house = House(longest_wait_s=0.01)
    first, _ = house.fill()
    patient, brief = (house.door.ask(read=True, patient=True, time_allowed_s=s) for s in (60, 0.1))
    with pytest.raises(DeadlineUnreachable):
        await brief
    assert not patient.done()
    release(first, house)
    assert patient.done()


async def test_a_place_goes_to_one_who_is_still_answered_in_time() -> None:
    house = House(longest_wait_s=3)
    first, _ = house.fill()
    late = house.door.ask()
    await asyncio.sleep(2.5)
    early = house.door.ask()
    # The photo that is left inside takes 0.7 s: the first one has waited for too long already.
    house.photos_a_second = 1.4
    release(first, house)
    assert early.done()
    with pytest.raises(Overloaded):
        await late


async def test_an_answer_too_late_is_better_than_a_place_that_nobody_takes() -> None:
    house = House(longest_wait_s=3)
    first, _ = house.fill()
    late = house.door.ask()
    await asyncio.sleep(2.5)
    house.photos_a_second = 1.4
    release(first, house)
    assert late.done()


async def test_a_wait_longer_than_the_client_allows_is_refused_at_once() -> None:
    house = House()
    house.photos_a_second = 2
    house.fill()
    patient = house.door.ask(time_allowed_s=1.1)
    with pytest.raises(DeadlineUnreachable) as refused:
        house.door.ask(time_allowed_s=1.4)
    assert refused.value.retry_after_s == 2
    patient.cancel()


async def test_a_client_who_allows_little_is_refused_when_that_is_over() -> None:
    house = House()
    house.fill()
    with pytest.raises(DeadlineUnreachable):
        await house.door.ask(time_allowed_s=0.01)


async def test_the_line_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_module, "_MAX_WAITING", 2)
    house = House()
    house.fill()
    waiting = [house.door.ask(), house.door.ask()]
    with pytest.raises(Overloaded):
        house.door.ask()
    for turn in waiting:
        turn.cancel()


async def test_where_no_worker_starts_nobody_waits() -> None:
    house = House(longest_wait_s=0.02)
    house.fill()
    waiting = house.door.ask()
    house.failing = True
    with pytest.raises(NotReady):
        house.door.ask()
    with pytest.raises(NotReady):
        await waiting


async def test_uploads_that_stall_do_not_keep_out_those_who_always_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admission_module, "_SLOW_UPLOAD_S", 0.1)
    house = House(longest_wait_s=0.1)

    async def stall() -> None:
        with house.admission.hold() as upload, suppress(TimeoutError):
            async with asyncio.timeout(60) as upload.timeout:
                upload.add(100_000)
                await asyncio.sleep(3600)

    stalled = asyncio.create_task(stall())
    await asyncio.sleep(0)
    waiting: list[asyncio.Future[Turn]] = []
    async with asyncio.timeout(8):
        # Somebody waits at each moment.
        while not any(each.done() and not each.exception() for each in waiting):
            waiting.append(house.door.ask(1000))
            await asyncio.sleep(0.03)
    assert stalled.done()
    for each in waiting:
        each.cancel()
