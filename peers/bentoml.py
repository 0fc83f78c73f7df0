"""BentoML: its adaptive batching in front of two processes that decode and classify.

BentoML's guide composes one service that decodes with another one that classifies. Here, this costs
twice the CPU, because each array goes over HTTP.
"""

from pathlib import Path
from typing import Any

import bentoml

from peers.model import BATCH, Model

# A handler that takes a batch answers with a list. The list has one entry, because each client
# sends one photo.
_batches = bentoml.api(batchable=True, max_batch_size=BATCH, max_latency_ms=1000)


class Classifier:
    """The service, which takes photos as a multipart form."""

    def __init__(self) -> None:
        self._model = Model()

    @_batches
    def predict(self, file: list[Path]) -> list[dict[str, Any]]:
        """Return one answer per photo."""
        return self._model.classify([self._model.decode(photo.read_bytes()) for photo in file])


service = bentoml.service(workers=2, traffic={"max_concurrency": 64})(Classifier)
