"""The model of every peer: our own decoding and engine, so that only the serving differs.

The environment variables of our service choose the bundle, the engine and the number of threads.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from app.images.decoding import decode
from app.images.preprocessing import Pixels
from app.model.bundle import load_bundle
from app.model.engine import Engine
from app.settings import read_settings

# Four is the best batch size on CPU, and the size that our service finds by its own measurement.
BATCH = 4
_TOP_K = 5


class Model:
    """A loaded network, warmed up by one batch of each size."""

    def __init__(self) -> None:
        self._settings = read_settings()
        self._bundle = load_bundle(self._settings.model_dir)
        threads, engine = self._settings.threads_per_worker, self._settings.engine
        self._engine = Engine(self._bundle, "cpu", threads, engine)
        width, height = self._bundle.preprocessing.crop
        for size in range(1, BATCH + 1):
            self._engine.infer(np.zeros((size, height, width, 3), np.uint8))

    def decode(self, data: bytes) -> Pixels:
        """Return the decoded upload, (H, W, 3) uint8."""
        return decode(data, self._bundle.preprocessing, self._settings.max_pixels).pixels

    def classify(self, photos: Sequence[Pixels]) -> list[dict[str, Any]]:
        """Return one answer per photo, in the form of our own `/predict`."""
        scores = self._engine.infer(np.stack(photos))
        best = (self._bundle.post_process.best(row, _TOP_K) for row in scores)
        return [{"predictions": [prediction.model_dump() for prediction in row]} for row in best]
