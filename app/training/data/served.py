"""Photos as the server shows them to the network, read in batches."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np

from app.host import granted_cores
from app.images.preprocessing import Pixels, Preprocessing
from app.training.data.loader import PhotoReader, View

_BATCH_SIZE = 8


def served(paths: Sequence[Path], spec: Preprocessing, max_pixels: int) -> Iterator[Pixels]:
    """Yield the photos in their order, (N, H, W, 3) uint8, a few at a time.

    While the caller works on a batch, the photos of the next one are decoded.

    Args:
        paths: the photos.
        spec: the preprocessing that the server uses as well.
        max_pixels: larger photos are refused.

    Raises:
        StartupError: a photo cannot be read.
    """
    reader = PhotoReader(spec, max_pixels, None)

    def pixels(path: Path) -> Pixels:
        photo: Pixels = reader.read([View(path)])[0]
        return photo

    with ThreadPoolExecutor(granted_cores()) as pool:
        further = iter(paths)
        waiting = [pool.submit(pixels, path) for path in islice(further, 2 * _BATCH_SIZE)]
        while waiting:
            batch = [future.result() for future in waiting[:_BATCH_SIZE]]
            more = (pool.submit(pixels, path) for path in islice(further, _BATCH_SIZE))
            waiting = [*waiting[_BATCH_SIZE:], *more]
            yield np.stack(batch)
