"""Shared memory for decoded photos: decoders write it, model workers read it.

The pixels of a photo never pass through the server's process. A slot may be used again only when
nobody uses it any more: not its request, no decoder that still writes, no batch that still runs.
"""

from collections.abc import Callable
from multiprocessing.heap import BufferWrapper

import numpy as np

from app.images.preprocessing import Pixels


class Slot:
    """Room for the pixels of one photo.

    Attributes:
        index: its number in the shared memory, which is all that a process is told.
        pixels: (H, W, 3) uint8, a view of the shared memory.
    """

    def __init__(self, slots: "PixelSlots", index: int) -> None:
        self.index = index
        self.pixels: Pixels = slots.pixels[index]
        self._slots = slots
        self._users = 0

    def retain(self) -> None:
        """Count one more user."""
        self._users += 1

    def release(self) -> None:
        """Count one user less; the last one makes the slot free."""
        self._users -= 1
        if self._users == 0:
            self._slots.free.append(self)
            self._slots.on_free()


class PixelSlots:
    """All slots of one model, for photos of its input size.

    Attributes:
        memory: what a new process gets, to make the same array of it.
        shape: (slots, H, W, 3)
        pixels: the array, uint8.
        free: slots that nobody uses. The last one is taken first, because its memory is in use
            already: memory that was never touched costs nothing.
        on_free: called when a slot becomes free.
    """

    def __init__(self, count: int, crop: tuple[int, int]) -> None:
        width, height = crop
        self.shape = (count, height, width, 3)
        # A `RawArray` would be filled with zeros, and so touched.
        self.memory = BufferWrapper(int(np.prod(self.shape)))
        self.pixels = as_array(self.memory, self.shape)
        self.on_free: Callable[[], None] = lambda: None
        self.free = [Slot(self, index) for index in reversed(range(count))]

    def take(self) -> Slot | None:
        """Return a free slot that the caller uses now, or None if there is none."""
        if not self.free:
            return None
        slot = self.free.pop()
        slot.retain()
        return slot

    def put(self, pixels: Pixels) -> Slot:
        """Return a slot with these pixels, which the caller releases.

        Raises:
            IndexError: no slot is free.
        """
        slot = self.free.pop()
        slot.retain()
        np.copyto(slot.pixels, pixels)
        return slot


def as_array(memory: BufferWrapper, shape: tuple[int, ...]) -> Pixels:
    """Return shared memory as an array of uint8, to be used as long as `memory` exists."""
    return np.frombuffer(memory.create_memoryview(), np.uint8)[: int(np.prod(shape))].reshape(shape)
