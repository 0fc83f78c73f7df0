"""What a trained network sees in photos: vectors in which similar photos lie close together."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from app.images.decoding import decode
from app.images.files import contents
from app.model.features import FeatureNetwork

_Floats = npt.NDArray[np.float32]
_BATCH_SIZE = 8


def features(
    paths: Sequence[Path], network: FeatureNetwork, threads: int, max_pixels: int
) -> Iterator[_Floats]:
    """Yield the vector (K,) of each photo, in the order of `paths`.

    While the network computes a batch, the photos of the next one are decoded.

    Raises:
        ServiceError: a photo cannot be read, or the network gave no valid answer.
    """

    def pixels(path: Path) -> npt.NDArray[np.uint8]:
        return decode(contents(path), network.bundle.preprocessing, max_pixels).pixels

    with ThreadPoolExecutor(threads) as pool:
        waiting = [pool.submit(pixels, path) for path in paths[: 2 * _BATCH_SIZE]]
        further = iter(paths[2 * _BATCH_SIZE :])
        while waiting:
            batch = [future.result() for future in waiting[:_BATCH_SIZE]]
            more = (pool.submit(pixels, path) for path in islice(further, _BATCH_SIZE))
            waiting = [*waiting[_BATCH_SIZE:], *more]
            yield from network(np.stack(batch)).vectors
