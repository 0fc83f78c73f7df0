"""When a worker gives the memory of large batches back."""

from app.workers.child import _SMALLER_BATCHES, _MemoryUse


def test_after_enough_smaller_batches_the_memory_is_given_back_once() -> None:
    use = _MemoryUse(8)
    given_back = [use.ends(4) for _ in range(4 * _SMALLER_BATCHES)]
    assert given_back.index(True) == _SMALLER_BATCHES - 1
    assert sum(given_back) == 1


def test_a_large_batch_now_and_then_keeps_the_memory() -> None:
    use = _MemoryUse(8)
    sizes = [4 if batch % (_SMALLER_BATCHES - 1) else 8 for batch in range(5 * _SMALLER_BATCHES)]
    assert not any(use.ends(size) for size in sizes)
