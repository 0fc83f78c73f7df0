"""BentoML: a service that takes photos and decodes them, and one that classifies in batches.

This is how its guide composes what comes before a model with the model's adaptive batching.
"""

from pathlib import Path
from typing import Any

import bentoml
import numpy as np
import numpy.typing as npt

from app.bundle import load_bundle
from app.images import decode
from app.settings import read_settings
from peers.model import BATCH, Model


@bentoml.service(workers=2)
class Classifier:
    """Gets arrays from the gate."""

    def __init__(self) -> None:
        self._model = Model()

    @bentoml.api(batchable=True, max_batch_size=BATCH, max_latency_ms=1000)
    def classify(self, photos: npt.NDArray[np.uint8]) -> list[dict[str, Any]]:
        """Return an answer a photo."""
        return self._model.classify(list(photos))


@bentoml.service(workers=2, threads=2, traffic={"max_concurrency": 64})
class Gate:
    """Takes photos as a form."""

    classifier = bentoml.depends(Classifier)

    def __init__(self) -> None:
        self._settings = read_settings()
        self._spec = load_bundle(self._settings.model_dir).preprocessing

    @bentoml.api
    async def predict(self, file: Path) -> dict[str, Any]:
        """Classify one photo."""
        data = file.read_bytes()  # noqa: ASYNC240  (of a file in memory)
        pixels = decode(data, self._spec, self._settings.max_pixels).pixels
        answers: list[dict[str, Any]] = await self.classifier.to_async.classify(pixels[None])
        return answers[0]
