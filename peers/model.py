"""What each peer does with a photo: our own decoding and engine, so that only the serving differs.

The environment says which bundle, engine and number of threads, as it does for our service.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from app.images.decoding import decode
from app.images.preprocessing import Pixels
from app.model.bundle import load_bundle
from app.model.engine import Engine
from app.settings import read_settings

BATCH = 4  # the best size on CPU, and what our service measures for itself
_TOP_K = 5


class Model:
    """A loaded network that has seen each batch size once."""

    def __init__(self) -> None:
        self._settings = read_settings()
        self._bundle = load_bundle(self._settings.model_dir)
        threads, engine = self._settings.threads_per_worker, self._settings.engine
        self._engine = Engine(self._bundle, "cpu", threads, engine)
        width, height = self._bundle.preprocessing.crop
        for size in range(1, BATCH + 1):
            self._engine.infer(np.zeros((size, height, width, 3), np.uint8))

    def decode(self, data: bytes) -> Pixels:
        """Return an upload as (H, W, 3) uint8."""
        return decode(data, self._bundle.preprocessing, self._settings.max_pixels).pixels

    def classify(self, photos: Sequence[Pixels]) -> list[dict[str, Any]]:
        """Return an answer a photo, of the form of our own `/predict`."""
        scores = self._engine.infer(np.stack(photos))
        best = (self._bundle.best(row, _TOP_K) for row in scores)
        return [{"predictions": [prediction.model_dump() for prediction in row]} for row in best]
