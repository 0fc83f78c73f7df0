"""When a worker gives the memory of large batches back."""

import pytest

from app import host
from app.workers.child import _SMALLER_BATCHES, _MemoryUse


@pytest.fixture
def trims(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """The calls of `host.trim` so far."""
    calls: list[None] = []
    monkeypatch.setattr(host, "trim", lambda: calls.append(None))
    return calls


def test_after_enough_smaller_batches_the_memory_is_given_back_once(trims: list[None]) -> None:
    use = _MemoryUse(8)
    for _ in range(_SMALLER_BATCHES):
        assert not trims
        use.note(4)
    assert len(trims) == 1
    for _ in range(3 * _SMALLER_BATCHES):
        use.note(4)
    assert len(trims) == 1


def test_a_large_batch_now_and_then_keeps_the_memory(trims: list[None]) -> None:
    use = _MemoryUse(8)
    for batch in range(5 * _SMALLER_BATCHES):
        use.note(4 if batch % (_SMALLER_BATCHES - 1) else 8)
    assert not trims
