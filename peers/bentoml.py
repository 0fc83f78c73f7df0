"""BentoML: two processes that decode and classify; its adaptive batching comes before.

A service that decodes in front of one that classifies, as its guide composes them, costs twice the
CPU here, for each array goes over HTTP.
"""

from pathlib import Path
from typing import Any

import bentoml

from peers.model import BATCH, Model

# A handler that takes a batch answers with a list: of one, since each client sends one photo.
_batches = bentoml.api(batchable=True, max_batch_size=BATCH, max_latency_ms=1000)


class Classifier:
    """Takes photos as a form."""

    def __init__(self) -> None:
        self._model = Model()

    @_batches
    def predict(self, file: list[Path]) -> list[dict[str, Any]]:
        """Return an answer a photo."""
        return self._model.classify([self._model.decode(photo.read_bytes()) for photo in file])


service = bentoml.service(workers=2, traffic={"max_concurrency": 64})(Classifier)
