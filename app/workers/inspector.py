"""Answers questions about single photos in a worker process."""

import io
import logging
import time
from functools import cached_property

import numpy as np
from PIL import Image

from app.errors import InferenceFailed, NoFeatures, ServiceError
from app.images.heat import with_heat
from app.images.preprocessing import Pixels
from app.model.features import FeatureNetwork, Question
from app.workers.messages import Inspected, WorkerConfig

log = logging.getLogger(__name__)


class Inspector:
    """Loads the network a second time when the first question comes, so others pay nothing."""

    def __init__(self, config: WorkerConfig) -> None:
        self._config = config

    @cached_property
    def _network(self) -> FeatureNetwork | NoFeatures:
        config = self._config
        try:
            return FeatureNetwork(config.bundle, config.device, config.threads, config.engine)
        except NoFeatures as error:
            # The error is kept, so that the network is not loaded again for each question.
            return error

    def answer(self, pixels: Pixels, question: Question) -> Inspected | ServiceError:
        """Return the answer to a question about a photo (H, W, 3), or an error."""
        try:
            return self._answer(pixels, question)
        except ServiceError as error:
            return error
        except Exception:
            log.exception("a photo could not be inspected")
            return InferenceFailed()

    def _answer(self, pixels: Pixels, question: Question) -> Inspected:
        network, started = self._network, time.perf_counter()
        if isinstance(network, NoFeatures):
            raise NoFeatures
        features = network(pixels[np.newaxis])
        scores, vector = features.scores[0], features.vectors[0]
        class_id = int(scores.argmax()) if question.class_id is None else question.class_id
        activation = picture = None
        if question.aspect != "vector":
            activation = network.activation_map(features, 0, class_id)
        if activation and question.aspect == "picture":
            file = io.BytesIO()
            with_heat(Image.fromarray(pixels), activation.values).save(
                file, "PNG", compress_level=1
            )
            picture = file.getvalue()
        seconds = time.perf_counter() - started
        return Inspected(scores, seconds, vector, class_id, activation, picture)
