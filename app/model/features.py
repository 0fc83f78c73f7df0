"""What a network computes inside: its feature map, and the vector before its classifier.

A bundle's own graph has only one output, so that plain predictions cost nothing more. Who asks for
features gets a second network, from the same files, whose graph has further outputs.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from app.errors import InferenceFailed, NoFeatures, NotExplainable
from app.model import golden
from app.model.bundle import Bundle
from app.model.endings import read_ending
from app.model.engine import Scores, library, softmax
from app.model.network import Floats
from app.settings import Device, EngineName

# The engines that compute more coarsely, and those that see a network's features in their place.
_EXACT: dict[EngineName, EngineName] = {
    "paddle-bfloat16": "paddle",
    "onnxruntime-int8": "onnxruntime",
    "openvino-int8": "openvino",
}
# A map is exact if it adds up to the logit. Rounding changes a logit by less than this share.
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Question:
    """What a request asks for besides the scores.

    Attributes:
        aspect: "map" and "picture" stand for the activation map of a class, as numbers or drawn
            on the network's crop of the photo; "vector" for what the classifier gets.
        class_id: the class of the map; None means the likeliest one.
    """

    aspect: Literal["map", "picture", "vector"]
    class_id: int | None = None


@dataclass(frozen=True)
class ActivationMap:
    """How much each place of a photo adds to the logit of one class.

    Attributes:
        values: (h, w) float32; their mean and `bias` add up to the logit.
        bias: the classifier's bias for the class.
    """

    values: Floats
    bias: float


@dataclass(frozen=True)
class Features:
    """The features of a batch of N photos.

    Attributes:
        scores: (N, classes), as `Engine.infer` gives them.
        vectors: (N, K), what the classifier gets.
        maps: (N, K, h, w), of which the vectors are the means; None if there is nothing like it.
    """

    scores: Scores
    vectors: Floats
    maps: Floats | None


class FeatureNetwork:
    """A bundle's network whose features can be seen. It computes in float32 with each engine.

    Attributes:
        bundle: the bundle.
        explainable: whether `activation_map` is exact, because the network ends in global average
            pooling and one linear layer.

    Raises:
        NoFeatures: the network does not end in a linear classifier.
        StartupError: the library cannot load the network.
    """

    def __init__(
        self,
        bundle: Bundle,
        device: Device = "cpu",
        threads: int = 1,
        engine: EngineName = "paddle",
    ) -> None:
        self.bundle = bundle
        exact = _EXACT.get(engine, engine)
        end = read_ending(bundle, exact)
        names = [end.weights, end.vectors, end.logits, *([end.features] if end.features else [])]
        self._network = library(exact)(bundle, device, threads, names)
        self._check()

    def __call__(self, images: npt.NDArray[np.uint8]) -> Features:
        """Return the features of images (N, H, W, 3).

        Raises:
            InferenceFailed: the network gave NaN or infinite values.
        """
        output, _, vectors, logits, maps = self._values(images)
        if not np.isfinite(logits).all():
            raise InferenceFailed
        scores = softmax(logits) if self.bundle.post_process.threshold is None else output
        return Features(scores, vectors, maps if self.explainable else None)

    def activation_map(self, features: Features, row: int, class_id: int) -> ActivationMap:
        """Return the map of a class for one photo of a batch.

        Raises:
            NotExplainable: such a map would not be exact for this network.
        """
        if features.maps is None:
            raise NotExplainable
        values = np.tensordot(self._weights[:, class_id], features.maps[row], axes=1)  # (h, w)
        return ActivationMap(np.asarray(values, np.float32), float(self._bias[class_id]))

    def _values(
        self, images: npt.NDArray[np.uint8]
    ) -> tuple[Floats, Floats, Floats, Floats, Floats | None]:
        """Return output, weights, vectors (N, K), logits and, if there is one, the map pooled."""
        planes = self.bundle.preprocessing.normalized(images)
        output, weights, vectors, logits, *maps = self._network.outputs(planes)
        return output, weights, vectors.reshape(len(images), -1), logits, maps[0] if maps else None

    def _check(self) -> None:
        """Find the bias, and out of numbers whether the values are what their places promise."""
        picture = golden.drawn_picture(*self.bundle.preprocessing.crop)
        noise = np.random.default_rng(0).integers(0, 256, picture.shape, np.uint8)
        _, weights, vectors, logits, maps = self._values(np.stack([picture, 255 - picture, noise]))
        tolerance = _TOLERANCE * max(1.0, float(np.abs(logits).max()))
        for matrix in (weights, weights.T):
            if matrix.shape == (vectors.shape[1], logits.shape[1]):
                biases = logits - vectors @ matrix  # (3, classes)
                if np.ptp(biases, axis=0).max() < tolerance:
                    break
        else:
            raise NoFeatures
        self._weights, self._bias = matrix, biases.mean(axis=0)
        self.explainable = False
        if maps is not None and maps.shape[:2] == vectors.shape and maps.ndim == 4:
            sums = maps.mean(axis=(2, 3)) @ matrix + self._bias
            self.explainable = bool(np.abs(sums - logits).max() < tolerance)
